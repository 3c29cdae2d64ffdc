"""Pages that stand for one that is not there or may not be seen: what is missing, in plain words, and a way on."""

import re

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.exceptions import NotRegistered
from django.contrib.admin.options import ModelAdmin
from django.db import models
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString

COPY = "If you came by a link of a message, copy the whole of it."
GONE = "It may have been deleted, or it is one that you may not see."
ASK = "Somebody who looks after users here can give you a role that includes it."
AGAIN = "Go back, reload the page and send it again."
ADDRESS = (
    "If that does not help, Sysops does not know the address it is used by: SYSOPS_PUBLIC_URL has to be what your "
    "browser shows. The log says what did not fit."
)


def missing(request: HttpRequest, reason: str) -> SafeString:
    """The page for what is not there; `reason` is the text of the exception, or its name where it has none."""
    ours = " " in reason and "matches the given query" not in reason  # Django's sentence names classes
    title = reason.rstrip(".") if ours else "There is nothing at this address"
    return _page(request, title, [GONE], outside=[COPY])


def forbidden(request: HttpRequest, reason: str) -> SafeString:
    """The page for what somebody may not see or do."""
    words = [reason] if reason else [_roles(request), ASK]
    return _page(request, "You may not see or do this", words, outside=[reason or COPY])


def too_old(request: HttpRequest) -> SafeString:
    """The page for a form without a valid guard: mostly one that was opened before signing in again elsewhere."""
    title = "Nothing was done: the page was opened before you last signed in"
    return _page(request, title, [AGAIN, ADDRESS], outside=[AGAIN, ADDRESS])


def _page(request: HttpRequest, title: str, words: list[str], *, outside: list[str]) -> SafeString:
    """With the frame of the admin for its people; others see no address of ours."""
    if not getattr(getattr(request, "user", None), "is_staff", False):
        return render_to_string("pages/refused_outside.html", {"title": title, "words": outside})
    context: dict[str, object] = {**admin.site.each_context(request), "title": title, "words": words}
    page = _admin_below(request.path)
    if page is not None and page.has_view_permission(request):
        context["opts"] = page.opts
        context["list_url"] = reverse(f"admin:{page.opts.app_label}_{page.opts.model_name}_changelist")
    return render_to_string("pages/refused.html", context, request=request)


def _admin_below(path: str) -> "ModelAdmin[models.Model] | None":
    """Whose pages the address lies below."""
    found = re.match(re.escape(reverse("admin:index")) + r"(\w+)/(\w+)/.", path)
    try:
        return admin.site.get_model_admin(apps.get_model(found[1], found[2])) if found else None
    except (LookupError, NotRegistered):
        return None


def _roles(request: HttpRequest) -> str:
    names = ", ".join(sorted(group.name for group in request.user.groups.all()))
    who = f"You are signed in as {request.user.get_username()}"
    return f"{who} with the role {names}, which does not include it." if names else f"{who}, who has no role yet."
