"""Backups over HTTP: API.md, section Backups."""
