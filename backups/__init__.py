"""Backups that prove themselves: sources, policies, engines, stores, verification, restore."""
