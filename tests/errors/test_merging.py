"""Issues made one and split again: counts made anew, nothing lost on the way."""

import threading
from datetime import datetime, timedelta

import pytest
from django.db import connection, transaction

from alerting import services as alerting
from alerting.models import Alert
from errors import selectors
from errors.models import Account, ActivityEntry, Event, Grouping, Issue
from errors.rules import Status
from errors.services import alarms, issues, merging, policy, telling
from notifications.models import Message
from notifications.rules import Level
from sysops.access.models import AuditEntry
from tests.errors.support import BY, DAY, HOUR, MINUTE, NOW, event, issue, project, published, report, stored_event
from tests.errors.support import grouping as more

pytestmark = pytest.mark.django_db

LATER = NOW + 2 * DAY


def met(row: Issue, *accounts: int) -> Issue:
    """The issue, met by these accounts, counted as the digest does."""
    Account.objects.bulk_create([Account(grouping=row.groupings.get(), hash=each) for each in accounts])
    Issue.objects.filter(pk=row.pk).update(affected_accounts=len(accounts))
    row.refresh_from_db()
    return row


def fresh(row: Issue) -> Issue:
    return Issue.objects.get(pk=row.pk)


def counted(row: Issue) -> tuple[int, int, datetime, datetime]:
    kept = fresh(row)
    return kept.event_count, kept.affected_accounts, kept.first_seen, kept.last_seen


def test_merged_counts_are_those_of_all_groupings_and_an_account_counts_once() -> None:
    home = project()
    one = met(issue(home, events=3), 1, 2)
    other = met(issue(home, "KeyError", events=2, at=NOW + HOUR), 2, 3)

    merging.merge(one, [other], by=BY, at=LATER)

    assert counted(one) == (5, 3, NOW, NOW + HOUR)
    assert one.groupings.count() == 2
    assert not Issue.objects.filter(pk=other.pk).exists()


def test_a_merged_issue_is_called_what_its_latest_event_says_and_its_first_release_is_the_oldest() -> None:
    home = project()
    old = issue(home, "ValueError", "old", first_release="1.0", last_release="1.1", environment="staging")
    new = issue(home, "KeyError", "new", at=NOW + HOUR, events=0, first_release="2.0")
    stored_event(new.groupings.get(), at=NOW + HOUR, release="2.1", environment="prod", level="fatal")

    row = merging.merge(old, [new], by=BY, at=LATER)

    row.refresh_from_db()
    assert (row.error_type, row.error_message) == ("KeyError", "new")
    assert (row.first_release, row.last_release, row.environment, row.level) == ("1.0", "2.1", "prod", "fatal")
    assert row.latest_received_at == NOW + HOUR


def test_the_history_of_merged_issues_goes_on_in_the_one_that_stays() -> None:
    home = project()
    one, other = issue(home), issue(home, "KeyError")
    issues.comment(other, text="It is the card reader", by=BY, at=NOW)

    merging.merge(one, [other], by=BY, at=LATER)

    assert list(ActivityEntry.objects.filter(issue=one).values_list("kind", flat=True)) == ["merged", "comment"]
    assert published(one)[-1] == "merged"
    assert AuditEntry.objects.get(action="errors.issue.merged").after == {"issues": [other.pk]}


def test_an_issue_that_was_merged_away_is_found_in_the_one_it_is_part_of() -> None:
    home = project()
    first, second, third = issue(home), issue(home), issue(home)

    merging.merge(second, [first], by=BY, at=LATER)
    merging.merge(third, [second], by=BY, at=LATER)

    assert merging.merged_into(first.pk) == third.pk
    assert merging.merged_into(second.pk) == third.pk
    assert merging.merged_into(third.pk) is None


def test_an_issue_that_was_split_off_again_is_found_where_it_is_now() -> None:
    home = project()
    target, gone, other = issue(home), issue(home), issue(home)
    moved = gone.groupings.get()
    merging.merge(target, [gone], by=BY, at=LATER)

    new = merging.unmerge(moved, by=BY, at=LATER)
    assert merging.merged_into(gone.pk) == new.pk

    merging.merge(other, [new], by=BY, at=LATER)
    assert merging.merged_into(gone.pk) == merging.merged_into(new.pk) == other.pk


def test_what_another_issue_was_split_into_says_nothing_of_one_that_stayed() -> None:
    home = project()
    target, first, second = issue(home), issue(home), issue(home)
    moved = second.groupings.get()
    merging.merge(target, [first, second], by=BY, at=LATER)

    new = merging.unmerge(moved, by=BY, at=LATER)

    assert (merging.merged_into(first.pk), merging.merged_into(second.pk)) == (target.pk, new.pk)


def test_an_issue_of_which_a_part_was_split_off_is_found_where_most_of_its_events_are() -> None:
    home = project()
    target, gone = issue(home, events=9), issue(home, events=2)
    part = more(gone, events=3)
    merging.merge(target, [gone], by=BY, at=LATER)

    new = merging.unmerge(part, by=BY, at=LATER)
    assert merging.merged_into(gone.pk) == new.pk

    Grouping.objects.filter(pk=part.pk).update(event_count=1)
    assert merging.merged_into(gone.pk) == target.pk


def test_an_issue_whose_project_is_gone_is_nowhere() -> None:
    home = project()
    target, gone = issue(home), issue(home)
    merging.merge(target, [gone], by=BY, at=LATER)

    Issue.objects.filter(project=home).delete()

    assert merging.merged_into(gone.pk) is None


def test_the_alert_of_an_issue_that_was_merged_away_is_over() -> None:
    home = project()
    one, other = issue(home), issue(home)
    alerting.fire(key=alarms.issue_key(other.pk), level=Level.CRITICAL, title="Look", at=NOW)

    merging.merge(one, [other], by=BY, at=LATER)

    assert Alert.objects.get(key=alarms.issue_key(other.pk)).resolved_at == LATER


@pytest.mark.parametrize("restricted", [False, True])
def test_the_alert_of_an_issue_that_was_merged_away_says_where_it_lives_on(restricted: bool) -> None:
    home = project(restricted=restricted)
    one = issue(home, "LookupError", "no refund", severity="critical", at=NOW + HOUR)
    other = issue(home, severity="critical")
    telling.tell_worse(other, at=NOW)

    merging.merge(one, [other], by=BY, at=LATER)

    message = Message.objects.get(kind="alert.resolved")
    name = "" if restricted else ": LookupError: no refund"
    assert message.context["how"] == f"Part of issue {one.pk} now, which is still open{name}. Merged by ada."
    assert "cknowledge" not in message.context["detail"]


def test_the_alert_of_an_issue_that_was_merged_into_a_closed_one_says_so() -> None:
    home = project()
    one = issues.resolve(issue(home), by=BY, at=NOW)
    other = issue(home, status="resolved")
    alerting.fire(key=alarms.issue_key(other.pk), level=Level.CRITICAL, title="Look", at=NOW)

    merging.merge(one, [other], by=BY, at=LATER)

    assert Message.objects.get(kind="alert.resolved").context["how"] == (
        f"Merged into issue {one.pk}, which is resolved, by ada."
    )


def test_ignored_until_so_many_more_stays_so_many_more() -> None:
    home = project()
    one = issues.ignore(met(issue(home, events=2), 1), by=BY, at=NOW, more_events=10, more_accounts=3)
    other = issues.ignore(met(issue(home, events=50), 2, 3), by=BY, at=NOW)

    row = merging.merge(one, [other], by=BY, at=LATER)

    assert (row.event_count, row.ignored_until_events) == (52, 62)
    assert (row.affected_accounts, row.ignored_until_accounts) == (3, 6)


def test_issues_of_two_projects_stay_two() -> None:
    one, other = issue(), issue()

    with pytest.raises(merging.CannotMerge, match="different projects"):
        merging.merge(one, [other], by=BY, at=LATER)
    assert Issue.objects.count() == 2


@pytest.mark.parametrize("status", [Status.RESOLVED, Status.IGNORED])
def test_open_issues_do_not_vanish_into_one_that_is_not(status: Status) -> None:
    home = project()
    one, other = issue(home, status=status.value), issue(home)

    with pytest.raises(merging.CannotMerge, match="reopen it first"):
        merging.merge(one, [other], by=BY, at=LATER)


def test_an_issue_cannot_be_merged_with_itself_or_with_one_that_is_gone() -> None:
    home = project()
    one, other = issue(home), issue(home)

    with pytest.raises(merging.CannotMerge, match="at least one other"):
        merging.merge(one, [one], by=BY, at=LATER)
    Issue.objects.filter(pk=other.pk).delete()
    with pytest.raises(issues.IssueGone):
        merging.merge(one, [other], by=BY, at=LATER)


def test_split_again_both_are_as_they_were_before() -> None:
    home = project()
    one = met(issue(home, "ValueError", "one", events=3, first_release="1.0"), 1, 2)
    other = met(issue(home, "KeyError", "other", events=2, at=NOW + HOUR, first_release="2.0"), 2, 3)
    before = counted(one), counted(other)
    moved = other.groupings.get()
    merging.merge(one, [other], by=BY, at=LATER)

    new = merging.unmerge(moved, by=BY, at=LATER)

    assert (counted(one), counted(new)) == before
    assert (fresh(one).error_message, fresh(new).error_message) == ("one", "other")
    assert (fresh(one).error_type, fresh(new).error_type) == ("ValueError", "KeyError")
    assert fresh(one).first_release == "1.0"
    assert Event.objects.filter(grouping__issue=new).count() == 2


def test_what_is_split_off_is_unresolved_and_its_clock_goes_on() -> None:
    policy.ensure_defaults()
    row = issue(assignee=None, near_at=NOW + 3 * HOUR, respond_by=NOW + 4 * HOUR)
    part = more(row, events=1, at=NOW + HOUR)
    issues.resolve(row, by=BY, at=NOW + HOUR)

    new = merging.unmerge(part, by=BY, at=LATER)

    assert (new.status, new.clock_started_at) == ("unresolved", NOW)
    assert (new.responded_at, new.responded_by, new.respond_by) == (NOW + HOUR, "ada", NOW + 4 * HOUR)
    assert fresh(row).status == "resolved"
    entry = ActivityEntry.objects.get(issue=new, kind="unmerged")
    assert entry.data["from_issue"] == row.pk
    assert published(new) == ["unmerged"]


def test_a_grouping_without_stored_events_can_be_split_off_too() -> None:
    row = issue()
    part = more(row, events=0)
    Grouping.objects.filter(pk=part.pk).update(event_count=40)

    new = merging.unmerge(part, by=BY, at=LATER)

    new.refresh_from_db()
    assert (new.event_count, new.latest_event_id) == (40, None)
    assert new.error_message == part.label


def test_the_only_grouping_of_an_issue_stays() -> None:
    row = issue()

    with pytest.raises(merging.CannotMerge, match="only grouping"):
        merging.unmerge(row.groupings.get(), by=BY, at=LATER)


def test_a_grouping_that_is_gone_says_so() -> None:
    row = issue()
    part = more(row)
    Grouping.objects.filter(pk=part.pk).delete()

    with pytest.raises(issues.IssueGone):
        merging.unmerge(part, by=BY, at=LATER)


@pytest.mark.django_db(transaction=True)
def test_a_merge_waits_for_the_batch_that_has_read_which_grouping_belongs_where() -> None:
    home = project()
    one, other = issue(home), issue(home)
    done = threading.Event()

    def merge() -> None:
        try:
            merging.merge(one, [other], by=BY, at=LATER)
            done.set()
        finally:
            connection.close()

    thread = threading.Thread(target=merge)
    with transaction.atomic():
        merging.keep_groupings()
        thread.start()
        assert not done.wait(0.5)
        Issue.objects.filter(pk=other.pk).update(event_count=7)
        Grouping.objects.filter(issue=other).update(event_count=7)
    thread.join(10)

    assert done.is_set()
    assert fresh(one).event_count == 8


def test_the_latest_event_of_what_stays_is_its_own() -> None:
    row = issue(message="first", events=1)
    part = more(row, events=0, at=NOW + MINUTE)
    stored_event(part, at=NOW + HOUR, payload=event("KeyError", "second", at=NOW + HOUR))
    Grouping.objects.filter(pk=part.pk).update(event_count=1, last_seen=NOW + HOUR)

    new = merging.unmerge(part, by=BY, at=LATER + timedelta(seconds=1))

    kept = fresh(row)
    assert (kept.error_message, kept.latest_received_at, kept.last_seen) == ("first", NOW, NOW)
    assert (fresh(new).error_message, fresh(new).latest_received_at) == ("second", NOW + HOUR)


def test_what_stays_without_a_stored_event_does_not_show_the_one_that_was_split_off() -> None:
    home = project()
    row = issue(home, message="first", events=0)
    Grouping.objects.filter(issue=row).update(event_count=3)
    part = more(row, events=1, at=NOW + HOUR)

    new = merging.unmerge(part, by=BY, at=LATER)

    assert selectors.stack_traces([fresh(row)])[row.pk] is None
    assert selectors.stack_traces([fresh(new)])[new.pk] is not None


def test_what_a_merged_grouping_reports_afterwards_belongs_to_the_issue_it_is_part_of() -> None:
    home = project()
    one, other = report(home, "ValueError", "one"), report(home, "KeyError", "other", frames=[])

    merging.merge(one, [other], by=BY, at=NOW + MINUTE)
    again = report(home, "KeyError", "other", frames=[], at=NOW + HOUR)

    assert again == one
    assert (fresh(one).event_count, Issue.objects.count()) == (3, 1)


def test_split_off_an_issue_is_called_what_its_own_events_were_called() -> None:
    home = project()
    one, other = report(home, "ValueError", "one"), report(home, "KeyError", "other", frames=[], at=NOW + MINUTE)
    moved = other.groupings.get()
    before = [(row.error_type, row.error_message, row.culprit, row.platform, row.level) for row in (one, other)]
    merging.merge(one, [other], by=BY, at=NOW + HOUR)

    new = merging.unmerge(moved, by=BY, at=NOW + HOUR)

    after = [(row.error_type, row.error_message, row.culprit, row.platform, row.level) for row in (fresh(one), new)]
    assert after == before


def test_a_merge_keeps_the_worst_severity_that_the_rules_had_found() -> None:
    policy.ensure_defaults()
    home = project()
    one = issue(home, severity="medium")
    other = issue(home, "KeyError", severity="critical", severity_because="The application reports it as fatal")

    row = merging.merge(one, [other], by=BY, at=LATER)

    assert (fresh(row).severity, fresh(row).severity_because) == ("critical", "The application reports it as fatal")
    assert (fresh(row).clock_started_at, fresh(row).respond_by) == (NOW, LATER), "critical from the merge on"
    assert Alert.objects.get(key=alarms.issue_key(row.pk), resolved_at=None).level == "critical"


def test_a_merge_does_not_make_an_open_issue_less_severe() -> None:
    policy.ensure_defaults()
    home = project()
    one = issue(home, severity="high", severity_because="Several accounts meet it")

    row = merging.merge(one, [issue(home, "KeyError")], by=BY, at=LATER)

    assert fresh(row).severity == "high"


def test_a_merge_in_which_no_rule_holds_makes_nothing_worse() -> None:
    policy.ensure_defaults()
    home = project()
    one, other = (issue(home, severity="low", severity_because="Minor") for _ in range(2))

    row = merging.merge(one, [other], by=BY, at=LATER)

    assert (fresh(row).severity, fresh(row).severity_because) == ("low", "Minor")


def test_what_nobody_responded_to_in_time_is_late_also_when_it_is_split_off() -> None:
    policy.ensure_defaults()
    row = issue(near_at=NOW + 3 * HOUR, respond_by=NOW + 4 * HOUR, breached_at=NOW + 4 * HOUR)

    new = merging.unmerge(more(row, events=1), by=BY, at=LATER)

    assert (new.breached_at, new.responded_at) == (NOW + 4 * HOUR, None)


def test_splitting_does_not_make_what_is_left_less_severe() -> None:
    policy.ensure_defaults()
    one = issue(severity="critical")
    other = more(one, events=1, at=NOW + MINUTE)

    merging.unmerge(other, by=BY, at=LATER)

    assert fresh(one).severity == "critical"


def test_what_a_person_said_of_the_issue_that_stays_counts() -> None:
    policy.ensure_defaults()
    home = project()
    one = issue(home, severity="low", severity_source="manual")

    row = merging.merge(one, [issue(home, "KeyError", severity="critical")], by=BY, at=LATER)

    assert fresh(row).severity == "low"
