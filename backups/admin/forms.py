"""The forms of this app's pages."""

from django import forms
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from backups.engines.base import engines
from backups.models import Source
from backups.rules import SIZE_ORDER, BackupType, Rung
from sysops.kernel.registry import UnknownName
from sysops.pages.acts import ActForm

TYPE_WORDS = {
    BackupType.FULL: "Full: stands on nothing, takes longest",
    BackupType.DIFFERENTIAL: "Differential: what changed since the last full",
    BackupType.INCREMENTAL: "Incremental: what changed since the last backup of any type",
}


def types_of(engine: str) -> list[BackupType]:
    """The types an engine has, the largest first; none when it is not installed here."""
    try:
        return sorted(engines.get(engine).types, key=lambda t: -SIZE_ORDER[t])
    except UnknownName:
        return []


class BackUpForm(ActForm):
    """Which type of backup to take."""

    backup_type = forms.ChoiceField(label="Type", widget=UnfoldAdminRadioSelectWidget)

    def __init__(self, *args: object, row: Source, **kwargs: object) -> None:
        super().__init__(*args, row=row, **kwargs)
        types = types_of(row.engine)
        field = self.fields["backup_type"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [(t.value, TYPE_WORDS[t]) for t in types]
        field.initial = types[0].value if types else None


class VerifyForm(ActForm):
    """How deep to look."""

    rung = forms.ChoiceField(
        label="How deep",
        initial=Rung.RESTORE.value,
        widget=UnfoldAdminRadioSelectWidget,
        choices=[
            (Rung.RESTORE.value, "Restore it into a scratch place and check what comes up: the only proof"),
            (Rung.REREAD.value, "Read the stored files again and compare them with their checksums"),
        ],
    )


class RestoreForm(ActForm):
    """Where to, and whether a server is to run there."""

    target = forms.CharField(
        label="Target folder",
        required=False,
        max_length=1000,
        widget=UnfoldAdminTextInputWidget,
        help_text="A new or empty folder below the restore folder. Leave it empty and one is named for you.",
    )
    start_server = forms.BooleanField(
        label="Leave the restored server running",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="It listens on a private socket below the folder; the page of the restore says how to connect.",
    )


class HoldForm(ActForm):
    """Why it is held."""

    reason = forms.CharField(
        max_length=1000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="The next person will want to know: a ticket, a name, a date.",
    )


class DaysField(forms.IntegerField):
    """A number of days."""

    widget = UnfoldAdminIntegerFieldWidget

    def __init__(self, **kwargs: object) -> None:
        super().__init__(min_value=1, max_value=36_500, **kwargs)  # type: ignore[arg-type]
