"""Issues that are one, made one; and a grouping split off again. Counts are made anew from the groupings.

Which grouping belongs to which issue is read by every batch of the digest. `keep_groupings` holds that still for as
long as a batch takes; a merge waits for it, and the next batch waits for the merge.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime

from django.db import transaction
from django.db.models import Max, Min, QuerySet, Sum

from alerting.rules import Ending
from errors.headings import heading
from errors.models import ActivityEntry, Event, Grouping, Issue
from errors.rules import SEVERITIES, Activity, Severity, SeveritySource, Status, worse
from errors.selectors import events_of, payload_of
from errors.services import clocks, history, holding, telling, wording
from errors.services.counting import accounts_of
from errors.services.issues import IssueGone, nobody_must_look, tell, write
from errors.services.policy import judge
from sysops.access.actors import Actor

keep_groupings = holding.keep_groupings
MOST = 100
OPEN = (Status.UNRESOLVED.value, Status.ACKNOWLEDGED.value)


class CannotMerge(Exception):
    """These issues cannot be made one, or this grouping not split off; the message says why."""


def merge(target: Issue, others: Collection[Issue], *, by: Actor, at: datetime) -> Issue:
    """`target` with all that the others had: groupings, events, history. The others are gone.

    Raises CannotMerge, IssueGone.
    """
    gone = sorted({issue.pk for issue in others} - {target.pk})
    if not gone:
        raise CannotMerge("Name at least one other issue.")
    if len(gone) > MOST:
        raise CannotMerge(f"At most {MOST} issues can be merged at once.")
    with transaction.atomic():
        holding.hold_groupings()
        rows = _locked([target.pk, *gone])
        row, rest = rows[target.pk], [rows[pk] for pk in gone]
        _refuse(row, rest)
        groupings = _groupings_of(gone)
        Grouping.objects.filter(issue__in=gone).update(issue=row)
        ActivityEntry.objects.filter(issue__in=gone).update(issue=row)
        _recount(row, known=[row, *rest])
        because = wording.part_of(row, row.project, by=by.name)
        ending = Ending.PART_OF_ANOTHER if row.status in OPEN else Ending.TAKEN_CARE_OF
        for other in rest:
            nobody_must_look(other, because=because, ending=ending, at=at)
        titles = [str(other)[:200] for other in rest]
        Issue.objects.filter(pk__in=gone).delete()
        data = {"issues": gone, "titles": titles, "groupings": groupings}
        history.note(row, Activity.MERGED, by=by.name, at=at, data=data)
        _judge_again(row, among=[row, *rest], at=at)
        tell("merged", row, before=None, after={"issues": gone}, by=by, at=at)
    return row


def unmerge(grouping: Grouping, *, by: Actor, at: datetime) -> Issue:
    """The issue that this grouping is from now on, unresolved; the clock goes on. Raises CannotMerge."""
    with transaction.atomic():
        holding.hold_groupings()
        found = Grouping.objects.filter(pk=grouping.pk).first()
        if found is None:
            raise IssueGone("The grouping is not there any more.")
        old = _locked([found.issue_id])[found.issue_id]
        if not old.groupings.exclude(pk=found.pk).exists():
            raise CannotMerge("It is the only grouping of its issue: there is nothing to split it from.")
        new = _split_off(old, found)
        _recount(new, known=[old])
        _recount(old, known=[old])
        data: dict[str, object] = {"grouping": found.pk, "label": found.label}
        history.note(old, Activity.UNMERGED, by=by.name, at=at, data={**data, "issue": new.pk})
        history.note(new, Activity.UNMERGED, by=by.name, at=at, data={**data, "from_issue": old.pk})
        _judge_again(old, among=[old], at=at)
        _judge_again(new, among=[], at=at)
        tell("unmerged", new, before=None, after={"from_issue": old.pk, "grouping": found.pk}, by=by, at=at)
    return new


def merged_into(issue_id: int) -> int | None:
    """Where what was this issue is now, None when it was not merged into another.

    Its groupings may have been split off since, or merged with others: it is where most of its events are.
    """
    merges = ActivityEntry.objects.filter(kind=Activity.MERGED.value, data__issues__contains=[issue_id])
    was: list[int] = merges.order_by("-pk").values_list(f"data__groupings__{issue_id}", flat=True).first() or []
    now = Grouping.objects.filter(pk__in=was).order_by().values("issue").annotate(events=Sum("event_count"))
    return now.order_by("-events", "issue").values_list("issue", flat=True).first()


def _groupings_of(issues: Sequence[int]) -> dict[str, list[int]]:
    """The groupings of each of these issues, by its number as text."""
    found: dict[str, list[int]] = {}
    for issue, grouping in Grouping.objects.filter(issue__in=issues).order_by("pk").values_list("issue", "pk"):
        found.setdefault(str(issue), []).append(grouping)
    return found


def _locked(keys: Sequence[int]) -> dict[int, Issue]:
    """These issues as they are now, ours until the end of the transaction; locked in the order the digest does."""
    found = Issue.objects.select_for_update(of=("self",)).select_related("project", "assignee", "service")
    rows = {row.pk: row for row in found.defer("search").filter(pk__in=keys).order_by("pk")}
    if missing := sorted(set(keys) - set(rows)):
        raise IssueGone(f"Issue {missing[0]} is not there any more: it was merged into another one, or deleted.")
    return rows


def _refuse(row: Issue, rest: Sequence[Issue]) -> None:
    if any(other.project_id != row.project_id for other in rest):
        raise CannotMerge("Issues of different projects cannot be merged.")
    if row.status not in OPEN and any(other.status in OPEN for other in rest):
        raise CannotMerge(f"Issue {row.pk} is {row.status}, and some of the others are open: reopen it first.")


def _split_off(old: Issue, grouping: Grouping) -> Issue:
    new = Issue(
        project=old.project,
        service=old.service,
        error_type=old.error_type,
        error_message=grouping.label,
        platform=old.platform,
        severity=old.severity,
        severity_source=old.severity_source,
        severity_rule_id=old.severity_rule_id,
        severity_because=old.severity_because,
        first_seen=grouping.first_seen,
        last_seen=grouping.last_seen,
        assignee=old.assignee,
        assigned_at=old.assigned_at,
        assigned_because=old.assigned_because,
    )
    for name, value in clocks.continued(old).items():
        setattr(new, name, value)
    new.save()
    Grouping.objects.filter(pk=grouping.pk).update(issue=new)
    return new


def _recount(row: Issue, *, known: Sequence[Issue]) -> None:
    """Make anew what is counted of the issue's groupings and said of its latest event; `known` as they were before."""
    groupings = Grouping.objects.filter(issue=row)
    sums = groupings.aggregate(events=Sum("event_count"), first=Min("first_seen"), last=Max("last_seen"))
    accounts, exact = accounts_of(list(groupings.values_list("pk", flat=True)))
    changes: dict[str, object] = {
        "event_count": sums["events"],
        "affected_accounts": accounts,
        "accounts_exact": exact,
        "first_seen": sums["first"],
        "last_seen": sums["last"],
        "first_release": _first_release(groupings, sums["first"], known),
        **_of_latest(row),
    }
    # "Ignored until 50 more" means 50 more, not those that came along with the merge.
    if row.ignored_until_events is not None:
        changes["ignored_until_events"] = max(0, row.ignored_until_events + sums["events"] - row.event_count)
    if row.ignored_until_accounts is not None:
        changes["ignored_until_accounts"] = max(0, row.ignored_until_accounts + accounts - row.affected_accounts)
    write(row, **changes)


def _of_latest(row: Issue) -> dict[str, object]:
    """What the latest stored event says of the issue; only that there is none when none is kept."""
    event = events_of(row).defer(None).first()  # not by `latest_event_id`: that is what is made anew here
    if event is None:
        return {"latest_event_id": None, "latest_received_at": None}
    found: dict[str, object] = {
        "latest_event_id": event.event_id,
        "latest_received_at": event.received_at,
        "level": event.level,
        "environment": event.environment,
        **({"last_release": event.release} if event.release else {}),
    }
    payload = payload_of(event)
    return {**asdict(heading(payload)), **found} if payload else found


def _first_release(groupings: QuerySet[Grouping], first_seen: datetime, known: Sequence[Issue]) -> str:
    for issue in known:
        if issue.first_seen == first_seen:
            return issue.first_release
    events = Event.objects.filter(grouping__in=groupings.values("pk")).order_by("received_at", "event_id")
    return events.values_list("release", flat=True).first() or ""


def _judge_again(row: Issue, *, among: Sequence[Issue], at: datetime) -> None:
    """Let the rules look at what the issue is now, unless a person has said how bad it is.

    It stays as severe as the worst of those `among` it that were open: they judge by the latest event, and what made
    one of them critical may be an earlier one.
    """
    if row.severity_source == SeveritySource.RULE:
        found = judge(row, at=at)
        rule = found.rule.pk if found.rule else None
        severity, because = found.severity, found.because[:300]
        waiting = [issue for issue in among if issue.status in OPEN]
        worst = min(waiting, key=lambda issue: SEVERITIES.index(Severity(issue.severity)), default=None)
        # That no rule holds makes nothing worse.
        if worst is not None and (rule is None or not worse(severity, Severity(worst.severity))):
            severity, rule, because = Severity(worst.severity), worst.severity_rule_id, worst.severity_because
        was = Severity(row.severity)
        if severity is not was:
            write(row, severity=severity.value, severity_rule_id=rule, severity_because=because)
            write(row, **clocks.moved(row, was=was, at=at))
    telling.tell_worse(row, at=at)
