"""What acts on issues ask for."""

import re
from collections.abc import Mapping

from django import forms
from django.utils.html import format_html
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from catalogue.models import Person
from errors import looks
from errors.models import Issue
from errors.rules import SeveritySource
from sysops.pages.acts import ActForm
from sysops.pages.forms import SpanField

RULES = "rules"
NOW, RELEASE, NEXT = "now", "release", "next"
MOST_MERGED = 100


class AssignForm(ActForm):
    """Who takes it on."""

    person = forms.ModelChoiceField(
        queryset=Person.objects.order_by("name", "pk"),
        required=False,
        empty_label="Nobody",
        widget=UnfoldAdminSelectWidget,
        help_text="They are told. To give it to somebody is a response; the deadline counts as met.",
    )

    def __init__(self, *args: object, row: Issue, **kwargs: object) -> None:
        super().__init__(*args, row=row, **kwargs)
        self.fields["person"].initial = row.assignee_id


class ResolveForm(ActForm):
    """Where the fix is, and what it was."""

    fixed = forms.ChoiceField(
        label="Fixed",
        initial=NOW,
        widget=UnfoldAdminRadioSelectWidget,
        choices=[
            (NOW, "Now: the newest release has the fix"),
            (RELEASE, "In the release named below"),
            (NEXT, "In the next release after the one named below, or after the newest"),
        ],
        help_text="An event of a release that has the fix brings it back; one of an older release does not.",
    )
    release = forms.CharField(required=False, max_length=250, widget=UnfoldAdminTextInputWidget)
    note = forms.CharField(
        required=False,
        max_length=2_000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="What it was and what helped: for whoever meets it again.",
    )

    def __init__(self, *args: object, row: Issue, **kwargs: object) -> None:
        super().__init__(*args, row=row, **kwargs)
        if row.last_release:
            # Django takes help texts for HTML.
            said = format_html("Its latest event came from {}.", looks.plain(row.last_release))
            self.fields["release"].help_text = said

    def clean(self) -> dict[str, object]:
        cleaned: dict[str, object] = super().clean() or self.cleaned_data
        if cleaned.get("fixed") == RELEASE and not cleaned.get("release"):
            self.add_error("release", "Name the release that has the fix.")
        return cleaned


def resolution(given: Mapping[str, object]) -> dict[str, object]:
    """What a person chose, as the service takes it: a release only where one was asked for."""
    fixed = given["fixed"]
    release = given["release"] if fixed in (RELEASE, NEXT) else ""
    return {"release": release, "in_next_release": fixed == NEXT, "note": given["note"]}


class IgnoreForm(ActForm):
    """Until when it is left alone."""

    period = SpanField(
        label="For",
        required=False,
        help_text="Such as 4 h, 2 d or 1 w. Leave all three empty to ignore it for good.",
    )
    more_events = forms.IntegerField(
        label="Until so many more events",
        required=False,
        min_value=1,
        max_value=2**31 - 1,
        widget=UnfoldAdminIntegerFieldWidget,
    )
    more_accounts = forms.IntegerField(
        label="Until so many more accounts are affected",
        required=False,
        min_value=1,
        max_value=2**31 - 1,
        widget=UnfoldAdminIntegerFieldWidget,
    )


class SeverityForm(ActForm):
    """How bad it is, in somebody's judgement."""

    severity = forms.ChoiceField(
        widget=UnfoldAdminRadioSelectWidget,
        choices=[
            *((severity.value, words) for severity, (_, words) in looks.SEVERITIES.items()),
            (RULES, "As the rules say"),
        ],
        help_text="What a person says stays until somebody gives it back to the rules.",
    )

    def __init__(self, *args: object, row: Issue, **kwargs: object) -> None:
        super().__init__(*args, row=row, **kwargs)
        by_hand = row.severity_source == SeveritySource.MANUAL
        self.fields["severity"].initial = row.severity if by_hand else RULES


class CommentForm(ActForm):
    """What somebody has to say."""

    text = forms.CharField(label="Comment", max_length=10_000, widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}))


class MergeForm(ActForm):
    """Which other issues are the same trouble."""

    numbers = forms.CharField(
        label="Numbers of the other issues",
        max_length=1_000,
        widget=UnfoldAdminTextInputWidget,
        help_text="Such as 12, 15, 16. They stand below each issue's title in the list.",
    )

    def clean_numbers(self) -> list[int]:
        text: str = self.cleaned_data["numbers"]
        found = list(dict.fromkeys(int(n) for n in re.findall(r"[0-9]{1,15}", text)))
        if not found or re.sub(r"[0-9]{1,15}|#|,|;|\s", "", text):
            raise forms.ValidationError("Write numbers of issues, such as 12, 15.")
        if len(found) > MOST_MERGED:
            raise forms.ValidationError(f"At most {MOST_MERGED} at a time.")
        return found


class SplitForm(ActForm):
    """Which of the groups that were merged is another trouble after all."""

    grouping = forms.ChoiceField(label="Group", widget=UnfoldAdminRadioSelectWidget)

    def __init__(self, *args: object, row: Issue, **kwargs: object) -> None:
        super().__init__(*args, row=row, **kwargs)
        field = self.fields["grouping"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [
            (str(group.pk), f"{looks.plain(group.label)} ({group.event_count:,} events)")
            for group in row.groupings.order_by("pk")
        ]


class ManyForm(forms.Form):
    """Which of several issues stays."""

    target = forms.ChoiceField(
        label="Which one stays", widget=UnfoldAdminRadioSelectWidget, help_text="Its status and its assignee count."
    )
