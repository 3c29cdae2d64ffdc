"""Whom to tell of what, as promises kept in rows: critical issues at once as alerts, the rest when it is its turn.

What is written here is only that something is to be told, and when; `errors.services.bulletins` tells it.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from alerting import services as alerting
from alerting.models import Alert
from alerting.rules import Ending
from catalogue.models import Person
from errors import announcing
from errors.announcing import News, Stream
from errors.models import Announcement, Issue, Project
from errors.rules import Severity, Status
from errors.services import bulk, wording
from errors.services.alarms import issue_key
from notifications.audience import Audience
from notifications.rules import Level
from notifications.services import messages

REST_KEY = "errors.critical:"
TAKEN_CARE_OF = "Somebody has taken care of it, or it is part of another issue now."
DELETED = "Its project was deleted."
_ISSUE_KEY = "errors.issue:"
_OPEN = (Status.UNRESOLVED.value, Status.ACKNOWLEDGED.value)
_DEADLINES = ("errors.sla_near", "errors.sla_breached")
_ASSIGNED = ("errors.assigned",)
_PACE = ("episode_at", "told_at", "times_told", "told_count", "last_at", "next_at", "data")


@dataclass(frozen=True)
class Grown:
    """An issue that grew, the news of it if there are any, and whether the rules find it graver than before."""

    issue: Issue
    project: Project
    news: News | None = None
    graver: bool = False


@dataclass(frozen=True)
class _Rest:
    """What the alert of the critical issues without one of their own says; `issue` when it is only one."""

    title: str
    detail: str
    path: str
    issue: int | None = None


def tell_grown(grown: Sequence[Grown], *, at: datetime) -> None:
    """See that people hear of these issues: in the digest's transaction, the issues locked. One query when there is
    nothing that they do not know or will hear of anyway.
    """
    concerned = [each for each in grown if each.issue.status in _OPEN]
    if not concerned:
        return
    alone = _raise_alerts([each for each in concerned if _is_critical_news(each)], at=at)
    waiting = [each for each in concerned if each.issue.status == Status.UNRESOLVED.value]
    keys = [announcing.key(Stream.ISSUE, each.issue.pk) for each in waiting]
    # Ours, or the message that is being posted of one just now would be forgotten.
    ours = Announcement.objects.filter(key__in=keys).order_by("pk").select_for_update()
    rows = {row.issue_id: row for row in ours}
    made, changed = [], []
    for each in waiting:
        row = rows.get(each.issue.pk)
        if row is None:
            made.append(_promise(each, alone=each.issue.pk in alone, at=at))
        elif _renew(row, each, alone=each.issue.pk in alone, at=at):
            changed.append(row)
    Announcement.objects.bulk_create(made, ignore_conflicts=True)
    bulk.update(changed, *_PACE)


def tell_worse(issue: Issue, *, at: datetime) -> None:
    """Raise the alert of an issue that is critical by what somebody did; in the transaction that made it so."""
    if issue.severity == Severity.CRITICAL.value and issue.status in _OPEN:
        alert = _fire(issue, issue.project, at=at)
        if alert.told_at == at:
            _note_told(issue, at=at)


def tell_assigned(issue: Issue, person: Person, *, by: str, at: datetime) -> None:
    """Tell somebody that an issue is theirs now; in the transaction that made it so."""
    item = wording.Item(issue, News.GROWING)
    messages.post(
        key=f"errors.issue:{issue.pk}:assigned:{person.pk}:{at:%Y%m%dT%H%M%S%f}",
        kind="errors.assigned",
        level=announcing.level_of(Severity(issue.severity)),
        context={**wording.of_one(item, issue.project), "assigned_by": by},
        audience=Audience(people=(person.pk,)),
        at=at,
        thread=_thread(issue.pk),
    )


def take_back(issue: Issue, *, because: str, at: datetime) -> None:
    """Whoever was not reached yet (by night, say) does not read afterwards of what has been taken care of."""
    _expire(issue, ("errors.issue", *_DEADLINES), because, at=at)


def take_back_assigned(issue: Issue, *, because: str, at: datetime) -> None:
    """Whoever was given it, and was not reached yet, does not read afterwards that it is theirs to look at."""
    messages.expire(thread=_thread(issue.pk), kinds=_ASSIGNED, because=because, at=at)


def take_back_deleted(project: Project, issues: Iterable[int], *, at: datetime) -> None:
    """Whoever was not reached yet does not read of a project that is gone. Call it when these issues are deleted:
    what was being told of them meanwhile is there to be seen then.
    """
    threads = [f"errors.project:{project.pk}", *map(_thread, issues)]
    kinds = ("errors.issue", "errors.new_issues", *_DEADLINES, *_ASSIGNED)
    messages.expire_all(threads=threads, kinds=kinds, because=DELETED, at=at)


def responded(issue: Issue, *, by: str, at: datetime) -> None:
    """Nobody reads afterwards that nobody has responded; in the transaction of the response."""
    _expire(issue, _DEADLINES, f"{by} responded.", at=at)


def tell_soon(issues: Iterable[Issue], stream: Stream, *, at: datetime) -> None:
    """Promise to tell of these issues' deadlines with the next message of their projects."""
    rows = [
        Announcement(
            key=announcing.key(stream, issue.pk),
            project_id=issue.project_id,
            issue=issue,
            episode_at=at,
            last_at=at,
            next_at=at,
        )
        for issue in issues
    ]
    Announcement.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["key"], update_fields=["next_at", "last_at"]
    )


def end_rest_alerts(*, at: datetime) -> int:
    """End the alerts "more critical issues" none of whose issues waits any more; how many. Those of which some are
    left say which.
    """
    ended = 0
    rows = Alert.objects.filter(key__startswith=REST_KEY, resolved_at=None).order_by("pk")
    for key, title in list(rows.values_list("key", "title")):
        number = int(key.removeprefix(REST_KEY))
        with transaction.atomic():
            _hold_turns(number)  # a batch that adds to the alert holds it until its issues are there to be seen
            project = Project.objects.select_related("service").filter(pk=number, deleted_at=None).first()
            if project is None:
                ended += alerting.resolve(key=key, detail=DELETED, at=at)
            elif not (waiting := _without_alert(project)).exists():
                ended += alerting.resolve(key=key, detail=TAKEN_CARE_OF, ending=Ending.TAKEN_CARE_OF, at=at)
            elif _rest(waiting, project).title != title:
                _fire_rest(project, at=at)
    return ended


def hide_words(project: Project, *, at: datetime) -> None:
    """The open alerts of a project that has become restricted say its errors' words no more. Nobody is told again.

    Call it with no issue of the project locked but in the order of their keys.
    """
    opened = Alert.objects.filter(resolved_at=None)
    keys = opened.filter(key__startswith=_ISSUE_KEY).values_list("key", flat=True)
    found = [int(key.removeprefix(_ISSUE_KEY)) for key in keys]
    issues = Issue.objects.filter(project=project, pk__in=found).defer("search").order_by("pk")
    for issue in issues.select_for_update(of=("self",)):
        if opened.filter(key=issue_key(issue.pk)).exists():  # whoever ends it holds the issue
            _fire(issue, project, at=at)
    _hold_turns(project.pk)
    if opened.filter(key=f"{REST_KEY}{project.pk}").exists():
        _fire_rest(project, at=at)


def _thread(issue_id: int) -> str:
    return f"errors.issue:{issue_id}"


def _expire(issue: Issue, kinds: Collection[str], because: str, *, at: datetime) -> None:
    # Ours: a message that is being posted of it just now is there to be seen then.
    list(Announcement.objects.filter(issue=issue).order_by("pk").select_for_update().values_list("pk"))
    messages.expire(thread=_thread(issue.pk), kinds=kinds, because=because, at=at)


def _is_critical_news(each: Grown) -> bool:
    return each.issue.severity == Severity.CRITICAL.value and (each.news is not None or each.graver)


def _raise_alerts(found: Sequence[Grown], *, at: datetime) -> set[int]:
    """One alert each for the first few critical issues of a project, one for all others; which have their own."""
    projects: dict[int, list[Grown]] = {}
    alone: set[int] = set()
    for each in found:
        if each.issue.status == Status.UNRESOLVED.value:
            projects.setdefault(each.project.pk, []).append(each)
        else:  # somebody works on it: it is in no message of the project, so that nothing else tells how bad it is now
            _fire(each.issue, each.project, at=at)
    for pk in sorted(projects):
        concerned = projects[pk]
        count = _take_turns(concerned[0].project, len(concerned), at=at)
        for each in concerned[:count]:
            _fire(each.issue, each.project, at=at)
            alone.add(each.issue.pk)
        if concerned[count:]:
            alone |= _fire_rest(concerned[0].project, at=at)
    return alone


def _take_turns(project: Project, wanted: int, *, at: datetime) -> int:
    """How many more of the project's critical issues are alerts of their own in this run of trouble."""
    key = announcing.critical_key(project.pk)
    Announcement.objects.bulk_create(
        [Announcement(key=key, project=project, episode_at=at, last_at=at)], ignore_conflicts=True
    )
    row = _hold_turns(project.pk)
    assert row is not None
    if at - row.episode_at >= announcing.QUIET:
        row.episode_at, row.told_count, row.pending = at, 0, 0
    count = min(wanted, max(0, announcing.SINGLY - row.told_count))
    row.told_count += count
    row.pending += wanted - count
    row.last_at, row.told_at = at, at
    row.save(update_fields=["episode_at", "told_count", "pending", "last_at", "told_at"])
    return count


def _hold_turns(project_id: int) -> Announcement | None:
    """The row that counts a project's alerts of their own, ours until the end of the transaction."""
    key = announcing.critical_key(project_id)
    return Announcement.objects.select_for_update().filter(key=key).first()


def _fire(issue: Issue, project: Project, *, at: datetime) -> Alert:
    return alerting.fire(
        key=issue_key(issue.pk),
        level=Level.CRITICAL,
        title=wording.alert_title(issue, project),
        detail=wording.alert_detail(issue, project),
        service=project.service,
        path=wording.issue_path(issue.pk),
        at=at,
    )


def _fire_rest(project: Project, *, at: datetime) -> set[int]:
    """Say in one alert which critical issues have none of their own; the issue that it tells of as a new one."""
    key = f"{REST_KEY}{project.pk}"
    is_new = not Alert.objects.filter(key=key, resolved_at=None).exists()
    said = _rest(_without_alert(project), project)
    alerting.fire(
        key=key,
        level=Level.CRITICAL,
        title=said.title,
        detail=said.detail,
        service=project.service,
        path=said.path,
        at=at,
    )
    return {said.issue} if is_new and said.issue is not None else set()


def _without_alert(project: Project) -> QuerySet[Issue]:
    """The project's critical issues that wait for somebody and have no alert of their own."""
    opened = Alert.objects.filter(key__startswith=_ISSUE_KEY, resolved_at=None)
    alone = [int(key.removeprefix(_ISSUE_KEY)) for key in opened.values_list("key", flat=True)]
    waiting = Issue.objects.filter(project=project, severity=Severity.CRITICAL.value, status=Status.UNRESOLVED.value)
    return waiting.exclude(pk__in=alone).defer("search").order_by("pk")


def _rest(waiting: QuerySet[Issue], project: Project) -> _Rest:
    listed = list(waiting[: announcing.LISTED])
    if len(listed) == 1:  # told as that issue: its page leads to the steps that the message offers
        issue = listed[0]
        detail = wording.alert_detail(issue, project)
        return _Rest(wording.alert_title(issue, project), detail, wording.issue_path(issue.pk), issue.pk)
    count = len(listed) if len(listed) < announcing.LISTED else waiting.count()
    path = f"{wording.project_path(project)}&severity=critical"
    return _Rest(wording.rest_title(count, project), wording.rest_detail(listed, count, project), path)


def _promise(each: Grown, *, alone: bool, at: datetime) -> Announcement:
    """The first row of an issue: told by its alert already, due now, or (made by people) known to them."""
    told = alone or each.news is None
    return Announcement(
        key=announcing.key(Stream.ISSUE, each.issue.pk),
        project=each.project,
        issue=each.issue,
        episode_at=at,
        told_at=at if told else None,
        times_told=1 if told else 0,
        told_count=each.issue.event_count if told else 0,
        last_at=at,
        next_at=None if told else at,
        data={"news": each.news.value} if each.news else {},
    )


def _note_told(issue: Issue, *, at: datetime) -> None:
    """Its alert has told of it just now: what it does next is that it goes on."""
    row = Announcement.objects.filter(key=announcing.key(Stream.ISSUE, issue.pk))
    row.update(episode_at=at, told_at=at, times_told=1, next_at=None, told_count=issue.event_count, data={})


def _renew(row: Announcement, each: Grown, *, alone: bool, at: datetime) -> bool:
    """Whether there is more to tell than was promised already; then the row says it."""
    if alone:
        row.episode_at, row.told_at, row.times_told, row.next_at = at, at, 1, None
        row.told_count, row.data = each.issue.event_count, {}
    elif each.news:
        row.episode_at, row.times_told, row.next_at, row.data = at, 0, at, {"news": each.news.value}
    elif each.graver:
        if row.data.get("news") != News.NEW.value or row.next_at is None:
            row.data = {"news": News.WORSE.value}
        soon = at if row.told_at is None else max(at, row.told_at + announcing.FIRST_GAP)
        row.next_at = min(soon, row.next_at) if row.next_at else soon
    elif row.next_at is not None:
        return False
    elif announcing.is_over(row.told_at, row.times_told, at=at):
        # Never told of: somebody took care of it before its turn came, and has opened it again.
        news = News.AGAIN if row.told_at else News.REOPENED
        row.episode_at, row.times_told, row.next_at, row.data = at, 0, at, {"news": news.value}
    else:
        assert row.told_at is not None
        row.next_at = announcing.due_again(row.told_at, row.times_told, at=at)
        row.data = {"news": News.GROWING.value}
    row.last_at = at
    return True
