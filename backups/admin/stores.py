"""Stores: where finished backups lie."""

from collections.abc import Mapping
from typing import ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import Count, QuerySet, Sum
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminTextInputWidget

from backups.admin import acts
from backups.admin.base import CONFIGURE, CONFIGURED, ActingAdmin, told_in
from backups.models import Backup, Store
from backups.rules import Status
from backups.services import config
from backups.stores.base import Store as StoreDriver
from backups.stores.base import stores
from sysops.access import driver_settings as secrets
from sysops.access.requests import request_actor
from sysops.access.rights import has_right
from sysops.pages import schema, show
from sysops.pages.acts import posted


class StoreForm(forms.Form):
    """A new store: its own fields, then those its driver asks for."""

    name = forms.CharField(max_length=200, widget=UnfoldAdminTextInputWidget)
    slug = forms.SlugField(max_length=80, widget=UnfoldAdminTextInputWidget)

    def __init__(self, data: Mapping[str, object] | None, *, driver: type[StoreDriver]) -> None:
        super().__init__(data)
        self.driver = driver
        self.own = list(self.fields)
        self.fields.update(schema.fields_for(driver.settings_schema, None))

    def own_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self.own]

    def engine_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self.fields if name not in self.own]

    def clean_slug(self) -> str:
        slug: str = self.cleaned_data["slug"]
        if Store.objects.filter(slug=slug).exists():
            raise forms.ValidationError(f"There is a store {slug!r} already; choose another slug")
        return slug


@admin.register(Store)
class StoreAdmin(ActingAdmin):
    """Where finished backups lie. A store is not changed once backups lie there: add another one."""

    rights: ClassVar = CONFIGURED
    acts = (acts.TRY_STORE,)
    page = "backups/store.html"
    list_display = ("name", "slug", "driver")
    search_fields = ("slug", "name")
    ordering = ("name", "pk")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Store]:
        return Store.objects.order_by("name", "pk")

    def get_list_display(self, request: HttpRequest) -> list[object]:
        """The columns, with the sums of all stores read once."""
        figures = {
            row["store"]: (row["count"], row["bytes"])
            for row in _stored_backups().values("store").annotate(count=Count("pk"), bytes=Sum("size_bytes")).order_by()
        }

        def stored(row: Store) -> str:
            return f"{figures.get(row.pk, (0, 0))[0]:,}"

        def held(row: Store) -> SafeString:
            return show.size(figures.get(row.pk, (0, 0))[1] or 0)

        stored.short_description, held.short_description = "Backups stored", "Size"  # type: ignore[attr-defined]
        return ["name", "slug", "driver", stored, held]

    def has_add_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return self.may(request, "add")

    def details(self, request: HttpRequest, row: models.Model) -> dict[str, object]:
        assert isinstance(row, Store)
        return {
            "shown": sorted(secrets.masked(row.settings, row.sealed_settings).items()),
            "figures": _stored_backups().filter(store=row).aggregate(count=Count("pk"), bytes=Sum("size_bytes")),
            "policies": row.policies.order_by("name"),
        }

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, object] | None = None
    ) -> HttpResponse:
        if not has_right(request.user, CONFIGURE):
            raise PermissionDenied
        names = stores.names()
        name = request.GET.get("driver", names[0] if len(names) == 1 else "")
        if name not in stores:
            listed: list[tuple[str, str, list[str]]] = [(key, driver.label, []) for key, driver in stores]
            return self.shown(request, "backups/engines.html", title="Add a store: choose its kind", engines=listed)
        form = StoreForm(posted(request), driver=stores.get(name))
        if request.method == "POST" and form.is_valid():
            with told_in(form) as told:
                settings = schema.settings_from(form.cleaned_data, form.driver.settings_schema, None)
                store = config.create_store(
                    slug=form.cleaned_data["slug"], name=form.cleaned_data["name"], driver=name, settings=settings,
                    by=request_actor(request), at=timezone.now(),
                )  # fmt: skip
            if not told:
                messages.success(request, f"{store} is saved; a small file was written there and removed.")
                return HttpResponseRedirect(self.url_of(store))
        title, back = f"Add a store: {stores.get(name).label}", reverse("admin:backups_store_changelist")
        return self.shown(request, "backups/source_form.html", title=title, form=form, back=back)


def _stored_backups() -> QuerySet[models.Model]:
    return Backup.objects.filter(status=Status.SUCCEEDED.value)
