"""Acts: one button, one page that says what will happen, one service call; what is refused is said in plain words."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
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
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from sysops.access.actors import Actor
from sysops.access.audited import ReadOnlyModelAdmin
from sysops.access.requests import request_actor
from sysops.access.rights import has_right

Column = Callable[[models.Model], SafeString]
Refusals = tuple[type[Exception], ...]


def words_of(exc: Exception) -> str:
    """What a refusal says to people."""
    return str(exc.args[0]) if exc.args else type(exc).__name__


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
    refusals: ClassVar[Refusals] = ()  # what services refuse with; anything else is a fault of ours and may be a 500
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

    def told_in(self, form: forms.Form) -> AbstractContextManager[list[Exception]]:
        """What a service refuses inside the block is said in the form."""
        return told_in(form, refusals=self.refusals)

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
            with self.told_in(form) as told:
                done = act.do(row, form.cleaned_data, request_actor(request), timezone.now())
            if not told:
                messages.add_message(request, done.level, done.words)
                return HttpResponseRedirect(done.url or self.url_of(row))
        context: dict[str, object] = {"act": act, "original": row, "form": form, "will": act.will(row)}
        title = f"{act.verb}: {row}"
        return self.shown(request, "pages/act.html", title=title, back=self.url_of(row), **context)


def posted(request: HttpRequest) -> QueryDict | None:
    """What was posted, also when that is nothing; None when the page is only looked at."""
    return request.POST if request.method == "POST" else None


@contextmanager
def told_in(
    form: forms.Form,
    *,
    refusals: Refusals,
    fields_of: Callable[[Exception], Mapping[str, Sequence[str]]] = lambda exc: {},
) -> Iterator[list[Exception]]:
    """What a service refuses inside the block is said in the form, beside its field where `fields_of` names one.

    The list holds what was refused; empty when all went well.
    """
    told: list[Exception] = []
    try:
        yield told
    except (ValidationError, *refusals) as exc:  # type: ignore[misc]  # mypy cannot see through the star
        told.append(exc)
        problems = fields_of(exc)
        if not problems and isinstance(exc, ValidationError):
            problems = exc.message_dict if hasattr(exc, "error_dict") else {"": exc.messages}
        for name, texts in (problems or {"": [words_of(exc)]}).items():
            for text in texts:
                form.add_error(name if name in form.fields else None, text)


def for_each(
    request: HttpRequest,
    rows: Sequence[models.Model],
    do: Callable[[models.Model], object],
    *,
    done: str,
    refusals: Refusals,
) -> None:
    """Do one thing to many rows; say how many it was done to and why not to the others."""
    refused: list[str] = []
    for row in rows:
        try:
            do(row)
        except refusals as exc:
            refused.append(str(exc))
    count = len(rows) - len(refused)
    if count:
        messages.success(request, f"{done}: {count} of {len(rows)}.")
    for reason in list(dict.fromkeys(refused))[:10]:
        messages.warning(request, reason)


class LiveAdmin(ActingAdmin):
    """Rows whose page follows the work while it runs: the script asks for the page's body again."""

    body: ClassVar[str]
    next_acts: ClassVar[tuple[str, ...]] = ()  # those offered in lists

    def get_urls(self) -> list[URLPattern]:
        live = path("<int:pk>/live/", self.admin_site.admin_view(self.live_view), name=self._name("live"))
        return [live, *super().get_urls()]

    def live_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The body of the page as it is now."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = self.row_or_404(request, pk)
        context = self.page_context(request, row)
        return TemplateResponse(request, "pages/live_part.html", context, headers={"Cache-Control": "no-store"})

    def under_way(self, row: models.Model) -> bool:
        """Whether the page is to be followed."""
        raise NotImplementedError

    def page_context(self, request: HttpRequest, row: models.Model) -> dict[str, object]:
        live_url = self.url_of(row, "live") if self.under_way(row) else ""
        return {**super().page_context(request, row), "body": self.body, "live_url": live_url}

    def get_list_display(self, request: HttpRequest) -> Sequence[str | Column]:
        """The columns, and what this person may do next with each row."""
        columns = super().get_list_display(request)
        mine = any(has_right(request.user, act.right) for act in self.acts)
        return [*columns, self._next_column(request)] if mine else columns

    def _next_column(self, request: HttpRequest) -> Column:
        def next_step(row: models.Model) -> SafeString:
            links = format_html_join(
                " ",
                '<a class="so-link" href="{}">{}</a>',
                ((b.url, b.short) for b in self.buttons(request, row) if b.name in self.next_acts),
            )
            return format_html('<span class="so-links">{}</span>', links)

        next_step.short_description = "Next"  # type: ignore[attr-defined]
        return next_step
