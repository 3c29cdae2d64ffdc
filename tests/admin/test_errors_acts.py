"""What people do to issues in the admin: each click is one service call, and what is refused is said."""

import pytest
from django.contrib.auth.models import User

from catalogue.models import Person
from errors.models import Grouping, Issue
from errors.services import policy
from sysops.access.models import AuditEntry
from sysops.kernel.clock import utc_now
from tests.admin.errors_pages import SignIn, act, page, raw, said, seen
from tests.errors.support import issue, project

pytestmark = pytest.mark.django_db


def test_an_issue_is_acknowledged_resolved_and_reopened(sign_in: SignIn) -> None:
    client, made = sign_in("operator"), issue(at=utc_now())

    assert "is acknowledged" in act(client, "acknowledge", made)
    made.refresh_from_db()
    assert (made.status, made.responded_by) == ("acknowledged", "operator-person")

    assert "is resolved" in act(client, "resolve", made, fixed="release", release="shop@2.0", note="New disk")
    made.refresh_from_db()
    assert (made.status, made.resolved_in_release, made.resolve_note) == ("resolved", "shop@2.0", "New disk")
    assert "in release shop@2.0" in seen(client, page("issue_change", made.pk))

    assert "is open again" in act(client, "reopen", made)
    made.refresh_from_db()
    assert made.status == "unresolved"
    assert AuditEntry.objects.filter(action__startswith="errors.issue.", actor="operator-person").count() == 3


def test_what_is_missing_or_cannot_be_is_said_and_nothing_changes(sign_in: SignIn) -> None:
    client, made = sign_in("operator"), issue()

    assert "Name the release" in act(client, "resolve", made, fixed="release", release="")
    assert "Write a span such as" in act(client, "ignore", made, period="soon")
    assert "Write numbers of issues" in act(client, "merge", made, numbers="this and that")
    assert "There is no other issue 999999" in act(client, "merge", made, numbers="999999")
    assert "at least one other" in act(client, "merge", made, numbers=str(made.pk))
    assert "belongs to no person" in act(client, "take", made)
    assert "is required" in act(client, "comment", made, text="  ")

    made.refresh_from_db()
    assert made.status == "unresolved"


def test_a_step_that_somebody_else_was_quicker_with_is_explained(sign_in: SignIn) -> None:
    client, made = sign_in("operator"), issue(status="resolved")

    assert "The issue is resolved already" in act(client, "resolve", made, fixed="now")


def test_an_issue_is_given_away_taken_ignored_and_judged(sign_in: SignIn) -> None:
    client, made = sign_in("operator"), issue(at=utc_now(), event_count=10)
    me = Person.objects.create(slug="me", name="Me Myself", user=User.objects.get(username="operator-person"))
    other = Person.objects.create(slug="other", name="Other")
    policy.ensure_defaults()

    act(client, "take", made)
    made.refresh_from_db()
    assert made.assignee == me
    act(client, "assign", made, person=str(other.pk))
    act(client, "severity", made, severity="critical")
    act(client, "ignore", made, period="2 d", more_events="90")

    made.refresh_from_db()
    assert made.assignee == other
    assert (made.severity, made.severity_source) == ("critical", "manual")
    assert (made.status, made.ignored_until_events) == ("ignored", 100)
    assert made.ignored_until is not None
    act(client, "severity", made, severity="rules")
    made.refresh_from_db()
    assert made.severity_source == "rule"


def test_a_comment_is_written_beside_the_stack_trace(sign_in: SignIn) -> None:
    client, made = sign_in("operator"), issue()
    assert page("issue_comment", made.pk) in raw(client, page("issue_change", made.pk))

    text = act(client, "comment", made, text="It is <the> disk.\nAgain.")

    assert "Your comment is added." in text
    assert "It is &lt;the&gt; disk.<br>Again." in raw(client, page("issue_change", made.pk))


def test_issues_are_merged_and_split_off_again(sign_in: SignIn) -> None:
    client, home = sign_in("operator"), project()
    one, other = issue(home, "OneError", at=utc_now()), issue(home, "OtherError", at=utc_now())

    assert "1 merged" in act(client, "merge", one, numbers=f"#{other.pk}")
    assert Grouping.objects.filter(issue=one).count() == 2
    follow = said(client.get(page("issue_change", other.pk), follow=True))
    assert f"Issue {other.pk} is part of this one now." in follow

    group = Grouping.objects.filter(issue=one, label__startswith="OtherError").get()
    assert "It is Issue" in act(client, "split-off", one, grouping=str(group.pk))
    group.refresh_from_db()
    assert group.issue_id != one.pk


@pytest.mark.parametrize(
    ("name", "given", "status"),
    [("resolve", {"fixed": "now"}, "resolved"), ("ignore", {"period": "1 d"}, "ignored")],
)
def test_many_are_dealt_with_at_once(sign_in: SignIn, name: str, given: dict[str, str], status: str) -> None:
    client = sign_in("operator")
    made = [issue(at=utc_now()) for _ in range(3)]
    chosen = {"action": f"{name}_them", "_selected_action": [str(row.pk) for row in made]}

    asked = client.post(page("issue_changelist"), chosen, follow=True)
    assert "3 issues" in said(asked)
    done = said(client.post(asked.redirect_chain[-1][0], given, follow=True))

    assert "3 of 3" in done
    assert set(Issue.objects.values_list("status", flat=True)) == {status}


def test_many_are_acknowledged_at_once_and_those_that_cannot_be_are_named(sign_in: SignIn) -> None:
    client = sign_in("operator")
    made = [issue(at=utc_now()), issue(at=utc_now()), issue(status="resolved")]
    chosen = {"action": "acknowledge_them", "_selected_action": [str(row.pk) for row in made]}

    text = said(client.post(page("issue_changelist") + "?what=all", chosen, follow=True))

    assert "Acknowledged: 2 of 3." in text
    assert "cannot become" in text


def test_many_are_merged_into_the_one_that_is_chosen(sign_in: SignIn) -> None:
    client, home = sign_in("operator"), project()
    made = [issue(home, f"E{n}", at=utc_now()) for n in range(3)]
    chosen = {"action": "merge_them", "_selected_action": [str(row.pk) for row in made]}

    asked = client.post(page("issue_changelist"), chosen, follow=True)
    text = said(client.post(asked.redirect_chain[-1][0], {"target": str(made[1].pk)}, follow=True))

    assert f"2 merged into issue {made[1].pk}." in text
    assert list(Issue.objects.values_list("pk", flat=True)) == [made[1].pk]
