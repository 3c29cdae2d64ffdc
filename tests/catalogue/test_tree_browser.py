"""The tree and the rota in a real browser: nothing is wider than a phone, and the page has nothing to complain of."""

import os
import shutil
from collections.abc import Iterator
from datetime import date, time

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connections
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, sync_playwright
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from catalogue import rota, services
from catalogue.models import Person, Service, Team
from catalogue.rules import State
from catalogue.services import oncall
from sysops.access.actors import Actor

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

BY = Actor.system()
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
TOO_WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


@pytest.fixture
def page(live_server: LiveServer, settings: Settings) -> Iterator[Page]:
    """A phone's page, signed in; fails for whatever the browser's console complains of."""
    settings.WHITENOISE_AUTOREFRESH = True
    call_command("migrate", verbosity=0)  # a flushed database has no roles any more
    client = Client()
    client.force_login(User.objects.create_superuser("root-person", password="a long enough one"))
    cookie = client.cookies[django_settings.SESSION_COOKIE_NAME].value
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert path, "These tests need Chromium: apt-get install chromium"
    complaints: list[str] = []
    with sync_playwright() as playwright, pytest.MonkeyPatch.context() as environ:
        # Playwright runs an event loop in the thread that also asks Django's database.
        environ.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        context = browser.new_context(viewport={"width": 390, "height": 844}, base_url=live_server.url)
        context.add_cookies([{"name": django_settings.SESSION_COOKIE_NAME, "value": cookie, "url": live_server.url}])
        opened = context.new_page()
        opened.on("console", lambda line: complaints.append(line.text) if line.type in ("error", "warning") else None)
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        yield opened
        browser.close()
        connections.close_all()  # Playwright's loop has a connection of its own, which nobody else would close
    assert complaints == []


def furnish() -> Team:
    """A team with a rota, and services eight levels deep."""
    now = timezone.now()
    ada, bob = (
        services.create(Person, {"slug": slug, "name": f"{slug.title()} with a long family name"}, by=BY, at=now)
        for slug in ("ada", "bob")
    )
    team = services.create(Team, {"slug": "ops", "name": "Operations", "members": [ada, bob]}, by=BY, at=now)
    nights = rota.Rotation("Nights", (ada.pk, bob.pk), date(2026, 3, 2), time(9), 1, time(20), time(6))
    oncall.set_rota(team, time_zone="Europe/London", rotations=[nights], by=BY, at=now)
    below: list[Service] = []
    for n, state in enumerate([*State, *State]):
        values = {"name": f"Service number {n} of the shop", "slug": f"s-{n}", "depends_on": below, "owner_team": team}
        below = [services.create(Service, values, by=BY, at=now)]
        services.set_state(below[0], state, by=BY, at=now)
    return team


def test_the_tree_and_the_rota_fit_on_a_phone(page: Page) -> None:
    team = furnish()

    addresses = {
        "tree": reverse("admin:catalogue_service_tree"),
        "rota": reverse("admin:catalogue_rota_change", args=[team.rota.pk]),
    }
    for name, address in addresses.items():
        page.goto(address)
        if os.environ.get("SHOTS"):
            page.screenshot(path=f"{os.environ['SHOTS']}/{name}.png", full_page=True)
        assert not page.evaluate(TOO_WIDE), f"{name} is wider than the phone"


def test_a_rotation_is_added_and_its_people_chosen_by_hand(page: Page) -> None:
    team = furnish()
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(reverse("admin:catalogue_rota_change", args=[team.rota.pk]))
    if os.environ.get("SHOTS"):
        page.screenshot(path=f"{os.environ['SHOTS']}/wide.png", full_page=True)

    page.get_by_role("link", name="Add another Rotation").click()
    page.locator("#id_rotations-1-name").fill("Days")
    page.locator("#id_rotations-1-order").fill("2")
    page.locator("#id_rotations-1-starts_on").fill("2026-03-02")
    page.locator("#id_rotations-1-handover_at").fill("09:00")
    page.locator("select[name=rotations-1-people]").first.select_option(label="Bob with a long family name (bob)")
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_url("**/rota/")

    assert [one.name for one in team.rota.rotations.order_by("position")] == ["Nights", "Days"]
