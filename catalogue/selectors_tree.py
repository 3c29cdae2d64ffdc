"""The services as a page shows them: a tree with states, owners and who is on call. Reads only."""

from dataclasses import dataclass
from datetime import datetime

from catalogue import selectors, tree
from catalogue.models import Service
from catalogue.selectors_oncall import OnCall, on_call


@dataclass(frozen=True)
class Leaf:
    """One line of the tree, with all that stands in it."""

    service: Service
    depth: int
    repeated: bool
    on_call: OnCall | None


def leaves(*, at: datetime) -> list[Leaf]:
    """Every service below each that needs it, the most critical first; a fixed number of queries."""
    rows = {row.slug: row for row in Service.objects.select_related("owner_team", "environment").order_by("slug")}
    teams = {row.owner_team_id for row in rows.values() if row.owner_team_id}
    answers = on_call(teams, at=at)
    lines = tree.lines({slug: (row.tier, row.name) for slug, row in rows.items()}, selectors.edges())
    return [
        Leaf(
            rows[line.slug],
            line.depth,
            line.repeated,
            answers.get(rows[line.slug].owner_team_id or 0),
        )
        for line in lines
    ]
