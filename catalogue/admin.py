"""The catalogue in the admin: every form ends in one service call."""

from typing import ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.decorators import action, display

from catalogue import selectors, selectors_tree
from catalogue.admin_base import RIGHTS, CatalogueAdmin, Form, FormSet
from catalogue.admin_oncall import OnCallOverrideAdmin, RotaAdmin, team_on_call
from catalogue.admin_subscriptions import SubscriptionAdmin, subscribers_of
from catalogue.forms import ServiceForm, TeamForm
from catalogue.models import ContactAddress, Environment, Host, Person, Service, Team
from catalogue.rules import State, label
from sysops.access.audited import RightedTabularInline
from sysops.pages import show

__all__ = ["OnCallOverrideAdmin", "RotaAdmin", "SubscriptionAdmin"]

_TONES = {
    State.NORMAL.value: "good",
    State.DEGRADED.value: "warn",
    State.MAINTENANCE.value: "run",
    State.DOWN.value: "bad",
}


@admin.register(Environment)
class EnvironmentAdmin(CatalogueAdmin):
    list_display = ("name", "slug", "is_production")
    search_fields = ("name", "slug")
    fields = ("name", "slug", "is_production")


@admin.register(Host)
class HostAdmin(CatalogueAdmin):
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
class PersonAdmin(CatalogueAdmin):
    list_display = ("name", "slug", "time_zone", "reached_by", "user")
    search_fields = ("name", "slug")
    fields = ("name", "slug", "time_zone", ("quiet_from", "quiet_until"), "user")
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
class TeamAdmin(CatalogueAdmin):
    form = TeamForm
    list_display = ("name", "slug", "lead", "size")
    search_fields = ("name", "slug")
    fields = ("name", "slug", "lead", "people", "on_call_now")
    readonly_fields = ("on_call_now",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Team]:
        return selectors.teams()

    @admin.display(description="On call now")
    def on_call_now(self, team: Team) -> SafeString | str:
        return team_on_call(team, at=timezone.now()) if team.pk else "–"

    @admin.display(description="Members")
    def size(self, team: Team) -> int:
        return len(team.members.all())


@admin.register(Service)
class ServiceAdmin(CatalogueAdmin):
    form = ServiceForm
    list_display = ("name", "state_shown", "kind", "tier", "owner_team", "environment", "needs")
    actions_list = ("tree",)
    list_filter = ("state", "kind", "tier", "owner_team", "environment")
    search_fields = ("name", "slug")
    readonly_fields = ("state_shown", "state_until", "state_reason", "maintenance_mode", "subscribers")
    fieldsets = (
        (None, {"fields": ("name", "slug", "kind", "tier", "owner_team", "environment", "requires")}),
        ("Now", {"fields": ("state_shown", "state_until", "state_reason", "maintenance_mode", "subscribers")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Service]:
        return selectors.services()

    @display(  # type: ignore[untyped-decorator]
        description="State",
        ordering="state",
        label={
            label(State.NORMAL.value): "success",
            label(State.DEGRADED.value): "warning",
            label(State.MAINTENANCE.value): "info",
            label(State.DOWN.value): "danger",
        },
    )
    def state_shown(self, service: Service) -> str:
        return label(service.state)  # with its value beside it, the page of a service would show both in brackets

    @admin.display(description="Subscribers")
    def subscribers(self, service: Service) -> SafeString | str:
        return subscribers_of(service) if service.pk else "–"

    @admin.display(description="Depends on")
    def needs(self, service: Service) -> str:
        return ", ".join(required.slug for required in service.depends_on.all())

    @action(  # type: ignore[untyped-decorator]
        description="As a tree", url_path="tree", permissions=["view"], icon="account_tree"
    )
    def tree(self, request: HttpRequest) -> HttpResponse:
        """Services below what needs them, with state, owner and who is on call."""
        found = [
            {**vars(leaf), "badge": show.pill(_TONES[leaf.service.state], label(leaf.service.state))}
            for leaf in selectors_tree.leaves(at=timezone.now())
        ]
        context = {**self.admin_site.each_context(request), "opts": self.opts, "title": "Services as a tree"}
        return TemplateResponse(request, "catalogue/tree.html", {**context, "leaves": found})
