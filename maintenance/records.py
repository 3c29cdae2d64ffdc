"""Windows as plain data: what the audit log, reports and messages say of them."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from maintenance.models import Notice, Window
from sysops.access.actors import Actor


def moment(at: datetime | None) -> str | None:
    """The time as JSON, ending in Z as API.md has it."""
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def author(by: Actor) -> str:
    """Who said it, for people: of a token its name alone. The audit log keeps which token it was."""
    name = by.name.rpartition(" (")[0] if by.kind == "token" else ""
    return name or by.name


def storable(facts: Mapping[str, object]) -> dict[str, object]:
    """The facts, as JSON that PostgreSQL can keep. Raises TypeError or ValueError: they may be another app's."""
    text = json.dumps(dict(facts), allow_nan=False, ensure_ascii=False)
    text.encode()  # halves of surrogate pairs end here
    if "\\u0000" in text.replace("\\\\", ""):
        raise ValueError("A NUL character cannot be stored.")
    return dict(facts)


def thread(window: Window) -> str:
    """What ties the messages about one window together."""
    return f"window:{window.pk}"


def message_key(notice: Notice) -> str:
    """What the notice is told of only once."""
    return ":".join(filter(None, [f"window:{notice.window_id}", notice.kind, notice.mark]))


def path(window: Window) -> str:
    """Where people look at the window."""
    return f"/admin/maintenance/window/{window.pk}/change/"


def snapshot(window: Window) -> dict[str, object]:
    """Everything people set about the window, and where it stands, as JSON."""
    return {
        "title": window.title,
        "description": window.description,
        "maintenance_type": window.maintenance_type,
        "status": window.status,
        "time_zone": window.time_zone,
        "scheduled_start": moment(window.scheduled_start),
        "scheduled_end": moment(window.scheduled_end),
        "actual_start": moment(window.actual_start),
        "completed_at": moment(window.completed_at),
        "cancelled_at": moment(window.cancelled_at),
        "cancel_reason": window.cancel_reason,
        "overrunning_since": moment(window.overrunning_since),
        "starts_itself": window.starts_itself,
        "completes_itself": window.completes_itself,
        "maintenance_mode": window.maintenance_mode,
        "services": slugs(window),
        "gates": [
            {"gate": row.gate, "settings": row.settings, "prepare": row.prepare} for row in window.gates.order_by("pk")
        ],
        "series": window.series_id,
    }


def slugs(window: Window, *, direct: bool = True) -> list[str]:
    """The services worked on, or those only reached."""
    rows = window.affected.filter(direct=direct).order_by("service__slug")
    return list(rows.values_list("service__slug", flat=True))
