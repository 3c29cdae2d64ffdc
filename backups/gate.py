"""The gate `fresh_backup`: work may begin when the services' data lies in a fresh backup that was looked at.

Registered in wiring: `gates.register(FreshBackup.name, FreshBackup())`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar

from django.db import transaction
from django.db.models import Max

from backups import selectors
from backups.models import Backup, Source
from backups.rules import BackupType, Status, VerificationStatus
from backups.services import requests
from catalogue.gates import Answer, Question, Verdict
from sysops.access import driver_settings
from sysops.access.actors import Actor
from sysops.kernel.words import ago_words, span_words

DAY = 86_400
BACKUPS_TO_TRY = 5  # of one source, the newest first, until one stands on nothing bad
LONGEST_REASON = 900
LONGEST_NAME = 200


class Depth(StrEnum):
    """How well a backup must have been looked at."""

    PASSED = "passed"  # its stored files were read, and all that was looked at was right
    PROVEN = "proven"  # a restore of it was found right


@dataclass(frozen=True)
class Wanted:
    """The gate's settings."""

    max_age: timedelta
    source: str | None
    depth: Depth


@dataclass(frozen=True)
class Found:
    """What the gate says of one source, and the backup that made it say so."""

    source: Source
    verdict: Verdict
    reason: str
    backup: Backup | None = None

    def as_json(self) -> dict[str, object]:
        backup = self.backup
        return {
            "source": self.source.slug,
            "verdict": self.verdict.value,
            "reason": self.reason,
            "backup": str(backup.pk) if backup else None,
            "completed_at": _moment(backup.completed_at) if backup else None,
            "verification": backup.verification_status if backup else None,
            "proven_at": _moment(backup.proven_at) if backup else None,
        }


def _moment(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None


class FreshBackup:
    """Open when every backup source of the services, and of what they stand on, has a fresh verified backup."""

    name: ClassVar[str] = "fresh_backup"
    label = "Fresh verified backup"
    settings_schema: Mapping[str, object] = {
        "type": "object",
        "properties": {
            "max_age_seconds": {
                "type": "integer",
                "minimum": 60,
                "maximum": 365 * DAY,
                "default": DAY,
                "title": "Not older than, in seconds",
            },
            "source": {"type": "string", "minLength": 1, "maxLength": 80, "title": "Only this backup source"},
            "verification": {
                "type": "string",
                "enum": [depth.value for depth in Depth],
                "default": Depth.PASSED.value,
                "title": "Looked at how well: its files read, or proven by a restore",
            },
        },
        "additionalProperties": False,
    }

    def ask(self, question: Question) -> Answer:
        """The answer now. With `prepare` it asks for a full backup of each source without one, once, and waits."""
        try:
            wanted = _wanted(driver_settings.check(dict(question.settings), self.settings_schema))
        except driver_settings.BadSettings as exc:
            return Answer(Verdict.CLOSED, f"The gate's settings do not fit: {exc}"[:LONGEST_REASON])
        sources = _sources(wanted, question.services)
        if not sources:
            return Answer(Verdict.CLOSED, _nothing_to_look_at(wanted, question.services))
        return _together([_ask_of(source, wanted, question) for source in sources])


def _wanted(settings: Mapping[str, object]) -> Wanted:
    seconds, source = settings.get("max_age_seconds", DAY), settings.get("source")
    assert isinstance(seconds, int)
    return Wanted(
        max_age=timedelta(seconds=seconds),
        source=str(source) if source else None,
        depth=Depth(str(settings.get("verification", Depth.PASSED.value))),
    )


def _sources(wanted: Wanted, services: Sequence[str]) -> list[Source]:
    if wanted.source is None:
        return selectors.sources_behind(services)
    return list(Source.objects.select_related("policy").filter(slug=wanted.source))


def _nothing_to_look_at(wanted: Wanted, services: Sequence[str]) -> str:
    if wanted.source is not None:
        return f"There is no backup source {wanted.source!r}; name another one in the gate's settings"
    shown = ", ".join(services[:10]) + (f" and {len(services) - 10} more" if len(services) > 10 else "")
    return (
        f"No backup source belongs to {shown or 'these services'} or to what they depend on; "
        "name one in the gate's settings"
    )


def _together(found: Sequence[Found]) -> Answer:
    """One answer for all sources: closed while one is closed, else preparing while one is."""
    facts = {"sources": [one.as_json() for one in found]}
    for verdict in (Verdict.CLOSED, Verdict.PREPARING, Verdict.OPEN):
        reasons = [one.reason for one in found if one.verdict is verdict]
        if reasons:
            return Answer(verdict, "; ".join(reasons)[:LONGEST_REASON], facts)
    raise AssertionError("a verdict that nobody knows")


def _ask_of(source: Source, wanted: Wanted, question: Question) -> Found:
    found = _look(source, wanted, at=question.at)
    if found.verdict is Verdict.OPEN or not question.prepare:
        return found
    with transaction.atomic():
        # Two askers of one moment take turns: the second finds what the first asked for.
        Source.objects.select_for_update(of=("self",)).get(pk=source.pk)
        return _prepare(source, wanted, question, lack=found)


def _look(source: Source, wanted: Wanted, *, at: datetime) -> Found:
    """Open with the newest backup that does, or closed with what the newest one lacks."""
    stored = selectors.for_lists().filter(source=source, status=Status.SUCCEEDED.value)
    fresh = stored.filter(completed_at__gte=at - wanted.max_age).order_by("-completed_at", "-pk")
    looked_at = (
        fresh.filter(proven_at__isnull=False).exclude(verification_status=VerificationStatus.FAILED.value)
        if wanted.depth is Depth.PROVEN
        else fresh.filter(verification_status=VerificationStatus.PASSED.value)
    )
    for backup in looked_at[:BACKUPS_TO_TRY]:
        if selectors.broken_link(selectors.chain(backup)) is None:
            return _open(source, backup, wanted, at=at)
    newest = fresh.first() or stored.order_by("-completed_at", "-pk").first()
    return Found(source, Verdict.CLOSED, _lack(source, newest, wanted, at=at), newest)


def _open(source: Source, backup: Backup, wanted: Wanted, *, at: datetime) -> Found:
    assert backup.completed_at is not None
    how = "is proven by a restore" if wanted.depth is Depth.PROVEN else "passed its verification"
    words = f"Backup {backup.pk} of {source.slug}, completed {ago_words(backup.completed_at, now=at)}, {how}"
    return Found(source, Verdict.OPEN, words, backup)


def _lack(source: Source, newest: Backup | None, wanted: Wanted, *, at: datetime) -> str:
    """What keeps the newest backup of a source from being enough, in words."""
    if newest is None or newest.completed_at is None:
        return f"{source.slug} has no stored backup"
    name, age = f"Backup {newest.pk} of {source.slug}", at - newest.completed_at
    if age > wanted.max_age:
        return f"{name}, its newest, is {span_words(age)} old; {span_words(wanted.max_age)} is the most"
    return f"{name}, completed {ago_words(newest.completed_at, now=at)}, {_fault(newest, wanted)}"


def _fault(backup: Backup, wanted: Wanted) -> str:
    """What verification says against a stored backup."""
    match VerificationStatus(backup.verification_status):
        case VerificationStatus.FAILED:
            return f"is known bad: {backup.verification_detail}"
        case VerificationStatus.COULD_NOT:
            return f"could not be verified: {backup.verification_detail}"
        case VerificationStatus.PENDING | VerificationStatus.RUNNING if not backup.proven_at:
            return "is not verified yet"
    if wanted.depth is Depth.PROVEN and not backup.proven_at:
        return "is not proven by a restore"
    return "stands on one that is bad or gone"


def _prepare(source: Source, wanted: Wanted, question: Question, *, lack: Found) -> Found:
    """Ask for a full backup unless one is under way or was asked for already. The caller holds the source's lock."""
    active = selectors.active_backup(source)
    if active is not None:
        return Found(source, Verdict.PREPARING, f"Backup {active.pk} of {source.slug} is {active.status}", active)
    if lack.backup is not None and _is_looked_at(lack.backup) and _is_fresh(lack.backup, wanted, at=question.at):
        return Found(source, Verdict.PREPARING, lack.reason, lack.backup)
    since = question.since or question.at
    asked = Backup.objects.filter(source=source, requested_at__gte=since, requested_type=BackupType.FULL.value)
    newest = asked.exclude(status=Status.EXPIRED.value).order_by("-pk").first()
    if newest is None:
        return _request(source, question)
    became = _became(source, newest, wanted, at=question.at)
    return became or _request(source, question)


def _is_looked_at(backup: Backup) -> bool:
    return backup.verification_status in selectors.UNDER_WAY_VALUES


def _is_fresh(backup: Backup, wanted: Wanted, *, at: datetime) -> bool:
    return backup.completed_at is not None and at - backup.completed_at <= wanted.max_age


def _became(source: Source, backup: Backup, wanted: Wanted, *, at: datetime) -> Found | None:
    """What became of the backup that was asked for; None when it was right and has only grown too old since."""
    if backup.status == Status.FAILED.value:
        words = f"Backup {backup.pk} of {source.slug} failed: {backup.failure_reason}"
        return Found(source, Verdict.CLOSED, words, backup)
    if _is_looked_at(backup):
        return Found(source, Verdict.PREPARING, f"Backup {backup.pk} of {source.slug} is being verified", backup)
    if _is_fresh(backup, wanted, at=at):
        return Found(source, Verdict.CLOSED, _lack(source, backup, wanted, at=at), backup)
    if _was_looked_at_in_time(backup, wanted):
        return None
    # Another one would be as late: asking again would take full backups for ever.
    words = f"Backup {backup.pk} of {source.slug} was too old when its verification ended: raise max_age_seconds"
    return Found(source, Verdict.CLOSED, words, backup)


def _was_looked_at_in_time(backup: Backup, wanted: Wanted) -> bool:
    first = backup.verifications.filter(requested_at__lte=backup.completed_at)  # not the re-reads of later days
    ended = first.aggregate(last=Max("completed_at"))["last"]
    return ended is None or backup.completed_at is None or ended - backup.completed_at <= wanted.max_age


def _request(source: Source, question: Question) -> Found:
    by = Actor.system(f"{FreshBackup.name} for {question.about}, asked by {question.asked_by}"[:LONGEST_NAME])
    try:
        backup = requests.request_backup(source=source, backup_type=BackupType.FULL, by=by, at=question.at)
    except driver_settings.BadSettings as exc:
        return Found(source, Verdict.CLOSED, f"No backup of {source.slug} could be asked for: {exc}")
    return Found(source, Verdict.PREPARING, f"Backup {backup.pk} of {source.slug} is {backup.status}", backup)
