"""`{% load page %}`: the words of sysops.pages.show for templates, and the pages that refuse."""

from django import template
from django.template import Context
from django.utils.safestring import SafeString

from sysops.pages import refused, show

register = template.Library()
register.filter("size", show.size)
register.filter("when", show.when)
register.filter("span", show.span)
register.simple_tag(show.icon, name="icon")


@register.simple_tag(takes_context=True)
def missing_page(context: Context) -> SafeString:
    """The whole of 404.html."""
    return refused.missing(context["request"], context["exception"])


@register.simple_tag(takes_context=True)
def forbidden_page(context: Context) -> SafeString:
    """The whole of 403.html."""
    return refused.forbidden(context["request"], context["exception"])


@register.simple_tag(takes_context=True)
def too_old_page(context: Context) -> SafeString:
    """The whole of 403_csrf.html."""
    return refused.too_old(context["request"])
