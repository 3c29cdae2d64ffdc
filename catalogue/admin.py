"""The catalogue in the admin: every form ends in one service call."""

from collections.abc import Sequence
from typing import ClassVar, TypeAlias

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import QuerySet
from django.forms import BaseModelFormSet, ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from unfold.admin import ModelAdmin
from unfold.decorators import display

from catalogue import records, selectors, services
from catalogue.forms import LinkedForm, ServiceForm, TeamForm
from catalogue.models import ContactAddress, Entry, Environment, Host, Person, Service, Team
from catalogue.rules import State, label
from sysops.access.audited import Righted, RightedTabularInline
from sysops.access.requests import request_actor

Form: TypeAlias = "ModelForm[Entry]"
FormSet: TypeAlias = "BaseModelFormSet[models.Model, ModelForm[models.Model]]"

RIGHTS = {
    "view": "catalogue.view",
    "add": "catalogue.change",
    "change": "catalogue.change",
    "delete": "catalogue.change",
}


class _CatalogueAdmin(Righted, ModelAdmin):
    """Saves and deletes through services, which audit and publish."""

    model: type[Entry]
    rights: ClassVar = RIGHTS

    def get_readonly_fields(self, request: HttpRequest, obj: models.Model | None = None) -> list[str]:
        fixed = [records.identity(self.model)] if obj else []
        return [*fixed, *super().get_readonly_fields(request, obj)]

    def get_prepopulated_fields(
        self, request: HttpRequest, obj: models.Model | None = None
    ) -> dict[str, Sequence[str]]:
        """The slug from the name, while there is a choice."""
        return {"slug": ("name",)} if obj is None and records.identity(self.model) == "slug" else {}

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


@admin.register(Environment)
class EnvironmentAdmin(_CatalogueAdmin):
    list_display = ("name", "slug", "is_production")
    search_fields = ("name", "slug")
    fields = ("name", "slug", "is_production")


@admin.register(Host)
class HostAdmin(_CatalogueAdmin):
    list_display = ("name", "environment", "last_seen_at")
    list_filter = ("environment",)
    search_fields = ("name", "description")
    fields = ("name", "environment", "description", "last_seen_at")
    readonly_fields = ("last_seen_at",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Host]:
        return selectors.hosts()


class ContactInline(RightedTabularInline):
    model = ContactAddress
    rights: ClassVar = RIGHTS
    fields = ("position", "channel", "address")
    extra = 0


@admin.register(Person)
class PersonAdmin(_CatalogueAdmin):
    list_display = ("name", "slug", "time_zone", "reached_by", "user")
    search_fields = ("name", "slug")
    fields = ("name", "slug", "time_zone", "user")
    inlines = (ContactInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Person]:
        return selectors.people()

    @admin.display(description="Reached by")
    def reached_by(self, person: Person) -> str:
        return ", ".join(dict.fromkeys(label(contact.channel) for contact in person.contacts.all())) or "nothing"

    def entered(self, form: Form, formsets: list[FormSet]) -> dict[str, object]:
        rows = [row for formset in formsets for row in formset.cleaned_data if row and not row.get("DELETE")]
        rows.sort(key=lambda row: row["position"])
        return {**super().entered(form, formsets), "contacts": [(row["channel"], row["address"]) for row in rows]}


@admin.register(Team)
class TeamAdmin(_CatalogueAdmin):
    form = TeamForm
    list_display = ("name", "slug", "lead", "size")
    search_fields = ("name", "slug")
    fields = ("name", "slug", "lead", "people")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Team]:
        return selectors.teams()

    @admin.display(description="Members")
    def size(self, team: Team) -> int:
        return len(team.members.all())


@admin.register(Service)
class ServiceAdmin(_CatalogueAdmin):
    form = ServiceForm
    list_display = ("name", "state_shown", "kind", "tier", "owner_team", "environment", "needs")
    list_filter = ("state", "kind", "tier", "owner_team", "environment")
    search_fields = ("name", "slug")
    readonly_fields = ("state_shown", "state_until", "state_reason")
    fieldsets = (
        (None, {"fields": ("name", "slug", "kind", "tier", "owner_team", "environment", "requires")}),
        ("Now", {"fields": ("state_shown", "state_until", "state_reason")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Service]:
        return selectors.services()

    @display(  # type: ignore[untyped-decorator]
        description="State",
        ordering="state",
        label={
            State.NORMAL.value: "success",
            State.DEGRADED.value: "warning",
            State.MAINTENANCE.value: "info",
            State.DOWN.value: "danger",
        },
    )
    def state_shown(self, service: Service) -> tuple[str, str]:
        return service.state, label(service.state)

    @admin.display(description="Depends on")
    def needs(self, service: Service) -> str:
        return ", ".join(required.slug for required in service.depends_on.all())
