"""The forms of windows. Times are entered as wall-clock times of a zone that stands beside them."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

from django import forms
from django.http import QueryDict
from django.utils.text import slugify
from unfold.widgets import (
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelect2MultipleWidget,
    UnfoldAdminSelect2Widget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from catalogue.gates import gates
from catalogue.models import Service
from maintenance import series_plans
from maintenance.models import Series, Window
from maintenance.plans import GatePlan, Plan
from maintenance.rules import Type
from maintenance.series_plans import SeriesPlan
from sysops.kernel.words import span_words
from sysops.pages import schema
from sysops.pages.acts import ActForm
from sysops.pages.forms import SpanField

KINDS = [
    (Type.PLANNED.value, "Planned: starts later, may not overlap"),
    (Type.EMERGENCY.value, "Emergency: may start now and overlap"),
]
# What the API calls a field, and what the form does.
API_FIELDS = {
    "first_start_time": "start",
    "scheduled_start_time": "start",
    "estimated_duration_seconds": "duration",
    "affected_services": "services",
    "maintenance_type": "kind",
}


def zones() -> list[tuple[str, str]]:
    return [(name, name) for name in ("UTC", *sorted(available_timezones() - {"UTC"}))]


class LocalDateTime(forms.DateTimeInput):
    """The browser's own picker for a date and a time."""

    def __init__(self) -> None:
        look = str(UnfoldAdminTextInputWidget().attrs["class"])
        super().__init__(format="%Y-%m-%dT%H:%M", attrs={"type": "datetime-local", "class": look})


class WindowForm(forms.Form):
    """A window as a person enters it. Gates that are registered have their own switch and settings."""

    title = forms.CharField(max_length=200, widget=UnfoldAdminTextInputWidget, help_text="The subject of every e-mail.")
    description = forms.CharField(
        required=False,
        max_length=10_000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
        help_text="What is done, and what people will notice of it.",
    )
    kind = forms.ChoiceField(
        label="Type",
        choices=KINDS,
        initial=Type.PLANNED.value,
        widget=UnfoldAdminRadioSelectWidget,
        help_text="Windows overlap when they affect the same service at the same time. "
        "What an emergency overlaps is shown and not refused.",
    )
    services = forms.ModelMultipleChoiceField(
        label="Services worked on",
        queryset=Service.objects.order_by("name", "pk"),
        widget=UnfoldAdminSelect2MultipleWidget,
        help_text="What depends on them is found by itself and affected too.",
    )
    zone = forms.ChoiceField(label="Time zone", widget=UnfoldAdminSelect2Widget)
    start = forms.DateTimeField(
        label="Start",
        required=False,
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"],
        widget=LocalDateTime,
        help_text="By the clocks of the zone above. An emergency without a start begins now.",
    )
    duration = SpanField(label="Estimated duration", help_text="Such as 2 h or 1 h 30 min. People are told this end.")
    starts_itself = forms.BooleanField(
        label="Start by itself",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="At its start, without anybody.",
    )
    completes_itself = forms.BooleanField(
        label="Complete by itself",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="At its estimated end, without anybody.",
    )
    maintenance_mode = forms.BooleanField(
        label="Maintenance mode",
        required=False,
        initial=True,
        widget=UnfoldBooleanSwitchWidget,
        help_text="Proxies that ask Sysops turn users away while it runs.",
    )

    def __init__(self, data: QueryDict | None = None, *, window: Window | None = None, zone: str = "UTC") -> None:
        super().__init__(data, initial=_initial(window, zone=zone))
        self.window = window
        chosen = self.fields["zone"]
        assert isinstance(chosen, forms.ChoiceField)
        chosen.choices = zones()
        if window is not None:
            del self.fields["kind"]
        self._add_gates()

    def plan(self) -> Plan:
        """What was entered, as services take it. Only after `is_valid`."""
        given = self.cleaned_data
        return Plan(
            maintenance_type=Type(self.window.maintenance_type if self.window else given["kind"]),
            title=given["title"],
            description=given["description"],
            start=self.moment(),
            duration=timedelta(seconds=given["duration"]),
            services=list(given["services"]),
            time_zone=given["zone"],
            starts_itself=given["starts_itself"],
            completes_itself=given["completes_itself"],
            maintenance_mode=given["maintenance_mode"],
            gates=self.gate_plans(),
        )

    def moment(self) -> datetime | None:
        """The entered wall-clock time in the entered zone."""
        entered: datetime | None = self.cleaned_data.get("start")
        zone = ZoneInfo(self.cleaned_data["zone"])
        return entered.replace(tzinfo=zone) if entered else None

    def clean(self) -> dict[str, object]:
        cleaned: dict[str, object] = super().clean() or self.cleaned_data
        kind = self.window.maintenance_type if self.window else cleaned.get("kind")
        if kind != Type.EMERGENCY and "start" in cleaned and not cleaned["start"]:
            self.add_error("start", "Say when it starts; only an emergency may begin now.")
        if isinstance(entered := cleaned.get("start"), datetime) and "zone" in cleaned:
            there = entered.replace(tzinfo=ZoneInfo(str(cleaned["zone"])))
            if (problem := missing_time(there)) is not None:
                self.add_error("start", problem)
        return cleaned

    def gate_plans(self) -> list[GatePlan]:
        """The gates that were switched on, with their settings."""
        return [
            GatePlan(
                name,
                schema.settings_from(self._under(name), gate.settings_schema, None),
                bool(self.cleaned_data.get(f"gate-{name}-prepare")),
            )
            for name, gate in gates
            if self.cleaned_data.get(f"gate-{name}")
        ]

    def own_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self.fields if not name.startswith("gate-")]

    def gate_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self.fields if name.startswith("gate-")]

    def _under(self, gate: str) -> Mapping[str, object]:
        prefix = f"gate-{gate}-"
        return {k.removeprefix(prefix): v for k, v in self.cleaned_data.items() if k.startswith(prefix)}

    def present_gates(self) -> Mapping[str, GatePlan]:
        """The gates there are already, by name."""
        rows = self.window.gates.all() if self.window else ()
        return {row.gate: GatePlan(row.gate, row.settings, row.prepare) for row in rows}

    def _add_gates(self) -> None:
        present = self.present_gates()
        for name, gate in gates:
            row = present.get(name)
            self.fields[f"gate-{name}"] = _switch(f"Require: {gate.label}", initial=row is not None)
            self.fields[f"gate-{name}-prepare"] = _switch(
                "Let it do what is missing",
                initial=row.prepare if row else False,
                help_text="Such as taking the backup first; the window then starts by itself as soon as it is there.",
            )
            for key, made in schema.fields_for(gate.settings_schema, row.settings if row else None).items():
                made.required = False
                self.fields[f"gate-{name}-{key}"] = made


class SeriesForm(WindowForm):
    """A series as a person enters it."""

    slug = forms.SlugField(
        required=False,
        max_length=64,
        widget=UnfoldAdminTextInputWidget,
        help_text="Others refer to it by this; it never changes. Made from the title when left empty.",
    )
    rule = forms.CharField(
        label="Repeats",
        max_length=500,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "FREQ=WEEKLY;BYDAY=TU"}),
        help_text="An RFC 5545 rule: FREQ=DAILY, FREQ=WEEKLY;BYDAY=TU,FR, FREQ=MONTHLY;BYDAY=1SU, "
        "FREQ=YEARLY … “Check only” says it in words and shows the next dates.",
    )
    field_order = ("title", "slug", "description", "services", "zone", "start", "duration", "rule")

    def __init__(self, data: QueryDict | None = None, *, series: Series | None = None, zone: str = "UTC") -> None:
        self.series = series
        super().__init__(data, zone=zone)
        del self.fields["kind"]
        self.fields["start"].label = "First start"
        self.fields["start"].required = True
        self.fields["start"].help_text = "By the clocks of the zone above, as all that follow."
        for name in ("starts_itself", "completes_itself"):
            self.fields[name].initial = True
        if series is not None:
            del self.fields["slug"]
            self.initial.update(_series_initial(series))
        self.order_fields(self.field_order)

    def series_plan(self) -> SeriesPlan:
        """What was entered, as services take it. Only after `is_valid`."""
        given = self.cleaned_data
        first = self.moment()
        assert first is not None
        return SeriesPlan(
            slug=self.series.slug if self.series else given["slug"] or slugify(given["title"])[:64].strip("-"),
            title=given["title"],
            description=given["description"],
            rule=given["rule"],
            first_start=first,
            duration=timedelta(seconds=given["duration"]),
            services=list(given["services"]),
            time_zone=given["zone"],
            starts_itself=given["starts_itself"],
            completes_itself=given["completes_itself"],
            maintenance_mode=given["maintenance_mode"],
            gates=self.gate_plans(),
        )

    def present_gates(self) -> Mapping[str, GatePlan]:
        return {found.gate: found for found in series_plans.of(self.series).gates} if self.series else {}


class CancelForm(ActForm):
    """Why it does not take place."""

    reason = forms.CharField(
        required=False,
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text="Everybody reads it.",
    )


class ExtendForm(ActForm):
    """How long it is going to take in all."""

    duration = SpanField(label="Estimated duration in all", help_text="Counted from its scheduled start.")

    def __init__(self, *args: object, row: Window, **kwargs: object) -> None:
        super().__init__(*args, row=row, **kwargs)
        self.fields["duration"].initial = span_words(row.estimated_duration_seconds + 3600)


class UpdateForm(ActForm):
    """What is said to everybody affected."""

    message = forms.CharField(
        max_length=5_000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
        help_text="What is so now, and what comes next. It is sent as it stands here.",
    )


class EndSeriesForm(ActForm):
    """What becomes of the occurrences that are scheduled already."""

    cancel_future = forms.BooleanField(
        label="Cancel those that are scheduled already", required=False, initial=True, widget=UnfoldBooleanSwitchWidget
    )


def missing_time(there: datetime) -> str | None:
    """Why clocks of that zone never show this time, or None."""
    back = there.astimezone(ZoneInfo("UTC")).astimezone(there.tzinfo)
    if back.replace(tzinfo=None) == there.replace(tzinfo=None):
        return None
    return f"Clocks there go from before {there:%H:%M} to {back:%H:%M} that night: this time does not exist."


def form_errors(problems: Mapping[str, object], fields: Iterable[str]) -> dict[str, list[str]]:
    """What a service refuses, by the form's names for the API's fields; "" is for the form as a whole."""
    found: dict[str, list[str]] = {}
    for name, text in problems.items():
        field = API_FIELDS.get(name, name)
        if field == "gates":
            field = next((known for known in fields if known.startswith("gate-")), "")
        found.setdefault(field if field in fields else "", []).append(str(text))
    return found


def _switch(label: str, *, initial: bool, help_text: str = "") -> forms.BooleanField:
    return forms.BooleanField(
        label=label, required=False, initial=initial, help_text=help_text, widget=UnfoldBooleanSwitchWidget
    )


def _initial(window: Window | None, *, zone: str) -> dict[str, object]:
    if window is None:
        return {"zone": zone}
    local = window.scheduled_start.astimezone(ZoneInfo(window.time_zone)).replace(tzinfo=None)
    return {
        "title": window.title,
        "description": window.description,
        "services": [row.service_id for row in window.affected.all() if row.direct],
        "zone": window.time_zone,
        "start": local,
        "duration": window.estimated_duration_seconds,
        "starts_itself": window.starts_itself,
        "completes_itself": window.completes_itself,
        "maintenance_mode": window.maintenance_mode,
    }


def _series_initial(series: Series) -> dict[str, object]:
    return {
        "title": series.title,
        "description": series.description,
        "services": [service.pk for service in series.services.all()],
        "zone": series.time_zone,
        "start": series.first_start.astimezone(ZoneInfo(series.time_zone)).replace(tzinfo=None),
        "duration": series.duration_seconds,
        "rule": series.rule,
        "starts_itself": series.starts_itself,
        "completes_itself": series.completes_itself,
        "maintenance_mode": series.maintenance_mode,
    }
