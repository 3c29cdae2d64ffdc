"""Backups in the admin. Every write is one service call; rights decide who sees which button."""

from backups.admin import plan, records, sources, stores

__all__ = ["plan", "records", "sources", "stores"]
