"""Adding, changing and removing rows of the catalogue; every change is audited and published."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TypeVar

from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.models import ProtectedError, RestrictedError

from catalogue import records, rules, selectors
from catalogue.models import ContactAddress, Dependency, Entry, Host, Membership, Person, Service, Team
from sysops.access import audit
from sysops.access.actors import Actor
from sysops.events import publish

# Held while dependencies change: two changes that are right one by one can close a cycle together.
_DEPENDENCIES_LOCK = 0x0CA7_A106

Row = TypeVar("Row", bound=Entry)


class InUse(Exception):
    """The row cannot be deleted: the message says what uses it, `used_by` names each."""

    def __init__(self, what: str, used_by: Sequence[str]) -> None:
        shown = ", ".join(used_by[:10]) + (f" and {len(used_by) - 10} more" if len(used_by) > 10 else "")
        super().__init__(f"{what} is in use by {shown}. Change or delete what uses it first.")
        self.used_by = list(used_by)


class Overtaken(Exception):
    """Somebody else changed the same thing at the same moment; nothing was written."""


def create(kind: type[Row], values: Mapping[str, object], *, by: Actor, at: datetime) -> Row:
    """A new row of the catalogue, such as `create(Service, {"slug": "shop-db", "name": "Shop database"}, …)`.

    Raises ValidationError by field, and Overtaken.
    """
    row = kind(created_at=at)
    with one_change(f"the {records.noun(type(row))}"):
        _write(row, values)
        after = records.snapshot(row)
        tell("created", row, before=None, after=after, by=by, at=at)
    return row


def change(row: Row, values: Mapping[str, object], *, by: Actor, at: datetime) -> Row:
    """The row with these values, as it is now in the database; writes and tells nothing when nothing differs.

    Raises ValidationError by field, and Overtaken.
    """
    with one_change(records.called(row)):
        if "depends_on" in values:
            lock_dependencies()  # before the row: the other order is a deadlock between two who depend on each other
        fresh = locked(row)
        before = records.snapshot(fresh)
        fixed = records.identity(type(row))
        if fixed in values and values[fixed] != getattr(fresh, fixed):
            raise ValidationError({fixed: [f"The {fixed} cannot be changed: others refer to it. Make a new one."]})
        _write(fresh, values)
        after = records.snapshot(fresh)
        if after != before:
            tell("changed", fresh, before=before, after=after, by=by, at=at)
    return fresh


def remove(row: Entry, *, by: Actor, at: datetime) -> None:
    """Delete the row. Raises InUse when something refers to it, and Overtaken."""
    with one_change(records.called(row)):
        fresh = locked(row, to_delete=True)
        before = records.snapshot(fresh)
        tell("deleted", fresh, before=before, after=None, by=by, at=at)
        try:
            fresh.delete()
        except (ProtectedError, RestrictedError) as exc:
            using = exc.protected_objects if isinstance(exc, ProtectedError) else exc.restricted_objects
            raise InUse(records.called(row), sorted({records.user_of(user) for user in using})) from None


def sight_host(name: str, *, by: Actor, at: datetime) -> Host:
    """The host of this name, made known if it is new, with the time it was last seen.

    Being seen is no change: only the first time is audited and published.
    """
    found = Host.objects.filter(name=name)
    if found.update(last_seen_at=at) == 0:
        try:
            create(Host, {"name": name, "last_seen_at": at}, by=by, at=at)
        except (ValidationError, Overtaken):
            if not found.update(last_seen_at=at):
                raise  # not another worker of the same machine that was quicker, but a name we cannot keep
    return found.get()


def refuse_cycle(service: Service, depends_on: Collection[Service]) -> None:
    """Nothing when these requirements are possible. Raises ValidationError that shows the cycle."""
    edges = {**selectors.edges(), service.slug: {required.slug for required in depends_on}}
    cycle = rules.find_cycle(edges, start=service.slug)
    if cycle:
        words = rules.cycle_words(cycle)
        raise ValidationError({"depends_on": [f"A service cannot depend on itself, but here it would: {words}."]})


def tell(
    what: str,
    row: Entry,
    *,
    before: dict[str, object] | None,
    after: dict[str, object] | None,
    by: Actor,
    at: datetime,
) -> None:
    name = f"catalogue.{row._meta.model_name}.{what}"
    publish(name, subject=records.key(row), at=at, data={"before": before, "after": after, "by": str(by)})
    if before is not None and after is not None:
        before, after = audit.differences(before, after)
    audit.record(name, by=by, subject=row, at=at, before=before, after=after)


@contextmanager
def one_change(what: str) -> Iterator[None]:
    """All or nothing; a row that somebody else wrote at the same moment becomes Overtaken."""
    try:
        with transaction.atomic():
            yield
            connection.check_constraints()  # foreign keys are deferred: a lost race would surface in COMMIT
    except IntegrityError as exc:
        raise Overtaken(f"Somebody else changed {what} at the same moment. Look again, then repeat it.") from exc


def lock_dependencies() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_DEPENDENCIES_LOCK])


def keep_dependencies() -> None:
    """Dependencies stay as they are until the end of the transaction, for any number of those who ask for it.

    Before any row. Whoever writes down what they mean today would otherwise miss the change that comes just then.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [_DEPENDENCIES_LOCK])


def locked(row: Row, *, to_delete: bool = False) -> Row:
    """The row as it is now, ours until the end of the transaction. Others may refer to it unless it is to go."""
    kind = type(row)
    fresh = kind._default_manager.select_for_update(no_key=not to_delete).filter(pk=row.pk).first()
    if fresh is None:
        raise Overtaken(f"{records.called(row)} has just been deleted.")
    return fresh


def _write(row: Entry, values: Mapping[str, object]) -> None:
    links = {name: value for name, value in values.items() if name in _LINKS}
    unknown = set(values) - set(links) - {field.name for field in row._meta.concrete_fields}
    if unknown:
        raise TypeError(f"A {records.noun(type(row))} has no {', '.join(sorted(unknown))}")
    for name, value in values.items():
        if isinstance(value, str) and "\0" in value:
            raise ValidationError({name: ["NUL characters cannot be stored."]})
        if name not in links:
            setattr(row, name, value)
    row.full_clean()
    row.save()
    for name, value in links.items():
        _LINKS[name](row, value)
    if isinstance(row, Team) and row.lead_id:
        Membership.objects.get_or_create(team=row, person_id=row.lead_id)  # who leads a team belongs to it


def _write_depends_on(row: Entry, value: object) -> None:
    assert isinstance(row, Service)
    assert isinstance(value, Collection)
    lock_dependencies()
    wanted: dict[int, Service] = {required.pk: required for required in value}
    refuse_cycle(row, list(wanted.values()))
    Dependency.objects.filter(service=row).exclude(requires__in=wanted).delete()
    known = set(Dependency.objects.filter(service=row).values_list("requires_id", flat=True))
    Dependency.objects.bulk_create(Dependency(service=row, requires_id=pk) for pk in wanted if pk not in known)


def _write_members(row: Entry, value: object) -> None:
    assert isinstance(row, Team)
    assert isinstance(value, Collection)
    wanted = {person.pk for person in value}
    Membership.objects.filter(team=row).exclude(person__in=wanted).delete()
    known = set(Membership.objects.filter(team=row).values_list("person_id", flat=True))
    Membership.objects.bulk_create(Membership(team=row, person_id=pk) for pk in wanted if pk not in known)


def _write_contacts(row: Entry, value: object) -> None:
    assert isinstance(row, Person)
    assert isinstance(value, Collection)
    ContactAddress.objects.filter(person=row).delete()
    rows = [
        ContactAddress(person=row, channel=channel, address=address, position=position)
        for position, (channel, address) in enumerate(dict.fromkeys(value))
    ]
    problems = [problem for contact in rows for problem in [rules.address_problem(contact.channel, contact.address)]]
    if any(problems):
        raise ValidationError({"contacts": [problem for problem in problems if problem]})
    ContactAddress.objects.bulk_create(rows)


_LINKS = {"depends_on": _write_depends_on, "members": _write_members, "contacts": _write_contacts}
