"""Telling people: fan-out to 10 000 subscribers of 200 services, then 1 000 mails through a local SMTP server.

    .venv/bin/python -m benchmarks.deliveries [--subscribers 10000] [--services 200] [--mails 1000] [--workers 2]

The fan-out is measured three times, each on a fresh message; subscribers have four services each. The mails are sent
by so many processes of a real Celery worker, woken as the fan-out wakes them, from the posting to the last record; the
mail server (aiosmtpd) runs in this process and takes its share of the machine.
"""

import argparse
import logging
import os
import signal
import statistics
import subprocess
import sys
import time

import psutil

from benchmarks.common import a_home, django_on_a_database
from tests.running import ROOT, until
from tests.services import end, free_port


def fill(*, subscribers: int, services: int) -> tuple[int, ...]:
    """Services with owner teams, and confirmed subscribers from outside; the keys of the services."""
    from django.utils import timezone

    from catalogue.models import Service, Subscription
    from catalogue.rules import SubscriptionState
    from tests.notifications.support import make_person, make_service, make_team

    teams = [make_team(f"team-{n}", make_person(f"person-{n}")) for n in range(20)]
    made: list[Service] = [make_service(f"service-{n}", teams[n % 20]) for n in range(services)]
    Subscription.objects.bulk_create(
        (
            Subscription(
                service=made[(n * 7 + i) % services],
                email=f"subscriber{n}@example.org",
                state=SubscriptionState.CONFIRMED.value,
                confirmed_at=timezone.now(),
            )
            for n in range(subscribers)
            for i in range(min(4, services))
        ),
        batch_size=5_000,
    )
    return tuple(service.pk for service in made)


def measure_fan_out(services: tuple[int, ...]) -> None:
    """Rows per second from a posted message to committed deliveries."""
    from notifications.audience import Audience
    from notifications.models import Delivery
    from notifications.services.fan_out import fan_out
    from sysops.kernel.clock import utc_now
    from tests.notifications.support import post

    rates = []
    for _ in range(3):
        message = post(Audience(subscribers_of=services, owners_of=services), at=utc_now())
        started = time.perf_counter()
        made = fan_out(now=utc_now)
        seconds = time.perf_counter() - started
        rates.append(made / seconds)
        print(f"fan-out: {made} deliveries in {seconds:.2f} s, {made / seconds:.0f} rows/s")
        Delivery.objects.filter(message=message).delete()
    print(f"fan-out, median: {statistics.median(rates):.0f} rows/s")


def measure_sending(*, mails: int, workers: int) -> None:
    """Seconds from the posting to the last record."""
    from catalogue.models import Service, Subscription
    from catalogue.rules import SubscriptionState
    from notifications.audience import Audience
    from notifications.models import Channel, Delivery
    from notifications.services.fan_out import fan_out
    from sysops.kernel.clock import utc_now
    from tests.notifications.support import MailServer, post

    logging.getLogger("mail.log").setLevel(logging.WARNING)
    server = MailServer(free_port())
    server.start()
    settings = {"host": "127.0.0.1", "port": server.port, "security": "none", "from_address": "sysops@example.org"}
    Channel.objects.filter(slug="mail").update(settings=settings)
    shop = Service.objects.create(slug="shop", name="Shop")
    Subscription.objects.bulk_create(
        Subscription(service=shop, email=f"s{n}@example.org", state=SubscriptionState.CONFIRMED.value)
        for n in range(mails)
    )
    argv = [
        *(sys.executable, "-m", "celery", "-A", "sysops", "--quiet", "worker", "--queues", "notifications"),
        *("--concurrency", str(workers), "--without-mingle", "--without-gossip", "--loglevel", "WARNING"),
    ]
    worker = subprocess.Popen(argv, cwd=ROOT, env={**os.environ})
    try:
        time.sleep(8)  # its start is not what is measured
        post(Audience(subscribers_of=(shop.pk,)), at=utc_now())
        started = time.perf_counter()
        fan_out(now=utc_now)
        sent = Delivery.objects.filter(state="sent")
        until(lambda: sent.count() == mails, seconds=300, what=lambda: f"{sent.count()} of {mails} are sent")
        seconds = time.perf_counter() - started
        print(f"sending: {mails} mails by {workers} processes in {seconds:.1f} s, {mails / seconds:.0f} mails/s")
        used = sum(sum(child.cpu_times()[:2]) for child in psutil.Process(worker.pid).children())
        each = used / mails * 1000
        print(f"their processor time: {used:.1f} s, {each:.1f} ms for each mail; load {os.getloadavg()[0]:.1f}")
        assert len(set(server.told)) == len(server.told) == mails, "each was told once"
    finally:
        end(worker, signal.SIGQUIT)
        server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subscribers", type=int, default=10_000)
    parser.add_argument("--services", type=int, default=200)
    parser.add_argument("--mails", type=int, default=1_000)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    with a_home() as home, django_on_a_database(home):
        from notifications.rules import Level
        from tests.notifications.support import make_channel

        make_channel("mail", "email", *Level)
        measure_fan_out(fill(subscribers=given.subscribers, services=given.services))
        measure_sending(mails=given.mails, workers=given.workers)


if __name__ == "__main__":
    main()
