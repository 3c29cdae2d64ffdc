"""Error projects in the admin: how to report to them, their keys, and what became of all they sent."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, cast

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import Count, Max, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from errors import looks, selectors
from errors.admin import charts
from errors.admin.base import CONFIGURE, CONFIGURED, ActingAdmin
from errors.admin.filters import OPEN
from errors.admin.project_forms import AddKeyForm, DeleteForm, KeyForm, ProjectForm
from errors.models import Issue, Key, OutcomeCount, Project, Undigestible, WrongState
from errors.rules import Outcome
from errors.services import projects
from sysops.access.actors import Actor
from sysops.access.requests import request_actor
from sysops.access.rights import has_right
from sysops.pages import show
from sysops.pages.acts import Act, Done, posted

WEEK, DAY = timedelta(days=7), timedelta(days=1)
LATEST = 10  # of each list on the page; the API has them all
LOST = (Outcome.RATE_LIMITED, Outcome.INVALID, Outcome.TOO_LARGE, Outcome.UNDIGESTIBLE)
REFUSALS = (WrongState, projects.NotToDelete, projects.Overtaken)
Given = Mapping[str, object]


@dataclass(frozen=True)
class Told:
    """How to report with a key, ready to be copied."""

    dsn: str
    snippets: tuple[tuple[str, str], ...]


def told(key: Key, *, environment: str) -> Told:
    """The key's DSN and what to write where."""
    dsn = projects.dsn(key)
    quoted, env = json.dumps(dsn), json.dumps(environment or "production")
    python = (
        "import sentry_sdk\n\nsentry_sdk.init(\n"
        f'    dsn={quoted},\n    release="my-app@1.0.0",\n    environment={env},\n)\n'
    )
    script = (
        '// In a web page: "@sentry/browser"\nimport * as Sentry from "@sentry/node";\n\nSentry.init({\n'
        f'  dsn: {quoted},\n  release: "my-app@1.0.0",\n  environment: {env},\n}});\n'
    )
    return Told(dsn, (("Python", python), ("JavaScript", script)))


def _add_key(row: models.Model, given: Given, by: Actor, at: datetime) -> Done:
    key = projects.add_key(
        cast(Project, row),
        by=by,
        at=at,
        label=str(given["label"]),
        quota_per_minute=cast(int | None, given["quota_per_minute"]),
    )
    return Done(f"The key {key.label or key.public[:8]} is added. Its DSN is below.")


def _delete(row: models.Model, given: Given, by: Actor, at: datetime) -> Done:
    projects.delete_project(cast(Project, row), by=by, at=at)
    return Done(f"{row} is deleted; its events are being removed.", reverse("admin:errors_project_changelist"))


ADD_KEY = Act(
    "add-key",
    "Add a key…",
    CONFIGURE,
    _add_key,
    lambda row: ("A new DSN, beside those there are. What uses the others goes on.",),
    form=AddKeyForm,
    icon="key",
)
DELETE = Act(
    "remove",
    "Delete…",
    CONFIGURE,
    _delete,
    lambda row: (
        "Nothing it sends is taken from then on, and nobody sees it any more.",
        "All its issues, events, comments and keys are removed. Nothing brings them back.",
    ),
    form=DeleteForm,
    icon="delete",
    tone="danger",
)


@admin.register(Project)
class ProjectAdmin(ActingAdmin):
    """What reports errors: changed by services only."""

    rights: ClassVar = CONFIGURED
    refusals: ClassVar = REFUSALS
    acts: ClassVar = (ADD_KEY, DELETE)
    page = "errors/project.html"
    list_display = ("shown_name", "of", "in_environment", "open_issues", "latest", "stands")
    list_display_links = ("shown_name",)
    list_filter = ("enabled", "restricted")
    search_fields = ("slug", "name")
    search_help_text = "Name or slug"
    actions = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[Project]:
        rows = selectors.visible_projects(request.user).select_related("service", "environment")
        mine = Issue.objects.filter(project=OuterRef("pk")).order_by().values("project")
        waiting = mine.filter(OPEN).annotate(n=Count("pk")).values("n")
        seen = mine.annotate(at=Max("last_seen")).values("at")
        return rows.annotate(waiting=Coalesce(Subquery(waiting), 0), seen_at=Subquery(seen)).order_by("name", "pk")

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        return ("name", "pk")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("<int:pk>/edit/", view(self.edit_view), name=self._name("edit")),
            path("<int:pk>/keys/<int:key>/", view(self.key_view), name=self._name("key")),
            *super().get_urls(),
        ]

    def has_add_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return self.may(request, "add")

    @admin.display(description="Project", ordering="name")
    def shown_name(self, row: Project) -> SafeString:
        return format_html('{} <small class="so-aside">{}</small>', row.name, row.slug)

    @admin.display(description="Service", ordering="service__name")
    def of(self, row: Project) -> str | SafeString:
        return row.service.name if row.service else show.NOTHING

    @admin.display(description="Environment", ordering="environment__name")
    def in_environment(self, row: Project) -> str | SafeString:
        return row.environment.name if row.environment else show.NOTHING

    @admin.display(description="Open issues", ordering="waiting")
    def open_issues(self, row: Project) -> SafeString:
        url = f"{reverse('admin:errors_issue_changelist')}?project__id__exact={row.pk}"
        return format_html('<a class="so-link" href="{}">{}</a>', url, f"{row.waiting:,}")  # type: ignore[attr-defined]

    @admin.display(description="Last event", ordering="seen_at")
    def latest(self, row: Project) -> SafeString:
        return show.when(row.seen_at) if row.seen_at else show.pill("off", "None yet")  # type: ignore[attr-defined]

    @admin.display(description="State", ordering="enabled")
    def stands(self, row: Project) -> SafeString:
        return state(row)

    def details(self, request: HttpRequest, row: models.Model) -> dict[str, object]:
        project, now = cast(Project, row), timezone.now()
        may_change = has_right(request.user, CONFIGURE)
        keys = list(project.keys.order_by("-enabled", "pk"))
        usable = next((key for key in keys if key.enabled), None)
        environment = project.environment.slug if project.environment else ""
        return {
            "state": state(project),
            "usable": usable is not None,
            # What reports are sent with is shown to whom the API shows it.
            "keys": [(key, projects.dsn(key), self._key_url(key)) for key in keys] if may_change else None,
            "told": told(usable, environment=environment) if usable and may_change else None,
            "settings_url": self.url_of(project, "edit") if may_change else "",
            "issues_url": f"{reverse('admin:errors_issue_changelist')}?project__id__exact={project.pk}",
            "undigestible": Undigestible.objects.filter(project=project).count(),
            "undigestible_url": f"{reverse('admin:errors_undigestible_changelist')}?project__id__exact={project.pk}",
            "readers": [*project.readers.order_by("username"), *project.reader_tokens.order_by("name")],
            "check_ins": project.check_ins.order_by("-received_at", "-pk")[:LATEST],
            "sessions": project.sessions.order_by("-hour", "-pk")[:LATEST],
            "feedback": project.feedback.order_by("-received_at", "-pk")[:LATEST],
            "releases": project.releases.order_by("-first_seen", "-pk")[:LATEST],
            **outcomes(project, now=now),
        }

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, object] | None = None
    ) -> HttpResponse:
        """A new project, with its first key."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = ProjectForm(posted(request))
        if request.method == "POST" and form.is_valid():
            with self.told_in(form) as refused:
                project = projects.create_project(by=request_actor(request), at=timezone.now(), **form.cleaned_data)
            if not refused:
                messages.success(request, f"{project} is ready. Set its DSN in your application.")
                return HttpResponseRedirect(self.url_of(project))
        return self._form(request, form, title="Add an error project", back=reverse("admin:errors_project_changelist"))

    def edit_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Change what can be changed of a project."""
        if not has_right(request.user, CONFIGURE):
            raise PermissionDenied
        project = cast(Project, self.row_or_404(request, pk))
        form = ProjectForm(posted(request), project=project)
        if request.method == "POST" and form.is_valid():
            with self.told_in(form) as refused:
                projects.change_project(project, form.cleaned_data, by=request_actor(request), at=timezone.now())
            if not refused:
                messages.success(request, f"{project} is saved.")
                return HttpResponseRedirect(self.url_of(project))
        return self._form(request, form, title=f"Change {project}", back=self.url_of(project))

    def key_view(self, request: HttpRequest, pk: int, key: int) -> HttpResponse:
        """Change what a key is called, whether it is taken, and how much may come with it."""
        if not has_right(request.user, CONFIGURE):
            raise PermissionDenied
        project = self.row_or_404(request, pk)
        row = Key.objects.filter(pk=key, project=project.pk).first()
        if row is None:
            raise Http404("There is no such key")
        form = KeyForm(posted(request), key=row)
        if request.method == "POST" and form.is_valid():
            with self.told_in(form) as refused:
                projects.change_key(row, form.cleaned_data, by=request_actor(request), at=timezone.now())
            if not refused:
                messages.success(request, f"The key {row.label or row.public[:8]} is saved.")
                return HttpResponseRedirect(self.url_of(project))
        return self._form(request, form, title=f"Change the key {row.public}", back=self.url_of(project))

    def _form(self, request: HttpRequest, form: object, *, title: str, back: str) -> HttpResponse:
        return self.shown(request, "errors/form.html", title=title, form=form, back=back, may_change=True)

    def _key_url(self, key: Key) -> str:
        return reverse("admin:errors_project_key", args=[key.project_id, key.pk])


def state(project: Project) -> SafeString:
    if not project.enabled:
        return show.pill("off", "Switched off")
    return show.pill("warn", "Restricted") if project.restricted else show.pill("good", "Takes reports")


def outcomes(project: Project, *, now: datetime) -> dict[str, object]:
    """What became of all that was sent in a week, and how much of it was lost. Two queries."""
    rows = OutcomeCount.objects.filter(project=project, hour__gt=now - WEEK).order_by()
    day = Coalesce(Sum("quantity", filter=Q(hour__gt=now - DAY)), 0)
    found = rows.values("category", "outcome", "reason").annotate(week=Sum("quantity"), day=day)
    listed = sorted(found, key=lambda row: (row["outcome"] not in LOST, -row["week"], row["category"], row["reason"]))
    span = charts.span_of("week")
    stored, lost = _hourly(rows, hours=span.hours, now=now)
    return {
        "outcomes": [{**row, "pill": _outcome(row["outcome"])} for row in listed],
        "stored_chart": charts.chart(stored, span, now=now, what="report"),
        "stored_words": charts.chart_words(charts.per_bar(stored, span), span, now=now, what="stored report"),
        "lost_chart": charts.chart(lost, span, now=now, what="report") if any(lost) else "",
        "lost_words": charts.chart_words(charts.per_bar(lost, span), span, now=now, what="lost report"),
    }


def _hourly(rows: QuerySet[OutcomeCount], *, hours: int, now: datetime) -> tuple[list[int], list[int]]:
    last = now.replace(minute=0, second=0, microsecond=0)
    stored, lost = [0] * hours, [0] * hours
    errors = rows.filter(category="error").values_list("hour", "outcome").annotate(Sum("quantity"))
    for hour, outcome, quantity in errors:
        place = hours - 1 - int((last - hour).total_seconds() // 3600)
        if 0 <= place < hours:
            if outcome == Outcome.ACCEPTED:
                stored[place] += quantity
            elif outcome in LOST:
                lost[place] += quantity
    return stored, lost


def _outcome(value: str) -> SafeString:
    known: Sequence[str] = [outcome.value for outcome in Outcome]
    return show.pill(*looks.OUTCOMES[Outcome(value)]) if value in known else show.pill("off", value)
