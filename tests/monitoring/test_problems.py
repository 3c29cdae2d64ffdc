"""What is wrong, in plain words."""

from dataclasses import replace

import pytest

from monitoring import selectors
from monitoring.health import Reading
from monitoring.problems import problems_in
from monitoring.queues import names_in_use
from monitoring.rules import Status


def test_what_is_well_or_not_known_is_no_problem() -> None:
    readings = [Reading("a@here", Status.HEALTHY, "Works"), Reading("b@here", None, "Not measured")]

    assert problems_in("worker", readings) == []


def test_a_problem_names_the_thing_says_what_is_wrong_and_where_to_act() -> None:
    missing = Reading("backups@here", Status.UNHEALTHY, "Missing or stuck: last heard of 60 s ago")

    (problem,) = problems_in("worker", [missing])

    assert problem.severity == "critical"
    assert problem.title == "Worker backups@here is not working"
    assert problem.detail == "Missing or stuck: last heard of 60 s ago"
    assert problem.action_label
    assert problem.url.endswith("/monitoring/workersighting/")


def test_every_part_of_health_has_advice() -> None:
    for part in ("database", "redis", "beat", "api", "storage", "worker", "queue", "check"):
        (problem,) = problems_in(part, [Reading(part, Status.DEGRADED, "Slow")])
        assert (problem.severity, bool(problem.action_label)) == ("warning", True)


@pytest.mark.django_db
def test_the_summary_shows_the_worst_first() -> None:
    found = selectors.report()
    full = Reading("data folder", Status.DEGRADED, "15 % free")
    queue = Reading("backups", Status.UNHEALTHY, "No live worker takes from the queue backups")
    well = Reading("redis", Status.HEALTHY, "Answers")

    summary = selectors.health_summary(
        replace(found, redis=well, beat=well, api=well, storage=[full], workers=[], queues=[queue])
    )

    assert [problem.title for problem in summary] == [
        "Queue backups is not working",
        "Storage data folder is not well",
    ]


@pytest.mark.django_db
def test_queues_without_a_worker_are_problems_on_a_system_that_only_serves() -> None:
    titles = {problem.title for problem in selectors.health_summary()}

    assert {f"Queue {name} is not working" for name in names_in_use()} <= titles
