"""One thing done to several issues: the page that says what will happen and asks for the rest, and the doing."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from errors import looks, selectors
from errors.admin import acts
from errors.admin.base import MANAGE
from errors.admin.forms import ManyForm
from errors.models import Issue
from errors.services import merging
from sysops.access.requests import request_actor
from sysops.pages.acts import Act, for_each, posted

if TYPE_CHECKING:
    from errors.admin.issues import IssueAdmin

MOST = 200  # their numbers stand in the address
LISTED = 15
NAMES = (*acts.TOGETHER, "merge")
DONE = {"resolve": "Resolved", "assign": "Assigned", "ignore": "Ignored"}


def answer(model_admin: "IssueAdmin", request: HttpRequest, name: str) -> HttpResponse:
    """The page, or back to the list when it is done."""
    rows = _rows(request)
    if not rows:
        raise Http404("None of these issues is there any more")
    if name == "merge":
        return _merge(model_admin, request, rows)
    act = acts.TOGETHER[name]
    form = act.form(posted(request), row=rows[0])
    if request.method == "POST" and form.is_valid():
        given, by, at = form.cleaned_data, request_actor(request), timezone.now()
        for_each(request, rows, lambda row: act.do(row, given, by, at), done=DONE[name], refusals=model_admin.refusals)
        return HttpResponseRedirect(reverse("admin:errors_issue_changelist"))
    will = [*act.will(rows[0]), *_listed(rows)]
    return _page(model_admin, request, act, form, will, rows)


def _merge(model_admin: "IssueAdmin", request: HttpRequest, rows: list[Issue]) -> HttpResponse:
    form = ManyForm(posted(request))
    field = form.fields["target"]
    assert isinstance(field, forms.ChoiceField)
    field.choices = [(str(row.pk), _line(row)) for row in rows]
    field.initial = str(min(rows, key=lambda row: row.first_seen).pk)
    if request.method == "POST" and form.is_valid():
        target = next(row for row in rows if str(row.pk) == form.cleaned_data["target"])
        others = [row for row in rows if row is not target]
        with model_admin.told_in(form) as told:
            merging.merge(target, others, by=request_actor(request), at=timezone.now())
        if not told:
            messages.success(request, f"{len(others)} merged into issue {target.pk}.")
            return HttpResponseRedirect(model_admin.url_of(target))
    act = Act("merge", "Merge", MANAGE, acts.merge, acts.MERGE.will, icon="merge")
    return _page(model_admin, request, act, form, act.will(rows[0]), rows)


def _page(
    model_admin: "IssueAdmin", request: HttpRequest, act: Act, form: forms.Form, will: object, rows: list[Issue]
) -> HttpResponse:
    context: Mapping[str, object] = {"act": act, "form": form, "will": will}
    title = f"{act.verb} {len(rows)} issue{'' if len(rows) == 1 else 's'}"
    back = reverse("admin:errors_issue_changelist")
    return model_admin.shown(request, "pages/act.html", title=title, back=back, **context)


def _rows(request: HttpRequest) -> list[Issue]:
    """Those of the asked issues that this person sees."""
    given = [text for text in request.GET.get("ids", "").split(",") if text.isascii() and text.isdigit()]
    keys = [int(text) for text in given[:MOST] if len(text) <= 15]
    return list(selectors.visible_issues(request.user).filter(pk__in=keys).order_by("pk"))


def _line(row: Issue) -> str:
    return f"#{row.pk} {looks.plain(row)} ({row.event_count:,} events)"


def _listed(rows: list[Issue]) -> list[str]:
    more = [f"and {len(rows) - LISTED} more"] if len(rows) > LISTED else []
    return [*(_line(row) for row in rows[:LISTED]), *more]
