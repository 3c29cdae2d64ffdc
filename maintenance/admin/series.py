"""Series in the admin: the list, the form with the dates it makes, and the page of one with each occurrence."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import ClassVar, cast

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import Min, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html
from django.utils.safestring import SafeString

from maintenance import recurrence, series_plans
from maintenance.admin import acts, states
from maintenance.admin.calendar import zone_of
from maintenance.admin.forms import EndSeriesForm, SeriesForm, form_errors
from maintenance.models import Series, SeriesNote, Window, WrongState
from maintenance.rules import Status
from maintenance.services import series as services
from maintenance.services.series import BadSeries
from sysops.access.actors import Actor
from sysops.access.requests import request_actor
from sysops.access.rights import has_right
from sysops.pages import show
from sysops.pages.acts import Act, ActingAdmin, Done, posted, told_in

REFUSALS = (BadSeries, WrongState)
SHOWN = 40
PREVIEWED = 6


def _end(row: models.Model, given: Mapping[str, object], by: Actor, at: datetime) -> Done:
    count = services.end_series(cast(Series, row), cancel_scheduled=bool(given["cancel_future"]), by=by, at=at)
    return Done(f"{row} has ended; {count} scheduled {'window is' if count == 1 else 'windows are'} cancelled.")


END = Act(
    "end",
    "End the series…",
    acts.MANAGE,
    _end,
    lambda row: ("No more windows are made. What took place stays on record, what is being worked on goes on.",),
    lambda row: cast(Series, row).ended_at is None,
    EndSeriesForm,
    icon="event_busy",
    tone="danger",
)


@admin.register(Series)
class SeriesAdmin(ActingAdmin):
    """Recurring maintenance: changed by services only."""

    rights: ClassVar = {"view": acts.VIEW, "add": acts.MANAGE}
    refusals = REFUSALS
    acts = (END,)
    page = "maintenance/series.html"
    list_display = ("title", "state_shown", "rule_shown", "next_shown", "created_by")
    list_display_links = ("title",)
    search_fields = ("slug", "title", "services__slug", "services__name")
    ordering = ("-created_at", "-pk")
    actions = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[Series]:
        to_come = Q(windows__status=Status.SCHEDULED.value, windows__scheduled_start__gt=timezone.now())
        return Series.objects.annotate(next_start=Min("windows__scheduled_start", filter=to_come))

    def has_add_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return self.may(request, "add")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("<int:pk>/edit/", view(self.edit_view), name=self._name("edit")),
            path("<int:pk>/skip/", view(self.skip_view), name=self._name("skip")),
            *super().get_urls(),
        ]

    @admin.display(description="State")
    def state_shown(self, row: Series) -> SafeString:
        return show.pill("off", "Ended") if row.ended_at else show.pill("good", "Goes on")

    @admin.display(description="Repeats")
    def rule_shown(self, row: Series) -> SafeString:
        return format_html("{} <small class='so-aside'>{}</small>", recurrence.words(row.rule), row.time_zone)

    @admin.display(description="Next", ordering="next_start")
    def next_shown(self, row: Series) -> SafeString:
        return show.when(row.next_start)  # type: ignore[attr-defined]

    def told_in(self, form: forms.Form) -> AbstractContextManager[list[Exception]]:
        def fields_of(exc: Exception) -> Mapping[str, Sequence[str]]:
            return form_errors(exc.problems, form.fields) if isinstance(exc, BadSeries) else {}

        return told_in(form, refusals=REFUSALS, fields_of=fields_of)

    def details(self, request: HttpRequest, row: models.Model) -> dict[str, object]:
        series, now = cast(Series, row), timezone.now()
        may_manage = has_right(request.user, acts.MANAGE) and series.ended_at is None
        windows = Window.objects.filter(series=series)
        coming = windows.filter(scheduled_end__gte=now).order_by("scheduled_start", "pk")[:SHOWN]
        past = windows.filter(scheduled_end__lt=now).order_by("-scheduled_start", "-pk")[:SHOWN]
        return {
            "words": series_plans.in_words(series_plans.of(series)),
            "services": series.services.order_by("name", "pk"),
            "coming": [states.shown(window, now=now) for window in coming],
            "past": [states.shown(window, now=now) for window in past],
            "notes": SeriesNote.objects.filter(series=series, occurrence__gte=now).order_by("occurrence", "pk")[:SHOWN],
            "settings_url": self.url_of(series, "edit") if may_manage else "",
            "skip_url": self.url_of(series, "skip") if may_manage else "",
        }

    def skip_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Have one occurrence not take place."""
        if not has_right(request.user, acts.MANAGE) or request.method != "POST":
            raise PermissionDenied
        series = cast(Series, self.row_or_404(request, pk))
        occurrence = _moment(request.POST.get("occurrence", ""))
        try:
            if occurrence is None:
                raise BadSeries({"occurrence": "Choose an occurrence of the list."})
            services.skip(series, occurrence, by=request_actor(request), at=timezone.now())
        except BadSeries as exc:
            messages.error(request, " ".join(exc.problems.values()))
        except WrongState as exc:
            messages.error(request, str(exc))
        else:
            messages.success(request, f"The occurrence of {occurrence:%Y-%m-%d %H:%M} UTC is skipped.")
        return HttpResponseRedirect(self.url_of(series))

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, object] | None = None
    ) -> HttpResponse:
        """Start a series; "check" shows the dates it makes, and saves nothing."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = SeriesForm(posted(request), zone=zone_of(request).key)

        def save(at: datetime) -> Series:
            return services.create_series(form.series_plan(), by=request_actor(request), at=at)

        return self._answer(request, form, save, title="Start a series of windows")

    def edit_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Change a series and its windows to come."""
        if not has_right(request.user, acts.MANAGE):
            raise PermissionDenied
        series = cast(Series, self.row_or_404(request, pk))
        form = SeriesForm(posted(request), series=series)

        def save(at: datetime) -> Series:
            plan = form.series_plan()
            changes: dict[str, object] = {name: getattr(plan, name) for name in series_plans.FIELDS}
            return services.change_series(series, changes, by=request_actor(request), at=at)

        return self._answer(request, form, save, title=f"Change {series}", back=self.url_of(series))

    def _answer(
        self, request: HttpRequest, form: SeriesForm, save: Callable[[datetime], Series], *, title: str, back: str = ""
    ) -> HttpResponse:
        valid = request.method == "POST" and form.is_valid()
        checking = "check" in request.POST
        if valid and not checking:
            with self.told_in(form) as refused:
                series = save(timezone.now())
            if not refused:
                messages.success(request, f"“{series.title}” is saved; its windows of the next 60 days are made.")
                return HttpResponseRedirect(self.url_of(series))
        context: dict[str, object] = {"form": form, "back": back or reverse("admin:maintenance_series_changelist")}
        if valid and checking:
            context["dates"] = _dates(form)
        return self.shown(request, "maintenance/series_form.html", title=title, **context)


def _moment(text: str) -> datetime | None:
    """The time with its offset, or None where the text is none."""
    try:
        found = parse_datetime(text)
    except ValueError:
        return None
    return found if found and found.utcoffset() is not None else None


def _dates(form: SeriesForm) -> dict[str, object] | None:
    """The rule in words and the next occurrences; what is wrong goes into the form."""
    plan, now = form.series_plan(), timezone.now()
    problems = series_plans.times_problems(plan, at=now)
    for name, texts in form_errors(problems, form.fields).items():
        for text in texts:
            form.add_error(name or None, text)
    if problems:
        return None
    zone = series_plans.zone_of(plan)
    coming = series_plans.coming(plan, after=now, most=PREVIEWED)
    rows = [
        (f"{each.start.astimezone(zone):%a %-d %b %Y, %H:%M}–{each.end.astimezone(zone):%H:%M %Z}", each.note)
        for each in coming
    ]
    return {"words": series_plans.in_words(plan), "rows": rows}
