"""`sysops up`, `health`, `token` and `audit`."""

import sys
from contextlib import suppress
from datetime import timedelta

import click

from sysops import env
from sysops.cli.base import Failed, json_option, needs_django, person, show

LOOK_SECONDS = 1.0


@click.command()
def up() -> None:
    """Start everything in the foreground, with embedded servers unless URLs are set."""
    try:
        env.current()
    except env.BadEnvironment as exc:
        raise click.UsageError(str(exc)) from None
    from sysops.stack.up import main as run

    sys.exit(run())


@click.command()
@json_option
@needs_django
def health(as_json: bool) -> None:
    """What is up and what is not. Exit code 1 when unhealthy."""
    from monitoring.selectors import health as measured

    _refuse_unprepared()
    found = measured(detail=True)
    show(found, as_json=as_json, text=lambda: _health_text(found))
    if found["status"] == "unhealthy":
        sys.exit(1)


def _refuse_unprepared() -> None:
    """Raises ProgrammingError where the tables are missing; what else is wrong with the database, health tells."""
    from django.db import OperationalError, connection

    from sysops.access.models import ApiToken
    from sysops.kernel.within import within

    def look() -> None:
        try:
            ApiToken.objects.exists()
        finally:
            connection.close()  # it is that of this thread

    with suppress(OperationalError, TimeoutError):
        within(LOOK_SECONDS, look, name="tables")


def _health_text(found: dict[str, object]) -> str:
    lines = [f"{found['status']}"]
    services = found["services"]
    assert isinstance(services, dict)
    for name, part in services.items():
        for entry in part if isinstance(part, list) else [part]:
            if isinstance(entry, dict):
                label = entry.get("name", name)
                lines.append(f"  {label:<28} {entry.get('status') or 'unknown':<10} {_brief(entry.get('details'))}")
    return "\n".join(lines)


def _brief(details: object) -> str:
    if isinstance(details, dict):
        return "; ".join(f"{key}: {value}" for key, value in details.items() if not isinstance(value, dict | list))
    return str(details or "")


@click.group()
def token() -> None:
    """API tokens."""


@token.command("create")
@click.argument("name")
@click.option("--role", type=click.Choice(["viewer", "operator", "approver", "admin", "security"]), required=True)
@click.option("--ttl", type=click.IntRange(min=60), default=None, help="Seconds until it expires; default 90 days.")
@needs_django
def token_create(name: str, role: str, ttl: int | None) -> None:
    """Make a token and print it once, alone on a line."""
    from sysops.access import services
    from sysops.access.actors import Actor
    from sysops.access.roles import Role
    from sysops.kernel.clock import utc_now

    lifetime = timedelta(seconds=ttl) if ttl else timedelta(days=90)
    try:
        _, plain = services.create_token(name, role=Role(role), ttl=lifetime, by=Actor.cli(person()), at=utc_now())
    except ValueError as exc:
        raise Failed(str(exc)) from None
    click.echo(plain)


@click.group()
def audit() -> None:
    """The audit log."""


@audit.command("verify")
@json_option
@needs_django
def audit_verify(as_json: bool) -> None:
    """Check the hash chain from the first entry to the last. Exit code 1 when it is broken."""
    from sysops.access import audit as log

    found = log.verify()
    if isinstance(found, log.Broken):
        data: dict[str, object] = {"intact": False, "entry": found.entry_id, "reason": found.reason}
        show(data, as_json=as_json, text=lambda: f"Broken at entry {found.entry_id}: {found.reason}")
        sys.exit(1)
    data = {"intact": True, "entries": found.entries, "head": found.head}
    show(data, as_json=as_json, text=lambda: f"Intact: {found.entries} entries, head {found.head}")
