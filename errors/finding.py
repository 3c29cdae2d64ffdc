"""A search as a question to the database."""

from collections.abc import Callable, Mapping
from datetime import datetime
from uuid import UUID

from django.db.models import F, Q, QuerySet

from catalogue.models import Person, Service
from errors.models import Event, Grouping, Issue, Project, TagKey, TagValue
from errors.rules import Status
from errors.search import TAG, BadQuery, Query, Term, age, comparison, event_id
from errors.sla import AT_ONCE_GRACE

OPEN = (Status.UNRESOLVED.value, Status.ACKNOWLEDGED.value)
NOBODY = "none"
MOST_NAMED = 20


def search_issues(
    issues: QuerySet[Issue], query: Query, *, now: datetime, projects: QuerySet[Project] | None = None
) -> QuerySet[Issue]:
    """Those of the issues for which every term of the search holds, each once.

    Raises BadQuery for a person or a service that does not exist, and for a project that is not among `projects`,
    those that the asker may see; without these any may be named.
    """
    for term in query.terms:
        _check_name(issues, term, projects=projects)
        found = _condition(term, now=now)
        issues = issues.filter(~found if term.negated else found)
    return issues


def with_release(version: str) -> Q:
    """Issues that were seen in the release, as far as its values are listed."""
    return Q(first_release=version) | Q(last_release=version) | _tagged("release", value=version)


def is_overdue(*, now: datetime) -> Q:
    """Somebody must respond yet, and it is too late: of what is breached, what still waits."""
    return Q(status=Status.UNRESOLVED.value, responded_at=None) & is_breached(now=now)


def is_breached(*, now: datetime) -> Q:
    """Nobody responded in time, whether the tick has noticed or not."""
    due_at_once = Q(respond_by__lte=F("near_at"))
    over = Q(respond_by__lte=now) & (~due_at_once | Q(respond_by__lte=now - AT_ONCE_GRACE))
    return Q(breached_at__isnull=False) | (Q(responded_at=None) & over)


def _check_name(issues: QuerySet[Issue], term: Term, *, projects: QuerySet[Project] | None) -> None:
    """Refuse a name that nobody and nothing has: it would find nothing, as if there were no issue."""
    found: QuerySet[Person] | QuerySet[Service] | QuerySet[Project]
    match term.key:
        case "assignee":
            found, what = Person.objects.all(), "person"
        case "service":
            found, what = Service.objects.all(), "service"
        case "project" if projects is not None:
            found, what = projects, "project"
        case _:
            return
    nobody = term.key == "assignee" and term.value.lower() == NOBODY
    if nobody or term.pattern is not None or found.filter(slug__iexact=term.value).exists():
        return
    field = f"{term.key}__slug"
    named = issues.filter(**{f"{field}__isnull": False}).order_by(field).values_list(field, flat=True).distinct()
    slugs = list(named[: MOST_NAMED + 1])
    words = [*slugs[:MOST_NAMED], *(["…"] if slugs[MOST_NAMED:] else []), *([NOBODY] if what == "person" else [])]
    known = f" With issues here: {', '.join(words)}." if words else ""
    raise BadQuery(f"There is no {what} {term.value[:60]!r}.{known}")


def _condition(term: Term, *, now: datetime) -> Q:
    if not term.key:
        return _text(term.value) if term.part is None else Q(search__regex=term.part)
    if term.is_tag:
        return _tagged_alike(term)
    if term.key in _FIELDS:
        return _matches(_FIELDS[term.key], term)
    if term.key in _SEEN_ALSO_BEFORE:
        return _matches(_SEEN_ALSO_BEFORE[term.key], term) | _tagged(term.key, value=term.value, pattern=term.pattern)
    return _OTHERS[term.key](term, now)


def _text(value: str) -> Q:
    found = Q(search__contains=value.lower())
    event = event_id(value)
    return found if event is None else found | _of_event(event)


def _of_event(event: UUID) -> Q:
    groupings = Event.objects.filter(event_id=event).order_by().values("grouping")
    return Q(pk__in=Grouping.objects.filter(pk__in=groupings).order_by().values("issue"))


def _tagged(key: str, *, value: str, pattern: str | None = None) -> Q:
    rows = TagValue.objects.filter(key=key)
    rows = rows.filter(value=value) if pattern is None else rows.filter(value__iregex=pattern)
    return Q(pk__in=rows.values("grouping__issue"))


def _tagged_alike(term: Term) -> Q:
    """Of a tag that a person names: Area is area. Named one by one, so that the index of the values is used."""
    spelt = {term.tag, term.tag.lower(), term.tag.upper(), term.tag.capitalize()}
    rows = TagValue.objects.filter(key__in=sorted(spelt))
    rows = rows.filter(value=term.value) if term.pattern is None else rows.filter(value__iregex=term.pattern)
    return Q(pk__in=rows.values("grouping__issue"))


def _keys_alike(key: str) -> QuerySet[TagKey]:
    return TagKey.objects.filter(key__iexact=key).order_by()


def _matches(field: str, term: Term) -> Q:
    if term.pattern is not None:
        return Q(**{f"{field}__iregex": term.pattern})
    return Q(**{f"{field}__iexact": term.value})


def _is(term: Term, now: datetime) -> Q:
    found = Q(pk__in=[])
    for flag in term.values:
        found |= _flag(flag, now=now)
    return found


def _flag(flag: str, *, now: datetime) -> Q:
    match flag:
        case "open":
            return Q(status__in=OPEN)
        case "assigned" | "unassigned":
            return Q(assignee__isnull=flag == "unassigned")
        case "breached":
            return is_breached(now=now)
        case "regressed":
            return Q(status__in=OPEN, regressed_at__isnull=False)
    return Q(status=flag)


def _assignee(term: Term, _: datetime) -> Q:
    return Q(assignee=None) if term.value.lower() == NOBODY else _matches("assignee__slug", term)


def _count(field: str) -> "Condition":
    def condition(term: Term, _: datetime) -> Q:
        operator, number = comparison(term.value)
        return Q(**{f"{field}__{operator}": number})

    return condition


def _since(field: str) -> "Condition":
    """`<24h`: less than a day ago, so later than then."""

    def condition(term: Term, now: datetime) -> Q:
        sign, span = age(term.value)
        return Q(**{f"{field}__{'gt' if sign == '<' else 'lt'}": now - span})

    return condition


def _any_of(field: str) -> "Condition":
    return lambda term, _: Q(**{f"{field}__in": term.values})


def _event(term: Term, _: datetime) -> Q:
    event = event_id(term.value)
    return Q(pk__in=[]) if event is None else _of_event(event)


def _level(term: Term, _: datetime) -> Q:
    tagged = TagValue.objects.filter(key="level", value__in=term.values)
    return Q(level__in=term.values) | Q(pk__in=tagged.values("grouping__issue"))


def _release(term: Term, _: datetime) -> Q:
    if term.pattern is None:
        return with_release(term.value)
    return _matches("last_release", term) | _tagged("release", value=term.value, pattern=term.pattern)


def _has(term: Term, _: datetime) -> Q:
    return Q(pk__in=_keys_alike(term.value.removeprefix(TAG)).values("grouping__issue"))


Condition = Callable[[Term, datetime], Q]

_FIELDS: Mapping[str, str] = {
    "type": "error_type",
    "message": "error_message",
    "culprit": "culprit",
    "platform": "platform",
    "service": "service__slug",
    "project": "project__slug",
}
_SEEN_ALSO_BEFORE: Mapping[str, str] = {"environment": "environment"}  # the issue has only the latest event's
_OTHERS: Mapping[str, Condition] = {
    "is": _is,
    "status": _any_of("status"),
    "severity": _any_of("severity"),
    "level": _level,
    "events": _count("event_count"),
    "accounts": _count("affected_accounts"),
    "age": _since("first_seen"),
    "seen": _since("last_seen"),
    "assignee": _assignee,
    "release": _release,
    "event": _event,
    "has": _has,
}
