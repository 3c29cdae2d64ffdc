"""What is counted of a batch of events, each in a fixed number of statements: accounts, hours, tags.

Whoever calls this holds the locks of the issues concerned: nobody else counts for the same groupings meanwhile.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from errors import cardinality
from errors.services import raw

EXACT_ACCOUNTS = 1_000  # listed per grouping; more are estimated
TAG_KEYS = 100  # listed per grouping
TAG_VALUES = 300  # listed per grouping and key; more are only counted

Tag = tuple[int, str, str]  # grouping, key, value


@dataclass
class Met:
    """The accounts that met a grouping: how many, and whether that is exact."""

    count: int
    exact: bool


def hours(quantities: Mapping[tuple[int, datetime], int]) -> None:
    """Add events to hours, by grouping and time."""
    totals: Counter[tuple[int, datetime]] = Counter()
    for (grouping, at), quantity in quantities.items():
        totals[grouping, at.replace(minute=0, second=0, microsecond=0)] += quantity
    ordered = sorted(totals)
    with raw.cursor() as cursor:
        cursor.execute(
            "INSERT INTO errors_hourcount AS counted (grouping_id, hour, quantity) "
            "SELECT * FROM unnest(%s::bigint[], %s::timestamptz[], %s::bigint[]) "
            "ON CONFLICT (grouping_id, hour) DO UPDATE SET quantity = counted.quantity + excluded.quantity",
            [[key[0] for key in ordered], [key[1] for key in ordered], [totals[key] for key in ordered]],
        )


def accounts(found: Mapping[int, Collection[int]], *, before: Mapping[int, Met]) -> dict[int, Met]:
    """How many accounts have met each of these groupings, with those `found` in this batch.

    `before` is what was counted up to now, for each of them.
    """
    after = {grouping: Met(before[grouping].count, before[grouping].exact) for grouping in found}
    listed = [(grouping, each) for grouping, hashes in found.items() if after[grouping].exact for each in set(hashes)]
    if listed:
        for grouping, added in _list(listed).items():
            after[grouping].count += added
    many = [grouping for grouping, met in after.items() if met.exact and met.count > EXACT_ACCOUNTS]
    sketches = _unlist(many) if many else {}
    estimated = [grouping for grouping, met in after.items() if not met.exact]
    for grouping, registers in _sketches(estimated).items():
        changed = cardinality.sketch(found[grouping], into=registers)
        if changed != registers:
            sketches[grouping] = changed
    _keep(sketches)
    for grouping, registers in sketches.items():
        after[grouping] = Met(cardinality.estimate(registers), exact=False)
    return after


def accounts_of(groupings: Collection[int]) -> tuple[int, bool]:
    """How many different accounts have met any of these groupings, and whether that is exact."""
    met = accounts_together({0: groupings})[0]
    return met.count, met.exact


def accounts_together(groups: Mapping[int, Collection[int]]) -> dict[int, Met]:
    """How many different accounts have met each of these groups of groupings, by the group's number."""
    registers = _sketches([grouping for group in groups.values() for grouping in group])
    exact = [number for number, group in groups.items() if not any(grouping in registers for grouping in group)]
    counts = _distinct({number: groups[number] for number in exact})
    result = {number: Met(counts.get(number, 0), exact=True) for number in exact}
    for number in groups.keys() - result.keys():
        listed = cardinality.sketch(_listed([grouping for grouping in groups[number] if grouping not in registers]))
        sketches = [registers[grouping] for grouping in groups[number] if grouping in registers]
        result[number] = Met(cardinality.estimate(cardinality.union([listed, *sketches])), exact=False)
    return result


def tags(quantities: Mapping[Tag, int], *, last_seen: Mapping[int, datetime]) -> None:
    """Add events to tags. What is listed already is only counted up; new values are listed while there is room."""
    if not quantities:
        return
    ordered = sorted(quantities)
    columns = [list(column) for column in zip(*ordered)]
    with raw.cursor() as cursor:
        cursor.execute(
            "UPDATE errors_tagvalue AS tag SET quantity = tag.quantity + new.quantity, "
            "last_seen = greatest(tag.last_seen, new.at) "
            "FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::bigint[], %s::timestamptz[]) "
            "AS new (grouping_id, key, value, quantity, at) "
            "WHERE tag.grouping_id = new.grouping_id AND tag.key = new.key AND tag.value = new.value "
            "RETURNING tag.grouping_id, tag.key, tag.value",
            [*columns, [quantities[tag] for tag in ordered], [last_seen[tag[0]] for tag in ordered]],
        )
        known = set(cursor.fetchall())
    unknown = [tag for tag in ordered if tag not in known]
    if unknown:
        _new_tags({tag: quantities[tag] for tag in unknown}, last_seen=last_seen)


def _new_tags(quantities: Mapping[Tag, int], *, last_seen: Mapping[int, datetime]) -> None:
    kept, keys = _kept_values({tag[0] for tag in quantities})
    others: Counter[tuple[int, str]] = Counter()
    listed: list[Tag] = []
    for tag, quantity in quantities.items():
        grouping, name, _ = tag
        if (grouping, name) not in kept and keys[grouping] >= TAG_KEYS:
            continue
        if (grouping, name) not in kept:
            keys[grouping] += 1
            kept[grouping, name] = 0
        if kept[grouping, name] < TAG_VALUES:
            kept[grouping, name] += 1
            listed.append(tag)
        else:
            others[grouping, name] += quantity
    changed = sorted({(grouping, name) for grouping, name, _ in listed} | set(others))
    with raw.cursor() as cursor:
        cursor.execute(
            "INSERT INTO errors_tagvalue (grouping_id, key, value, quantity, last_seen) "
            "SELECT * FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::bigint[], %s::timestamptz[])",
            [
                *([tag[place] for tag in listed] for place in range(3)),
                [quantities[tag] for tag in listed],
                [last_seen[tag[0]] for tag in listed],
            ],
        )
        cursor.execute(
            "INSERT INTO errors_tagkey AS counted (grouping_id, key, values_kept, other) "
            "SELECT * FROM unnest(%s::bigint[], %s::text[], %s::int[], %s::bigint[]) "
            "ON CONFLICT (grouping_id, key) DO UPDATE "
            "SET values_kept = excluded.values_kept, other = counted.other + excluded.other",
            [
                [key[0] for key in changed],
                [key[1] for key in changed],
                [kept[key] for key in changed],
                [others[key] for key in changed],
            ],
        )


def _kept_values(groupings: Collection[int]) -> tuple[dict[tuple[int, str], int], Counter[int]]:
    """How many values each key lists, and how many keys each grouping has."""
    with raw.cursor() as cursor:
        cursor.execute(
            "SELECT grouping_id, key, values_kept FROM errors_tagkey WHERE grouping_id = ANY(%s)", [list(groupings)]
        )
        rows: list[tuple[int, str, int]] = cursor.fetchall()
    return {(grouping, key): kept for grouping, key, kept in rows}, Counter(grouping for grouping, _, _ in rows)


def _list(pairs: Iterable[tuple[int, int]]) -> dict[int, int]:
    """List accounts, and say how many of them were new, by grouping."""
    ordered = sorted(pairs)
    with raw.cursor() as cursor:
        cursor.execute(
            "INSERT INTO errors_account (grouping_id, hash) SELECT * FROM unnest(%s::bigint[], %s::bigint[]) "
            "ON CONFLICT DO NOTHING RETURNING grouping_id",
            [[pair[0] for pair in ordered], [pair[1] for pair in ordered]],
        )
        return dict(Counter(grouping for (grouping,) in cursor.fetchall()))


def _unlist(groupings: Collection[int]) -> dict[int, bytes]:
    """Sketches of the accounts of these groupings, which are listed no more."""
    found: dict[int, list[int]] = defaultdict(list)
    with raw.cursor() as cursor:
        cursor.execute(
            "DELETE FROM errors_account WHERE grouping_id = ANY(%s) RETURNING grouping_id, hash", [list(groupings)]
        )
        for grouping, each in cursor.fetchall():
            found[grouping].append(each)
    return {grouping: cardinality.sketch(hashes) for grouping, hashes in found.items()}


def _distinct(groups: Mapping[int, Collection[int]]) -> dict[int, int]:
    pairs = [(number, grouping) for number, group in groups.items() for grouping in group]
    if not pairs:
        return {}
    with raw.cursor() as cursor:
        cursor.execute(
            "SELECT number, count(DISTINCT hash) FROM errors_account "
            "JOIN unnest(%s::bigint[], %s::bigint[]) AS wanted (number, grouping) ON grouping = grouping_id "
            "GROUP BY number",
            [[pair[0] for pair in pairs], [pair[1] for pair in pairs]],
        )
        return dict(cursor.fetchall())


def _listed(groupings: Collection[int]) -> list[int]:
    with raw.cursor() as cursor:
        cursor.execute("SELECT hash FROM errors_account WHERE grouping_id = ANY(%s)", [list(groupings)])
        return [each for (each,) in cursor.fetchall()]


def _sketches(groupings: Collection[int]) -> dict[int, bytes]:
    if not groupings:
        return {}
    with raw.cursor() as cursor:
        cursor.execute(
            "SELECT grouping_id, registers FROM errors_accountsketch WHERE grouping_id = ANY(%s)", [list(groupings)]
        )
        return dict(cursor.fetchall())


def _keep(sketches: Mapping[int, bytes]) -> None:
    if not sketches:
        return
    with raw.cursor() as cursor:
        cursor.execute(
            "INSERT INTO errors_accountsketch (grouping_id, registers) SELECT * FROM unnest(%s::bigint[], %s::bytea[]) "
            "ON CONFLICT (grouping_id) DO UPDATE SET registers = excluded.registers",
            [list(sketches), list(sketches.values())],
        )
