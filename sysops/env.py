"""The environment variables Sysops reads, checked once at start. Plain Python: celeryconfig reads it too."""

import json
import os
import re
import secrets
import socket
from functools import cache
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

PREFIX = "SYSOPS_"
STACK_FILE = "stack.json"
SMTP_SECURITY = {("smtp", "starttls"), ("smtp", "none"), ("smtps", "tls")}
MAIL_ADDRESS = re.compile(r"[^\x00-\x1f\x7f<>@]*<[^@\s<>]+@[^@\s<>]+>|[^@\s<>]+@[^@\s<>]+")


class BadEnvironment(Exception):
    """A setting is missing or wrong; the message names each variable and the remedy."""


class Environment(BaseSettings):
    """Every setting, its default and its meaning. docs/configuration.md is held against this class."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="ignore")

    profile: Literal["production", "development", "test"] = Field(
        default="production", description="Defaults for a kind of environment; development turns debugging on."
    )
    host: str = Field(default="127.0.0.1", description="Address the web server listens on.")
    port: int = Field(default=8000, ge=1, le=65535, description="Port the web server listens on.")
    data_dir: Path = Field(
        default=Path("var"), description="Folder for everything that stays: databases, backups, keys, logs."
    )
    database_url: SecretStr | None = Field(
        default=None, description="PostgreSQL (17 or newer) for Sysops itself; unset starts the embedded one."
    )
    broker_url: SecretStr | None = Field(
        default=None, description="Redis or Valkey for the queue; unset starts the embedded one."
    )
    admin_password: SecretStr | None = Field(
        default=None, description="Password of the first admin; unset makes one and prints it once."
    )
    secret_key: SecretStr | None = Field(
        default=None, description="Signs sessions and encrypts stored secrets; unset keeps one in the data folder."
    )
    previous_secret_keys: Annotated[list[SecretStr], NoDecode] = Field(
        default=[], description="Older secret keys that may still decrypt and verify, comma separated."
    )
    allowed_hosts: Annotated[list[str], NoDecode] = Field(
        default=["localhost", "127.0.0.1", "[::1]"],
        description="Host names the web server answers to, comma separated.",
    )
    trusted_proxies: Annotated[list[IPv4Network | IPv6Network], NoDecode] = Field(
        default=[],
        description="Addresses or networks of reverse proxies, comma separated: their X-Forwarded-For and "
        "X-Forwarded-Proto are believed, nobody else's.",
    )
    public_url: str | None = Field(
        default=None, description="Address people reach Sysops at, for links in messages and CSRF."
    )
    host_name: str = Field(
        default_factory=socket.gethostname, description="Name of this machine in records and queue names."
    )
    backup_dir: Path | None = Field(
        default=None, description="Folder of the first local backup store; unset is `backups` in the data folder."
    )
    scratch_dir: Path | None = Field(
        default=None, description="Folder for scratch restores; unset is `scratch` in the data folder."
    )
    restore_dir: Path | None = Field(
        default=None, description="Folder that restores may write below; unset is `restores` in the data folder."
    )
    pg_bin_dirs: Annotated[list[Path], NoDecode] = Field(
        default=[], description="Folders with PostgreSQL's tools, comma separated, tried before those found by itself."
    )
    pg_os_user: str | None = Field(
        default=None, description="OS user that PostgreSQL servers run as when Sysops runs as root."
    )
    flower_url: str | None = Field(
        default=None, description="Where Flower listens (http://… or unix:…), shown under /flower/."
    )
    expected_workers: Annotated[list[str], NoDecode] = Field(
        default=[], description="Names of the Celery workers that must be there (name@host), comma separated."
    )
    allow_private_targets: bool = Field(
        default=False, description="Whether webhooks and chat channels may lead to private and loopback addresses."
    )
    calendar_feed: Literal["public", "secret", "off"] = Field(
        default="public", description="Who may read the calendar of maintenance: anybody, who has its link, or nobody."
    )
    smtp_url: SecretStr | None = Field(
        default=None, description="Mail server: smtp://user:password@host:587, smtps:// for TLS from the start."
    )
    mail_from: str | None = Field(
        default=None, description="Who messages are from; unset is `sysops` at the host of the public URL."
    )
    sentry_dsn: SecretStr | None = Field(
        default=None, description="Where Sysops reports its own errors; unset is itself, `off` is nowhere."
    )
    internal_url: str | None = Field(
        default=None, description="Where its other processes reach the web server; unset is its own address and port."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="Least level logged.")
    log_format: Literal["console", "json"] = Field(default="console", description="Shape of log lines.")

    @field_validator(
        "previous_secret_keys", "allowed_hosts", "trusted_proxies", "pg_bin_dirs", "expected_workers", mode="before"
    )
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return [part.strip() for part in value.split(",") if part.strip()]
        return value

    @field_validator("database_url")
    @classmethod
    def _postgresql_only(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not value.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("must begin with postgresql:// (Sysops runs on PostgreSQL only)")
        return value

    @field_validator("broker_url")
    @classmethod
    def _redis_only(cls, value: SecretStr | None) -> SecretStr | None:
        schemes = ("redis://", "rediss://", "redis+socket://")
        if value and not value.get_secret_value().startswith(schemes):
            raise ValueError("must begin with redis://, rediss:// or redis+socket://")
        return value

    @field_validator("smtp_url")
    @classmethod
    def _smtp_only(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        try:
            parts = urlsplit(value.get_secret_value())
            whole = parts.scheme in ("smtp", "smtps") and bool(parts.hostname) and parts.port != 0
        except ValueError:  # a port that is no number
            whole = False
        if not whole:
            raise ValueError("must look like smtp://user:password@host:587 or smtps://user:password@host:465")
        wanted = parse_qs(parts.query, keep_blank_values=True)
        if set(wanted) - {"security"} or (wanted and (parts.scheme, *wanted["security"]) not in SMTP_SECURITY):
            raise ValueError("may end in ?security=starttls (which is the default) or ?security=none, and nothing else")
        return value

    @field_validator("mail_from")
    @classmethod
    def _an_address(cls, value: str | None) -> str | None:
        if value and not MAIL_ADDRESS.fullmatch(value):
            raise ValueError("must be an address such as sysops@example.org or Sysops <sysops@example.org>")
        return value

    @field_validator("data_dir", "backup_dir", "scratch_dir", "restore_dir")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return value.expanduser().absolute() if value else value

    @property
    def debug(self) -> bool:
        return self.profile == "development"

    @property
    def run_dir(self) -> Path:
        """Folder for what only lives while `sysops up` runs."""
        return self.data_dir / "run"

    @property
    def backups(self) -> Path:
        return self.backup_dir or self.data_dir / "backups"

    @property
    def scratch(self) -> Path:
        return self.scratch_dir or self.data_dir / "scratch"

    @property
    def restores(self) -> Path:
        return self.restore_dir or self.data_dir / "restores"


def load(environ: dict[str, str] | None = None) -> Environment:
    """The checked environment, completed by what a running `sysops up` wrote about itself.

    A variable `SYSOPS_X_FILE` gives the value of `SYSOPS_X` from a file. Raises BadEnvironment.
    """
    given = dict(os.environ if environ is None else environ)
    values = _from_files({k: v for k, v in given.items() if k.startswith(PREFIX) and v != ""})
    data_dir = Path(values.get(f"{PREFIX}DATA_DIR", "var")).expanduser().absolute()
    fields = {k.removeprefix(PREFIX).lower(): v for k, v in values.items()}
    unknown = sorted(set(fields) - set(Environment.model_fields))
    if unknown:
        raise BadEnvironment(
            "\n".join(f"{PREFIX}{n.upper()}: no such setting; see docs/configuration.md" for n in unknown)
        )
    try:
        return _Given(**{**running_stack(data_dir), **fields})  # type: ignore[arg-type]
    except ValidationError as exc:
        lines = [f"{PREFIX}{str(e['loc'][0]).upper()}: {e['msg'].removeprefix('Value error, ')}" for e in exc.errors()]
        raise BadEnvironment("\n".join(lines)) from None


class _Given(Environment):
    """The same fields, filled only from what `load` collected."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


@cache
def current() -> Environment:
    """The environment of this process, loaded once."""
    return load()


def running_stack(data_dir: Path) -> dict[str, str]:
    """What `sysops up` wrote about its embedded servers in this data folder; empty when it did not."""
    try:
        found = json.loads((data_dir / "run" / STACK_FILE).read_text())
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return {}
    return {str(key): str(value) for key, value in found.items()}


def secret_key(env: Environment) -> str:
    """The key that signs and encrypts: the given one, or one kept in the data folder (made on first use)."""
    if env.secret_key:
        return env.secret_key.get_secret_value()
    path = env.data_dir / "secrets" / "secret_key"
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.touch(mode=0o600)
    fresh.write_text(secrets.token_urlsafe(48))
    try:
        os.link(fresh, path)  # the first process wins; the others read what it wrote
    except FileExistsError:
        pass
    fresh.unlink()
    return path.read_text().strip()


def _from_files(values: dict[str, str]) -> dict[str, str]:
    result = dict(values)
    for name, path in values.items():
        if not name.endswith("_FILE"):
            continue
        del result[name]
        try:
            result[name.removesuffix("_FILE")] = Path(path).read_text().strip()
        except OSError as exc:
            raise BadEnvironment(f"{name}: cannot read {path}: {exc.strerror}") from None
    return result
