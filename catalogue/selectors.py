"""What can be asked of the catalogue. Reads only."""

from collections.abc import Collection

from django.db.models import Prefetch, QuerySet
from django.db.models.expressions import RawSQL

from catalogue.models import Dependency, Environment, Host, Person, Service, Subscription, Team

# UNION (not UNION ALL) drops what was found before, so the walk ends even on a cycle.
_WALK = """
WITH RECURSIVE found(id) AS (
    {start}
    UNION
    SELECT d.{there} FROM catalogue_dependency d JOIN found f ON d.{here} = f.id
)
SELECT id FROM found
"""
_NEIGHBOURS = "SELECT {there} FROM catalogue_dependency WHERE {here} = ANY(%s::bigint[])"
_THEMSELVES = "SELECT unnest(%s::bigint[])"


def environments() -> QuerySet[Environment]:
    """Every environment, newest first."""
    return Environment.objects.order_by("-created_at", "-pk")


def hosts() -> QuerySet[Host]:
    """Every host with its environment, newest first."""
    return Host.objects.select_related("environment").order_by("-created_at", "-pk")


def people() -> QuerySet[Person]:
    """Every person with their addresses and account, newest first."""
    return Person.objects.select_related("user").prefetch_related("contacts").order_by("-created_at", "-pk")


def teams() -> QuerySet[Team]:
    """Every team with its lead and members, newest first."""
    members = Prefetch("members", Person.objects.order_by("name", "pk"))
    return Team.objects.select_related("lead").prefetch_related(members).order_by("-created_at", "-pk")


def services() -> QuerySet[Service]:
    """Every service with its owner, environment and what it depends on directly, newest first."""
    direct = Prefetch("depends_on", Service.objects.order_by("slug"))
    return (
        Service.objects.select_related("owner_team", "environment")
        .prefetch_related(direct)
        .order_by("-created_at", "-pk")
    )


def subscriptions() -> QuerySet[Subscription]:
    """Every subscription with its service and person, newest first."""
    return Subscription.objects.select_related("service", "person").order_by("-requested_at", "-pk")


def requirements_of(services: Collection[Service]) -> QuerySet[Service]:
    """Everything these services stand on, however far down; by slug. One query."""
    return _walk(services, start=_NEIGHBOURS, here="service_id", there="requires_id")


def dependants_of(services: Collection[Service]) -> QuerySet[Service]:
    """Everything that stands on these services, however far up: what stops when they stop; by slug. One query."""
    return _walk(services, start=_NEIGHBOURS, here="requires_id", there="service_id")


def affected_by(services: Collection[Service]) -> QuerySet[Service]:
    """These services and everything that stands on them; by slug. One query."""
    return _walk(services, start=_THEMSELVES, here="requires_id", there="service_id")


def edges() -> dict[str, set[str]]:
    """Who depends on whom directly, by slug."""
    found: dict[str, set[str]] = {}
    for service, requires in Dependency.objects.values_list("service__slug", "requires__slug"):
        found.setdefault(service, set()).add(requires)
    return found


def _walk(services: Collection[Service], *, start: str, here: str, there: str) -> QuerySet[Service]:
    sql = _WALK.format(start=start, here=here, there=there).format(here=here, there=there)
    found = RawSQL(sql, [[service.pk for service in services]])  # noqa: S611 - column names from above, ids bound
    return Service.objects.filter(pk__in=found).order_by("slug")
