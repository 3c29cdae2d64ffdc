"""Promises about the repository itself: documents that cannot rot, contracts nobody else checks."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib import admin
from django.core.checks import run_checks
from django.urls import get_resolver

import celeryconfig
from sysops.celery import app
from sysops.env import BadEnvironment, Environment, load
from sysops.wiring import beat_schedule

ROOT = Path(__file__).parents[1]


def test_every_setting_is_documented_and_every_documented_one_exists() -> None:
    documented = set(re.findall(r"^\| `SYSOPS_(\w+)`", (ROOT / "docs" / "configuration.md").read_text(), re.M))

    assert documented == {name.upper() for name in Environment.model_fields}


def test_every_document_that_is_linked_to_exists() -> None:
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_every_place_named_in_the_table_of_features_exists() -> None:
    table = (ROOT / "docs" / "features.md").read_text()
    for named in re.findall(r"`((?:[\w.-]+/)+[\w.*-]*)`", table):
        if "*" not in named:
            assert (ROOT / named).exists(), f"docs/features.md names {named}"


def test_every_row_of_the_specification_is_in_the_table_of_features() -> None:
    counts = {"C": 3, "M": 13, "B": 16, "E": 11, "H": 12, "A": 8, "K": 7, "O": 9, "S": 7, "R": 4, "I": 7, "P": 5}
    rows = set(re.findall(r"^\| ([A-Z]\d+) \|", (ROOT / "docs" / "features.md").read_text(), re.M))

    assert rows == {f"{letter}{n}" for letter, count in counts.items() for n in range(1, count + 1)}


def test_celeryconfig_knows_no_django() -> None:
    code = "import celeryconfig, sys; sys.exit('django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_every_task_has_a_time_limit_below_the_brokers_patience() -> None:
    patience = celeryconfig.broker_transport_options["visibility_timeout"]
    app.loader.import_default_modules()
    ours = {name: task for name, task in app.tasks.items() if not name.startswith("celery.")}
    assert ours
    for name, task in ours.items():
        limit = task.time_limit or celeryconfig.task_time_limit
        assert 0 < limit < int(str(patience)), name
        assert task.acks_late or celeryconfig.task_acks_late, name


def test_every_tick_of_the_beat_schedule_is_a_task_that_exists() -> None:
    app.loader.import_default_modules()
    assert {str(entry["task"]) for entry in beat_schedule().values()} <= set(app.tasks)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"SYSOPS_PORT": "high"}, "SYSOPS_PORT"),
        ({"SYSOPS_PORT": "70000"}, "SYSOPS_PORT"),
        ({"SYSOPS_DATABASE_URL": "mysql://x"}, "postgresql://"),
        ({"SYSOPS_BROKER_URL": "amqp://x"}, "redis://"),
        ({"SYSOPS_PROT": "1"}, "SYSOPS_PROT: no such setting"),
        ({"SYSOPS_LOG_LEVEL": "loud"}, "SYSOPS_LOG_LEVEL"),
        ({"SYSOPS_SECRET_KEY_FILE": "/nowhere/key"}, "SYSOPS_SECRET_KEY_FILE: cannot read"),
    ],
)
def test_a_wrong_setting_is_named_at_start(given: dict[str, str], named: str) -> None:
    with pytest.raises(BadEnvironment, match=re.escape(named)):
        load(given)


def test_a_secret_can_come_from_a_file_and_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://sysops:hunter2@db/sysops\n")

    env = load({"SYSOPS_DATABASE_URL_FILE": str(tmp_path / "url"), "SYSOPS_DATA_DIR": str(tmp_path)})

    assert env.database_url is not None
    assert env.database_url.get_secret_value() == "postgresql://sysops:hunter2@db/sysops"
    assert "hunter2" not in repr(env)


def test_djangos_own_checks_find_nothing_in_models_addresses_and_pages() -> None:
    get_resolver().url_patterns  # noqa: B018 - the admin's pages come with the addresses; without them none is checked

    assert len(admin.site._registry) > 30
    assert run_checks() == []
