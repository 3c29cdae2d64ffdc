"""The report as a page: what it says, to whom, and that nothing in it is more than text."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from catalogue.models import Person
from maintenance import report_words
from maintenance.models import Window
from maintenance.services import reports, running
from sysops.access.roles import Role
from tests.maintenance.support import BY, HOUR, START, FakeGate, clock, make_running, make_service, make_window

pytestmark = pytest.mark.django_db(transaction=True)

EVIL = "<script>alert(1)</script>"
INTO_JSON = {"evil": EVIL, "text": "</pre><img src=x onerror=alert(1)>"}


@pytest.fixture(autouse=True)
def _quick_clients(settings: Settings) -> None:
    settings.WHITENOISE_AUTOREFRESH = True


def signed_in(role: Role | None = Role.VIEWER) -> Client:
    from django.contrib.auth.models import Group

    user = User.objects.create_user("ada", password="x", is_staff=True)
    if role:
        user.groups.add(Group.objects.get(name=role.value))
    made = Client()
    made.force_login(user)
    return made


def page_of(window: Window, client: Client, query: str = "") -> str:
    answer = client.get(f"/admin/maintenance/window/{window.pk}/report/{query}")
    assert answer.status_code == 200, answer.content
    return answer.content.decode()


def completed(*, took: timedelta = HOUR, title: str = "Upgrade") -> Window:
    below = make_service("shop-db")
    make_service("shop", below)
    window = make_running(below, title=title)
    running.post_update(window, message="Half way.", by=BY, at=START + took / 2)
    return running.complete(Window.objects.get(pk=window.pk), by=BY, at=START + took)


def test_a_completed_window_shows_what_was_planned_and_what_happened() -> None:
    window = completed(took=2 * HOUR + timedelta(minutes=25))

    page = page_of(window, signed_in())

    for words in ("Upgrade", "First planned", "2 h 25 min", "Longer than planned", "25 min", "shop-db", "Half way."):
        assert words in page, words
    assert "are frozen once it is completed" not in page
    assert f'href="/admin/maintenance/window/{window.pk}/change/"' in page


def test_an_open_window_shows_how_it_stands_and_says_that_it_is_not_frozen() -> None:
    window = make_running(make_service("shop-db"))

    page = page_of(window, signed_in())

    assert "This window is in progress" in page
    assert Window.objects.get().report is None


def test_times_are_those_of_the_reader() -> None:
    window = completed()
    client = signed_in()
    assert "Times (UTC)" in page_of(window, client)
    assert "2027-01-15 11:00" in page_of(window, client, "?zone=Asia/Tokyo")

    Person.objects.create(slug="ada", name="Ada", time_zone="America/New_York", user=User.objects.get())

    page = page_of(window, client)
    assert "Times (America/New_York)" in page
    assert "2027-01-14 21:00" in page
    assert "Times (America/New_York)" in page_of(window, client, "?zone=<script>")


def test_nothing_that_anybody_wrote_becomes_markup(gate: FakeGate) -> None:
    below = make_service("shop-db", name=EVIL)
    window = make_running(below, title=EVIL, time_zone="UTC")
    running.post_update(window, message=EVIL, by=BY, at=START)
    running.complete(Window.objects.get(pk=window.pk), by=BY, at=START + HOUR)
    row = Window.objects.get(pk=window.pk)
    assert row.report is not None
    row.report["sections"] = {"third_party": INTO_JSON, "alerts": None}
    row.report["not_known"] = {"alerts": EVIL}
    row.description = EVIL
    row.save()

    page = page_of(row, signed_in())

    assert page.count("&lt;script&gt;") >= 6
    assert "<script" not in page
    assert "<img" not in page


def test_whoever_may_not_see_windows_does_not_see_reports() -> None:
    window = completed()
    nobody = signed_in(role=None)

    assert Client().get(f"/admin/maintenance/window/{window.pk}/report/").status_code == 302
    assert nobody.get(f"/admin/maintenance/window/{window.pk}/report/").status_code == 403


def test_a_window_that_is_not_there_has_no_report_and_nothing_is_posted_to_one() -> None:
    client, window = signed_in(), make_window()

    assert client.get(f"/admin/maintenance/window/{window.pk + 1}/report/").status_code == 404
    assert client.get(f"/admin/maintenance/window/{'9' * 30}/report/").status_code == 404
    assert client.post(f"/admin/maintenance/window/{window.pk}/report/").status_code == 405


def test_the_page_has_a_style_for_paper() -> None:
    from django.contrib.staticfiles import finders

    found = finders.find("sysops/report.css")

    assert isinstance(found, str)
    with open(found) as style:
        assert "@media print" in style.read()
    assert "report.css" in page_of(make_window(), signed_in())


def test_a_report_that_lacks_parts_is_shown_as_far_as_it_goes() -> None:
    assert report_words.parts({}, zone="UTC")[0].title == "Times (UTC)"
    odd = {"times": {"actual_start_at": "soon"}, "sections": {"backups": {"taken": "none"}}, "updates": [None, 3]}

    assert "Began: soon" in "\n".join(report_words.lines({"window": {"id": 1}, **odd}, zone="UTC"))


def test_the_terminal_says_the_same(gate: FakeGate) -> None:
    window = completed()

    said = "\n".join(report_words.lines(reports.report(window, at=START), zone=window.time_zone))

    assert said.startswith(f"Window {window.pk}: Upgrade\n")
    assert "  Took: 1 h" in said
    assert "Half way." in said
    assert clock(START)() == START


def test_the_errors_before_and_meanwhile_stand_in_a_table_and_what_is_not_known_yet_says_so() -> None:
    window = completed()
    row = {"id": "7", "error_type": EVIL, "error_message": "no price", "severity": "high", "events_before": 3}
    assert window.report is not None
    window.report["sections"] = {
        "errors": {"before": {"events": 3, "issues": 1, "new_issues": 0}, "after": None, "issues": [row]}
    }
    window.save(update_fields=["report"])

    page = page_of(window, signed_in())

    assert "3 events of 1 issue, 0 new" in page
    assert "not known when this report was made" in page
    assert "no price" in page
    assert EVIL not in page
