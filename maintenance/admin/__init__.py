"""Maintenance in the admin: the calendar, windows and what may be done with them, series."""

from maintenance.admin import series, windows

__all__ = ["series", "windows"]
