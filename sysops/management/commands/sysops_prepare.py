"""The database brought up to date, and what the first start leaves behind: an admin, e-mail, the shipped policies,
Sysops' own database backed up."""

import secrets
from datetime import datetime
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection, transaction

from backups.models import Source
from backups.rules import BackupType
from backups.services import config, requests
from errors.services import own, policy
from notifications.services import channels
from sysops.access import audit
from sysops.access.actors import Actor
from sysops.env import Environment
from sysops.kernel.clock import utc_now
from sysops.own_errors import OWN_PROJECT, own_key

FIRST = Actor.system("first start")
OWN_SOURCE = "sysops"
LOCK = 7_351_901  # one first start at a time, whoever runs it


class Command(BaseCommand):
    help = "Migrate; prepare a fresh database: admin user, policies, own backup source. Safe to run at every start."
    requires_system_checks = ()  # migrating makes them

    def handle(self, *_: object, **__: object) -> None:
        # In this process: another one would load everything once more, which is seconds of every start.
        call_command("migrate", interactive=False, stdout=self.stdout)
        env: Environment = settings.ENV
        at = utc_now()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [LOCK])
            try:
                self._admin(env, at=at)
                channels.ensure_defaults(by=FIRST, at=at)
                policy.ensure_defaults()
                own.ensure_own_project(number=OWN_PROJECT, public=own_key(env), by=FIRST, at=at)
                _backup_itself(env, at=at)
            finally:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])

    def _admin(self, env: Environment, *, at: datetime) -> None:
        users = get_user_model()._default_manager
        if users.filter(is_superuser=True).exists():
            return
        given = env.admin_password.get_secret_value() if env.admin_password else None
        password = given or secrets.token_urlsafe(15)
        if given:
            try:
                validate_password(given)
            except ValidationError as exc:
                raise CommandError(f"SYSOPS_ADMIN_PASSWORD: {' '.join(exc.messages)}") from None
        with transaction.atomic():
            admin = get_user_model().objects.create_superuser("admin", password=password)
            audit.record("access.user.created", by=FIRST, subject=admin, at=at, after={"username": "admin"})
        shown = "the password in SYSOPS_ADMIN_PASSWORD" if given else f"the password {password} (shown this once)"
        self.stdout.write(f"Sign in as admin with {shown}")


def _backup_itself(env: Environment, *, at: datetime) -> None:
    """Register this database as source `sysops` and ask for a full backup at once; only the first time."""
    config.ensure_defaults(backup_dir=str(env.backups), by=FIRST, at=at)
    if Source.objects.filter(slug=OWN_SOURCE).exists() or env.database_url is None:
        return
    source = config.create_source(
        slug=OWN_SOURCE,
        name="Sysops' own database",
        engine="postgres",
        settings=own_settings(env.database_url.get_secret_value()),
        by=FIRST,
        at=at,
    )
    requests.request_backup(source=source, backup_type=BackupType.FULL, by=FIRST, at=at)


def own_settings(url: str) -> dict[str, object]:
    """The database URL as settings of the engine `postgres`."""
    parts = urlsplit(url)
    query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    host = query.get("host") or parts.hostname or "localhost"
    found: dict[str, object] = {
        "host": str(Path(host)) if host.startswith("/") else host,
        "port": int(query.get("port") or parts.port or 5432),
        "user": unquote(parts.username or "postgres"),
        "password": unquote(parts.password or ""),
        "dbname": unquote(parts.path.lstrip("/")) or "sysops",
    }
    if "sslmode" in query:
        found["sslmode"] = query["sslmode"]
    return {key: value for key, value in found.items() if value != ""}
