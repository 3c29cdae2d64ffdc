"""The alerts of an issue: which there can be, and their end."""

from datetime import datetime

from alerting import services as alerting
from alerting.rules import Ending
from errors.models import Issue


def issue_key(issue_id: int) -> str:
    """The alert that says that somebody must look at an issue."""
    return f"errors.issue:{issue_id}"


def sla_key(issue_id: int) -> str:
    """The alert that says that nobody has responded to an issue in time."""
    return f"errors.sla:{issue_id}"


def end_alerts(issue: Issue, *, detail: str, ending: Ending, at: datetime) -> None:
    """Nobody has to look at the issue any more."""
    end_issue_alert(issue, detail=detail, ending=ending, at=at)
    end_sla_alert(issue, detail=detail, at=at)


def end_issue_alert(issue: Issue, *, detail: str, ending: Ending, at: datetime) -> None:
    """The issue is not one for an alert any more."""
    end(issue_key(issue.pk), detail=detail, ending=ending, at=at)


def end_sla_alert(issue: Issue, *, detail: str, at: datetime) -> None:
    """Somebody has responded; the alert of the issue itself stays until it is resolved or ignored."""
    end(sla_key(issue.pk), detail=detail, ending=Ending.TAKEN_CARE_OF, at=at)


def end(key: str, *, detail: str, ending: Ending, at: datetime) -> None:
    """One alert of these keys has ended."""
    alerting.resolve(key=key, detail=detail, ending=ending, at=at)
