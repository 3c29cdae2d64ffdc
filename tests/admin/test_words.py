"""Sizes, spans, moments and cron rules as people say them."""

from datetime import UTC, datetime, timedelta

import pytest

from backups.cron_words import cron_words
from backups.schedule import Cron
from sysops.kernel.words import ago_words, size_words, span_words

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (None, "not known"),
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.00 kB"),
        (12_345, "12.3 kB"),
        (999_999, "1.00 MB"),
        (1_840_000_000, "1.84 GB"),
        (5e18, "5000 PB"),
    ],
)
def test_a_size_has_three_digits_and_a_unit(count: float | None, words: str) -> None:
    assert size_words(count) == words


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (None, "not known"),
        (0.1, "0.1 s"),
        (59.6, "1 min"),
        (timedelta(minutes=3, seconds=12), "3 min 12 s"),
        (timedelta(hours=4), "4 h"),
        (timedelta(days=1, hours=2, minutes=59), "1 d 2 h"),
        (-90, "-1 min 30 s"),
    ],
)
def test_a_span_has_its_two_largest_units(span: timedelta | float | None, words: str) -> None:
    assert span_words(span) == words


@pytest.mark.parametrize(
    ("then", "words"),
    [
        (NOW, "just now"),
        (NOW - timedelta(seconds=40), "40 s ago"),
        (NOW - timedelta(minutes=59, seconds=59), "59 min ago"),
        (NOW - timedelta(hours=26), "1 d ago"),
        (NOW + timedelta(minutes=25), "in 25 min"),
    ],
)
def test_a_moment_is_told_by_its_distance(then: datetime, words: str) -> None:
    assert ago_words(then, now=NOW) == words


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("0 2 * * *", "every day at 02:00 UTC"),
        ("0 2 * * 0", "every Sunday at 02:00 UTC"),
        ("0 2 1 * *", "on day 1 of every month at 02:00 UTC"),
        ("0 */6 * * *", "every 6 hours on the hour (UTC)"),
        ("0 * * * *", "every hour on the hour (UTC)"),
        ("15 * * * *", "every hour at 15 minutes past (UTC)"),
        ("*/5 * * * *", "every 5 minutes (UTC)"),
        ("30 1,13 * * mon-fri", "every weekday at 01:30 and 13:30 UTC"),
        ("0 4 24 12 *", "every 24 December at 04:00 UTC"),
        ("0 2 * * 1,4", "every Monday and Thursday at 02:00 UTC"),
        ("0 2 1-7 * 1", "at the times of the cron rule 0 2 1-7 * 1 (UTC)"),
        ("0 2-4 * * *", "at the times of the cron rule 0 2-4 * * * (UTC)"),
    ],
)
def test_a_cron_rule_is_told_in_words_or_as_it_is_written(rule: str, words: str) -> None:
    assert cron_words(Cron(*rule.split())) == words
