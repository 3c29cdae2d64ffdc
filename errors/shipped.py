"""What is decided before anybody decided anything: the levels of severity and the rules Sysops comes with (E5, E6).

Data, not law: levels and rules are rows that people change; what is here is only put where there is none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from errors.rules import Severity

HOUR = 3_600
_TROUBLE = ["fatal", "error", "warning"]
_SERIOUS = ["fatal", "error"]


@dataclass(frozen=True)
class Level:
    """A severity, what it means, and how fast somebody must respond."""

    severity: Severity
    meaning: str
    respond_within_seconds: int


@dataclass(frozen=True)
class Rule:
    """One rule Sysops comes with."""

    slug: str
    name: str
    severity: Severity
    conditions: Mapping[str, object] = field(default_factory=dict)


LEVELS = (
    Level(Severity.CRITICAL, "The system is down, data are lost, or there is a security breach.", 0),
    Level(
        Severity.HIGH, "A feature is unavailable, it is slower by more than half, or several accounts meet it.", HOUR
    ),
    Level(Severity.MEDIUM, "Not critical, slower by less than half, or one account meets it.", 4 * HOUR),
    Level(Severity.LOW, "A minor flaw of the interface, of logging, or anything that blocks nobody.", 24 * HOUR),
)

RULES = (
    Rule("crash", "The application reports it as fatal", Severity.CRITICAL, {"level": ["fatal"]}),
    Rule(
        "data-loss",
        "Data may be lost or damaged",
        Severity.CRITICAL,
        {
            "level": _SERIOUS,
            "message": [
                "*data loss*",
                "*lost data*",
                "*data corrupt*",
                "*corrupted data*",
                "*database disk image is malformed*",
                "*invalid page in block*",
                "*could not read block*",
                "*checksum mismatch*",
            ],
        },
    ),
    Rule(
        "storage-full",
        "There is no room left",
        Severity.CRITICAL,
        {"level": _SERIOUS, "message": ["*no space left on device*", "*disk full*", "*disk quota exceeded*"]},
    ),
    Rule(
        "security-breach",
        "It looks like a breach of security",
        Severity.CRITICAL,
        {
            "level": _TROUBLE,
            "message": ["*security breach*", "*sql injection*", "*privilege escalation*", "*unauthorised access to*"],
        },
    ),
    Rule("tagged-security", "It is tagged as a security matter", Severity.CRITICAL, {"tag": {"security": "*breach*"}}),
    Rule(
        "system-down",
        "Very many accounts meet it at once",
        Severity.CRITICAL,
        {"level": _SERIOUS, "accounts_at_least": 50, "events_at_least": 200, "within_minutes": 10},
    ),
    Rule("several-accounts", "Several accounts meet it", Severity.HIGH, {"level": _TROUBLE, "accounts_at_least": 2}),
    Rule(
        "unavailable",
        "Something it needs cannot be reached",
        Severity.HIGH,
        {
            "level": _SERIOUS,
            "error_type": [
                "*ConnectionError",
                "*ConnectionRefused*",
                "*OperationalError",
                "*ServiceUnavailable*",
                "*Unavailable",
                "*UnavailableException",
            ],
        },
    ),
    Rule(
        "timeout",
        "It takes too long",
        Severity.HIGH,
        {"level": _SERIOUS, "error_type": ["*Timeout", "*TimeoutError", "*TimeoutException", "*TimeoutExpired"]},
    ),
    Rule("memory", "There is not enough memory", Severity.HIGH, {"error_type": ["MemoryError", "*OutOfMemory*"]}),
    Rule(
        "slower-by-half",
        "It is slower by more than half",
        Severity.HIGH,
        {"tag": {"slowdown_percent": "> 50"}},
    ),
    Rule(
        "often",
        "It happens a hundred times an hour",
        Severity.HIGH,
        {"level": _SERIOUS, "events_at_least": 100, "within_minutes": 60},
    ),
    Rule("not-an-error", "It only warns or informs", Severity.LOW, {"level": ["warning", "info", "debug"]}),
    Rule(
        "minor-interface",
        "A flaw of the interface that blocks nobody",
        Severity.LOW,
        {"error_type": ["ResizeObserver*", "AbortError"], "level": ["error", "warning", "info", "debug"]},
    ),
    Rule("minor-logging", "Logging itself failed", Severity.LOW, {"message": ["--- logging error ---*"]}),
)
