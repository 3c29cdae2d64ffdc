"""The gate `fresh_backup`: what opens it, what keeps it closed, and that it takes one backup, once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier

import pytest
from django.db import connection

from backups.engines.base import Check, EngineError, Outcome
from backups.gate import FreshBackup
from backups.models import Backup, Policy, Source
from backups.rules import BackupType
from backups.services.requests import cancel_backup
from catalogue.gates import Answer, Question, Verdict
from catalogue.models import Dependency, Service
from maintenance.models import Window
from maintenance.plans import GatePlan, Plan
from maintenance.rules import Type
from maintenance.services import running, scheduling, ticking
from tests.backups.support import TESTER, Hands, make_policy, make_source

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = 3600


def make_service(slug: str, *, stands_on: tuple[Service, ...] = ()) -> Service:
    service = Service.objects.create(slug=slug, name=slug)
    for below in stands_on:
        Dependency.objects.create(service=service, requires=below)
    return service


@pytest.fixture
def shop() -> Source:
    """The source of the service shop-db."""
    return make_source("shop", service=make_service("shop-db"), policy=make_policy(max_attempts=1))


def ask(
    hands: Hands, *services: str, prepare: bool = False, since: datetime | None = None, **settings: object
) -> Answer:
    question = Question(
        about="window 12",
        services=services or ("shop-db",),
        settings=settings,
        prepare=prepare,
        since=since,
        asked_by="anna",
        at=hands.at,
    )
    return FreshBackup().ask(question)


def test_a_fresh_backup_that_passed_opens_it_and_is_named(shop: Source, hands: Hands) -> None:
    backup = hands.verified(hands.taken(shop))
    hands.later(hours=3)

    answer = ask(hands)

    assert answer.verdict is Verdict.OPEN
    assert answer.reason == f"Backup {backup.pk} of shop, completed 3 h ago, passed its verification"
    sources = answer.facts["sources"]
    assert isinstance(sources, list)
    (facts,) = sources
    assert (facts["source"], facts["backup"], facts["verification"]) == ("shop", str(backup.pk), "passed")


def test_a_backup_of_what_a_service_stands_on_however_far_down_is_asked_for(hands: Hands) -> None:
    disk = make_service("disk")
    shop_db = make_service("shop-db", stands_on=(disk,))
    make_service("shop", stands_on=(shop_db,))
    make_source("disks", service=disk)

    answer = ask(hands, "shop")

    assert (answer.verdict, answer.reason) == (Verdict.CLOSED, "disks has no stored backup")


def test_every_source_counts_and_each_that_lacks_something_is_named(shop: Source, hands: Hands) -> None:
    hands.verified(hands.taken(shop))
    make_source("orders", service=shop.service)
    make_source("files", service=shop.service)

    answer = ask(hands)

    assert answer.verdict is Verdict.CLOSED
    assert answer.reason == "files has no stored backup; orders has no stored backup"


def test_the_source_named_in_the_settings_is_the_only_one_that_counts(shop: Source, hands: Hands) -> None:
    other = make_source("elsewhere")
    hands.verified(hands.taken(other))

    assert ask(hands, source="elsewhere").verdict is Verdict.OPEN
    assert ask(hands, source="nowhere").reason.startswith("There is no backup source 'nowhere'")


def test_without_any_source_it_is_closed_and_says_what_to_do(hands: Hands) -> None:
    make_service("cache")

    answer = ask(hands, "cache", prepare=True)

    assert answer.verdict is Verdict.CLOSED
    assert answer.reason.startswith("No backup source belongs to cache")
    assert answer.reason.endswith("name one in the gate's settings")


def test_a_backup_that_is_too_old_says_how_old(shop: Source, hands: Hands) -> None:
    backup = hands.verified(hands.taken(shop))
    hands.later(hours=2)
    assert ask(hands, max_age_seconds=2 * HOUR).verdict is Verdict.OPEN

    hands.later(minutes=30)
    answer = ask(hands, max_age_seconds=2 * HOUR)

    assert answer.verdict is Verdict.CLOSED
    assert answer.reason == f"Backup {backup.pk} of shop, its newest, is 2 h 30 min old; 2 h is the most"


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"verification_status": "pending"}, "is not verified yet"),
        ({"verification_status": "failed", "verification_detail": "flipped byte"}, "is known bad: flipped byte"),
        ({"verification_status": "could_not_verify", "verification_detail": "no room"}, "verified: no room"),
        ({"status": "expired"}, "shop has no stored backup"),
    ],
)
def test_a_backup_that_did_not_pass_keeps_it_closed_and_says_why(
    shop: Source, hands: Hands, state: dict[str, str], said: str
) -> None:
    backup = hands.verified(hands.taken(shop))
    Backup.objects.filter(pk=backup.pk).update(proven_at=None, **state)

    answer = ask(hands)

    assert answer.verdict is Verdict.CLOSED
    assert said in answer.reason


def test_a_backup_that_stands_on_a_bad_one_does_not_open_it(shop: Source, hands: Hands) -> None:
    full = hands.verified(hands.taken(shop))
    hands.later(minutes=1)
    child = hands.verified(hands.taken(shop, BackupType.INCREMENTAL))
    assert ask(hands).verdict is Verdict.OPEN

    Backup.objects.filter(pk=full.pk).update(verification_status="failed")

    assert ask(hands).reason == f"Backup {child.pk} of shop, completed just now, stands on one that is bad or gone"


def test_proven_wants_a_restore(shop: Source, hands: Hands) -> None:
    full = hands.verified(hands.taken(shop))
    assert ask(hands, verification="proven").reason.endswith("is proven by a restore")

    Backup.objects.filter(pk=full.pk).update(proven_at=None)

    assert ask(hands).verdict is Verdict.OPEN
    assert ask(hands, verification="proven").reason.endswith("is not proven by a restore")


@pytest.mark.parametrize(
    "settings",
    [{"max_age_seconds": 59}, {"max_age_seconds": "1"}, {"verification": "hoped"}, {"age": 3}, {"source": ""}],
)
def test_settings_that_do_not_fit_keep_it_closed_and_are_named(
    shop: Source, hands: Hands, settings: dict[str, object]
) -> None:
    hands.verified(hands.taken(shop))

    answer = ask(hands, **settings)  # type: ignore[arg-type]

    assert answer.verdict is Verdict.CLOSED
    assert answer.reason.startswith("The gate's settings do not fit: settings")


def test_with_prepare_it_takes_one_full_backup_and_opens_once_that_is_verified(shop: Source, hands: Hands) -> None:
    since = hands.at

    first = ask(hands, prepare=True, since=None)
    again = ask(hands, prepare=True, since=since)

    asked = Backup.objects.get()
    assert asked.requested_by == "fresh_backup for window 12, asked by anna"
    assert (first.verdict, again.verdict) == (Verdict.PREPARING, Verdict.PREPARING)
    assert again.reason == f"Backup {asked.pk} of shop is queued"
    hands.later(minutes=5)
    hands.take(asked)
    assert ask(hands, prepare=True, since=since).verdict is Verdict.PREPARING  # taken, not looked at yet
    hands.verified(asked)
    assert ask(hands, prepare=True, since=since).verdict is Verdict.OPEN
    assert Backup.objects.count() == 1


def test_two_who_ask_at_the_same_moment_take_one_backup(shop: Source, hands: Hands) -> None:
    Policy.objects.update(when_busy="queue")  # which would let a second one wait behind the first
    together = Barrier(2)

    def asking(_: int) -> Verdict:
        try:
            together.wait(timeout=30)
            return ask(hands, prepare=True).verdict
        finally:
            connection.close()

    for _ in range(10):
        with ThreadPoolExecutor(2) as pool:
            verdicts = list(pool.map(asking, range(2)))
        assert (verdicts, Backup.objects.count()) == ([Verdict.PREPARING] * 2, 1)
        Backup.objects.all().delete()


def test_what_lacks_nothing_is_not_taken_again(shop: Source, hands: Hands) -> None:
    hands.verified(hands.taken(shop))
    hands.later(hours=1)

    assert ask(hands, prepare=True).verdict is Verdict.OPEN
    assert Backup.objects.count() == 1


def test_one_that_is_under_way_or_being_verified_is_waited_for(shop: Source, hands: Hands) -> None:
    hands.later(minutes=1)
    backup = hands.taken(shop)
    hands.later(minutes=1)

    answer = ask(hands, prepare=True, since=hands.at)

    assert (answer.verdict, Backup.objects.count()) == (Verdict.PREPARING, 1)
    assert answer.reason == f"Backup {backup.pk} of shop, completed 1 min ago, is not verified yet"


def test_a_backup_that_failed_keeps_it_closed_with_its_reason_and_is_not_asked_for_again(
    shop: Source, hands: Hands
) -> None:
    since = hands.at
    ask(hands, prepare=True)
    hands.engine.failures = [EngineError("disk on fire", permanent=True)]
    failed = hands.take(Backup.objects.get())

    answers = [ask(hands, prepare=True, since=since) for _ in range(3)]

    assert {a.verdict for a in answers} == {Verdict.CLOSED}
    assert answers[0].reason == f"Backup {failed.pk} of shop failed: disk on fire"
    assert Backup.objects.count() == 1
    hands.later(minutes=1)
    assert ask(hands, prepare=True, since=hands.at).verdict is Verdict.PREPARING  # asked for anew


def test_a_backup_that_was_taken_back_or_found_bad_keeps_it_closed(shop: Source, hands: Hands) -> None:
    since = hands.at
    ask(hands, prepare=True)
    cancel_backup(backup=Backup.objects.get(), by=TESTER, at=hands.at)
    assert ask(hands, prepare=True, since=since).reason.endswith("failed: Cancelled by tester")

    hands.later(minutes=1)
    since = hands.at
    ask(hands, prepare=True, since=since)
    hands.engine.checks = (Check("rows", Outcome.FAILED, "none are left"),)
    hands.verified(hands.take(Backup.objects.latest("pk")))

    answer = ask(hands, prepare=True, since=since)
    assert answer.verdict is Verdict.CLOSED
    assert "is known bad" in answer.reason


def test_a_backup_that_grew_too_old_while_the_start_waited_is_taken_again(shop: Source, hands: Hands) -> None:
    since = hands.at
    ask(hands, prepare=True)
    hands.verified(hands.take(Backup.objects.get()))
    hands.later(hours=2)

    assert ask(hands, prepare=True, since=since, max_age_seconds=HOUR).verdict is Verdict.PREPARING
    assert Backup.objects.count() == 2


def test_a_verification_that_takes_longer_than_the_age_allowed_is_no_endless_series_of_backups(
    shop: Source, hands: Hands
) -> None:
    since = hands.at
    ask(hands, prepare=True)
    backup = hands.take(Backup.objects.get())
    hands.later(hours=2)
    hands.verified(backup)

    answer = ask(hands, prepare=True, since=since, max_age_seconds=HOUR)

    assert (answer.verdict, Backup.objects.count()) == (Verdict.CLOSED, 1)
    assert answer.reason.endswith("raise max_age_seconds")


def test_a_source_that_cannot_be_backed_up_here_keeps_it_closed_and_says_why(hands: Hands) -> None:
    make_source("shop", service=make_service("shop-db"), engine="typewriter")

    answer = ask(hands, prepare=True)

    assert answer.verdict is Verdict.CLOSED
    assert "typewriter" in answer.reason


def test_an_answer_fits_where_it_is_kept_however_many_sources_there_are(shop: Source, hands: Hands) -> None:
    for number in range(60):
        make_source(f"source-with-a-long-name-{number}", service=shop.service)

    assert len(ask(hands).reason) <= 1000


def test_asked_without_a_time_of_its_own_a_long_wait_is_counted_from_the_question(shop: Source, hands: Hands) -> None:
    hands.verified(hands.taken(shop))
    hands.at += timedelta(days=2)

    assert ask(hands, prepare=True).verdict is Verdict.PREPARING


def window_of(shop: Source, hands: Hands, *, prepare: bool) -> Window:
    plan = Plan(
        maintenance_type=Type.PLANNED,
        title="Upgrade",
        description="",
        start=hands.at + timedelta(hours=1),
        duration=timedelta(hours=4),
        services=[Service.objects.get(slug="shop-db")],
        gates=[GatePlan(FreshBackup.name, {"max_age_seconds": HOUR}, prepare=prepare)],
    )
    made = scheduling.schedule(plan, by=TESTER, at=hands.at)
    hands.later(hours=1)
    return made


def test_a_window_without_a_fresh_backup_does_not_start(shop: Source, hands: Hands) -> None:
    window = window_of(shop, hands, prepare=False)

    with pytest.raises(running.NotYet, match="Fresh verified backup: shop has no stored backup"):
        running.start(window.pk, by=TESTER, at=hands.now)

    assert Window.objects.get().status == "scheduled"
    assert not Backup.objects.exists()


def test_a_window_that_may_takes_its_backup_first_and_starts_by_itself_when_that_is_proven(
    shop: Source, hands: Hands
) -> None:
    window = window_of(shop, hands, prepare=True)

    with pytest.raises(running.NotYet) as refused:
        running.start(window.pk, by=TESTER, at=hands.now)
    assert refused.value.preparing
    hands.later(minutes=10)
    hands.verified(hands.take(Backup.objects.get()))
    ticking.tick(now=hands.now)

    assert Window.objects.get().status == "in_progress"
    assert Backup.objects.count() == 1
