"""Pages of notifications and alerts in a real browser: previews follow the keys and run nothing; all fits a phone."""

import pytest
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from catalogue.models import Service
from notifications.models import Channel, Delivery, Message, MessageTemplate
from notifications.rules import Level
from sysops.kernel.clock import utc_now
from tests.admin.test_browser import TOO_WIDE, _roles, browser, signed_in
from tests.alerting.support import fire, maintenance
from tests.notifications.furnished import furnish

__all__ = ["_roles", "browser"]

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def go(page: Page, server: LiveServer, name: str, *args: object) -> None:
    page.goto(f"{server.url}{reverse(f'admin:{name}', args=args)}")


def test_a_preview_follows_what_is_written_and_runs_nothing_of_it(browser: Browser, live_server: LiveServer) -> None:
    with signed_in(browser, live_server, role="admin", width=1440) as page:
        go(page, live_server, "notifications_messagetemplate_edit", "alert.raised")

        page.get_by_label("HTML").fill("<p>Mind: <b>{{ title }}</b></p>")
        expect(page.frame_locator("[data-preview-html]").get_by_text("Mind: Backups of shop-db fail")).to_be_visible()
        page.get_by_label("Text").fill("<i>Plain</i> {{ title }}")
        plain = page.frame_locator("[data-preview-text]").get_by_text("<i>Plain</i> Backups of shop-db fail")
        expect(plain).to_be_visible()
        page.get_by_label("Subject").fill("{% if %}")
        expect(page.locator("[data-preview-problem]")).to_contain_text("subject")


def test_a_script_in_words_is_blocked_by_the_browser(browser: Browser, live_server: LiveServer) -> None:
    words = "<p>{{ title }}</p><script>parent.stolen = 1</script>"
    MessageTemplate.objects.create(kind="alert.raised", subject="x", text="x", html=words)

    with pytest.raises(AssertionError, match="sandboxed"):  # what the browser's console complains of
        _look_at_words(browser, live_server)


def _look_at_words(browser: Browser, server: LiveServer) -> None:
    with signed_in(browser, server, role="operator", width=1440) as page:
        go(page, server, "notifications_messagetemplate_edit", "alert.raised")
        expect(page.frame_locator("[data-preview-html]").get_by_text("Backups of shop-db fail")).to_be_visible()
        assert page.evaluate("window.stolen") is None


def test_every_page_fits_a_phone(browser: Browser, live_server: LiveServer) -> None:
    now = utc_now()
    furnish(now=now)
    service = Service.objects.get()
    maintenance(service, at=now)
    alert = fire(service, title="<script>" + "disk" * 60, detail="x" * 2_000, level=Level.CRITICAL, at=now)
    fire(None, key="long", title="word " * 50, at=now)

    with signed_in(browser, live_server, role="admin", width=390) as page:
        for name in ("channel", "route", "messagetemplate", "message", "delivery"):
            go(page, live_server, f"notifications_{name}_changelist")
            assert not page.evaluate(TOO_WIDE), name
        for row in (alert, *Channel.objects.all(), *Message.objects.all()[:4], *Delivery.objects.all()[:4]):
            go(page, live_server, f"{row._meta.app_label}_{row._meta.model_name}_change", row.pk)
            assert not page.evaluate(TOO_WIDE), row
        for name, args in (("alerting_alert_changelist", ()), ("notifications_channel_add", ())):
            go(page, live_server, name, *args)
            assert not page.evaluate(TOO_WIDE), name
        go(page, live_server, "notifications_messagetemplate_edit", "maintenance.scheduled")
        assert not page.evaluate(TOO_WIDE)
