"""What a batch adds to groupings and to their issues: their counts, when they were seen, what the latest event says."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from errors.digest import bounds
from errors.digest.making import cut
from errors.growth import DigestedEvent, Growth
from errors.models import Issue
from errors.services import bulk, counting, raw
from errors.services.counting import Met

_CHANGING = (
    "first_seen",
    "event_count",
    "affected_accounts",
    "accounts_exact",
    "last_seen",
    "latest_event_id",
    "latest_received_at",
    "level",
    "platform",
    "environment",
    "first_release",
    "last_release",
    "headline_behind",
)
# Indexed for search: written only when they changed, and at most once a minute; `headlines` sees to the last of a
# burst. All else is rewritten in the row's own page, without touching an index.
_TITLE = ("error_type", "error_message", "culprit")


@dataclass(slots=True)
class New:
    """An event that is to be stored, and when its report came."""

    event: DigestedEvent
    project_id: int
    received_at: datetime
    place: int  # in the order of their coming


@dataclass(slots=True)
class Part:
    """What a batch adds to one grouping."""

    id: int
    issue: Issue
    news: list[New] = field(repr=False)
    met: Met  # the accounts that met the grouping
    is_new: bool = False


def add(parts: Sequence[Part]) -> list[Growth]:
    """Count the batch; how each issue grew by it."""
    accounts = {part.issue.pk: part.issue.affected_accounts for part in parts}
    seen = {part.issue.pk: part.issue.last_seen for part in parts}
    changed = _count(parts)
    _meet(parts, changed)
    groups: dict[int, list[Part]] = defaultdict(list)
    for part in parts:
        groups[part.issue.pk].append(part)
    growths = [_grow(group, accounts_before=accounts[issue]) for issue, group in groups.items()]
    issues = [growth.issue for growth in growths]
    titled = [growth.issue for growth in growths if _entitle(growth, seen=seen[growth.issue.pk])]
    bulk.update(issues, *_CHANGING)
    bulk.update(titled, *_TITLE)
    return growths


def _count(parts: Sequence[Part]) -> set[int]:
    """Count the events of each grouping; the issues that have met accounts they may not have met before."""
    hours: Counter[tuple[int, datetime]] = Counter()
    tags: Counter[counting.Tag] = Counter()
    accounts: dict[int, set[int]] = {}
    last_seen: dict[int, datetime] = {}
    for part in parts:
        last_seen[part.id] = max(new.received_at for new in part.news)
        if found := {new.event.account for new in part.news if new.event.account is not None}:
            accounts[part.id] = found
        for new in part.news:
            hours[part.id, new.received_at] += 1
            tags.update((part.id, name, value) for name, value in _tags(new.event).items())
    counting.hours(hours)
    counting.tags(tags, last_seen=last_seen)
    after = counting.accounts(accounts, before={part.id: part.met for part in parts})
    changed = set()
    for part in parts:
        if part.met != after.get(part.id, part.met):
            part.met = after[part.id]
            changed.add(part.issue.pk)
    _update_groupings(parts, last_seen)
    return changed


def _tags(event: DigestedEvent) -> dict[str, str]:
    """The event's tags, and what is searched like one: its release, environment and level."""
    known = {"release": event.release, "environment": event.environment, "level": event.level}
    return {**dict(event.tags), **{name: cut(value, bounds.TAG_VALUE) for name, value in known.items() if value}}


def _update_groupings(parts: Sequence[Part], last_seen: Mapping[int, datetime]) -> None:
    with raw.cursor() as cursor:
        cursor.execute(
            "UPDATE errors_grouping AS grouping SET event_count = grouping.event_count + new.events, "
            "events_kept = grouping.events_kept + new.events, account_count = new.accounts, "
            "first_seen = least(grouping.first_seen, new.first_seen), "
            "last_seen = greatest(grouping.last_seen, new.last_seen) "
            "FROM unnest(%s::bigint[], %s::bigint[], %s::int[], %s::timestamptz[], %s::timestamptz[]) "
            "AS new (id, events, accounts, first_seen, last_seen) WHERE grouping.id = new.id",
            [
                [part.id for part in parts],
                [len(part.news) for part in parts],
                [part.met.count for part in parts],
                [min(new.received_at for new in part.news) for part in parts],
                [last_seen[part.id] for part in parts],
            ],
        )


def _meet(parts: Sequence[Part], changed: set[int]) -> None:
    """Bring the issues' counts of accounts up to date; those of merged issues are counted together."""
    if not changed:
        return
    with raw.cursor() as cursor:
        cursor.execute(
            "SELECT issue_id, array_agg(id) FROM errors_grouping WHERE issue_id = ANY(%s) "
            "GROUP BY issue_id HAVING count(*) > 1",
            [list(changed)],
        )
        together = counting.accounts_together(dict(cursor.fetchall()))
    for part in parts:
        if part.issue.pk in changed:
            met = together.get(part.issue.pk, part.met)
            part.issue.affected_accounts, part.issue.accounts_exact = met.count, met.exact


def _grow(group: Sequence[Part], *, accounts_before: int) -> Growth:
    issue = group[0].issue
    news = sorted((new for part in group for new in part.news), key=lambda new: new.place)
    growth = Growth(
        issue=issue,
        new=group[0].is_new,
        events=tuple(new.event for new in news),
        accounts_before=accounts_before,
        events_before=issue.event_count,
        releases=frozenset(new.event.release for new in news),
    )
    issue.event_count += len(news)
    issue.first_seen = min(issue.first_seen, *(new.received_at for new in news))
    issue.last_seen = max(issue.last_seen, *(new.received_at for new in news))
    latest = max(news, key=lambda new: (new.received_at, new.place))
    if issue.latest_received_at is None or latest.received_at >= issue.latest_received_at:
        event = latest.event
        issue.latest_event_id, issue.latest_received_at = event.event_id, latest.received_at
        issue.level, issue.platform, issue.environment = event.level, event.platform, event.environment
        issue.last_release = event.release or issue.last_release
    issue.first_release = issue.first_release or next((each.event.release for each in news if each.event.release), "")
    return growth


def _entitle(growth: Growth, *, seen: datetime) -> bool:
    """Whether the issue has a new title, that of its latest event. If it is not time for it, it is marked as behind."""
    issue = growth.issue
    latest = next((each for each in growth.events if each.event_id == issue.latest_event_id), None)
    if latest is None:
        return False
    differs = any(getattr(latest, name) != getattr(issue, name) for name in _TITLE)
    too_soon = growth.new or issue.last_seen.replace(second=0, microsecond=0) <= seen
    issue.headline_behind = differs and too_soon
    if not differs or too_soon:
        return False
    for name in _TITLE:
        setattr(issue, name, getattr(latest, name))
    return True
