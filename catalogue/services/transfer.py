"""The whole catalogue out as one document, and in again: all of it or nothing, and nothing twice."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime

from catalogue import documents, selectors, selectors_transfer
from catalogue.documents import BadDocument
from catalogue.models import Entry
from catalogue.selectors_transfer import as_json
from catalogue.services import transfer_rows
from catalogue.services.rows import lock_dependencies, one_change
from sysops.access import audit
from sysops.access.actors import Actor
from sysops.events import publish


@dataclass(frozen=True)
class Change:
    """What is different about one entry, as it was and as it is; both as JSON."""

    what: str
    before: Mapping[str, object]
    after: Mapping[str, object]


@dataclass(frozen=True)
class Outcome:
    """What an import did, or with `dry_run` would do: "service shop-db" …"""

    created: tuple[str, ...] = ()
    changed: tuple[Change, ...] = ()
    removed: tuple[str, ...] = ()
    unchanged: int = 0
    dry_run: bool = False

    def as_json(self) -> dict[str, object]:
        return asdict(self)

    def words(self) -> list[str]:
        """What happened, a line for each entry and one for the sum."""
        lines = [f"+ {what}" for what in self.created]
        for change in self.changed:
            lines += [f"~ {change.what}"]
            lines += [f"    {name}: {change.before.get(name)} → {value}" for name, value in change.after.items()]
        lines += [f"- {what}" for what in self.removed]
        counts = f"{len(self.created)} new, {len(self.changed)} changed, {len(self.removed)} removed"
        would = " Nothing was written: this was a dry run." if self.dry_run else ""
        return [*lines, f"{counts}, {self.unchanged} as they are.{would}"]


class _OnlyLooking(Exception):
    """Rolls a dry run back."""


@dataclass
class _Told:
    """What is to be audited and published, gathered so that the audit log is locked only at the end."""

    notes: list[audit.Note] = field(default_factory=list)
    outcome: Outcome = field(default_factory=Outcome)


def export_catalogue() -> dict[str, object]:
    """The whole catalogue as a document that `import_catalogue` takes."""
    return selectors_transfer.as_document()


def import_catalogue(
    document: object, *, by: Actor, at: datetime, dry_run: bool = False, prune: bool = False
) -> Outcome:
    """Make the catalogue what the document says, in one transaction; what it does not name stays.

    A field that an entry leaves out keeps its value. With `prune`, entries that the document does not name are
    removed from the lists it has, unless something uses them. Raises BadDocument by path, and Overtaken.
    """
    wanted = documents.check(document)
    try:
        with one_change("the catalogue"):
            outcome = _import(wanted, by=by, at=at, prune=prune)
            if dry_run:
                raise _OnlyLooking
    except _OnlyLooking:
        return replace(outcome, dry_run=True)
    return outcome


def _import(wanted: documents.Document, *, by: Actor, at: datetime, prune: bool) -> Outcome:
    # Before any row, as every other writer does, and every row before the audit log: the other order is a deadlock.
    lock_dependencies()
    transfer_rows.lock(wanted, everything=prune)
    known = selectors_transfer.known()
    _refuse(documents.missing(wanted, {name: {key[0] for key in entries} for name, entries in known.items()}))
    _refuse(documents.cycles(wanted, selectors.edges()))
    told, rows = _Told(), transfer_rows.Rows(at)
    for name in transfer_rows.WRITTEN:
        _write(name, wanted.get(name, []), known[name], rows, told, by=by, at=at)
    if prune:
        _prune(wanted, known, rows, told, by=by, at=at)
    _subscriptions(wanted, known, told, by=by, at=at, prune=prune)
    if told.notes:
        audit.record_many(told.notes, by=by, at=at)
    return told.outcome


def _write(
    name: str,
    items: list[documents.Item],
    known: Mapping[tuple[str, ...], documents.Values],
    rows: transfer_rows.Rows,
    told: _Told,
    *,
    by: Actor,
    at: datetime,
) -> None:
    """Create and change the entries of one list."""
    differing = []
    for item in items:
        have = known.get(item.key)
        want = transfer_rows.completed(name, item.values, have)
        if have != want:
            differing.append(transfer_rows.Differing(item, have, want))
    saved = rows.save(name, differing)
    for row, one in zip(saved, differing, strict=True):
        _tell(name, row, one.have, one.want, told, by=by, at=at)
    same = told.outcome.unchanged + len(items) - len(differing)
    told.outcome = replace(told.outcome, unchanged=same)


def _prune(
    wanted: documents.Document,
    known: selectors_transfer.Known,
    rows: transfer_rows.Rows,
    told: _Told,
    *,
    by: Actor,
    at: datetime,
) -> None:
    """Remove what the lists of the document do not name."""
    problems = {}
    for name in transfer_rows.PRUNED:
        kept = {item.key for item in wanted.get(name, ())}
        doomed = [key for key in known[name] if key not in kept] if name in wanted else []
        for key, row in rows.named(name, doomed).items():
            _tell(name, row, known[name][key], None, told, by=by, at=at)
        for key, users in rows.remove(name, doomed).items():
            what = f"{documents.NOUNS[name]} {key[0]}"
            problems[f"{name} without {key[0]}"] = f"{what} cannot be removed, it is in use by {', '.join(users)}"
    _refuse(problems)


def _subscriptions(
    wanted: documents.Document,
    known: selectors_transfer.Known,
    told: _Told,
    *,
    by: Actor,
    at: datetime,
    prune: bool,
) -> None:
    """Subscribe and, when pruning, unsubscribe people; audited and published by the service that does it."""
    if "subscriptions" not in wanted:
        return
    if prune:
        kept = {name: [item.key for item in wanted[name]] for name in transfer_rows.PRUNED if name in wanted}
        there = {name: {key[0] for key in kept.get(name, entries)} for name, entries in known.items()}
        _refuse(documents.missing({"subscriptions": wanted["subscriptions"]}, there))
    have, want = set(known["subscriptions"]), {item.key for item in wanted["subscriptions"]}
    started, ended = sorted(want - have), sorted(have - want) if prune else []
    transfer_rows.subscribe(started, ended, by=by, at=at)
    told.outcome = replace(
        told.outcome,
        created=(*told.outcome.created, *(f"subscription of {person} to {service}" for service, person in started)),
        removed=(*told.outcome.removed, *(f"subscription of {person} to {service}" for service, person in ended)),
        unchanged=told.outcome.unchanged + len(want & have),
    )


def _tell(
    name: str,
    row: Entry,
    have: documents.Values | None,
    want: documents.Values | None,
    told: _Told,
    *,
    by: Actor,
    at: datetime,
) -> None:
    """Publish one change now, and keep it for the audit log and the outcome."""
    verb = "created" if have is None else "deleted" if want is None else "changed"
    event = f"catalogue.{row._meta.model_name}.{verb}"
    before, after = _json(have), _json(want)
    key = str((want or have or {})[documents.KEYS[name][0]])
    publish(event, subject=key, at=at, data={"before": before, "after": after, "by": str(by)})
    what, out = f"{documents.NOUNS[name]} {key}", told.outcome
    if before is not None and after is not None:
        before, after = audit.differences(before, after)
        told.outcome = replace(out, changed=(*out.changed, Change(what, before, after)))
    elif after is not None:
        told.outcome = replace(out, created=(*out.created, what))
    else:
        told.outcome = replace(out, removed=(*out.removed, what))
    told.notes.append(audit.Note(event, row, before, after))


def _json(values: documents.Values | None) -> dict[str, object] | None:
    return None if values is None else {name: as_json(value) for name, value in values.items()}


def _refuse(problems: Mapping[str, str]) -> None:
    if problems:
        raise BadDocument(problems)
