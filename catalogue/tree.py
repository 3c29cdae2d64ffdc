"""The services as an indented tree: what users see at the left, what it stands on below. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """One line of the tree. What is `repeated` stands on several lines; its own needs are below the first."""

    slug: str
    depth: int
    repeated: bool = False


def lines(tiers: Mapping[str, tuple[int, str]], edges: Mapping[str, Collection[str]]) -> list[Line]:
    """Every service, below each that needs it; the most critical first. `tiers` gives each one's tier and name.

    As long as there are services and dependencies, however they are knotted: what is below a service is shown once.
    """
    needed = {requirement for needs in edges.values() for requirement in needs}
    tops = sorted(tiers.keys() - needed, key=tiers.__getitem__)
    # Services in a circle are needed by each other; the database allows none, and yet none may be missing here.
    rest = sorted(tiers.keys() & needed, key=tiers.__getitem__)
    found: list[Line] = []
    seen: set[str] = set()
    for top in [*tops, *rest]:
        waiting = [(top, 0)] if top not in seen else []
        while waiting:
            slug, depth = waiting.pop()
            repeated = slug in seen
            found.append(Line(slug, depth, repeated))
            if not repeated:
                seen.add(slug)
                needs = sorted((need for need in edges.get(slug, ()) if need in tiers), key=tiers.__getitem__)
                waiting.extend((need, depth + 1) for need in reversed(needs))
    return found
