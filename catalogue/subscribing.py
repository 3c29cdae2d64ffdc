"""Who may be written to, and how often. Pure: no Django, no clock, no network."""

import re
from datetime import datetime, timedelta

from catalogue.rules import LONGEST_ADDRESS, SubscriptionState

LINK_LIVES = timedelta(days=3)
ASK_AGAIN_AFTER = timedelta(minutes=15)  # one confirmation link for one service
LINKS_AN_HOUR = 5  # to one address, for whatever services: a stranger's sign-ups must not fill somebody's inbox
FORGET_UNCONFIRMED_AFTER = timedelta(days=7)
FORGET_ENDED_AFTER = timedelta(days=30)

# What mail servers accept without quoting: no comma or bracket that would make two recipients of one in a header.
EMAIL_PATTERN = (
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]{0,61}[A-Za-z0-9]"
)
_EMAIL = re.compile(EMAIL_PATTERN)
NO_EMAIL = "Give a plain e-mail address, such as ada@example.org; a domain with other letters in its xn-- form."


def email_problem(email: str) -> str | None:
    """Why nobody can be written to there, or None."""
    if len(email) > LONGEST_ADDRESS:
        return f"An address has at most {LONGEST_ADDRESS} characters."
    if not _EMAIL.fullmatch(email) or len(email.partition("@")[0]) > 64:
        return NO_EMAIL
    return None


def may_ask(state: SubscriptionState, *, asked_at: datetime | None, asked_this_hour: int, now: datetime) -> bool:
    """Whether a confirmation link is mailed for a sign-up now."""
    if state is SubscriptionState.CONFIRMED:
        return False  # nothing to confirm
    if asked_at is not None and now - asked_at < ASK_AGAIN_AFTER:
        return False
    return asked_this_hour < LINKS_AN_HOUR
