"""Policies with their beats, and the record of slots and removals."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, TypeVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from backups import words as states
from backups.admin import filters
from backups.admin.base import CONFIGURE, CONFIGURED, SEEN, told_in
from backups.admin.beats import BeatForm, beats_of
from backups.models import Cadence, CadenceSlot, Policy, Removal
from backups.services import beats
from sysops.access.audited import AuditedModelAdmin, ReadOnlyModelAdmin
from sysops.access.requests import request_actor
from sysops.access.rights import has_right
from sysops.pages import show
from sysops.pages.acts import Act, Done, posted
from sysops.pages.forms import SpanField

Row = TypeVar("Row", Policy, Cadence)


class PolicyForm(forms.ModelForm[Policy]):
    """A policy; spans as people say them."""

    time_limit_seconds = SpanField(label="Time limit", help_text="Per try, 23 h at most.")
    rpo_seconds = SpanField(
        label="Recovery point (RPO)", help_text="How old the last good backup may be: how much may be lost."
    )
    rto_seconds = SpanField(label="Recovery time (RTO)", help_text="How long a restore may take.")

    class Meta:
        model = Policy
        fields = (
            "name",
            "slug",
            "store",
            "online_days",
            "max_attempts",
            "time_limit_seconds",
            "when_busy",
            "rpo_seconds",
            "rto_seconds",
            "daily_restore_tests",
            "custom_checks",
        )

    def clean_custom_checks(self) -> list[dict[str, str]]:
        checks = self.cleaned_data["custom_checks"] or []
        example = 'such as [{"name": "orders", "database": "shop", "sql": "SELECT count(*) > 0 FROM orders"}]'
        if not isinstance(checks, list) or not all(_is_check(check) for check in checks):
            raise forms.ValidationError(f"A list of checks, each with a name and its SQL, {example}")
        return checks


def _is_check(check: object) -> bool:
    if not isinstance(check, Mapping) or not {"name", "sql"} <= set(check) <= {"name", "sql", "database"}:
        return False
    return all(isinstance(value, str) and value.strip() for value in check.values())


@admin.register(Policy)
class PolicyAdmin(AuditedModelAdmin):
    """How sources are backed up: how often, where to, how long kept, how proven."""

    rights: ClassVar = CONFIGURED
    form = PolicyForm  # type: ignore[assignment]
    list_display = ("name", "store", "shown_rpo", "shown_rto", "keep", "sources_count")
    list_select_related = ("store",)
    search_fields = ("slug", "name")
    ordering = ("name", "pk")
    change_form_outer_before_template = "backups/beats.html"
    fieldsets = (
        (None, {"fields": ("name", "slug", "store", "online_days")}),
        ("What is promised", {"fields": ("rpo_seconds", "rto_seconds")}),
        ("How a backup is taken", {"fields": ("max_attempts", "time_limit_seconds", "when_busy")}),
        ("How it is proven", {"fields": ("daily_restore_tests", "custom_checks")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Policy]:
        return Policy.objects.annotate(sources_total=Count("sources"))

    def get_readonly_fields(self, request: HttpRequest, obj: models.Model | None = None) -> tuple[str, ...]:
        return ("slug",) if obj else ()

    def get_prepopulated_fields(
        self, request: HttpRequest, obj: models.Model | None = None
    ) -> dict[str, Sequence[str]]:
        return {} if obj else {"slug": ("name",)}

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Its beats must go first: their rows in the schedule would stay behind."""
        in_use = obj is not None and (obj.cadences.exists() or obj.sources.exists())  # type: ignore[attr-defined]
        return super().has_delete_permission(request, obj) and obj is not None and not in_use

    @admin.display(description="RPO", ordering="rpo_seconds")
    def shown_rpo(self, row: Policy) -> SafeString:
        return show.span(row.rpo_seconds)

    @admin.display(description="RTO", ordering="rto_seconds")
    def shown_rto(self, row: Policy) -> SafeString:
        return show.span(row.rto_seconds)

    @admin.display(description="Kept", ordering="online_days")
    def keep(self, row: Policy) -> str:
        return f"{row.online_days} days"

    @admin.display(description="Sources", ordering="sources_total")
    def sources_count(self, row: Policy) -> SafeString:
        url = f"{reverse('admin:backups_source_changelist')}?policy__id__exact={row.pk}"
        return format_html('<a class="so-link" href="{}">{}</a>', url, row.sources_total)  # type: ignore[attr-defined]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, object] | None = None
    ) -> HttpResponse:
        policy = self.get_object(request, object_id)
        may = has_right(request.user, CONFIGURE)
        shown = {"beats": beats_of(policy), "may_configure": may, "policy": policy} if policy else {}
        answer: HttpResponse = super().change_view(request, object_id, form_url, {**(extra_context or {}), **shown})
        return answer

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("<int:pk>/beats/add/", view(self.add_beat), name="backups_policy_add_beat"),
            path("<int:pk>/beats/<int:beat>/", view(self.change_beat), name="backups_policy_beat"),
            path("<int:pk>/beats/<int:beat>/remove/", view(self.remove_beat), name="backups_policy_remove_beat"),
            *super().get_urls(),
        ]

    def add_beat(self, request: HttpRequest, pk: int) -> HttpResponse:
        policy = _found(Policy.objects.all(), request, pk=pk)
        form = BeatForm(posted(request), policy=policy)
        if request.method == "POST" and form.is_valid():
            with told_in(form) as told:
                beats.add_cadence(policy, form.plan(), by=request_actor(request), at=timezone.now())
            if not told:
                return self._to(request, policy, f"The beat {form.plan().label} is added.")
        return self._beat_page(request, policy, form, title=f"Add a beat to {policy}")

    def change_beat(self, request: HttpRequest, pk: int, beat: int) -> HttpResponse:
        cadence = _found(_cadences(), request, pk=beat, policy=pk)
        form = BeatForm(posted(request), policy=cadence.policy, cadence=cadence)
        if request.method == "POST" and form.is_valid():
            with told_in(form) as told:
                beats.change_cadence(
                    cadence, form.plan(), enabled=form.cleaned_data["enabled"],
                    by=request_actor(request), at=timezone.now(),
                )  # fmt: skip
            if not told:
                return self._to(request, cadence.policy, f"The beat {cadence.label} is changed; it counts from now on.")
        return self._beat_page(request, cadence.policy, form, title=f"Change the beat {cadence.label}", cadence=cadence)

    def remove_beat(self, request: HttpRequest, pk: int, beat: int) -> HttpResponse:
        cadence = _found(_cadences(), request, pk=beat, policy=pk)
        if request.method == "POST":
            beats.remove_cadence(cadence, by=request_actor(request), at=timezone.now())
            return self._to(request, cadence.policy, f"The beat {cadence.label} is removed.")
        context = {"act": REMOVE_BEAT, "will": REMOVE_BEAT.will(cadence), "form": forms.Form()}
        title = f"Remove the beat {cadence.label} of {cadence.policy}"
        return _page(self, request, "pages/act.html", title=title, back=_policy_url(cadence.policy), **context)

    def _to(self, request: HttpRequest, policy: Policy, words: str) -> HttpResponse:
        messages.success(request, words)
        return HttpResponseRedirect(_policy_url(policy))

    def _beat_page(self, request: HttpRequest, policy: Policy, form: forms.Form, **context: object) -> HttpResponse:
        return _page(self, request, "backups/beat_form.html", form=form, back=_policy_url(policy), **context)


REMOVE_BEAT = Act(
    "remove",
    "Remove the beat",
    CONFIGURE,
    lambda row, given, by, at: Done(""),
    lambda row: ("No more backups are asked for by it.", "Backups it asked for stay, and are kept as long as before."),
    tone="danger",
)


def _cadences() -> QuerySet[Cadence]:
    return Cadence.objects.select_related("policy", "periodic_task__crontab")


def _policy_url(policy: Policy) -> str:
    return reverse("admin:backups_policy_change", args=[policy.pk])


def _found(rows: QuerySet[Row], request: HttpRequest, **key: object) -> Row:
    """The row, for those who may configure. Raises PermissionDenied, Http404."""
    if not has_right(request.user, CONFIGURE):
        raise PermissionDenied
    return get_object_or_404(rows, **key)


def _page(owner: ReadOnlyModelAdmin, request: HttpRequest, template: str, **context: object) -> HttpResponse:
    frame = {**owner.admin_site.each_context(request), "opts": owner.opts, **context}
    return TemplateResponse(request, template, frame)


@admin.register(CadenceSlot)
class CadenceSlotAdmin(ReadOnlyModelAdmin):
    """What became of each due slot: a backup of its own, or covered by another one, and why."""

    rights: ClassVar = SEEN
    list_display = ("slot", "source", "cadence", "shown_outcome", "reason", "shown_backup")
    list_select_related = ("source", "cadence__policy", "backup")
    list_filter = (filters.BySlot, ("source", filters.ByRelated))
    search_fields = ("source__slug", "source__name", "reason")
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_filter_submit = True
    list_fullwidth = True
    list_per_page = 50

    @admin.display(description="Slot", ordering="slot_at")
    def slot(self, row: CadenceSlot) -> SafeString:
        return show.when(row.slot_at)

    @admin.display(description="Outcome", ordering="outcome")
    def shown_outcome(self, row: CadenceSlot) -> SafeString:
        return states.state("slot", row.outcome)

    @admin.display(description="Backup")
    def shown_backup(self, row: CadenceSlot) -> SafeString:
        return backup_link(row.backup_id)


@admin.register(Removal)
class RemovalAdmin(ReadOnlyModelAdmin):
    """Which backups were removed, why, and how much room that made."""

    rights: ClassVar = SEEN
    list_display = ("removed", "shown_backup", "of", "reason", "freed", "removed_by")
    list_display_links = ("removed",)
    list_select_related = ("backup__source",)
    list_filter = (("backup__source", filters.ByRelated),)
    search_fields = ("=backup__id", "backup__source__slug", "reason")
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_filter_submit = True
    list_fullwidth = True
    list_per_page = 50

    @admin.display(description="Removed", ordering="removed_at")
    def removed(self, row: Removal) -> SafeString:
        return show.when(row.removed_at)

    @admin.display(description="Backup")
    def shown_backup(self, row: Removal) -> SafeString:
        return backup_link(row.backup_id)

    @admin.display(description="Source", ordering="backup__source__name")
    def of(self, row: Removal) -> str:
        return row.backup.source.name

    @admin.display(description="Freed", ordering="freed_bytes")
    def freed(self, row: Removal) -> SafeString:
        return show.size(row.freed_bytes)


def backup_link(pk: int | None) -> SafeString:
    if pk is None:
        return show.NOTHING
    return format_html('<a class="so-link" href="{}">#{}</a>', reverse("admin:backups_backup_change", args=[pk]), pk)
