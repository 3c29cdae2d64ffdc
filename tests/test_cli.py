"""The command `sysops`: what it prints, and the exit codes scripts rely on."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.backups.support import Hands, make_source

ROOT = Path(__file__).parents[1]
Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def cli(child_environ: dict[str, str]) -> Cli:
    """Runs the real command on the test database."""

    def run(*words: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "sysops.cli", *words],
            cwd=ROOT,
            env={**child_environ, **environ},
            capture_output=True,
            text=True,
            timeout=110,
        )

    return run


@pytest.mark.django_db(transaction=True)
def test_a_token_is_printed_once_alone_on_a_line(cli: Cli) -> None:
    done = cli("token", "create", "ci", "--role", "viewer", "--ttl", "3600")

    assert done.returncode == 0
    assert done.stdout.startswith("sysops_")
    assert done.stdout.count("\n") == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "words",
    [
        ["token", "create", "ci", "--role", "king"],
        ["token", "create", "ci"],
        ["backup", "nowhere"],
        ["backup", "nowhere", "--type", "huge"],
        ["verify-backup", "seven"],
        ["verify-backup", "999"],
        ["restore", "999"],
        ["frobnicate"],
    ],
)
def test_what_was_not_understood_ends_with_2_and_a_word_of_help(cli: Cli, words: list[str]) -> None:
    done = cli(*words)

    assert done.returncode == 2
    assert "Error:" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.django_db(transaction=True)
def test_a_backup_is_asked_for_and_a_second_one_refused_with_1(cli: Cli) -> None:
    make_source("shop", engine="postgres")

    asked = cli("backup", "shop", "--no-wait", "--json")
    again = cli("backup", "shop", "--no-wait")

    assert asked.returncode == 0, asked.stderr
    assert json.loads(asked.stdout)["status"] == "queued"
    assert again.returncode == 1
    assert "is queued already" in again.stderr


@pytest.mark.django_db(transaction=True)
def test_backups_are_listed_for_people_and_for_scripts(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands = Hands(tmp_path)
    (tmp_path / "store").mkdir()
    monkeypatch.setattr("backups.services.requests.engines.get", lambda name: hands.engine)
    backup = hands.taken(make_source("shop"))

    assert f"Backup {backup.pk} of shop: full succeeded" in cli("backups").stdout
    (row,) = json.loads(cli("backups", "--source", "shop", "--json").stdout)
    assert (row["id"], row["success"]) == (str(backup.pk), True)


@pytest.mark.django_db(transaction=True)
def test_health_is_printed_and_its_code_says_unhealthy(cli: Cli) -> None:
    done = cli("health", "--json")

    found = json.loads(done.stdout)
    assert found["services"]["database"]["status"] == "healthy"
    assert done.returncode == (1 if found["status"] == "unhealthy" else 0)


@pytest.mark.django_db(transaction=True)
def test_the_audit_log_is_checked(cli: Cli) -> None:
    cli("token", "create", "one", "--role", "viewer")

    done = cli("audit", "verify")

    assert done.returncode == 0
    assert re.match(r"Intact: [1-9]\d* entries, head [0-9a-f]{64}", done.stdout)


def test_without_a_database_it_says_what_to_do(tmp_path: Path, cli: Cli) -> None:
    done = cli("health", SYSOPS_DATABASE_URL="", SYSOPS_DATA_DIR=str(tmp_path))

    assert done.returncode == 2
    assert "make up" in done.stderr


@pytest.mark.parametrize("words", [["errors", "list"], ["windows"], ["backups"], ["audit", "verify"], ["health"]])
def test_before_the_first_start_is_over_it_says_so_in_one_line(
    cli: Cli, child_environ: dict[str, str], words: list[str]
) -> None:
    empty = urlsplit(child_environ["SYSOPS_DATABASE_URL"])._replace(path="/postgres").geturl()

    done = cli(*words, SYSOPS_DATABASE_URL=empty)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Error: The database is not prepared yet; `sysops up`")
    assert "Traceback" not in done.stderr


def test_a_wrong_setting_is_one_clear_line(cli: Cli) -> None:
    done = cli("health", SYSOPS_PORT="high")

    assert done.returncode == 2
    assert "SYSOPS_PORT" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.django_db(transaction=True)
def test_a_source_is_looked_at_from_here(cli: Cli) -> None:
    make_source("shop", engine="postgres", settings={"host": "127.0.0.1", "port": 1, "user": "nobody"})

    done = cli("check-source", "shop")

    assert done.returncode == 1
    assert "refused" in done.stdout
