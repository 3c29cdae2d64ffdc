"""The forms of this app's pages."""

from collections.abc import Mapping

from django import forms
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from catalogue.rules import label, slug_problem
from notifications.channels.base import Driver, drivers
from notifications.models import Channel
from sysops.access import driver_settings
from sysops.pages import schema
from sysops.pages.acts import ActForm


class ChannelForm(forms.Form):
    """A channel: its own fields, then those its driver asks for. Stored secrets never reach the page."""

    name = forms.CharField(max_length=200, widget=UnfoldAdminTextInputWidget)
    slug = forms.CharField(
        max_length=64,
        widget=UnfoldAdminTextInputWidget,
        help_text="How routes, the API and the audit log call it; it never changes.",
    )
    enabled = forms.BooleanField(
        label="Switched on",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="While it is off nothing new goes through it; what waits for it stays.",
    )

    def __init__(self, data: Mapping[str, object] | None, *, driver: Driver, channel: Channel | None = None) -> None:
        super().__init__(data)
        self.driver = driver
        self.shown: dict[str, object] | None = None
        if channel:
            del self.fields["slug"]
            self.fields["name"].initial, self.fields["enabled"].initial = channel.name, channel.enabled
            self.shown = driver_settings.masked(channel.settings, channel.sealed_settings)
        else:
            del self.fields["enabled"]
        self.own = list(self.fields)
        self.fields.update(schema.fields_for(driver.settings_schema, self.shown))

    def own_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self.own]

    def engine_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self.fields if name not in self.own]

    def settings(self) -> dict[str, object]:
        """The settings as services take them."""
        return schema.settings_from(self.cleaned_data, self.driver.settings_schema, self.shown)

    def clean_slug(self) -> str:
        slug: str = self.cleaned_data["slug"]
        if problem := slug_problem(slug):
            raise forms.ValidationError(problem)
        if Channel.objects.filter(slug=slug).exists():
            raise forms.ValidationError(f"There is a channel {slug!r} already; choose another slug.")
        return slug


class TestForm(ActForm):
    """Where a test message goes; a channel that leads to one place of its own asks nothing."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        assert isinstance(self.row, Channel)
        reaches = drivers.get(self.row.driver).reaches if self.row.driver in drivers else ""
        if reaches:
            self.fields["address"] = forms.CharField(
                label=f"To ({label(reaches)})", max_length=254, widget=UnfoldAdminTextInputWidget
            )


class WordsForm(forms.Form):
    """The words of one kind of message."""

    subject = forms.CharField(max_length=300, widget=UnfoldAdminTextInputWidget, help_text="One line.")
    text = forms.CharField(
        max_length=50_000,
        strip=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 12, "spellcheck": "true"}),
        help_text="For programs that show plain text, SMS and chat.",
    )
    html = forms.CharField(
        label="HTML",
        max_length=100_000,
        strip=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 12, "spellcheck": "true"}),
        help_text="For e-mail programs that show formatted text. What is filled in is escaped.",
    )
