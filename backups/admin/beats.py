"""The beats of a policy as pages show and ask for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo, available_timezones

from django import forms
from django.urls import reverse
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from backups.admin.forms import TYPE_WORDS, DaysField
from backups.cron_words import cron_words
from backups.models import Cadence, Policy
from backups.rules import BackupType
from backups.schedule import Cron
from backups.services.beats import CadencePlan
from backups.services.cadence import cron_of

CRON_FIELDS = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")


@dataclass(frozen=True)
class Beat:
    """One beat in words and as it is written."""

    cadence: Cadence
    words: str
    rule: str
    zone: str
    local: str
    change_url: str
    remove_url: str
    row_url: str
    kept_days: int

    @property
    def on(self) -> bool:
        return bool(self.rule)


def beat_of(cadence: Cadence) -> Beat:
    """The beat; switched off when its row in the schedule is, or has no cron rule."""
    cron = cron_of(cadence)
    keys = [cadence.policy_id, cadence.pk]
    return Beat(
        cadence=cadence,
        words=cron_words(cron) if cron else "Switched off",
        rule=cron.expression if cron else "",
        zone=cron.zone if cron else "",
        local=_local(cadence, cron),
        change_url=reverse("admin:backups_policy_beat", args=keys),
        remove_url=reverse("admin:backups_policy_remove_beat", args=keys),
        row_url=reverse("admin:django_celery_beat_periodictask_change", args=[cadence.periodic_task_id]),
        kept_days=max(cadence.policy.online_days, cadence.keep_days or 0),
    )


def beats_of(policy: Policy) -> list[Beat]:
    """All beats of a policy, two queries."""
    return [beat_of(c) for c in policy.cadences.select_related("policy", "periodic_task__crontab").order_by("pk")]


def _local(cadence: Cadence, cron: Cron | None) -> str:
    """When it is due next in the zone of its rule, where that is not UTC."""
    if cron is None or cron.zone == "UTC" or cadence.next_due_at is None:
        return ""
    return f"{cadence.next_due_at.astimezone(ZoneInfo(cron.zone)):%Y-%m-%d %H:%M} {cron.zone}"


class BeatForm(forms.Form):
    """Type and times of one beat."""

    label = forms.CharField(max_length=80, widget=UnfoldAdminTextInputWidget, help_text='Such as "daily full".')
    backup_type = forms.ChoiceField(
        label="Type", choices=[(t.value, TYPE_WORDS[t]) for t in BackupType], widget=UnfoldAdminSelectWidget
    )
    minute = forms.CharField(
        max_length=240, initial="0", widget=UnfoldAdminTextInputWidget, help_text="0–59, */15 or *"
    )
    hour = forms.CharField(max_length=96, initial="2", widget=UnfoldAdminTextInputWidget, help_text="0–23, */6 or *")
    day_of_month = forms.CharField(
        max_length=124, initial="*", widget=UnfoldAdminTextInputWidget, help_text="1–31 or * for every day"
    )
    month_of_year = forms.CharField(
        max_length=64, initial="*", widget=UnfoldAdminTextInputWidget, help_text="1–12 or * for every month"
    )
    day_of_week = forms.CharField(
        max_length=64, initial="*", widget=UnfoldAdminTextInputWidget, help_text="0–6 (0 is Sunday) or * for every day"
    )
    zone = forms.CharField(
        label="Time zone",
        max_length=63,
        initial="UTC",
        widget=UnfoldAdminTextInputWidget(attrs={"list": "so-zones"}),
        help_text="The times are meant in this zone, such as Europe/Madrid; right across clock changes.",
    )
    keep_days = DaysField(
        label="Keep for days",
        required=False,
        help_text="Longer than the policy's online days; empty for as long as those.",
    )
    enabled = forms.BooleanField(label="Switched on", required=False, initial=True, widget=UnfoldBooleanSwitchWidget)

    def __init__(self, data: Mapping[str, object] | None, *, policy: Policy, cadence: Cadence | None = None) -> None:
        super().__init__(data, initial=_initial(cadence))
        self.others = policy.cadences.exclude(pk=cadence.pk) if cadence else policy.cadences.all()
        if cadence is None:
            del self.fields["enabled"]

    def clean_label(self) -> str:
        label: str = self.cleaned_data["label"]
        if self.others.filter(label=label).exists():
            raise forms.ValidationError(f"The policy has a beat called {label!r} already")
        return label

    def plan(self) -> CadencePlan:
        given = self.cleaned_data
        cron = Cron(**{name: given[name].strip() for name in (*CRON_FIELDS, "zone")})
        return CadencePlan(given["label"], BackupType(given["backup_type"]), cron, given["keep_days"])

    def zones(self) -> list[str]:
        return sorted(available_timezones())


def _initial(cadence: Cadence | None) -> dict[str, object]:
    if cadence is None:
        return {}
    crontab, task = cadence.periodic_task.crontab, cadence.periodic_task
    fields = {name: getattr(crontab, name) for name in CRON_FIELDS} if crontab else {}
    return {
        **fields,
        "zone": str(crontab.timezone) if crontab else "UTC",
        "label": cadence.label,
        "backup_type": cadence.backup_type,
        "keep_days": cadence.keep_days,
        "enabled": task.enabled,
    }
