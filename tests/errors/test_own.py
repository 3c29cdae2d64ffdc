"""Sysops' own errors go through sentry-sdk to its own project, and never in a circle."""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sentry_sdk
from celery.worker.consumer import consumer
from django.core import signing
from django.http import HttpResponse
from django.test import RequestFactory
from django.utils.log import log_response

from errors.models import Key, Project
from errors.protocol.encodings import unpack
from errors.services import own
from sysops.access.actors import Actor
from sysops.env import load
from sysops.kernel.clock import utc_now
from sysops.own_errors import Bucket, ReportHandler, dsn, own_key
from tests.receivers import Receiver
from tests.services import free_port

KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().serving() as made:
        yield made


@pytest.fixture
def handler(receiver: Receiver) -> Iterator[ReportHandler]:
    made = ReportHandler(to=lambda: f"http://{KEY}@127.0.0.1:{receiver.port}/1")
    yield made
    sentry_sdk.get_client().close(timeout=2)
    sentry_sdk.get_global_scope().set_client(None)


def record(name: str, message: str = "it broke", **extra: object) -> logging.LogRecord:
    try:
        raise LookupError("no such price")
    except LookupError:
        made = logging.LogRecord(name, logging.ERROR, __file__, 1, message, None, sys.exc_info())
    made.__dict__.update(extra)
    return made


def sent(receiver: Receiver) -> list[dict[str, object]]:
    sentry_sdk.flush(30)
    bodies = [unpack(got.body, got.headers["content-encoding"], limit=1_000_000) for got in receiver.got]
    return [json.loads(body.splitlines()[2]) for body in bodies]


def test_an_error_that_is_logged_arrives_with_its_exception_and_without_its_variables(
    handler: ReportHandler, receiver: Receiver
) -> None:
    request = RequestFactory().get("/admin/?token=hunter2", headers={"Authorization": "Bearer hunter2"})

    handler.handle(record("django.request", request=request))

    [event] = sent(receiver)
    [exception] = event["exception"]["values"]  # type: ignore[index]
    assert exception["type"] == "LookupError"
    assert event["contexts"]["request"] == {"method": "GET", "path": "/admin/"}  # type: ignore[index]
    assert "hunter2" not in json.dumps(event)
    assert not any("vars" in frame for frame in exception["stacktrace"]["frames"])


@pytest.mark.parametrize(
    "said",
    [
        record("errors.intake.writer"),
        record("errors.services.digesting"),
        record("sentry_sdk.errors"),
        record("celery.app.trace", data={"name": "intake.digest"}),
    ],
    ids=lambda said: said.name,
)
def test_what_goes_wrong_with_taking_errors_is_not_reported_as_one(
    said: logging.LogRecord, handler: ReportHandler, receiver: Receiver
) -> None:
    handler.handle(said)
    handler.handle(record("backups.tasks"))

    assert len(sent(receiver)) == 1


def test_a_link_that_acts_in_somebody_s_name_is_not_part_of_the_report(
    handler: ReportHandler, receiver: Receiver
) -> None:
    token = signing.dumps([1, 2, "resolve"], salt="errors.issue.act")
    request = RequestFactory().get(f"/errors/act/{token}")
    failed = record("django.request", "%s: %s", request=request)
    failed.args = ("Internal Server Error", request.path)

    handler.handle(failed)

    [event] = sent(receiver)
    assert event["contexts"]["request"]["path"] == "/errors/act/[redacted]"  # type: ignore[index]
    assert token not in json.dumps(event)
    assert token in failed.getMessage(), "what others do with the record is theirs"


def test_a_broker_that_is_away_is_no_error_of_ours(handler: ReportHandler, receiver: Receiver) -> None:
    """As Celery says it: each worker and beat at every restart of the queue."""
    unknown = record("celery.worker.consumer.consumer", "Received unregistered task of type %s.")
    for away in (
        record("celery.worker.consumer.consumer", vars(consumer)["CONNECTION_ERROR"]),
        record("celery.beat", "beat: Connection error: %s. Trying again in %s seconds..."),
        record("celery.beat", "Message Error: %s\n%s"),
        unknown,
    ):
        handler.handle(away)

    assert len(sent(receiver)) == 1, "only the task that nobody knows"


@pytest.mark.parametrize(("status", "reported"), [(503, False), (502, False), (500, True)])
def test_an_answer_that_something_else_is_away_is_no_error_of_ours(
    status: int, reported: bool, handler: ReportHandler, receiver: Receiver
) -> None:
    request = RequestFactory().get("/api/system/health")
    logger = logging.getLogger("django.request")
    logger.addHandler(handler)
    try:
        log_response("%s: %s", "Unwell", request.path, response=HttpResponse(status=status), request=request)
    finally:
        logger.removeHandler(handler)

    assert bool(sent(receiver)) is reported


def test_a_storm_of_our_own_is_cut_off() -> None:
    seconds = 0.0
    bucket = Bucket(30, clock=lambda: seconds)

    first = sum(bucket.take() for _ in range(1000))
    seconds = 10.0

    assert (first, sum(bucket.take() for _ in range(1000))) == (30, 5)


def test_nothing_is_reported_where_nowhere_is_said(tmp_path: Path) -> None:
    base = {"SYSOPS_DATA_DIR": str(tmp_path), "SYSOPS_SECRET_KEY": "k" * 50, "SYSOPS_PROFILE": "production"}

    assert dsn(load({**base, "SYSOPS_SENTRY_DSN": "off"})) is None
    assert (
        dsn(load({**base, "SYSOPS_SENTRY_DSN": f"https://{KEY}@errors.example/7"})) == f"https://{KEY}@errors.example/7"
    )


def test_by_itself_it_reports_to_its_own_project(tmp_path: Path) -> None:
    base = {"SYSOPS_DATA_DIR": str(tmp_path), "SYSOPS_SECRET_KEY": "k" * 50, "SYSOPS_PROFILE": "production"}
    key = own_key(load(base))

    assert dsn(load(base)) == f"http://{key}@127.0.0.1:8000/1"
    assert dsn(load({**base, "SYSOPS_HOST": "0.0.0.0", "SYSOPS_PORT": "81"})) == f"http://{key}@127.0.0.1:81/1"
    assert dsn(load({**base, "SYSOPS_HOST": "::1"})) == f"http://{key}@[::1]:8000/1"
    assert dsn(load({**base, "SYSOPS_INTERNAL_URL": "http://web:8000/"})) == f"http://{key}@web:8000/1"


def test_the_last_words_of_a_process_arrive_and_nobody_who_is_away_holds_it_up(receiver: Receiver) -> None:
    says = (
        "import logging, sys; from sysops.own_errors import ReportHandler; "
        "logging.getLogger().addHandler(ReportHandler(to=lambda: sys.argv[1])); "
        "logging.getLogger('backups').error('the store is full'); sys.exit(1)"
    )

    def run(port: int) -> tuple[int, str]:
        argv = [sys.executable, "-c", says, f"http://{KEY}@127.0.0.1:{port}/1"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[2])
        return done.returncode, done.stdout

    assert run(receiver.port) == (1, "")
    [event] = sent(receiver)
    assert "the store is full" in str(event["logentry"])
    assert run(free_port()) == (1, "")


def test_an_idle_process_does_not_load_the_sdk() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "import sys, sysops.own_errors; print('sentry_sdk' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )

    assert told.stdout.strip() == "False"


@pytest.mark.django_db
def test_the_first_start_makes_the_project_once_and_later_ones_get_other_numbers() -> None:
    by, at = Actor.system("first start"), utc_now()

    own.ensure_own_project(number=1, public=KEY, by=by, at=at)
    own.ensure_own_project(number=1, public=KEY, by=by, at=at)
    another = Project.objects.create(slug="shop", name="Shop", created_by="test")

    assert list(Key.objects.values_list("project_id", "public")) == [(1, KEY)]
    assert another.pk > 1
