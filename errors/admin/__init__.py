"""Errors in the admin."""
