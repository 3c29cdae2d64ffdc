"""What the first page is made of."""

from dataclasses import dataclass
from datetime import datetime

from django.urls import reverse

MOST = 5  # of one kind of trouble; the rest is one line with their number


@dataclass(frozen=True)
class Step:
    """What to do next; without an address it is done elsewhere."""

    label: str
    url: str = ""


@dataclass(frozen=True)
class Wrong:
    """One thing that is wrong, in words, since when if that is known, and what to do."""

    critical: bool
    title: str
    detail: str
    since: datetime | None
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Coming:
    """A slot that comes: what is taken then, of what, and what it stands for."""

    at: datetime
    local: str
    title: str
    aside: str
    url: str


def first(wrong: list[Wrong], more: str, url: str) -> list[Wrong]:
    """The first few, and one line for the others: a page of fifty equal lines tells less."""
    if len(wrong) <= MOST:
        return wrong
    rest = wrong[MOST:]
    step = Step("Look at them", reverse(url) if ":" in url else url)
    return [*wrong[:MOST], Wrong(any(w.critical for w in rest), f"{len(rest)} {more}", "", None, (step,))]
