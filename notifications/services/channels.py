"""Channels, routes, and the words of messages: what an installation configures. Every change is audited."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from catalogue.models import Team
from catalogue.rules import address_problem, slug_problem
from notifications.channels.base import drivers
from notifications.models import Channel, Delivery, Message, Route
from notifications.rules import Level
from sysops.access import audit, driver_settings
from sysops.access.actors import Actor
from sysops.access.driver_settings import BadSettings
from sysops.events import publish, wake
from sysops.kernel.registry import UnknownName

DEFAULT_CHANNEL = "email"
TEST_KIND = "notifications.test"
HEALTH = ("failing_since", "failures", "resting_until", "told_broken_at", "last_error", "last_sent_at")
HIDDEN = ["sealed_settings", *HEALTH]
# What of the settings says where the secret is presented.
ADDRESS_SETTINGS = ("host", "port", "url", "security")


def create_channel(
    *, slug: str, name: str, driver: str, settings: Mapping[str, object], by: Actor, at: datetime, enabled: bool = True
) -> Channel:
    """A way to reach people or a place. Raises BadSettings by field; nothing is sent: `test_channel` does that."""
    if problem := slug_problem(slug):
        raise BadSettings({"slug": [problem]})
    public, sealed = _checked(driver, settings)
    try:
        with transaction.atomic():
            channel = Channel.objects.create(
                slug=slug,
                name=name,
                driver=driver,
                settings=public,
                sealed_settings=sealed,
                enabled=enabled,
                created_at=at,
            )
            after = audit.snapshot(channel, exclude=HIDDEN)
            audit.record("notifications.channel.created", by=by, subject=channel, at=at, after=after)
            publish("notifications.channel.created", subject=channel.pk, at=at, data={"slug": slug})
    except IntegrityError:
        raise BadSettings({"slug": [f"There is a channel {slug!r} already; choose another slug"]}) from None
    return channel


def change_channel(
    channel: Channel,
    *,
    by: Actor,
    at: datetime,
    name: str | None = None,
    settings: Mapping[str, object] | None = None,
    enabled: bool | None = None,
) -> Channel:
    """The channel with what is given changed; a secret given as the mask stays as it was. Raises BadSettings.

    Other settings end its rest: what waits is tried again at once.
    """
    with transaction.atomic():
        fresh = Channel.objects.select_for_update().get(pk=channel.pk)
        before, sealed_before = audit.snapshot(fresh, exclude=HIDDEN), fresh.sealed_settings
        if settings is not None:
            stays = driver_settings.MASK
            moved = [f for f in ADDRESS_SETTINGS if settings.get(f) not in (stays, fresh.settings.get(f))]
            kept = [field for field, value in settings.items() if value == driver_settings.MASK]
            if moved and kept:
                # Otherwise whoever may configure could have the stored secret presented to a server of theirs.
                text = f"{', '.join(moved)} changed: enter it again"
                raise BadSettings({f"settings.{field}": [text] for field in kept})
            clear = driver_settings.unmasked(settings, sealed_before)
            fresh.settings, fresh.sealed_settings = _checked(fresh.driver, clear)
            fresh.resting_until = None
        fresh.name = fresh.name if name is None else name
        fresh.enabled = fresh.enabled if enabled is None else enabled
        fresh.save(update_fields=["name", "settings", "sealed_settings", "enabled", "resting_until"])
        after = audit.snapshot(fresh, exclude=HIDDEN)
        if driver_settings.changed(sealed_before, fresh.sealed_settings):
            after["secrets"] = "changed"
        if after != before:
            audit.record("notifications.channel.changed", by=by, subject=fresh, at=at, before=before, after=after)
            publish("notifications.channel.changed", subject=fresh.pk, at=at, data={"slug": fresh.slug})
    return fresh


def remove_channel(channel: Channel, *, by: Actor, at: datetime) -> None:
    """Delete a channel nothing was ever sent through. Raises BadSettings for another one: that can be switched off."""
    try:
        with transaction.atomic():
            before = audit.snapshot(channel, exclude=HIDDEN)
            publish("notifications.channel.deleted", subject=channel.pk, at=at, data={"slug": channel.slug})
            audit.record("notifications.channel.deleted", by=by, subject=channel, at=at, before=before)
            Channel.objects.get(pk=channel.pk).delete()
    except ProtectedError:
        text = f"Messages were sent through {channel.name}; switch it off instead"
        raise BadSettings({"enabled": [text]}) from None


def set_routes(level: Level, channels: Sequence[Channel], *, by: Actor, at: datetime, team: Team | None = None) -> None:
    """Messages of this level go through these channels: for one team, or for every team without routes of its own.

    No channels for a team gives it back the routes of everybody.
    """
    with transaction.atomic():
        mine = Route.objects.filter(level=level.value, team=team)
        before = list(mine.order_by("pk").values_list("channel__slug", flat=True))
        after = [channel.slug for channel in channels]
        if before == after:
            return
        mine.delete()
        Route.objects.bulk_create(Route(level=level.value, team=team, channel=channel) for channel in channels)
        subject = f"routes of {team.slug if team else 'every team'} for {level}"
        audit.record(
            "notifications.routes.changed",
            by=by,
            subject=subject,
            at=at,
            before={"channels": before},
            after={"channels": after},
        )


def ensure_defaults(*, by: Actor, at: datetime) -> None:
    """A channel `email`, configured by the environment, and the default routes; nothing where channels exist.

    Every level goes by e-mail until the installation adds channels for SMS and chat (SPEC A4) and routes to them.
    """
    if Channel.objects.exists():
        return
    channel = create_channel(slug=DEFAULT_CHANNEL, name="E-mail", driver="email", settings={}, by=by, at=at)
    for level in Level:
        set_routes(level, [channel], by=by, at=at)


def test_channel(channel: Channel, *, address: str, by: Actor, at: datetime) -> Delivery:
    """A test message through this channel, on its way: its delivery tells how it went. Raises BadSettings.

    `address` is blank for a channel that leads to a place of its own.
    """
    reaches = drivers.get(channel.driver).reaches
    problem = address_problem(reaches, address) if reaches else ("Leave it blank" if address else None)
    if problem:
        raise BadSettings({"address": [problem]})
    with transaction.atomic():
        message = Message.objects.create(
            key=f"test:{uuid.uuid4()}",
            kind=TEST_KIND,
            level=Level.INFO.value,
            urgent=True,
            context={"channel": channel.name, "author": by.name, "sent_at": at.isoformat()},
            audience={},
            posted_at=at,
            fanned_out_at=at,
            recipients=1,
        )
        delivery = Delivery.objects.create(message=message, channel=channel, address=address, due_at=at)
        audit.record("notifications.channel.tested", by=by, subject=channel, at=at, after={"address": address})
        transaction.on_commit(_wake_sender, robust=True)
    return delivery


def _wake_sender() -> None:
    wake("notifications.send")


def _checked(driver: str, settings: Mapping[str, object]) -> tuple[dict[str, object], str]:
    try:
        schema = drivers.get(driver).settings_schema
    except UnknownName as exc:
        raise BadSettings({"driver": [str(exc)]}) from None
    return driver_settings.split(driver_settings.check(settings, schema), schema)
