"""Errors in the admin: what is wrong first, each click one service call, and nobody sees what is not theirs."""

import json
import re
from collections.abc import Callable
from html import unescape
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.db import connection
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from catalogue.models import Person, Team
from errors import looks
from errors.admin.policy import conditions_words
from errors.models import (
    AssignmentRule,
    Attachment,
    CheckIn,
    Feedback,
    Grouping,
    Issue,
    Key,
    Project,
    SessionCount,
    SeverityLevel,
    SeverityRule,
    Spool,
    Undigestible,
)
from errors.services import own, policy, projects
from notifications.looks import kind
from notifications.models import Channel, Message
from sysops.access.actors import Actor
from sysops.access.models import AuditEntry
from sysops.dashboard import errors
from sysops.kernel.clock import utc_now
from sysops.own_errors import OWN_PROJECT
from tests.admin import errors_house as house
from tests.errors.support import HOUR, MINUTE, grouping, issue, key, project, report, stored_event

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse

pytestmark = pytest.mark.django_db

SignIn = Callable[[str], Client]
LISTS = ["issue", "project", "severitylevel", "severityrule", "assignmentrule", "undigestible"]
DANGEROUS = re.compile(r"<script>window|<img src=x|<svg onload|<iframe srcdoc|href=\"javascript|onerror=\"window", re.I)


def page(name: str, *args: object) -> str:
    return reverse(f"admin:errors_{name}", args=args)


def raw(client: Client, url: str) -> str:
    answer = client.get(url)
    assert answer.status_code == 200, (url, answer.status_code)
    return answer.content.decode()


def said(answer: "_MonkeyPatchedWSGIResponse") -> str:
    assert answer.status_code == 200, answer.content[:500]
    return unescape(answer.content.decode())


def seen(client: Client, url: str) -> str:
    return unescape(raw(client, url))


def act(client: Client, name: str, row: Issue | Project | Undigestible, **given: object) -> str:
    """What is said after the act's page was sent off."""
    address = page(f"{row._meta.model_name}_{name.replace('-', '_')}", row.pk)
    return said(client.post(address, given, follow=True))


def positions(text: str, *words: str) -> list[int]:
    found = [text.index(word) for word in words]
    assert len(found) == len(words)
    return found


# Who sees what


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
def test_every_list_and_every_row_opens(sign_in: SignIn, role: str) -> None:
    house.furnish()
    client = sign_in(role)

    for name in LISTS:
        raw(client, page(f"{name}_changelist"))
    for model in (Issue, Project, SeverityLevel, SeverityRule, AssignmentRule, Undigestible):
        for row in model._default_manager.all():
            raw(client, page(f"{model._meta.model_name}_change", row.pk))


def test_a_filter_by_the_number_of_a_project_that_one_may_not_see_does_not_say_its_name(sign_in: SignIn) -> None:
    secret = issue(project("vault", restricted=True, name="Vault of secrets"), "SecretError").project
    operator = sign_in("operator")

    for name in ("issue", "undigestible"):
        shown = raw(operator, f"{page(f'{name}_changelist')}?project__id__exact={secret.pk}")
        assert "Vault of secrets" not in shown, name
    assert "Vault of secrets" in raw(sign_in("admin"), f"{page('issue_changelist')}?project__id__exact={secret.pk}")


def test_the_rules_that_anybody_may_look_at_do_not_list_the_projects_that_one_may_not_see(sign_in: SignIn) -> None:
    policy.ensure_defaults()
    project("vault", restricted=True, name="Vault of secrets")
    seen = project("shop", name="The shop")
    assigned = AssignmentRule.objects.create(name="To the team", team=Team.objects.create(slug="t", name="T"))
    pages = [page("severityrule_change", SeverityRule.objects.earliest("pk").pk)]
    pages.append(page("assignmentrule_change", assigned.pk))

    for address in pages:
        shown = raw(sign_in("viewer"), address)
        assert "Vault of secrets" not in shown
        assert seen.name in shown
        assert "Vault of secrets" in raw(sign_in("admin"), address)


def test_lists_of_others_cannot_be_filtered_by_issues_and_projects_that_one_may_not_see(sign_in: SignIn) -> None:
    outside = [model for model in apps.get_models() if model._meta.app_label != "errors"]
    ways = {
        f"{model._meta.label}.{way.name}"
        for model in outside
        for way in model._meta.get_fields(include_hidden=False)
        if way.is_relation and way.auto_created and way.related_model._meta.app_label == "errors"  # type: ignore[union-attr]
    }
    assert ways == set()

    ada = Person.objects.create(slug="ada", name="Ada")
    secret = issue(project("secret", restricted=True), assignee=ada)
    answer = sign_in("viewer").get(f"{reverse('admin:catalogue_person_changelist')}?issues__id__exact={secret.pk}")
    assert (answer.status_code, answer["Location"].endswith("?e=1")) == (302, True)


@pytest.mark.parametrize("asked", ["error_message__regex=(", "severity__iregex=[", "project__id__exact=x", "pk__in=a"])
def test_an_address_that_asks_for_nonsense_is_no_fault_of_ours(asked: str, sign_in: SignIn) -> None:
    assert sign_in("viewer").get(f"{page('issue_changelist')}?{asked}").status_code in (302, 400)


def test_somebody_without_any_role_sees_nothing_of_errors(client: Client) -> None:
    made = issue(message="of the secret project")
    client.force_login(User.objects.create_user("nobody", is_staff=True))

    for name in LISTS:
        assert client.get(page(f"{name}_changelist")).status_code == 403
    assert client.get(page("issue_change", made.pk)).status_code == 403
    assert client.get(page("issue_event_json", made.pk, made.latest_event_id)).status_code == 403


def test_a_restricted_project_is_for_its_readers_and_admins(sign_in: SignIn) -> None:
    secret = issue(project("secret", restricted=True), "SecretError")
    other = issue(project("other"), "OtherError")
    file = Attachment.objects.create(
        project=secret.project, event_id=str(secret.latest_event_id), position=0, filename="a.txt", size_bytes=1,
        body=b"x", received_at=utc_now(),
    )  # fmt: skip
    lost = Undigestible.objects.create(
        project=secret.project, received_at=utc_now(), failed_at=utc_now(), kind="store", encoding="identity",
        reason="secret reason", body=b"x",
    )  # fmt: skip
    addresses = [
        page("issue_change", secret.pk), page("issue_file", secret.pk, file.pk),
        page("project_change", secret.project.pk),
        page("issue_event_json", secret.pk, secret.latest_event_id), page("undigestible_change", lost.pk),
        page("issue_file", other.pk, file.pk), page("issue_event_json", other.pk, secret.latest_event_id),
    ]  # fmt: skip
    operator = sign_in("operator")

    assert [operator.get(address).status_code for address in addresses] == [404] * 7
    assert operator.post(page("issue_resolve", secret.pk), {"fixed": "now"}).status_code == 404
    for name in ("issue", "project", "undigestible"):
        assert "ecret" not in seen(operator, page(f"{name}_changelist"))
    act(operator, "merge", other, numbers=str(secret.pk))
    assert Issue.objects.filter(pk=secret.pk).exists()

    secret.project.readers.add(User.objects.get(username="operator-person"))
    assert "SecretError" in seen(operator, page("issue_change", secret.pk))
    assert "SecretError" in seen(sign_in("admin"), page("issue_change", secret.pk))


def test_a_viewer_meets_no_button_that_would_be_refused(sign_in: SignIn) -> None:
    first = house.furnish()
    viewer = sign_in("viewer")
    addresses = [page("issue_changelist"), page("issue_change", first.pk), page("project_change", first.project_id)]

    text = "".join(seen(viewer, address) for address in addresses)

    assert not re.search(r"/\d+/(acknowledge|resolve|assign|ignore|take|comment|merge|edit|keys|add-key|remove)/", text)
    assert "/acknowledge/" in seen(sign_in("operator"), addresses[1])
    assert "/edit/" not in seen(sign_in("operator"), addresses[2])
    assert "/edit/" in seen(sign_in("admin"), addresses[2])
    assert viewer.post(page("issue_resolve", first.pk), {"fixed": "now"}).status_code == 403
    assert viewer.get(page("issue_together", "resolve") + f"?ids={first.pk}").status_code == 403


# The list


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


def test_an_address_of_nothing_leads_back(sign_in: SignIn, client: Client) -> None:
    known = sign_in("viewer").get(page("issue_change", 987654))
    stranger = client.get("/errors/act/a/b")

    assert (known.status_code, stranger.status_code) == (404, 404)
    assert f'href="{page("issue_changelist")}"' in known.content.decode()
    assert f'href="{reverse("admin:index")}"' in known.content.decode()
    assert "/admin/" not in stranger.content.decode()


def test_browsers_find_the_icon_where_they_look_for_it(client: Client) -> None:
    answer = client.get("/favicon.ico")

    assert (answer.status_code, answer["Location"]) == (302, static("sysops/logo.svg"))


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


# The page of an issue


def test_the_page_says_what_is_wrong_first_and_shows_where_it_broke(sign_in: SignIn) -> None:
    first = house.furnish()

    text = seen(sign_in("operator"), page("issue_change", first.pk))

    places = positions(text, "Nobody has responded", "It came back", "It was caused by")
    assert places == sorted(places)
    for words in (
        "Raised the timeout of the gateway to 5 s.",
        "answer = self.gateway.post('/charges'",
        "2 calls in libraries",
        "nobody caught it",
        "retrying POST /charges",
        "https://shop.example/checkout/",
        "m.schmidt",
        "I pressed Pay three times",
        "basket.json",
        "412",
        "Firefox 144",
        "The provider has trouble since 14:00.",
    ):
        assert words in text, words


def test_the_innermost_own_call_is_open_and_those_of_libraries_are_folded(sign_in: SignIn) -> None:
    first = house.furnish()

    text = raw(sign_in("viewer"), page("issue_change", first.pk))
    opened = re.findall(r'<details class="so-call so-own" open>\s*<summary>.*?<code>([^<]+)</code>', text, re.S)

    assert opened[0] == "shop/payment.py"
    assert text.index("so-library") < text.index('so-own" open')


def test_one_walks_from_event_to_event(sign_in: SignIn) -> None:
    made = issue(events=0, at=utc_now())
    group = made.groupings.get()
    old, middle, new = (stored_event(group, at=utc_now() - ago) for ago in (HOUR, MINUTE, MINUTE / 2))
    client = sign_in("viewer")

    text = raw(client, page("issue_change", made.pk) + f"?event={middle.event_id.hex}&span=day")

    assert f"event={old.event_id.hex}" in text
    assert f"event={new.event_id.hex}" in text
    assert 'rel="next"' not in raw(client, page("issue_change", made.pk) + f"?event={new.event_id.hex}")
    gone = raw(client, page("issue_change", made.pk) + f"?event={uuid4().hex}")
    assert "not stored any more" in gone
    assert new.event_id.hex in gone


def test_an_issue_whose_events_are_all_gone_still_opens(sign_in: SignIn) -> None:
    made = issue(events=0, event_count=5)

    assert "retention has taken them" in seen(sign_in("viewer"), page("issue_change", made.pk))


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"exception": "text", "breadcrumbs": 7, "tags": [1, ["a"], ["b", {}]], "request": [], "user": "x"},
        {"exception": {"values": [None, {"stacktrace": {"frames": [None, {"lineno": "x", "vars": [1]}]}}]}},
        {"exception": {"values": [{"type": 5, "value": {"a": 1}, "stacktrace": [], "mechanism": "x"}]}, "sdk": 3},
        {"threads": {"values": [{"crashed": True, "stacktrace": {"frames": [{"function": "f"}]}}]}},
        {"logentry": {"message": "only text"}, "breadcrumbs": {"values": [{"timestamp": 1e300}, {"timestamp": "x"}]}},
        {"request": {"headers": [["a", "b"], 3], "url": None}, "modules": ["a"], "notes": "x", "extra": {"": None}},
    ],
)  # fmt: skip
def test_an_event_of_whatever_shape_is_shown_as_far_as_it_makes_sense(
    sign_in: SignIn, payload: dict[str, object]
) -> None:
    made = issue(events=0)
    stored_event(made.groupings.get(), at=utc_now(), payload={"event_id": uuid4().hex, **payload})

    assert "Stack trace" in seen(sign_in("viewer"), page("issue_change", made.pk))


# What people do


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
    assert f"Issue {other.pk} was merged into this one." in follow

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


# Projects and keys


def test_a_project_is_added_with_a_dsn_to_copy(sign_in: SignIn) -> None:
    given = {
        "name": "Shop", "slug": "shop", "enabled": "on", "retention_days": "30", "events_per_issue": "500",
        "allowed_origins": "https://shop.example\nhttps://www.shop.example", "scrub_fields": "vat_id",
        "scrub_personal_data": "on",
    }  # fmt: skip

    text = said(sign_in("admin").post(page("project_add"), given, follow=True))

    made = Project.objects.get()
    assert made.allowed_origins == ["https://shop.example", "https://www.shop.example"]
    assert (made.retention_days, made.scrub_fields, made.created_by) == (30, ["vat_id"], "admin-person")
    public = made.keys.get().public
    assert f"{public}@" in text
    assert f"/{made.pk}" in text
    assert "sentry_sdk.init(" in text
    assert "@sentry/node" in text
    assert "No event has come yet" in text


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"slug": "taken"}, "There is a project 'taken' already"),
        ({"allowed_origins": "shop.example/path"}, "is no origin"),
        ({"retention_days": "0"}, "greater than or equal to 1"),
    ],
)
def test_what_does_not_fit_a_project_is_said_beside_its_field(
    sign_in: SignIn, wrong: dict[str, str], words: str
) -> None:
    project("taken")
    given = {"name": "Shop", "slug": "shop", "retention_days": "30", "events_per_issue": "500", **wrong}

    assert words in said(sign_in("admin").post(page("project_add"), given))
    assert Project.objects.count() == 1


def test_a_project_is_changed_gets_another_key_and_is_deleted(sign_in: SignIn) -> None:
    client, made = sign_in("admin"), project("shop")
    old = key(made, label="Old")

    given = {"name": "The shop", "retention_days": "7", "events_per_issue": "100", "quota_per_minute": "60"}
    said(client.post(page("project_edit", made.pk), given, follow=True))
    act(client, "add-key", made, label="New")
    said(client.post(page("project_key", made.pk, old.pk), {"label": "Old", "quota_per_minute": "5"}, follow=True))

    made.refresh_from_db()
    old.refresh_from_db()
    assert (made.name, made.quota_per_minute, made.enabled) == ("The shop", 60, False)
    assert (old.enabled, old.quota_per_minute) == (False, 5)
    assert Key.objects.filter(project=made, label="New", enabled=True).exists()

    assert "Write shop to delete it" in act(client, "remove", made, slug="shp")
    assert "is deleted" in act(client, "remove", made, slug="shop")
    assert "The shop" not in re.sub(r"(?s)<title>.*?</title>|is deleted", "", seen(client, page("issue_changelist")))


def test_the_project_of_sysops_own_errors_stays_and_says_why(sign_in: SignIn) -> None:
    made = own.ensure_own_project(number=OWN_PROJECT, public="0" * 32, by=Actor.system(), at=utc_now())

    text = act(sign_in("admin"), "remove", made, slug="sysops")

    assert "Sysops reports its own errors to Sysops itself" in text
    assert "Switch it off instead" in text
    assert Project.objects.get(pk=made.pk).deleted_at is None


def test_a_project_shows_the_latest_of_what_came_beside_events(sign_in: SignIn) -> None:
    home, at = project("shop"), utc_now()
    for number in range(12):
        CheckIn.objects.create(
            project=home, check_in_id=uuid4(), monitor=f"job-{number:02}", status="ok", duration_seconds=2.5,
            received_at=at + number * MINUTE,
        )  # fmt: skip
    SessionCount.objects.create(project=home, hour=at, release="shop@2.0", started=1234, crashed=3)
    Feedback.objects.create(project=home, feedback_id=uuid4(), name="Maria", message="No <b>pay</b>", received_at=at)

    html = raw(sign_in("viewer"), page("project_change", home.pk))
    text = unescape(html)

    assert "job-11: ok, took 2.5 s" in text
    assert ("job-02" in text, "job-01" in text) == (True, False)
    assert "shop@2.0: 1,234 began, 3 crashed" in text
    assert "No &lt;b&gt;pay&lt;/b&gt;" in html


def test_the_dsn_is_shown_to_whoever_may_configure_projects(sign_in: SignIn) -> None:
    home = project("shop")
    dsn = projects.dsn(key(home))

    assert dsn in raw(sign_in("admin"), page("project_change", home.pk))
    for role in ("viewer", "operator"):
        text = raw(sign_in(role), page("project_change", home.pk))
        assert dsn not in text
        assert "finds its DSN here" in text


def test_an_issue_says_plainly_when_it_was_first_seen_and_until_when_it_was_to_be_responded_to(
    sign_in: SignIn,
) -> None:
    made, client = report(project("shop"), at=utc_now()), sign_in("viewer")
    waiting = seen(client, page("issue_change", made.pk))
    Issue.objects.filter(pk=made.pk).update(responded_at=utc_now(), responded_by="ada", status="acknowledged")
    done = seen(client, page("issue_change", made.pk))

    assert "First seen</strong> <span" in waiting
    assert "unknown" not in waiting
    due = re.compile(r"<dt>Respond by</dt><dd>(.*?)</dd>", re.S)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", due.findall(waiting)[0])  # how soon is said by its badge
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", due.findall(done)[0])


def test_a_project_shows_what_became_of_what_it_sent(sign_in: SignIn) -> None:
    first = house.furnish()

    text = seen(sign_in("viewer"), page("project_change", first.project_id))

    places = positions(text, "Refused: over the quota", "Stored</span>")
    assert places == sorted(places)
    assert "key quota" in text
    assert "42 lost reports in the last 7 days" in text
    assert "1 report could not be digested" in text


# Rules


def test_a_severity_rule_is_written_in_fields_and_stored_as_conditions(sign_in: SignIn) -> None:
    client = sign_in("admin")
    given = {
        "name": "Payments fail", "slug": "payments-fail", "severity": "critical", "enabled": "on", "position": "10",
        "level": ["fatal", "error"], "error_type": "Payment*\nCard*", "tag": "area: payment\nregion: > 50",
        "accounts_at_least": "2", "events_at_least": "10", "within_minutes": "60",
    }  # fmt: skip

    said(client.post(page("severityrule_add"), given, follow=True))
    rule = SeverityRule.objects.get()

    assert rule.conditions == {
        "level": ["fatal", "error"], "error_type": ["Payment*", "Card*"],
        "tag": {"area": ["payment"], "region": ["> 50"]},
        "accounts_at_least": 2, "events_at_least": 10, "within_minutes": 60,
    }  # fmt: skip
    again = seen(client, page("severityrule_change", rule.pk))
    assert "Payment*\nCard*" in again
    assert "area: payment" in again
    said(client.post(page("severityrule_change", rule.pk), {**given, "name": "Payments", "tag": ""}, follow=True))
    rule.refresh_from_db()
    assert (rule.name, "tag" in rule.conditions) == ("Payments", False)


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        ({}, "Always"),
        ({"tag": {"slowdown_percent": "> 50", "security": ["a", "b"]}}, "tag slowdown_percent > 50, security = a or b"),
        (
            {"level": ["fatal", "error"], "accounts_at_least": 1, "events_at_least": 2000, "within_minutes": 10},
            "level fatal or error; at least 1 account; at least 2,000 events within 10 min",
        ),
        ({"events_at_least": 1}, "at least 1 event"),
    ],
)
def test_conditions_read_as_words(conditions: dict[str, object], words: str) -> None:
    assert conditions_words(conditions) == words


def test_long_text_ends_in_dots_at_a_word_and_is_there_whole() -> None:
    text = "message *lost data* or *checksum mismatch*"

    shown = looks.long_text(text, most=30)

    assert ">message *lost data* or<span" in shown
    assert "".join(re.sub(r'<span class="so-wide-only"> …</span>|<[^>]+>', "", shown)) == text


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


def test_shipped_rules_come_through_their_form_unchanged(sign_in: SignIn) -> None:
    policy.ensure_defaults()
    client = sign_in("admin")

    for rule in SeverityRule.objects.all():
        form = client.get(page("severityrule_change", rule.pk)).context["form"]
        given = {name: form[name].value() for name in form.fields}
        given = {name: value for name, value in given.items() if value not in (None, False)}
        assert client.post(page("severityrule_change", rule.pk), given).status_code == 302, rule.slug
        kept = SeverityRule.objects.get(pk=rule.pk)
        assert _listed(kept.conditions) == _listed(rule.conditions), rule.slug


def _listed(conditions: dict[str, object]) -> dict[str, object]:
    """Conditions with a list wherever a single text may stand."""
    return {
        name: {key: one if isinstance(one, list) else [one] for key, one in value.items()}
        if isinstance(value, dict)
        else [value]
        if isinstance(value, str)
        else value
        for name, value in conditions.items()
    }


def test_what_makes_no_rule_is_refused_with_words(sign_in: SignIn) -> None:
    given = {"name": "X", "slug": "x", "severity": "high", "position": "1", "within_minutes": "5"}

    assert "say how many events" in said(sign_in("admin").post(page("severityrule_add"), given))
    assert "as a tag and a pattern" in said(
        sign_in("admin").post(page("severityrule_add"), {**given, "tag": "payment"})
    )
    assert not SeverityRule.objects.exists()


def test_an_assignment_rule_names_a_person_or_a_team(sign_in: SignIn) -> None:
    client, team = sign_in("admin"), Team.objects.create(slug="ops", name="Ops")
    given = {"name": "Payments", "position": "5", "enabled": "on", "path": "shop/payment/*"}

    assert "either a person or a team" in said(client.post(page("assignmentrule_add"), given))
    said(client.post(page("assignmentrule_add"), {**given, "team": str(team.pk)}, follow=True))

    rule = AssignmentRule.objects.get()
    assert rule.team == team
    text = seen(client, page("assignmentrule_changelist"))
    assert "On call of Ops" in text
    assert "file shop/payment/*" in text
    client.post(page("assignmentrule_remove", rule.pk))
    assert not AssignmentRule.objects.exists()


def test_a_severity_means_what_people_decide(sign_in: SignIn) -> None:
    policy.ensure_defaults()
    given = {"meaning": "Soon", "respond_within_seconds": "30 min", "near_percent": "50"}

    said(sign_in("admin").post(page("severitylevel_change", "high"), given, follow=True))

    level = SeverityLevel.objects.get(pk="high")
    assert (level.respond_within_seconds, level.near_percent) == (1800, 50)
    assert sign_in("operator").post(page("severitylevel_change", "high"), given).status_code == 403
    assert "disabled" in seen(sign_in("operator"), page("severitylevel_change", "high"))


# Undigestible


def test_a_report_that_could_not_be_digested_says_why_and_is_tried_again(sign_in: SignIn) -> None:
    home = project()
    kept = Undigestible.objects.create(
        project=home, event_id=uuid4(), received_at=utc_now(), failed_at=utc_now(), kind="store",
        encoding="identity", reason="It is not JSON", body=b"<script>1</script>",
    )  # fmt: skip
    client = sign_in("admin")

    assert "It is not JSON" in seen(client, page("undigestible_change", kept.pk))
    body = client.get(page("undigestible_body", kept.pk))
    assert body.content == b"<script>1</script>"
    assert_download(body)
    assert sign_in("viewer").get(page("undigestible_body", kept.pk)).status_code == 403

    assert "waits to be digested again" in act(client, "again", kept)
    waiting = Spool.objects.get()
    assert (bytes(waiting.body), waiting.event_id, waiting.project_id) == (
        b"<script>1</script>",
        kept.event_id,
        home.pk,
    )
    assert not Undigestible.objects.exists()
    assert AuditEntry.objects.filter(action="errors.undigestible.retried").exists()


# Hostile text


def test_hostile_text_is_text_on_every_page(sign_in: SignIn) -> None:
    made = house.hostile_issue()
    client = sign_in("admin")
    addresses = [
        page("issue_change", made.pk), *(page(f"{name}_changelist") for name in LISTS),
        page("project_change", made.project_id), page("project_edit", made.project_id),
        page("undigestible_change", Undigestible.objects.get().pk),
        *(page(f"issue_{name}", made.pk) for name in ("resolve", "ignore", "assign", "severity", "merge", "comment")),
        page("issue_together", "merge") + f"?ids={made.pk}", page("issue_together", "resolve") + f"?ids={made.pk}",
        page("issue_changelist") + "?what=all&q=" + "%3Cscript%3Ewindow.owned%3D1%3C%2Fscript%3E",
    ]  # fmt: skip

    for address in addresses:
        text = raw(client, address)
        assert not DANGEROUS.search(text), address
        assert "\u202e" not in text, address
    assert "&lt;script&gt;window.owned" in raw(client, addresses[0])
    assert "‹U+202E›" in raw(client, addresses[0])
    assert "{{ 7|add:35 }}" in raw(client, addresses[0])


def assert_download(answer: "_MonkeyPatchedWSGIResponse") -> None:
    assert answer.status_code == 200
    assert answer["Content-Disposition"].startswith("attachment")
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer["Content-Security-Policy"]


def test_attachments_are_handed_out_as_downloads_whatever_they_say_they_are(sign_in: SignIn) -> None:
    made = house.hostile_issue()
    client = sign_in("viewer")

    for file in Attachment.objects.all():
        answer = client.get(page("issue_file", made.pk, file.pk))
        assert_download(answer)
        assert not re.search("[<>\u202e/]", answer["Content-Disposition"])
    answer = client.get(page("issue_event_json", made.pk, made.latest_event_id))
    assert_download(answer)
    assert json.loads(answer.content)["exception"]


@pytest.mark.parametrize(
    "name", ["", "..", "../../etc/passwd", "a\r\nSet-Cookie: x=1", "\u202e", "名前.txt", "x" * 400, '"; x="']
)
def test_a_file_of_whatever_name_is_downloaded(sign_in: SignIn, name: str) -> None:
    made = issue()
    file = Attachment.objects.create(
        project=made.project, event_id=str(made.latest_event_id), position=0, filename=name[:255], size_bytes=1,
        body=b"x", received_at=utc_now(),
    )  # fmt: skip

    answer = sign_in("viewer").get(page("issue_file", made.pk, file.pk))

    assert_download(answer)
    assert "/" not in answer["Content-Disposition"]
    assert "Set-Cookie" not in answer.headers


# The first page


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

    shown = errors.summary(_somebody("operator"), now=at)
    text = unescape(render_to_string("errors/dashboard.html", {"errors": shown}))

    places = positions(text, "Critical</a>", "HighSoon", "HighLater", "HighSeen", "Medium7")
    assert places == sorted(places)
    assert text.count('scope="row"') == 8
    assert "3 h overdue" in text
    assert "10 min left" in text
    assert text.count(">Acknowledge</a>") == 7
    assert text.count(">Resolve</a>") == 1
    assert ">Acknowledge</a>" not in unescape(
        render_to_string("errors/dashboard.html", {"errors": errors.summary(_somebody("viewer"), now=at)})
    )


def test_the_first_page_calls_people_by_their_names_and_counts_one_event_as_one() -> None:
    at = utc_now()
    Person.objects.create(slug="ada", name="Ada Lovelace")
    Person.objects.create(slug="bob", name="Bob Builder", user=User.objects.create_user("bob"))
    for by in ("ada (by link, without an account)", "bob", "ci"):
        issue(severity="critical", status="acknowledged", responded_at=at, responded_by=by, respond_by=at)

    said = [one.detail for one in errors.wrong(_somebody("viewer"), now=at)]

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


def _somebody(role: str) -> User:
    user = User.objects.create_user(f"some-{role}")
    user.groups.add(Group.objects.get(name=role))
    return user


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
