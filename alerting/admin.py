"""Alerts in the admin: what is wrong now first, what maintenance holds back, what is over. Nobody writes here."""

from typing import ClassVar

from django.contrib import admin
from django.db import models
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from alerting import selectors
from alerting.models import Alert
from notifications import lists, looks
from notifications.admin.filters import Among, ByLevel, ByRelated
from sysops.access.rights import has_right
from sysops.pages import show
from sysops.pages.acts import ActingAdmin, Column


class ByWhetherOver(Among):
    title, parameter_name = "what", "what"
    ways: ClassVar = {
        "open": "Wrong now",
        "waiting": "Held back, not told yet",
        "held": "Ever held back",
        "over": "Over",
        "all": "All",
    }

    def queryset(self, request: HttpRequest, rows: QuerySet[Alert]) -> QuerySet[Alert]:
        found = {
            "open": Q(resolved_at=None),
            "waiting": selectors.WAITING,
            "held": Q(held_back_at__isnull=False),
            "over": Q(resolved_at__isnull=False),
        }
        return rows.filter(found.get(self.value(), Q()))


@admin.register(Alert)
class AlertAdmin(ActingAdmin):
    """Read only: alerts begin and end by what is measured."""

    rights: ClassVar = {"view": "alerts.view"}
    page = "alerting/alert.html"
    list_display = ("what", "shown_level", "of", "since", "told", "noticed")
    list_display_links = ("what",)
    list_filter = (ByWhetherOver, ByLevel, ("service", ByRelated))
    search_fields = ("title", "detail", "key", "service__slug", "service__name")
    search_help_text = "What is wrong, why, its key, service"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Alert]:
        return selectors.for_lists()

    def get_ordering(self, request: HttpRequest) -> tuple[object, ...]:  # type: ignore[override]
        """What is wrong now before what is over; the worst first, then the newest."""
        return (F("resolved_at").desc(nulls_first=True), selectors.WEIGHT, "-pk")

    def get_list_display(self, request: HttpRequest) -> list[str | Column]:
        return [*super().get_list_display(request), _look]

    @admin.display(description="What", ordering="title")
    def what(self, row: Alert) -> SafeString:
        return format_html('<span class="so-wrap">{}</span>', row.title)

    @admin.display(description="Level", ordering=selectors.WEIGHT)
    def shown_level(self, row: Alert) -> SafeString:
        return looks.level(row.level) if row.resolved_at is None else show.pill("off", f"Over, was {row.level}")

    @admin.display(description="Service", ordering="service__name")
    def of(self, row: Alert) -> SafeString:
        return format_html("{}", row.service.name) if row.service else show.NOTHING

    @admin.display(description="Since", ordering="raised_at")
    def since(self, row: Alert) -> SafeString:
        return show.when(row.raised_at)

    @admin.display(description="Told", ordering="told_at")
    def told(self, row: Alert) -> SafeString:
        if row.waits and row.resolved_at is None:
            return format_html('<span title="{}">{}</span>', row.held_back_by, show.pill("wait", "Held back"))
        return show.when(row.told_at) if row.told_at else show.pill("off", "Held back, never sent")

    @admin.display(description="Noticed", ordering="count")
    def noticed(self, row: Alert) -> str:
        return "once" if row.count == 1 else f"{row.count:,} times"

    def details(self, request: HttpRequest, row: models.Model) -> dict[str, object]:
        assert isinstance(row, Alert)
        told = lists.told(lists.messages().filter(thread=f"alert:{row.pk}").order_by("pk"))
        return {"told": told, "may_see_messages": has_right(request.user, "notifications.view")}


def _look(row: models.Model) -> SafeString:
    assert isinstance(row, Alert)
    if not row.link:
        return show.NOTHING
    return format_html('<span class="so-links"><a class="so-link" href="{}">Look at it</a></span>', row.link)


_look.short_description = "Next"  # type: ignore[attr-defined]
