"""Reports that were taken and could not be made events: why, as a file, and once more."""

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar, cast

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import QuerySet
from django.db.models.functions import Length
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from errors import looks
from errors.admin import downloads
from errors.admin.base import CONFIGURE, VIEW, ActingAdmin
from errors.admin.filters import ByRelated
from errors.models import Undigestible
from errors.selectors import visible_projects
from errors.services import again
from sysops.access.actors import Actor
from sysops.access.requests import request_actor
from sysops.access.rights import has_right
from sysops.pages import show
from sysops.pages.acts import Act, Done, for_each

MOST_AT_ONCE = 1_000


def _again(row: models.Model, given: Mapping[str, object], by: Actor, at: datetime) -> Done:
    again.digest_again(cast(Undigestible, row), by=by, at=at)
    return Done("It waits to be digested again.", reverse("admin:errors_undigestible_changelist"))


AGAIN = Act(
    "again",
    "Try again",
    CONFIGURE,
    _again,
    lambda row: (
        "What of it is not stored yet is digested. What still cannot be is kept here once more, with the reason.",
    ),
    icon="replay",
    tone="main",
)


@admin.register(Undigestible)
class UndigestibleAdmin(ActingAdmin):
    """Kept as they came, as far as they are not stored. What is in them may be anything: it is handed out as a file and
    never shown."""

    rights: ClassVar = {"view": VIEW}
    refusals: ClassVar = (again.AlreadyTried,)
    acts: ClassVar = (AGAIN,)
    page = "errors/undigestible.html"
    list_display = ("why", "of", "kind", "failed", "length")
    list_display_links = ("why",)
    list_filter = (("project", ByRelated), "kind")
    search_fields = ("reason",)
    search_help_text = "Words of the reason"
    ordering = ("-pk",)
    actions = ("try_again",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Undigestible]:
        rows = Undigestible.objects.filter(project__in=visible_projects(request.user)).select_related("project")
        return rows.annotate(bytes=Length("body")).defer("body")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.body_view)
        return [path("<int:pk>/body/", view, name=self._name("body")), *super().get_urls()]

    @admin.display(description="Why", ordering="reason")
    def why(self, row: Undigestible) -> SafeString:
        return format_html('<span class="so-wrap" dir="auto">{}</span>', looks.plain(row.reason)[:300])

    @admin.display(description="Project", ordering="project__name")
    def of(self, row: Undigestible) -> str:
        return row.project.name

    @admin.display(description="Failed", ordering="failed_at")
    def failed(self, row: Undigestible) -> SafeString:
        return show.when(row.failed_at)

    @admin.display(description="Size", ordering="bytes")
    def length(self, row: Undigestible) -> SafeString:
        return show.size(row.bytes)  # type: ignore[attr-defined]

    def details(self, request: HttpRequest, row: models.Model) -> dict[str, object]:
        report = cast(Undigestible, row)
        may_read = has_right(request.user, CONFIGURE)
        return {
            "reason": looks.plain(report.reason),
            "body_url": self.url_of(report, "body") if may_read else "",
        }

    def body_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The report as it came. It was not scrubbed: only for who configures projects."""
        if not has_right(request.user, CONFIGURE):
            raise PermissionDenied
        report = cast(Undigestible, self.row_or_404(request, pk))
        ending = "" if report.encoding == "identity" else f".{report.encoding}"
        return downloads.download(bytes(report.body), name=f"report-{report.pk}-{report.kind}.txt{ending}")

    def has_configure_permission(self, request: HttpRequest) -> bool:
        """What the action below asks for."""
        return has_right(request.user, CONFIGURE)

    @admin.action(description="Try again", permissions=["configure"])
    def try_again(self, request: HttpRequest, rows: QuerySet[Undigestible]) -> None:
        by, at = request_actor(request), timezone.now()
        for_each(
            request,
            list(rows[:MOST_AT_ONCE]),
            lambda row: again.digest_again(cast(Undigestible, row), by=by, at=at),
            done="Waiting to be digested again",
            refusals=self.refusals,
        )
