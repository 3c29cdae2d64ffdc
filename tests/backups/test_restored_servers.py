"""A server that a restore left running is stopped by the worker on its machine, and called stopped when it is gone."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rest_framework.test import APIClient

from backups.engines.base import Engine, EngineError
from backups.models import Backup, Restore, WrongState
from backups.services import left_running as left_running_services
from backups.services import recovery, restores
from sysops.access.roles import Role
from sysops.access.services import create_token
from sysops.cli import main
from sysops.events.models import Event
from sysops.kernel.clock import utc_now
from sysops.kernel.registry import UnknownName
from tests.backups.support import TESTER, Hands, make_source
from tests.backups.test_restores import ask, work

pytestmark = pytest.mark.django_db(transaction=True)


def left_running(hands: Hands) -> Restore:
    return work(ask(hands.taken(make_source()), hands, start_server=True), hands)


def test_a_restored_server_is_stopped_by_its_worker_when_somebody_asks(hands: Hands) -> None:
    restore = left_running(hands)

    restores.request_stop(restore=restore, by=TESTER, at=hands.at)
    restore.refresh_from_db()
    assert (restore.stop_requested_by, restore.stop_requested_at, restore.server_stopped_at) == (
        "tester",
        hands.at,
        None,
    )
    assert hands.engine.stopped == [], "whoever asks does not wait for it"
    told = Event.objects.filter(name="backups.restore.stop_requested", subject=str(restore.pk))
    assert told.count() == 1
    restores.execute_stop(restore_id=restore.pk, workshop=hands.workshop)
    restores.execute_stop(restore_id=restore.pk, workshop=hands.workshop)
    restore.refresh_from_db()

    assert [str(p) for p in hands.engine.stopped] == [restore.target]
    assert restore.server_stopped_at == hands.at
    with pytest.raises(WrongState, match="no running server"):
        restores.request_stop(restore=restore, by=TESTER, at=hands.at)


def test_nobody_stops_a_server_that_nobody_asked_to_stop(hands: Hands) -> None:
    restores.execute_stop(restore_id=left_running(hands).pk, workshop=hands.workshop)

    assert hands.engine.stopped == []


def test_a_server_that_cannot_be_judged_is_not_called_stopped_and_is_asked_for_again(hands: Hands) -> None:
    restore = left_running(hands)
    restores.request_stop(restore=restore, by=TESTER, at=hands.at)

    def out_of_sight(_: Path) -> None:
        raise EngineError("It may run in another container", code="out_of_sight")

    hands.engine.stopping = out_of_sight
    restores.execute_stop(restore_id=restore.pk, workshop=hands.workshop)
    restore.refresh_from_db()

    assert restore.server_stopped_at is None
    assert restore.stop_failure == "It may run in another container"
    assert woken(hands) == [], "not while its first message may be on its way"
    hands.later(minutes=3)
    assert woken(hands) == [str(restore.pk)]
    assert woken(hands) == []
    hands.later(hours=2)
    assert woken(hands) == [], "it is given up until somebody asks again"


def woken(hands: Hands) -> list[str]:
    sent: list[str] = []

    def wake(task: str, *, subject: str, **_: object) -> bool:
        assert task == "backups.stop_server"
        sent.append(subject)
        return True

    restores.wake_stops(wake=wake, at=hands.at)
    return sent


def test_while_the_broker_is_away_a_stop_stays_due(hands: Hands) -> None:
    restore = left_running(hands)
    restores.request_stop(restore=restore, by=TESTER, at=hands.at)
    hands.later(minutes=3)

    restores.wake_stops(wake=lambda *_, **__: False, at=hands.at)

    assert woken(hands) == [str(restore.pk)]


def test_a_worker_on_another_machine_does_not_say_stopped(hands: Hands) -> None:
    restore = left_running(hands)
    restores.request_stop(restore=restore, by=TESTER, at=hands.at)

    restores.execute_stop(restore_id=restore.pk, workshop=replace(hands.workshop, host="another-host"))
    restore.refresh_from_db()

    assert restore.server_stopped_at is None
    assert "on test-host" in restore.stop_failure
    assert hands.engine.stopped == []


def test_over_http_a_stop_is_accepted_and_not_waited_for(hands: Hands) -> None:
    restore = left_running(hands)
    _, token = create_token("t", role=Role.APPROVER, ttl=timedelta(hours=1), by=TESTER, at=utc_now())
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")

    answer = client.put(f"/api/system/restores/{restore.pk}/stop-server")

    assert (answer.status_code, answer["Location"]) == (202, f"/api/system/restores/{restore.pk}")
    assert answer.json()["server_stopped_at"] is None
    restores.execute_stop(restore_id=restore.pk, workshop=hands.workshop)
    assert client.get(answer["Location"]).json()["server_stopped_at"]
    assert client.put(f"/api/system/restores/{restore.pk}/stop-server").status_code == 409


def test_a_server_that_is_gone_is_called_gone_and_not_stopped_from_here(hands: Hands) -> None:
    """Killed, or its machine rebooted: nobody asked for it, and no record goes on saying that it runs."""
    restore = left_running(hands)
    other = left_running(hands)
    hands.engine.gone = [Path(restore.target)]
    hands.later(minutes=5)

    recovery.pick_up(workshop=hands.workshop)
    restore.refresh_from_db()
    other.refresh_from_db()

    assert (restore.server_stopped_at, restore.stop_failure) == (
        hands.at,
        "Its server is gone: it was not stopped from here",
    )
    assert other.server_runs
    assert hands.engine.stopped == []
    told = Event.objects.filter(name="backups.restore.server_stopped", subject=str(restore.pk))
    assert told.count() == 1
    recovery.pick_up(workshop=hands.workshop)
    assert told.count() == 1
    with pytest.raises(WrongState, match="no running server"):
        restores.request_stop(restore=restore, by=TESTER, at=hands.at)


def test_a_server_that_somebody_stopped_is_not_called_gone_by_whoever_finds_it_first(hands: Hands) -> None:
    restore = left_running(hands)
    restores.request_stop(restore=restore, by=TESTER, at=hands.at)
    hands.engine.gone = [Path(restore.target)]

    recovery.pick_up(workshop=hands.workshop)
    restore.refresh_from_db()

    assert (restore.server_stopped_at, restore.stop_failure) == (hands.at, "")


def test_only_the_machine_it_ran_on_calls_a_server_gone_and_only_while_it_sees_the_restores(hands: Hands) -> None:
    restore = left_running(hands)
    hands.engine.gone = [Path(restore.target)]

    recovery.pick_up(workshop=replace(hands.workshop, host="another-host"))
    restores_dir = Path(restore.target).parent
    restores_dir.rename(restores_dir.with_name("unmounted"))
    recovery.pick_up(workshop=hands.workshop)
    restore.refresh_from_db()

    assert restore.server_runs


def test_an_engine_that_is_not_installed_here_holds_up_no_other_look(hands: Hands) -> None:
    first, second = left_running(hands), left_running(hands)
    Backup.objects.filter(pk=first.backup_id).update(engine="gone-engine")
    hands.engine.gone = [Path(second.target)]

    def engine_for(name: str) -> Engine:
        if name == "gone-engine":
            raise UnknownName(name)
        return hands.engine

    left_running_services.settle(workshop=replace(hands.workshop, engine=engine_for))
    second.refresh_from_db()

    assert not second.server_runs


def test_the_sweep_has_servers_looked_for_once_a_minute_while_any_is_said_to_run(hands: Hands) -> None:
    def looks(*, broker: bool = True) -> int:
        sent: list[str] = []

        def wake(task: str, **_: object) -> bool:
            sent.append(task)
            return broker

        recovery.sweep(workshop=hands.workshop, wake=wake)
        return sent.count("backups.pick_up")

    hands.taken(make_source())
    hands.later(minutes=5)
    assert looks() == 0, "nothing is said to run"
    restore = left_running(hands)
    hands.later(seconds=61)
    assert looks(broker=False) == 1
    assert looks() == 1, "a broker that was away is asked again with the next sweep"
    assert looks() == 0
    hands.later(seconds=61)
    assert looks() == 1
    hands.engine.gone = [Path(restore.target)]
    recovery.pick_up(workshop=hands.workshop)
    hands.later(seconds=61)
    assert looks() == 0


def test_over_http_a_server_that_is_gone_is_told_with_the_reason(hands: Hands) -> None:
    restore = left_running(hands)
    hands.engine.gone = [Path(restore.target)]
    recovery.pick_up(workshop=hands.workshop)
    _, token = create_token("t", role=Role.VIEWER, ttl=timedelta(hours=1), by=TESTER, at=utc_now())
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")

    shown = client.get(f"/api/system/restores/{restore.pk}").json()

    assert shown["server_stopped_at"]
    assert shown["stop_failure"] == "Its server is gone: it was not stopped from here"


def command(*words: str) -> Result:
    return CliRunner().invoke(main, words, catch_exceptions=False)


def test_the_command_line_shows_which_servers_run_and_stops_them(hands: Hands) -> None:
    restore = left_running(hands)
    plain = work(ask(hands.taken(make_source()), hands, target="plain"), hands)

    shown = command("restores").output
    assert f"to {restore.target}: succeeded\n  its server runs on test-host\n  connect with: host=here" in shown
    assert f"to {plain.target}: succeeded\n" in shown
    assert shown.count("its server") == 1

    asked = command("stop-server", str(restore.pk), "--no-wait")
    assert (asked.exit_code, "told to stop by" in asked.output) == (0, True)
    restores.execute_stop(restore_id=restore.pk, workshop=hands.workshop)
    assert "its server is stopped" in command("restores").output
    again = command("stop-server", str(restore.pk))
    assert (again.exit_code, "no running server" in again.output) == (1, True)
    assert command("stop-server", str(restore.pk + 99)).exit_code == 2
