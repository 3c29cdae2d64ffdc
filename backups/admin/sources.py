"""Sources: how ready each is, what can be done, and how it is reached."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from backups import selectors
from backups.admin import acts
from backups.admin.base import CONFIGURE, CONFIGURED, ActingAdmin, told_in
from backups.engines.base import Engine, engines
from backups.models import Backup, Policy, Source
from backups.rules import Status, VerificationStatus
from backups.services import config
from catalogue.models import Service
from sysops.access import driver_settings as secrets
from sysops.access.requests import request_actor
from sysops.access.rights import has_right
from sysops.kernel.registry import UnknownName
from sysops.pages import schema, show
from sysops.pages.acts import posted

LATEST = 15


class SourceForm(forms.Form):
    """A source: its own fields, then those its engine asks for."""

    name = forms.CharField(max_length=200, widget=UnfoldAdminTextInputWidget)
    slug = forms.SlugField(
        max_length=80,
        widget=UnfoldAdminTextInputWidget,
        help_text="Its name in the API, in commands and in the store. It cannot be changed later.",
    )
    policy = forms.ModelChoiceField(
        Policy.objects.order_by("name"),
        required=False,
        empty_label="The one that fits the engine",
        widget=UnfoldAdminSelectWidget,
        help_text="How often it is backed up, where to, and how long backups are kept.",
    )
    service = forms.ModelChoiceField(
        Service.objects.order_by("pk"),
        required=False,
        empty_label="None",
        widget=UnfoldAdminSelectWidget,
        help_text="The service it belongs to.",
    )
    enabled = forms.BooleanField(
        label="Backed up on schedule", required=False, initial=True, widget=UnfoldBooleanSwitchWidget
    )

    def __init__(self, data: Mapping[str, object] | None, *, engine: Engine, source: Source | None = None) -> None:
        self.engine, self.source = engine, source
        self.shown = secrets.masked(source.settings, source.sealed_settings) if source else None
        super().__init__(data, initial=_initial(source))
        if source:
            del self.fields["slug"]
            self.fields["policy"].required = True
            self.fields["policy"].empty_label = None  # type: ignore[attr-defined]
        else:
            del self.fields["enabled"]
        self.own = list(self.fields)
        self.fields.update(schema.fields_for(engine.settings_schema, self.shown))

    def own_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self.own]

    def engine_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self.fields if name not in self.own]

    def settings(self) -> dict[str, object]:
        return schema.settings_from(self.cleaned_data, self.engine.settings_schema, self.shown)


def _initial(source: Source | None) -> dict[str, object]:
    if source is None:
        return {}
    return {name: getattr(source, name) for name in ("name", "policy", "service", "enabled")}


@admin.register(Source)
class SourceAdmin(ActingAdmin):
    """What is backed up."""

    rights: ClassVar = CONFIGURED
    acts = (acts.BACK_UP,)
    page = "backups/source.html"
    list_display = ("title", "engine", "policy", "failing", "fresh", "schedule")
    list_display_links = ("title",)
    list_filter = ("engine", "policy", "enabled")
    search_fields = ("slug", "name", "engine", "failing_reason")
    ordering = ("name", "pk")
    actions = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[Source]:
        stored = Backup.objects.filter(source=OuterRef("pk"), status=Status.SUCCEEDED.value)
        good = stored.exclude(verification_status=VerificationStatus.FAILED.value).order_by("-completed_at")
        return Source.objects.select_related("policy").annotate(last_good=Subquery(good.values("started_at")[:1]))

    def has_add_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return self.may(request, "add")

    def get_list_display(self, request: HttpRequest) -> list[object]:
        columns: list[object] = list(super().get_list_display(request))
        if not has_right(request.user, acts.BACK_UP.right):
            return columns

        def next_step(row: Source) -> SafeString:
            return format_html('<a class="so-link" href="{}">Back up now</a>', self.url_of(row, "back-up"))

        next_step.short_description = "Next"  # type: ignore[attr-defined]
        return [*columns, next_step]

    @admin.display(description="Source", ordering="name")
    def title(self, row: Source) -> SafeString:
        return format_html('{} <small class="so-aside">{}</small>', row.name, row.slug)

    @admin.display(description="State", ordering="failing_since")
    def failing(self, row: Source) -> SafeString:
        if row.failing_since is not None:
            return format_html('<span title="{}">{}</span>', row.failing_reason, show.pill("bad", "Failing"))
        last_good: datetime | None = row.last_good  # type: ignore[attr-defined]
        if last_good is None:
            return show.pill("bad", "Nothing good yet")
        in_time = timezone.now() - last_good <= timedelta(seconds=row.policy.rpo_seconds)
        return show.pill("good", "Within its RPO") if in_time else show.pill("bad", "Past its RPO")

    @admin.display(description="Last good backup", ordering="last_good")
    def fresh(self, row: Source) -> SafeString:
        return show.when(row.last_good)  # type: ignore[attr-defined]

    @admin.display(description="Schedule", ordering="enabled")
    def schedule(self, row: Source) -> str:
        return "On" if row.enabled else "Off"

    def get_urls(self) -> list[URLPattern]:
        form = path("<int:pk>/settings/", self.admin_site.admin_view(self.settings_view), name=self._name("settings"))
        return [form, *super().get_urls()]

    def details(self, request: HttpRequest, row: models.Model) -> dict[str, object]:
        assert isinstance(row, Source)
        (ready,) = selectors.readiness([row], now=timezone.now())
        shown = sorted(secrets.masked(row.settings, row.sealed_settings).items())
        if problem := secrets.problem(row.sealed_settings):
            shown.append(("secrets", problem))
        return {
            "row": ready.source,
            "ready": ready,
            "shown": shown,
            "engine_label": _label(row.engine),
            "latest": selectors.for_lists().filter(source=row).order_by("-pk")[:LATEST],
            "cadences": ready.source.policy.cadences.select_related("periodic_task__crontab").order_by("pk"),
            "settings_url": self.url_of(row, "settings") if has_right(request.user, CONFIGURE) else "",
        }

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, object] | None = None
    ) -> HttpResponse:
        """First the engine, then what it needs to know."""
        if not has_right(request.user, CONFIGURE):
            raise PermissionDenied
        name = request.GET.get("engine", "")
        if name not in engines:
            listed = [(key, engine.label, sorted(engine.types)) for key, engine in engines]
            return self.shown(request, "backups/engines.html", title="Add a source: choose its engine", engines=listed)
        form = SourceForm(posted(request), engine=engines.get(name))

        def save() -> Source:
            given = {key: form.cleaned_data[key] for key in ("name", "slug", "policy", "service")}
            return config.create_source(
                engine=name, settings=form.settings(), by=request_actor(request), at=timezone.now(), **given
            )

        return self._answer(request, form, save, title=f"Add a source: {engines.get(name).label}")

    def settings_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The source's fields, to be changed."""
        if not has_right(request.user, CONFIGURE):
            raise PermissionDenied
        source = self.row_or_404(request, pk)
        assert isinstance(source, Source)
        try:
            engine = engines.get(source.engine)
        except UnknownName as exc:
            messages.error(request, f"It cannot be changed here: {exc.args[0]}")
            return HttpResponseRedirect(self.url_of(source))
        form = SourceForm(posted(request), engine=engine, source=source)

        def save() -> Source:
            given = {key: form.cleaned_data[key] for key in ("name", "policy", "service", "enabled")}
            return config.change_source(
                source, settings=form.settings(), by=request_actor(request), at=timezone.now(), **given
            )

        return self._answer(request, form, save, title=f"Change {source}", back=self.url_of(source))

    def _answer(
        self, request: HttpRequest, form: SourceForm, save: Callable[[], Source], *, title: str, back: str = ""
    ) -> HttpResponse:
        """To the saved source; or the form, with what is wrong beside each field."""
        if request.method == "POST" and form.is_valid():
            with told_in(form) as told:
                saved = save()
            if not told:
                messages.success(request, f"{saved.name} is saved.")
                return HttpResponseRedirect(self.url_of(saved))
        back = back or reverse("admin:backups_source_changelist")
        return self.shown(request, "backups/source_form.html", title=title, form=form, back=back)


def _label(engine: str) -> str:
    try:
        return engines.get(engine).label
    except UnknownName:
        return f"{engine} (not installed here)"
