"""What every admin page of the catalogue stands on: saving and deleting through services."""

from collections.abc import Sequence
from typing import ClassVar, TypeAlias

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import QuerySet
from django.forms import BaseModelFormSet, ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone

from catalogue import records, services
from catalogue.forms import LinkedForm
from catalogue.models import Entry
from sysops.access.audited import RightedModelAdmin
from sysops.access.requests import request_actor

Form: TypeAlias = "ModelForm[Entry]"
FormSet: TypeAlias = "BaseModelFormSet[models.Model, ModelForm[models.Model]]"

RIGHTS = {
    "view": "catalogue.view",
    "add": "catalogue.change",
    "change": "catalogue.change",
    "delete": "catalogue.change",
}


class CatalogueAdmin(RightedModelAdmin):
    """Saves and deletes through services, which audit and publish."""

    model: type[Entry]
    rights: ClassVar = RIGHTS

    def get_readonly_fields(self, request: HttpRequest, obj: models.Model | None = None) -> list[str]:
        name = records.identity(self.model)
        fixed = [name] if obj and hasattr(self.model, name) else []
        return [*fixed, *super().get_readonly_fields(request, obj)]

    def get_prepopulated_fields(
        self, request: HttpRequest, obj: models.Model | None = None
    ) -> dict[str, Sequence[str]]:
        """The slug from the name, while there is a choice."""
        return {"slug": ("name",)} if obj is None and hasattr(self.model, "slug") else {}

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, object] | None = None,
    ) -> HttpResponse:
        """What the form could not see because somebody else was quicker is said, not a crash."""
        try:
            answer: HttpResponse = super().changeform_view(request, object_id, form_url, extra_context)
        except (services.Overtaken, ValidationError) as exc:
            text = "; ".join(exc.messages) if isinstance(exc, ValidationError) else str(exc)
            self.message_user(request, f"Nothing was saved. {text}", messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())
        return answer

    def save_model(self, request: HttpRequest, obj: Entry, form: Form, change: bool) -> None:
        """Nothing yet: `save_related` knows all that was entered, and that makes one change."""

    def save_related(self, request: HttpRequest, form: Form, formsets: list[FormSet], change: bool) -> None:
        row, values = form.instance, self.entered(form, formsets)
        by, at = request_actor(request), timezone.now()
        saved = (
            services.change(row, values, by=by, at=at) if change else services.create(self.model, values, by=by, at=at)
        )
        row.__dict__.update(saved.__dict__)
        for formset in formsets:  # Django's log of the admin asks for these
            formset.new_objects, formset.changed_objects, formset.deleted_objects = [], [], []

    def entered(self, form: Form, formsets: list[FormSet]) -> dict[str, object]:
        """The values of the form as services take them."""
        values = dict(form.cleaned_data)
        if isinstance(form, LinkedForm):
            values[form.link] = list(values.pop(form.link_field))
        return values

    def delete_model(self, request: HttpRequest, obj: Entry) -> None:
        self.delete_queryset(request, [obj])

    def delete_queryset(self, request: HttpRequest, queryset: "QuerySet[Entry] | list[Entry]") -> None:
        for row in queryset:
            try:
                services.remove(row, by=request_actor(request), at=timezone.now())
            except (services.InUse, services.Overtaken) as exc:
                self.message_user(request, str(exc), messages.ERROR)
