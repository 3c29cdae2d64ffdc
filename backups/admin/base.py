"""What the pages of this app share: rights, acts (one button, one page, one service call), errors in plain words."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from backups.admin.schema import PREFIX
from backups.engines.base import EngineError
from backups.models import WrongState
from backups.secrets import BadSettings
from backups.services.requests import Busy
from backups.stores.base import StoreError
from sysops.access.actors import Actor
from sysops.access.audited import ReadOnlyModelAdmin
from sysops.access.requests import request_actor
from sysops.access.rights import has_right
from sysops.kernel.registry import UnknownName

VIEW, REQUEST, RESTORE, CONFIGURE = "backups.view", "backups.request", "backups.restore", "backups.configure"
RELEASE = "backups.release_hold"
CONFIGURED = {"view": VIEW, "add": CONFIGURE, "change": CONFIGURE, "delete": CONFIGURE}
SEEN = {"view": VIEW}

# What services refuse with, in words for people. Anything else is a fault of ours and may be a 500.
REFUSALS = (WrongState, Busy, StoreError, EngineError, UnknownName)


@dataclass(frozen=True)
class Done:
    """What an act did, in words, and where to look at it."""

    words: str
    url: str = ""
    level: int = messages.SUCCESS


class ActForm(forms.Form):
    """What an act asks for; `row` is what it is done to."""

    def __init__(self, *args: object, row: models.Model, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.row = row


@dataclass(frozen=True)
class Act:
    """One thing a person may do to one row: a button, and a page that says what will happen before it does."""

    name: str
    label: str
    right: str
    do: Callable[[models.Model, Mapping[str, object], Actor, datetime], Done]
    will: Callable[[models.Model], Sequence[str]]
    when: Callable[[models.Model], bool] = field(default=lambda row: True)
    form: type[ActForm] = ActForm
    icon: str = "arrow_forward"
    tone: str = "plain"  # of the button: main, plain, danger

    @property
    def verb(self) -> str:
        """The label where no more questions follow."""
        return self.label.rstrip("…")


@dataclass(frozen=True)
class Button:
    """An act as a page shows it."""

    name: str
    label: str
    url: str
    icon: str
    tone: str

    @property
    def short(self) -> str:
        """The label where many stand in a column."""
        return self.label.removesuffix("…").removesuffix(" now").removesuffix(" the server")


class ActingAdmin(ReadOnlyModelAdmin):
    """Rows that only services write, with acts on them. `page` is the template of one row."""

    acts: ClassVar[tuple[Act, ...]] = ()
    page: ClassVar[str]
    list_filter_submit = True
    show_facets = admin.ShowFacets.NEVER  # a count for every value of every filter
    list_fullwidth = True
    show_full_result_count = False
    list_per_page = 50

    def get_urls(self) -> list[URLPattern]:
        pages = [
            path(f"<int:pk>/{act.name}/", self._page_of(act), name=self._name(act.name)) for act in self.acts
        ]  # before Django's own, which take any text for a key
        return [*pages, *super().get_urls()]

    def buttons(self, request: HttpRequest, row: models.Model) -> list[Button]:
        """The acts this person may do to the row as it is now."""
        return [
            Button(act.name, act.label, reverse(f"admin:{self._name(act.name)}", args=[row.pk]), act.icon, act.tone)
            for act in self.acts
            if has_right(request.user, act.right) and act.when(row)
        ]

    def details(self, request: HttpRequest, row: models.Model) -> dict[str, object]:
        """What the page of a row shows besides the row."""
        return {}

    def row_or_404(self, request: HttpRequest, pk: object) -> models.Model:
        row: models.Model | None = self.get_object(request, str(pk))
        if row is None:
            raise Http404(f"There is no {self.opts.verbose_name} {pk}")
        return row

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, object] | None = None
    ) -> HttpResponse:
        """Everything about one row, to be read."""
        if request.method not in ("GET", "HEAD") or not self.has_view_permission(request):
            raise PermissionDenied
        row = self.row_or_404(request, object_id)
        return self.shown(request, self.page, title=str(row), original=row, **self.page_context(request, row))

    def page_context(self, request: HttpRequest, row: models.Model) -> dict[str, object]:
        return {"row": row, "buttons": self.buttons(request, row), **self.details(request, row)}

    def shown(self, request: HttpRequest, template: str, **context: object) -> TemplateResponse:
        """A page within the frame of the admin."""
        frame = {**self.admin_site.each_context(request), "opts": self.opts, **context}
        return TemplateResponse(request, template, frame)

    def url_of(self, row: models.Model, name: str = "change") -> str:
        return reverse(f"admin:{self._name(name)}", args=[row.pk])

    def _name(self, name: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{name.replace('-', '_')}"

    def _page_of(self, act: Act) -> Callable[..., HttpResponse]:
        def page(request: HttpRequest, pk: int) -> HttpResponse:
            return self._act(request, pk, act)

        wrapped: Callable[..., HttpResponse] = self.admin_site.admin_view(page)
        return wrapped

    def _act(self, request: HttpRequest, pk: int, act: Act) -> HttpResponse:
        if not has_right(request.user, act.right):
            raise PermissionDenied
        row = self.row_or_404(request, pk)
        form = act.form(posted(request), row=row)
        if request.method == "POST" and form.is_valid():
            with told_in(form) as told:
                done = act.do(row, form.cleaned_data, request_actor(request), timezone.now())
            if not told:
                messages.add_message(request, done.level, done.words)
                return HttpResponseRedirect(done.url or self.url_of(row))
        context: dict[str, object] = {"act": act, "original": row, "form": form, "will": act.will(row)}
        title = f"{act.verb}: {row}"
        return self.shown(request, "backups/act.html", title=title, back=self.url_of(row), **context)


def posted(request: HttpRequest) -> QueryDict | None:
    """What was posted, also when that is nothing; None when the page is only looked at."""
    return request.POST if request.method == "POST" else None


@contextmanager
def told_in(form: forms.Form) -> Iterator[list[Exception]]:
    """What a service refuses inside the block is said in the form, beside its field where there is one.

    The list holds what was refused; empty when all went well.
    """
    told: list[Exception] = []
    try:
        yield told
    except BadSettings as exc:
        told.append(exc)
        for name, texts in exc.errors.items():
            setting = PREFIX + name.removeprefix("settings.").split(".")[0]
            field = next((key for key in (name, setting) if key in form.fields), None)
            for text in texts:
                form.add_error(field, text)
    except ValidationError as exc:  # of a row that a library checks when it is saved
        told.append(exc)
        form.add_error(None, exc.messages)
    except REFUSALS as exc:
        told.append(exc)
        form.add_error(None, str(exc.args[0]) if exc.args else type(exc).__name__)


def for_each(
    request: HttpRequest, rows: Sequence[models.Model], do: Callable[[models.Model], object], *, done: str
) -> None:
    """Do one thing to many rows; say how many it was done to and why not to the others."""
    refused: list[str] = []
    for row in rows:
        try:
            do(row)
        except (BadSettings, *REFUSALS) as exc:
            refused.append(str(exc))
    count = len(rows) - len(refused)
    if count:
        messages.success(request, f"{done}: {count} of {len(rows)}.")
    for reason in list(dict.fromkeys(refused))[:10]:
        messages.warning(request, reason)
