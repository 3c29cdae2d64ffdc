"""The admin's forms for the catalogue: the same refusals as the API, shown at their fields."""

from typing import ClassVar

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminSelect2MultipleWidget

from catalogue import services
from catalogue.models import Person, Service, Team


class LinkedForm(forms.ModelForm):  # type: ignore[type-arg]
    """A form with one more field for rows that are linked through a table of their own.

    The field cannot be called like the model's: Django's admin refuses many-to-many fields with such a table.
    """

    link_field: ClassVar[str]  # in the form
    link: ClassVar[str]  # in the model, and what services call it

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        if self.instance.pk and self.link_field in self.fields:
            self.fields[self.link_field].initial = getattr(self.instance, self.link).all()


class TeamForm(LinkedForm):
    link_field = "people"
    link = "members"

    people = forms.ModelMultipleChoiceField(
        queryset=Person.objects.order_by("name", "pk"),
        required=False,
        label="Members",
        widget=UnfoldAdminSelect2MultipleWidget,
        help_text="Who leads the team belongs to it without being named here.",
    )

    class Meta:
        model = Team
        fields = ("slug", "name", "lead")


class ServiceForm(LinkedForm):
    link_field = "requires"
    link = "depends_on"

    requires = forms.ModelMultipleChoiceField(
        queryset=Service.objects.order_by("name", "pk"),
        required=False,
        label="Depends on",
        widget=UnfoldAdminSelect2MultipleWidget,
        help_text="What this service cannot work without. What those need in turn is followed by itself.",
    )

    class Meta:
        model = Service
        fields = ("slug", "name", "kind", "tier", "owner_team", "environment")

    def clean(self) -> dict[str, object]:
        cleaned: dict[str, object] = super().clean() or self.cleaned_data
        chosen = self.cleaned_data.get("requires")
        if chosen is not None and self.instance.pk:
            try:
                services.refuse_cycle(self.instance, list(chosen))
            except ValidationError as exc:
                self.add_error("requires", exc.message_dict[self.link])
        return cleaned
