"""Windows are scheduled, changed and extended; what is not possible is refused with the reason."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from catalogue import services as catalogue
from maintenance import selectors
from maintenance.models import Notice, Update, Window, WindowGate, WindowService, WrongState
from maintenance.plans import GatePlan, Plan
from maintenance.rules import Type
from maintenance.services import running, scheduling
from maintenance.services.scheduling import BadWindow, Conflicts
from notifications.models import Message
from sysops.access.models import AuditEntry
from tests.maintenance.support import (
    BY,
    HOUR,
    NOW,
    START,
    FakeGate,
    clock,
    dropped,
    events,
    make_running,
    make_service,
    make_team,
    make_window,
    message,
    plan,
    told,
    waiting,
)

DAY = timedelta(days=1)


@pytest.mark.django_db
def test_a_planned_window_is_scheduled_audited_and_told() -> None:
    database = make_service("shop-db")
    shop = make_service("shop", database)

    window = scheduling.schedule(plan(database, title="  Upgrade to 18 "), by=BY, at=NOW)

    window.refresh_from_db()
    assert (window.status, window.title, window.created_by) == ("scheduled", "Upgrade to 18", "ada")
    assert window.scheduled_end == START + 2 * HOUR
    rows = {row.service.slug: (row.direct, row.holds) for row in window.affected.all()}
    assert rows == {"shop-db": (True, True), "shop": (False, True)}
    entry = AuditEntry.objects.order_by("-id")[0]
    assert (entry.action, entry.actor) == ("maintenance.window.scheduled", "ada")
    assert entry.after is not None
    assert entry.after["services"] == ["shop-db"]
    assert events(window) == ["scheduled"]
    assert told(window) == ["scheduled"]
    said = message(window, "scheduled")
    assert (said.key, said.level, said.urgent) == (f"window:{window.pk}:scheduled", "warning", False)
    assert said.context["services"] == ["shop-db"]
    assert said.context["reached"] == ["shop"]
    assert said.context["start_at"] == "2027-01-15T02:00:00Z"
    assert set(said.audience["subscribers_of"]) == {database.pk, shop.pk} == set(said.audience["owners_of"])
    assert waiting(window) == {"ahead": START - DAY, "start_due": START + timedelta(minutes=5)}


BAD: list[tuple[dict[str, object], str, str]] = [
    ({"title": "  "}, "title", "few words"),
    ({"title": "x" * 201}, "title", "200"),
    ({"title": "x" * 10_000}, "title", "200"),
    ({"title": "Upgrade\r\nBcc: all@example.org"}, "title", "one line"),
    ({"title": "Upgrade\x07"}, "title", "one line"),
    ({"title": "Up\u2028grade"}, "title", "one line"),
    ({"title": "Up\ud800grade"}, "title", "surrogate"),
    ({"start": NOW}, "scheduled_start_time", "future"),
    ({"start": NOW - HOUR}, "scheduled_start_time", "future"),
    ({"start": None}, "scheduled_start_time", "Say when"),
    ({"start": datetime(2027, 1, 15, 2)}, "scheduled_start_time", "offset"),
    ({"start": datetime(9999, 12, 31, tzinfo=UTC)}, "scheduled_start_time", "hundred years"),
    ({"hours": 0}, "estimated_duration_seconds", "longer than 0"),
    ({"hours": -1}, "estimated_duration_seconds", "longer than 0"),
    ({"hours": 0.0001}, "estimated_duration_seconds", "longer than 0"),
    ({"hours": 24 * 30 + 1}, "estimated_duration_seconds", "30 days"),
    ({"time_zone": "Mars/Base"}, "time_zone", "Mars/Base"),
    ({"gates": [GatePlan("fkae")]}, "gates", "'fake'"),
    ({"gates": [GatePlan("fake", {"hours": 0})]}, "gates", "fake, hours: 0 is less"),
    ({"gates": [GatePlan("fake", {"days": 1})]}, "gates", "days"),
    ({"gates": [GatePlan("fake"), GatePlan("fake")]}, "gates", "once"),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("wrong", "field", "words"), BAD)
def test_what_is_not_possible_is_refused_by_field(
    wrong: dict[str, object], field: str, words: str, gate: FakeGate
) -> None:
    with pytest.raises(BadWindow) as refusal:
        make_window(**wrong)  # type: ignore[arg-type]

    assert list(refusal.value.problems) == [field]
    assert words in refusal.value.problems[field]
    assert not Window.objects.exists()
    assert not Message.objects.exists()


@pytest.mark.django_db
def test_a_window_needs_services_each_named_once() -> None:
    database = make_service("db")

    with pytest.raises(BadWindow, match="at least one service"):
        scheduling.schedule(plan(), by=BY, at=NOW)
    with pytest.raises(BadWindow, match="db is there more than once"):
        scheduling.schedule(plan(database, database), by=BY, at=NOW)


@pytest.mark.django_db
def test_a_description_is_text_of_at_most_ten_thousand_characters() -> None:
    def described(text: str) -> Plan:
        return Plan(Type.PLANNED, "Upgrade", text, START, HOUR, [make_service()])

    with pytest.raises(BadWindow, match="description"):
        scheduling.schedule(described("x" * 10_001), by=BY, at=NOW)
    with pytest.raises(BadWindow, match="NUL"):
        scheduling.schedule(described("a\0b"), by=BY, at=NOW)
    window = scheduling.schedule(described("First line\n<script>second</script>"), by=BY, at=NOW)
    assert window.description == "First line\n<script>second</script>"


@pytest.mark.django_db
def test_only_a_series_makes_recurring_windows() -> None:
    recurring = Plan(Type.RECURRING, "Upgrade", "", START, HOUR, [make_service()])

    with pytest.raises(BadWindow, match="maintenance_type"):
        scheduling.schedule(recurring, by=BY, at=NOW)


@pytest.mark.django_db
def test_an_emergency_may_begin_now_and_is_told_at_once_urgently() -> None:
    window = make_window(emergency=True, start=None)

    assert (window.scheduled_start, window.status) == (NOW, "scheduled")
    said = message(window, "scheduled")
    assert (said.level, said.urgent) == ("warning", True)
    assert list(waiting(window)) == ["start_due"]


@pytest.mark.django_db
def test_an_emergency_may_have_begun_but_not_be_over() -> None:
    begun = make_window(emergency=True, start=NOW - HOUR, hours=2)

    assert begun.scheduled_start == NOW - HOUR
    with pytest.raises(BadWindow, match="over already"):
        make_window(emergency=True, start=NOW - 2 * HOUR, hours=2)


@pytest.mark.django_db
def test_two_windows_on_one_service_may_not_meet_and_the_refusal_names_the_first() -> None:
    database = make_service("db")
    first = make_window(database, title="Upgrade")

    with pytest.raises(Conflicts) as refusal:
        make_window(database, title="Cabling", start=START + HOUR)

    assert [window.pk for window in refusal.value.windows] == [first.pk]
    assert f"Window {first.pk} “Upgrade” (2027-01-15 02:00 UTC – 2027-01-15 04:00 UTC) affects db" in str(refusal.value)
    assert Window.objects.count() == 1
    assert Message.objects.filter(kind="maintenance.scheduled").count() == 1


@pytest.mark.django_db
def test_windows_back_to_back_or_on_other_services_do_not_meet() -> None:
    database = make_service("db")
    make_window(database)

    make_window(database, start=START + 2 * HOUR)
    make_window(database, start=START - HOUR, hours=1)
    make_window(make_service("mail"))

    assert Window.objects.count() == 3 + 1


@pytest.mark.django_db
def test_a_window_on_what_a_service_stands_on_is_in_the_way_from_both_sides() -> None:
    database = make_service("db")
    shop = make_service("shop", make_service("api", database))
    below = make_window(database, title="Disks")

    with pytest.raises(Conflicts, match="Disks"):
        make_window(shop)
    running.cancel(below, by=BY, at=NOW)
    make_window(shop, title="Release")
    with pytest.raises(Conflicts, match=r"Release.*affects shop"):
        make_window(database)


@pytest.mark.django_db
def test_two_windows_that_only_reach_the_same_service_are_no_conflict() -> None:
    database, queue = make_service("db"), make_service("queue")
    make_service("shop", database, queue)

    make_window(database)
    make_window(queue)

    assert WindowService.objects.filter(service__slug="shop", direct=False).count() == 2


@pytest.mark.django_db
def test_an_emergency_is_held_up_by_nothing_holds_up_nothing_and_shows_what_it_meets() -> None:
    database = make_service("db")
    make_service("shop", database)
    planned = make_window(database)

    emergency = make_window(database, emergency=True, start=START)

    assert scheduling.overlaps(emergency) == [planned]
    assert scheduling.overlaps(planned) == [emergency]
    running.cancel(planned, by=BY, at=NOW)
    assert scheduling.overlaps(emergency) == []
    make_window(database)


@pytest.mark.django_db
def test_what_was_cancelled_or_completed_leaves_its_time_to_others() -> None:
    database = make_service("db")
    running.cancel(make_window(database), by=BY, at=NOW)
    done = running.complete(make_running(database), by=BY, at=START + HOUR)

    make_window(database, start=START + HOUR, at=START + HOUR / 2)

    row = done.affected.get()
    assert (row.period.lower, row.period.upper, row.holds) == (START, START + HOUR, False)


@pytest.mark.django_db
def test_the_database_itself_holds_two_windows_apart() -> None:
    database = make_service("db")
    first, other = make_window(database), make_window(database, start=START + DAY)

    for direct in (True, False):  # on the service itself, and on what it stands on
        with pytest.raises(IntegrityError), transaction.atomic():
            WindowService.objects.filter(window=other).update(
                direct=direct, period=DateTimeTZRange(START, START + HOUR, bounds="[)")
            )
    assert first.affected.count() == 1


@pytest.mark.django_db
def test_a_refusal_by_the_database_is_named_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the other window were written between the look and the insert."""
    database = make_service("db")
    first = make_window(database)
    looks: list[object] = []
    real = selectors.conflicts

    def blind_at_first(**asked: object) -> list[selectors.Clash]:
        looks.append(asked)
        return [] if len(looks) == 1 else real(**asked)  # type: ignore[arg-type]

    monkeypatch.setattr(selectors, "conflicts", blind_at_first)
    with pytest.raises(Conflicts) as refusal:
        make_window(database)

    assert refusal.value.windows == [first]
    assert len(looks) == 2


@pytest.mark.django_db
def test_rescheduling_tells_the_times_before_and_dates_the_notice_ahead_anew() -> None:
    window = make_window()

    moved = scheduling.change(window, {"start": START + DAY}, by=BY, at=NOW + HOUR)

    assert (moved.scheduled_start, moved.scheduled_end) == (START + DAY, START + DAY + 2 * HOUR)
    assert (moved.planned_start, moved.sequence) == (START, 1)
    assert moved.affected.get().period.lower == START + DAY
    assert told(window) == ["scheduled", "rescheduled"]
    context = message(window, "rescheduled").context
    assert context["previous_start_at"] == "2027-01-15T02:00:00Z"
    assert context["previous_end_at"] == "2027-01-15T04:00:00Z"
    assert context["start_at"] == "2027-01-16T02:00:00Z"
    assert waiting(window)["ahead"] == START
    assert dropped(window)["ahead"] == "The window was rescheduled"
    entry = AuditEntry.objects.order_by("-id")[0]
    assert entry.before == {
        "scheduled_start": "2027-01-15T02:00:00Z",
        "scheduled_end": "2027-01-15T04:00:00Z",
    }


@pytest.mark.django_db
def test_a_window_moved_away_and_back_is_told_ahead_once_in_all() -> None:
    window = make_window()

    scheduling.change(window, {"start": START + DAY}, by=BY, at=NOW)
    scheduling.change(window, {"start": START}, by=BY, at=NOW)

    assert waiting(window)["ahead"] == START - DAY
    assert Notice.objects.filter(window=window, kind="ahead").count() == 2


@pytest.mark.django_db
def test_a_window_moved_to_within_a_day_is_not_told_ahead() -> None:
    window = make_window()

    scheduling.change(window, {"start": NOW + 3 * HOUR}, by=BY, at=NOW)

    assert list(waiting(window)) == ["start_due"]


@pytest.mark.django_db
def test_a_new_title_is_no_news_but_is_audited_and_changes_the_calendar() -> None:
    window = make_window()

    changed = scheduling.change(window, {"title": "Upgrade to 18"}, by=BY, at=NOW)

    assert (changed.title, changed.sequence) == ("Upgrade to 18", 1)
    assert told(window) == ["scheduled"]
    assert events(window) == ["scheduled", "changed"]


@pytest.mark.django_db
def test_a_change_that_changes_nothing_is_not_told() -> None:
    window = make_window()
    entries = AuditEntry.objects.count()

    same = scheduling.change(window, {"title": "Upgrade", "start": START}, by=BY, at=NOW)

    assert (same.sequence, AuditEntry.objects.count(), told(window)) == (0, entries, ["scheduled"])


@pytest.mark.django_db
def test_people_around_old_and_new_services_hear_of_the_exchange() -> None:
    database, queue = make_service("db"), make_service("queue")
    shop = make_service("shop", queue)
    window = make_window(database)

    scheduling.change(window, {"services": [queue]}, by=BY, at=NOW)

    assert {row.service.slug: row.direct for row in window.affected.all()} == {"queue": True, "shop": False}
    assert set(message(window, "rescheduled").audience["subscribers_of"]) == {database.pk, queue.pk, shop.pk}
    make_window(database)


@pytest.mark.django_db
@pytest.mark.parametrize("changes", [{"start": START}, {"duration": timedelta(hours=30)}, {"services": "db"}])
def test_a_change_into_another_window_is_refused(changes: dict[str, object]) -> None:
    database = make_service("db")
    first = make_window(database)
    window = make_window(database, start=START - DAY)
    if "services" in changes:
        window, changes = make_window(make_service("queue")), {"services": [database]}

    with pytest.raises(Conflicts) as refusal:
        scheduling.change(window, changes, by=BY, at=NOW)

    assert refusal.value.windows == [first]
    window.refresh_from_db()
    assert window.sequence == 0


@pytest.mark.django_db
def test_a_window_cannot_be_moved_into_the_past_but_one_that_is_late_can_still_be_renamed() -> None:
    window, later = make_window(), START + HOUR

    with pytest.raises(BadWindow, match="future"):
        scheduling.change(window, {"start": START + HOUR / 2}, by=BY, at=later)
    with pytest.raises(BadWindow, match="estimated_duration_seconds"):
        scheduling.change(window, {"duration": HOUR}, by=BY, at=later)
    assert scheduling.change(window, {"title": "Late"}, by=BY, at=later).title == "Late"
    assert scheduling.change(window, {"duration": 3 * HOUR}, by=BY, at=later).scheduled_end == START + 3 * HOUR


@pytest.mark.django_db
def test_only_a_scheduled_window_is_changed() -> None:
    window = make_running()

    with pytest.raises(WrongState, match="in progress") as refusal:
        scheduling.change(window, {"title": "Other"}, by=BY, at=START)

    assert refusal.value.current == "in_progress"


@pytest.mark.django_db
def test_the_type_of_a_window_stays_and_an_unknown_field_is_our_mistake() -> None:
    window = make_window()

    with pytest.raises(BadWindow, match="cancel this window"):
        scheduling.change(window, {"maintenance_type": Type.EMERGENCY}, by=BY, at=NOW)
    with pytest.raises(TypeError, match="colour"):
        scheduling.change(window, {"colour": "blue"}, by=BY, at=NOW)


@pytest.mark.django_db
def test_gates_are_exchanged_and_asked_anew(gate: FakeGate) -> None:
    window = make_window(gates=[GatePlan("fake", {"hours": 4})])
    WindowGate.objects.update(state="closed")

    scheduling.change(window, {"gates": [GatePlan("fake", {"hours": 8}, prepare=True)]}, by=BY, at=NOW)

    row = window.gates.get()
    assert (row.settings, row.prepare, row.state) == ({"hours": 8}, True, "unasked")


@pytest.mark.django_db
def test_a_running_window_is_extended_and_its_services_stay_longer_in_maintenance() -> None:
    database = make_service("db")
    window = make_running(database)

    extended = scheduling.extend(window, duration=3 * HOUR, by=BY, at=START + HOUR)

    assert (extended.scheduled_end, extended.sequence) == (START + 3 * HOUR, 1)
    database.refresh_from_db()
    assert database.state_until == START + 3 * HOUR
    assert told(window)[-1] == "extended"
    assert message(window, "extended").context["previous_end_at"] == "2027-01-15T04:00:00Z"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("duration", "at", "words"),
    [
        (2 * HOUR, START + HOUR, "longer"),
        (HOUR, START + HOUR, "longer"),
        (3 * HOUR, START + 4 * HOUR, "still be over"),
        (timedelta(days=31), START + HOUR, "30 days"),
    ],
)
def test_an_extension_makes_it_longer_and_ends_in_the_future(duration: timedelta, at: datetime, words: str) -> None:
    window = make_running()

    with pytest.raises(BadWindow, match=words):
        scheduling.extend(window, duration=duration, by=BY, at=at)


@pytest.mark.django_db
def test_an_extension_into_the_next_window_is_refused_and_nothing_changes() -> None:
    database = make_service("db")
    window = make_running(database)
    following = make_window(database, start=START + 3 * HOUR)

    with pytest.raises(Conflicts) as refusal:
        scheduling.extend(window, duration=4 * HOUR, by=BY, at=START + HOUR)

    assert refusal.value.windows == [following]
    window.refresh_from_db()
    assert window.scheduled_end == START + 2 * HOUR
    assert scheduling.extend(window, duration=3 * HOUR, by=BY, at=START + HOUR).scheduled_end == START + 3 * HOUR


@pytest.mark.django_db
def test_what_is_over_is_not_extended() -> None:
    with pytest.raises(WrongState) as refusal:
        scheduling.extend(running.cancel(make_window(), by=BY, at=NOW), duration=9 * HOUR, by=BY, at=NOW)
    assert refusal.value.current == "cancelled"


@pytest.mark.django_db
def test_a_service_that_was_deleted_meanwhile_is_named() -> None:
    service = make_service("db")
    wanted = plan(service)
    catalogue.remove(service, by=BY, at=NOW)
    service.pk = wanted.services[0].pk or 10**9

    with pytest.raises(BadWindow, match="affected_services"):
        scheduling.schedule(wanted, by=BY, at=NOW)


@pytest.mark.django_db
def test_windows_between_two_times_are_found_with_a_fixed_number_of_queries(
    django_assert_num_queries: object,
) -> None:
    database = make_service("db")
    make_team("ops", "bob")
    inside = [make_window(database, start=START + n * DAY) for n in range(3)]
    make_window(database, start=START + 9 * DAY)
    Update.objects.create(window=inside[0], message="So far", author="ada", created_at=NOW)

    with django_assert_num_queries(4):  # type: ignore[operator]
        found = list(selectors.between(START, START + 3 * DAY))
        assert [row.service.slug for window in found for row in window.affected.all()] == ["db"] * 3
        assert [len(window.updates.all()) for window in found] == [1, 0, 0]
    assert found == inside


@pytest.mark.django_db
def test_a_window_can_be_started_by_nobody_it_does_not_know() -> None:
    with pytest.raises(Window.DoesNotExist):
        running.start(10**9, by=BY, at=clock(NOW))
