"""Messages and deliveries: what was said to whom, whether it arrived, and sending it again."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from django.contrib import admin
from django.contrib import messages as flash
from django.contrib.admin.views.main import ChangeList
from django.db import models
from django.db.models import QuerySet
from django.db.models.fields.json import KeyTextTransform
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString

from notifications import lists, looks
from notifications.admin import filters
from notifications.admin.base import REFUSALS, SEEN, VIEW, ActingAdmin
from notifications.models import Delivery, Message
from notifications.rules import MAX_ATTEMPTS, DeliveryState
from notifications.services import rendering
from notifications.services.fan_out import UNREACHED
from notifications.services.sending import send_again
from notifications.templating import Filled
from sysops.access.actors import Actor
from sysops.access.requests import request_actor
from sysops.kernel.words import span_words
from sysops.pages import show
from sysops.pages.acts import Act, Done, LiveAdmin, Refusals

SOON = timedelta(minutes=1)
DEAD_SHOWN = 20
ENDED = frozenset({DeliveryState.SENT.value, DeliveryState.DEAD.value})


class _CountedList(ChangeList):
    """The rows of one page of the list, with where their deliveries are read in one query."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        counts = lists.counts_of(self.result_list)
        for row in self.result_list:
            row.counts = counts[row.pk]


@admin.register(Message)
class MessageAdmin(ActingAdmin):
    """What was posted, and how far it got."""

    rights: ClassVar = SEEN
    page = "notifications/message.html"
    list_display = ("what", "about", "shown_level", "posted", "reached")
    list_display_links = ("what",)
    list_filter = (filters.ByLevel, filters.ByKind, filters.ByPosted)
    search_fields = ("kind", "thread", "key", "context__title")
    search_help_text = "Kind, what it is about, title"
    ordering = ("-id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Message]:
        return lists.messages().annotate(
            of=KeyTextTransform("project", "context"), many=KeyTextTransform("count", "context")
        )

    def get_changelist(self, request: HttpRequest, **kwargs: object) -> type[ChangeList]:
        return _CountedList

    @admin.display(description="Message", ordering="kind")
    def what(self, row: Message) -> str:
        return looks.kind(row.kind)

    @admin.display(description="About")
    def about(self, row: Message) -> SafeString:
        return format_html('<span class="so-wrap">{}</span>', title_of(row))

    @admin.display(description="Level", ordering="level")
    def shown_level(self, row: Message) -> SafeString:
        return looks.level(row.level)

    @admin.display(description="Posted", ordering="id")
    def posted(self, row: Message) -> SafeString:
        return show.when(row.posted_at)

    @admin.display(description="Deliveries")
    def reached(self, row: Message) -> SafeString:
        return reached_words(row, row.counts)  # type: ignore[attr-defined]

    def details(self, request: HttpRequest, row: models.Model) -> dict[str, object]:
        assert isinstance(row, Message)
        url = f"{reverse('admin:notifications_delivery_changelist')}?message__id__exact={row.pk}"
        counts = lists.counts_of([row])[row.pk]
        dead = lists.deliveries().filter(message=row, state=DeliveryState.DEAD.value)
        return {
            "reached": "" if counts.total else reached_words(row, counts),
            "counts": [(looks.state(state), count, f"{url}&state={state}") for state, count in _ordered(counts)],
            "all_url": url,
            "dead": dead[:DEAD_SHOWN],
            "kind": looks.kind(row.kind),
            "facts": _facts(row.context),
            "audience": _facts({name: value for name, value in row.audience.items() if value}),
            "preview": as_read(row, rendering.Recipient()),
        }


@dataclass(frozen=True)
class _Work:
    """What the script says of a delivery that is under way."""

    title: str
    words: str


def _again(row: models.Model, _: Mapping[str, object], by: Actor, at: datetime) -> Done:
    assert isinstance(row, Delivery)
    if not send_again([row], by=by, at=at):
        row.refresh_from_db(fields=["state"])
        return Done(looks.why_not_again(row.state), level=flash.WARNING)
    return Done("It is sent again; below you see how it goes.")


def _will_again(row: models.Model) -> Sequence[str]:
    assert isinstance(row, Delivery)
    to = row.name or row.address or row.channel.name
    twice = ["It was sent once: whoever reads it gets it again."] if row.state == DeliveryState.SENT.value else []
    return [
        f"The message goes to {to} through {row.channel.name} with a fresh series of attempts, under the same id.",
        *twice,
    ]


def _ended(row: models.Model) -> bool:
    assert isinstance(row, Delivery)
    return row.state in ENDED


AGAIN = Act("send-again", "Send again…", VIEW, _again, _will_again, when=_ended, icon="replay", tone="main")


@admin.register(Delivery)
class DeliveryAdmin(ActingAdmin, LiveAdmin):
    """One message, one address, one channel."""

    rights: ClassVar = {**SEEN, "again": VIEW}
    refusals: ClassVar[Refusals] = REFUSALS
    acts = (AGAIN,)
    next_acts: ClassVar = ("send-again",)
    page = "pages/live_page.html"
    body = "notifications/delivery_body.html"
    list_display = ("to", "what", "shown_state", "through", "moment")
    list_display_links = ("to",)
    list_filter = (
        filters.ByState,
        ("channel", filters.ByRelated),
        filters.OfMessageLevel,
        filters.OfMessageKind,
        filters.OfPosted,
    )
    search_fields = ("address", "name", "=public_id")
    search_help_text = "Address, name, or the id in a Message-ID or webhook-id"
    actions = ("send_selected_again",)
    ordering = ("-id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        return lists.deliveries()

    def has_again_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "again")

    @admin.display(description="To", ordering="address")
    def to(self, row: Delivery) -> SafeString:
        return recipient(row)

    @admin.display(description="Message", ordering="message__kind")
    def what(self, row: Delivery) -> SafeString:
        title = getattr(row, "title", None)
        about = format_html(' <small class="so-aside">{}</small>', title) if title else ""
        words = (looks.kind(row.message.kind), looks.level(row.message.level), about)
        return format_html('<span class="so-wrap">{} {}{}</span>', *words)

    @admin.display(description="State", ordering="state")
    def shown_state(self, row: Delivery) -> SafeString:
        if row.error and row.state in (DeliveryState.DEAD.value, DeliveryState.PENDING.value):
            clipped = format_html('<span class="so-clip so-aside" title="{}">{}</span>', row.error, row.error)
            return format_html("{} {}", looks.state(row.state), clipped)
        return looks.state(row.state)

    @admin.display(description="Through", ordering="channel__name")
    def through(self, row: Delivery) -> str:
        return row.channel.name

    @admin.display(description="When", ordering="id")
    def moment(self, row: Delivery) -> SafeString:
        return show.when(row.sent_at or row.ended_at or row.due_at)

    @admin.action(description="Send again", permissions=["again"])
    def send_selected_again(self, request: HttpRequest, rows: QuerySet[Delivery]) -> None:
        """What is not ended is left alone, and said."""
        chosen = rows.count()
        count = send_again(rows, by=request_actor(request), at=timezone.now())
        flash.success(request, f"Sent again: {count} of {chosen}.")
        if count < chosen:
            flash.warning(request, f"{chosen - count} are still under way or not true any more; they were left alone.")

    def under_way(self, row: models.Model) -> bool:
        assert isinstance(row, Delivery)
        soon = row.state == DeliveryState.PENDING.value and row.due_at <= timezone.now() + SOON
        return soon or row.state == DeliveryState.SENDING.value

    def page_context(self, request: HttpRequest, row: models.Model) -> dict[str, object]:
        assert isinstance(row, Delivery)
        said = _Work(str(row), looks.STATES[DeliveryState(row.state)][1])
        return {**super().page_context(request, row), "work": said}

    def details(self, request: HttpRequest, row: models.Model) -> dict[str, object]:
        assert isinstance(row, Delivery)
        to = rendering.Recipient(row.address, row.name, row.zone, row.outside)
        return {
            "to": recipient(row),
            "kind": looks.kind(row.message.kind),
            "waits": _waits(row, now=timezone.now()),
            "most": MAX_ATTEMPTS,
            "fallbacks": lists.deliveries().filter(fallback_of=row).order_by("pk")[:DEAD_SHOWN],
            "preview": as_read(row.message, to),
        }


def recipient(row: Delivery) -> SafeString:
    """Whom or what a delivery is for."""
    if row.address.startswith(UNREACHED):
        return format_html('{} <span class="so-text-bad">no way known</span>', row.name or "nobody")
    where = row.address or f"the place of {row.channel.name}"
    if row.outside:
        return format_html('<span class="so-wrap">{}</span> <span class="so-aside">outside</span>', where)
    if row.name and row.address:
        return format_html('{} <small class="so-aside so-wrap">{}</small>', row.name, where)
    return format_html('<span class="so-wrap">{}</span>', row.name or where)


def as_read(message: Message, to: rendering.Recipient) -> Filled:
    """The message in words, without the links by which whoever looks here could act for its reader."""
    shown = Message(kind=message.kind, level=message.level, context=dict(message.context))
    if message.kind == rendering.CONFIRM:
        shown.context.pop("subscription_id", None)
    made = rendering.render(shown, to)
    link, filled = made.unsubscribe_url, made.filled
    if not link:
        return filled
    html = filled.html.replace(link, "#").replace(escape(link), "#")
    return Filled(filled.subject, filled.text.replace(link, "(a link of their own)"), html)


def title_of(row: Message) -> str:
    """What the message is about in words, where it says them."""
    of, many = getattr(row, "of", None), getattr(row, "many", None)
    several = f"{many} issue{'' if many == '1' else 's'} of {of}" if of and many else of
    return str(getattr(row, "title", None) or several or row.thread or row.key)


def reached_words(row: Message, counts: lists.Counts) -> SafeString:
    """How far a message got, what went wrong first."""
    if row.fanned_out_at is None:
        return show.pill("wait", "Recipients are being looked up")
    parts = []
    if counts.dead:
        parts.append(show.pill("bad", f"{counts.dead:,} given up"))
    if counts.waiting:
        parts.append(show.pill("wait", f"{counts.waiting:,} waiting"))
    if counts.sent:
        parts.append(show.pill("good", f"{counts.sent:,} sent"))
    if counts.dropped:
        parts.append(show.pill("off", f"{counts.dropped:,} not true any more"))
    if row.expired_because and not counts.total:
        parts.append(show.pill("off", row.expired_because))
    if not parts:
        return show.pill("off", "Nobody to tell")
    return format_html('<span class="so-links">{}</span>', format_html_join(" ", "{}", ((part,) for part in parts)))


def _ordered(counts: lists.Counts) -> list[tuple[DeliveryState, int]]:
    order = (
        DeliveryState.DEAD,
        DeliveryState.PENDING,
        DeliveryState.SENDING,
        DeliveryState.SENT,
        DeliveryState.DROPPED,
    )
    return [(state, counts.by_state[state.value]) for state in order if counts.by_state.get(state.value)]


def _facts(stored: Mapping[str, object]) -> list[tuple[str, str]]:
    """JSON as names and words, to be escaped by the page."""
    return [
        (name.replace("_", " "), value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in stored.items()
        if value not in (None, "")
    ]


def _waits(row: Delivery, *, now: datetime) -> str:
    """Why a delivery that waits is not sent yet."""
    if row.state != DeliveryState.PENDING.value:
        return ""
    if not row.channel.enabled:
        return f"{row.channel.name} is switched off. Switch it on, or after a day another channel is used."
    if lists.is_resting(row.channel, now=now):
        return f"{row.channel.name} fails as a whole and rests; it is tried again by itself."
    if row.due_at > now:
        why = "Tried again" if row.attempt else "Held back, by the quiet hours of who gets it, and sent"
        return f"{why} in {span_words(row.due_at - now)}."
    return "It is its turn as soon as a worker is free."
