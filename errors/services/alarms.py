"""The alert of an issue: what it is called, and its end."""

from datetime import datetime

from alerting import services as alerting
from alerting.rules import Ending
from errors.models import Issue


def issue_key(issue_id: int) -> str:
    """The alert that says that somebody must look at an issue."""
    return f"errors.issue:{issue_id}"


def end_alert(issue: Issue, *, detail: str, ending: Ending, at: datetime) -> None:
    """The issue is not one for an alert any more."""
    alerting.resolve(key=issue_key(issue.pk), detail=detail, ending=ending, at=at)
