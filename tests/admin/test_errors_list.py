"""The list of issues: what is wrong first, filters and search that say what they cannot mean, few queries."""

from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from catalogue.models import Person
from errors.models import Issue, Undigestible
from notifications.looks import kind
from notifications.models import Message
from sysops.kernel.clock import utc_now
from tests.admin import errors_house as house
from tests.admin.errors_pages import SignIn, page, positions, raw, seen
from tests.errors.support import HOUR, grouping, issue

pytestmark = pytest.mark.django_db


def test_what_is_overdue_stands_first_then_the_worst(sign_in: SignIn) -> None:
    at = utc_now()
    issue(error_type="LowOverdue", severity="low", respond_by=at - HOUR, at=at - HOUR)
    issue(error_type="MediumOpen", severity="medium", respond_by=at + HOUR, at=at)
    issue(error_type="CriticalOpen", severity="critical", respond_by=at + HOUR, at=at - HOUR)
    issue(error_type="Done", severity="critical", status="resolved", at=at)

    text = seen(sign_in("viewer"), page("issue_changelist") + "?what=all")

    places = positions(text, "LowOverdue", "CriticalOpen", "MediumOpen", "Done")
    assert places == sorted(places)
    assert "1 h overdue" in text
    assert "left" in text


def test_a_list_is_called_by_what_is_in_it(sign_in: SignIn) -> None:
    client = sign_in("admin")

    assert "<title> Issues |" in " ".join(seen(client, page("issue_changelist")).split())
    assert "Select channel" not in seen(client, reverse("admin:notifications_channel_changelist"))


def test_unless_asked_the_list_shows_what_is_open_and_a_search_shows_all(sign_in: SignIn) -> None:
    issue(error_type="OpenError")
    issue(error_type="DoneError", status="resolved")
    client = sign_in("viewer")

    assert "DoneError" not in seen(client, page("issue_changelist"))
    assert "DoneError" in seen(client, page("issue_changelist") + "?what=resolved")
    assert "OpenError" not in seen(client, page("issue_changelist") + "?what=resolved")
    assert "DoneError" in seen(client, page("issue_changelist") + "?q=type:DoneError")
    assert "DoneError" not in seen(client, page("issue_changelist") + "?q=Error&what=open")


def test_the_search_box_asks_what_the_api_asks_and_says_what_it_cannot_mean(sign_in: SignIn) -> None:
    issue(error_type="PaymentError", severity="critical")
    issue(error_type="PrintError", severity="low")
    client = sign_in("viewer")

    found = seen(client, page("issue_changelist") + "?q=severity:critical")
    wrong = seen(client, page("issue_changelist") + "?q=severity:terrible")

    assert "PaymentError" in found
    assert "PrintError" not in found
    assert wrong.count("There is no severity:terrible") == 1
    assert "Create a new item" not in wrong
    assert "PaymentError" not in wrong


@pytest.mark.parametrize("asked", ["severity=terrible", "what=terrible", "seen=terrible"])
def test_a_filter_value_that_nobody_knows_is_said(sign_in: SignIn, asked: str) -> None:
    issue(error_type="PaymentError")

    text = seen(sign_in("viewer"), f"{page('issue_changelist')}?{asked}")

    assert text.count("'terrible', so it was not filtered by it. Known:") == 1
    assert "PaymentError" in text


def test_mine_are_those_of_the_person_i_am(sign_in: SignIn) -> None:
    client = sign_in("operator")
    me = Person.objects.create(slug="me", name="Me", user=User.objects.get(username="operator-person"))
    issue(error_type="MyError", assignee=me)
    issue(error_type="YourError")

    text = seen(client, page("issue_changelist") + "?what=mine")

    assert "MyError" in text
    assert "YourError" not in text


def test_the_trend_is_told_in_words_too(sign_in: SignIn) -> None:
    made = issue(at=utc_now())
    house.hours(made, {0: 2, 3: 40})

    assert "42 events in the last 24 hours; the most, 40, 3 h ago" in raw(sign_in("viewer"), page("issue_changelist"))


@pytest.mark.parametrize("url", ["issue_changelist", "project_changelist", "undigestible_changelist"])
def test_a_list_takes_as_many_queries_for_many_rows_as_for_one(sign_in: SignIn, url: str) -> None:
    client = sign_in("admin")

    def queries() -> int:
        raw(client, page(url))  # what is cached for the process is cached now
        with CaptureQueriesContext(connection) as asked:
            raw(client, page(url))
        return len(asked)

    def more() -> None:
        made = issue(at=utc_now(), assignee=Person.objects.create(slug=f"p{uuid4().hex[:8]}", name="P"))
        Undigestible.objects.create(
            project=made.project, received_at=utc_now(), failed_at=utc_now(), kind="store", encoding="identity",
            reason="no", body=b"x",
        )  # fmt: skip

    more()
    for_one = queries()
    for _ in range(12):
        more()

    assert queries() == for_one


def test_an_issue_of_many_events_takes_as_many_queries_as_one_of_few(sign_in: SignIn) -> None:
    few, many = issue(events=3, at=utc_now()), issue(events=60, at=utc_now())
    grouping(many, events=20, at=utc_now())
    client = sign_in("operator")

    def queries(of: Issue) -> int:
        raw(client, page("issue_change", of.pk))
        with CaptureQueriesContext(connection) as asked:
            raw(client, page("issue_change", of.pk))
        return len(asked)

    assert queries(few) == queries(many)


def test_a_message_about_issues_says_how_many_of_what(sign_in: SignIn) -> None:
    context = {"project": "Shop website", "count": 3}
    Message.objects.create(
        key="k", kind="errors.new_issues", thread="errors.project:3", level="warning", context=context, audience={},
        posted_at=utc_now(),
    )  # fmt: skip

    text = seen(sign_in("admin"), reverse("admin:notifications_message_changelist"))

    assert "3 issues of Shop website" in text
    assert "errors.project:3" not in text
    assert kind("errors.sla_breached") == "Errors: SLA breached"
