"""Errors in a real browser: nothing in an event runs, no page is wider than a phone, what is clicked happens."""

import json

import pytest
from playwright.sync_api import Browser, Dialog, Page, expect
from pytest_django.live_server_helper import LiveServer

from errors import shipped
from errors.models import Event, Issue, SeverityLevel, SeverityRule
from errors.rules import Kind
from sysops.kernel.clock import utc_now
from tests.admin import errors_house as house
from tests.admin.test_browser import TOO_WIDE, _roles, browser, signed_in
from tests.errors.support import digest_all, issue, key, project, put_in_spool

__all__ = ["_roles", "browser"]

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

OPEN_ALL = "document.querySelectorAll('details').forEach((one) => { one.open = true; })"
TOUCH_ALL = """
for (const one of document.querySelectorAll('main *, #main *, .so *'))
  for (const name of ['mouseover', 'focus', 'load', 'error', 'toggle', 'animationend'])
    one.dispatchEvent(new Event(name));
"""
LINKS = """
[...document.querySelectorAll('[href], [src], [action], [formaction]')]
  .flatMap((one) => ['href', 'src', 'action', 'formaction'].map((name) => one.getAttribute(name) || ''))
  .filter((link) => /^[\\s\\x00-\\x1f]*(javascript|data:text|vbscript)/i.test(link))
"""
STRANGERS = "document.querySelectorAll('iframe, object, embed, [onerror], [onload], [onmouseover]').length"


def nothing_ran(page: Page, address: str) -> None:
    """The page is open, everything on it unfolded and touched, and no text of an event has done anything."""
    dialogs: list[str] = []

    def note(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", note)
    page.goto(address)
    page.evaluate(OPEN_ALL)
    page.evaluate(TOUCH_ALL)
    page.wait_for_timeout(150)
    assert page.evaluate("window.owned") is None, address
    assert dialogs == [], address
    assert page.evaluate(LINKS) == [], address
    assert page.evaluate(STRANGERS) == 0, address
    page.remove_listener("dialog", note)


def addresses(server: LiveServer, of: Issue) -> list[str]:
    under = f"{server.url}/admin/errors"
    return [
        f"{under}/issue/", f"{under}/issue/?what=all", f"{under}/issue/{of.pk}/change/",
        f"{under}/issue/{of.pk}/resolve/", f"{under}/issue/{of.pk}/merge/",
        f"{under}/issue/together/merge/?ids={of.pk}", f"{under}/project/", f"{under}/project/{of.project_id}/change/",
        f"{under}/project/{of.project_id}/edit/", f"{under}/undigestible/",
    ]  # fmt: skip


def test_nothing_that_lies_in_a_stored_event_runs(browser: Browser, live_server: LiveServer) -> None:
    made = house.hostile_issue()

    with signed_in(browser, live_server, role="admin", width=1440) as page:
        for address in addresses(live_server, made):
            nothing_ran(page, address)
        page.goto(f"{live_server.url}/admin/errors/issue/{made.pk}/change/")
        shown = page.locator(".so-issue").inner_text()
        assert "<script>window.owned" in shown  # it is there, as text
        assert "{% debug %}" in shown
        with page.expect_download() as started:
            page.get_by_role("link", name="html").first.click()
        assert started.value.suggested_filename.endswith(".html")
        assert "<" not in started.value.suggested_filename
        nothing_ran(page, page.url)


def test_nothing_that_is_reported_runs_after_the_digest(browser: Browser, live_server: LiveServer) -> None:
    home = project("shop", name="Shop")
    event_id = issue(project("other")).latest_event_id
    assert event_id is not None
    put_in_spool(home, json.dumps(house.hostile_event(event_id)).encode(), kind=Kind.STORE, at=utc_now())
    digest_all(at=utc_now())
    stored = Event.objects.get(project=home)
    made = Issue.objects.get(groupings=stored.grouping_id)

    with signed_in(browser, live_server, role="admin", width=1440) as page:
        for address in addresses(live_server, made)[:3]:
            nothing_ran(page, address)
        expect(page.locator(".so-thrown").first).to_contain_text("<script>window.owned")


def test_the_pages_of_errors_are_no_wider_than_a_phone(browser: Browser, live_server: LiveServer) -> None:
    first = house.furnish()
    evil = house.hostile_issue()
    under = "errors"
    paths = [
        f"{under}/issue/?what=all", f"{under}/issue/{first.pk}/change/", f"{under}/issue/{evil.pk}/change/",
        f"{under}/issue/{first.pk}/resolve/", f"{under}/issue/{first.pk}/ignore/", f"{under}/project/",
        f"{under}/project/{first.project_id}/change/", f"{under}/project/{evil.project_id}/change/",
        f"{under}/project/{first.project_id}/edit/", f"{under}/project/add/", f"{under}/severityrule/",
        f"{under}/severityrule/add/", f"{under}/severitylevel/", f"{under}/assignmentrule/add/",
        f"{under}/undigestible/",
    ]  # fmt: skip

    with signed_in(browser, live_server, role="admin", width=390) as page:
        for path in paths:
            page.goto(f"{live_server.url}/admin/{path}")
            page.evaluate(OPEN_ALL)
            assert not page.evaluate(TOO_WIDE), path


def test_what_a_rule_asks_is_read_whole_on_a_phone(browser: Browser, live_server: LiveServer) -> None:
    SeverityRule.objects.create(
        slug="long", name="Long", severity="high", position=1,
        conditions={"message": "*" + "payment provider did not answer " * 5 + "at all*", "error_type": ["A" * 60]},
    )  # fmt: skip
    SeverityLevel.objects.all().delete()
    SeverityLevel.objects.create(severity="high", meaning=shipped.LEVELS[1].meaning, respond_within_seconds=3600)
    clipped = """[...document.querySelectorAll('#result_list :is(.field-says, .field-means)')].filter((cell) => {
      const text = document.createRange();
      text.selectNodeContents(cell);
      const [drawn, frame] = [text.getBoundingClientRect(), cell.getBoundingClientRect()];
      return drawn.right > document.documentElement.clientWidth
        || drawn.top < frame.top || drawn.bottom > frame.bottom;
    }).length"""

    with signed_in(browser, live_server, role="viewer", width=390) as page:
        page.goto(f"{live_server.url}/admin/errors/severityrule/")
        expect(page.locator("#result_list .field-says").first).to_contain_text("payment provider")
        assert page.evaluate(clipped) == 0
        expect(page.get_by_text("at all*")).to_be_visible()
        expect(page.get_by_text("…")).to_be_hidden()
        page.goto(f"{live_server.url}/admin/errors/severitylevel/")
        expect(page.locator("#result_list .field-means")).to_contain_text("several accounts meet it")
        assert page.evaluate(clipped) == 0
        label = "getComputedStyle(document.querySelector('.field-respond_within'), '::before').textTransform"
        assert page.evaluate(label) == "none"  # "Respond within", not "Respond Within"


def test_somebody_reads_an_issue_and_deals_with_it(browser: Browser, live_server: LiveServer) -> None:
    first = house.furnish()

    with signed_in(browser, live_server, role="operator", width=1440) as page:
        page.goto(f"{live_server.url}/admin/errors/issue/")
        page.get_by_role("link", name="PaymentTimeout").first.click()
        expect(page.get_by_text("Nobody has responded")).to_be_visible()
        expect(page.get_by_text("answer = self.gateway.post").first).to_be_visible()
        expect(page.get_by_text("self.build_request(method, url)").first).to_be_hidden()  # of a library

        page.get_by_label("Comment").fill("I call the provider.")
        page.get_by_role("button", name="Add the comment").click()
        expect(page.get_by_text("I call the provider.")).to_be_visible()
        page.get_by_role("link", name="Resolve…").click()
        page.get_by_label("In the release named below").check()
        page.get_by_role("textbox", name="Release").fill("shop@2.14.1")
        page.get_by_role("button", name="Resolve").click()

        expect(page.get_by_text("Resolved by operator-person", exact=True)).to_be_visible()
        first.refresh_from_db()
        assert (first.status, first.resolved_in_release) == ("resolved", "shop@2.14.1")


def test_the_dsn_is_copied_with_a_click(browser: Browser, live_server: LiveServer) -> None:
    home = project("shop")
    made = key(home)

    with signed_in(browser, live_server, role="admin", width=390) as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.goto(f"{live_server.url}/admin/errors/project/{home.pk}/change/")
        page.get_by_role("button", name="Copy the DSN").click()
        expect(page.get_by_role("button", name="Copied")).to_be_visible()
        assert made.public in page.evaluate("navigator.clipboard.readText()")
