"""What the pages of this app share: rights, the look, and what services refuse with, in plain words."""

from typing import ClassVar

from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.template.response import TemplateResponse

from errors import looks
from errors.models import WrongState
from sysops.pages import acts

VIEW, MANAGE, CONFIGURE = "errors.view", "errors.manage", "errors.configure"
CONFIGURED = {"view": VIEW, "add": CONFIGURE, "change": CONFIGURE, "delete": CONFIGURE}

# What services refuse with, in words for people. Anything else is a fault of ours and may be a 500.
REFUSALS: acts.Refusals = (WrongState, ValidationError)


class ActingAdmin(acts.ActingAdmin):
    """Rows that only the services of this app write."""

    refusals: ClassVar = REFUSALS

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """What the address of a list may ask: not a pattern, which PostgreSQL may not be able to read."""
        return not lookup.endswith("regex") and super().lookup_allowed(lookup, value, request)

    def shown(self, request: HttpRequest, template: str, **context: object) -> TemplateResponse:
        """A page within the frame of the admin; its title may be what somebody reported."""
        titled = {name: looks.plain(context[name]) for name in ("title",) if name in context}
        return super().shown(request, template, **{**context, **titled})

    class Media:
        css: ClassVar = {"all": ["errors/errors.css"]}
