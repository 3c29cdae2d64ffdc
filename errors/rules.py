"""What an issue is and how it may change. Pure: no Django, no clock, no I/O."""

from enum import StrEnum


class Status(StrEnum):
    """Where an issue stands with the people who deal with it."""

    UNRESOLVED = "unresolved"
    ACKNOWLEDGED = "acknowledged"
    IGNORED = "ignored"
    RESOLVED = "resolved"


class Severity(StrEnum):
    """How bad an issue is; what each means and how fast somebody must respond is data (SeverityLevel)."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class SeveritySource(StrEnum):
    """Who decided on a severity: the rules, or a person whose word the rules do not change."""

    RULE = "rule"
    MANUAL = "manual"


SEVERITIES = (Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM, Severity.LOW)  # the worst first

MOVES: dict[Status, frozenset[Status]] = {
    Status.UNRESOLVED: frozenset({Status.ACKNOWLEDGED, Status.IGNORED, Status.RESOLVED}),
    Status.ACKNOWLEDGED: frozenset({Status.UNRESOLVED, Status.IGNORED, Status.RESOLVED}),
    Status.IGNORED: frozenset({Status.UNRESOLVED, Status.ACKNOWLEDGED, Status.RESOLVED}),
    Status.RESOLVED: frozenset({Status.UNRESOLVED}),
}


def may_move(old: Status, new: Status) -> bool:
    return new in MOVES[old]


def worse(one: Severity, other: Severity) -> bool:
    """Whether `one` is worse than `other`."""
    return SEVERITIES.index(one) < SEVERITIES.index(other)


class Activity(StrEnum):
    """What is written down in an issue's history."""

    CREATED = "created"
    ACKNOWLEDGED = "acknowledged"
    ASSIGNED = "assigned"
    RESOLVED = "resolved"
    IGNORED = "ignored"
    REOPENED = "reopened"
    REGRESSED = "regressed"
    SEVERITY = "severity"
    COMMENT = "comment"
    MERGED = "merged"
    UNMERGED = "unmerged"
    SLA_NEAR = "sla_near"
    SLA_BREACHED = "sla_breached"


class Kind(StrEnum):
    """The form in which a report arrived."""

    ENVELOPE = "envelope"
    STORE = "store"
    SECURITY = "security"
    PLAIN = "plain"


class Outcome(StrEnum):
    """What became of something that was sent."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    SAMPLED_OUT = "sampled_out"
    RATE_LIMITED = "rate_limited"
    INVALID = "invalid"
    UNDIGESTIBLE = "undigestible"
    UNKNOWN_ITEM = "unknown_item"
    TOO_LARGE = "too_large"
    CLIENT_DISCARD = "client_discard"
