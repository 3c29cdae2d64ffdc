"""What docs/extending.md says of channels, gates and sections is true: its packages are installed and used."""

import json
import os
import re
import subprocess
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from notifications.channels.base import Driver
from tests.notifications.channel_contract import Bench, ChannelContract, Mood
from tests.receivers import Answer, Receiver
from tests.services import free_port

DOC = Path(__file__).parents[2] / "docs" / "extending.md"
ROOT = DOC.parents[1]
MODULES = {"pager": "driver = Pager()", "freeze": "gate = NoFreeze()", "deployments": ""}

POINT = re.compile(r'\[project\.entry-points\."(sysops\.\w+)"\]\n(\S+) = "(acme_sysops\.(\w+):\w+)"')

DELIVER = """
import sys
import django
django.setup()
from datetime import timedelta
from notifications.services import channels, sending
from sysops.access.actors import Actor
from sysops.kernel.clock import utc_now

channel = channels.create_channel(
    slug="pager", name="Pager", driver="acme-pager", settings={"url": sys.argv[1], "token": "t0ken"},
    by=Actor.system(), at=utc_now(),
)
delivery = channels.test_channel(channel, address="+4930123456", by=Actor.system(), at=utc_now() - timedelta(seconds=1))
sending.send_due(now=utc_now, seconds=20)
delivery.refresh_from_db()
print(delivery.state, delivery.provider_id, "t0ken" in str(channel.settings) + channel.sealed_settings, delivery.error)
"""

ASK = """
import json, sys
from datetime import datetime, timedelta, UTC
from pathlib import Path
from catalogue.gates import Question, gates
from catalogue.sections import Span, sections

folder = Path(sys.argv[1])
at = datetime(2027, 1, 15, 2, tzinfo=UTC)
question = Question("window 12", ("shop",), {"file": str(folder / "freeze")}, False, None, "ada", at)
span = Span(at, at + timedelta(hours=2), ("shop",))
gate, section = gates.get("acme-freeze"), sections.get("acme-deployments")
before = [gate.ask(question), section(span)]
(folder / "freeze").write_text("Christmas")
done = [("shop", "03"), ("shop", "05"), ("blog", "03")]
lines = [json.dumps({"service": service, "at": f"2027-01-15T{hour}:00:00+00:00"}) for service, hour in done]
(folder / "journal").write_text("\\n".join(lines))
after = [gate.ask(question), section(span)]
print(json.dumps([[answer.verdict, answer.reason, found["count"]] for answer, found in (before, after)]))
"""


def documented(module: str) -> str:
    """The code of one module as the document prints it."""
    code = re.search(rf"```python\n# acme_sysops/{module}.py\n(.*?)```", DOC.read_text(), re.S)
    assert code, module
    return code[1]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A third party's package as pip leaves it behind: modules and the metadata with the document's entry points."""
    site = tmp_path / "site"
    package = site / "acme_sysops"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    for module, last in MODULES.items():
        (package / f"{module}.py").write_text(f"{documented(module)}\n\n{last}\n")
    points = re.findall(
        r'\[project\.entry-points\."(sysops\.\w+)"\]\n(\S+) = "(acme_sysops\.(\w+):\w+)"', DOC.read_text()
    )
    info = site / "acme_sysops-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-sysops\nVersion: 1.0\n")
    mine = [f"[{group}]\n{name} = {target}\n" for group, name, target, module in points if module in MODULES]
    assert len(mine) == len(MODULES)
    (info / "entry_points.txt").write_text("\n".join(mine))
    return site


def run(code: str, site: Path, *args: str, env: Mapping[str, str] = os.environ) -> str:
    """What a program of an installation with that package prints."""
    path = os.pathsep.join([str(ROOT), str(site)])
    done = subprocess.run(
        [sys.executable, "-c", code, *args],
        env={**env, "PYTHONPATH": path, "ACME_DEPLOYMENTS": str(site.parent / "journal")},
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().serving() as served:
        yield served


@pytest.mark.django_db(transaction=True)
def test_a_channel_of_another_package_is_configured_and_delivers(
    site: Path, receiver: Receiver, child_environ: dict[str, str]
) -> None:
    receiver.answer = Answer(201, {"X-Page-Id": "page-1"})
    env = {**child_environ, "SYSOPS_ALLOW_PRIVATE_TARGETS": "true"}

    said = run(DELIVER, site, f"http://127.0.0.1:{receiver.port}/pages", env=env)

    assert said.split() == ["sent", "page-1", "False"]
    (got,) = receiver.got
    assert json.loads(got.body)["number"] == "+4930123456"
    assert got.headers["authorization"] == "Bearer t0ken"


@pytest.mark.django_db(transaction=True)
def test_it_is_held_to_public_addresses_like_our_own(
    site: Path, receiver: Receiver, child_environ: dict[str, str]
) -> None:
    said = run(DELIVER, site, f"http://127.0.0.1:{receiver.port}/pages", env=child_environ)

    assert said.startswith("dead")
    assert "SYSOPS_ALLOW_PRIVATE_TARGETS" in said
    assert receiver.got == []


def test_a_gate_and_a_section_of_another_package_are_found_and_answer(site: Path, tmp_path: Path) -> None:
    assert json.loads(run(ASK, site, str(tmp_path))) == [
        ["open", "No freeze is declared", None],
        ["closed", "Changes are frozen: Christmas", 1],
    ]


class PagerBench:
    to = "+4930123456"
    secrets: Sequence[str] = ("t0ken",)
    patience = 15.0

    def __init__(self, receiver: Receiver) -> None:
        module = types.ModuleType("acme_sysops.pager")
        exec(compile(documented("pager"), str(DOC), "exec"), module.__dict__)
        module.__dict__["SECONDS"] = 1
        module.__dict__["env"] = types.SimpleNamespace(
            current=lambda: types.SimpleNamespace(allow_private_targets=True)
        )
        self.driver: Driver = module.Pager()
        self.receiver = receiver
        self.settings: Mapping[str, object] = {"url": f"http://127.0.0.1:{receiver.port}/", "token": "t0ken"}
        self.away: Mapping[str, object] = {"url": f"http://127.0.0.1:{free_port()}/", "token": "t0ken"}

    def behave(self, mood: Mood) -> None:
        self.receiver.answer = {
            Mood.ACCEPTS: Answer(201),
            Mood.NEVER: Answer(422),
            Mood.NOT_NOW: Answer(500),
            Mood.SILENT: Answer(wait=30),
        }[mood]

    def received(self) -> list[str]:
        return ["{title}\n{text}".format(**json.loads(got.body)) for got in self.receiver.got]

    def ids(self) -> list[str] | None:
        return [got.headers["idempotency-key"] for got in self.receiver.got]


class TestPagerContract(ChannelContract):
    @pytest.fixture
    def bench(self, receiver: Receiver) -> Bench:
        return PagerBench(receiver)
