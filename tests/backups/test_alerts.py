"""What of backups becomes an alert, when it is over, and that it is one however often it is noticed."""

from datetime import timedelta

import pytest

from alerting.models import Alert
from backups import alerts
from backups.engines.base import Check, EngineError, Outcome
from backups.models import Backup, Source
from backups.rules import RPO_GRACE, BackupType, Rung
from backups.services import requests, retention, verifications
from catalogue.models import Service
from sysops.events.models import Event
from tests.backups.support import START, TESTER, Hands, make_policy, make_source

pytestmark = pytest.mark.django_db(transaction=True)

RPO = timedelta(hours=1)


@pytest.fixture
def shop() -> Source:
    service = Service.objects.create(slug="shop-db", name="Shop database")
    policy = make_policy(max_attempts=3, rpo_seconds=int(RPO.total_seconds()))
    return make_source("shop", service=service, policy=policy)


def deliver(name: str) -> int:
    """Hand the events of this name to their handlers, oldest first, as the relay does; how many there were."""
    handler = {
        "backups.source.failing": alerts.source_failing,
        "backups.source.recovered": alerts.source_recovered,
        "backups.verification.failed": alerts.verification_ended,
        "backups.verification.passed": alerts.verification_ended,
        "backups.backup.expired": alerts.backup_expired,
    }[name]
    events = list(Event.objects.filter(name=name).order_by("pk"))
    for event in events:
        handler(event)
    return len(events)


def open_alerts() -> dict[str, Alert]:
    return {alert.key: alert for alert in Alert.objects.filter(resolved_at=None)}


def fail(source: Source, hands: Hands, *, times: int = 1) -> Backup:
    """A backup that failed so often and will be tried again."""
    backup = requests.request_backup(source=source, backup_type=BackupType.FULL, by=TESTER, at=hands.at)
    for _ in range(times):
        hands.engine.failures = [EngineError("no route to host", permanent=False)]
        hands.take(backup)
        hands.later(minutes=2)
    return backup


def test_a_series_of_failures_is_one_alert_and_a_success_ends_it(shop: Source, hands: Hands) -> None:
    hands.taken(shop)
    backup = fail(shop, hands, times=2)
    assert deliver("backups.source.failing") == 1

    (alert,) = open_alerts().values()
    assert (alert.key, alert.level, alert.title) == (f"backups.source:{shop.pk}", "warning", "Backups of shop fail")
    assert (alert.detail, alert.service, alert.count) == ("no route to host", shop.service, 1)
    assert alert.path == f"/admin/backups/source/{shop.pk}/change/"

    hands.take(backup)
    assert deliver("backups.source.recovered") == 1
    assert open_alerts() == {}


def test_failures_of_a_source_that_is_past_its_rpo_are_critical(shop: Source, hands: Hands) -> None:
    hands.taken(shop)
    hands.later(hours=2)
    fail(shop, hands)
    deliver("backups.source.failing")

    assert open_alerts()[f"backups.source:{shop.pk}"].level == "critical"


def test_an_event_that_comes_late_or_again_raises_nothing_that_is_over(shop: Source, hands: Hands) -> None:
    hands.taken(shop)
    backup = fail(shop, hands)
    hands.take(backup)  # it is over before anybody hears of it

    deliver("backups.source.failing")
    deliver("backups.source.recovered")
    assert not Alert.objects.exists()

    fail(shop, hands)
    deliver("backups.source.failing")
    deliver("backups.source.recovered")  # that of the first series, told again
    assert list(open_alerts()) == [f"backups.source:{shop.pk}"]


def test_a_backup_found_bad_is_critical_and_over_once_it_is_right_again(shop: Source, hands: Hands) -> None:
    hands.engine.checks = (Check("rows", Outcome.FAILED, "none are left"),)
    backup = hands.verified(hands.taken(shop))
    assert deliver("backups.verification.failed") == 1
    deliver("backups.verification.passed")  # of its files, which says nothing against the restore that failed

    alert = open_alerts()[f"backups.bad:{backup.pk}"]
    assert (alert.level, alert.title) == ("critical", f"Backup {backup.pk} of shop is bad")
    assert "none are left" in alert.detail

    hands.engine.checks = (Check("rows", Outcome.PASSED, "there they are"),)
    verifications.request_verification(backup=backup, rung=Rung.RESTORE, by=TESTER, at=hands.at)
    hands.verified(backup)
    deliver("backups.verification.passed")
    assert open_alerts() == {}


def test_a_bad_backup_that_was_removed_is_no_alert_any_more(shop: Source, hands: Hands) -> None:
    hands.engine.checks = (Check("rows", Outcome.FAILED, "none are left"),)
    backup = hands.verified(hands.taken(shop))
    deliver("backups.verification.failed")
    assert open_alerts()
    hands.engine.checks = (Check("rows", Outcome.PASSED, "fine"),)
    hands.later(days=40)
    hands.verified(hands.taken(shop))

    retention.apply(workshop=hands.workshop)

    backup.refresh_from_db()
    assert backup.status == "expired"
    deliver("backups.backup.expired")
    assert open_alerts() == {}


def test_a_source_past_its_rpo_alerts_once_and_a_good_backup_ends_it(shop: Source, hands: Hands) -> None:
    hands.taken(shop)
    hands.at = START + RPO + RPO_GRACE
    assert alerts.settle_rpo(now=hands.at) == 0

    hands.later(minutes=1)
    assert [alerts.settle_rpo(now=hands.at) for _ in range(3)] == [1, 0, 0]

    alert = open_alerts()[f"backups.rpo:{shop.pk}"]
    assert (alert.level, alert.count, alert.service) == ("critical", 1, shop.service)
    assert alert.title == "shop is past its RPO of 1 h"
    assert alert.detail == "The last good backup is 1 h 6 min old."

    hands.taken(shop)
    assert alerts.settle_rpo(now=hands.at) == 0
    assert open_alerts() == {}


def test_a_new_source_is_given_its_rpo_to_get_its_first_backup(shop: Source, hands: Hands) -> None:
    assert alerts.settle_rpo(now=START + RPO) == 0
    assert alerts.settle_rpo(now=START + RPO + RPO_GRACE + timedelta(minutes=1)) == 1

    assert open_alerts()[f"backups.rpo:{shop.pk}"].detail.startswith("There is no good backup of it at all, 1 h 6 min")


def test_a_source_that_is_switched_off_or_gone_is_past_nothing(shop: Source, hands: Hands) -> None:
    late = START + timedelta(days=2)
    assert alerts.settle_rpo(now=late) == 1
    Source.objects.filter(pk=shop.pk).update(enabled=False)
    alerts.settle_rpo(now=late)
    assert open_alerts() == {}

    Source.objects.filter(pk=shop.pk).update(enabled=True)
    assert alerts.settle_rpo(now=late) == 1
    shop.delete()
    alerts.settle_rpo(now=late)
    assert open_alerts() == {}
