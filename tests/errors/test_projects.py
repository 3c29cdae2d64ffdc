"""Projects and keys: made, changed and deleted, with everything that hangs on them."""

import threading
from datetime import time, timedelta
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import connection, transaction

from alerting import services as alerting
from alerting.models import Alert
from catalogue.models import ContactAddress, Membership, Person, Service, Team
from errors import project_rules
from errors.models import (
    Account,
    Attachment,
    Event,
    Grouping,
    HourCount,
    Issue,
    Key,
    OutcomeCount,
    Project,
    SeverityRule,
    Spool,
    Undigestible,
)
from errors.services import alarms, issues, keys, merging, policy, projects, rulebook, telling
from errors.services.ticking import tick
from notifications.models import Delivery
from notifications.rules import Level
from notifications.services.channels import ensure_defaults
from notifications.services.fan_out import fan_out
from sysops.access.actors import Actor
from sysops.access.models import AuditEntry
from sysops.events.models import Event as Published
from tests.errors.growth import arrive
from tests.errors.support import BY, DAY, MINUTE, NOW, clock, digested, issue, key, project, put_in_spool

pytestmark = pytest.mark.django_db


def service(slug: str) -> Service:
    return Service.objects.create(slug=slug, name=slug)


def names() -> list[str]:
    return list(Published.objects.filter(name__startswith="errors.").order_by("pk").values_list("name", flat=True))


def test_a_new_project_has_one_key_and_is_audited() -> None:
    row = projects.create_project(slug="shop", name="Shop", by=BY, at=NOW, quota_per_minute=100)

    assert (row.created_by, row.created_at, row.quota_per_minute) == ("ada", NOW, 100)
    assert len(row.keys.get().public) == 32
    assert names() == ["errors.key.created", "errors.project.created"]
    assert AuditEntry.objects.filter(action="errors.project.created", actor="ada").exists()


def test_the_events_of_a_restricted_project_name_neither_it_nor_its_keys_nor_its_rules() -> None:
    row = projects.create_project(slug="vault", name="Vault", restricted=True, by=BY, at=NOW)
    door = projects.add_key(row, label="vault door", by=BY, at=NOW)
    projects.change_key(door, {"label": "vault gate"}, by=BY, at=NOW)
    projects.change_project(row, {"name": "Vault of secrets"}, by=BY, at=NOW)
    conditions = {"level": ["fatal"]}
    values = {"slug": "vault", "name": "Of the vault", "severity": "low", "project": row, "conditions": conditions}
    rule = rulebook.create(SeverityRule, values, by=BY, at=NOW)
    rulebook.remove(rule, by=BY, at=NOW)
    projects.delete_project(row, by=BY, at=NOW)

    said = Published.objects.filter(name__startswith="errors.")

    assert said.count() == 8
    assert [found.data for found in said if "vault" in str(found.data).lower()] == []


def test_two_projects_cannot_have_the_same_slug() -> None:
    projects.create_project(slug="shop", name="Shop", by=BY, at=NOW)

    with pytest.raises(ValidationError) as refused:
        projects.create_project(slug="shop", name="Other", by=BY, at=NOW)
    assert list(refused.value.message_dict) == ["slug"]
    assert Project.objects.count() == 1


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"allowed_origins": ["shop.example"]}, "allowed_origins"),
        ({"allowed_origins": ["https://shop.example/"]}, "allowed_origins"),
        ({"allowed_origins": "https://shop.example"}, "allowed_origins"),
        ({"allowed_origins": ["http://["]}, "allowed_origins"),
        ({"scrub_fields": ["iban", " "]}, "scrub_fields"),
        ({"scrub_fields": ["x"] * 101}, "scrub_fields"),
        ({"retention_days": 0}, "retention_days"),
        ({"events_per_issue": 1}, "events_per_issue"),
        ({"slug": "other"}, "slug"),
        ({"name": "nul\0"}, "name"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_name(values: dict[str, object], field: str) -> None:
    row = project()

    with pytest.raises(ValidationError) as refused:
        projects.change_project(row, values, by=BY, at=NOW)
    assert list(refused.value.message_dict) == [field]


@pytest.mark.parametrize("origin", ["https://shop.example", "http://localhost:3000", "https://[::1]:8443"])
def test_an_origin_is_a_scheme_and_a_host(origin: str) -> None:
    assert project_rules.origins_problem([origin]) is None


def test_a_change_says_before_and_after_and_nothing_when_nothing_differs() -> None:
    row = project(name="Shop")
    reader = User.objects.create_user("grace")

    projects.change_project(row, {"name": "Shop"}, by=BY, at=NOW)
    projects.change_project(row, {"restricted": True, "readers": [reader]}, by=BY, at=NOW)

    entry = AuditEntry.objects.get(action="errors.project.changed")
    assert (entry.before, entry.after) == (
        {"restricted": False, "readers": []},
        {"restricted": True, "readers": ["grace"]},
    )


def test_the_issues_of_a_project_follow_it_to_another_service() -> None:
    row = project(service=service("shop"))
    there, elsewhere = issue(row), issue(project(service=service("blog")))

    projects.change_project(row, {"service": service("checkout")}, by=BY, at=NOW)

    there.refresh_from_db()
    elsewhere.refresh_from_db()
    assert (there.service.slug, elsewhere.service.slug) == ("checkout", "blog")  # type: ignore[union-attr]


@pytest.mark.django_db(transaction=True)
def test_an_issue_of_a_batch_that_is_being_stored_follows_its_project_too() -> None:
    row = project(service=service("shop"))
    done = threading.Event()

    def move() -> None:
        try:
            projects.change_project(row, {"service": service("checkout")}, by=BY, at=NOW)
            done.set()
        finally:
            connection.close()

    thread = threading.Thread(target=move)
    with transaction.atomic():
        merging.keep_groupings()  # as a batch does that has read the service already
        thread.start()
        done.wait(0.5)
        there = issue(row)
    thread.join(10)

    assert done.is_set()
    there.refresh_from_db()
    assert there.service.slug == "checkout"  # type: ignore[union-attr]


def test_a_dsn_leads_to_the_project_with_its_public_key() -> None:
    row = key(project())

    dsn = urlsplit(keys.dsn(row))

    assert (dsn.username, dsn.path) == (row.public, f"/{row.project_id}")
    assert dsn.scheme == "http"
    assert dsn.port == 8000


def test_a_key_is_switched_off_and_named_and_never_changes_otherwise() -> None:
    row = key(project())

    changed = keys.change_key(row, {"enabled": False, "label": "browsers"}, by=BY, at=NOW)

    assert (changed.enabled, changed.label, changed.public) == (False, "browsers", row.public)
    with pytest.raises(TypeError):
        keys.change_key(row, {"public": "0" * 32}, by=BY, at=NOW)


def test_a_project_to_be_deleted_takes_nothing_more_and_its_slug_is_free_at_once() -> None:
    row = project("shop")

    projects.delete_project(row, by=BY, at=NOW)

    row.refresh_from_db()
    assert (row.enabled, row.deleted_at) == (False, NOW)
    assert projects.create_project(slug="shop", name="Shop again", by=BY, at=NOW).pk != row.pk
    with pytest.raises(projects.Overtaken):
        projects.delete_project(row, by=BY, at=NOW)
    with pytest.raises(projects.Overtaken):
        projects.change_project(row, {"name": "x"}, by=BY, at=NOW)


def full(slug: str) -> Project:
    """A project with a bit of everything."""
    row = project(slug)
    key(row)
    made = issue(row, events=3)
    grouping = made.groupings.get()
    Account.objects.create(grouping=grouping, hash=5)
    HourCount.objects.create(grouping=grouping, hour=NOW, quantity=3)
    OutcomeCount.objects.create(project=row, hour=NOW, category="error", outcome="accepted", quantity=3)
    Attachment.objects.create(
        project=row,
        event_id=str(made.latest_event_id),
        position=0,
        filename="a.txt",
        size_bytes=1,
        body=b"a",
        received_at=NOW,
    )
    Undigestible.objects.create(
        project=row, received_at=NOW, failed_at=NOW, kind="store", encoding="identity", reason="odd", body=b"?"
    )
    put_in_spool(row, b"{}\n")
    return row


def test_what_hangs_on_a_deleted_project_goes_and_its_neighbour_keeps_everything() -> None:
    gone, stays = full("gone"), full("stays")
    pk = Issue.objects.get(project=gone).pk
    alerting.fire(key=alarms.issue_key(pk), level=Level.CRITICAL, title="Look", at=NOW)
    projects.delete_project(gone, by=BY, at=NOW)

    assert projects.remove_deleted(now=clock(NOW + MINUTE)) is False

    assert list(Project.objects.all()) == [stays]
    for model in (Issue, Grouping, Account, HourCount, OutcomeCount, Attachment, Undigestible, Key, Spool):
        assert model._default_manager.count() == 1, model
    assert Event.objects.filter(project_id=gone.pk).count() == 0
    assert Event.objects.filter(project=stays).count() == 3
    assert Alert.objects.get().resolved_at == NOW + MINUTE


def test_what_is_said_of_a_deleted_project_and_was_held_back_until_the_morning_is_dropped() -> None:
    policy.ensure_defaults()
    night, morning = NOW.replace(hour=23, minute=0), NOW.replace(hour=7, minute=0) + DAY
    ada = Person.objects.create(slug="ada", name="Ada", quiet_from=time(22), quiet_until=time(7))
    ContactAddress.objects.create(person=ada, channel="email", address="ada@example.org")
    crew = Team.objects.create(slug="crew", name="Crew", lead=ada)
    Membership.objects.create(team=crew, person=ada)
    shop = Service.objects.create(slug="shop", name="Shop", owner_team=crew)
    ensure_defaults(by=BY, at=NOW)
    gone, stays = project("gone", service=shop), project("stays", service=shop)
    given = issues.assign(arrive(gone, at=night), None, by=BY, at=night)
    issues.assign(given, ada, by=Actor.user("ben"), at=night)
    tick(now=clock(night))
    for home in (gone, gone, stays):
        arrive(home, digested("Other"), at=night + 10 * MINUTE)
    tick(now=clock(night + 10 * MINUTE))
    fan_out(now=clock(night + 10 * MINUTE))
    projects.delete_project(gone, by=BY, at=night + 20 * MINUTE)

    projects.remove_deleted(now=clock(night + 21 * MINUTE))

    rows = Delivery.objects.order_by("message_id").values_list("message__kind", "state", "error", "due_at")
    assert list(rows) == [
        ("errors.assigned", "dropped", "Its project was deleted.", morning),
        ("errors.issue", "dropped", "Its project was deleted.", morning),
        ("errors.new_issues", "dropped", "Its project was deleted.", morning),
        ("errors.issue", "pending", "", morning),
    ]


def test_removing_stops_when_its_time_is_over_and_goes_on_the_next_time() -> None:
    projects.delete_project(full("gone"), by=BY, at=NOW)

    assert projects.remove_deleted(now=clock(), seconds=0.0) is True
    assert Project.objects.count() == 1
    assert projects.remove_deleted(now=clock(NOW + timedelta(minutes=1))) is False
    assert Project.objects.count() == 0


def test_a_project_that_nobody_deleted_is_left_alone() -> None:
    full("stays")

    assert projects.remove_deleted(now=clock()) is False
    assert Event.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_the_alert_of_a_batch_that_is_being_stored_loses_its_words_too() -> None:
    policy.ensure_defaults()
    row = project()
    done = threading.Event()

    def restrict() -> None:
        try:
            projects.change_project(row, {"restricted": True}, by=BY, at=NOW)
            done.set()
        finally:
            connection.close()

    thread = threading.Thread(target=restrict)
    with transaction.atomic():
        merging.keep_groupings()
        known = Project.objects.get(pk=row.pk)
        thread.start()
        done.wait(0.5)
        found = issue(row, "TheftError", "stolen", severity="critical")
        found.project = known
        telling.tell_worse(found, at=NOW)
    thread.join(10)

    assert done.is_set()
    assert Alert.objects.get().title == f"Issue {found.pk} of a restricted project"
