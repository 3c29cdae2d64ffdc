"""Things found by name: one registry per extension point, filled by wiring or by entry points."""

import difflib
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Generic, TypeVar

T = TypeVar("T")


class UnknownName(LookupError):
    """Nothing is registered under this name; the message says what is, and what was probably meant."""


class AlreadyRegistered(ValueError):
    """Two things claim the same name."""


class Registry(Generic[T]):
    """Named things of one kind.

    `kind` is how people call it ("backup engine"). With `group`, third parties add to it from their own
    package through entry points of that group; they are imported on the first look-up.
    """

    def __init__(self, kind: str, *, group: str | None = None) -> None:
        self.kind = kind
        self.group = group
        self._things: dict[str, T] = {}
        self._discovered = group is None

    def register(self, name: str, thing: T) -> None:
        """Make `thing` known as `name`. Registering the same object again does nothing.

        Raises AlreadyRegistered when another object has the name.
        """
        known = self._things.get(name)
        if known is not None and known is not thing:
            raise AlreadyRegistered(f"The {self.kind} {name!r} is registered already")
        self._things[name] = thing

    def get(self, name: str) -> T:
        """The thing called `name`. Raises UnknownName."""
        self._discover()
        try:
            return self._things[name]
        except KeyError:
            raise UnknownName(self._unknown(name)) from None

    def __contains__(self, name: str) -> bool:
        self._discover()
        return name in self._things

    def __iter__(self) -> Iterator[tuple[str, T]]:
        """All (name, thing) pairs, by name."""
        self._discover()
        return iter(sorted(self._things.items(), key=lambda pair: pair[0]))

    def names(self) -> list[str]:
        """All names, sorted."""
        return [name for name, _ in self]

    def _discover(self) -> None:
        if self._discovered:
            return
        self._discovered = True
        for point in entry_points(group=self.group or ""):
            self.register(point.name, point.load())

    def _unknown(self, name: str) -> str:
        known = sorted(self._things)
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        return f"There is no {self.kind} {name!r}.{hint} Known: {', '.join(known) or 'none'}."
