"""The admin's forms for who is on call: one page for a rota, its rotations and their people."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.utils.datastructures import MultiValueDict
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.widgets import SELECT_CLASSES, UnfoldAdminIntegerFieldWidget

from catalogue import rota
from catalogue.models import OnCallOverride, Person, Rota, Rotation

SPARE_TURNS = 3


class TurnsWidget(forms.Widget):
    """A row of choices, one for each turn, and a few spare ones: needs no script and works on a phone."""

    choices: Sequence[tuple[int, str]] = ()

    def render(
        self, name: str, value: object, attrs: Mapping[str, object] | None = None, renderer: object = None
    ) -> SafeString:
        chosen = [str(key) for key in value] if isinstance(value, list) else []
        selects = [
            format_html(
                '<select name="{}" id="{}" class="{}" aria-label="Turn {}">{}</select>',
                name,
                f"{(attrs or {}).get('id', name)}" + (f"_{n}" if n else ""),
                " ".join(SELECT_CLASSES),
                n + 1,
                self._options(key),
            )
            for n, key in enumerate([*chosen, *[""] * SPARE_TURNS])
        ]
        return format_html('<div class="so so-turns">{}</div>', format_html_join("", "{}", ((one,) for one in selects)))

    def value_from_datadict(self, data: Mapping[str, object], files: object, name: str) -> list[str]:
        given = data.getlist(name) if isinstance(data, MultiValueDict) else data.get(name)
        return [str(key) for key in given if key] if isinstance(given, list) else []

    def value_omitted_from_data(self, data: Mapping[str, object], files: object, name: str) -> bool:
        return False

    def _options(self, chosen: str) -> SafeString:
        rows = [("", "–"), *((str(key), name) for key, name in self.choices)]
        return format_html_join(
            "",
            '<option value="{}"{}>{}</option>',
            ((key, SafeString(" selected") if key == chosen else "", name) for key, name in rows),
        )


class TurnsField(forms.Field):
    """People in the order of their turns, as keys of their rows; somebody may have several turns."""

    widget = TurnsWidget

    def to_python(self, value: object) -> list[int]:
        keys = [int(key) for key in value if str(key).isdecimal()] if isinstance(value, list) else []
        if len(set(keys)) != Person.objects.filter(pk__in=keys).count():
            raise ValidationError("Somebody named here is not there any more.")
        return keys

    def has_changed(self, initial: object, data: object) -> bool:
        return [str(key) for key in initial or ()] != [str(key) for key in data or ()]  # type: ignore[attr-defined]


class RotationForm(forms.ModelForm):  # type: ignore[type-arg]
    order = forms.IntegerField(
        min_value=1,
        max_value=99,
        initial=1,
        required=False,
        label="Tried as number",
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="The first rotation that covers a moment says who is on call.",
    )
    people = TurnsField(required=False, label="People in turn", help_text="The first one begins; then they go round.")

    class Meta:
        model = Rotation
        fields: ClassVar = ["name", "starts_on", "handover_at", "turn_days", "daily_from", "daily_until"]

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        if "people" not in self.fields:  # somebody who may only look
            return
        self.fields["people"].widget.choices = people_choices()
        if self.instance.pk:
            self.fields["people"].initial = [turn.person_id for turn in self.instance.turns.all()]
            self.fields["order"].initial = self.instance.position + 1

    def clean(self) -> dict[str, object]:
        cleaned: dict[str, object] = super().clean() or self.cleaned_data
        if not self.errors and not cleaned.get("DELETE"):
            for field, text in rota.rotation_problems(as_rotation(cleaned)).items():
                self.add_error(field, text)
        return cleaned


class RotaForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Rota
        fields: ClassVar = ["team", "time_zone"]


class OverrideForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = OnCallOverride
        fields: ClassVar = ["team", "person", "starts_at", "ends_at", "reason"]


def as_rotation(cleaned: Mapping[str, object]) -> rota.Rotation:
    """A rotation as the form holds it, for the rules."""
    names = ("name", "starts_on", "handover_at", "turn_days", "daily_from", "daily_until")
    people = cleaned["people"]
    assert isinstance(people, list)
    return rota.Rotation(members=tuple(people), **{name: cleaned[name] for name in names})  # type: ignore[arg-type]


def people_choices() -> list[tuple[int, str]]:
    """Everybody who can take a turn, by name; those who share a name are told apart."""
    return [(row.pk, f"{row.name} ({row.slug})") for row in Person.objects.order_by("name", "pk")]
