"""Workers in the admin."""

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import ModelAdmin
from unfold.decorators import display

from monitoring import services
from monitoring.models import WorkerSighting
from monitoring.rules import WORKER_AGE, Status, judge_age
from sysops.access.requests import request_actor
from sysops.access.rights import has_right


@admin.register(WorkerSighting)
class WorkerSightingAdmin(ModelAdmin):
    """Which workers there are. Nothing is edited; deleting one stops it from being missed."""

    list_display = ("name", "status", "host", "queues_shown", "active_count", "last_seen_at", "started_at")
    search_fields = ("name", "host")
    ordering = ("name", "pk")

    @display(  # type: ignore[untyped-decorator]
        description="Status", label={"Works": "success", "Stopped": "info", "Late": "warning", "Missing": "danger"}
    )
    def status(self, sighting: WorkerSighting) -> str:
        if sighting.stopped_at:
            return "Stopped"
        found = judge_age(timezone.now() - sighting.last_seen_at, WORKER_AGE)
        return {Status.HEALTHY: "Works", Status.DEGRADED: "Late", Status.UNHEALTHY: "Missing"}[found]

    @admin.display(description="Queues")
    def queues_shown(self, sighting: WorkerSighting) -> str:
        return ", ".join(sighting.queues)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return has_right(request.user, "health.view")

    def has_view_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return has_right(request.user, "health.view")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return has_right(request.user, "health.forget_worker")

    def delete_model(self, request: HttpRequest, obj: WorkerSighting) -> None:
        services.forget_worker(obj, by=request_actor(request), at=timezone.now())

    def delete_queryset(self, request: HttpRequest, queryset: object) -> None:
        for sighting in WorkerSighting.objects.filter(pk__in=queryset):  # type: ignore[misc]
            services.forget_worker(sighting, by=request_actor(request), at=timezone.now())
