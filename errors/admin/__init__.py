"""Errors in the admin: issues and what may be done about them, projects, keys, rules, what was not digested."""

from errors.admin import issues, policy, projects, undigestible

__all__ = ["issues", "policy", "projects", "undigestible"]
