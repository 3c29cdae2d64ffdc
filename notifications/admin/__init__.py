"""Notifications in the admin. Every write is one service call; rights decide who sees which button."""

from notifications.admin import channels, records, routes, templates

__all__ = ["channels", "records", "routes", "templates"]
