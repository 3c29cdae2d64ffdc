"""Cadences become backups: each slot once, the largest of several, edits in force at once, nothing lost."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connections
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from backups.models import Backup, Cadence, CadenceSlot, Policy, Source
from backups.rules import BackupType
from backups.schedule import Cron
from backups.services import beats, cadence, config
from backups.services.beats import CadencePlan
from sysops.access.driver_settings import BadSettings
from tests.backups.support import TESTER, Hands, make_policy, make_source, make_store

pytestmark = pytest.mark.django_db(transaction=True)

MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
STANDARD = (*config.FULL_CADENCES, *config.CHAIN_CADENCES)


def standard_policy(at: datetime = MIDNIGHT - timedelta(minutes=30)) -> Policy:
    number = Policy.objects.count()
    return config.create_policy(
        slug=f"standard-{number}", name="Standard", store=make_store(), cadences=STANDARD, by=TESTER, at=at
    )


def outcomes(at: datetime) -> dict[str, str]:
    return dict(CadenceSlot.objects.filter(slot_at=at).values_list("cadence__label", "outcome"))


def finish_all() -> None:
    Backup.objects.filter(status="queued").update(status="succeeded")


def test_the_standard_policy_has_the_default_cadence_as_beat_rows(hands: Hands) -> None:
    policy = standard_policy()

    rows = {t.name: str(t.crontab).split(" (")[0] for t in PeriodicTask.objects.filter(backup_cadence__policy=policy)}
    assert rows == {
        f"backup {policy.slug}: daily full": "0 2 * * *",
        f"backup {policy.slug}: weekly image": "0 2 * * 0",
        f"backup {policy.slug}: monthly archive": "0 2 1 * *",
        f"backup {policy.slug}: six-hourly incremental": "0 */6 * * *",
        f"backup {policy.slug}: hourly differential": "0 * * * *",
    }


def test_when_several_fall_together_the_largest_runs_and_the_others_are_recorded(hands: Hands) -> None:
    source = make_source(policy=standard_policy())

    cadence.request_due(at=MIDNIGHT + timedelta(seconds=5))
    assert Backup.objects.get(source=source).requested_type == "differential"
    assert outcomes(MIDNIGHT) == {"hourly differential": "requested", "six-hourly incremental": "coalesced"}
    finish_all()

    two = MIDNIGHT + timedelta(hours=2)
    cadence.request_due(at=MIDNIGHT + timedelta(hours=1, seconds=5))
    finish_all()
    cadence.request_due(at=two + timedelta(seconds=5))
    assert outcomes(two) == {"hourly differential": "coalesced", "daily full": "requested"}
    slots = CadenceSlot.objects.filter(slot_at=two)
    assert {s.backup_id for s in slots} == {Backup.objects.latest("pk").pk}


def test_the_weekly_image_stands_for_the_daily_full_and_is_kept_longer(hands: Hands) -> None:
    sunday = datetime(2026, 3, 1, 2, tzinfo=UTC)  # the first of the month as well
    source = make_source(policy=standard_policy(at=sunday - timedelta(minutes=30)))

    cadence.request_due(at=sunday)

    assert outcomes(sunday) == {
        "monthly archive": "requested",
        "weekly image": "coalesced",
        "daily full": "coalesced",
        "hourly differential": "coalesced",
    }
    assert Backup.objects.get(source=source).keep_days == 365


def test_any_number_of_callers_queue_each_slot_once(hands: Hands) -> None:
    sources = [make_source(policy=standard_policy()) for _ in range(12)]
    start = threading.Barrier(4)

    def call() -> None:
        start.wait()
        try:
            cadence.request_due(at=MIDNIGHT + timedelta(seconds=1))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(Backup.objects.values_list("source_id", flat=True)) == sorted(s.pk for s in sources)


def test_nothing_is_due_twice_and_nothing_before_its_time(hands: Hands) -> None:
    make_source(policy=standard_policy())

    assert cadence.request_due(at=MIDNIGHT - timedelta(seconds=1)) == 0
    assert cadence.request_due(at=MIDNIGHT) == 1
    assert cadence.request_due(at=MIDNIGHT + timedelta(minutes=59)) == 0


def test_after_hours_without_beat_one_backup_stands_for_all_that_were_missed(hands: Hands) -> None:
    source = make_source(policy=standard_policy())

    cadence.request_due(at=MIDNIGHT + timedelta(hours=9, minutes=10))

    assert Backup.objects.get(source=source).requested_type == "full"
    slot = CadenceSlot.objects.get(cadence__label="hourly differential")
    assert slot.slot_at == MIDNIGHT + timedelta(hours=9)
    assert "9 earlier slots were missed" in slot.reason


def test_a_slot_that_finds_a_larger_backup_running_is_recorded_as_covered_by_it(hands: Hands) -> None:
    source = make_source(policy=standard_policy())
    Backup.objects.create(
        source=source,
        store=make_store(),
        engine="fake",
        status="running",
        backup_type="full",
        requested_type="full",
        requested_by="x",
        requested_at=MIDNIGHT,
        not_before=MIDNIGHT,
    )

    assert cadence.request_due(at=MIDNIGHT) == 0

    slot = CadenceSlot.objects.get(cadence__label="hourly differential")
    assert slot.outcome == "coalesced"
    assert "(full) of the source was running" in slot.reason


def test_a_full_that_falls_due_while_an_incremental_runs_waits_behind_it(hands: Hands) -> None:
    source = make_source(policy=standard_policy())
    Backup.objects.create(
        source=source,
        store=make_store(),
        engine="fake",
        status="running",
        backup_type="incremental",
        requested_type="incremental",
        requested_by="x",
        requested_at=MIDNIGHT,
        not_before=MIDNIGHT,
    )

    assert cadence.request_due(at=MIDNIGHT + timedelta(hours=2)) == 1
    assert Backup.objects.get(status="queued").requested_type == "full"


def test_an_edit_of_the_beat_row_is_in_force_at_once_and_counts_from_now_on(hands: Hands) -> None:
    source = make_source(policy=standard_policy())
    row = PeriodicTask.objects.get(name__endswith="hourly differential")
    row.crontab = CrontabSchedule.objects.create(minute="30", hour="*", timezone="UTC")
    row.save()

    assert cadence.request_due(at=MIDNIGHT + timedelta(minutes=1)) == 1  # the six-hourly one
    assert Backup.objects.get(source=source).requested_type == "incremental"
    finish_all()
    assert cadence.request_due(at=MIDNIGHT + timedelta(minutes=30)) == 1
    assert Backup.objects.latest("pk").requested_type == "differential"


def test_a_cadence_moved_to_an_earlier_hour_does_not_make_up_for_it(hands: Hands) -> None:
    policy = config.create_policy(
        slug="p",
        name="P",
        store=make_store(),
        by=TESTER,
        at=MIDNIGHT,
        cadences=[CadencePlan("daily", BackupType.FULL, Cron("0", "20", "*", "*", "*"))],
    )
    make_source(policy=policy)
    row = PeriodicTask.objects.get(backup_cadence__policy=policy)
    row.crontab = CrontabSchedule.objects.create(minute="0", hour="3", timezone="UTC")
    row.save()

    assert cadence.request_due(at=MIDNIGHT + timedelta(hours=12)) == 0
    assert Cadence.objects.get().next_due_at == MIDNIGHT + timedelta(hours=27)


def test_a_cadence_switched_off_runs_nothing_and_makes_up_for_nothing_when_back_on(hands: Hands) -> None:
    make_source(policy=standard_policy())
    PeriodicTask.objects.update(enabled=False)
    assert cadence.request_due(at=MIDNIGHT + timedelta(hours=5)) == 0

    PeriodicTask.objects.update(enabled=True)
    assert cadence.request_due(at=MIDNIGHT + timedelta(hours=5, minutes=1)) == 0
    assert cadence.request_due(at=MIDNIGHT + timedelta(hours=6)) == 1


def test_a_disabled_source_is_left_out_and_a_backup_of_each_other_one_is_queued(hands: Hands) -> None:
    policy = standard_policy()
    sources = [make_source(policy=policy) for _ in range(3)]
    Source.objects.filter(pk=sources[1].pk).update(enabled=False)

    assert cadence.request_due(at=MIDNIGHT) == 2


def test_a_policy_keeps_its_wall_clock_hour_across_a_daylight_saving_change(hands: Hands) -> None:
    before = datetime(2026, 3, 28, 1, 30, tzinfo=UTC)
    policy = config.create_policy(
        slug="london",
        name="L",
        store=make_store(),
        by=TESTER,
        at=before,
        cadences=[CadencePlan("daily", BackupType.FULL, Cron("0", "2", "*", "*", "*", "Europe/London"))],
    )
    make_source(policy=policy)
    taken = []
    for minutes in range(0, 60 * 60, 10):
        at = before + timedelta(minutes=minutes)
        if cadence.request_due(at=at):
            taken.append(at)
            finish_all()

    assert taken == [
        datetime(2026, 3, 28, 2, tzinfo=UTC),
        datetime(2026, 3, 29, 1, tzinfo=UTC),
        datetime(2026, 3, 30, 1, tzinfo=UTC),
    ]


def test_a_rule_that_makes_no_sense_is_refused_when_configured(hands: Hands) -> None:
    with pytest.raises(BadSettings, match="no cron rule"):
        beats.add_cadence(
            make_policy(), CadencePlan("bad", BackupType.FULL, Cron("61", "2", "*", "*", "*")), by=TESTER, at=MIDNIGHT
        )


def test_a_rule_broken_later_in_the_admin_stops_only_its_own_cadence(hands: Hands) -> None:
    make_source(policy=standard_policy())
    CrontabSchedule.objects.filter(hour="*/6").update(minute="99")

    assert cadence.request_due(at=MIDNIGHT) == 1
    assert Cadence.objects.get(label="six-hourly incremental").next_due_at is None


def test_a_source_whose_engine_is_not_installed_is_skipped_with_the_reason_and_stops_no_other(hands: Hands) -> None:
    policy = standard_policy()
    make_source(policy=policy, engine="of-another-package")
    healthy = make_source(policy=policy)

    assert cadence.request_due(at=MIDNIGHT) == 1

    assert Backup.objects.get().source == healthy
    skipped = CadenceSlot.objects.filter(outcome="skipped")
    assert skipped.count() == 2
    assert "of-another-package" in skipped[0].reason


def test_a_beat_switched_off_in_the_very_moment_does_not_spin(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    make_source(policy=standard_policy())
    PeriodicTask.objects.update(enabled=False)
    monkeypatch.setattr(cadence, "follow_edits", lambda *, at: 0)

    assert cadence.request_due(at=MIDNIGHT) == 0
