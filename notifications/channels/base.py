"""What a channel driver is: how it is configured, what it is handed, what it says when it cannot send."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from sysops.kernel.registry import Registry


@dataclass(frozen=True)
class Letter:
    """One message for one address, in words and as data. `id` is stable: a second try of it bears the same one."""

    id: str
    to: str  # blank: the channel leads to one place, named in its settings
    name: str
    level: str
    subject: str  # one line
    text: str
    html: str
    kind: str
    posted_at: datetime
    thread: str = ""  # letters of one thread belong together
    unsubscribe_url: str = ""
    data: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Receipt:
    """It was accepted by the other side, which may have a name for it."""

    provider_id: str = ""


class SendError(Exception):
    """It was not accepted; the message says why, without secrets.

    `permanent`: trying this address again is of no use. `whole_channel`: nobody else can be reached through this
    channel now either (the server is away, the password is wrong). `retry_after`: what the other side asked for.
    `in_doubt`: it may have been accepted all the same, so each try may be a repeat, and counts.
    """

    def __init__(
        self,
        message: str,
        *,
        permanent: bool = False,
        whole_channel: bool = False,
        retry_after: timedelta | None = None,
        in_doubt: bool = False,
    ) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.whole_channel = whole_channel
        self.retry_after = retry_after
        self.in_doubt = in_doubt


class Sender(Protocol):
    """An open way out, used for many letters one after the other."""

    def send(self, letter: Letter) -> Receipt:
        """Raises SendError."""
        ...


class Driver(Protocol):
    """One kind of channel.

    `reaches` is the kind of contact address it needs of a person (catalogue.rules.Channel), or "" when it leads to
    one place named in its settings. Properties of `settings_schema` (JSON Schema) with `"writeOnly": true` are kept
    sealed.
    """

    label: str
    reaches: str
    settings_schema: Mapping[str, object]

    def open(self, settings: Mapping[str, object]) -> AbstractContextManager[Sender]:
        """A sender for one batch. Raises SendError, mostly with `whole_channel`."""
        ...


drivers: Registry[Driver] = Registry("channel driver", group="sysops.channels")
