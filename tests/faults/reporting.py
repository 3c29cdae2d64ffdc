"""A project of a running Sysops to report errors to, and what its database holds of them."""

from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.rows import TupleRow

from sysops.env import running_stack
from tests.faults.load import Load
from tests.running import Sysops, until


@dataclass
class Reporting:
    """A running Sysops with a project to report to."""

    sysops: Sysops
    project: str
    key: str
    data_dir: Path | None = None  # where its files are seen from here, if elsewhere

    @classmethod
    def to(cls, sysops: Sysops, slug: str) -> "Reporting":
        answer = sysops.http.post(f"{sysops.url}/error-projects", json={"slug": slug, "name": slug.title()})
        assert answer.status_code == 201, answer.text
        made = answer.json()
        return cls(sysops, str(made["id"]), made["keys"][0]["public"])

    def load(self) -> Load:
        return Load(self.sysops.port, self.project, self.key)

    def rows(self, query: str) -> list[TupleRow]:
        """What the database holds, asked again while it is away."""
        found: list[list[TupleRow]] = []

        def asked() -> bool:
            try:
                with psycopg.connect(
                    running_stack(self.data_dir or self.sysops.data_dir)["database_url"]
                ) as connection:
                    found.append(connection.execute(query.encode(), {"project": self.project}).fetchall())
            except (psycopg.OperationalError, KeyError):
                return False
            return True

        until(asked, seconds=60, what="the database answers")
        return found[0]

    def log(self) -> str:
        """What the instance said last, but for PostgreSQL's statements."""
        lines = (self.sysops.data_dir.parent / "up.log").read_text().splitlines()
        said = [line[:200] for line in lines if not line.startswith("postgres")][-60:]
        return "\n".join([*said, f"(its exit status: {self.sysops.process.poll()})"])

    def check(self, load: Load) -> None:
        """Every report that was taken is stored once, whatever became of the others; and the counts say the same."""
        waiting = "SELECT count(*) FROM errors_spool WHERE project_id = %(project)s"
        until(
            lambda: self.rows(waiting) == [(0,)],
            seconds=180,
            what=lambda: f"digested: {self.rows(waiting)} wait\n{self.log()}",
        )
        stored = [row[0] for row in self.rows("SELECT event_id FROM errors_event WHERE project_id = %(project)s")]
        assert len(stored) == len(set(stored)), "stored twice"
        assert not load.answered - set(stored), f"{len(load.answered - set(stored))} answered 200 and not stored"
        assert not set(stored) - load.sent
        assert self.rows("SELECT reason FROM errors_undigestible WHERE project_id = %(project)s") == []
        counted = self.rows("SELECT sum(event_count)::int FROM errors_issue WHERE project_id = %(project)s")
        assert counted == [(len(stored),)]
        assert len(load.answered) > 100
