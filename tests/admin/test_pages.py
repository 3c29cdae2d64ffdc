"""Every page opens for whom it should, says what is there, and costs the same however much that is."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from backups.models import Backup, Policy, Restore, Source, Store, Verification
from sysops.events.models import Delivery, Event
from sysops.kernel.clock import utc_now
from tests.admin import support

pytestmark = pytest.mark.django_db

SignIn = Callable[[str], Client]
LISTS = ["backup", "source", "restore", "verification", "policy", "store", "cadenceslot", "removal"]
ROWS = {
    "backup": Backup, "source": Source, "restore": Restore,
    "verification": Verification, "policy": Policy, "store": Store,
}  # fmt: skip
BEATS = ["periodictask", "crontabschedule", "intervalschedule", "clockedschedule", "solarschedule"]
LIVE = ["live-running", "live-overview"]


def page(name: str, *args: object) -> str:
    return reverse(f"admin:backups_{name}", args=args)


def text_of(client: Client, url: str) -> str:
    answer = client.get(url)
    assert answer.status_code == 200, url
    return answer.content.decode()


@pytest.mark.parametrize("role", ["viewer", "admin"])
def test_every_list_and_every_row_in_whatever_state_opens(sign_in: SignIn, role: str) -> None:
    support.furnish()
    client = sign_in(role)

    for name in LISTS:
        text_of(client, page(f"{name}_changelist"))
    for name, model in ROWS.items():
        for row in model._default_manager.all():
            text_of(client, page(f"{name}_change", row.pk))
    for name in BEATS:
        text_of(client, reverse(f"admin:django_celery_beat_{name}_changelist"))
    assert "What is wrong now" in text_of(client, reverse("admin:index"))


def test_filters_and_search_find_what_they_name(sign_in: SignIn) -> None:
    support.furnish()
    client = sign_in("viewer")
    bad = Backup.objects.get(verification_status="failed")
    failed = Backup.objects.get(status="failed")

    by_verdict = text_of(client, page("backup_changelist") + "?verification=failed")
    by_source = text_of(client, page("backup_changelist") + f"?source__id__exact={failed.source_id}")
    by_age = text_of(client, page("backup_changelist") + "?age=1&type=full")
    nothing = text_of(client, page("backup_changelist") + "?q=nonsense")
    by_reason = text_of(client, page("backup_changelist") + "?q=Connection+refused&status=failed")

    assert page("backup_change", bad.pk) in by_verdict
    assert page("backup_change", failed.pk) not in by_verdict
    assert page("backup_change", failed.pk) in by_reason
    assert page("backup_change", failed.pk) not in nothing
    assert page("backup_change", failed.pk) in by_source
    assert page("backup_change", bad.pk) not in by_source
    assert page("backup_change", bad.pk) in by_age


def test_somebody_without_any_role_sees_nothing_of_the_backups(client: Client) -> None:
    backup = support.make_backup(support.make_source("secret-project"))
    client.force_login(User.objects.create_user("nobody", is_staff=True))

    for name in LISTS:
        assert client.get(page(f"{name}_changelist")).status_code == 403
    assert client.get(page("backup_change", backup.pk)).status_code == 403
    assert client.get(page("backup_live", backup.pk)).status_code == 403
    assert client.get(reverse("live-running")).status_code == 403
    for url in (reverse("admin:index"), reverse("live-overview")):
        assert "ecret" not in text_of(client, url)


def test_nothing_is_shown_before_signing_in(client: Client) -> None:
    backup = support.make_backup(support.make_source("shop"))

    for url in [page("backup_live", backup.pk), page("backup_change", backup.pk), *map(reverse, LIVE)]:
        answer = client.get(url)
        assert answer.status_code == 302
        assert answer["Location"].startswith("/admin/login/")


def test_a_viewer_meets_no_button_that_would_be_refused(sign_in: SignIn) -> None:
    support.furnish()
    stored = Backup.objects.filter(status="succeeded", verification_status="passed").earliest("pk")
    running = Backup.objects.get(status="running")
    urls = [
        page("backup_changelist"),
        page("backup_change", stored.pk),
        page("backup_change", running.pk),
        page("source_changelist"),
        page("source_change", stored.source_id),
        page("policy_change", stored.source.policy_id),
    ]

    seen = "".join(text_of(sign_in("viewer"), url) for url in urls)

    assert not re.search(r"/\d+/(back-up|restore|verify|cancel|hold|settings|beats)/", seen)
    assert "/back-up/" in text_of(sign_in("operator"), urls[4])
    assert page("backup_restore", stored.pk) not in text_of(sign_in("operator"), urls[1])
    assert page("backup_restore", stored.pk) in text_of(sign_in("approver"), urls[1])
    assert "/settings/" not in text_of(sign_in("approver"), urls[4])
    assert "/settings/" in text_of(sign_in("admin"), urls[4])


def test_hostile_text_is_text_everywhere(sign_in: SignIn) -> None:
    evil = support.HOSTILE
    policy = support.make_policy(slug="evil", name=evil)
    source = support.make_source("evil", name=evil, policy=policy, failing_since=utc_now(), failing_reason=evil)
    backup = support.make_backup(
        source, status="failed", failure_reason=evil, host=evil, requested_by=evil, type_reason=evil,
        requested_type="incremental", started_at=utc_now(), location=evil,
        manifest=[{"name": evil, "size_bytes": 1, "sha256": evil}],
    )  # fmt: skip
    check = {
        "name": evil,
        "outcome": evil,
        "detail": evil,
        "figures": {evil: evil, "list": [evil]},
        "duration_seconds": 1,
    }
    look = support.make_verification(backup, detail=evil, checks=[check], status="failed")
    restore = Restore.objects.create(
        backup=backup, target=evil, connection=evil, failure_reason=evil, requested_by=evil,
        requested_at=utc_now(), not_before=utc_now(), checks=[check], status="failed", completed_at=utc_now(),
    )  # fmt: skip
    event = Event.objects.create(name="a.b", subject="1", at=utc_now())
    Delivery.objects.create(event=event, subscriber="x", state="dead", due_at=utc_now(), error=evil)
    client = sign_in("admin")
    urls = [
        reverse("admin:index"), reverse("live-overview"), page("backup_change", backup.pk),
        page("source_change", source.pk), page("source_settings", source.pk), page("source_back_up", source.pk),
        page("verification_change", look.pk), page("restore_change", restore.pk), page("policy_change", policy.pk),
        *(page(f"{name}_changelist") for name in LISTS),
    ]  # fmt: skip

    for url in urls:
        assert "<script>document" not in text_of(client, url), url
    assert "&lt;script&gt;document" in text_of(client, page("backup_change", backup.pk))


@pytest.mark.parametrize(
    ("url", "count"),
    [
        ("admin:index", 40),
        ("live-overview", 33),
        ("live-running", 11),
        ("admin:backups_backup_changelist", 6),
        ("admin:backups_source_changelist", 8),
        ("admin:backups_verification_changelist", 6),
        ("admin:backups_restore_changelist", 6),
        ("admin:backups_policy_changelist", 7),
        ("admin:backups_store_changelist", 8),
    ],
)
def test_a_page_takes_as_many_queries_for_twenty_sources_as_for_one(sign_in: SignIn, url: str, count: int) -> None:
    client = sign_in("admin")

    def queries() -> int:
        client.get(reverse(url))  # what is cached for the process is cached now
        with CaptureQueriesContext(connection) as seen:
            text_of(client, reverse(url))
        return len(seen)

    _a_source_with_everything("first")
    for_one = queries()
    for n in range(19):
        _a_source_with_everything(f"more-{n}")
    for_twenty = queries()

    assert (for_one, for_twenty) == (count, count)


def _a_source_with_everything(slug: str) -> None:
    source = support.make_source(slug, failing_since=utc_now())
    full = support.make_backup(source, ago=timedelta(hours=3), verification_status="could_not_verify")
    support.make_backup(source, status="running", started_at=utc_now())
    support.make_backup(source, status="queued", attempt=1, not_before=utc_now() + timedelta(minutes=5))
    support.make_verification(full)
    support.make_verification(full, status="running", completed_at=None)
    common = {"backup": full, "requested_by": "x", "requested_at": utc_now(), "not_before": utc_now()}
    Restore.objects.create(target=f"/r/{slug}", status="running", started_at=utc_now(), **common)
    Restore.objects.create(target=f"/r/{slug}", status="failed", completed_at=utc_now(), **common)


def test_the_dashboard_says_so_when_nothing_is_wrong(sign_in: SignIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sysops.dashboard.health_summary", lambda found: [])
    source = support.make_source("shop")
    support.make_verification(support.make_backup(source, ago=timedelta(minutes=5), proven_at=utc_now()))

    seen = text_of(sign_in("viewer"), reverse("admin:index"))

    assert "Nothing is wrong" in seen
    assert "1 of 1 source ready" in seen


def test_the_dashboard_names_each_trouble_with_its_next_step(sign_in: SignIn) -> None:
    support.furnish()
    event = Event.objects.create(name="a.b", subject="1", at=utc_now())
    Delivery.objects.create(event=event, subscriber="x", state="dead", due_at=utc_now())
    bad = Backup.objects.get(verification_status="failed")
    ledger = Source.objects.get(slug="ledger")

    seen = text_of(sign_in("operator"), reverse("admin:index"))

    for words in (
        "Backups of Ledger are failing",
        f"Backup {bad.pk} of Blog db is known bad",
        "New warehouse could not be brought back as promised",
        "could not be verified",
        "Restore 2 of Shop db failed" if Restore.objects.filter(pk=2).exists() else "of Shop db failed",
        "1 event delivery was given up",
        "Next try at backup",
        "01:30 Europe/Madrid",
    ):
        assert words in seen, words
    assert page("source_back_up", ledger.pk) in seen


def test_progress_shows_percent_bytes_rate_and_time_left(sign_in: SignIn) -> None:
    support.furnish()
    running = Backup.objects.get(status="running")
    client = sign_in("operator")

    for url in (reverse("live-running"), page("backup_live", running.pk)):
        seen = text_of(client, url)
        for figure in ('value="61.0"', "1.31 GB of 2.15 GB", "48.3 MB/s", "17 s left"):
            assert figure in seen, (url, figure)
    assert "data-live-end" not in seen


def test_a_page_stops_following_work_that_has_ended(sign_in: SignIn) -> None:
    backup = support.make_backup(support.make_source("shop"))

    assert "data-live-end" in text_of(sign_in("viewer"), page("backup_live", backup.pk))
    assert "data-live=" not in text_of(sign_in("viewer"), page("backup_change", backup.pk))


def test_no_page_of_ours_needs_a_script_or_style_within_it(sign_in: SignIn) -> None:
    support.furnish()
    running = Backup.objects.get(status="running")

    for url in (reverse("live-running"), reverse("live-overview"), page("backup_live", running.pk)):
        seen = text_of(sign_in("admin"), url)
        for inline in ("<script", "<style", " style=", " onclick="):
            assert inline not in seen, url


def test_whatever_a_page_loads_comes_from_here(sign_in: SignIn) -> None:
    client = sign_in("admin")
    support.furnish()
    seen = text_of(client, reverse("admin:index")) + text_of(client, page("backup_changelist"))

    loaded = set(re.findall(r'<(?:script|img|link)[^>]*?(?:src|href)="([^"]+)"', seen))

    assert "/static/sysops/live.js" in loaded
    for address in loaded:
        assert address.startswith("/"), address
        assert client.get(address).status_code == 200, address


@pytest.mark.parametrize("role", ["viewer", "security"])
def test_the_side_bar_names_only_what_opens(sign_in: SignIn, role: str) -> None:
    client = sign_in(role)
    seen = text_of(client, reverse("admin:index"))
    named = set(re.findall(r'href="(/admin/[a-z_]+/[a-z]+/)"', seen))

    assert page("backup_changelist") in named
    assert (reverse("admin:access_auditentry_changelist") in named) is (role == "security")
    for address in named:
        text_of(client, address)


def test_a_source_whose_secret_no_key_opens_is_shown_and_says_what_to_do(sign_in: SignIn) -> None:
    support.make_policy()
    source = support.make_source("shop")
    Source.objects.filter(pk=source.pk).update(sealed_settings='{"names": ["password"], "sealed": "of a lost key"}')
    client = sign_in("admin")

    shown = text_of(client, page("source_change", source.pk))

    assert "********" in shown
    assert "enter the secret again" in shown
    text_of(client, page("source_settings", source.pk))
    text_of(client, page("source_changelist"))
