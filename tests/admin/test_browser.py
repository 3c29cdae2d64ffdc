"""The admin in a real browser: what is clicked happens, what runs moves, nothing is wider than a phone."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.contrib.auth.models import Group, User
from playwright.sync_api import Browser, Page, expect, sync_playwright
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from backups.models import Backup, Restore, Source
from tests.admin import support
from tests.backups.support import Hands

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PASSWORD = "a long enough one"
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run"]  # fmt: skip
TOO_WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert path, "These tests need Chromium: apt-get install chromium"
    with sync_playwright() as playwright, pytest.MonkeyPatch.context() as environ:
        # Playwright runs an event loop in the thread that also asks Django's database.
        environ.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        opened = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield opened
        opened.close()


@contextmanager
def signed_in(browser: Browser, server: LiveServer, *, role: str, width: int) -> Iterator[Page]:
    """A page on the dashboard, signed in by hand. Fails for whatever the browser's console complains of."""
    user = User.objects.create_user(f"{role}-person", password=PASSWORD, is_staff=True)
    user.groups.add(Group.objects.get_or_create(name=role)[0])
    context = browser.new_context(viewport={"width": width, "height": 844})
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda line: complaints.append(line.text) if line.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{server.url}/admin/")
    page.fill("#id_username", user.username)
    page.fill("#id_password", PASSWORD)
    page.press("#id_password", "Enter")
    expect(page.get_by_role("heading", name="What runs now")).to_be_visible()
    yield page
    context.close()
    assert complaints == []


@pytest.fixture(autouse=True)
def _roles(transactional_db: None, settings: Settings) -> None:
    """A flushed database has no roles any more."""
    from django.core.management import call_command

    settings.WHITENOISE_AUTOREFRESH = True
    if not Group.objects.filter(name="operator").exists():
        call_command("migrate", verbosity=0)


def test_somebody_signs_in_and_takes_a_backup_and_watches_it(
    browser: Browser, live_server: LiveServer, hands: Hands
) -> None:
    support.make_source("shop", engine="fake")

    with signed_in(browser, live_server, role="operator", width=1440) as page:
        page.get_by_role("link", name="Back up now").first.click()
        page.get_by_label("Incremental").check()
        page.get_by_role("button", name="Back up now").click()

        backup = Backup.objects.get()
        expect(page.get_by_text(f"Incremental backup {backup.pk} of Shop is queued.")).to_be_visible()
        expect(page.locator("main, #main").get_by_text("Waiting for a worker")).to_be_visible()

        hands.at = backup.requested_at
        hands.take(backup)
        expect(page.get_by_text("Succeeded").first).to_be_visible(timeout=8000)  # by itself, without a reload
        expect(page.get_by_role("link", name="Cancel")).to_have_count(0)


def test_the_dashboard_follows_the_work_and_says_less_to_the_ear(browser: Browser, live_server: LiveServer) -> None:
    support.furnish()

    with signed_in(browser, live_server, role="viewer", width=1440) as page:
        running = page.locator('[data-part="running"]')
        expect(running.get_by_text("61 %")).to_be_visible()
        Backup.objects.filter(status="running").update(done_bytes=1_932_735_283)

        expect(running.get_by_text("90 %")).to_be_visible(timeout=8000)
        Backup.objects.filter(status="running").update(done_bytes=2_147_483_648)
        expect(running.get_by_text("100 %")).to_be_visible(timeout=8000)
        expect(page.locator("[data-say-here]")).to_have_text("3 running, 1 waiting")
        assert page.locator("time[data-localised]").count() > 5


def test_a_page_left_open_says_when_it_is_signed_out(browser: Browser, live_server: LiveServer) -> None:
    support.furnish()

    with signed_in(browser, live_server, role="viewer", width=1440) as page:
        page.context.clear_cookies()
        expect(page.get_by_text("no longer follows the work")).to_be_visible(timeout=8000)


def test_nothing_is_wider_than_a_phone(browser: Browser, live_server: LiveServer) -> None:
    support.furnish()
    shop = Source.objects.get(slug="shop-db")
    running = Backup.objects.get(status="running")
    bad = Backup.objects.get(verification_status="failed")
    restore = Restore.objects.get(status="succeeded")
    source, policy = f"backups/source/{shop.pk}", f"backups/policy/{shop.policy_id}"
    paths = [
        "", "backups/backup/", "backups/source/", "backups/verification/", "backups/restore/", "backups/policy/",
        f"backups/backup/{running.pk}/change/", f"backups/backup/{bad.pk}/change/", f"{source}/change/",
        f"{source}/settings/", f"{source}/back-up/", f"{policy}/change/", f"{policy}/beats/add/",
        f"backups/restore/{restore.pk}/change/",
    ]  # fmt: skip

    with signed_in(browser, live_server, role="admin", width=390) as page:
        for path in paths:
            page.goto(f"{live_server.url}/admin/{path}")
            assert not page.evaluate(TOO_WIDE), path
