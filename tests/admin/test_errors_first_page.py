"""What the first page tells of errors, and to whom."""

import re
from html import unescape

import pytest
from django.contrib.auth.models import Group, User
from django.template.loader import render_to_string
from django.urls import reverse

from catalogue.models import Person
from errors.models import Spool, Undigestible
from notifications.models import Channel
from sysops.dashboard import errors
from sysops.kernel.clock import utc_now
from tests.admin import errors_house as house
from tests.admin.errors_pages import SignIn, positions, seen, somebody
from tests.errors.support import HOUR, MINUTE, issue, project

pytestmark = pytest.mark.django_db


def test_the_first_page_tells_of_overdue_and_critical_issues_and_of_reports_that_wait() -> None:
    house.furnish()
    Spool.objects.create(project_id=1, received_at=utc_now() - HOUR, kind="envelope", encoding="identity", body=b"{}")
    viewer = User.objects.create_user("viewer")
    viewer.groups.add(Group.objects.get(name="viewer"))

    found = errors.wrong(viewer, now=utc_now())
    shown = errors.summary(viewer, now=utc_now())

    assert [(one.critical, one.title) for one in found] == [
        (True, "Error reports are taken and not digested"),
        (True, "Shop: PaymentTimeout: The payment provider did not answer within 5 s (order 81241)"),
        (False, "1 error report could not be digested in the last day"),
    ]
    assert "Nobody has responded: 20 min overdue" in found[1].detail
    assert [step.label for step in found[1].steps] == ["Acknowledge", "Look at it"]
    assert shown["total"] == 5
    assert "PaymentTimeout" in unescape(render_to_string("errors/dashboard.html", {"errors": shown}))


def test_the_worst_errors_stand_first_with_the_time_left_and_the_step(sign_in: SignIn) -> None:
    at = utc_now()
    for n in range(8):
        issue(error_type=f"Medium{n}", severity="medium", at=at, respond_by=at + HOUR)
    issue(error_type="HighLater", severity="high", at=at - HOUR, respond_by=at + 50 * MINUTE)
    issue(error_type="HighSoon", severity="high", at=at - HOUR, respond_by=at + 10.5 * MINUTE)
    issue(error_type="HighSeen", severity="high", status="acknowledged", at=at, respond_by=at - HOUR, responded_at=at)
    issue(error_type="Critical", severity="critical", at=at - 5 * HOUR, respond_by=at - 3 * HOUR)

    shown = errors.summary(somebody("operator"), now=at)
    text = unescape(render_to_string("errors/dashboard.html", {"errors": shown}))

    places = positions(text, "Critical</a>", "HighSoon", "HighLater", "HighSeen", "Medium7")
    assert places == sorted(places)
    assert text.count('scope="row"') == 8
    assert "3 h overdue" in text
    assert "10 min left" in text
    assert text.count(">Acknowledge</a>") == 7
    assert text.count(">Resolve</a>") == 1
    assert ">Acknowledge</a>" not in unescape(
        render_to_string("errors/dashboard.html", {"errors": errors.summary(somebody("viewer"), now=at)})
    )


def test_the_first_page_calls_people_by_their_names_and_counts_one_event_as_one() -> None:
    at = utc_now()
    Person.objects.create(slug="ada", name="Ada Lovelace")
    Person.objects.create(slug="bob", name="Bob Builder", user=User.objects.create_user("bob"))
    for by in ("ada (by link, without an account)", "bob", "ci"):
        issue(severity="critical", status="acknowledged", responded_at=at, responded_by=by, respond_by=at)

    said = [one.detail for one in errors.wrong(somebody("viewer"), now=at)]

    assert said == [f"Critical, 1 event. {name} is on it." for name in ("Ada Lovelace", "Bob Builder", "ci")]


def test_a_channel_that_reaches_nobody_comes_before_all_else_that_is_wrong(sign_in: SignIn) -> None:
    at = utc_now()
    issue(severity="critical", respond_by=at - HOUR)
    Channel.objects.create(
        slug="mail", name="E-mail", driver="email", failing_since=at, last_error="Connection refused"
    )

    text = seen(sign_in("admin"), reverse("admin:index"))

    found = re.findall(r"<strong>([^<]+)</strong>", text[text.index('class="so-wrong"') :])
    assert found[0] == "Nobody is reached through E-mail"
    assert "Connection refused. What it should send" in text


def test_the_first_page_tells_nobody_of_what_is_not_theirs() -> None:
    secret = issue(project("secret", restricted=True), severity="critical", respond_by=utc_now() - HOUR)
    Undigestible.objects.create(
        project=secret.project, received_at=utc_now(), failed_at=utc_now(), kind="store", encoding="identity",
        reason="no", body=b"x",
    )  # fmt: skip
    viewer = User.objects.create_user("viewer")
    viewer.groups.add(Group.objects.get(name="viewer"))

    assert errors.wrong(viewer, now=utc_now()) == []
    assert errors.summary(viewer, now=utc_now())["total"] == 0
