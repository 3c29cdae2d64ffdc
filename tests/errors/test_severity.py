"""How bad an issue is, by rules that are data."""

import time
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import shipped
from errors.rules import SEVERITIES, Severity, worse
from errors.severity import Decision, Look, Rule, Spread, conditions_problem, decide, fits, read

LOOK = Look("error", "PaymentTimeout", "The bank does not answer", (("area", "payment"), ("load", "72.5")))


def rule(pk: int, severity: Severity, conditions: Mapping[str, object], project: int | None = None) -> Rule:
    return Rule(pk, f"Rule {pk}", severity, read(conditions), project)


def spread(*, accounts: int = 1, events: int = 1, within: int = 0, service: str = "shop") -> Spread:
    return Spread(project=7, service=service, accounts=accounts, events=events, within=lambda *_: within)


def shipped_decision(look: Look, of: Spread) -> Decision:
    rules = [rule(pk, each.severity, each.conditions) for pk, each in enumerate(shipped.RULES, 1)]
    return decide(rules, [look], of)


@pytest.mark.parametrize(
    ("conditions", "holds"),
    [
        ({}, True),
        ({"level": ["fatal", "error"]}, True),
        ({"level": "warning"}, False),
        ({"error_type": "*timeout"}, True),
        ({"error_type": "Timeout*"}, False),
        ({"message": ["*disk*", "*BANK*"]}, True),
        ({"tag": {"area": "pay*"}}, True),
        ({"tag": {"area": "pay*", "region": "*"}}, False),
        ({"tag": {"load": "> 50"}}, True),
        ({"tag": {"load": ">= 72.5"}}, True),
        ({"tag": {"load": "< 50"}}, False),
        ({"tag": {"area": "> 50"}}, False),
        ({"level": ["error"], "message": "*disk*"}, False),
    ],
)
def test_conditions_hold_when_all_of_them_do(conditions: Mapping[str, object], holds: bool) -> None:
    assert fits(read(conditions), LOOK) is holds


@pytest.mark.parametrize(
    ("conditions", "of", "holds"),
    [
        ({"accounts_at_least": 2}, spread(accounts=1), False),
        ({"accounts_at_least": 2}, spread(accounts=2), True),
        ({"events_at_least": 100}, spread(events=99), False),
        ({"events_at_least": 100}, spread(events=100), True),
        ({"events_at_least": 100, "within_minutes": 60}, spread(events=500, within=99), False),
        ({"events_at_least": 100, "within_minutes": 60}, spread(events=500, within=100), True),
        ({"service": ["shop", "blog"]}, spread(service="blog"), True),
        ({"service": ["blog"]}, spread(service="shop"), False),
    ],
)
def test_how_far_it_reaches_counts(conditions: Mapping[str, object], of: Spread, holds: bool) -> None:
    assert (decide([rule(1, Severity.LOW, conditions)], [LOOK], of).rule == 1) is holds


def test_the_worst_rule_that_holds_counts_of_equal_ones_the_first_and_none_is_medium() -> None:
    low, high, other = (rule(n, s, {}) for n, s in enumerate((Severity.LOW, Severity.HIGH, Severity.HIGH), 1))
    assert decide([low, high, other], [LOOK], spread()) == Decision(Severity.HIGH, 2, "Rule 2")
    assert decide([low], [LOOK], spread()).severity is Severity.LOW
    assert decide([], [LOOK], spread()) == Decision(Severity.MEDIUM, None, "No rule holds")


def test_a_rule_of_another_project_does_not_count() -> None:
    assert decide([rule(1, Severity.CRITICAL, {}, project=8)], [LOOK], spread()).severity is Severity.MEDIUM
    assert decide([rule(1, Severity.CRITICAL, {}, project=7)], [LOOK], spread()).severity is Severity.CRITICAL


def test_one_event_of_many_is_enough_and_its_conditions_are_not_mixed() -> None:
    fatal_disk = rule(1, Severity.CRITICAL, {"level": "fatal", "message": "*disk*"})
    looks = [Look("fatal", "E", "boom"), Look("error", "E", "disk full")]
    assert decide([fatal_disk], looks, spread()).rule is None
    assert decide([fatal_disk], [*looks, Look("fatal", "E", "disk full")], spread()).rule == 1


@pytest.mark.parametrize(
    ("look", "of", "severity"),
    [
        (Look("fatal", "ValueError", "x"), spread(), Severity.CRITICAL),
        (Look("error", "OSError", "[Errno 28] No space left on device: '/var'"), spread(), Severity.CRITICAL),
        (Look("error", "Error", "page 7: data corruption found"), spread(), Severity.CRITICAL),
        (Look("error", "Error", "Possible SQL injection in q"), spread(), Severity.CRITICAL),
        (Look("error", "ValueError", "x"), spread(accounts=60, events=300, within=200), Severity.CRITICAL),
        (Look("error", "ValueError", "x"), spread(accounts=2), Severity.HIGH),
        (Look("error", "OperationalError", "connection refused"), spread(), Severity.HIGH),
        (Look("error", "java.net.SocketTimeoutException", "x"), spread(), Severity.HIGH),
        (Look("error", "Slow", "x", (("slowdown_percent", "60"),)), spread(), Severity.HIGH),
        (Look("error", "ValueError", "x"), spread(events=100, within=100), Severity.HIGH),
        (Look("error", "Slow", "x", (("slowdown_percent", "40"),)), spread(), Severity.MEDIUM),
        (Look("error", "ValueError", "x"), spread(), Severity.MEDIUM),
        (Look("warning", "Message", "x"), spread(), Severity.LOW),
        (Look("info", "Message", "x"), spread(accounts=30), Severity.LOW),
        (Look("error", "ResizeObserver loop", "x"), spread(), Severity.LOW),
    ],
)
def test_the_shipped_rules_mean_what_the_levels_say(look: Look, of: Spread, severity: Severity) -> None:
    assert shipped_decision(look, of).severity is severity


def test_shipped_rules_are_in_order_and_can_be_read() -> None:
    assert len({each.slug for each in shipped.RULES}) == len(shipped.RULES)
    assert [level.severity for level in shipped.LEVELS] == list(SEVERITIES)
    assert [level.respond_within_seconds for level in shipped.LEVELS] == [0, 3_600, 14_400, 86_400]
    assert [conditions_problem(each.conditions) for each in shipped.RULES] == [None] * len(shipped.RULES)


@pytest.mark.parametrize(
    ("conditions", "said"),
    [
        ([], "object"),
        ({"colour": "red"}, "Unknown: colour. Use level,"),
        ({"level": ["terrible"]}, "level: there is no 'terrible'. Use fatal"),
        ({"message": []}, "message: must be a text or a list"),
        ({"message": [3]}, "message: each must be a text"),
        ({"message": "x" * 301}, "1 to 300"),
        ({"message": "*" * 11}, "at most ten"),
        ({"tag": ["area"]}, "tag: must be an object"),
        ({"tag": {"area": None}}, "tag area: must be a text"),
        ({"accounts_at_least": 0}, "accounts_at_least: must be a whole number"),
        ({"accounts_at_least": True}, "whole number"),
        ({"within_minutes": 60}, "events_at_least"),
        ({"events_at_least": 5, "within_minutes": 1_441}, "1 to 1440"),
        ({}, "Name at least one of level, error_type,"),
        ({"tag": {}}, "Name at least one of level"),
    ],
)
def test_bad_conditions_are_refused_with_what_to_write_instead(conditions: object, said: str) -> None:
    problem = conditions_problem(conditions)
    assert problem is not None
    assert said in problem


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_whatever_is_given_is_read_or_refused(conditions: object) -> None:
    conditions_problem(conditions)


@given(
    severities=st.lists(st.sampled_from(SEVERITIES), max_size=6),
    accounts=st.integers(0, 10),
    more=st.integers(0, 10),
)
def test_an_issue_that_reaches_further_is_never_less_bad(severities: list[Severity], accounts: int, more: int) -> None:
    rules = [
        rule(pk, severity, {"accounts_at_least": 1 + pk})
        for pk, severity in enumerate(severities)
        if severity is not Severity.LOW
    ]
    before = decide(rules, [LOOK], spread(accounts=accounts)).severity
    assert not worse(before, decide(rules, [LOOK], spread(accounts=accounts + more)).severity)


def test_a_hostile_message_does_not_stop_the_clock() -> None:
    hostile = Look("error", "E", "a" * 2_000)
    pattern = rule(1, Severity.HIGH, {"message": "*a*a*a*a*a*a*a*a*b"})
    began = time.process_time()
    assert decide([pattern], [hostile], spread()).rule is None
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize("conditions", [{"message": "a\0b"}, {"tag": {"a\0b": "x"}}, {"tag": {"": "x"}}])
def test_what_the_database_cannot_keep_is_refused_in_words(conditions: dict[str, object]) -> None:
    assert conditions_problem(conditions)
