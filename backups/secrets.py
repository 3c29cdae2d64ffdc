"""Settings with secrets in them: checked against the driver's schema, the secret part sealed."""

import json
from collections.abc import Mapping

from jsonschema import Draft202012Validator

from sysops.access.secrets import open_sealed, seal

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


def split(
    settings: Mapping[str, object], schema: Mapping[str, object], *, sealed: str = ""
) -> tuple[dict[str, object], str]:
    """The public settings, and the secret ones sealed. A secret given as the mask keeps its old value."""
    names = secret_names(schema)
    old = unsealed(sealed)
    public = {name: value for name, value in settings.items() if name not in names}
    hidden = {name: old.get(name) if value == MASK else value for name, value in settings.items() if name in names}
    return public, seal(json.dumps(hidden)) if hidden else ""


def unsealed(sealed: str) -> dict[str, object]:
    """The secret settings in the clear. For the process that uses them, at that moment."""
    return dict(json.loads(open_sealed(sealed))) if sealed else {}


def masked(public: Mapping[str, object], sealed: str) -> dict[str, object]:
    """Settings as they may be shown: every secret that is set appears as a mask."""
    return {**public, **dict.fromkeys(unsealed(sealed), MASK)}
