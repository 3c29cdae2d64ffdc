"""Backup stores: one driver per kind of place, behind backups.stores.base.Store."""
