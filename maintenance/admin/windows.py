"""Windows in the admin: the list, the calendar, the form, and the page of one."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import ClassVar, cast

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import NON_FIELD_ERRORS, PermissionDenied
from django.db import models
from django.db.models import QuerySet
from django.db.models.expressions import OrderBy
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from catalogue.models import Membership, Service, Subscription
from catalogue.rules import SubscriptionState
from maintenance import plans, records, selectors
from maintenance.admin import acts, states
from maintenance.admin.calendar import calendar_page, zone_of
from maintenance.admin.forms import UpdateForm, WindowForm, form_errors
from maintenance.admin.timeline import timeline, told, who_did
from maintenance.models import Window, WrongState
from maintenance.rules import OPEN, NoticeKind, Status, Type
from maintenance.services import notices, scheduling
from maintenance.services.running import NotYet
from maintenance.services.scheduling import BadWindow, Conflicts
from sysops.access.requests import request_actor
from sysops.access.rights import has_right
from sysops.kernel.words import utc_words
from sysops.pages import show
from sysops.pages.acts import Act, LiveAdmin, posted, told_in

REFUSALS = (BadWindow, Conflicts, WrongState, NotYet)


@admin.register(Window)
class WindowAdmin(LiveAdmin):
    """Maintenance windows: changed by services only."""

    rights: ClassVar = {"view": acts.VIEW, "add": acts.MANAGE}
    refusals = REFUSALS
    acts = acts.WINDOW_ACTS
    next_acts = ("start", "complete", "update")
    page = "maintenance/window.html"
    body = "maintenance/window_body.html"
    list_display = ("title_shown", "state_shown", "type_shown", "on", "starts", "lasts", "ended")
    list_display_links = ("title_shown",)
    list_filter = ("status", "maintenance_type")
    search_fields = ("=id", "title", "affected__service__slug", "affected__service__name", "created_by")
    search_help_text = "Number, title, service, who scheduled it"
    actions = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[Window]:
        return selectors.for_lists()

    def get_ordering(self, request: HttpRequest) -> list[OrderBy]:  # type: ignore[override]
        return selectors.what_matters_first(at=timezone.now())

    def has_add_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return self.may(request, "add")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("calendar/", view(self.calendar_view), name=self._name("calendar")),
            path("<int:pk>/edit/", view(self.edit_view), name=self._name("edit")),
            *super().get_urls(),
        ]

    @admin.display(description="Window", ordering="title")
    def title_shown(self, row: Window) -> SafeString:
        return format_html('{} <small class="so-aside">#{}</small>', row.title, row.pk)

    @admin.display(description="State", ordering="status")
    def state_shown(self, row: Window) -> SafeString:
        return states.state(row, now=timezone.now())

    @admin.display(description="Type", ordering="maintenance_type")
    def type_shown(self, row: Window) -> str:
        return states.TYPE_WORDS[Type(row.maintenance_type)]

    @admin.display(description="Works on")
    def on(self, row: Window) -> str:
        names = [affected.service.name for affected in row.affected.all() if affected.direct]
        return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

    @admin.display(description="Start", ordering="scheduled_start")
    def starts(self, row: Window) -> SafeString:
        return show.when(row.actual_start or row.scheduled_start)

    @admin.display(description="Estimated", ordering="estimated_duration_seconds")
    def lasts(self, row: Window) -> SafeString:
        return show.span(row.estimated_duration_seconds)

    @admin.display(description="Took")
    def ended(self, row: Window) -> SafeString:
        return show.took(row.actual_start, row.completed_at)

    def under_way(self, row: models.Model) -> bool:
        return cast(Window, row).status in OPEN

    def told_in(self, form: forms.Form) -> AbstractContextManager[list[Exception]]:
        return told_in(form, refusals=REFUSALS, fields_of=_fields_of(form))

    def details(self, request: HttpRequest, row: models.Model) -> dict[str, object]:
        window = selectors.window(row.pk)
        now = timezone.now()
        may_manage = has_right(request.user, acts.MANAGE)
        affected, doers = list(window.affected.all()), who_did(window)
        return {
            "row": window,
            "state": states.state(window, now=now),
            "type_words": states.TYPE_WORDS[Type(window.maintenance_type)],
            "direct": [a.service for a in affected if a.direct],
            "reached": [a.service for a in affected if not a.direct],
            "overlaps": selectors.overlaps(window) if window.status in OPEN else [],
            "timeline": timeline(window, doers, now=now),
            "is_over": window.status not in OPEN,
            "end_words": utc_words(window.scheduled_end),
            "completed_by": doers.get("completed", ""),
            "told": told(window) if has_right(request.user, "notifications.view") else None,
            "not_started": window.status == Status.SCHEDULED and now >= window.scheduled_start,
            "too_late": window.status == Status.SCHEDULED and now >= window.scheduled_end,
            "settings_url": self.url_of(window, "edit") if may_manage and window.status == Status.SCHEDULED else "",
            "report_url": reverse("maintenance-report", args=[window.pk]) if window.report is not None else "",
            "now": now,
        }

    def calendar_view(self, request: HttpRequest) -> HttpResponse:
        """A month or a week of windows."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = calendar_page(request, now=timezone.now())
        add = reverse("admin:maintenance_window_add") if self.has_add_permission(request) else ""
        return self.shown(request, "maintenance/calendar.html", add_url=add, **context)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, object] | None = None
    ) -> HttpResponse:
        """Schedule a window; "check" shows what it would affect and meet, and saves nothing."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = WindowForm(posted(request), zone=zone_of(request).key)

        def save(at: datetime) -> Window:
            return scheduling.schedule(form.plan(), by=request_actor(request), at=at)

        return self._answer(request, form, save, title="Schedule a maintenance window")

    def edit_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Change or reschedule a window that has not started."""
        if not has_right(request.user, acts.MANAGE):
            raise PermissionDenied
        window = cast(Window, self.row_or_404(request, pk))
        if window.status != Status.SCHEDULED:
            messages.error(request, f"It is {window.status.replace('_', ' ')} and cannot be changed any more.")
            return HttpResponseRedirect(self.url_of(window))
        form = WindowForm(posted(request), window=window)

        def save(at: datetime) -> Window:
            plan = form.plan()
            changes: dict[str, object] = {
                name: getattr(plan, name) for name in plan.__dataclass_fields__ if name != "maintenance_type"
            }
            return scheduling.change(window, changes, by=request_actor(request), at=at)

        return self._answer(request, form, save, title=f"Change {window}", back=self.url_of(window))

    def _answer(
        self, request: HttpRequest, form: WindowForm, save: Callable[[datetime], Window], *, title: str, back: str = ""
    ) -> HttpResponse:
        """To the saved window; or the form, with what is wrong beside each field, and what it would affect."""
        valid = request.method == "POST" and form.is_valid()
        if valid and "check" not in request.POST:
            with self.told_in(form) as refused:
                window = save(timezone.now())
            if not refused:
                return self._to_saved(request, window)
        context: dict[str, object] = {"form": form, "back": back or reverse("admin:maintenance_window_calendar")}
        if valid and "check" in request.POST:
            _refuse_impossible(form, at=timezone.now())
        if valid and not set(form.errors) - {NON_FIELD_ERRORS}:
            context["check"] = _check(form)
        return self.shown(request, "maintenance/window_form.html", title=title, **context)

    def _to_saved(self, request: HttpRequest, window: Window) -> HttpResponse:
        messages.success(request, f"“{window.title}” is scheduled; everybody affected is told.")
        if met := selectors.overlaps(window):
            names = ", ".join(f"“{other.title}” (#{other.pk})" for other in met[:5])
            messages.warning(request, f"It meets {names}.")
        return HttpResponseRedirect(self.url_of(window))

    def _act(self, request: HttpRequest, pk: int, act: Act) -> HttpResponse:
        if act is not acts.UPDATE:
            return super()._act(request, pk, act)
        if "preview" in request.POST:
            return self._preview(request, pk)
        answer = super()._act(request, pk, act)
        if isinstance(answer, TemplateResponse):
            answer.template_name = "maintenance/update.html"
        return answer

    def _preview(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The update as people would read it; nothing is written."""
        if not has_right(request.user, acts.MANAGE):
            raise PermissionDenied
        window = cast(Window, self.row_or_404(request, pk))
        form = UpdateForm(posted(request), row=window)
        context: dict[str, object] = {"form": form, "original": window, "back": self.url_of(window)}
        if form.is_valid():
            facts = {"update": form.cleaned_data["message"], "author": records.author(request_actor(request))}
            context["preview"] = notices.preview(window, NoticeKind.UPDATE, facts=facts, at=timezone.now())
        return self.shown(request, "maintenance/update.html", title=f"{acts.UPDATE.verb}: {window}", **context)


def _fields_of(form: forms.Form) -> Callable[[Exception], Mapping[str, Sequence[str]]]:
    def fields_of(exc: Exception) -> Mapping[str, Sequence[str]]:
        if isinstance(exc, BadWindow):
            return form_errors(exc.problems, form.fields)
        if isinstance(exc, Conflicts):
            return {"": [str(exc)]}
        return {}

    return fields_of


def _refuse_impossible(form: WindowForm, *, at: datetime) -> None:
    """Say in the form what saving would refuse."""
    for name, texts in form_errors(plans.problems(form.plan(), at=at), form.fields).items():
        for text in texts:
            form.add_error(name or None, text)


def _check(form: WindowForm) -> dict[str, object]:
    """What a window as entered would affect and meet. Nothing is written."""
    plan = form.plan()
    start = plan.start or timezone.now()
    reached = selectors.reach(plan.services)
    met = selectors.conflicts(
        direct=[service.pk for service in plan.services],
        reached=[service.pk for service in reached],
        start=start,
        end=start + max(plan.duration, timedelta(minutes=1)),
        but=form.window.pk if form.window else None,
    )
    return {
        "start": start,
        "end": start + plan.duration,
        "direct": plan.services,
        "reached": reached,
        "met": met,
        "refused": bool(met) and plan.maintenance_type is not Type.EMERGENCY,
        "subscribers": _subscribers([*plan.services, *reached]),
        "people": _owners([*plan.services, *reached]),
    }


def _subscribers(services: Sequence[Service]) -> int:
    confirmed = Subscription.objects.filter(service__in=services, state=SubscriptionState.CONFIRMED.value)
    return confirmed.order_by().values("person", "email").distinct().count()


def _owners(services: Sequence[Service]) -> int:
    teams = {service.owner_team_id for service in services if service.owner_team_id}
    return Membership.objects.filter(team__in=teams).order_by().values("person").distinct().count()
