"""Events go when they are too old or too many, and nothing else goes with them."""

from datetime import datetime, timedelta

import psycopg
import pytest
from django.db import connection

from errors import partitions
from errors.models import Attachment, CheckIn, Event, Grouping, HourCount, Issue, Project, Undigestible
from errors.services import retention
from tests.errors.support import DAY, NOW, clock, event_envelope, grouping, issue, project, put_in_spool, stored_event
from tests.errors.support import digest_all as digest

pytestmark = pytest.mark.django_db


def apply(seconds: float = 60.0) -> retention.Removed:
    return retention.apply_retention(now=clock(), seconds=seconds)


def ages(of: Issue) -> list[int]:
    """How many days old the issue's events are, the newest first."""
    events = Event.objects.filter(grouping__issue=of).order_by("-received_at")
    return [(NOW - event.received_at).days for event in events]


def made(of: Project, *days: int) -> Issue:
    """An issue with an event of each of these ages."""
    found = issue(of, events=0, at=NOW - max(days) * DAY)
    (group,) = found.groupings.all()
    for day in days:
        stored_event(group, at=NOW - day * DAY)
    Grouping.objects.filter(pk=group.pk).update(events_kept=len(days), event_count=len(days))
    return found


def kept(of: Issue) -> list[int]:
    return list(of.groupings.order_by("pk").values_list("events_kept", flat=True))


def test_events_go_at_the_age_their_project_says() -> None:
    short, long = made(project(retention_days=10), 1, 9, 11, 40), made(project(retention_days=60), 1, 40, 61)

    apply()

    assert (ages(short), kept(short)) == ([1, 9], [2])
    assert (ages(long), kept(long)) == ([1, 40], [2])


def test_a_week_that_is_too_old_for_all_is_dropped_whole() -> None:
    short, long = made(project(retention_days=10), 1, 100), made(project(retention_days=60), 1, 100, 101)

    removed = apply()

    assert removed.weeks >= 1
    assert partitions.week_of(NOW - 100 * DAY) not in partitions.existing()
    assert (ages(short), kept(short), ages(long), kept(long)) == ([1], [1], [1], [1])


def test_of_an_issue_with_too_many_events_the_oldest_go_whichever_grouping_they_are_of() -> None:
    shop = project(events_per_issue=10)
    found = issue(shop, events=8, at=NOW)
    grouping(found, events=8, at=NOW - timedelta(hours=1))
    other = issue(shop, "KeyError", events=10)

    apply()

    assert kept(found) == [8, 2]
    assert Event.objects.filter(grouping__issue=found).count() == 10
    assert kept(other) == [10]


def test_events_of_the_same_moment_are_cut_at_the_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "EVENTS", 3)
    found = issue(project(events_per_issue=10), events=0)
    (group,) = found.groupings.all()
    for _ in range(25):
        stored_event(group, at=NOW)
    Grouping.objects.filter(pk=group.pk).update(events_kept=25)

    removed = apply()

    assert (removed.events, kept(found), Event.objects.count()) == (15, [10], 10)


def test_a_count_that_was_ahead_of_the_truth_is_put_right() -> None:
    found = issue(project(events_per_issue=10), events=4)
    found.groupings.update(events_kept=500)

    apply()

    assert kept(found) == [4]


def test_the_counts_of_what_ever_happened_stay() -> None:
    found = made(project(retention_days=10), 1, 40)
    Issue.objects.filter(pk=found.pk).update(event_count=2)

    apply()

    assert Issue.objects.values_list("event_count", flat=True).get(pk=found.pk) == 2
    assert list(found.groupings.values_list("event_count", flat=True)) == [2]


def test_attachments_go_with_their_events_and_old_things_beside_them() -> None:
    shop = project(retention_days=30, events_per_issue=10)
    found = issue(shop, events=12)
    oldest = Event.objects.filter(grouping__issue=found).order_by("received_at")[0]
    newest = Event.objects.filter(grouping__issue=found).order_by("received_at").last()
    assert newest is not None

    def attach(event: Event, at: datetime, name: str) -> None:
        Attachment.objects.create(
            project=shop, event_id=event.pk, position=1, filename=name, size_bytes=1, body=b"x", received_at=at
        )

    attach(oldest, NOW, "of an event that goes")
    attach(newest, NOW, "of one that stays")
    CheckIn.objects.create(project=shop, check_in_id=oldest.pk, monitor="a", status="ok", received_at=NOW - 31 * DAY)
    HourCount.objects.create(grouping=found.groupings.get(), hour=NOW - 31 * DAY, quantity=1)
    Undigestible.objects.create(
        project=shop, received_at=NOW, failed_at=NOW - 31 * DAY, kind="store", encoding="identity", reason="x", body=b""
    )

    removed = apply()

    assert list(Attachment.objects.values_list("filename", flat=True)) == ["of one that stays"]
    assert not CheckIn.objects.exists()
    assert not HourCount.objects.exists()
    assert not Undigestible.objects.exists()
    assert (removed.events, removed.others, removed.finished) == (2, 3, True)


def test_what_there_was_no_time_for_is_done_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "EVENTS", 2)
    found = issue(project(events_per_issue=10), events=16)

    first = apply(seconds=0)
    assert (first.events, first.finished, kept(found)) == (2, False, [14])

    assert (apply().finished, kept(found)) == (True, [10])


@pytest.mark.django_db(transaction=True)
def test_a_reader_of_old_events_holds_up_neither_retention_nor_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "PATIENCE", "200ms")
    shop = project(retention_days=10)
    apply()  # weeks that other tests made stay in the database
    found = made(shop, 1, 100)
    put_in_spool(shop, event_envelope("KeyError"))
    settings = connection.get_connection_params()
    wanted = {name: settings[name] for name in ("dbname", "user", "password", "host", "port")}
    with psycopg.connect(**wanted) as reader:
        reader.execute("SELECT count(*) FROM errors_event")  # and its transaction goes on

        assert apply().weeks == 0
        assert digest() == 1

    assert ages(found) == [1]
    assert apply().weeks == 1


@pytest.mark.django_db(transaction=True)
def test_a_reader_of_the_events_does_not_hold_up_the_first_report_of_a_week() -> None:
    shop = project()
    made(shop, 1)
    settings = connection.get_connection_params()
    wanted = {name: settings[name] for name in ("dbname", "user", "password", "host", "port")}
    put_in_spool(shop, event_envelope("KeyError"), at=NOW + 8 * DAY)
    with psycopg.connect(**wanted) as reader, connection.cursor() as cursor:
        reader.execute("SELECT count(*) FROM errors_event")  # as a dump does, for as long as it takes
        cursor.execute("SET lock_timeout = '1s'")
        try:
            assert digest(at=NOW + 8 * DAY) == 1
        finally:
            cursor.execute("RESET lock_timeout")

    assert Event.objects.filter(project=shop, received_at=NOW + 8 * DAY).exists()
