"""What is counted is what is there: the same as counting the stored events one by one, however they came."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from errors.growth import DigestedEvent
from errors.models import (
    Account,
    AccountSketch,
    Event,
    Grouping,
    HourCount,
    Issue,
    OutcomeCount,
    Project,
    Release,
    TagKey,
    TagValue,
)
from errors.services import counting, merging, storing
from errors.services.ticking import tick
from errors.services.unpacking import Report, Waiting
from tests.errors import support
from tests.errors.support import BY, NOW, digested, put_in_spool

pytestmark = pytest.mark.django_db


def store(project: Project, *events: DigestedEvent, at: datetime = NOW) -> None:
    """Store these events as one batch, each from a report of its own."""
    rows = put_in_spool(project, *[b"x" for _ in events], at=at)
    storing.store(
        [
            Report(Waiting(row.pk, project.pk, at, event.event_id, "envelope", "identity", "", b""), [event])
            for row, event in zip(rows, events)
        ],
        at=at,
    )


@dataclass(frozen=True)
class Sent:
    """What hypothesis makes up: few different values, so that they meet."""

    number: int  # of its id: the same number is the same event
    kind: str
    account: int | None
    tags: tuple[tuple[str, str], ...]
    release: str

    def event(self) -> DigestedEvent:
        return digested(
            self.kind,
            event_id=UUID(int=self.number + 1),
            account=self.account,
            tags=self.tags,
            release=self.release,
        )

    def counted(self) -> list[tuple[str, str]]:
        release = [("release", self.release)] if self.release else []
        return [*self.tags, *release, ("level", "error")]


sent = st.builds(
    Sent,
    number=st.integers(0, 30),
    kind=st.sampled_from(["KeyError", "ValueError", "OSError"]),
    account=st.none() | st.integers(-5, 5),
    tags=st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz"), max_size=3).map(lambda of: tuple(of.items())),
    release=st.sampled_from(["", "1.0", "1.1"]),
)
batches = st.lists(st.tuples(st.integers(0, 3), st.lists(sent, max_size=12)), max_size=6)


@given(batches)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_counts_are_those_of_the_stored_events(found: list[tuple[int, list[Sent]]]) -> None:
    project = support.project()
    known: dict[UUID, Sent] = {}
    for hours, batch in found:
        store(project, *[each.event() for each in batch], at=NOW + timedelta(hours=hours))
        for each in batch:
            known.setdefault(each.event().event_id, each)

    stored = list(Event.objects.filter(project=project))

    assert {event.event_id for event in stored} == set(known)
    assert len(stored) == len(known)
    for grouping in Grouping.objects.filter(project=project).select_related("issue"):
        recounted(grouping, [event for event in stored if event.grouping_id == grouping.pk], known)
    assert accepted(project) == (len(known), sum(len(batch) for _, batch in found) - len(known))
    releases = set(Release.objects.filter(project=project).values_list("version", flat=True))
    assert releases == {each.release for each in known.values() if each.release}


def recounted(grouping: Grouping, stored: Sequence[Event], known: dict[UUID, Sent]) -> None:
    """The grouping and its issue say what counting its events one by one says."""
    issue, originals = grouping.issue, [known[event.event_id] for event in stored]
    accounts = {each.account for each in originals if each.account is not None}
    tags = Counter(tag for each in originals for tag in each.counted())
    hours = Counter(event.received_at.replace(minute=0) for event in stored)

    assert {each.kind for each in originals} == {issue.error_type}
    assert (issue.event_count, grouping.event_count, grouping.events_kept) == (len(stored),) * 3
    assert (issue.affected_accounts, grouping.account_count, issue.accounts_exact) == (*[len(accounts)] * 2, True)
    assert set(Account.objects.filter(grouping=grouping).values_list("hash", flat=True)) == accounts
    assert dict(HourCount.objects.filter(grouping=grouping).values_list("hour", "quantity")) == dict(hours)
    listed = TagValue.objects.filter(grouping=grouping).values_list("key", "value", "quantity")
    assert {(key, value): quantity for key, value, quantity in listed} == dict(tags)
    kept = dict(TagKey.objects.filter(grouping=grouping).values_list("key", "values_kept"))
    assert kept == Counter(key for key, _ in tags)
    assert (issue.first_seen, issue.last_seen) == (
        min(event.received_at for event in stored),
        max(event.received_at for event in stored),
    )
    latest = max(event.received_at for event in stored)
    assert issue.latest_received_at == latest
    assert issue.latest_event_id in {event.event_id for event in stored if event.received_at == latest}


def accepted(project: Project) -> tuple[int, int]:
    """How many events were counted as accepted and as duplicates."""
    rows = OutcomeCount.objects.filter(project=project, category="error").values_list("outcome", "quantity")
    totals: Counter[str] = Counter()
    for outcome, quantity in rows:
        totals[outcome] += quantity
    return totals["accepted"], totals["duplicate"]


def met(project: Project, numbers: Iterable[int], kind: str = "ValueError") -> Issue:
    """The issue after one event each of these accounts (spread over 64 bits, as hashes are)."""
    digests = [blake2b(str(number).encode(), digest_size=8).digest() for number in numbers]
    spread = [int.from_bytes(each, "big", signed=True) for each in digests]
    store(project, *[digested(kind, account=account) for account in spread])
    return Issue.objects.get(project=project, error_type=kind)


def test_accounts_are_exact_up_to_the_bound_and_estimated_beyond() -> None:
    project = support.project()

    issue = met(project, range(counting.EXACT_ACCOUNTS))
    assert (issue.affected_accounts, issue.accounts_exact) == (1_000, True)
    issue = met(project, range(500, 1_500))
    assert not issue.accounts_exact
    assert issue.affected_accounts == pytest.approx(1_500, rel=0.05)
    assert not Account.objects.filter(grouping__issue=issue).exists()
    before = issue.affected_accounts
    assert met(project, range(1_500)).affected_accounts == before
    assert met(project, range(3_000)).affected_accounts == pytest.approx(3_000, rel=0.05)
    assert AccountSketch.objects.filter(grouping__issue=issue).count() == 1


def test_an_account_that_met_both_groupings_of_a_merged_issue_counts_once() -> None:
    project = support.project()
    issue, other = met(project, range(5)), met(project, range(3, 9), "KeyError")
    merging.merge(issue, [other], by=BY, at=NOW)

    assert counting.accounts_of(list(issue.groupings.values_list("pk", flat=True))) == (9, True)
    store(project, digested("KeyError", account=77), digested("ValueError", account=77))

    issue.refresh_from_db()
    assert (issue.affected_accounts, issue.accounts_exact, issue.event_count) == (10, True, 13)


def test_a_merged_issue_with_many_accounts_in_one_grouping_is_estimated_over_both() -> None:
    project = support.project()
    issue, other = met(project, range(1_500)), met(project, range(1_400, 1_700), "KeyError")

    merging.merge(issue, [other], by=BY, at=NOW)

    count, exact = counting.accounts_of(list(issue.groupings.values_list("pk", flat=True)))
    assert not exact
    assert count == pytest.approx(1_700, rel=0.05)


def test_a_flood_of_values_is_only_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "TAG_VALUES", 3)
    project = support.project()

    for start in (0, 2, 4):
        store(project, *[digested(tags=(("order", str(start + number)),)) for number in range(4)])

    grouping = Grouping.objects.get(project=project)
    assert TagKey.objects.values_list("values_kept", "other").get(grouping=grouping, key="order") == (3, 8)
    listed = TagValue.objects.filter(grouping=grouping, key="order").order_by("value").values_list("value", "quantity")
    assert list(listed) == [("0", 1), ("1", 1), ("2", 2)]


def test_a_flood_of_keys_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "TAG_KEYS", 3)
    project = support.project()

    store(project, digested(tags=tuple((f"key{number}", "x") for number in range(2))))
    store(project, digested(tags=tuple((f"key{number}", "x") for number in range(4, 6))))
    store(project, digested(tags=(("key0", "x"), ("key9", "x"))))

    listed = TagValue.objects.filter(grouping__project=project).order_by("key").values_list("key", "quantity")
    assert list(listed) == [("key0", 2), ("key1", 1), ("level", 3)]
    assert TagKey.objects.filter(grouping__project=project).count() == 3


def test_an_event_that_names_a_tag_twice_counts_once() -> None:
    project = support.project()

    store(project, digested(tags=(("area", "shop"), ("area", "payment"))))

    listed = TagValue.objects.filter(grouping__project=project, key="area")
    assert list(listed.values_list("value", "quantity")) == [("payment", 1)]


def test_the_title_is_that_of_the_latest_event_and_changes_once_a_minute() -> None:
    project = support.project()

    def title(message: str, seconds: int) -> str:
        event = digested(error_message=message, grouping_hash=b"0" * 16)
        store(project, event, at=NOW + timedelta(seconds=seconds))
        return Issue.objects.values_list("error_message", flat=True).get(project=project)

    assert title("order 1", 0) == "order 1"
    assert title("order 2", 20) == "order 1"
    assert title("order 3", 59) == "order 1"
    assert title("order 4", 61) == "order 4"
    assert title("order 5", 62) == "order 4"


def test_the_title_of_a_burst_is_that_of_its_last_event_when_it_is_over() -> None:
    project = support.project()

    def title() -> str:
        return Issue.objects.values_list("error_message", flat=True).get(project=project)

    def burst(*numbers: int, seconds: int) -> None:
        at = NOW + timedelta(seconds=seconds)
        made = [support.event("BufferError", f"row {number}", at=at) for number in numbers]
        reports = [support.envelope(support.item("event", each)) for each in made]
        support.put_in_spool(project, *reports, at=at)
        support.digest_all(at=at)

    burst(1, 2, seconds=0)
    burst(3, seconds=20)
    assert title() == "row 2"
    tick(now=support.clock(NOW + timedelta(seconds=34)))
    assert title() == "row 2", "events come, the digest sees to it"

    tick(now=support.clock(NOW + timedelta(seconds=35)))

    assert title() == "row 3"
    assert Issue.objects.filter(search__contains="row 3", headline_behind=False).exists()
    assert tick(now=support.clock(NOW + timedelta(seconds=50)))["retitled"] == 0


def test_the_title_is_written_once_a_minute_however_many_batches_there_are() -> None:
    project = support.project()
    written = 0
    for second in range(0, 59, 4):
        event = digested(error_message=f"order {second}", grouping_hash=b"0" * 16)
        with CaptureQueriesContext(connection) as queries:
            store(project, event, at=NOW + timedelta(seconds=second))
            tick(now=support.clock(NOW + timedelta(seconds=second)))
        written += sum('SET "error_type"' in query["sql"] for query in queries)

    assert written == 0
    assert Issue.objects.get(project=project).headline_behind


def test_an_issue_whose_events_are_gone_keeps_its_title() -> None:
    found = support.issue(events=0, headline_behind=True, latest_received_at=NOW)

    tick(now=support.clock(NOW + timedelta(minutes=1)))

    found.refresh_from_db()
    assert (found.error_message, found.headline_behind) == ("broken", False)


def test_an_older_report_that_comes_late_does_not_become_the_latest_event() -> None:
    project = support.project()
    newest = digested(level="fatal", release="2.0")
    store(project, newest, at=NOW)

    store(project, digested(level="info", release="1.0"), at=NOW - timedelta(hours=2))

    issue = Issue.objects.get(project=project)
    assert (issue.latest_event_id, issue.level, issue.last_release) == (newest.event_id, "fatal", "2.0")
    assert issue.last_seen == NOW


def test_a_release_longer_than_the_value_of_a_tag_is_counted_cut() -> None:
    found = support.report(support.project(), release="shop@" + "1" * 300)

    value = TagValue.objects.get(grouping__issue=found, key="release").value
    assert len(value) == 200
    assert value.startswith("shop@111")
