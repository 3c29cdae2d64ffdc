"""`{% load page %}`: the words of sysops.pages.show for templates."""

from django import template

from sysops.pages import show

register = template.Library()
register.filter("size", show.size)
register.filter("when", show.when)
register.filter("span", show.span)
register.simple_tag(show.icon, name="icon")
