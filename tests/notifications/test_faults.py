"""Real worker processes, a real mail server, and what goes wrong between them."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest
from django.utils.html import escape

from notifications.audience import Audience
from notifications.models import Channel, Message
from notifications.rules import LEASE, DeliveryState, Level
from notifications.services import claims, health, sending
from notifications.services.fan_out import fan_out
from sysops.events import wake
from sysops.kernel.clock import utc_now
from tests.notifications.support import (
    WINDOW,
    Clock,
    FakeDriver,
    MailServer,
    deliveries,
    make_channel,
    make_person,
    make_service,
    send,
    subscribe,
    tell,
)
from tests.running import ROOT, until
from tests.services import end, free_port

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(400)]

StartWorker = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start_worker(child_environ: dict[str, str], tmp_path: Path) -> Iterator[StartWorker]:
    """Starts a Celery worker of the queue `notifications`; killed at the end of the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*, processes: int = 0) -> "subprocess.Popen[bytes]":
        pool = ("--pool", "prefork", "--concurrency", str(processes)) if processes else ("--pool", "solo")
        with (tmp_path / "worker.log").open("ab") as log:
            worker = subprocess.Popen(
                [
                    *(sys.executable, "-m", "celery", "-A", "sysops", "--quiet", "worker", *pool),
                    *("--queues", "notifications", "--hostname", f"n{len(started)}@test", "--loglevel", "WARNING"),
                    *("--without-mingle", "--without-gossip", "--without-heartbeat"),
                ],
                cwd=ROOT, env=child_environ, stdout=log, stderr=log,
            )  # fmt: skip
        started.append(worker)
        return worker

    yield start
    for worker in started:
        if worker.poll() is None:
            end(worker, signal.SIGQUIT)


def channel_to(server: MailServer) -> Channel:
    settings = {"host": "127.0.0.1", "port": server.port, "security": "none", "from_address": "sysops@example.org"}
    return make_channel("mail", "email", *Level, settings=settings)


def states() -> list[str]:
    return sorted(row.state for row in deliveries())


def sweep(clock: Clock) -> None:
    claims.take_back(now=clock())
    sending.give_up_old(now=clock())
    health.tell_broken(now=clock())
    fan_out(now=clock)


def test_a_worker_killed_between_accept_and_record_repeats_one_letter_under_the_same_id(
    mail_server: MailServer, start_worker: StartWorker
) -> None:
    channel_to(mail_server)
    tell(Audience(people=tuple(make_person(n).pk for n in ("ada", "bob", "eve"))), clock=Clock(utc_now()))
    victim = start_worker()

    def kill_at_the_second(mail: EmailMessage) -> str:
        if len(mail_server.mails) == 2:
            os.kill(victim.pid, signal.SIGKILL)
        return "250 OK"

    mail_server.on_mail = kill_at_the_second
    wake("notifications.send")
    victim.wait(150)
    assert states() == ["sending", "sending", "sent"]

    claims.take_back(now=utc_now() + LEASE)
    for row in deliveries():
        row.due_at = utc_now()
        row.save(update_fields=["due_at"])
    start_worker()
    wake("notifications.send")
    until(lambda: states() == ["sent"] * 3, seconds=150, what="all are sent")

    ids = [mail["Message-ID"] for mail in mail_server.mails]
    assert (len(ids), len(set(ids))) == (4, 3)
    assert ids[1] == ids[2], "what was accepted and not recorded is what went out twice"


def test_two_worker_processes_share_the_letters_and_send_each_once(
    mail_server: MailServer, start_worker: StartWorker
) -> None:
    channel_to(mail_server)
    shop = make_service("shop")
    for n in range(120):
        subscribe(shop, f"s{n}@example.org")
    tell(Audience(subscribers_of=(shop.pk,)), clock=Clock(utc_now()))
    start_worker(processes=2)
    for _ in range(2):
        wake("notifications.send")

    until(lambda: set(states()) == {"sent"}, seconds=150, what=lambda: f"all are sent: {states()}")

    assert mail_server.told == sorted(f"s{n}@example.org" for n in range(120))


def test_a_broker_that_is_away_at_posting_costs_a_delay_and_no_message(
    mail_server: MailServer, start_worker: StartWorker, child_environ: dict[str, str]
) -> None:
    channel_to(mail_server)
    ada = make_person("ada")
    code = f"""
import django; django.setup()
from django.db import transaction
from notifications.audience import Audience
from notifications.rules import Level
from notifications.services import messages
from sysops.kernel.clock import utc_now
with transaction.atomic():
    messages.post(key="k", kind="maintenance.started", level=Level.WARNING, context={dict(WINDOW)!r},
                  audience=Audience(people=({ada.pk},)), at=utc_now())
"""
    away = {**child_environ, "SYSOPS_BROKER_URL": f"redis://127.0.0.1:{free_port()}/0"}
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, env=away, check=True, timeout=150)
    assert Message.objects.get().fanned_out_at is None

    start_worker()
    wake("notifications.sweep")  # as the tick does
    until(lambda: mail_server.told == ["ada@example.org"], seconds=150, what="Ada is told")
    until(lambda: states() == ["sent"], seconds=60, what="it is recorded")


def test_a_mail_server_away_for_an_hour_loses_nothing_and_is_told_of_once_through_another_channel(
    clock: Clock, sms: FakeDriver
) -> None:
    server = MailServer(free_port())
    channel = channel_to(server)
    make_channel("phone", "sms")
    grace = make_person("grace", ("email", "grace@example.org"), ("sms", "+4930123456"))
    message = tell(Audience(people=(grace.pk, make_person("ada").pk)), clock=clock)

    for _ in range(240):
        send(clock)
        sweep(clock)
        clock.forward(timedelta(seconds=15))
    assert {row.state for row in deliveries(message)} == {DeliveryState.PENDING}
    assert [letter.kind for letter in sms.sent] == ["notifications.channel_broken"]
    channel.refresh_from_db()
    assert 15 < channel.failures < 30, "it was asked now and then, not all the time"

    server.start()
    try:
        clock.forward(timedelta(minutes=5))
        assert send(clock) == 2
    finally:
        server.stop()
    assert server.told == ["ada@example.org", "grace@example.org"]
    assert {row.attempt for row in deliveries(message)} == {1}
    channel.refresh_from_db()
    assert channel.failing_since is None


def test_a_nasty_title_arrives_as_text(clock: Clock, mail_server: MailServer) -> None:
    channel_to(mail_server)
    title = "<img src=x onerror=alert(1)>\r\nBcc: eve@example.org\r\n" + "long " * 2_000
    tell(Audience(people=(make_person("ada").pk,)), clock=clock, context={**WINDOW, "title": title})

    assert send(clock) == 1

    [mail] = mail_server.mails
    assert mail["Bcc"] is None
    assert mail_server.told == ["ada@example.org"]
    assert len(mail["Subject"].strip()) <= 200
    text, html = (part.get_content() for part in mail.iter_parts())
    assert "long " * 1_000 in " ".join(text.split()) + " "
    assert "<img" not in html
    assert escape("<img src=x onerror=alert(1)>") in html


def test_a_server_that_refuses_one_of_them_serves_the_others(clock: Clock, mail_server: MailServer) -> None:
    channel_to(mail_server)
    mail_server.on_recipient = lambda address: "550 No such user" if address.startswith("bob") else "250 OK"
    tell(Audience(people=tuple(make_person(n).pk for n in ("ada", "bob", "eve"))), clock=clock)

    send(clock)

    assert [(row.name, row.state) for row in deliveries()] == [("Ada", "sent"), ("Bob", "dead"), ("Eve", "sent")]
    assert "No such user" in deliveries()[1].error
