"""The admin's base: rights by name instead of Django's table permissions, and every change in the audit log.

@admin.register(Policy)
class PolicyAdmin(AuditedModelAdmin):
    rights = {"view": "backups.view", "add": "backups.configure", "change": "backups.configure",
              "delete": "backups.configure"}
"""

from collections.abc import Mapping
from typing import ClassVar

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import BaseModelAdmin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import QuerySet
from django.forms import BaseModelFormSet, Field, ModelForm
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.text import capfirst
from unfold.admin import ModelAdmin, StackedInline, TabularInline

from sysops.access import audit
from sysops.access.audit import Note
from sysops.access.requests import request_actor
from sysops.access.rights import has_right

Facts = dict[str, object]
FormSet = BaseModelFormSet[models.Model, ModelForm[models.Model]]


class Righted(BaseModelAdmin[models.Model]):
    """Permissions by declared rights: `rights` maps view, add, change and delete; what is not named, nobody may."""

    rights: ClassVar[Mapping[str, str]] = {}

    def may(self, request: HttpRequest, what: str) -> bool:
        right = self.rights.get(what)
        return right is not None and has_right(request.user, right)

    def has_view_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return self.may(request, "view") or self.may(request, "change")

    def has_add_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return self.may(request, "add")

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return self.may(request, "change")

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return self.may(request, "delete")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def formfield_for_dbfield(
        self, db_field: "models.Field[object, object]", request: HttpRequest, **kwargs: object
    ) -> Field | None:
        """The form's field; that of a moment says in which zone it is read."""
        field: Field | None = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and isinstance(db_field, models.DateTimeField):
            field.help_text = ". ".join(filter(None, [str(field.help_text).rstrip("."), "In UTC."]))
        return field


class RightedTabularInline(Righted, TabularInline):
    """Rows of a related table on the page of their parent, audited with it."""


class RightedStackedInline(Righted, StackedInline):
    """As RightedTabularInline, one form below the other."""


class RightedModelAdmin(Righted, ModelAdmin):
    """unfold's ModelAdmin with rights. Its list is called by what is in it, and takes any choice of rows."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, object] | None = None) -> HttpResponse:
        named = {"title": capfirst(str(self.opts.verbose_name_plural)), **(extra_context or {})}
        answer: HttpResponse = super().changelist_view(request, named)
        return answer

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """The list. Its header counts, and offers to show all, only where something is left out."""
        found: ChangeList = super().get_changelist_instance(request)
        if found.full_result_count is None and not (found.query or found.has_active_filters):
            found.full_result_count = found.result_count
        return found

    def response_action(self, request: HttpRequest, queryset: QuerySet[models.Model]) -> HttpResponseBase | None:
        """What the action answers; None, and nothing done, when what was chosen names no row: Django would crash."""
        chosen = request.POST.getlist(ACTION_CHECKBOX_NAME)
        if chosen and not _has_any(queryset, chosen):
            words = "Nothing was done: what was chosen is not in this list, or not any more."
            self.message_user(request, words, messages.WARNING)
            return None
        answer: HttpResponseBase | None = super().response_action(request, queryset)
        return answer


class AuditedModelAdmin(RightedModelAdmin):
    """unfold's ModelAdmin with rights, and with before and after of every change in the audit log.

    Fields named in `audit_exclude` stay out of it; secrets are masked by their names. Actions call services, which
    audit by themselves.
    """

    audit_exclude: ClassVar[tuple[str, ...]] = ()

    def save_model(self, request: HttpRequest, obj: models.Model, form: ModelForm[models.Model], change: bool) -> None:
        before = self._stored(type(obj), [obj.pk]).get(obj.pk) if change else None
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            self._note(request, [self._saved(obj, before)])

    def save_related(
        self, request: HttpRequest, form: ModelForm[models.Model], formsets: list[FormSet], change: bool
    ) -> None:
        before = _links(form.instance)
        with transaction.atomic():
            super().save_related(request, form, formsets, change)
            old, new = audit.differences(before, _links(form.instance))
            if new:
                self._note(request, [Note(_action(form.instance, "changed"), form.instance, old, new)])

    def save_formset(self, request: HttpRequest, form: ModelForm[models.Model], formset: FormSet, change: bool) -> None:
        model: type[models.Model] = formset.model  # type: ignore[assignment]
        before = self._stored(model, [f.instance.pk for f in formset.initial_forms])
        with transaction.atomic():
            super().save_formset(request, form, formset, change)
            notes = [self._saved(row, None) for row in formset.new_objects]
            notes += [self._saved(row, before.get(row.pk)) for row, _ in formset.changed_objects]
            # A deleted row has lost its key; what it was is kept by the key it had.
            left = set(self._stored(model, list(before)))
            notes += [_gone(model, key, facts) for key, facts in before.items() if key not in left]
            self._note(request, notes)

    def delete_model(self, request: HttpRequest, obj: models.Model) -> None:
        with transaction.atomic():
            facts = self._facts(obj)
            self._note(request, [Note(_action(obj, "deleted"), obj, facts, None)])
            super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[models.Model]) -> None:
        with transaction.atomic():
            self._note(request, [Note(_action(row, "deleted"), row, self._facts(row), None) for row in queryset])
            super().delete_queryset(request, queryset)

    def _saved(self, row: models.Model, before: Facts | None) -> Note | None:
        after = self._facts(row)
        if before is None:
            return Note(_action(row, "added"), row, None, after)
        old, new = audit.differences(before, after)
        return Note(_action(row, "changed"), row, old, new) if new else None

    def _stored(self, model: type[models.Model], keys: list[object]) -> dict[object, Facts]:
        rows = model._default_manager.filter(pk__in=[key for key in keys if key is not None])
        return {row.pk: self._facts(row) for row in rows}

    def _facts(self, row: models.Model) -> Facts:
        return audit.snapshot(row, exclude=self.audit_exclude)

    def _note(self, request: HttpRequest, notes: list[Note | None]) -> None:
        found = [note for note in notes if note is not None]
        if found:
            audit.record_many(found, by=request_actor(request), at=timezone.now())


class ReadOnlyModelAdmin(AuditedModelAdmin):
    """For records that only services write: seen with the right `view`, changed by nobody."""

    def has_add_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False


def _has_any(rows: QuerySet[models.Model], keys: list[str]) -> bool:
    """Whether one of the keys is a row's. False when one of them can be no key at all: nobody chose that in a list."""
    try:
        return rows.filter(pk__in=keys).exists()
    except (ValueError, ValidationError):
        return False


def _action(row: models.Model, what: str) -> str:
    return f"{row._meta.app_label}.{row._meta.model_name}.{what}"


def _gone(model: type[models.Model], key: object, facts: Facts) -> Note:
    meta = model._meta
    return Note(f"{meta.app_label}.{meta.model_name}.deleted", f"{meta.label_lower}:{key}", facts, None)


def _links(row: models.Model) -> Facts:
    """What a row is linked to through many-to-many fields, by name."""
    if row.pk is None:
        return {}
    return {
        field.name: sorted(str(other) for other in getattr(row, field.name).all()) for field in row._meta.many_to_many
    }
