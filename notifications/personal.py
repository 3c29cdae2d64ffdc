"""Links by which the reader of a message acts at once: made for each when it is sent, stored nowhere."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from sysops.kernel.registry import Registry


class LinkMaker(Protocol):
    """What an app offers the readers of its messages."""

    def __call__(self, context: Mapping[str, object], *, person: int | None, at: datetime) -> Mapping[str, str]:
        """Names of the words' context and the links behind them; none for messages that are not the app's."""
        ...


link_makers: Registry[LinkMaker] = Registry("maker of personal links")
