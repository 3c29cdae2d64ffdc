"""The forms of error projects and their keys."""

from django import forms
from django.contrib.auth.models import User
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelect2MultipleWidget,
    UnfoldAdminSelect2Widget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from catalogue.models import Environment, Service
from errors.models import Key, Project
from sysops.access.models import ApiToken
from sysops.pages.acts import ActForm

PLAIN = (
    "name", "service", "environment", "enabled", "quota_per_minute", "retention_days", "events_per_issue",
    "allowed_origins", "scrub_fields", "scrub_personal_data", "restricted",
)  # fmt: skip
LINKS = ("readers", "reader_tokens")


class LinesField(forms.CharField):
    """A list of texts, one on each line."""

    widget = UnfoldAdminTextareaWidget(attrs={"rows": 3})

    def prepare_value(self, value: object) -> object:
        return "\n".join(str(one) for one in value) if isinstance(value, list) else value

    def to_python(self, value: object) -> list[str]:  # type: ignore[override]
        return [line.strip() for line in str(value or "").splitlines() if line.strip()]


def _number(label: str, help_text: str, *, least: int, most: int, required: bool = True) -> forms.IntegerField:
    return forms.IntegerField(
        label=label,
        help_text=help_text,
        required=required,
        min_value=least,
        max_value=most,
        widget=UnfoldAdminIntegerFieldWidget,
    )


def _switch(label: str, help_text: str, *, initial: bool) -> forms.BooleanField:
    return forms.BooleanField(
        label=label, help_text=help_text, required=False, initial=initial, widget=UnfoldBooleanSwitchWidget
    )


class ProjectForm(forms.Form):
    """A project as a person enters it."""

    name = forms.CharField(max_length=200, widget=UnfoldAdminTextInputWidget)
    slug = forms.SlugField(
        max_length=64, widget=UnfoldAdminTextInputWidget, help_text="Its name in addresses and searches; it stays."
    )
    service = forms.ModelChoiceField(
        queryset=Service.objects.order_by("name", "pk"),
        required=False,
        empty_label="None",
        widget=UnfoldAdminSelect2Widget,
        help_text="What it runs for: its owner team is told, and its maintenance holds alerts back.",
    )
    environment = forms.ModelChoiceField(
        queryset=Environment.objects.order_by("name", "pk"),
        required=False,
        empty_label="None",
        widget=UnfoldAdminSelect2Widget,
    )
    enabled = _switch("Enabled", "When off, nothing it sends is taken.", initial=True)
    quota_per_minute = _number(
        "Reports per minute, at most",
        "Over all its keys; empty is no limit. What is over it is refused and counted.",
        least=0,
        most=2**31 - 1,
        required=False,
    )
    retention_days = _number("Keep events for days", "Older ones go; what was counted stays.", least=1, most=730)
    events_per_issue = _number("Keep events per issue", "Of one with more the oldest go.", least=10, most=2**31 - 1)
    allowed_origins = LinesField(
        label="Web pages that may report",
        required=False,
        help_text="One origin on each line, such as https://shop.example. Empty: any page.",
    )
    scrub_fields = LinesField(
        label="Fields to mask",
        required=False,
        help_text="One name on each line, besides passwords, tokens, cookies and the like, which are always masked.",
    )
    scrub_personal_data = _switch(
        "Mask personal data", "E-mail addresses are masked and IP addresses dropped.", initial=True
    )
    restricted = _switch("Restricted", "Only the readers below, and admins, see its issues and events.", initial=False)
    readers = forms.ModelMultipleChoiceField(
        queryset=User.objects.order_by("username"), required=False, widget=UnfoldAdminSelect2MultipleWidget
    )
    reader_tokens = forms.ModelMultipleChoiceField(
        queryset=ApiToken.objects.order_by("name", "pk"),
        required=False,
        label="Tokens that may read",
        widget=UnfoldAdminSelect2MultipleWidget,
    )

    def __init__(self, data: object, *, project: Project | None = None) -> None:
        super().__init__(data, initial=_stored(project))  # type: ignore[arg-type]
        self.project = project
        if project is not None:
            del self.fields["slug"]

    def clean_slug(self) -> str:
        slug: str = self.cleaned_data["slug"]
        if Project.objects.filter(slug=slug).exists():
            raise forms.ValidationError(f"There is a project {slug!r} already; choose another slug.")
        return slug


def _stored(project: Project | None) -> dict[str, object]:
    if project is None:
        fresh = Project()
        return {"retention_days": fresh.retention_days, "events_per_issue": fresh.events_per_issue}
    values: dict[str, object] = {name: getattr(project, name) for name in PLAIN}
    return {**values, **{name: getattr(project, name).all() for name in LINKS}}


class KeyForm(forms.Form):
    """A key as a person enters it."""

    label = forms.CharField(
        required=False, max_length=100, widget=UnfoldAdminTextInputWidget, help_text="Who uses it, for people."
    )
    enabled = _switch("Enabled", "When off, what comes with it is refused.", initial=True)
    quota_per_minute = _number(
        "Reports per minute, at most", "Empty is no limit.", least=0, most=2**31 - 1, required=False
    )

    def __init__(self, data: object, *, key: Key) -> None:
        super().__init__(data, initial={name: getattr(key, name) for name in self.base_fields})  # type: ignore[arg-type]


class AddKeyForm(ActForm):
    """What a new key is for."""

    label = forms.CharField(
        required=False, max_length=100, widget=UnfoldAdminTextInputWidget, help_text="Who uses it, for people."
    )
    quota_per_minute = _number(
        "Reports per minute, at most", "Empty is no limit.", least=0, most=2**31 - 1, required=False
    )


class DeleteForm(ActForm):
    """The slug once more: nothing brings a deleted project back."""

    slug = forms.CharField(label="Its slug, to be sure", max_length=64, widget=UnfoldAdminTextInputWidget)

    def clean_slug(self) -> str:
        slug: str = self.cleaned_data["slug"]
        assert isinstance(self.row, Project)
        if slug != self.row.slug:
            raise forms.ValidationError(f"Write {self.row.slug} to delete it.")
        return slug
