"""The outbox in the admin: here, above both, because events and access do not know each other."""

from typing import ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display

from sysops.access import audit
from sysops.access.audited import ReadOnlyModelAdmin
from sysops.access.requests import request_actor
from sysops.events import services
from sysops.events.models import Delivery, Event
from sysops.events.rules import State


@admin.register(Event)
class EventAdmin(ReadOnlyModelAdmin):
    """What happened."""

    rights: ClassVar = {"view": "events.view"}
    list_display = ("at", "name", "subject", "data")
    list_filter = ("at",)
    search_fields = ("name__startswith", "subject__exact")
    show_full_result_count = False


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyModelAdmin):
    """Who has been told, who waits, and who could not be told and why."""

    rights: ClassVar = {"view": "events.view", "retry": "events.retry"}
    list_display = ("event", "subscriber", "shown_state", "attempt", "due_at", "finished_at", "error")
    list_filter = ("state", "subscriber")
    list_select_related = ("event",)
    search_fields = ("event__name__startswith", "event__subject__exact", "subscriber__startswith")
    actions = ("try_again",)
    show_full_result_count = False

    @display(  # type: ignore[untyped-decorator]
        description="State", ordering="state", label={"Pending": "info", "Done": "success", "Dead": "danger"}
    )
    def shown_state(self, delivery: Delivery) -> str:
        return State(delivery.state).value.title()

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "retry")

    @admin.action(description="Try the selected dead deliveries again", permissions=["retry"])
    def try_again(self, request: HttpRequest, deliveries: QuerySet[Delivery]) -> None:
        at = timezone.now()
        keys = [delivery.pk for delivery in deliveries]
        count = services.try_again(deliveries=deliveries, at=at)
        audit.record(
            "events.delivery.tried_again", by=request_actor(request), subject="deliveries", at=at, after={"ids": keys}
        )
        self.message_user(request, f"{count} of {len(keys)} will be tried again; the others were not dead.")
