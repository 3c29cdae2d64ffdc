"""Form fields from the JSON Schema that an engine or store declares for its settings."""

import json
from collections.abc import Mapping, Sequence

from django import forms
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from sysops.access.driver_settings import MASK, BadSettings
from sysops.pages.forms import SpanField

PREFIX = "set_"  # a setting called `name` must not meet the field `name` of the row
FORGET = "forget_"

Schema = Mapping[str, object]


def fields_for(schema: Schema, shown: Mapping[str, object] | None) -> dict[str, forms.Field]:
    """A field for each property. `shown` are the settings as they stand, secrets masked; None for a new row.

    A secret never reaches the page: its field is empty, and empty keeps what is stored.
    """
    fields: dict[str, forms.Field] = {}
    for name, details in _properties(schema).items():
        is_set = bool(shown) and name in (shown or {})
        required = name in _required(schema)
        if details.get("writeOnly"):
            fields[PREFIX + name] = _secret(name, details, required=required, is_set=is_set)
            if is_set and not required:
                fields[FORGET + name] = forms.BooleanField(
                    label=f"Forget the stored {_label(name, details).lower()}",
                    required=False,
                    widget=UnfoldBooleanSwitchWidget,
                )
            continue
        field = _field(name, details, required=required)
        field.initial = (shown or {}).get(name) if shown is not None else details.get("default")
        if shown is not None and not is_set:
            field.initial = details.get("default")
        fields[PREFIX + name] = field
    return fields


def settings_from(
    cleaned: Mapping[str, object], schema: Schema, shown: Mapping[str, object] | None
) -> dict[str, object]:
    """The settings as services take them: what was left empty is left out, a kept secret is the mask."""
    found: dict[str, object] = {}
    for name, details in _properties(schema).items():
        value = cleaned.get(PREFIX + name)
        if details.get("writeOnly"):
            if value:
                found[name] = value
            elif shown and name in shown and not cleaned.get(FORGET + name):
                found[name] = MASK
        elif value is not None and value != "":
            found[name] = value
    return found


def field_texts(form: forms.Form, exc: Exception) -> Mapping[str, Sequence[str]]:
    """What refused settings say, by the form's field for each; "" where it has none. Nothing for other refusals."""
    if not isinstance(exc, BadSettings):
        return {}
    return {_field_of(form, name): texts for name, texts in exc.errors.items()}


def _field_of(form: forms.Form, name: str) -> str:
    setting = PREFIX + name.removeprefix("settings.").split(".")[0]
    return next((key for key in (name, setting) if key in form.fields), "")


def _properties(schema: Schema) -> dict[str, Mapping[str, object]]:
    properties = schema.get("properties", {})
    assert isinstance(properties, Mapping)
    return dict(properties)


def _required(schema: Schema) -> set[str]:
    names = schema.get("required", ())
    return set(names) if isinstance(names, list | tuple) else set()


def _label(name: str, details: Mapping[str, object]) -> str:
    return str(details.get("title") or name.replace("_", " ").capitalize())


def _secret(name: str, details: Mapping[str, object], *, required: bool, is_set: bool) -> forms.Field:
    help_text = str(details.get("description", ""))
    if is_set:
        help_text = f"{help_text} One is stored, encrypted. Leave this empty to keep it.".strip()
    return forms.CharField(
        label=_label(name, details),
        required=required and not is_set,
        help_text=help_text,
        strip=False,
        widget=UnfoldAdminPasswordWidget(
            attrs={"autocomplete": "new-password", "placeholder": "stored" if is_set else ""}, render_value=False
        ),
    )


def _field(name: str, details: Mapping[str, object], *, required: bool) -> forms.Field:
    common: dict[str, object] = {
        "label": _label(name, details),
        "required": required,
        "help_text": str(details.get("description", "")),
    }
    choices, kind = details.get("enum"), details.get("type")
    if isinstance(choices, list | tuple):
        empty = [] if required or "default" in details else [("", "as the engine chooses")]
        listed = [*empty, *((choice, str(choice)) for choice in choices)]
        return forms.TypedChoiceField(
            choices=listed, coerce=_as_in(choices), empty_value=None, widget=UnfoldAdminSelectWidget, **common  # type: ignore[arg-type]
        )  # fmt: skip
    if kind == "boolean":
        return forms.BooleanField(widget=UnfoldBooleanSwitchWidget, **{**common, "required": False})  # type: ignore[arg-type]
    if kind == "integer" and name.endswith("_seconds"):
        return SpanField(**common)  # type: ignore[arg-type]
    if kind in ("integer", "number"):
        number = forms.IntegerField if kind == "integer" else forms.FloatField
        bounds = {"min_value": details.get("minimum"), "max_value": details.get("maximum")}
        return number(widget=UnfoldAdminIntegerFieldWidget, **{**bounds, **common})  # type: ignore[arg-type]
    if kind in ("array", "object"):
        return _Json(widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}), **common)  # type: ignore[arg-type]
    return forms.CharField(widget=UnfoldAdminTextInputWidget, **common)  # type: ignore[arg-type]


class _Json(forms.JSONField):
    def prepare_value(self, value: object) -> str:
        return value if isinstance(value, str) else "" if value is None else json.dumps(value, indent=2)


def _as_in(choices: list[object] | tuple[object, ...]) -> "_Coerce":
    return _Coerce({str(choice): choice for choice in choices})


class _Coerce:
    """Text back into the choice it stands for, which may be a number."""

    def __init__(self, known: dict[str, object]) -> None:
        self.known = known

    def __call__(self, text: object) -> object:
        return self.known.get(str(text), text)
