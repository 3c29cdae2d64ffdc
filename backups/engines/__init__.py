"""Backup engines: one driver per kind of source, behind backups.engines.base.Engine."""
