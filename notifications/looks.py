"""How channels, messages and deliveries look in the admin: always a word, the colour only underlines it."""

from datetime import datetime

from django.utils.html import format_html
from django.utils.safestring import SafeString

from notifications.channels.base import drivers
from notifications.lists import is_resting
from notifications.models import Channel
from notifications.rules import DeliveryState, Level
from sysops.kernel.clock import utc_now
from sysops.kernel.words import ago_words, span_words
from sysops.pages import show

LEVELS = {Level.INFO: ("run", "Info"), Level.WARNING: ("warn", "Warning"), Level.CRITICAL: ("bad", "Critical")}
STATES = {
    DeliveryState.PENDING: ("wait", "Waiting"),
    DeliveryState.SENDING: ("run", "Being sent"),
    DeliveryState.SENT: ("good", "Sent"),
    DeliveryState.DEAD: ("bad", "Given up"),
    DeliveryState.DROPPED: ("off", "Not true any more"),
}

_SPELT = {"sla": "SLA", "rpo": "RPO", "rto": "RTO"}


def level(value: object) -> SafeString:
    """The pill for a level."""
    return show.pill(*LEVELS.get(Level(str(value)), ("off", str(value))))


def state(value: object) -> SafeString:
    """The pill for the state of a delivery."""
    return show.pill(*STATES[DeliveryState(str(value))])


def kind(value: object) -> str:
    """`maintenance.start_refused` as people read it: "Maintenance: start refused"."""
    app, _, what = str(value).partition(".")
    words = " ".join(_SPELT.get(word, word) for word in what.split("_"))
    return f"{app.replace('_', ' ').capitalize()}: {words}" if what else app


def driver_label(name: str) -> str:
    """What people call the driver; its name when it is not installed any more."""
    return drivers.get(name).label if name in drivers else f"{name} (not installed)"


def health(channel: Channel, *, now: datetime | None = None) -> tuple[str, str]:
    """The tone of a channel's health, and the health in words."""
    now = now or utc_now()
    if channel.driver not in drivers:
        return "bad", "Its driver is not installed"
    if not channel.enabled:
        return "off", "Switched off"
    if channel.failing_since:
        rest = ""
        if channel.refuses:
            rest = ", takes no message"
        elif is_resting(channel, now=now) and channel.resting_until:
            rest = f", tried again in {span_words(channel.resting_until - now)}"
        return "bad", f"Failing since {ago_words(channel.failing_since, now=now)}{rest}"
    if channel.last_error:
        return "warn", "Did not take the last message"
    if channel.last_sent_at:
        return "good", "Works"
    return "off", "Not used yet"


def health_pill(channel: Channel) -> SafeString:
    """The pill for a channel's health, with the last error beside it."""
    tone, words = health(channel)
    if tone in ("bad", "warn") and channel.last_error:
        return format_html('{} <span class="so-words">{}</span>', show.pill(tone, words), channel.last_error)
    return show.pill(tone, words)


def why_not_again(state: str) -> str:
    """Why a delivery in this state was not sent again."""
    if state == DeliveryState.DROPPED:
        return "It was dropped because it is not true any more; it is not sent again."
    if state == DeliveryState.DEAD:
        return "Still nobody knows how to reach them. Add an address or a channel, then send it again."
    return "It is under way already; it is not sent twice."
