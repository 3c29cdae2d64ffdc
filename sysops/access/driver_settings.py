"""Settings with secrets in them: checked against the driver's schema, the secret part sealed."""

import json
from collections.abc import Mapping

from jsonschema import Draft202012Validator

from sysops.access.secrets import CannotOpen, open_sealed, seal

MASK = "********"


class BadSettings(Exception):
    """Settings or fields do not fit; `errors` has the texts by field, as the API answers them."""

    def __init__(self, errors: Mapping[str, list[str]]) -> None:
        super().__init__("; ".join(f"{field}: {' '.join(texts)}" for field, texts in errors.items()))
        self.errors = dict(errors)


def secret_names(schema: Mapping[str, object]) -> frozenset[str]:
    """The properties of a settings schema that are secret."""
    properties = schema.get("properties", {})
    assert isinstance(properties, Mapping)
    return frozenset(name for name, details in properties.items() if details.get("writeOnly"))


def check(settings: object, schema: Mapping[str, object]) -> Mapping[str, object]:
    """`settings`, when they fit the schema. Raises BadSettings naming each property; no value is repeated."""
    errors: dict[str, list[str]] = {}
    for error in Draft202012Validator(schema).iter_errors(settings):
        where = ".".join(["settings", *(str(part) for part in error.absolute_path)])
        secret = any(str(part) in secret_names(schema) for part in error.absolute_path)
        errors.setdefault(where, []).append("Not of the right form" if secret else error.message)
    if errors:
        raise BadSettings(errors)
    assert isinstance(settings, Mapping)
    return settings


def with_defaults(settings: Mapping[str, object], schema: Mapping[str, object]) -> dict[str, object]:
    """`settings` and, for what they leave out, the schema's defaults: what is absent means its default."""
    properties = schema.get("properties", {})
    assert isinstance(properties, Mapping)
    defaults = {name: details["default"] for name, details in properties.items() if "default" in details}
    return {**defaults, **settings}


def split(settings: Mapping[str, object], schema: Mapping[str, object]) -> tuple[dict[str, object], str]:
    """The public settings, and the secret ones: their names to be read, their values sealed."""
    names = secret_names(schema)
    public = {name: value for name, value in settings.items() if name not in names}
    hidden = {name: value for name, value in settings.items() if name in names}
    return public, json.dumps({"names": sorted(hidden), "sealed": seal(json.dumps(hidden))}) if hidden else ""


def unsealed(sealed: str) -> dict[str, object]:
    """The secret settings in the clear. For the process that uses them, at that moment. Raises CannotOpen."""
    return dict(json.loads(open_sealed(_parts(sealed)[1]))) if sealed else {}


def unmasked(settings: Mapping[str, object], sealed: str) -> dict[str, object]:
    """`settings` with each mask replaced by the secret it stands for. Raises BadSettings when no key opens that."""
    kept = [name for name, value in settings.items() if value == MASK]
    try:
        old = unsealed(sealed) if kept else {}
    except CannotOpen as exc:
        raise BadSettings({f"settings.{name}": [str(exc)] for name in kept}) from None
    return {**settings, **{name: old.get(name) for name in kept}}


def changed(old: str, new: str) -> bool:
    """Whether two sealed texts say different things; one that no key opens says something else than any other."""
    try:
        return unsealed(old) != unsealed(new)
    except CannotOpen:
        return True


def masked(public: Mapping[str, object], sealed: str) -> dict[str, object]:
    """Settings as they may be shown: every secret that is set appears as a mask, also when no key opens it."""
    return {**public, **dict.fromkeys(_parts(sealed)[0], MASK)}


def problem(sealed: str) -> str:
    """Why the secrets cannot be opened, with the remedy; nothing when they can."""
    try:
        unsealed(sealed)
    except CannotOpen as exc:
        return str(exc)
    return ""


def _parts(sealed: str) -> tuple[list[str], str]:
    """The names of the sealed settings, and the text a key opens. A damaged text has no names and no key."""
    try:
        found = json.loads(sealed) if sealed else {"names": [], "sealed": ""}
        return [str(name) for name in found["names"]], str(found["sealed"])
    except (ValueError, TypeError, LookupError):
        return [], sealed
