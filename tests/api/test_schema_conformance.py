"""The published OpenAPI document held against a live server by schemathesis, with each kind of token and with none."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_django.live_server_helper import LiveServer

from sysops.access.models import ApiToken

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(900), pytest.mark.slow]

# A document promises what a request looks like, not that the source or service it names exists (400 by API.md).
NOT_PROMISED = "positive_data_acceptance"
# A token that revoked itself would see nothing but 401 from there on; test_contract covers revoking.
WOULD_END_THE_RUN = "tokens_destroy"

# 503 is an answer here: unhealthy, not ready, in maintenance.
CONFIG = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "503"]
"""


def hold_against_document(server: LiveServer, token: str, *, phases: str, mode: str, folder: Path) -> str:
    """What schemathesis says; fails the test when it finds anything."""
    config = folder / "schemathesis.toml"
    config.write_text(CONFIG)
    run = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(config),
            "run", f"{server.url}/api/system/schema",
            "--phases", phases, "--exclude-checks", NOT_PROMISED, "--exclude-operation-id", WOULD_END_THE_RUN,
            "--max-examples", "2", "--mode", mode, "--seed", "1", "--request-timeout", "60",
            "--suppress-health-check", "all",
            "--no-color", "--warnings", "off", "--workers", "1",  # two at times break Python 3.11's parser
            *(["--header", f"Authorization: Bearer {token}"] if token else []),
        ],
        cwd=folder, timeout=840, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-20_000:]
    return run.stdout


def operations(report: str) -> int:
    found = re.search(r"(?:Selected|Operations):?\s+(\d+)", report)
    assert found is not None, report
    return int(found[1])


def test_the_server_does_what_the_document_says_for_an_admin(
    live_server: LiveServer, token: Callable[[str], str], tmp_path: Path
) -> None:
    report = hold_against_document(live_server, token("admin"), phases="coverage,fuzzing", mode="all", folder=tmp_path)

    assert operations(report) >= 6
    assert ApiToken.objects.get(name="admin of the tests").revoked_at is None


@pytest.mark.parametrize("role", ["viewer", "operator", "approver", "security", ""])
def test_the_server_does_what_the_document_says_for_everybody_else(
    live_server: LiveServer, token: Callable[[str], str], tmp_path: Path, role: str
) -> None:
    hold_against_document(live_server, token(role) if role else "", phases="fuzzing", mode="positive", folder=tmp_path)
