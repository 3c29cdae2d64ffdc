"""A message in words for one recipient: changed words where they can be filled in, the shipped ones otherwise."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from catalogue import links
from catalogue.models import Subscription
from notifications import templating
from notifications.channels.base import Letter
from notifications.models import Delivery, Message, MessageTemplate
from notifications.personal import link_makers
from notifications.rules import known_zone
from notifications.samples import sample
from notifications.templating import BadWords, Filled, Words

logger = logging.getLogger(__name__)

CONFIRM = "catalogue.confirm_subscription"


@dataclass(frozen=True)
class Recipient:
    """What of a recipient shows in the words. `outside`: a subscriber who is nobody of ours.

    With `person` and `at` the words offer what this person may do by a link at that moment; the admin, where others
    read along, leaves them out.
    """

    address: str = ""
    name: str = ""
    zone: str = "UTC"
    outside: bool = False
    person: int | None = None
    at: datetime | None = None


@dataclass(frozen=True)
class Rendered:
    """The words, the data they were made of, and why the changed words were not used ("" when all is well)."""

    filled: Filled
    data: Mapping[str, object]
    unsubscribe_url: str
    problem: str


def changed_words() -> dict[str, Words]:
    """The words this installation has changed, by kind. One query."""
    rows = MessageTemplate.objects.values_list("kind", "subject", "text", "html")
    return {kind: Words(subject, text, html) for kind, subject, text, html in rows}


def render(message: Message, recipient: Recipient, *, changed: Mapping[str, Words] | None = None) -> Rendered:
    """The message as this recipient reads it. Words that cannot be filled in never cost a message."""
    words = (changed_words() if changed is None else changed).get(message.kind)
    data = {name: value for name, value in message.context.items() if name != "url" or not recipient.outside}
    unsubscribe_url = ""
    if recipient.outside and message.kind != CONFIRM:
        unsubscribe_url = links.unsubscribe_url(recipient.address)
    context = _context(message, data, recipient, unsubscribe_url)
    zone = known_zone(recipient.zone)
    problem = ""
    if words is not None:
        try:
            return Rendered(templating.fill(words, context, zone=zone), data, unsubscribe_url, "")
        except BadWords as exc:
            problem = f"The changed {exc.field} of {message.kind} is broken, the shipped words were sent: {exc}"
            logger.warning(problem)
    return Rendered(
        templating.fill(templating.shipped(message.kind), context, zone=zone), data, unsubscribe_url, problem
    )


def letter(delivery: Delivery, *, changed: Mapping[str, Words], at: datetime) -> tuple[Letter, str]:
    """What a driver is handed for this delivery, and why changed words were not used ("" when all is well)."""
    message = delivery.message
    to = Recipient(delivery.address, delivery.name, delivery.zone, delivery.outside, delivery.person_id, at)
    made = render(message, to, changed=changed)
    return (
        Letter(
            id=str(delivery.public_id),
            to=delivery.address,
            name=templating.one_line(delivery.name),
            level=message.level,
            subject=made.filled.subject,
            text=made.filled.text,
            html=made.filled.html,
            kind=message.kind,
            posted_at=message.posted_at,
            thread=message.thread,
            unsubscribe_url=made.unsubscribe_url,
            data=made.data,
        ),
        made.problem,
    )


def preview(kind: str, words: Words | None = None, *, zone: str = "UTC", outside: bool = False) -> Filled:
    """The words (without any, those in force) filled in with a made-up context. Raises BadWords by field."""
    words = words or changed_words().get(kind) or templating.shipped(kind)
    unsubscribe_url = f"{links.base_url()}/subscriptions/end/…" if outside else ""
    message = Message(kind=kind, level="warning", context=sample(kind))
    recipient = Recipient(address="ada@example.org", name="Ada", zone=zone, outside=outside)
    return templating.fill(words, _context(message, message.context, recipient, unsubscribe_url), zone=zone)


def _context(
    message: Message, data: Mapping[str, object], recipient: Recipient, unsubscribe_url: str
) -> dict[str, object]:
    # What a poster left out is blank: the engine would take a missing argument of a filter for a mistake.
    blank = dict.fromkeys(sample(message.kind), "")
    context: dict[str, object] = {
        **blank,
        "level": message.level,
        **data,
        "kind": message.kind,
        "facts": [(name.replace("_", " "), value) for name, value in data.items() if name not in ("title", "url")],
        "name": recipient.name,
        "zone": recipient.zone,
        "outside": recipient.outside,
        "base_url": links.base_url(),
        "unsubscribe_url": unsubscribe_url,
    }
    if message.kind == CONFIRM and "subscription_id" in data:
        # Made here and not stored: whoever may look at messages could otherwise confirm for somebody else.
        subscription = Subscription.objects.filter(pk=int(str(data["subscription_id"]))).first()
        context["confirm_url"] = links.confirm_url(subscription) if subscription else ""
    if recipient.person is not None and recipient.at is not None:
        # Into the words only: what webhooks are handed is `data`, and it must not hold what acts in a person's name.
        for _, links_for in link_makers:
            context.update(links_for(data, person=recipient.person, at=recipient.at))
    return context
