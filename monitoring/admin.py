"""Workers in the admin."""

from typing import ClassVar

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display

from monitoring import services
from monitoring.models import WorkerSighting
from monitoring.rules import WORKER_AGE, Status, judge_age
from sysops.access.audited import RightedModelAdmin
from sysops.access.requests import request_actor


@admin.register(WorkerSighting)
class WorkerSightingAdmin(RightedModelAdmin):
    """Which workers there are. Nothing is edited; deleting one stops it from being missed."""

    rights: ClassVar = {"view": "health.view", "delete": "health.forget_worker"}
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

    def delete_model(self, request: HttpRequest, obj: WorkerSighting) -> None:
        services.forget_worker(obj, by=request_actor(request), at=timezone.now())

    def delete_queryset(self, request: HttpRequest, queryset: object) -> None:
        for sighting in WorkerSighting.objects.filter(pk__in=queryset):  # type: ignore[misc]
            services.forget_worker(sighting, by=request_actor(request), at=timezone.now())
