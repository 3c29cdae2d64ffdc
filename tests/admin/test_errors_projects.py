"""Projects and their keys in the admin, and what became of what they sent."""

import re
from html import unescape
from uuid import uuid4

import pytest

from errors.models import CheckIn, Feedback, Key, Project, SessionCount
from errors.services import own, projects
from sysops.access.actors import Actor
from sysops.kernel.clock import utc_now
from sysops.own_errors import OWN_PROJECT
from tests.admin import errors_house as house
from tests.admin.errors_pages import SignIn, act, page, positions, raw, said, seen
from tests.errors.support import MINUTE, key, project

pytestmark = pytest.mark.django_db


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


def test_a_project_shows_what_became_of_what_it_sent(sign_in: SignIn) -> None:
    first = house.furnish()

    text = seen(sign_in("viewer"), page("project_change", first.project_id))

    places = positions(text, "Refused: over the quota", "Stored</span>")
    assert places == sorted(places)
    assert "key quota" in text
    assert "42 lost reports in the last 7 days" in text
    assert "1 report could not be digested" in text
