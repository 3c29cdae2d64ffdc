"""What people do about issues: each step with its history, event, audit entry and response."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction

from alerting import services as alerting
from alerting.models import Alert
from catalogue.models import Person
from errors.links import actor_name
from errors.models import ActivityEntry, Issue, Release, SeverityLevel, WrongState
from errors.rules import Severity, Status
from errors.services import alarms, clocks, issues
from notifications.audience import Audience
from notifications.models import Message
from notifications.rules import Level
from notifications.services import messages
from sysops.access.actors import Actor
from sysops.access.models import AuditEntry
from tests.errors.support import BY, HOUR, MINUTE, NOW, issue, project, published

pytestmark = pytest.mark.django_db

LATER = NOW + HOUR
Step = Callable[[Issue], object]

STEPS: dict[str, Step] = {
    "acknowledge": lambda row: issues.acknowledge(row, by=BY, at=LATER),
    "assign": lambda row: issues.assign(row, person(), by=BY, at=LATER),
    "resolve": lambda row: issues.resolve(row, by=BY, at=LATER),
    "ignore": lambda row: issues.ignore(row, by=BY, at=LATER),
    "comment": lambda row: issues.comment(row, text="Looking at it", by=BY, at=LATER),
    "severity": lambda row: issues.set_severity(row, Severity.LOW, by=BY, at=LATER),
}


def told(row: Issue, kind: str) -> None:
    """A message of this kind about the issue, which has the kind as its key."""
    with transaction.atomic():
        messages.post(
            key=kind,
            kind=kind,
            level=Level.WARNING,
            context={},
            audience=Audience(operators=True),
            at=NOW,
            thread=f"errors.issue:{row.pk}",
        )


def person(slug: str = "grace") -> Person:
    return Person.objects.get_or_create(slug=slug, defaults={"name": slug.title()})[0]


def levels(**seconds: int) -> None:
    for severity, within in {"critical": 0, "high": 3600, "medium": 14400, "low": 86400, **seconds}.items():
        SeverityLevel.objects.update_or_create(
            severity=severity, defaults={"meaning": severity, "respond_within_seconds": within, "near_percent": 80}
        )


def history(row: Issue) -> list[str]:
    return list(ActivityEntry.objects.filter(issue=row).order_by("pk").values_list("kind", flat=True))


def audited(row: Issue) -> list[str]:
    return list(
        AuditEntry.objects.filter(subject=f"errors.issue:{row.pk}").order_by("id").values_list("action", flat=True)
    )


@pytest.mark.parametrize("name", STEPS)
def test_every_step_of_a_person_is_the_response_that_stops_the_clock(name: str) -> None:
    row = issue()

    STEPS[name](row)

    row.refresh_from_db()
    assert (row.responded_at, row.responded_by) == (LATER, "ada")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("acknowledge", "acknowledged"),
        ("assign", "assigned"),
        ("resolve", "resolved"),
        ("ignore", "ignored"),
        ("comment", "commented"),
        ("severity", "severity_changed"),
    ],
)
def test_every_step_is_in_the_history_the_events_and_the_audit_log(name: str, kind: str) -> None:
    row = issue()

    STEPS[name](row)

    assert history(row) == [name if name in ("comment", "severity") else kind]
    assert published(row) == [kind]
    assert audited(row) == [f"errors.issue.{kind}"]


def test_only_the_first_response_counts() -> None:
    row = issue()

    issues.acknowledge(row, by=BY, at=LATER)
    issues.resolve(row, by=Actor.user("grace"), at=LATER + HOUR)

    row.refresh_from_db()
    assert (row.responded_at, row.responded_by, row.resolved_by) == (LATER, "ada", "grace")


def test_what_sysops_does_by_itself_is_no_response() -> None:
    row = issue()

    issues.assign(row, person(), by=Actor.system(), at=LATER)

    row.refresh_from_db()
    assert row.assignee == person()
    assert row.responded_at is None


def test_a_response_that_comes_too_late_is_a_breach_though_no_tick_came_by() -> None:
    row = issue(respond_by=NOW + 10 * MINUTE)

    issues.acknowledge(row, by=BY, at=LATER)

    row.refresh_from_db()
    assert row.breached_at == NOW + 10 * MINUTE


def test_a_response_in_time_is_no_breach() -> None:
    row = issue(respond_by=LATER + MINUTE)

    issues.acknowledge(row, by=BY, at=LATER)

    row.refresh_from_db()
    assert row.breached_at is None


def test_of_two_who_acknowledge_the_second_is_told_that_it_was_done() -> None:
    row = issue()
    first, second = Issue.objects.get(pk=row.pk), Issue.objects.get(pk=row.pk)

    issues.acknowledge(first, by=BY, at=LATER)

    with pytest.raises(WrongState, match="acknowledged") as refused:
        issues.acknowledge(second, by=BY, at=LATER)
    assert refused.value.current == "acknowledged"


def test_an_issue_that_is_gone_says_so() -> None:
    row = issue()
    Issue.objects.filter(pk=row.pk).delete()

    with pytest.raises(issues.IssueGone, match="not there any more"):
        issues.resolve(row, by=BY, at=LATER)


def test_resolving_keeps_who_when_and_in_which_release() -> None:
    row = issues.resolve(issue(), by=BY, at=LATER, note="Fixed the card charge", release="shop@1.4.0")

    row.refresh_from_db()
    assert (row.status, row.resolved_at, row.resolved_by) == ("resolved", LATER, "ada")
    assert (row.resolve_note, row.resolved_in_release) == ("Fixed the card charge", "shop@1.4.0")


def test_resolved_in_the_next_release_means_the_one_after_the_newest_that_was_seen() -> None:
    home = project()
    for number, version in enumerate(["shop@1.9.0", "shop@1.10.0", "shop@1.9.1"]):
        Release.objects.create(project=home, version=version, first_seen=NOW + number * MINUTE)

    row = issues.resolve(issue(home), by=BY, at=LATER, in_next_release=True)

    assert (row.resolved_in_release, row.resolved_in_next_release) == ("shop@1.10.0", True)


def test_the_next_release_is_that_of_the_package_which_the_issue_is_of() -> None:
    home = project()
    for number, version in enumerate(["back@4.1", "front@9.0"]):
        Release.objects.create(project=home, version=version, first_seen=NOW + number * MINUTE)

    row = issues.resolve(issue(home, last_release="back@4.0"), by=BY, at=LATER, in_next_release=True)

    assert row.resolved_in_release == "back@4.1"


def test_ignored_for_more_events_and_accounts_counts_from_what_there_is() -> None:
    row = issue(events=3, affected_accounts=2)

    row = issues.ignore(row, by=BY, at=LATER, until=LATER + HOUR, more_events=50, more_accounts=5)

    row.refresh_from_db()
    assert (row.ignored_until, row.ignored_until_events, row.ignored_until_accounts) == (LATER + HOUR, 53, 7)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"until": LATER - MINUTE}, "until"),
        ({"more_events": 0}, "more_events"),
        ({"more_accounts": -1}, "more_accounts"),
    ],
)
def test_ignoring_until_what_cannot_be_names_the_field(values: dict[str, object], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        issues.ignore(issue(), by=BY, at=LATER, **values)  # type: ignore[arg-type]
    assert list(refused.value.message_dict) == [field]


def test_reopening_starts_the_clock_anew_and_forgets_the_resolution() -> None:
    levels()
    row = issues.resolve(issue(severity="high", breached_at=NOW), by=BY, at=LATER, note="done", release="1.0")

    issues.reopen(row, by=BY, at=LATER + HOUR)

    row.refresh_from_db()
    assert (row.status, row.clock_started_at, row.respond_by) == ("unresolved", LATER + HOUR, LATER + 2 * HOUR)
    assert (row.responded_at, row.breached_at, row.resolved_at) == (None, None, None)
    assert (row.resolve_note, row.resolved_in_release) == ("", "")


def test_an_issue_that_is_open_cannot_be_reopened() -> None:
    with pytest.raises(WrongState, match=r"^The issue is unresolved already$"):
        issues.reopen(issue(), by=BY, at=LATER)


def test_what_was_ignored_and_is_acknowledged_is_not_ignored_until_anything() -> None:
    row = issues.ignore(issue(), by=BY, at=LATER, more_events=5)

    row = issues.acknowledge(row, by=BY, at=LATER)

    row.refresh_from_db()
    assert (row.status, row.ignored_until_events, row.ignored_by) == ("acknowledged", None, "")


def test_whoever_gets_an_issue_is_told_once() -> None:
    row = issue()

    issues.assign(row, person(), by=BY, at=LATER)
    issues.assign(row, person(), by=BY, at=LATER + MINUTE)

    assert Message.objects.filter(kind="errors.assigned").count() == 1
    assert history(row) == ["assigned"]


def assigned() -> list[tuple[list[int], str]]:
    """Whom each message that gives an issue to somebody is for, and why it is not true any more."""
    found = Message.objects.filter(kind="errors.assigned").order_by("pk")
    return [(message.audience["people"], message.expired_because) for message in found]


def test_who_lost_an_issue_before_they_read_of_it_does_not_read_that_it_is_theirs() -> None:
    row = issue()
    grace, alan = person(), person("alan")

    issues.assign(row, grace, by=BY, at=LATER)
    issues.assign(row, alan, by=BY, at=LATER + MINUTE)
    assert assigned() == [([grace.pk], "ada gave it to Alan."), ([alan.pk], "")]

    issues.assign(row, None, by=BY, at=LATER + 2 * MINUTE)
    assert assigned()[1] == ([alan.pk], "ada gave it to nobody.")


@pytest.mark.parametrize(
    ("name", "because"),
    [("acknowledge", ""), ("resolve", "Resolved by ada."), ("ignore", "Ignored by ada.")],
)
def test_nobody_is_asked_to_look_at_what_they_were_given_when_somebody_has_taken_care_of_it(
    name: str, because: str
) -> None:
    row = issue()
    issues.assign(row, person(), by=BY, at=LATER)

    STEPS[name](row)

    assert assigned() == [([person().pk], because)]


def test_whoever_takes_an_issue_needs_no_message_that_it_is_theirs() -> None:
    ada = person("ada")
    ada.user = User.objects.create_user("ada")
    ada.save()

    issues.assign(issue(), ada, by=BY, at=LATER)
    issues.assign(issue(), person(), by=Actor.user(actor_name(person())), at=LATER)
    assert assigned() == []

    issues.assign(issue(), ada, by=Actor.user("ben"), at=LATER)
    assert len(assigned()) == 1


@pytest.mark.parametrize("name", STEPS)
def test_that_nobody_has_responded_is_not_read_after_somebody_has(name: str) -> None:
    row = issue()
    for kind in ("errors.issue", "errors.sla_near", "errors.sla_breached"):
        told(row, kind)

    STEPS[name](row)

    untrue = Message.objects.exclude(expired_because="").order_by("pk").values_list("kind", flat=True)
    assert list(untrue)[-2:] == ["errors.sla_near", "errors.sla_breached"]


def test_an_issue_can_be_taken_out_of_anybodys_hands_which_is_no_response() -> None:
    row = issue(assignee=person())

    issues.assign(row, None, by=BY, at=LATER)

    row.refresh_from_db()
    assert (row.assignee, row.assigned_at, row.responded_at) == (None, None, None)


def test_a_worse_severity_set_by_a_person_is_due_from_then_on_and_they_have_responded() -> None:
    levels()
    row = issue(respond_by=NOW + 4 * HOUR, near_at=NOW + 3 * HOUR)

    row = issues.set_severity(row, Severity.HIGH, by=BY, at=NOW + MINUTE)

    row.refresh_from_db()
    assert (row.severity, row.severity_source) == ("high", "manual")
    assert row.respond_by == NOW + MINUTE + HOUR
    assert row.near_at == NOW + MINUTE + 48 * MINUTE
    assert (row.responded_at, row.responded_by, row.breached_at) == (NOW + MINUTE, "ada", None)


@pytest.mark.parametrize("by", [BY, Actor.system()])
def test_what_is_made_critical_hours_later_is_not_missed_at_once(by: Actor) -> None:
    levels()
    row = issue(near_at=NOW + 3 * HOUR, respond_by=NOW + 4 * HOUR)

    row = issues.set_severity(row, Severity.CRITICAL, by=by, at=NOW + 2 * HOUR)

    assert (row.respond_by, row.breached_at) == (NOW + 2 * HOUR, None)
    assert clocks.answered(row, by=BY, at=NOW + 2 * HOUR + 4 * MINUTE).get("breached_at") is None


def test_a_severity_set_too_late_to_be_a_response_in_time_is_a_breach_of_the_deadline_there_was() -> None:
    levels()
    row = issue(near_at=NOW + 3 * HOUR, respond_by=NOW + 4 * HOUR)

    row = issues.set_severity(row, Severity.LOW, by=BY, at=NOW + 5 * HOUR)

    assert row.breached_at == NOW + 4 * HOUR


def test_a_lower_severity_brings_no_deadline_forward() -> None:
    levels()
    row = issue(severity="low", near_at=NOW + 19 * HOUR, respond_by=NOW + 24 * HOUR)
    row = issues.set_severity(row, Severity.CRITICAL, by=Actor.system(), at=NOW + 10 * HOUR)

    row = issues.set_severity(row, Severity.HIGH, by=Actor.system(), at=NOW + 10 * HOUR + MINUTE)

    assert row.respond_by == NOW + 10 * HOUR


def test_a_deadline_that_moves_away_is_told_of_again_when_it_is_near() -> None:
    levels()
    row = issue(severity="high", respond_by=NOW + HOUR, near_at=NOW + 48 * MINUTE, near_told_at=NOW + 48 * MINUTE)

    row = issues.set_severity(row, Severity.LOW, by=BY, at=NOW + 50 * MINUTE)

    assert row.near_told_at is None


def test_a_severity_after_the_response_leaves_the_deadline_that_was_kept() -> None:
    levels()
    row = issues.acknowledge(issue(respond_by=NOW + 4 * HOUR), by=BY, at=NOW + 2 * HOUR)

    row = issues.set_severity(row, Severity.HIGH, by=BY, at=NOW + 3 * HOUR)

    assert row.respond_by == NOW + 4 * HOUR


def test_a_severity_given_back_to_the_rules_is_what_they_say() -> None:
    levels()
    row = issues.set_severity(issue(), Severity.CRITICAL, by=BY, at=LATER)

    row = issues.set_severity(row, None, by=BY, at=LATER + MINUTE)

    row.refresh_from_db()
    assert (row.severity, row.severity_source) == ("medium", "rule")
    assert history(row) == ["severity", "severity"]


def test_saying_the_same_severity_again_says_nothing() -> None:
    row = issues.set_severity(issue(), Severity.LOW, by=BY, at=LATER)

    issues.set_severity(row, Severity.LOW, by=BY, at=LATER + MINUTE)

    assert published(row) == ["severity_changed"]


@pytest.mark.parametrize("text", ["", "  \n ", "x" * (issues.LONGEST_COMMENT + 1)])
def test_a_comment_says_something_and_not_too_much(text: str) -> None:
    with pytest.raises(ValidationError) as refused:
        issues.comment(issue(), text=text, by=BY, at=LATER)
    assert list(refused.value.message_dict) == ["text"]


@pytest.mark.parametrize("name", ["resolve", "ignore"])
def test_the_alert_of_an_issue_nobody_must_look_at_is_over(name: str) -> None:
    row = issue()
    alerting.fire(key=alarms.issue_key(row.pk), level=Level.WARNING, title="Look", at=NOW)

    STEPS[name](row)

    assert not Alert.objects.filter(resolved_at=None).exists()


@pytest.mark.parametrize("name", ["resolve", "ignore"])
def test_what_nobody_has_read_yet_of_an_issue_that_is_taken_care_of_is_taken_back(name: str) -> None:
    row = issue()
    told(row, "errors.issue")

    STEPS[name](row)

    assert Message.objects.get(key="errors.issue").expires_at == LATER


def test_the_alert_of_an_acknowledged_issue_is_not_over() -> None:
    row = issue()
    alerting.fire(key=alarms.issue_key(row.pk), level=Level.WARNING, title="Look", at=NOW)

    issues.acknowledge(row, by=BY, at=LATER)

    assert Alert.objects.filter(resolved_at=None).exists()


def test_the_audit_log_names_no_title_because_projects_may_be_restricted() -> None:
    row = issues.resolve(issue(message="card 42 of ada@example.com"), by=BY, at=LATER)

    entry = AuditEntry.objects.get(subject=f"errors.issue:{row.pk}")
    assert entry.label == ""
    assert (entry.before, entry.after) == (
        {"status": Status.UNRESOLVED.value},
        {"status": "resolved", "note": "", "release": "", "in_next_release": False},
    )


def test_a_step_that_fails_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    row = issue()
    monkeypatch.setattr(clocks, "answered", lambda *_, **__: {"responded_at": "never"})

    with pytest.raises(ValidationError):
        issues.acknowledge(row, by=BY, at=LATER)

    row.refresh_from_db()
    assert (row.status, history(row), published(row)) == ("unresolved", [], [])


def test_an_issue_that_a_person_finds_less_than_critical_needs_no_alert() -> None:
    levels()
    row = issue()
    issues.set_severity(row, Severity.CRITICAL, by=BY, at=NOW)
    assert Alert.objects.filter(key=alarms.issue_key(row.pk), resolved_at=None).exists()

    issues.set_severity(row, Severity.HIGH, by=BY, at=LATER)

    assert Alert.objects.get(key=alarms.issue_key(row.pk)).resolved_at == LATER


def test_what_nobody_has_read_yet_of_an_acknowledged_issue_is_taken_back() -> None:
    row = issue()
    told(row, "errors.issue")

    issues.acknowledge(row, by=BY, at=LATER)

    assert Message.objects.get(key="errors.issue").expired_because == "Acknowledged by ada."


def test_the_audit_log_tells_no_words_about_issues_of_restricted_projects() -> None:
    for restricted in (False, True):
        row = issue(project(restricted=restricted))
        issues.comment(row, text="The password of the vault is weak", by=BY, at=NOW)
        issues.resolve(row, note="Changed the password of the vault", by=BY, at=LATER)

        told = [entry.after for entry in AuditEntry.objects.filter(subject=f"errors.issue:{row.pk}")]

        assert len(told) == 2
        assert ("vault" in str(told)) is not restricted


def test_without_rows_of_levels_a_deadline_is_that_of_the_shipped_ones() -> None:
    SeverityLevel.objects.all().delete()
    row = issue(status=Status.RESOLVED.value, resolved_at=NOW)

    assert issues.reopen(row, by=BY, at=LATER).respond_by == LATER + 4 * HOUR
