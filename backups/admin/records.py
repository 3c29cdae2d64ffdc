"""Backups, verifications and restores: seen, and acted on; changed by services only."""

from datetime import timedelta
from typing import ClassVar

from django.contrib import admin
from django.db import models
from django.db.models import F, Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from backups import selectors
from backups import words as states
from backups.admin import acts, filters
from backups.admin.base import RELEASE, REQUEST, SEEN, ActingAdmin, for_each
from backups.admin.forms import HoldForm
from backups.admin.progress import work_of
from backups.models import Attempt, Backup, Restore, Verification
from backups.rules import ACTIVE, RestoreStatus, Rung, Status, VerificationStatus
from backups.services import requests, verifications
from sysops.access.requests import request_actor
from sysops.access.rights import has_right
from sysops.pages import show
from sysops.pages.acts import Button, LiveAdmin

FILES_SHOWN = 500  # of a manifest; the API has all of them


class WorkAdmin(ActingAdmin, LiveAdmin):
    """Rows a worker works on."""

    next_acts: ClassVar = ("restore", "verify", "cancel", "stop-server", "back-up")

    def under_way(self, row: models.Model) -> bool:
        assert isinstance(row, Backup | Verification | Restore)
        return row.status in UNDER_WAY

    def page_context(self, request: HttpRequest, row: models.Model) -> dict[str, object]:
        assert isinstance(row, Backup | Verification | Restore)
        return {**super().page_context(request, row), "work": work_of(row) if self.under_way(row) else None}


UNDER_WAY = {
    *(status.value for status in ACTIVE),
    VerificationStatus.PENDING.value,
    VerificationStatus.RUNNING.value,
    RestoreStatus.QUEUED.value,
    RestoreStatus.RUNNING.value,
}


@admin.register(Backup)
class BackupAdmin(WorkAdmin):
    """Every backup from request to removal."""

    rights: ClassVar = {**SEEN, "request": REQUEST, "release": RELEASE}
    acts = acts.BACKUP_ACTS
    page = "backups/backup.html"
    body = "backups/backup_body.html"
    list_display = ("number", "of", "kind", "shown_status", "verified", "size", "duration", "started", "attempt")
    list_display_links = ("number",)
    list_filter = (
        ("source", filters.ByRelated),
        filters.ByStatus,
        filters.ByVerification,
        filters.ByType,
        filters.ByAge,
    )
    search_fields = ("=id", "source__slug", "source__name", "failure_reason", "requested_by", "host")
    search_help_text = "Number, source, reason of a failure, who asked, machine"
    actions = ("verify_selected", "cancel_selected", "hold_selected", "release_selected")
    ordering = ("-id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Backup]:
        return selectors.for_lists()

    def has_release_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "release")

    def has_request_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "request")

    @admin.display(description="Backup", ordering="id")
    def number(self, row: Backup) -> str:
        return f"#{row.pk}"

    @admin.display(description="Source", ordering="source__name")
    def of(self, row: Backup) -> str:
        return row.source.name

    @admin.display(description="Type", ordering="backup_type")
    def kind(self, row: Backup) -> SafeString:
        return states.kind_of(row)

    @admin.display(description="Status", ordering="status")
    def shown_status(self, row: Backup) -> SafeString:
        if row.status == Status.RUNNING.value:
            percent = work_of(row).percent
            words = "Running" if percent is None else f"Running, {percent:g} %"
            return show.pill("run", words)
        held = format_html(' <span class="so-aside" title="{}">held</span>', row.held_reason) if row.held_by else ""
        return format_html("{}{}", states.state("status", row.status), held)

    @admin.display(description="Verification", ordering="verification_status")
    def verified(self, row: Backup) -> SafeString:
        return states.verification_of(row)

    @admin.display(description="Size", ordering="size_bytes")
    def size(self, row: Backup) -> SafeString:
        return show.size(row.size_bytes)

    @admin.display(description="Duration", ordering=F("completed_at") - F("started_at"))
    def duration(self, row: Backup) -> SafeString:
        return show.took(row.started_at, row.completed_at)

    @admin.display(description="Started", ordering="started_at")
    def started(self, row: Backup) -> SafeString:
        return show.when(row.started_at)

    def buttons(self, request: HttpRequest, row: models.Model) -> list[Button]:
        """What may be done with the backup; with one that failed, that is another one of its source."""
        found = super().buttons(request, row)
        if isinstance(row, Backup) and row.status == Status.FAILED.value and has_right(request.user, REQUEST):
            again = acts.BACK_UP
            url = reverse("admin:backups_source_back_up", args=[row.source_id])
            return [Button(again.name, again.label, url, again.icon, again.tone), *found]
        return found

    def details(self, request: HttpRequest, row: models.Model) -> dict[str, object]:
        assert isinstance(row, Backup)
        whole = Backup.objects.select_related("source__policy", "store", "parent").prefetch_related(
            Prefetch("attempts", Attempt.objects.order_by("number")),
            Prefetch("verifications", Verification.objects.order_by("-pk")),
            Prefetch("restores", Restore.objects.order_by("-pk")),
            Prefetch("children", Backup.objects.defer("manifest", "figures").order_by("pk")),
        )
        found = whole.get(pk=row.pk)
        files = found.manifest if isinstance(found.manifest, list) else []
        return {
            "row": found,
            "chain": selectors.chain(found) if found.parent_id else [found],
            "broken": selectors.broken_link(selectors.chain(found)) if found.status == Status.SUCCEEDED.value else None,
            "files": files[:FILES_SHOWN],
            "files_total": len(files),
            "removal": getattr(found, "removal", None) if found.status == Status.EXPIRED.value else None,
        }

    @admin.action(description="Prove by a restore into scratch", permissions=["request"])
    def verify_selected(self, request: HttpRequest, rows: QuerySet[Backup]) -> None:
        by, at = request_actor(request), timezone.now()
        for_each(
            request,
            list(rows),
            lambda row: verifications.request_verification(backup=row, rung=Rung.RESTORE, by=by, at=at),  # type: ignore[arg-type]
            done="Restore tests asked for",
        )

    @admin.action(description="Cancel", permissions=["request"])
    def cancel_selected(self, request: HttpRequest, rows: QuerySet[Backup]) -> None:
        by, at = request_actor(request), timezone.now()
        for_each(
            request,
            list(rows),
            lambda row: requests.cancel_backup(backup=row, by=by, at=at),  # type: ignore[arg-type]
            done="Cancelled, or told to stop",
        )

    @admin.action(description="Hold…", permissions=["request"])
    def hold_selected(self, request: HttpRequest, rows: QuerySet[Backup]) -> HttpResponse | None:
        """Asks why, once for all of them."""
        asked = "reason" in request.POST
        form = HoldForm(request.POST if asked else None, row=Backup())
        if asked and form.is_valid():
            by, at, reason = request_actor(request), timezone.now(), form.cleaned_data["reason"]
            for_each(
                request,
                list(rows),
                lambda row: requests.hold_backup(backup=row, reason=reason, by=by, at=at),  # type: ignore[arg-type]
                done="Held",
            )
            return None
        return self.shown(
            request,
            "pages/act.html",
            title=f"Hold {len(rows)} backups",
            act=acts.HOLD,
            form=form,
            will=acts.HOLD_MEANS,
            hidden=[("action", "hold_selected"), *(("_selected_action", row.pk) for row in rows)],
            back=reverse("admin:backups_backup_changelist"),
        )

    @admin.action(description="Release", permissions=["release"])
    def release_selected(self, request: HttpRequest, rows: QuerySet[Backup]) -> None:
        by, at = request_actor(request), timezone.now()
        for_each(
            request,
            list(rows),
            lambda row: requests.release_backup(backup=row, by=by, at=at),  # type: ignore[arg-type]
            done="Released",
        )


@admin.register(Verification)
class VerificationAdmin(WorkAdmin):
    """Every look at a backup, with each check and its figures."""

    rights: ClassVar = SEEN
    page = "backups/verification.html"
    body = "backups/verification_body.html"
    list_display = ("number", "shown_status", "of", "shown_rung", "summary", "duration", "asked")
    list_display_links = ("number",)
    list_filter = (filters.ByLook, filters.ByRung, ("backup__source", filters.ByRelated), filters.ByAge)
    search_fields = ("=id", "=backup__id", "backup__source__slug", "backup__source__name", "detail")
    search_help_text = "Number, backup, source, words of the outcome"
    ordering = ("-id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Verification]:
        rows = Verification.objects.select_related("backup__source")
        return rows.defer("backup__manifest", "backup__figures")

    @admin.display(description="Look", ordering="id")
    def number(self, row: Verification) -> str:
        return f"#{row.pk}"

    @admin.display(description="Backup", ordering="backup_id")
    def of(self, row: Verification) -> SafeString:
        return _backup_link(row.backup)

    @admin.display(description="How", ordering="rung")
    def shown_rung(self, row: Verification) -> str:
        return states.rung(row.rung)

    @admin.display(description="Outcome", ordering="status")
    def shown_status(self, row: Verification) -> SafeString:
        return states.state("look", row.status)

    @admin.display(description="In words")
    def summary(self, row: Verification) -> SafeString:
        return format_html('<span class="so-clip" title="{}">{}</span>', row.detail, row.detail) or show.NOTHING

    @admin.display(description="Duration")
    def duration(self, row: Verification) -> SafeString:
        return show.took(row.started_at, row.completed_at)

    @admin.display(description="Asked for", ordering="requested_at")
    def asked(self, row: Verification) -> SafeString:
        return show.when(row.requested_at)


@admin.register(Restore)
class RestoreAdmin(WorkAdmin):
    """Every restore: where to, how far, what its checks found."""

    rights: ClassVar = SEEN
    acts = acts.RESTORE_ACTS
    page = "backups/restore.html"
    body = "backups/restore_body.html"
    list_display = ("number", "of", "shown_status", "place", "server", "duration", "asked")
    list_display_links = ("number",)
    list_filter = (filters.ByRestore, ("backup__source", filters.ByRelated), filters.ByAge)
    search_fields = ("=id", "=backup__id", "backup__source__slug", "backup__source__name", "target", "requested_by")
    search_help_text = "Number, backup, source, folder, who asked"
    ordering = ("-id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Restore]:
        return Restore.objects.select_related("backup__source").defer("backup__manifest", "backup__figures")

    @admin.display(description="Restore", ordering="id")
    def number(self, row: Restore) -> str:
        return f"#{row.pk}"

    @admin.display(description="Backup", ordering="backup_id")
    def of(self, row: Restore) -> SafeString:
        return _backup_link(row.backup)

    @admin.display(description="Status", ordering="status")
    def shown_status(self, row: Restore) -> SafeString:
        return states.state("restore", row.status)

    @admin.display(description="Folder", ordering="target")
    def place(self, row: Restore) -> SafeString:
        return format_html('<code class="so-clip" title="{}">{}</code>', row.target, row.target)

    @admin.display(description="Server")
    def server(self, row: Restore) -> SafeString:
        if acts.server_runs(row):
            return show.pill("run", "Running")
        if not row.server_stopped_at:
            return show.NOTHING
        return show.pill("off", "Gone" if row.stop_failure else "Stopped")

    @admin.display(description="Duration")
    def duration(self, row: Restore) -> SafeString:
        return show.took(row.started_at, row.completed_at)

    @admin.display(description="Asked for", ordering="requested_at")
    def asked(self, row: Restore) -> SafeString:
        return show.when(row.requested_at)

    def details(self, request: HttpRequest, row: models.Model) -> dict[str, object]:
        assert isinstance(row, Restore)
        policy = row.backup.source.policy
        return {"server_runs": acts.server_runs(row), "rto": timedelta(seconds=policy.rto_seconds)}


def _backup_link(backup: Backup) -> SafeString:
    url = reverse("admin:backups_backup_change", args=[backup.pk])
    return format_html('<a class="so-link" href="{}">#{} of {}</a>', url, backup.pk, backup.source.name)
