"""How issues look in pages: always a word, the colour only underlines it."""

import re
from datetime import UTC, datetime, timedelta

from django.utils.html import format_html
from django.utils.safestring import SafeString

from errors import sla as sla_rules
from errors.models import Issue
from errors.rules import Activity, Outcome, Severity, SeveritySource, Status
from sysops.kernel.words import ago_words, span_words
from sysops.pages import show

SEVERITIES = {
    Severity.CRITICAL: ("bad", "Critical"),
    Severity.HIGH: ("warn", "High"),
    Severity.MEDIUM: ("run", "Medium"),
    Severity.LOW: ("off", "Low"),
}
STATUSES = {
    Status.UNRESOLVED: ("bad", "Unresolved"),
    Status.ACKNOWLEDGED: ("run", "Acknowledged"),
    Status.IGNORED: ("off", "Ignored"),
    Status.RESOLVED: ("good", "Resolved"),
}
OUTCOMES = {
    Outcome.ACCEPTED: ("good", "Stored"),
    Outcome.DUPLICATE: ("off", "Sent twice, stored once"),
    Outcome.SAMPLED_OUT: ("off", "Not kept by design"),
    Outcome.RATE_LIMITED: ("warn", "Refused: over the quota"),
    Outcome.INVALID: ("warn", "Refused"),
    Outcome.UNDIGESTIBLE: ("bad", "Kept aside: could not be digested"),
    Outcome.UNKNOWN_ITEM: ("off", "Skipped: kind not known"),
    Outcome.TOO_LARGE: ("warn", "Refused: too large"),
    Outcome.CLIENT_DISCARD: ("off", "Dropped by the SDK itself"),
}
ACTIVITIES = {
    Activity.CREATED: ("add_alert", "First seen"),
    Activity.ACKNOWLEDGED: ("visibility", "Acknowledged"),
    Activity.ASSIGNED: ("person", "Assigned"),
    Activity.RESOLVED: ("check_circle", "Resolved"),
    Activity.IGNORED: ("notifications_off", "Ignored"),
    Activity.REOPENED: ("undo", "Reopened"),
    Activity.REGRESSED: ("replay", "Came back"),
    Activity.SEVERITY: ("priority_high", "Severity changed"),
    Activity.COMMENT: ("chat", "Comment"),
    Activity.MERGED: ("merge", "Merged"),
    Activity.UNMERGED: ("call_split", "Split off"),
    Activity.SLA_NEAR: ("timer", "Deadline is near"),
    Activity.SLA_BREACHED: ("timer_off", "Deadline missed"),
}
# Marks that turn the direction of text: with them a line reads otherwise than it is. Shown by their number instead.
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def plain(text: object) -> str:
    """Text of an event as it really is: marks that hide or turn it are shown by their numbers."""
    marked = _TURNING.sub(lambda mark: f"‹U+{ord(mark[0]):04X}›", str(text))
    return _CONTROLS.sub("\ufffd", marked)


def severity(value: object) -> SafeString:
    return show.pill(*SEVERITIES[Severity(str(value))])


def status(issue: Issue) -> SafeString:
    """The status; an issue that came back says so."""
    if issue.status == Status.UNRESOLVED and issue.regressed_at:
        return show.pill("bad", "Came back")
    return show.pill(*STATUSES[Status(issue.status)])


def severity_because(issue: Issue) -> str:
    """Why the severity is what it is."""
    if issue.severity_source == SeveritySource.MANUAL:
        return issue.severity_because or "Set by hand; the rules do not change it"
    return issue.severity_because or "No rule fits"


def waits(issue: Issue) -> bool:
    """Whether somebody must respond yet."""
    return issue.responded_at is None and issue.status == Status.UNRESOLVED and issue.respond_by is not None


def sla_words(issue: Issue, *, now: datetime) -> tuple[str, str]:
    """The tone of the deadline, and how much of it is left."""
    if issue.respond_by is None:
        return "off", "No deadline"
    if issue.responded_at is not None:
        late = issue.responded_at > issue.respond_by and issue.breached_at is not None
        return ("warn", "Responded late") if late else ("good", "Responded")
    if issue.status in (Status.RESOLVED, Status.IGNORED):
        return "off", "Not needed"
    late_at = sla_rules.breaches_at(issue.near_at, issue.respond_by)
    if now >= late_at:
        return "bad", f"{_rough(now - issue.respond_by)} overdue"
    near = issue.near_at is not None and now >= issue.near_at
    return ("warn" if near else "wait"), f"{_rough(late_at - now)} left"


def _rough(span: timedelta) -> str:
    """A span without seconds, where it is longer than a minute."""
    whole = timedelta(minutes=span // timedelta(minutes=1))
    return span_words(whole or timedelta(seconds=span // timedelta(seconds=1)))


def sla(issue: Issue, *, now: datetime) -> SafeString:
    tone, words = sla_words(issue, now=now)
    if issue.respond_by is None:
        return show.NOTHING
    return format_html(
        '<span title="{}">{}</span>', f"Respond by {issue.respond_by:%Y-%m-%d %H:%M} UTC", show.pill(tone, words)
    )


def ago(moment: datetime, *, now: datetime) -> SafeString:
    """How long ago it was; the exact time in its title. For lists, where every column counts."""
    exact = moment.astimezone(UTC)
    return format_html(
        '<time class="so-figure" datetime="{}" title="{}">{}</time>',
        exact.isoformat(timespec="seconds"),
        f"{exact:%Y-%m-%d %H:%M:%S} UTC",
        ago_words(moment, now=now),
    )


def long_text(text: str, *, most: int = 200) -> SafeString:
    """Text of a cell that grows with it: whole on a phone; where there are columns it ends in dots, at a word."""
    if len(text) <= most:
        return format_html('<span class="so-wrap so-long-text">{}</span>', text)
    cut = text.rfind(" ", 0, most)
    head = text[: cut if cut > 0 else most]
    return format_html(
        '<span class="so-wrap so-long-text" title="{}">{}<span class="so-wide-only"> …</span>'
        '<span class="so-narrow-only">{}</span></span>',
        text,
        head,
        text[len(head) :],
    )


def figure(count: object) -> str:
    """A count with its thousands apart."""
    return f"{count:,}" if isinstance(count, int) else str(count)


def accounts(issue: Issue) -> SafeString:
    """How many accounts are affected; about how many, where they were estimated."""
    about = "" if issue.accounts_exact else "about "
    title = "" if issue.accounts_exact else "Estimated, within about 2 %"
    return format_html('<span class="so-figure" title="{}">{}{}</span>', title, about, f"{issue.affected_accounts:,}")
