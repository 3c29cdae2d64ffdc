"""Events go when they are too old or too many, and nothing else goes with them."""

import threading
from datetime import datetime, timedelta

import psycopg
import pytest
from django.db import connection

from errors import partitions
from errors.models import (
    Attachment,
    CheckIn,
    Event,
    Grouping,
    HourCount,
    Issue,
    Project,
    Release,
    SessionCount,
    Undigestible,
)
from errors.services import issues, retention
from tests.errors.support import (
    BY,
    DAY,
    NOW,
    clock,
    event_envelope,
    grouping,
    issue,
    project,
    put_in_spool,
    report,
    stored_event,
)
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
        cursor.execute("SET lock_timeout = '10s'")
        try:
            assert digest(at=NOW + 8 * DAY) == 1
        finally:
            cursor.execute("RESET lock_timeout")

    assert Event.objects.filter(project=shop, received_at=NOW + 8 * DAY).exists()


# Releases


def released(of: Project, **days: int) -> None:
    """Releases of the project, first seen so many days ago."""
    Release.objects.bulk_create(
        Release(project=of, version=version, first_seen=NOW - age * DAY) for version, age in days.items()
    )


def releases(of: Project) -> list[str]:
    return list(Release.objects.filter(project=of).order_by("pk").values_list("version", flat=True))


def test_old_releases_that_nothing_names_go_and_the_newest_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "RELEASES", 2)
    shop, other = project(retention_days=10), project(retention_days=10)
    released(shop, a=40, b=30, c=20, d=12, e=9, f=1)
    released(other, a=40, b=30)

    removed = apply()

    assert (releases(shop), releases(other)) == (["e", "f"], ["a", "b"])
    assert removed.others == 4


def test_a_release_of_the_time_a_project_keeps_stays_however_many_are_newer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "RELEASES", 1)
    shop = project(retention_days=10)
    released(shop, a=11, b=9, c=8, d=1)

    apply()

    assert releases(shop) == ["b", "c", "d"]


def test_a_release_that_an_issue_an_event_or_a_session_names_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "RELEASES", 1)
    shop, other = project(retention_days=10), project()
    released(shop, a=40, first=39, last=38, fixed=37, event=36, session=35, b=34, newest=1)
    issue(shop, first_release="first", last_release="last", resolved_in_release="fixed")
    stored_event(issue(shop, "KeyError", events=0).groupings.get(), release="event")
    SessionCount.objects.create(project=shop, hour=NOW, release="session")
    issue(other, first_release="a", last_release="b")

    apply()

    assert releases(shop) == ["first", "last", "fixed", "event", "session", "newest"]


def test_releases_go_in_batches_and_the_rest_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "RELEASES", 1)
    monkeypatch.setattr(retention, "OLD_RELEASES", 2)
    shop = project(retention_days=10)
    released(shop, a=40, kept=39, kept_too=38, kept_as_well=37, b=36, c=35, newest=1)
    issue(shop, first_release="kept", last_release="kept_too", resolved_in_release="kept_as_well")

    first = apply(seconds=0)
    assert (first.others, first.finished, len(releases(shop))) == (1, False, 6)

    assert apply().finished
    assert releases(shop) == ["kept", "kept_too", "kept_as_well", "newest"]


@pytest.mark.parametrize("old", ["shop@1.1", "7e3f0c1"])
def test_an_old_release_does_not_bring_an_issue_back_after_others_went(
    old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "RELEASES", 1)
    shop = project(retention_days=10)
    released(shop, **{"shop@1.0": 60, "5ab00c2": 59, old: 50, "shop@1.2": 5, "9c0ffee": 4})
    found = report(shop, release=old, at=NOW - 40 * DAY)
    issues.resolve(found, by=BY, at=NOW - DAY)

    apply()
    assert releases(shop) == [old, "shop@1.2", "9c0ffee"]
    report(shop, release=old, at=NOW)

    assert Issue.objects.get(pk=found.pk).status == "resolved"


@pytest.mark.django_db(transaction=True)
def test_a_release_that_is_reported_while_it_goes_is_there_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "RELEASES", 1)
    shop = project(retention_days=10)
    released(shop, old=40, newest=1)
    put_in_spool(shop, event_envelope("KeyError", release="old"))
    looked, done = retention._unnamed, threading.Event()

    def meanwhile() -> None:
        try:
            digest()
            done.set()
        finally:
            connection.close()

    thread = threading.Thread(target=meanwhile)

    def look(of: Project, versions: set[str]) -> set[str]:
        found = looked(of, versions)
        thread.start()
        assert not done.wait(1)
        return found

    monkeypatch.setattr(retention, "_unnamed", look)
    apply()
    thread.join(20)

    assert done.is_set()
    assert Event.objects.get(project=shop).release == "old"
    assert sorted(releases(shop)) == ["newest", "old"]


def test_a_release_counts_as_seen_since_its_oldest_report_though_that_is_digested_last() -> None:
    shop = project()
    report(shop, release="7e3f0c1", at=NOW)

    report(shop, release="7e3f0c1", at=NOW - DAY)

    assert Release.objects.get(project=shop).first_seen == NOW - DAY


# Two runs at once


def at_once(monkeypatch: pytest.MonkeyPatch, of: object, name: str) -> None:
    """Retention runs; and runs a second time, from the moment on when the first one has come to this step."""
    original = getattr(of, name)
    threads: list[threading.Thread] = []

    def another() -> None:
        try:
            apply()
        finally:
            connection.close()

    def step(*given: object) -> object:
        if not threads:
            threads.append(threading.Thread(target=another))
            threads[0].start()
            threads[0].join(0.7)
        return original(*given)

    monkeypatch.setattr(of, name, step)
    apply()
    threads[0].join(20)


@pytest.mark.django_db(transaction=True)
def test_events_that_two_runs_find_are_counted_down_once(monkeypatch: pytest.MonkeyPatch) -> None:
    project(retention_days=60)
    found = made(project(retention_days=10), 1, 2, 11, 12)

    at_once(monkeypatch, retention, "_count_down")

    assert (ages(found), kept(found)) == ([1, 2], [2])


@pytest.mark.django_db(transaction=True)
def test_a_week_that_two_runs_drop_is_counted_down_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = made(project(retention_days=10), 1, 2, 100)

    at_once(monkeypatch, partitions, "drop_before")

    assert (ages(found), kept(found)) == ([1, 2], [2])
