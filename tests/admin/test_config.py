"""Sources, stores, policies and their beats are set up by forms; every wrong entry is said beside its field."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.test import Client
from django.urls import reverse

from backups.models import Cadence, Policy, Source, Store
from catalogue.models import Service
from sysops.access.driver_settings import unsealed
from sysops.access.models import AuditEntry
from sysops.kernel.clock import utc_now
from sysops.pages.forms import SpanField
from tests.admin import support

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse

pytestmark = pytest.mark.django_db

SignIn = Callable[[str], Client]
SOURCE = {
    "name": "Shop", "slug": "shop", "set_host": "db.example.org", "set_port": "5433", "set_user": "backup",
    "set_password": "very secret", "set_dbname": "shop", "set_sslmode": "require", "set_compression": "gzip",
}  # fmt: skip
BEAT = {
    "label": "every night", "backup_type": "full", "minute": "30", "hour": "3", "day_of_month": "*",
    "month_of_year": "*", "day_of_week": "1-5", "zone": "Europe/Madrid", "keep_days": "90",
}  # fmt: skip


def page(name: str, *args: object) -> str:
    return reverse(f"admin:backups_{name}", args=args)


def errors(answer: "_MonkeyPatchedWSGIResponse") -> dict[str, str]:
    assert answer.status_code == 200
    return {name: str(texts) for name, texts in answer.context["form"].errors.items()}


def test_a_source_is_added_engine_first_then_what_the_engine_asks_for(sign_in: SignIn) -> None:
    support.make_policy()
    client = sign_in("admin")

    assert "?engine=postgres-dump" in client.get(page("source_add")).content.decode()
    client.post(page("source_add") + "?engine=postgres", SOURCE)

    source = Source.objects.get()
    assert source.settings == {
        "host": "db.example.org", "port": 5433, "user": "backup", "dbname": "shop", "sslmode": "require",
        "compression": "gzip",
    }  # fmt: skip
    assert unsealed(source.sealed_settings) == {"password": "very secret"}
    assert AuditEntry.objects.get(action="backups.source.created").actor == "admin-person"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"set_host": ""}, "set_host"),
        ({"set_port": "99999"}, "set_port"),
        ({"set_sslmode": "maybe"}, "set_sslmode"),
        ({"slug": "taken"}, "slug"),
        ({"slug": "no slug"}, "slug"),
        ({"policy": "none"}, "policy"),
    ],
)
def test_what_does_not_fit_is_said_beside_its_field(sign_in: SignIn, wrong: dict[str, str], field: str) -> None:
    support.make_source("taken")

    answer = sign_in("admin").post(page("source_add") + "?engine=postgres", {**SOURCE, **wrong})

    assert set(errors(answer)) == {field}
    assert "very secret" not in answer.content.decode()
    assert Source.objects.count() == 1


def test_a_policy_the_engine_cannot_follow_is_said_beside_the_policy(sign_in: SignIn) -> None:
    policy = support.make_policy()

    answer = sign_in("admin").post(page("source_add") + "?engine=postgres-dump", {**SOURCE, "policy": policy.pk})

    assert "knows full only" in errors(answer)["policy"]


def test_a_secret_is_never_shown_and_stays_when_left_empty(sign_in: SignIn) -> None:
    source = support.make_source("shop")
    client, url = sign_in("admin"), page("source_settings", source.pk)
    same = {f"set_{name}": source.settings.get(name, "") for name in ("host", "port", "sslmode")}
    form = {**SOURCE, **same, "set_password": "", "policy": source.policy_id, "enabled": "on", "set_dbname": "other"}

    assert "very secret" not in client.get(url).content.decode()
    assert "very secret" not in client.get(page("source_change", source.pk)).content.decode()
    client.post(url, form)

    source.refresh_from_db()
    assert source.settings["dbname"] == "other"
    assert unsealed(source.sealed_settings) == {"password": "very secret"}


def test_an_untouched_form_saves_and_a_service_can_be_named(sign_in: SignIn) -> None:
    source, service = support.make_source("shop"), Service.objects.create(slug="shop-db", name="Shop database")
    client, url = sign_in("admin"), page("source_settings", source.pk)

    form = client.get(url).context["form"]
    untouched = {field.html_name: value for field in form if (value := field.value()) not in (None, "", False)}
    assert untouched["set_sslmode"] == "prefer", "the form shows the default of what is not stored"
    assert client.post(url, untouched).status_code == 302
    assert client.post(url, {**untouched, "service": service.pk}).status_code == 302

    source.refresh_from_db()
    assert source.service == service
    assert unsealed(source.sealed_settings) == {"password": "very secret"}


def test_a_kept_secret_does_not_follow_to_another_address(sign_in: SignIn) -> None:
    source = support.make_source("shop")
    client, url = sign_in("admin"), page("source_settings", source.pk)
    form = {**SOURCE, "set_password": "", "policy": source.policy_id, "enabled": "on", "set_host": "other"}

    answer = client.post(url, form)

    source.refresh_from_db()
    assert source.settings["host"] != "other"
    assert "enter it again" in answer.content.decode()


def test_a_secret_is_replaced_or_forgotten(sign_in: SignIn) -> None:
    source = support.make_source("shop")
    client, url = sign_in("admin"), page("source_settings", source.pk)
    form = {**SOURCE, "policy": source.policy_id}

    client.post(url, {**form, "set_password": "another"})
    source.refresh_from_db()
    assert unsealed(source.sealed_settings) == {"password": "another"}

    client.post(url, {**form, "set_password": "", "forget_password": "on"})
    source.refresh_from_db()
    assert unsealed(source.sealed_settings) == {}
    assert not source.enabled, "the switch was off in the form"


def test_a_store_is_tried_before_it_is_saved(sign_in: SignIn, tmp_path: Path) -> None:
    client, url = sign_in("admin"), page("store_add")
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")

    refused = client.post(url, {"name": "Big", "slug": "big", "set_path": str(in_the_way / "below")})
    relative = client.post(url, {"name": "Big", "slug": "big", "set_path": "relative"})
    assert "__all__" in errors(refused) or "set_path" in errors(refused)
    assert "set_path" in errors(relative)
    assert not Store.objects.exists()

    client.post(url, {"name": "Big", "slug": "big", "set_path": str(tmp_path / "store")})
    store = Store.objects.get()
    assert "a small file was written" in client.post(page("store_try", store.pk), follow=True).content.decode()
    assert (
        "There is a store" in errors(client.post(url, {"name": "B", "slug": "big", "set_path": str(tmp_path)}))["slug"]
    )


def test_a_store_that_does_not_work_says_why(sign_in: SignIn, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Store.objects.create(slug="x", name="X", driver="local", settings={"path": str(tmp_path / "file")})

    assert errors(sign_in("admin").post(page("store_try", store.pk)))["__all__"]


POLICY = {
    "name": "Gold", "slug": "gold", "online_days": "30", "max_attempts": "5", "time_limit_seconds": "6 h",
    "when_busy": "refuse", "rpo_seconds": "1 h 30 min", "rto_seconds": "4h", "daily_restore_tests": "1",
    "custom_checks": "[]",
}  # fmt: skip


def test_a_policy_takes_spans_as_people_say_them_and_is_audited(sign_in: SignIn) -> None:
    store = support.make_policy().store
    client = sign_in("admin")

    client.post(page("policy_add"), {**POLICY, "store": store.pk})
    policy = Policy.objects.get(slug="gold")
    assert (policy.rpo_seconds, policy.rto_seconds, policy.time_limit_seconds) == (5400, 14_400, 21_600)

    client.post(page("policy_change", policy.pk), {**POLICY, "store": store.pk, "rpo_seconds": "2 d"})
    entry = AuditEntry.objects.get(action="backups.policy.changed")
    assert (entry.before, entry.after) == ({"rpo_seconds": 5400}, {"rpo_seconds": 172_800})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rpo_seconds", "soon"),
        ("rpo_seconds", "5 s"),
        ("time_limit_seconds", "2 d"),
        ("custom_checks", '{"name": "x"}'),
        ("custom_checks", '[{"name": "x"}]'),
        ("custom_checks", "[1"),
        ("online_days", "0"),
        ("slug", "standard"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_beside_the_field(sign_in: SignIn, field: str, value: str) -> None:
    store = support.make_policy().store

    answer = sign_in("admin").post(page("policy_add"), {**POLICY, "store": store.pk, field: value})

    assert answer.status_code == 200
    assert set(answer.context["adminform"].form.errors) == {field}


def test_a_policy_shows_each_beat_in_words_and_as_it_is_written(sign_in: SignIn) -> None:
    policy = support.make_policy()

    seen = sign_in("viewer").get(page("policy_change", policy.pk)).content.decode()

    for words in ("Every day at 02:00 UTC", "<code>0 2 * * 0</code>", "Every 6 hours on the hour", "365 days"):
        assert words in seen, words


def test_a_beat_is_added_changed_switched_off_and_removed_with_its_row_in_the_schedule(sign_in: SignIn) -> None:
    policy = support.make_policy()
    client = sign_in("admin")

    client.post(page("policy_add_beat", policy.pk), BEAT)
    beat = Cadence.objects.get(label="every night")
    crontab = beat.periodic_task.crontab
    assert crontab is not None
    assert (crontab.hour, crontab.day_of_week, str(crontab.timezone), beat.keep_days) == (
        "3",
        "1-5",
        "Europe/Madrid",
        90,
    )

    url = page("policy_beat", policy.pk, beat.pk)
    assert 'value="30"' in client.get(url).content.decode()
    client.post(url, {**BEAT, "hour": "4", "enabled": "on", "keep_days": ""})
    beat.refresh_from_db()
    assert beat.periodic_task.crontab.hour == "4"
    assert beat.next_due_at is not None
    assert beat.next_due_at > utc_now()
    changed = AuditEntry.objects.get(action="backups.cadence.changed").after
    assert changed
    assert changed["rule"] == "30 4 * * 1-5 Europe/Madrid"

    client.post(url, {**BEAT, "hour": "4"})
    beat.refresh_from_db()
    assert not beat.periodic_task.enabled
    assert beat.next_due_at is None
    assert "Switched off" in client.get(page("policy_change", policy.pk)).content.decode()

    task = beat.periodic_task
    client.post(page("policy_remove_beat", policy.pk, beat.pk))
    assert not Cadence.objects.filter(pk=beat.pk).exists()
    assert not type(task).objects.filter(pk=task.pk).exists()


@pytest.mark.parametrize("wrong", [{"hour": "25"}, {"zone": "Mars/Olympus"}, {"minute": "x"}, {"label": "daily full"}])
def test_a_beat_that_makes_no_sense_is_refused(sign_in: SignIn, wrong: dict[str, str]) -> None:
    policy = support.make_policy()
    beats = Cadence.objects.count()
    weekly = policy.cadences.get(label="weekly image")
    client = sign_in("admin")

    assert errors(client.post(page("policy_add_beat", policy.pk), {**BEAT, **wrong}))
    assert errors(client.post(page("policy_beat", policy.pk, weekly.pk), {**BEAT, **wrong}))
    assert Cadence.objects.count() == beats


def test_a_type_an_engine_of_the_policy_lacks_is_refused_beside_the_type(sign_in: SignIn) -> None:
    policy = support.make_policy(slug="dumps", name="Dumps")
    support.make_source("crm", engine="postgres-dump", policy=policy)
    daily = policy.cadences.get(label="daily full")
    form = {**BEAT, "backup_type": "incremental"}
    client = sign_in("admin")

    assert "knows full only" in errors(client.post(page("policy_add_beat", policy.pk), form))["backup_type"]
    assert "knows full only" in errors(client.post(page("policy_beat", policy.pk, daily.pk), form))["backup_type"]


def test_an_edit_of_the_row_in_the_schedule_is_audited(sign_in: SignIn) -> None:
    task = support.make_policy().cadences.get(label="daily full").periodic_task
    url = reverse("admin:django_celery_beat_periodictask_change", args=[task.pk])
    client = sign_in("admin")
    form = {
        "name": task.name, "task": task.task, "crontab": task.crontab_id, "args": "[]", "kwargs": "{}",
        "headers": "{}", "expire_seconds": "55",
    }  # fmt: skip

    assert client.get(url).status_code == 200
    assert client.post(url, form).status_code == 302

    task.refresh_from_db()
    assert not task.enabled
    assert AuditEntry.objects.filter(action="django_celery_beat.periodictask.changed").exists()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("1 h 30 min", 5400), ("2d", 172_800), ("1 w", 604_800), ("45 MIN", 2700), ("1 h, 5 s", 3605)],
)
def test_spans_are_read_as_people_write_them(text: str, seconds: int) -> None:
    assert SpanField().clean(text) == seconds
    assert SpanField().prepare_value(int(timedelta(hours=26).total_seconds())) == "1 d 2 h"


def test_a_span_that_words_cannot_say_is_kept_as_it_is_when_its_form_is_saved() -> None:
    shown = SpanField().prepare_value(93_784)
    assert shown == "93784 s"
    assert SpanField().clean(shown) == 93_784
