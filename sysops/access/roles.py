"""The roles people and tokens have, and which role includes which. Pure."""

from enum import StrEnum


class Role(StrEnum):
    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"
    SECURITY = "security"


VIEWER, OPERATOR, APPROVER, ADMIN, SECURITY = Role

DESCRIPTIONS = {
    VIEWER: "Sees everything but the audit log and the tokens",
    OPERATOR: "Does the daily work: asks for backups, runs windows, handles errors",
    APPROVER: "Also does what can hurt: restores, approvals",
    ADMIN: "Also changes the configuration, people and tokens",
    SECURITY: "Sees everything, the audit log too, and revokes tokens",
}

_INCLUDES = {
    VIEWER: frozenset[Role](),
    OPERATOR: frozenset({VIEWER}),
    APPROVER: frozenset({VIEWER, OPERATOR}),
    SECURITY: frozenset({VIEWER}),
    ADMIN: frozenset({VIEWER, OPERATOR, APPROVER, SECURITY}),
}


def including(role: Role) -> frozenset[Role]:
    """The roles whose rights `role` has: its own and those it includes."""
    return _INCLUDES[role] | {role}
