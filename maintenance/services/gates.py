"""Asking a window's gates whether it may start: outside any transaction, the answers recorded."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from catalogue.gates import Answer, Question, Verdict, gates
from maintenance import records
from maintenance.models import Window, WindowGate
from maintenance.rules import GateState
from sysops.access.actors import Actor
from sysops.kernel.clock import Clock
from sysops.kernel.registry import UnknownName

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answers:
    """What the gates said: `closed` and `preparing` name each that is not open, with its reason."""

    closed: tuple[str, ...] = ()
    preparing: tuple[str, ...] = ()
    shut_by: str = ""  # the name of the gate that is closed

    @property
    def reason(self) -> str:
        return " ".join([*self.closed, *self.preparing])[:1000]


def ask_all(window: Window, *, by: Actor, at: Clock, again: bool) -> Answers:
    """What the window's gates say now, in their order, up to the first that is closed: no later one prepares in vain.

    `again` says that nobody asks anew: what a gate prepared before counts, also when that has failed.
    """
    rows = list(window.gates.order_by("pk"))
    services = tuple(records.slugs(window)) if rows else ()
    preparing: list[str] = []
    for row in rows:
        asked_at = at()
        answer = _ask(row, services, by=by, at=asked_at, again=again)
        _record(row, answer, at=asked_at)
        if answer.verdict is Verdict.CLOSED:
            return Answers(closed=(_words(row, answer),), preparing=tuple(preparing), shut_by=row.gate)
        if answer.verdict is Verdict.PREPARING:
            preparing.append(_words(row, answer))
    return Answers(preparing=tuple(preparing))


def _ask(row: WindowGate, services: Sequence[str], *, by: Actor, at: datetime, again: bool) -> Answer:
    if not (again or row.state == GateState.PREPARING):
        row.preparing_since = None
    question = Question(
        about=f"window {row.window_id}",
        services=tuple(services),
        settings=row.settings,
        prepare=row.prepare,
        since=row.preparing_since,
        asked_by=by.name,
        at=at,
    )
    try:
        return _storable(gates.get(row.gate).ask(question))
    except UnknownName as exc:
        return Answer(Verdict.CLOSED, f"It cannot be asked: {exc}")
    except Exception as exc:  # a gate may be anybody's; one that breaks is closed, and the log says how
        logger.exception("Gate %s of window %s broke", row.gate, row.window_id)
        return Answer(Verdict.CLOSED, f"It could not be asked ({type(exc).__name__}); the log says more.")


def _storable(answer: Answer) -> Answer:
    """The answer. Raises TypeError or ValueError when it cannot be kept: each tick would break on it."""
    records.storable({"reason": answer.reason, "facts": answer.facts})
    return answer


def _record(row: WindowGate, answer: Answer, *, at: datetime) -> None:
    row.state, row.asked_at = GateState(answer.verdict.value).value, at
    row.reason, row.facts = answer.reason[:1000], dict(answer.facts)
    if answer.verdict is Verdict.PREPARING:
        row.preparing_since = row.preparing_since or at
    with transaction.atomic():
        # The window may have been given other gates meanwhile; then this one is gone, and nothing is written.
        WindowGate.objects.filter(pk=row.pk).update(
            state=row.state,
            asked_at=row.asked_at,
            reason=row.reason,
            facts=row.facts,
            preparing_since=row.preparing_since,
        )


def _words(row: WindowGate, answer: Answer) -> str:
    label = gates.get(row.gate).label if row.gate in gates else row.gate
    return f"{label}: {answer.reason}"
