"""What can be asked of errors: who sees what, searches, events across partitions, trends, tags, time left."""

from uuid import uuid4

import pytest
import zstandard
from django.contrib.auth.models import Group, User
from pytest_django import DjangoAssertNumQueries

from catalogue.models import Person, Service, Team
from errors import looks, selectors
from errors.finding import is_overdue
from errors.models import Attachment, Event, Feedback, HourCount, Issue, TagKey, TagValue
from errors.search import NAMES, BadQuery, parse
from sysops.access.actors import Actor
from sysops.access.principals import TokenPrincipal
from sysops.access.roles import Role
from sysops.access.services import create_token
from sysops.stack.programs import ROOT
from tests.errors.support import DAY, HOUR, MINUTE, NOW, grouping, issue, packed, project, stored_event

pytestmark = pytest.mark.django_db


def person(name: str, role: Role) -> User:
    made = User.objects.create_user(name)
    made.groups.add(Group.objects.get(name=role.value))
    return made


def token(role: Role, *, owner: User | None = None) -> TokenPrincipal:
    row, _ = create_token(f"{role} {uuid4()}", role=role, owner=owner, ttl=DAY, by=Actor.system(), at=NOW)
    return TokenPrincipal(row.pk, row.name, role, owner)


def found(query: str) -> list[Issue]:
    return sorted(selectors.search_issues(selectors.all_issues(), parse(query), now=NOW), key=lambda row: row.pk)


def tag(of: Issue, key: str, value: str, quantity: int = 1, *, other: int = 0) -> None:
    """Count the tag on the first grouping of the issue."""
    home = of.groupings.order_by("pk")[0]
    TagKey.objects.update_or_create(grouping=home, key=key, defaults={"other": other})
    TagValue.objects.create(grouping=home, key=key, value=value, quantity=quantity, last_seen=NOW)


# Who sees what


def test_issues_of_open_projects_are_seen_by_every_viewer() -> None:
    shown = issue()

    assert list(selectors.visible_issues(token(Role.VIEWER))) == [shown]
    assert list(selectors.visible_issues(person("ada", Role.VIEWER))) == [shown]


def test_who_may_not_see_errors_sees_no_issue_and_no_project() -> None:
    issue()
    nobody = User.objects.create_user("nobody")

    assert not selectors.visible_issues(nobody).exists()
    assert not selectors.visible_projects(nobody).exists()


def test_issues_of_a_restricted_project_are_seen_by_its_readers_and_by_admins_only() -> None:
    secret = issue(project(restricted=True))
    ada, bob = person("ada", Role.OPERATOR), person("bob", Role.OPERATOR)
    named, other = token(Role.VIEWER), token(Role.VIEWER)
    secret.project.readers.add(ada)
    secret.project.reader_tokens.add(named.pk)

    seeing = [who for who in (ada, bob, named, other) if secret in selectors.visible_issues(who)]

    assert seeing == [ada, named]
    assert list(selectors.visible_issues(token(Role.ADMIN))) == [secret]
    assert list(selectors.visible_projects(bob)) == []


def test_a_token_sees_no_more_than_its_owner() -> None:
    secret = issue(project(restricted=True))
    ada, bob = person("ada", Role.OPERATOR), person("bob", Role.OPERATOR)
    secret.project.readers.add(ada)
    of_ada, of_bob = token(Role.VIEWER, owner=ada), token(Role.VIEWER, owner=bob)
    secret.project.reader_tokens.set([of_ada.pk, of_bob.pk])

    assert list(selectors.visible_issues(of_ada)) == [secret]
    assert list(selectors.visible_issues(of_bob)) == []


def test_a_project_that_is_being_deleted_is_seen_by_nobody() -> None:
    gone = issue(project(deleted_at=NOW))

    assert gone not in selectors.visible_issues(token(Role.ADMIN))
    assert gone.project not in selectors.visible_projects(token(Role.ADMIN))


def test_open_issues_are_counted_by_severity_as_far_as_one_may_see_them() -> None:
    issue(severity="high")
    issue(severity="high", status="acknowledged")
    issue(severity="low", status="resolved")
    issue(project(restricted=True), severity="critical")

    assert selectors.open_counts(token(Role.VIEWER)) == {"critical": 0, "high": 2, "medium": 0, "low": 0}


# Search


def test_words_are_found_in_type_message_and_place_whatever_their_case() -> None:
    one = issue(error_type="PaymentError", message="Card of customer 17 declined")
    other = issue(error_type="Timeout", message="no answer", culprit="shop.payment in charge")
    issue(error_type="KeyError", message="name", culprit="crm.people in show")

    assert found("payment") == [one, other]
    assert found("payment DECLINED") == [one]
    assert found('"customer 17"') == [one]
    assert found("!declined payment") == [other]


def test_parts_of_words_are_found() -> None:
    timeout = issue(error_type="ReadTimeoutError")

    assert found("timeout") == found("rea") == found("TE") == [timeout]
    assert found("timeoutt") == []


def test_an_asterisk_in_a_word_stands_for_any_text() -> None:
    timeout = issue(error_type="ReadTimeoutError", message="after 3.5 s")
    other = issue(error_type="KeyError", message="4 * 5")

    assert found("time*") == found("Read*Error") == found("*after*3.5") == [timeout]
    assert found("read*key") == found("3?5*") == []
    assert found('"4 *"') == found("!time*") == [other]
    assert found("*") == [other]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("assignee:zed", "There is no person 'zed'. With issues here: ada, none."),
        ("!assignee:zed", "There is no person 'zed'. With issues here: ada, none."),
        ("service:zed", "There is no service 'zed'. With issues here: till."),
    ],
)
def test_a_person_or_a_service_that_does_not_exist_is_refused_with_those_there_are(query: str, said: str) -> None:
    till = Service.objects.create(slug="till", name="Till")
    issue(project("web", service=till), assignee=Person.objects.create(slug="ada", name="Ada"))
    Person.objects.create(slug="ben", name="Ben")
    Service.objects.create(slug="idle", name="Idle")

    with pytest.raises(BadQuery) as refused:
        found(query)

    assert str(refused.value) == said
    assert found("assignee:Ben") == found("assignee:z*") == found("service:idle") == []


def test_a_project_that_may_not_be_seen_is_refused_like_one_that_does_not_exist() -> None:
    issue(project("web"))
    issue(project("vault", restricted=True))
    project("idle")
    viewer = token(Role.VIEWER)

    def said(query: str) -> str:
        seen, projects = selectors.visible_issues(viewer), selectors.visible_projects(viewer)
        with pytest.raises(BadQuery) as refused:
            selectors.search_issues(seen, parse(query), now=NOW, projects=projects)
        return str(refused.value)

    assert said("project:vault") == "There is no project 'vault'. With issues here: web."
    assert said("project:zed") == "There is no project 'zed'. With issues here: web."
    idle = selectors.search_issues(
        selectors.all_issues(), parse("project:idle"), now=NOW, projects=selectors.visible_projects(viewer)
    )
    assert list(idle) == []


def test_wildcards_of_the_database_are_plain_characters() -> None:
    exact = issue(message="100% of_all")
    issue(message="1000 of all")

    assert found('"100%"') == found("of_all") == [exact]


def test_tags_are_found_by_value_and_by_pattern_and_an_issue_only_once() -> None:
    payment, search = issue(), issue()
    grouping(payment)
    for of in payment.groupings.all():
        TagValue.objects.create(grouping=of, key="area", value="payment eu", quantity=1, last_seen=NOW)
    tag(search, "area", "search.eu")

    assert found('area:"payment eu"') == [payment]
    assert found("area:*eu") == [payment, search]
    assert found("area:search*") == found("!area:payment*") == [search]
    assert found("area:search?eu") == []
    assert found("has:area") == [search]


def test_the_fields_of_an_issue_are_searched_by_name() -> None:
    ada = Person.objects.create(slug="ada", name="Ada")
    shop = Service.objects.create(slug="shop", name="Shop", owner_team=Team.objects.create(slug="ops", name="Ops"))
    one = issue(
        project("web", service=shop), error_type="ValueError", severity="critical", assignee=ada, level="fatal",
        platform="javascript", event_count=500, affected_accounts=7, environment="production",
        first_seen=NOW - 2 * DAY, last_release="shop@1.2.0", first_release="shop@1.0.0",
    )  # fmt: skip
    other = issue(project("crm"), error_type="OSError", status="resolved", last_seen=NOW - 8 * DAY, culprit="crm in x")

    only_one = [
        "type:valueerror", "type:Value*", "severity:critical", "severity:critical,high", "is:open", "is:unresolved",
        "is:assigned", "assignee:ada", "service:shop", "project:web", "platform:javascript", "level:fatal",
        "events:>=500", "accounts:7", "age:>1d", "seen:<7d", "culprit:shop.*", "release:shop@1.2.0",
        "release:shop@1.0.0", "environment:production", "!is:resolved", "message:broken !project:crm",
    ]  # fmt: skip
    only_other = ["status:resolved", "is:resolved", "is:unassigned", "assignee:none", "age:<1d", "seen:>7d",
                  "events:<2", "type:OS*", "!service:shop", "!type:ValueError", "!assignee:ada"]  # fmt: skip

    assert {query: found(query) for query in only_one} == {query: [one] for query in only_one}
    assert {query: found(query) for query in only_other} == {query: [other] for query in only_other}


def test_release_environment_and_level_are_also_found_among_the_tags() -> None:
    seen = issue(environment="production", level="error")
    issue()
    for key, value in (("release", "shop@1.1.0"), ("environment", "staging"), ("level", "fatal")):
        tag(seen, key, value)

    assert found("release:shop@1.1.0") == found("release:shop@1.1*") == [seen]
    assert found("environment:staging") == found("level:fatal") == [seen]


def test_the_id_of_an_event_finds_its_issue() -> None:
    wanted, _ = issue(events=2), issue(events=2)
    stored = Event.objects.filter(grouping__issue=wanted)[0]

    assert found(stored.event_id.hex) == found(f"event:{stored.event_id}") == [wanted]
    assert found(f"event:{uuid4()}") == []


def test_a_breach_is_found_before_the_tick_has_written_it_down() -> None:
    late = issue(clock_started_at=NOW - 2 * HOUR, respond_by=NOW - HOUR)
    noted = issue(breached_at=NOW - HOUR, responded_at=NOW)
    at_once = issue(clock_started_at=NOW - 6 * MINUTE, near_at=NOW - 6 * MINUTE, respond_by=NOW - 6 * MINUTE)
    issue(clock_started_at=NOW - 4 * MINUTE, near_at=NOW - 4 * MINUTE, respond_by=NOW - 4 * MINUTE)
    issue(clock_started_at=NOW, respond_by=NOW + HOUR)
    issue(clock_started_at=NOW - 2 * HOUR, respond_by=NOW - HOUR, responded_at=NOW - 90 * MINUTE)

    assert found("is:breached") == [late, noted, at_once]
    assert [row for row in Issue.objects.order_by("pk") if selectors.sla_state(row, now=NOW).breached] == [
        late, noted, at_once,
    ]  # fmt: skip
    assert list(Issue.objects.filter(is_overdue(now=NOW)).order_by("pk")) == [late, at_once], "of them, those that wait"
    assert [row for row in Issue.objects.order_by("pk") if looks.sla_words(row, now=NOW)[0] == "bad"] == [late, at_once]


def test_the_name_of_a_tag_is_found_whatever_its_capitals() -> None:
    wanted = issue()
    issue()
    tag(wanted, "Area", "eu")

    assert found("area:eu") == found("AREA:e*") == found("Area:eu") == found("has:area") == [wanted]
    assert found("tag.area:eu") == [wanted]
    assert found("area:EU") == [], "values are compared as they are"


def test_a_project_that_nobody_has_finds_nothing_and_everything_else() -> None:
    row = issue(project("shop"))

    assert found("project:nope") == []
    assert found("!project:nope") == [row]


def test_every_name_of_the_search_stands_in_its_documentation() -> None:
    table = (ROOT / "docs/errors.md").read_text()

    names = [*NAMES, *(f"is:{flag}" for flag in ("open", "assigned", "unassigned", "breached", "regressed"))]
    assert [name for name in names if f"`{name}:" not in table and f"`{name}`" not in table] == []


@pytest.mark.parametrize(
    "query", ["area:((", "area:[*", r"type:\d*", "type:*)*", "release:***", "' OR 1=1", "a'b\\", "²"]
)
def test_no_search_breaks_the_database(query: str) -> None:
    assert found(query) == []


# Events


def test_events_of_all_groupings_come_newest_first_across_partitions() -> None:
    merged = issue(events=2)
    old = stored_event(grouping(merged), at=NOW - 9 * DAY)
    between = stored_event(merged.groupings.order_by("pk")[1], at=NOW - 10 * MINUTE)
    first, second = Event.objects.filter(grouping=merged.groupings.order_by("pk")[0]).order_by("-received_at")

    assert list(selectors.events_of(merged)) == [first, second, between, old]


def test_older_and_newer_walk_through_events_that_came_in_the_same_moment() -> None:
    crowded = issue(events=0)
    home = crowded.groupings.get()
    for _ in range(3):
        stored_event(home, at=NOW)
    stored_event(home, at=NOW - 8 * DAY)

    downwards = [selectors.events_of(crowded)[0]]
    while (before := selectors.older(crowded, downwards[-1])) is not None:
        downwards.append(before)
    upwards = [downwards[-1]]
    while (after := selectors.newer(crowded, upwards[-1])) is not None:
        upwards.append(after)

    assert downwards == list(selectors.events_of(crowded)) == upwards[::-1]
    assert len(downwards) == 4


def test_an_event_is_found_in_its_own_issue_only() -> None:
    mine, other = issue(), issue()
    stored = Event.objects.get(grouping__issue=mine)

    assert selectors.event(mine, stored.event_id) == stored
    with pytest.raises(Event.DoesNotExist):
        selectors.event(other, stored.event_id)


def test_the_latest_event_is_read_from_its_partition_in_one_query(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    many = issue(events=5)

    with django_assert_num_queries(1):
        latest = selectors.latest_event(many)
        assert latest is not None
        assert latest.payload

    assert latest.received_at == NOW


def test_where_the_latest_event_is_gone_or_was_split_off_the_newest_stored_one_is_shown() -> None:
    shrunk, other = issue(events=3), issue(events=1)
    selectors.events_of(shrunk)[0].delete()

    assert selectors.latest_event(shrunk) == selectors.events_of(shrunk)[0]

    Issue.objects.filter(pk=shrunk.pk).update(
        latest_event_id=other.latest_event_id, latest_received_at=other.latest_received_at
    )
    shrunk.refresh_from_db()
    assert selectors.latest_event(shrunk) == selectors.events_of(shrunk)[0]


def test_an_issue_without_stored_events_has_no_latest_event() -> None:
    assert selectors.latest_event(issue(events=0)) is None


def test_the_stack_traces_of_a_page_of_issues_take_one_query(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    issues = [issue(error_type=name) for name in ("ValueError", "KeyError")]
    empty = issue(events=0)
    message = issue(events=0)
    plain = stored_event(
        message.groupings.get(), payload={"event_id": uuid4().hex, "platform": "python", "logentry": {"message": "hm"}}
    )
    Issue.objects.filter(pk=message.pk).update(latest_event_id=plain.pk, latest_received_at=plain.received_at)
    message.refresh_from_db()

    with django_assert_num_queries(1):
        traces = selectors.stack_traces([*issues, empty, message])

    assert traces[issues[0].pk] == (
        "Traceback (most recent call last):\n"
        '  File "shop/payment.py", line 42, in main\n    return card.charge(order.total)\n'
        '  File "shop/payment.py", line 42, in pay\n    return card.charge(order.total)\n'
        "ValueError: broken"
    )
    assert "KeyError: broken" in str(traces[issues[1].pk])
    assert traces[empty.pk] is traces[message.pk] is None


@pytest.mark.parametrize("payload", [b"", b"rubbish", packed({"a": 1})[:-3], zstandard.compress(b"{")])
def test_an_issue_whose_event_is_damaged_stays_readable(payload: bytes) -> None:
    damaged = issue()
    Event.objects.filter(grouping__issue=damaged).update(payload=payload)
    latest = selectors.latest_event(damaged)

    assert latest is not None
    assert selectors.payload_of(latest) == {}
    assert selectors.stack_traces([damaged]) == {damaged.pk: None}


def test_a_list_does_not_unpack_what_is_very_large(monkeypatch: pytest.MonkeyPatch) -> None:
    large = issue()
    monkeypatch.setattr(selectors, "LARGEST_IN_LISTS", 100)

    assert selectors.stack_traces([large]) == {large.pk: None}


def test_files_and_feedback_of_an_event_are_those_of_its_project() -> None:
    mine = Event.objects.get(grouping__issue=issue())
    stranger = project()
    for home in (mine.project, stranger):
        Attachment.objects.create(
            project=home, event_id=mine.pk, position=0, filename="log.txt", size_bytes=1, body=b"x", received_at=NOW
        )
        Feedback.objects.create(project=home, feedback_id=uuid4(), event_id=mine.pk, message="hm", received_at=NOW)

    assert [row.project for row in selectors.attachments_of(mine)] == [mine.project]
    assert [row.project for row in selectors.feedback_of(mine)] == [mine.project]


# Figures


def test_the_trend_fills_hours_without_events_and_ends_with_the_one_that_runs(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    busy, quiet = issue(), issue()
    now = NOW.replace(minute=0)
    homes = [busy.groupings.get(), grouping(busy)]
    for home, hours_ago, quantity in ((homes[0], 0, 3), (homes[1], 0, 4), (homes[0], 2, 5), (homes[0], 4, 9)):
        HourCount.objects.create(grouping=home, hour=now - hours_ago * HOUR, quantity=quantity)

    with django_assert_num_queries(1):
        assert selectors.trend([busy, quiet], hours=4, now=NOW) == {busy.pk: [0, 5, 0, 7], quiet.pk: [0, 0, 0, 0]}


def test_tags_show_the_most_frequent_values_of_all_groupings_together(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    tagged = issue()
    for value, quantity in (("a", 5), ("b", 10), ("c", 1)):
        tag(tagged, "browser", value, quantity, other=4)
    second = grouping(tagged)
    TagValue.objects.create(grouping=second, key="browser", value="a", quantity=20, last_seen=NOW - HOUR)
    TagKey.objects.create(grouping=second, key="area")
    TagValue.objects.create(grouping=second, key="area", value="eu", quantity=2, last_seen=NOW)

    with django_assert_num_queries(2):
        area, browser = selectors.tags_of(tagged, values=2)

    assert (area.key, area.total, area.other) == ("area", 2, 0)
    assert [(share.value, share.quantity, share.percent) for share in browser.values] == [
        ("a", 25, 62.5),
        ("b", 10, 25),
    ]
    assert (browser.total, browser.kept, browser.other, browser.values[0].last_seen) == (40, 3, 5, NOW)


def test_the_time_left_is_told_until_somebody_has_responded() -> None:
    waiting = issue(clock_started_at=NOW - 50 * MINUTE, near_at=NOW - 2 * MINUTE, respond_by=NOW + 10 * MINUTE)

    found = selectors.sla_state(waiting, now=NOW)
    waiting.responded_at = NOW
    after = selectors.sla_state(waiting, now=NOW + HOUR)

    assert (found.left_seconds, found.near, found.breached) == (600, True, False)
    assert (after.left_seconds, after.near, after.breached) == (None, False, False)


def test_a_list_of_issues_takes_one_query(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    for name in ("one", "two", "three"):
        issue(project(name))
    viewer = token(Role.VIEWER)

    with django_assert_num_queries(1):
        rows = [(row.project.slug, row.project.environment, row.service) for row in selectors.visible_issues(viewer)]

    assert len(rows) == 3
