"""`{% load issue %}`: the words of errors.looks for templates."""

from django import template

from errors import looks

register = template.Library()
register.filter("plain", looks.plain)
register.filter("severity", looks.severity)
register.filter("figure", looks.figure)
register.filter("several_lines", lambda text: "\n" in str(text))
