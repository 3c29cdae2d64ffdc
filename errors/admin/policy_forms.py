"""The forms of what is decided once: severities, what makes an issue which of them, who gets it."""

from collections.abc import Mapping

from django import forms
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from catalogue.models import Person, Service, Team
from errors import looks
from errors.admin.project_forms import LinesField
from errors.models import AssignmentRule, Project, SeverityLevel, SeverityRule
from errors.selectors import visible_projects
from errors.severity import LEVELS
from sysops.pages.forms import SpanField

POSITION_HELP = "Of several that fit, the lowest counts."
LISTS = ("level", "error_type", "message", "service")
COUNTS = ("accounts_at_least", "events_at_least", "within_minutes")


class LevelForm(forms.Form):
    """What a severity means, and how fast somebody must respond."""

    meaning = forms.CharField(max_length=1_000, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}))
    respond_within_seconds = SpanField(
        label="Respond within", help_text="Such as 1 h or 30 min. 0 is at once: on-call is told, and it is due then."
    )
    near_percent = forms.IntegerField(
        label="Near after percent of it",
        min_value=1,
        max_value=99,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="After this share of the time its deadline counts as near, and its assignee is told.",
    )

    def __init__(self, data: object, *, row: SeverityLevel) -> None:
        super().__init__(data, initial={name: getattr(row, name) for name in self.base_fields})  # type: ignore[arg-type]


class TagsField(forms.CharField):
    """Tags and their patterns, one pair on each line: `area: payment`."""

    widget = UnfoldAdminTextareaWidget(attrs={"rows": 2})

    def prepare_value(self, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        pairs = [(key, wanted if isinstance(wanted, list) else [wanted]) for key, wanted in value.items()]
        return "\n".join(f"{key}: {one}" for key, all_of in pairs for one in all_of)

    def to_python(self, value: object) -> dict[str, list[str]]:  # type: ignore[override]
        found: dict[str, list[str]] = {}
        for line in str(value or "").splitlines():
            if not line.strip():
                continue
            key, colon, wanted = line.partition(":")
            if not colon or not key.strip() or not wanted.strip():
                raise forms.ValidationError(f"Write {line.strip()[:60]!r} as a tag and a pattern: area: payment")
            found.setdefault(key.strip(), []).append(wanted.strip())
        return found


class RuleForm(forms.Form):
    """When an issue is of which severity. What is left empty asks for nothing; all that is filled in must hold."""

    name = forms.CharField(max_length=200, widget=UnfoldAdminTextInputWidget)
    slug = forms.SlugField(max_length=64, widget=UnfoldAdminTextInputWidget)
    severity = forms.ChoiceField(
        choices=[(severity.value, words) for severity, (_, words) in looks.SEVERITIES.items()],
        widget=UnfoldAdminSelectWidget,
        help_text="Of several rules that hold the worst counts.",
    )
    enabled = forms.BooleanField(required=False, initial=True, widget=UnfoldBooleanSwitchWidget)
    project = forms.ModelChoiceField(
        queryset=Project.objects.none(),
        required=False,
        empty_label="All projects",
        widget=UnfoldAdminSelectWidget,
    )
    position = forms.IntegerField(
        min_value=0, max_value=32_767, initial=100, widget=UnfoldAdminIntegerFieldWidget, help_text=POSITION_HELP
    )
    level = forms.MultipleChoiceField(
        label="The SDK's level is one of",
        required=False,
        choices=[(level, level) for level in LEVELS],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )
    error_type = LinesField(
        label="The type looks like one of", required=False, help_text="One pattern on each line: Timeout*"
    )
    message = LinesField(
        label="The message looks like one of", required=False, help_text="One pattern on each line: *disk full*"
    )
    service = LinesField(
        label="The service is one of", required=False, help_text="One slug or pattern on each line: shop-*"
    )
    tag = TagsField(
        label="It carries the tags",
        required=False,
        help_text="One on each line: area: payment. A value may be a pattern, or a figure such as > 50.",
    )
    accounts_at_least = forms.IntegerField(
        label="So many accounts are affected",
        required=False,
        min_value=1,
        max_value=10**9,
        widget=UnfoldAdminIntegerFieldWidget,
    )
    events_at_least = forms.IntegerField(
        label="So many events came",
        required=False,
        min_value=1,
        max_value=10**9,
        widget=UnfoldAdminIntegerFieldWidget,
    )
    within_minutes = forms.IntegerField(
        label="Within minutes",
        required=False,
        min_value=1,
        max_value=1_440,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Of the events; empty is ever.",
    )

    def __init__(self, data: object, *, row: SeverityRule | None, user: object) -> None:
        super().__init__(data, initial=_stored_rule(row))  # type: ignore[arg-type]
        _of_seen_projects(self, user)
        if row is not None:
            del self.fields["slug"]

    def values(self) -> dict[str, object]:
        """What was entered, as the service takes it. Only after `is_valid`."""
        given = dict(self.cleaned_data)
        conditions = {name: given.pop(name) for name in (*LISTS, "tag", *COUNTS)}
        return {**given, "conditions": {name: value for name, value in conditions.items() if value}}


def _of_seen_projects(form: forms.Form, user: object) -> None:
    """Offer the projects this person sees: who may only look at rules finds the field closed, with all it offers."""
    field = form.fields["project"]
    assert isinstance(field, forms.ModelChoiceField)
    field.queryset = visible_projects(user).order_by("name", "pk")


def _stored_rule(row: SeverityRule | None) -> dict[str, object]:
    if row is None:
        return {}
    fields: dict[str, object] = {
        name: getattr(row, name) for name in ("name", "severity", "enabled", "project", "position")
    }
    conditions: dict[str, object] = row.conditions if isinstance(row.conditions, dict) else {}
    lists = {name: one if isinstance(one := conditions[name], list) else [one] for name in LISTS if name in conditions}
    return {**fields, **{name: conditions.get(name) for name in ("tag", *COUNTS)}, **lists}


class AssignmentForm(forms.Form):
    """Who gets a new issue: the first rule that fits."""

    name = forms.CharField(max_length=200, widget=UnfoldAdminTextInputWidget)
    enabled = forms.BooleanField(required=False, initial=True, widget=UnfoldBooleanSwitchWidget)
    position = forms.IntegerField(
        min_value=0, max_value=32_767, initial=100, widget=UnfoldAdminIntegerFieldWidget, help_text=POSITION_HELP
    )
    project = forms.ModelChoiceField(
        queryset=Project.objects.none(),
        required=False,
        empty_label="All projects",
        widget=UnfoldAdminSelectWidget,
    )
    service = forms.ModelChoiceField(
        queryset=Service.objects.order_by("name", "pk"),
        required=False,
        empty_label="All services",
        widget=UnfoldAdminSelectWidget,
    )
    path = forms.CharField(
        label="A file of the stack trace looks like",
        required=False,
        max_length=300,
        widget=UnfoldAdminTextInputWidget,
        help_text="Such as shop/payment/*",
    )
    tag_key = forms.CharField(
        label="It carries the tag", required=False, max_length=64, widget=UnfoldAdminTextInputWidget
    )
    tag_value = forms.CharField(
        label="whose value looks like",
        required=False,
        max_length=200,
        widget=UnfoldAdminTextInputWidget,
        help_text="Such as eu-*",
    )
    person = forms.ModelChoiceField(
        label="Give it to",
        queryset=Person.objects.order_by("name", "pk"),
        required=False,
        empty_label="Nobody by name",
        widget=UnfoldAdminSelectWidget,
    )
    team = forms.ModelChoiceField(
        label="or to who is on call of",
        queryset=Team.objects.order_by("name", "pk"),
        required=False,
        empty_label="No team",
        widget=UnfoldAdminSelectWidget,
    )

    def __init__(self, data: object, *, row: AssignmentRule | None, user: object) -> None:
        stored = {} if row is None else {name: getattr(row, name) for name in self.base_fields}
        super().__init__(data, initial=stored)  # type: ignore[arg-type]
        _of_seen_projects(self, user)

    def clean(self) -> dict[str, object]:
        cleaned: dict[str, object] = super().clean() or self.cleaned_data
        if bool(cleaned.get("person")) == bool(cleaned.get("team")):
            self.add_error("person", "Name either a person or a team.")
        return cleaned
