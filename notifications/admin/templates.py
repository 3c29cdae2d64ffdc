"""The words of messages: every kind, shipped or changed, with a live preview before anything is saved."""

import re
from typing import ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from notifications import looks, samples, templating
from notifications.admin.base import CONFIGURE, SEEN, ActingAdmin, told_in
from notifications.admin.forms import WordsForm
from notifications.models import MessageTemplate
from notifications.services import words
from notifications.services.rendering import changed_words, preview
from notifications.templating import BadWords, Filled, Words
from sysops.access.requests import request_actor
from sysops.access.rights import has_right
from sysops.pages.acts import posted

FIELDS = ("subject", "text", "html")


@admin.register(MessageTemplate)
class MessageTemplateAdmin(ActingAdmin):
    """One page with every kind, and one per kind."""

    rights: ClassVar = SEEN

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("kinds/<str:kind>/", wrap(self.edit_view), name=self._name("edit")),
            path("kinds/<str:kind>/preview/", wrap(self.preview_view), name=self._name("preview")),
            path("kinds/<str:kind>/reset/", wrap(self.reset_view), name=self._name("reset")),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, object] | None = None) -> HttpResponse:
        """Every kind of message, those changed here first."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        changed = {row.kind: row for row in MessageTemplate.objects.order_by("kind")}
        kinds = [
            (kind, looks.kind(kind), changed.get(kind)) for kind in {**changed, **dict.fromkeys(templating.kinds())}
        ]
        kinds.sort(key=lambda entry: (entry[2] is None, entry[0]))
        return self.shown(request, "notifications/templates.html", title="Words of messages", kinds=kinds)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, object] | None = None
    ) -> HttpResponse:
        row = self.row_or_404(request, object_id)
        assert isinstance(row, MessageTemplate)
        return HttpResponseRedirect(self._url("edit", row.kind))

    def edit_view(self, request: HttpRequest, kind: str) -> HttpResponse:
        """The words of one kind in a form, and what becomes of them beside it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        may, kind = has_right(request.user, CONFIGURE), _known(kind)
        if request.method == "POST" and not may:
            raise PermissionDenied
        current = changed_words().get(kind)
        now = current or templating.shipped(kind)
        form = WordsForm(posted(request), initial={name: getattr(now, name) for name in FIELDS})
        if request.method == "POST" and form.is_valid() and "try" not in request.POST:
            with told_in(form) as told:
                words.change_words(kind, _entered(form), by=request_actor(request), at=timezone.now())
            if not told:
                messages.success(request, f"{looks.kind(kind)}: saved. Messages sent from now on use these words.")
                return HttpResponseRedirect(request.path)
        shown, problems = _preview(kind, _entered(form) if form.is_bound and form.is_valid() else now)
        return self.shown(
            request, "notifications/template.html", title=looks.kind(kind), kind=kind, form=form, preview=shown,
            problems=problems, changed=current is not None, may_change=may, names=_names(kind),
            preview_url=self._url("preview", kind), reset_url=self._url("reset", kind),
            back=reverse(f"admin:{self._name('changelist')}"),
        )  # fmt: skip

    def preview_view(self, request: HttpRequest, kind: str) -> JsonResponse:
        """What the posted words become, with a made-up message; nothing is saved."""
        if not has_right(request.user, CONFIGURE) or request.method != "POST":
            raise PermissionDenied
        form = WordsForm(request.POST)
        if not form.is_valid():
            problems = {name: " ".join(str(text) for text in texts) for name, texts in form.errors.items()}
            return JsonResponse({"problems": problems})
        shown, problems = _preview(_known(kind), _entered(form))
        return JsonResponse(
            {"problems": problems, **({name: getattr(shown, name) for name in FIELDS} if shown else {})}
        )

    def reset_view(self, request: HttpRequest, kind: str) -> HttpResponse:
        """The shipped words again."""
        if not has_right(request.user, CONFIGURE) or request.method != "POST":
            raise PermissionDenied
        words.reset_words(_known(kind), by=request_actor(request), at=timezone.now())
        messages.success(request, f"{looks.kind(kind)} has the shipped words again.")
        return HttpResponseRedirect(self._url("edit", kind) if kind in templating.kinds() else self._list())

    def _url(self, name: str, kind: str) -> str:
        return reverse(f"admin:{self._name(name)}", args=[kind])

    def _list(self) -> str:
        return reverse(f"admin:{self._name('changelist')}")


def _known(kind: str) -> str:
    if kind not in templating.kinds() and not MessageTemplate.objects.filter(kind=kind).exists():
        raise Http404("There is no such kind of message")
    return kind


def _entered(form: WordsForm) -> Words:
    # A browser sends line ends as CR LF.
    return Words(*(re.sub(r"\r\n?", "\n", form.cleaned_data[name]) for name in FIELDS))


def _preview(kind: str, entered: Words) -> tuple[Filled | None, dict[str, str]]:
    try:
        return preview(kind, entered), {}
    except BadWords as exc:
        return None, {exc.field: str(exc)}


def _names(kind: str) -> list[str]:
    """What the words of this kind may name."""
    return sorted({*samples.sample(kind), "name", "zone", "outside", "base_url", "unsubscribe_url"})
