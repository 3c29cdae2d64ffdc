"""Who is to be told, as the poster of a message says it; people and addresses are looked up at the fan-out."""

from dataclasses import asdict, dataclass
from typing import Self


@dataclass(frozen=True)
class Audience:
    """Ids of catalogue rows. Whoever is in it several times, or by several ways, is told once.

    `subscribers_of`: confirmed subscribers of these services, by e-mail whatever the routes say.
    `subscriptions`: these subscriptions themselves, confirmed or not: who is asked to confirm one.
    `owners_of`: the owner teams of these services: every member, and the places their routes lead to.
    `on_call_of`: who is on call for these teams at the fan-out (the whole team when nobody is named).
    `teams`, `people`: all of them. `operators`: whoever runs Sysops itself: people whose account has the admin role,
    and when there is none, every person of the catalogue.
    """

    subscribers_of: tuple[int, ...] = ()
    subscriptions: tuple[int, ...] = ()
    owners_of: tuple[int, ...] = ()
    on_call_of: tuple[int, ...] = ()
    teams: tuple[int, ...] = ()
    people: tuple[int, ...] = ()
    operators: bool = False

    def as_json(self) -> dict[str, object]:
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, stored: dict[str, object]) -> Self:
        return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in stored.items()})  # type: ignore[arg-type]
