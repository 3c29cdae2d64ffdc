"""The tables of errors: where reports come from, what waits, issues and events, and the rules as data."""

from errors.models.beside import Attachment, CheckIn, Feedback, SessionCount
from errors.models.events import Event, HourCount, TagKey, TagValue
from errors.models.issues import Account, AccountSketch, ActivityEntry, Announcement, Grouping, Issue, WrongState
from errors.models.policy import AssignmentRule, SeverityLevel, SeverityRule
from errors.models.projects import Key, OutcomeCount, Project, Release
from errors.models.spool import DigestAttempt, Spool, Undigestible

__all__ = [
    "Account",
    "AccountSketch",
    "ActivityEntry",
    "Announcement",
    "AssignmentRule",
    "Attachment",
    "CheckIn",
    "DigestAttempt",
    "Event",
    "Feedback",
    "Grouping",
    "HourCount",
    "Issue",
    "Key",
    "OutcomeCount",
    "Project",
    "Release",
    "SessionCount",
    "SeverityLevel",
    "SeverityRule",
    "Spool",
    "TagKey",
    "TagValue",
    "Undigestible",
    "WrongState",
]
