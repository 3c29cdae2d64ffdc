"""Telling what is due: one message per project, however many issues it is about, at a pace that grows calmer."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import F, OuterRef, QuerySet, Subquery

from catalogue.rules import State
from errors import announcing
from errors.announcing import News, Stream
from errors.models import Announcement, Issue, Project
from errors.rules import Severity, Status
from errors.services import wording
from errors.services.wording import Item
from notifications.audience import Audience
from notifications.services import messages
from sysops.kernel.clock import Clock

MOST = 2_000  # issues in one message; those beyond come with the next one
_ALONG = announcing.LONGEST_GAP / 2
# A missed deadline says how often its issue happened, too: that it goes on is not said again right after.
_ORDER = (Stream.BREACHED, Stream.ISSUE, Stream.NEAR)
_KINDS = {Stream.NEAR: "errors.sla_near", Stream.BREACHED: "errors.sla_breached"}


def tell_due(*, now: Clock) -> int:
    """Post the messages whose turn it is; how many. Any number of these at once post each of them once."""
    posted = 0
    for stream in _ORDER:
        due = Announcement.objects.filter(next_at__lte=now(), issue__isnull=False, key__startswith=f"{stream}:")
        for project in sorted(set(due.order_by().values_list("project_id", flat=True).distinct())):
            with transaction.atomic():
                posted += _tell(project, stream, at=now())
    return posted


def _tell(project_id: int, stream: Stream, *, at: datetime) -> bool:
    found = Project.objects.select_related("service__owner_team").filter(deleted_at=None)
    project = found.filter(pk=project_id).first()
    pace = _pace(project, stream, at=at) if project else None
    if project is None or pace is None:
        return False
    rows = _still_true(_untold(project, stream, at=at), stream)
    # What was held back is told, as far as it is still true, when the maintenance is over.
    if project.service and project.service.state == State.MAINTENANCE.value:
        return False
    due = [row for row in rows if row.next_at and row.next_at <= at]
    if not due or not _is_due(pace, due, at=at):
        return False
    told = [row for row in rows if row.next_at and announcing.goes_along(row.next_at, row.times_told, at=at)]
    _post(project, stream, [_item(row, stream) for row in told], at=at)
    _note(pace, told, stream, at=at)
    return True


def _pace(project: Project, stream: Stream, *, at: datetime) -> Announcement | None:
    """The row that keeps the project's pace, ours; None when somebody else is telling just now."""
    key = announcing.pace_key(stream, project.pk)
    Announcement.objects.bulk_create(
        [Announcement(key=key, project=project, episode_at=at, last_at=at)], ignore_conflicts=True
    )
    return Announcement.objects.select_for_update(skip_locked=True).filter(key=key).first()


def _untold(project: Project, stream: Stream, *, at: datetime) -> list[Announcement]:
    """What is due, and what might go along; the due first."""
    found: QuerySet[Announcement] = Announcement.objects.filter(
        project=project, issue__isnull=False, key__startswith=f"{stream}:", next_at__lte=at + _ALONG
    )
    with_issues = found.select_related("issue__assignee").defer("issue__search").order_by("next_at", "pk")
    return list(with_issues.select_for_update(of=("self",), skip_locked=True)[:MOST])


def _still_true(rows: Sequence[Announcement], stream: Stream) -> list[Announcement]:
    """Those of an issue that still waits for somebody; the others are forgotten."""
    kept: list[Announcement] = []
    over: list[Announcement] = []
    for row in rows:
        issue = row.issue
        waits = issue is not None and issue.status == Status.UNRESOLVED.value
        if issue is not None and stream is not Stream.ISSUE:
            # What was held back meanwhile may have got another deadline, or a clock of its own.
            missed = issue.breached_at is not None
            true = missed if stream is Stream.BREACHED else issue.near_told_at is not None and not missed
            waits = waits and issue.responded_at is None and true
        (kept if waits else over).append(row)
    _forget(over, stream)
    return kept


def _forget(rows: Sequence[Announcement], stream: Stream) -> None:
    found = Announcement.objects.filter(pk__in=[row.pk for row in rows])
    if rows and stream is Stream.ISSUE:
        found.update(next_at=None)
    elif rows:
        found.delete()


def _is_due(pace: Announcement, due: Sequence[Announcement], *, at: datetime) -> bool:
    if announcing.is_over(pace.told_at, pace.times_told, at=at):
        pace.episode_at, pace.times_told, pace.told_at = at, 0, None
    news = announcing.worst(Severity(row.issue.severity) for row in due if row.issue and not row.times_told)
    turn = announcing.project_due(pace.told_at, pace.times_told, worst_news=news)
    return turn is None or turn <= at


def _item(row: Announcement, stream: Stream) -> Item:
    assert row.issue is not None
    news = News(row.data.get("news", News.GROWING.value))
    return Item(row.issue, news, since=max(0, row.issue.event_count - row.told_count))


def _post(project: Project, stream: Stream, items: Sequence[Item], *, at: datetime) -> None:
    worst = announcing.worst(Severity(item.issue.severity) for item in items)
    assert worst is not None
    alone = items[0] if len(items) == 1 else None
    kind = _KINDS.get(stream) or ("errors.issue" if alone else "errors.new_issues")
    context = wording.of_many(items, project)
    if alone:
        context = {**context, **wording.of_one(alone, project)}
    messages.post(
        key=f"errors.{announcing.pace_key(stream, project.pk)}:{at:%Y%m%dT%H%M%S%f}",
        kind=kind,
        level=announcing.level_of(worst),
        context=context,
        audience=_audience(project, stream, [item.issue for item in items], worst),
        at=at,
        thread=f"errors.issue:{alone.issue.pk}" if alone else f"errors.project:{project.pk}",
        expires_at=_last_deadline(items) if stream is Stream.NEAR else None,
    )


def _last_deadline(items: Sequence[Item]) -> datetime | None:
    """When none of the deadlines is near any more: all have passed."""
    return max((item.issue.respond_by for item in items if item.issue.respond_by), default=None)


def _audience(project: Project, stream: Stream, issues: Sequence[Issue], worst: Severity) -> Audience:
    """A deadline that is near concerns who has it and who is on call, a missed one the whole team and its lead."""
    people = {issue.assignee_id for issue in issues if issue.assignee_id is not None}
    team = project.service.owner_team if project.service else None
    if team is None:
        return Audience(people=tuple(sorted(people)), operators=not people or stream is Stream.BREACHED)
    if stream is Stream.BREACHED and team.lead_id is not None:
        people.add(team.lead_id)
    on_call = stream is Stream.NEAR or worst is Severity.CRITICAL
    return Audience(
        people=tuple(sorted(people)),
        teams=() if stream is Stream.NEAR else (team.pk,),
        on_call_of=(team.pk,) if on_call else (),
    )


def _note(pace: Announcement, told: Sequence[Announcement], stream: Stream, *, at: datetime) -> None:
    pace.told_at, pace.last_at, pace.next_at = at, at, None
    pace.times_told += 1
    pace.told_count += len(told)
    pace.save(update_fields=["episode_at", "told_at", "times_told", "told_count", "last_at", "next_at"])
    issues = [row.issue_id for row in told]
    if stream is not Stream.ISSUE:
        Announcement.objects.filter(pk__in=[row.pk for row in told]).delete()
    if stream is not Stream.NEAR:
        keys = [announcing.key(Stream.ISSUE, pk) for pk in issues if pk is not None]
        # Of those that a batch holds there is more to tell than this; and to wait for it, ours held, could be for ever.
        ours = Announcement.objects.filter(key__in=keys).select_for_update(skip_locked=True)
        Announcement.objects.filter(pk__in=list(ours.values_list("pk", flat=True))).update(
            told_at=at,
            times_told=F("times_told") + 1,
            told_count=Subquery(Issue.objects.filter(pk=OuterRef("issue_id")).values("event_count")[:1]),
            next_at=None,
            data={},
        )
