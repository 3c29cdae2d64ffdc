"""What the commands share: setting Django up, exit codes, output for people and for scripts."""

import getpass
import json
import os
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import click

from sysops import env

P = ParamSpec("P")
R = TypeVar("R")

NO_DATABASE = (
    "SYSOPS_DATABASE_URL is not set and no `sysops up` is running on {data_dir}: "
    "start it (make up), or name the database or SYSOPS_DATA_DIR"
)
NOT_PREPARED = "The database is not prepared yet; `sysops up` (or `python manage.py sysops_prepare`) does that"
_NO_SUCH = ("42P01", "42703")  # SQLSTATEs: the table, or the column, is not there


class Failed(click.ClickException):
    """The command was understood and did not succeed."""

    exit_code = 1


def needs_django(command: Callable[P, R]) -> Callable[P, R]:
    """Set Django up before the command; say in one line what is missing."""

    @wraps(command)
    def prepared(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            environment = env.current()
        except env.BadEnvironment as exc:
            raise click.UsageError(str(exc)) from None
        if environment.database_url is None:
            raise click.UsageError(NO_DATABASE.format(data_dir=environment.data_dir))
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sysops.settings")
        import django

        django.setup()
        from django.db import OperationalError, ProgrammingError

        try:
            return command(*args, **kwargs)
        except OperationalError as exc:
            raise Failed(f"The database does not answer: {exc}") from None
        except ProgrammingError as exc:
            if getattr(exc.__cause__, "sqlstate", None) in _NO_SUCH:
                raise Failed(NOT_PREPARED) from None
            raise

    return prepared


def person() -> str:
    """Who types: kept in the audit log."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def show(data: object, *, as_json: bool, text: Callable[[], str]) -> None:
    """Print for scripts or for people."""
    click.echo(json.dumps(data, indent=2, default=str) if as_json else text())


json_option = click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
