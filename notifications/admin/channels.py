"""Channels: how people are reached, whether that works, and a test message through each."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import Case, F, QuerySet, Value, When
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from catalogue.rules import label
from notifications import lists, looks
from notifications.admin.base import CONFIGURE, CONFIGURED, ActingAdmin, told_in
from notifications.admin.forms import ChannelForm, TestForm
from notifications.channels.base import drivers
from notifications.models import Channel, Delivery, Route
from notifications.rules import DeliveryState
from notifications.services import channels
from sysops.access import driver_settings
from sysops.access.actors import Actor
from sysops.access.requests import request_actor
from sysops.access.rights import has_right
from sysops.pages import show
from sysops.pages.acts import Act, Column, Done, posted

FAILURES_SHOWN = 10


def _installed(row: models.Model) -> bool:
    assert isinstance(row, Channel)
    return row.driver in drivers


def _send_test(row: models.Model, given: Mapping[str, object], by: Actor, at: datetime) -> Done:
    assert isinstance(row, Channel)
    delivery = channels.test_channel(row, address=str(given.get("address", "")), by=by, at=at)
    url = reverse("admin:notifications_delivery_change", args=[delivery.pk])
    return Done(f"A test message through {row.name} is on its way; below you see how it goes.", url)


def _will_test(row: models.Model) -> Sequence[str]:
    assert isinstance(row, Channel)
    off = [] if row.enabled else ["The channel is switched off: the test message waits for it, a day at most."]
    return [f"One message that says it is a test goes out through {row.name}, and nobody else is told.", *off]


def _remove(row: models.Model, _: Mapping[str, object], by: Actor, at: datetime) -> Done:
    assert isinstance(row, Channel)
    channels.remove_channel(row, by=by, at=at)
    return Done(f"{row.name} is removed.", reverse("admin:notifications_channel_changelist"))


def _will_remove(row: models.Model) -> Sequence[str]:
    return ["The channel, its settings and the routes to it are deleted.", "The audit log keeps who did it."]


def _unused(row: models.Model) -> bool:
    return not Delivery.objects.filter(channel=row.pk).exists()


TEST = Act("test", "Send a test message…", CONFIGURE, _send_test, _will_test, when=_installed, form=TestForm,
           icon="send", tone="main")  # fmt: skip
REMOVE = Act("remove", "Remove…", CONFIGURE, _remove, _will_remove, when=_unused, icon="delete", tone="danger")


@admin.register(Channel)
class ChannelAdmin(ActingAdmin):
    """What fails stands first, and says since when and why."""

    rights: ClassVar = CONFIGURED
    acts = (TEST, REMOVE)
    page = "notifications/channel.html"
    list_display = ("name", "kind", "health", "sent")
    list_display_links = ("name",)
    search_fields = ("slug", "name")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Channel]:
        return lists.channels()

    def get_ordering(self, request: HttpRequest) -> tuple[object, ...]:  # type: ignore[override]
        off = Case(When(enabled=False, then=Value(1)), default=Value(0))
        return (off, F("failing_since").asc(nulls_last=True), "name", "pk")

    def get_list_display(self, request: HttpRequest) -> list[str | Column]:
        """The columns, with every route read once, and what to do next."""
        levels: dict[int, list[str]] = {}
        for channel, level in Route.objects.filter(team=None).order_by("pk").values_list("channel", "level"):
            levels.setdefault(channel, []).append(level)
        may = has_right(request.user, CONFIGURE)

        def used_for(row: models.Model) -> SafeString:
            found = levels.get(row.pk, [])
            return format_html("{}", ", ".join(found)) if found else show.NOTHING

        def next_step(row: models.Model) -> SafeString:
            if not may or not _installed(row):
                return show.NOTHING
            return format_html(
                '<span class="so-links"><a class="so-link" href="{}">Send a test</a></span>', self.url_of(row, "test")
            )

        used_for.short_description, next_step.short_description = "Used for", "Next"  # type: ignore[attr-defined]
        return [*super().get_list_display(request), used_for, next_step]

    @admin.display(description="Kind", ordering="driver")
    def kind(self, row: Channel) -> str:
        return looks.driver_label(row.driver)

    @admin.display(description="Health")
    def health(self, row: Channel) -> SafeString:
        return looks.health_pill(row)

    @admin.display(description="Last sent", ordering="last_sent_at")
    def sent(self, row: Channel) -> SafeString:
        return show.when(row.last_sent_at)

    def has_add_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return self.may(request, "add")

    def get_urls(self) -> list[URLPattern]:
        change = path("<int:pk>/settings/", self.admin_site.admin_view(self.settings_view), name=self._name("settings"))
        return [change, *super().get_urls()]

    def details(self, request: HttpRequest, row: models.Model) -> dict[str, object]:
        assert isinstance(row, Channel)
        dead = lists.deliveries().filter(channel=row, state=DeliveryState.DEAD.value)
        reaches = drivers.get(row.driver).reaches if row.driver in drivers else None
        may = has_right(request.user, CONFIGURE) and reaches is not None
        return {
            "driver": looks.driver_label(row.driver),
            "reaches": "one place, named in its settings" if reaches == "" else label(reaches) if reaches else "",
            "shown": sorted(driver_settings.masked(row.settings, row.sealed_settings).items()),
            "secret_problem": driver_settings.problem(row.sealed_settings),
            "waiting": Delivery.objects.filter(channel=row, state=DeliveryState.PENDING.value).count(),
            "dead": dead[:FAILURES_SHOWN],
            "routes": Route.objects.filter(channel=row).select_related("team").order_by("team__name", "pk"),
            "is_resting": lists.is_resting(row, now=timezone.now()),
            "settings_url": self.url_of(row, "settings") if may else "",
        }

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, object] | None = None
    ) -> HttpResponse:
        if not has_right(request.user, CONFIGURE):
            raise PermissionDenied
        name = request.GET.get("driver", "")
        if name not in drivers:
            listed = [(key, driver.label, _reaches_words(driver.reaches)) for key, driver in drivers]
            return self.shown(
                request, "notifications/drivers.html", title="Add a channel: choose its kind", drivers=listed
            )
        driver = drivers.get(name)
        form = ChannelForm(posted(request), driver=driver)
        if request.method == "POST" and form.is_valid():
            with told_in(form) as told:
                channel = channels.create_channel(
                    slug=form.cleaned_data["slug"], name=form.cleaned_data["name"], driver=name,
                    settings=form.settings(), by=request_actor(request), at=timezone.now(),
                )  # fmt: skip
            if not told:
                messages.success(request, f"{channel} is saved. Send a test message, then choose what goes through it.")
                return HttpResponseRedirect(self.url_of(channel))
        back = reverse("admin:notifications_channel_changelist")
        return self.shown(
            request, "notifications/channel_form.html", title=f"Add a channel: {driver.label}", form=form, back=back
        )

    def settings_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Change a channel; a secret that is left empty stays."""
        if not has_right(request.user, CONFIGURE):
            raise PermissionDenied
        row = self.row_or_404(request, pk)
        assert isinstance(row, Channel)
        if row.driver not in drivers:
            messages.error(request, f"The driver {row.driver!r} is not installed: the settings cannot be checked.")
            return HttpResponseRedirect(self.url_of(row))
        form = ChannelForm(posted(request), driver=drivers.get(row.driver), channel=row)
        if request.method == "POST" and form.is_valid():
            with told_in(form) as told:
                channels.change_channel(
                    row, name=form.cleaned_data["name"], enabled=form.cleaned_data["enabled"],
                    settings=form.settings(), by=request_actor(request), at=timezone.now(),
                )  # fmt: skip
            if not told:
                messages.success(request, f"{form.cleaned_data['name']} is saved.")
                return HttpResponseRedirect(self.url_of(row))
        return self.shown(
            request, "notifications/channel_form.html", title=f"Change {row}", form=form, back=self.url_of(row)
        )


def _reaches_words(reaches: str) -> str:
    return f"needs an address of each person: {label(reaches)}" if reaches else "leads to one place"
