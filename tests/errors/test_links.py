"""Links in messages: narrow, expiring, and never followed by whoever only looks at them."""

from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from django.contrib.auth.models import Group, User
from django.core import signing
from django.test import Client
from pytest_django import Settings

from catalogue.models import Person
from errors import links
from errors.links import Step
from errors.models import Issue
from errors.services import issues, linked, merging
from sysops.access.actors import Actor
from sysops.access.models import AuditEntry
from sysops.access.roles import Role
from tests.errors.support import BY, HOUR, MINUTE, NOW, issue, project

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _static_files_on_demand(settings: Settings) -> None:
    settings.WHITENOISE_AUTOREFRESH = True


def person(slug: str = "grace", *, role: Role | None = None) -> Person:
    user = None
    if role is not None:
        user = User.objects.create_user(slug)
        user.groups.add(Group.objects.get(name=role.value))
    return Person.objects.create(slug=slug, name=slug.title(), user=user)


def token_of(url: str) -> str:
    return url.rsplit("/", 1)[1]


def link(row: Issue, step: Step, *, to: Person, at: datetime = NOW) -> str:
    return token_of(links.act_url(row, person=to, step=step, at=at))


def act(token: str, *, at: datetime = NOW + MINUTE) -> linked.Offer:
    return linked.act(token, address="192.0.2.9", at=at)


def test_a_link_acts_in_the_name_of_the_person_it_was_made_for() -> None:
    row = issue()

    act(link(row, Step.ACKNOWLEDGE, to=person(role=Role.OPERATOR)))

    row.refresh_from_db()
    assert (row.status, row.responded_by) == ("acknowledged", "grace")
    entry = AuditEntry.objects.get(action="errors.issue.acknowledged")
    assert (entry.actor, entry.address) == ("grace", "192.0.2.9")


@pytest.mark.parametrize(
    ("step", "status"),
    [
        (Step.ACKNOWLEDGE, "acknowledged"),
        (Step.RESOLVE, "resolved"),
        (Step.IGNORE, "ignored"),
        (Step.TAKE, "unresolved"),
    ],
)
def test_a_link_does_its_one_step(step: Step, status: str) -> None:
    row, who = issue(), person()

    act(link(row, step, to=who))

    row.refresh_from_db()
    assert row.status == status
    assert (row.assignee == who) is (step is Step.TAKE)


def test_ignoring_by_link_is_for_a_day() -> None:
    row = issue()

    act(link(row, Step.IGNORE, to=person()), at=NOW + HOUR)

    row.refresh_from_db()
    assert row.ignored_until == NOW + HOUR + timedelta(days=1)


def test_looking_changes_nothing() -> None:
    row = issue()

    linked.look(link(row, Step.RESOLVE, to=person()), at=NOW)

    row.refresh_from_db()
    assert row.status == "unresolved"


def test_a_link_ends_after_a_week() -> None:
    token = link(issue(), Step.RESOLVE, to=person())

    assert linked.look(token, at=NOW + timedelta(days=7) - MINUTE)
    with pytest.raises(links.OldLink, match="7 days"):
        linked.look(token, at=NOW + timedelta(days=7))


@pytest.mark.parametrize(
    ("value", "salt"),
    [
        ([1, 1, None, "resolve", 0, 2**31], "catalogue.subscription.end"),
        ([1, 1, None, "delete", 0, 2**31], "errors.issue.act"),
        ([1, 1], "errors.issue.act"),
        ([1, 1, "resolve", 0, 2**31], "errors.issue.act"),
        ({"issue": 1}, "errors.issue.act"),
        (7, "errors.issue.act"),
    ],
)
def test_what_we_did_not_make_for_this_is_no_link(value: object, salt: str) -> None:
    with pytest.raises(links.BadLink):
        links.read(signing.dumps(value, salt=salt), at=NOW)


def test_a_changed_link_is_no_link() -> None:
    token = link(issue(), Step.RESOLVE, to=person())

    with pytest.raises(links.BadLink):
        links.read(token[:-1] + ("A" if token[-1] != "A" else "B"), at=NOW)


def test_a_link_from_before_the_issue_came_back_does_not_touch_what_came_back() -> None:
    row, who = issue(), person()
    token = link(row, Step.RESOLVE, to=who)
    issues.resolve(row, by=BY, at=NOW + MINUTE)
    issues.reopen(row, by=BY, at=NOW + HOUR)

    with pytest.raises(linked.NotNow, match="come back"):
        act(token, at=NOW + HOUR)
    row.refresh_from_db()
    assert row.status == "unresolved"


def test_what_was_done_already_is_said() -> None:
    row, who = issue(), person()
    token = link(row, Step.ACKNOWLEDGE, to=who)
    act(token)

    with pytest.raises(linked.Already, match="Already acknowledged by Grace, 12:31 UTC"):
        act(token)
    with pytest.raises(linked.Already, match="by Grace, 13 January, 12:31 UTC"):
        linked.look(token, at=NOW + timedelta(days=1))


def test_who_did_it_already_is_called_as_people_call_them() -> None:
    row, who, boss = issue(), person(), person("boss", role=Role.OPERATOR)
    token = link(row, Step.RESOLVE, to=who)
    issues.resolve(row, by=Actor.user("boss"), at=NOW + HOUR)

    assert boss.name == "Boss"
    with pytest.raises(linked.Already, match="Already resolved by Boss, 13:30 UTC"):
        act(token, at=NOW + 2 * HOUR)


def test_taking_what_one_has_already_says_since_when() -> None:
    row, who = issue(), person()
    token = link(row, Step.TAKE, to=who)
    act(token)

    with pytest.raises(linked.Already, match="Already with Grace, since 12:31 UTC"):
        act(token, at=NOW + HOUR)


def test_a_link_does_nothing_for_whoever_lost_the_right_since() -> None:
    row, who = issue(), person(role=Role.OPERATOR)
    token = link(row, Step.RESOLVE, to=who)
    assert who.user is not None
    who.user.groups.clear()

    with pytest.raises(linked.NotNow, match="may not"):
        act(token)
    row.refresh_from_db()
    assert row.status == "unresolved"


def test_a_link_does_nothing_for_an_account_that_was_closed_or_a_person_that_is_gone() -> None:
    row, left, gone = issue(), person("left", role=Role.OPERATOR), person("gone")
    tokens = [link(row, Step.RESOLVE, to=who) for who in (left, gone)]
    User.objects.filter(username="left").update(is_active=False)
    gone.delete()

    for token in tokens:
        with pytest.raises(linked.NotNow):
            act(token)


def test_a_link_does_nothing_once_the_account_it_was_made_for_is_gone() -> None:
    row, who = issue(), person(role=Role.OPERATOR)
    token = link(row, Step.RESOLVE, to=who)
    User.objects.all().delete()

    with pytest.raises(linked.NotNow, match="may not"):
        act(token)
    row.refresh_from_db()
    assert row.status == "unresolved"


def test_a_link_made_before_somebody_had_an_account_asks_what_the_account_may() -> None:
    row, who = issue(), person()
    token = link(row, Step.ACKNOWLEDGE, to=who)
    who.user = User.objects.create_user("grace")
    who.save()

    with pytest.raises(linked.NotNow, match="may not"):
        act(token)
    who.user.groups.add(Group.objects.get(name="operator"))
    assert act(token).issue.status == "acknowledged"


def test_links_are_given_for_the_steps_the_status_allows() -> None:
    row, who = issue(), person()

    assert list(links.act_urls(row, person=who, at=NOW)) == ["acknowledge", "take", "resolve", "ignore"]
    row = issues.resolve(row, by=BY, at=NOW)
    assert links.act_urls(row, person=who, at=NOW) == {}


def test_of_a_restricted_project_only_readers_get_links() -> None:
    home = project(restricted=True)
    row = issue(home)
    reader, other, outside = person("reader", role=Role.OPERATOR), person("other", role=Role.OPERATOR), person("out")
    assert reader.user is not None
    home.readers.add(reader.user)

    assert links.act_urls(row, person=reader, at=NOW)
    assert links.act_urls(row, person=person("boss", role=Role.ADMIN), at=NOW)
    assert not links.act_urls(row, person=other, at=NOW)
    assert not links.act_urls(row, person=outside, at=NOW)
    with pytest.raises(linked.NotNow):
        act(link(row, Step.RESOLVE, to=other))


def test_a_link_to_an_issue_that_was_deleted_says_so() -> None:
    row = issue()
    token = link(row, Step.RESOLVE, to=person())
    Issue.objects.all().delete()

    with pytest.raises(linked.NotNow, match="not there any more"):
        act(token)


# -- The page --------------------------------------------------------------------------------------------------------


def page_of(row: Issue, step: Step) -> str:
    return "/errors/act/" + link(row, step, to=person(), at=datetime.now(UTC))


def test_a_scanner_that_fetches_the_link_changes_nothing_and_a_person_who_presses_the_button_does(
    client: Client,
) -> None:
    row = issue()
    page = page_of(row, Step.RESOLVE)

    shown = client.get(page)
    client.head(page)
    row.refresh_from_db()
    assert (shown.status_code, row.status) == (200, "unresolved")
    assert b'<form method="post">' in shown.content

    done = Client(enforce_csrf_checks=True).post(page)
    row.refresh_from_db()
    assert (done.status_code, row.status) == (200, "resolved")


def test_the_page_runs_no_script_and_its_address_goes_nowhere(client: Client) -> None:
    row = issue(message="<script>alert(1)</script>")

    answer = client.get(page_of(row, Step.ACKNOWLEDGE))

    assert b"<script" not in answer.content
    assert "default-src 'none'" in answer["Content-Security-Policy"]
    assert (answer["Referrer-Policy"], answer["Cache-Control"]) == ("no-referrer", "no-store")


def test_links_that_do_not_work_say_why(client: Client) -> None:
    row, who = issue(), person()
    old = "/errors/act/" + link(row, Step.RESOLVE, to=who, at=datetime.now(UTC) - timedelta(days=8))

    assert client.get("/errors/act/rubbish").status_code == 404
    assert client.post(old).status_code == 410
    assert client.put(page_of_taken(row, who)).status_code == 405


def page_of_taken(row: Issue, who: Person) -> str:
    return "/errors/act/" + link(row, Step.TAKE, to=who, at=datetime.now(UTC))


def test_a_button_pressed_twice_says_that_it_is_done(client: Client) -> None:
    row = issue()
    page = page_of(row, Step.RESOLVE)

    done = client.post(page)
    for seen in (done, client.post(page), client.get(page)):
        assert seen.status_code == 200
        assert f'href="/admin/errors/issue/{row.pk}/change/"' in seen.content.decode()
        assert "ValueError: broken" in unescape(seen.content.decode())
        assert b"does not work" not in seen.content
    assert b"Already resolved by Grace, " in client.get(page).content


def test_a_refused_link_leads_to_its_issue(client: Client) -> None:
    row, who = issue(), person()
    old = "/errors/act/" + link(row, Step.RESOLVE, to=who, at=datetime.now(UTC) - timedelta(days=8))
    back = page_of_taken(row, who)
    Issue.objects.filter(pk=row.pk).update(clock_started_at=NOW + HOUR)

    for url in (old, back):
        seen = client.get(url)
        assert (seen.status_code, f"/admin/errors/issue/{row.pk}/change/" in seen.content.decode()) == (410, True)


def test_a_link_to_an_issue_that_was_merged_leads_to_what_it_is_part_of_now(client: Client) -> None:
    home = project()
    row, target = issue(home), issue(home)
    page = page_of_taken(row, person())
    merging.merge(target, [row], by=BY, at=datetime.now(UTC))

    seen = client.get(page).content.decode()

    assert f"It is part of issue {target.pk} now." in seen
    assert f"/admin/errors/issue/{target.pk}/change/" in seen


def test_of_a_restricted_project_the_pages_of_links_name_the_number_only(client: Client) -> None:
    home = project("tide-vault", restricted=True)
    row, who = issue(home), person(role=Role.ADMIN)
    page = page_of_taken(row, who)

    for seen in (client.get(page), client.post(page), client.post(page)):
        text = unescape(seen.content.decode())
        assert f"Issue {row.pk}" in text
        assert "ValueError" not in text
        assert "Tide-Vault" not in text


def test_whoever_has_no_account_cannot_be_taken_for_one_of_the_same_name() -> None:
    User.objects.create_superuser("grace")

    act(link(issue(), Step.ACKNOWLEDGE, to=person("grace")))

    assert AuditEntry.objects.get(action="errors.issue.acknowledged").actor == "grace (by link, without an account)"
