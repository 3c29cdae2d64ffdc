"""`{% load told %}`: the words of notifications for templates."""

from django import template

from notifications import looks

register = template.Library()
register.filter("level", looks.level)
register.filter("delivery_state", looks.state)
register.filter("kind", looks.kind)
register.filter("health", looks.health_pill)
