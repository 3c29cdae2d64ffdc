"""Rows that are entered in one form: adding, changing and, for who may only look, reading."""

from datetime import datetime
from typing import ClassVar

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from errors.admin.base import CONFIGURE, CONFIGURED, ActingAdmin
from sysops.access.actors import Actor
from sysops.access.requests import request_actor
from sysops.access.rights import has_right


class FormAdmin(ActingAdmin):
    """One form for adding and changing; the service that saves says what it refuses."""

    rights: ClassVar = CONFIGURED
    page = "errors/form.html"
    intro: ClassVar[str] = ""

    def entry_form(self, request: HttpRequest, row: models.Model | None) -> forms.Form:
        """The form with what was posted or what is stored."""
        raise NotImplementedError

    def save(self, form: forms.Form, row: models.Model | None, *, by: Actor, at: datetime) -> models.Model:
        """What the service made of the entered values."""
        raise NotImplementedError

    def has_add_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return self.may(request, "add")

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, object] | None = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        return self.entered(request, None)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, object] | None = None
    ) -> HttpResponse:
        """The row in its form; who may not change it finds the fields closed."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return self.entered(request, self.row_or_404(request, object_id))

    def entered(self, request: HttpRequest, row: models.Model | None) -> HttpResponse:
        """The form; after a successful save, the list."""
        may_change = has_right(request.user, CONFIGURE)
        if request.method == "POST" and not may_change:
            raise PermissionDenied
        form = self.entry_form(request, row)
        if request.method == "POST" and form.is_valid():
            with self.told_in(form) as told:
                saved = self.save(form, row, by=request_actor(request), at=timezone.now())
            if not told:
                messages.success(request, f"{saved} is saved.")
                return HttpResponseRedirect(self.saved_url(saved))
        for field in form.fields.values():
            field.disabled = not may_change
        name = str(self.opts.verbose_name)
        context: dict[str, object] = {
            "title": f"Add {'an' if name[0] in 'aeiou' else 'a'} {name}" if row is None else str(row),
            "form": form,
            "original": row,
            "intro": self.intro,
            "may_change": may_change,
            "buttons": self.buttons(request, row) if row is not None else (),
            "back": self.back_url(row),
        }
        return self.shown(request, self.page, **context)

    def back_url(self, row: models.Model | None) -> str:
        return reverse(f"admin:{self._name('changelist')}")

    def saved_url(self, row: models.Model) -> str:
        return self.back_url(row)
