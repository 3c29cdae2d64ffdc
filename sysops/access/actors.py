"""Who does something: kept with every change, and known to whatever runs on somebody's behalf."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass
from typing import Literal, Self

Kind = Literal["user", "token", "cli", "task", "system"]


@dataclass(frozen=True)
class Actor:
    """A person, token, command, task or Sysops itself. `address` is where a request came from, if one did."""

    name: str
    kind: Kind
    address: str | None = None

    @classmethod
    def user(cls, name: str, *, address: str | None = None) -> Self:
        return cls(name, "user", address)

    @classmethod
    def token(cls, name: str, *, address: str | None = None) -> Self:
        return cls(name, "token", address)

    @classmethod
    def cli(cls, name: str) -> Self:
        return cls(name, "cli")

    @classmethod
    def task(cls, name: str) -> Self:
        return cls(name, "task")

    @classmethod
    def system(cls, name: str = "sysops") -> Self:
        return cls(name, "system")

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


# A callable, so that a request that changes nothing never looks up who sent it.
_current: ContextVar[Callable[[], Actor]] = ContextVar("sysops_actor", default=Actor.system)


def current_actor() -> Actor:
    """On whose behalf this code runs; Sysops itself where nobody said otherwise."""
    return _current.get()()


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """Inside the block, `current_actor()` is `actor`. For commands and tasks."""
    mark = become(lambda: actor)
    try:
        yield
    finally:
        no_longer(mark)


def become(who: Callable[[], Actor]) -> Token[Callable[[], Actor]]:
    """From here on, `who` answers `current_actor()`. Undo with `no_longer`."""
    return _current.set(who)


def no_longer(mark: Token[Callable[[], Actor]]) -> None:
    _current.reset(mark)
