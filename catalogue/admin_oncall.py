"""Who is on call, in the admin: rotas with their rotations on one page, and overrides."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import ClassVar, TypeAlias, cast

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from catalogue import rota, selectors_oncall, services
from catalogue.admin_base import RIGHTS, CatalogueAdmin, Form, FormSet
from catalogue.forms_oncall import OverrideForm, RotaForm, RotationForm, as_rotation
from catalogue.models import OnCallOverride, Rota, Rotation, Team
from catalogue.services import oncall
from sysops.access.audited import RightedStackedInline
from sysops.access.requests import request_actor

Fieldsets: TypeAlias = "list[tuple[str | None, dict[str, Sequence[str]]]]"
Fields: TypeAlias = "list[str | list[str] | tuple[str, ...] | tuple[()]]"
SHOWN_AHEAD = timedelta(days=14)


class RotationInline(RightedStackedInline):
    model = Rotation
    form = RotationForm
    rights: ClassVar = RIGHTS
    extra = 0

    def get_fields(self, request: HttpRequest, obj: models.Model | None = None) -> Fields:
        entered: Fields = [("name", "order"), "people"]
        top = entered if self.has_change_permission(request) else ["name", "people_shown"]
        return [*top, ("starts_on", "handover_at"), "turn_days", ("daily_from", "daily_until")]

    def get_readonly_fields(self, request: HttpRequest, obj: models.Model | None = None) -> list[str]:
        return [] if self.has_change_permission(request) else ["people_shown"]

    @admin.display(description="People in turn")
    def people_shown(self, row: Rotation) -> str:
        return ", ".join(turn.person.name for turn in row.turns.all())

    def get_queryset(self, request: HttpRequest) -> QuerySet[Rotation]:
        return Rotation.objects.prefetch_related("turns__person").order_by("position", "pk")


@admin.register(Rota)
class RotaAdmin(CatalogueAdmin):
    form = RotaForm
    list_display = ("team", "on_call_now", "time_zone", "rotations_shown")
    search_fields = ("team__name", "team__slug")
    inlines = (RotationInline,)
    readonly_fields = ("on_call_now", "comes")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Rota]:
        return selectors_oncall.rotas_with_turns().select_related("team")

    def get_readonly_fields(self, request: HttpRequest, obj: models.Model | None = None) -> list[str]:
        return ["team", *self.readonly_fields] if obj else []

    def get_fieldsets(  # type: ignore[override]
        self, request: HttpRequest, obj: models.Model | None = None
    ) -> Fieldsets:
        plan: Fieldsets = [(None, {"fields": ("team", "time_zone")})]
        return [("Now and the next 14 days", {"fields": ("on_call_now", "comes")}), *plan] if obj else plan

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """The list, with who is on call for all of its teams asked in one go."""
        found = super().get_changelist_instance(request)
        rows = cast(QuerySet[Rota], found.result_list)
        teams = [row.team_id for row in rows]
        request.on_call = selectors_oncall.on_call(teams, at=timezone.now())  # type: ignore[attr-defined]
        for row in rows:
            row.on_call = request.on_call[row.team_id]  # type: ignore[attr-defined]
        return found

    @admin.display(description="On call now")
    def on_call_now(self, row: Rota) -> SafeString:
        found = getattr(row, "on_call", None)
        if found is None:
            found = selectors_oncall.on_call([row.team_id], at=timezone.now())[row.team_id]
        return who_words(found)

    @admin.display(description="Turns")
    def comes(self, row: Rota) -> SafeString:
        start = timezone.now()
        return shifts_table(selectors_oncall.shifts(row.team, start=start, end=start + SHOWN_AHEAD), zone=row.time_zone)

    @admin.display(description="Rotations")
    def rotations_shown(self, row: Rota) -> str:
        return ", ".join(rotation.name for rotation in row.rotations.all()) or "none: the whole team"

    def save_related(self, request: HttpRequest, form: Form, formsets: list[FormSet], change: bool) -> None:
        given = [rows for formset in formsets for rows in formset.cleaned_data if rows and not rows.get("DELETE")]
        given.sort(key=lambda rows: rows.get("order") or 99)
        row = cast(Rota, form.instance)
        saved = oncall.set_rota(
            row.team,
            time_zone=form.cleaned_data["time_zone"],
            rotations=[as_rotation(rows) for rows in given],
            by=request_actor(request),
            at=timezone.now(),
        )
        row.__dict__.update(saved.__dict__)
        for formset in formsets:  # Django's log of the admin asks for these
            formset.new_objects, formset.changed_objects, formset.deleted_objects = [], [], []


@admin.register(OnCallOverride)
class OnCallOverrideAdmin(CatalogueAdmin):
    """Added and ended; what was is changed by nobody."""

    form = OverrideForm
    rights: ClassVar = {"view": "catalogue.view", "add": "catalogue.override", "delete": "catalogue.change"}
    list_display = ("team", "person", "starts_at", "ends_at", "reason")
    list_filter = ("team",)
    fields = ("team", "person", "starts_at", "ends_at", "reason")
    actions = ("end_now",)
    date_hierarchy = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[OnCallOverride]:
        return OnCallOverride.objects.select_related("team", "person").order_by("-starts_at", "-pk")

    def save_related(self, request: HttpRequest, form: Form, formsets: list[FormSet], change: bool) -> None:
        values = dict(form.cleaned_data)
        saved = oncall.add_override(values.pop("team"), **values, by=request_actor(request), at=timezone.now())
        form.instance.__dict__.update(saved.__dict__)

    @admin.action(description="End the selected overrides now", permissions=["add"])
    def end_now(self, request: HttpRequest, rows: QuerySet[OnCallOverride]) -> None:
        by, at, ended, late = request_actor(request), timezone.now(), 0, 0
        for row in rows:
            try:
                oncall.end_override(row, by=by, at=at)
                ended += 1
            except (oncall.AlreadyOver, services.Overtaken):
                late += 1
        self.message_user(request, f"Ended {ended} of {ended + late}; the others were over already.")


def team_on_call(team: Team, *, at: datetime) -> SafeString:
    """Who is on call for a team, for its own page."""
    return who_words(selectors_oncall.on_call([team.pk], at=at)[team.pk])


def who_words(found: selectors_oncall.OnCall) -> SafeString:
    """The names, and why it is them."""
    names = ", ".join(person.name for person in found.people) or "nobody"
    return format_html('<strong>{}</strong> <span class="so-aside">{}</span>', names, found.because)


def shifts_table(shifts: Sequence[selectors_oncall.Shift], *, zone: str) -> SafeString:
    """Turns from now on, a line each, by the clock of the rota's zone; on a phone one below the other."""
    rows = format_html_join(
        "",
        '<tr><td data-label="From">{}</td><th scope="row" data-label="On call">{}</th>'
        '<td data-label="Because">{}</td></tr>',
        (
            (
                rota.words(shift.starts_at, zone),
                ", ".join(person.name for person in shift.people) or "nobody",
                shift.because,
            )
            for shift in shifts
        ),
    )
    return format_html(
        '<div class="so so-table-wrap so-shifts" tabindex="0"><table class="so-table"><thead><tr>'
        '<th scope="col">From</th><th scope="col">On call</th><th scope="col">Because</th></tr></thead>'
        "<tbody>{}</tbody></table></div>",
        rows,
    )
