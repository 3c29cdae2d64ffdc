"""Issues in the admin: the list, what may be done to many of them, and the page of one."""

import json
from collections.abc import Callable, Sequence
from typing import ClassVar, cast
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import Case, IntegerField, QuerySet, Value, When
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from errors import looks, search, selectors
from errors.admin import acts, charts, downloads, filters, together
from errors.admin.base import MANAGE, REFUSALS, VIEW, ActingAdmin
from errors.admin.filters import said_once
from errors.admin.page import issue_page
from errors.finding import is_overdue
from errors.models import Attachment, Event, Issue
from errors.rules import SEVERITIES, Status
from errors.services import issues, merging
from errors.services.issues import IssueGone
from sysops.access.requests import request_actor
from sysops.access.rights import has_right
from sysops.pages import show
from sysops.pages.acts import Column, for_each
from sysops.pages.paging import PartByPart

HOURS = 24
MOST_AT_ONCE = 500
STEPS = (acts.ACKNOWLEDGE, acts.RESOLVE, acts.REOPEN)  # offered in the list
ALL_REFUSALS = (*REFUSALS, IssueGone, merging.CannotMerge)


@admin.register(Issue)
class IssueAdmin(ActingAdmin):
    """Issues: found by the digest, changed by people through services."""

    rights: ClassVar = {"view": VIEW}
    refusals: ClassVar = ALL_REFUSALS
    acts: ClassVar = (*acts.FIRST, *acts.ASIDE)
    page = "errors/issue.html"
    list_display = ("what", "how_bad", "trend", "how_often", "last", "who", "stands")
    list_display_links = None
    list_filter = (
        filters.ByWhat,
        filters.BySeverity,
        filters.ByLastSeen,
        ("project", filters.ByRelated),
        ("service", filters.ByRelated),
        ("assignee", filters.ByRelated),
    )
    list_before_template = "errors/chips.html"
    search_fields = ("error_message",)  # only so that there is a box; what it asks is errors.search
    search_help_text = 'Words, "a text", severity:high, any tag:value, !not:this'
    list_per_page = 25
    paginator = PartByPart
    actions = ("acknowledge_them", "resolve_them", "assign_them", "ignore_them", "merge_them")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Issue]:
        return selectors.visible_issues(request.user)

    def get_ordering(self, request: HttpRequest) -> tuple[object, ...]:  # type: ignore[override]
        """Overdue first, then what is open, the worst of each first, then the latest."""
        stands = [When(is_overdue(now=timezone.now()), then=Value(0))]
        stands += [When(status=status.value, then=Value(i + 1)) for i, status in enumerate(Status)]
        bad = [When(severity=severity.value, then=Value(i)) for i, severity in enumerate(SEVERITIES)]
        whole = IntegerField()
        return (Case(*stands, output_field=whole), Case(*bad, output_field=whole), "-last_seen", "-pk")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Issue], search_term: str
    ) -> tuple[QuerySet[Issue], bool]:
        """The same questions as the API's `q`; what cannot be meant finds nothing and says why."""
        try:
            query = search.parse(search_term)
            seen = selectors.visible_projects(request.user)
            return selectors.search_issues(queryset, query, now=timezone.now(), projects=seen), False
        except search.BadQuery as exc:
            said_once(request, f"The search cannot be understood. {exc}")
            return queryset.none(), False

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("together/<slug:name>/", view(self.together_view), name=self._name("together")),
            path("<int:pk>/files/<int:file>/", view(self.file_view), name=self._name("file")),
            path("<int:pk>/events/<uuid:event_id>/json/", view(self.json_view), name=self._name("event_json")),
            *super().get_urls(),
        ]

    # The list

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, object] | None = None) -> HttpResponse:
        counts = filters.counts(selectors.visible_issues(request.user), request, now=timezone.now())
        chosen, address = filters.chosen_way(request), reverse("admin:errors_issue_changelist")
        chips = [
            (words, counts[key], f"{address}?what={key}", key == chosen, key == "overdue" and counts[key] > 0)
            for key, words in filters.WAYS.items()
        ]
        answer: HttpResponse = super().changelist_view(request, {**(extra_context or {}), "chips": chips})
        return answer

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """The list with the trend of each of its rows, read at once."""
        shown: ChangeList = super().get_changelist_instance(request)
        rows: list[Issue] = list(shown.result_list)
        trends = selectors.trend(rows, hours=HOURS, now=timezone.now())
        for row in rows:
            row.hourly = trends[row.pk]  # type: ignore[attr-defined]
        shown.result_list = rows
        return shown

    def get_list_display(self, request: HttpRequest) -> Sequence[str | Column]:
        columns = super().get_list_display(request)
        return [*columns, _next_step(self, request)] if has_right(request.user, MANAGE) else columns

    @admin.display(description="Issue", ordering="error_type")
    def what(self, row: Issue) -> SafeString:
        where = " · ".join(part for part in (looks.plain(row.culprit), row.project.name, f"#{row.pk}") if part)
        return format_html(
            '<a class="so-issue-what" href="{}"><b>{}</b><span class="so-issue-text" dir="auto">{}</span>'
            "<small>{}</small></a>",
            self.url_of(row),
            looks.plain(row.error_type),
            looks.plain(row.error_message)[:300],
            where,
        )

    @admin.display(description="Severity", ordering="respond_by")
    def how_bad(self, row: Issue) -> SafeString:
        waits = looks.sla(row, now=timezone.now()) if looks.waits(row) else ""
        return format_html('<span class="so-two">{}{}</span>', looks.severity(row.severity), waits)

    @admin.display(description=f"Last {HOURS} h")
    def trend(self, row: Issue) -> SafeString:
        return charts.sparkline(row.hourly)  # type: ignore[attr-defined]

    @admin.display(description="Events", ordering="event_count")
    def how_often(self, row: Issue) -> SafeString:
        many = "" if row.affected_accounts == 1 else "s"
        said = format_html('<span class="so-aside so-figure">{} account{}</span>', looks.accounts(row), many)
        return format_html(
            '<span class="so-two"><span class="so-figure">{}{}</span>{}</span>',
            f"{row.event_count:,}",
            format_html('<span class="so-narrow-only"> event{}</span>', "" if row.event_count == 1 else "s"),
            said if row.affected_accounts else "",
        )

    @admin.display(description="Last seen", ordering="last_seen")
    def last(self, row: Issue) -> SafeString:
        return looks.ago(row.last_seen, now=timezone.now())

    @admin.display(description="Assignee", ordering="assignee__name")
    def who(self, row: Issue) -> SafeString | str:
        return row.assignee.name if row.assignee else show.NOTHING

    @admin.display(description="Status", ordering="status")
    def stands(self, row: Issue) -> SafeString:
        return looks.status(row)

    # What may be done to many

    def has_manage_permission(self, request: HttpRequest) -> bool:
        """What the actions below ask for."""
        return has_right(request.user, MANAGE)

    @admin.action(description="Acknowledge", permissions=["manage"])
    def acknowledge_them(self, request: HttpRequest, rows: QuerySet[Issue]) -> None:
        by, at = request_actor(request), timezone.now()
        for_each(
            request,
            list(rows[:MOST_AT_ONCE]),
            lambda row: issues.acknowledge(cast(Issue, row), by=by, at=at),
            done="Acknowledged",
            refusals=self.refusals,
        )

    @admin.action(description="Resolve…", permissions=["manage"])
    def resolve_them(self, request: HttpRequest, rows: QuerySet[Issue]) -> HttpResponse:
        return self._to_together(request, rows, "resolve")

    @admin.action(description="Assign…", permissions=["manage"])
    def assign_them(self, request: HttpRequest, rows: QuerySet[Issue]) -> HttpResponse:
        return self._to_together(request, rows, "assign")

    @admin.action(description="Ignore…", permissions=["manage"])
    def ignore_them(self, request: HttpRequest, rows: QuerySet[Issue]) -> HttpResponse:
        return self._to_together(request, rows, "ignore")

    @admin.action(description="Merge…", permissions=["manage"])
    def merge_them(self, request: HttpRequest, rows: QuerySet[Issue]) -> HttpResponse:
        return self._to_together(request, rows, "merge")

    def _to_together(self, request: HttpRequest, rows: QuerySet[Issue], name: str) -> HttpResponse:
        """To the page that asks for the rest."""
        keys = sorted(rows.values_list("pk", flat=True)[: together.MOST + 1])
        if len(keys) > together.MOST:
            messages.error(request, f"At most {together.MOST} at a time: choose fewer.")
            return HttpResponseRedirect(request.get_full_path())
        query = urlencode({"ids": ",".join(map(str, keys))})
        return HttpResponseRedirect(f"{reverse('admin:errors_issue_together', args=[name])}?{query}")

    def together_view(self, request: HttpRequest, name: str) -> HttpResponse:
        """What will happen to these issues, what is asked for, and then the doing."""
        if not has_right(request.user, MANAGE):
            raise PermissionDenied
        if name not in together.NAMES:
            raise Http404
        return together.answer(self, request, name)

    # The page of one

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, object] | None = None
    ) -> HttpResponse:
        """Everything about an issue; of one that was merged, to what it is part of now."""
        try:
            return super().change_view(request, object_id, form_url, extra_context)
        except Http404:
            target = self._merged_into(request, object_id)
            if target is None:
                raise
            messages.info(request, f"Issue {object_id} is part of this one now.")
            return HttpResponseRedirect(self.url_of(target))

    def _merged_into(self, request: HttpRequest, object_id: str) -> Issue | None:
        if not (object_id.isascii() and object_id.isdigit() and len(object_id) <= 15):
            return None
        target = merging.merged_into(int(object_id))
        return None if target is None else self.get_queryset(request).filter(pk=target).first()

    def details(self, request: HttpRequest, row: models.Model) -> dict[str, object]:
        issue = cast(Issue, row)
        buttons = {button.name: button for button in self.buttons(request, issue)}
        urls = {act.name.replace("-", "_"): buttons[act.name].url for act in acts.ASIDE if act.name in buttons}
        return {
            "buttons": [buttons[act.name] for act in acts.FIRST if act.name in buttons],
            "aside": urls,
            "comment_url": urls.get("comment", ""),
            **issue_page(request, issue, now=timezone.now()),
        }

    def file_view(self, request: HttpRequest, pk: int, file: int) -> HttpResponse:
        """A file that came with one of the issue's events, as a download and nothing else."""
        issue = self._seen(request, pk)
        found = Attachment.objects.filter(pk=file, project=issue.project_id).first()
        if found is None or not _has_event(issue, found.event_id):
            raise Http404("There is no such file")
        return downloads.download(bytes(found.body), name=found.filename)

    def json_view(self, request: HttpRequest, pk: int, event_id: UUID) -> HttpResponse:
        """All that is stored of an event, as a download."""
        issue = self._seen(request, pk)
        try:
            event = selectors.event(issue, event_id)
        except Event.DoesNotExist:
            raise Http404("There is no such event") from None
        body = json.dumps(selectors.payload_of(event), indent=2).encode()
        return downloads.download(body, name=f"event-{event.event_id.hex}.json")

    def _seen(self, request: HttpRequest, pk: int) -> Issue:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return cast(Issue, self.row_or_404(request, pk))


def _has_event(issue: Issue, event_id: UUID) -> bool:
    try:
        return bool(selectors.event(issue, event_id))
    except Event.DoesNotExist:
        return False


def _next_step(model_admin: IssueAdmin, request: HttpRequest) -> Callable[[models.Model], SafeString]:
    def next_step(row: models.Model) -> SafeString:
        links = format_html_join(
            " ",
            '<a class="so-link" href="{}">{}</a>',
            ((model_admin.url_of(row, act.name), act.verb) for act in STEPS if act.when(row)),
        )
        return format_html('<span class="so-links">{}</span>', links)

    next_step.short_description = "Next"  # type: ignore[attr-defined]
    return next_step
