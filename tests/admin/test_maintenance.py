"""Windows and series in the admin: what is clicked is one service call, what is refused is said beside its field."""

from collections.abc import Callable
from datetime import timedelta
from html import unescape
from typing import TYPE_CHECKING

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from catalogue.rules import State
from maintenance.models import Series, Update, Window
from maintenance.rules import Status
from notifications.models import Message
from sysops.access.models import AuditEntry
from sysops.kernel.clock import utc_now
from tests.maintenance.conftest import gate
from tests.maintenance.support import FakeGate, make_service, make_window, plan, state_of, told

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse

__all__ = ["gate"]

pytestmark = pytest.mark.django_db

SignIn = Callable[[str], Client]
HOSTILE = '<script>document.title = "owned"</script>'


def page(name: str, *args: object) -> str:
    return reverse(f"admin:maintenance_{name}", args=args)


def said(answer: "_MonkeyPatchedWSGIResponse") -> str:
    assert answer.status_code == 200, answer.content[:500]
    return unescape(answer.content.decode())


def entered(*services: object, **others: object) -> dict[str, object]:
    """A window's form, as a person fills it in."""
    tomorrow = (utc_now() + timedelta(days=3)).strftime("%Y-%m-%dT02:00")
    return {
        "title": "Upgrade",
        "description": "",
        "kind": "planned",
        "services": [getattr(service, "pk", service) for service in services],
        "zone": "Europe/London",
        "start": tomorrow,
        "duration": "2 h",
        **others,
    }


def soon(*services: object, **others: object) -> Window:
    now = utc_now()
    return make_window(*services, start=now + timedelta(days=2), at=now, **others)  # type: ignore[arg-type]


def running_window(client: Client, *services: object) -> Window:
    window = soon(*services)
    client.post(page("window_start", window.pk), {})
    window.refresh_from_db()
    assert window.status == Status.IN_PROGRESS
    return window


def test_a_window_is_scheduled_at_the_wall_clock_of_the_zone_that_was_chosen(sign_in: SignIn) -> None:
    database = make_service("shop-db")

    seen = said(
        sign_in("operator").post(
            page("window_add"), entered(database, start="2031-07-15T02:00", zone="Europe/London"), follow=True
        )
    )

    window = Window.objects.get()
    assert window.scheduled_start.isoformat() == "2031-07-15T01:00:00+00:00"
    assert (window.estimated_duration_seconds, window.created_by) == (7200, "operator-person")
    assert "“Upgrade” is scheduled" in seen
    assert AuditEntry.objects.filter(action="maintenance.window.scheduled").latest("pk").actor == "operator-person"


def test_an_overlapping_window_is_refused_with_the_name_of_the_one_in_the_way(sign_in: SignIn) -> None:
    database = make_service("shop-db")
    website = make_service("website", database)
    client = sign_in("operator")
    client.post(page("window_add"), entered(database, title="New disks"))

    seen = said(client.post(page("window_add"), entered(website, title="New look")))

    assert Window.objects.count() == 1
    assert "New disks" in seen
    assert "website" in seen


def test_checking_shows_what_it_would_affect_and_meet_and_saves_nothing(sign_in: SignIn) -> None:
    database = make_service("shop-db")
    website = make_service("website", database)
    client = sign_in("operator")
    client.post(page("window_add"), entered(website, title="New look"))

    seen = said(client.post(page("window_add"), {**entered(database), "check": "1"}))

    assert Window.objects.count() == 1
    assert "In the way:" in seen
    assert "New look" in seen
    assert "Nothing is saved yet." in seen


def test_checking_refuses_what_saving_would(sign_in: SignIn) -> None:
    seen = said(
        sign_in("operator").post(page("window_add"), entered(make_service(), start="2020-01-01T02:00", check="1"))
    )

    assert "must start in the future" in seen
    assert "What it would mean" not in seen


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"title": ""}, "This field is required"),
        ({"services": []}, "This field is required"),
        ({"start": ""}, "Say when it starts"),
        ({"start": "2020-01-01T02:00"}, "must start in the future"),
        ({"duration": "0"}, "longer"),
        ({"duration": "soon"}, "Write a span such as"),
        ({"zone": "Mars/Phobos"}, "Select a valid choice"),
        ({"start": "2031-03-30T01:30", "zone": "Europe/London"}, "this time does not exist"),
    ],
)
def test_what_does_not_fit_is_said_and_nothing_is_saved(sign_in: SignIn, wrong: dict[str, object], words: str) -> None:
    seen = said(sign_in("operator").post(page("window_add"), entered(make_service(), **wrong)))

    assert not Window.objects.exists()
    assert words.lower() in seen.lower()


def test_a_gate_that_was_switched_on_is_kept_with_its_settings(sign_in: SignIn, gate: FakeGate) -> None:
    given = {"gate-fake": "on", "gate-fake-prepare": "on", "gate-fake-set_hours": "12"}

    sign_in("operator").post(page("window_add"), entered(make_service(), **given))

    [kept] = Window.objects.get().gates.all()
    assert (kept.gate, kept.settings, kept.prepare) == ("fake", {"hours": 12}, True)


def test_changing_a_window_begins_with_what_is_there_and_tells_of_the_new_time(sign_in: SignIn) -> None:
    client, window = sign_in("operator"), soon(make_service())
    form = client.get(page("window_edit", window.pk)).context["form"]
    given = {
        **entered(),
        **{name: form[name].value() for name in ("title", "services", "zone")},
        "start": "2031-01-15T03:00",
    }

    client.post(page("window_edit", window.pk), given)

    window.refresh_from_db()
    assert window.scheduled_start.isoformat() == "2031-01-15T03:00:00+00:00"
    assert "rescheduled" in told(window)


def test_the_life_of_a_window_by_its_buttons(sign_in: SignIn) -> None:
    client, database = sign_in("operator"), make_service("shop-db")
    window = soon(database)

    client.post(page("window_start", window.pk), {})
    assert state_of(database) == State.MAINTENANCE
    client.post(page("window_update", window.pk), {"message": "Half of it is done."})
    client.post(page("window_extend", window.pk), {"duration": "5 d"})
    seen = said(client.post(page("window_complete", window.pk), {}, follow=True))

    window.refresh_from_db()
    assert window.status == Status.COMPLETED
    assert state_of(database) == State.NORMAL
    assert Update.objects.get().author == "operator-person"
    assert [kind for kind in told(window) if kind != "ahead"] == [
        *("scheduled", "started", "update", "extended", "completed"),
    ]
    assert f"/admin/maintenance/window/{window.pk}/report/" in seen


def test_a_window_that_is_over_says_by_whom_and_speaks_of_its_end_as_past(sign_in: SignIn) -> None:
    client = sign_in("operator")
    window = running_window(client, make_service())
    running_page = said(client.get(page("window_change", window.pk)))
    client.post(page("window_complete", window.pk), {})

    over = said(client.get(page("window_change", window.pk)))

    assert "Estimated end" in running_page
    assert "Estimated end" not in over
    assert "It was to end" in over
    assert over.count("by operator-person") >= 3  # started, completed, and completed in the timeline


def test_a_preview_shows_the_mail_and_posts_nothing(sign_in: SignIn) -> None:
    client = sign_in("operator")
    window = running_window(client, make_service())
    before = Message.objects.count()

    seen = said(client.post(page("window_update", window.pk), {"message": f"Soon. {HOSTILE}", "preview": "1"}))

    assert not Update.objects.exists()
    assert Message.objects.count() == before
    assert "What people read" in seen
    assert HOSTILE not in seen.replace("&lt;", "<") or 'sandbox title="The e-mail"' in seen


def test_a_start_that_a_gate_forbids_is_refused_with_its_reason(sign_in: SignIn, gate: FakeGate) -> None:
    from catalogue.gates import Verdict
    from maintenance.plans import GatePlan

    gate.says((Verdict.CLOSED, "The last backup is three days old."))
    window = soon(make_service(), gates=[GatePlan("fake")])

    seen = said(sign_in("operator").post(page("window_start", window.pk), {}))

    assert "The last backup is three days old." in seen
    window.refresh_from_db()
    assert window.status == Status.SCHEDULED


def test_a_window_may_be_seen_by_viewers_and_touched_by_operators_only(sign_in: SignIn) -> None:
    window, viewer = soon(make_service()), sign_in("viewer")

    assert viewer.get(page("window_change", window.pk)).status_code == 200
    assert viewer.get(page("window_calendar")).status_code == 200
    for name in ("start", "cancel", "extend", "update", "edit"):
        assert viewer.post(page(f"window_{name}", window.pk), {"preview": "1"}).status_code == 403, name
    assert viewer.post(page("window_add"), entered()).status_code == 403
    assert viewer.post(page("series_add"), entered()).status_code == 403
    window.refresh_from_db()
    assert window.status == Status.SCHEDULED


def test_hostile_titles_and_updates_are_text_on_every_page(sign_in: SignIn) -> None:
    client = sign_in("operator")
    window = soon(make_service(), title=HOSTILE)
    client.post(page("window_start", window.pk), {})
    client.post(page("window_update", window.pk), {"message": HOSTILE})

    at = f"?at={window.scheduled_start.date()}"
    for url in (
        page("window_change", window.pk),
        page("window_live", window.pk),
        page("window_changelist"),
        page("window_calendar") + at,
        page("window_calendar") + at + "&view=week",
        page("window_complete", window.pk),
        reverse("admin:index"),
    ):
        answer = client.get(url)
        assert answer.status_code == 200, url
        assert HOSTILE not in answer.content.decode(), url


@pytest.mark.parametrize("view", ["month", "week"])
def test_the_calendar_shows_a_window_on_its_day_in_the_readers_zone(sign_in: SignIn, view: str) -> None:
    window = make_window(make_service(), start=plan().start, title="Over there")
    url = page("window_calendar")

    seen = said(sign_in("viewer").get(url, {"view": view, "at": "2027-01-15", "zone": "Asia/Tokyo"}))

    assert page("window_change", window.pk) in seen
    assert "11:00" in seen  # 02:00 UTC


@pytest.mark.parametrize("asked", [{"at": "2027-02-31"}, {"at": "x"}, {"zone": "Mars/Phobos"}, {"at": "0001-01-01"}])
def test_a_calendar_of_nonsense_is_todays(sign_in: SignIn, asked: dict[str, str]) -> None:
    assert sign_in("viewer").get(page("window_calendar"), asked).status_code == 200


def test_calendar_list_and_dashboard_cost_as_many_queries_with_many_windows_as_with_few(
    sign_in: SignIn, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client = sign_in("operator")
    for number in range(12):
        soon(make_service(), title=f"Window {number}")

    for url, most in ((page("window_calendar"), 9), (page("window_changelist"), 13)):
        with django_assert_max_num_queries(most):
            assert client.get(url).status_code == 200


def test_the_list_begins_with_what_runs_then_what_is_late_then_what_is_next(sign_in: SignIn) -> None:
    client, now = sign_in("operator"), utc_now()
    later, next_one = soon(make_service(), title="later one"), soon(make_service(), title="next one")
    Window.objects.filter(pk=later.pk).update(
        scheduled_start=now + timedelta(days=30), scheduled_end=now + timedelta(days=31)
    )
    late = make_window(make_service(), start=now - timedelta(hours=1), at=now - timedelta(days=1), title="late one")
    runs = running_window(client, make_service())
    over = running_window(client, make_service())
    client.post(page("window_complete", over.pk), {})

    rows = client.get(page("window_changelist")).context["cl"].result_list

    assert [row.pk for row in rows] == [runs.pk, late.pk, next_one.pk, later.pk, over.pk]


def test_a_window_that_nobody_started_is_wrong_on_the_first_page(sign_in: SignIn) -> None:
    now = utc_now()
    window = make_window(make_service(), start=now - timedelta(hours=1), at=now - timedelta(days=1), title="Forgotten")

    seen = said(sign_in("operator").get(reverse("admin:index")))

    assert "Maintenance “Forgotten” has not started" in seen
    assert page("window_start", window.pk) in seen


def test_a_series_is_checked_started_skipped_and_ended(sign_in: SignIn) -> None:
    client = sign_in("operator")
    given = entered(
        make_service("cache"), title="Nightly", rule="FREQ=DAILY", start="2026-01-01T03:00", duration="30 min"
    )

    seen = said(client.post(page("series_add"), {**given, "check": "1"}))
    assert "every day" in seen.lower()
    assert not Series.objects.exists()

    client.post(page("series_add"), given)
    series = Series.objects.get()
    windows = series.windows.order_by("scheduled_start")
    assert 55 < windows.count() <= 61
    second = windows[1]
    assert second.occurrence
    said(client.post(page("series_skip", series.pk), {"occurrence": second.occurrence.isoformat()}, follow=True))
    second.refresh_from_db()
    assert second.status == Status.CANCELLED

    said(client.post(page("series_end", series.pk), {"cancel_future": "on"}, follow=True))
    series.refresh_from_db()
    assert series.ended_at
    assert not windows.filter(status=Status.SCHEDULED.value, scheduled_start__gt=utc_now()).exists()


@pytest.mark.parametrize("rule", ["FREQ=SECONDLY", "garbage", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"])
def test_a_rule_that_cannot_be_used_is_said_beside_its_field(sign_in: SignIn, rule: str) -> None:
    answer = sign_in("operator").post(page("series_add"), entered(make_service(), rule=rule))

    assert "rule" in answer.context["form"].errors
    assert not Series.objects.exists()
