"""What maintenance does when something happened in the catalogue."""

from maintenance.services import reach
from sysops.access.actors import Actor
from sysops.events.models import Event


def refresh_reach(event: Event) -> None:
    """A service began or ceased to depend on others: windows on those reach it now, or no longer do."""
    before, after = (_needs(event.data.get(when)) for when in ("before", "after"))
    if before != after:
        reach.refresh(before ^ after, by=Actor.system(), at=event.at)


def _needs(snapshot: object) -> set[str]:
    needs = snapshot.get("depends_on", []) if isinstance(snapshot, dict) else []
    return set(map(str, needs))
