"""The page of an issue: what is wrong first, then where it broke; and it opens whatever an event holds."""

import re
from uuid import uuid4

import pytest

from errors.models import Issue
from sysops.kernel.clock import utc_now
from tests.admin import errors_house as house
from tests.admin.errors_pages import SignIn, page, positions, raw, seen
from tests.errors.support import HOUR, MINUTE, issue, project, report, stored_event

pytestmark = pytest.mark.django_db


def test_the_page_says_what_is_wrong_first_and_shows_where_it_broke(sign_in: SignIn) -> None:
    first = house.furnish()

    text = seen(sign_in("operator"), page("issue_change", first.pk))

    places = positions(text, "Nobody has responded", "It came back", "It was caused by")
    assert places == sorted(places)
    for words in (
        "Raised the timeout of the gateway to 5 s.",
        "answer = self.gateway.post('/charges'",
        "2 calls in libraries",
        "nobody caught it",
        "retrying POST /charges",
        "https://shop.example/checkout/",
        "m.schmidt",
        "I pressed Pay three times",
        "basket.json",
        "412",
        "Firefox 144",
        "The provider has trouble since 14:00.",
    ):
        assert words in text, words


def test_the_innermost_own_call_is_open_and_those_of_libraries_are_folded(sign_in: SignIn) -> None:
    first = house.furnish()

    text = raw(sign_in("viewer"), page("issue_change", first.pk))
    opened = re.findall(r'<details class="so-call so-own" open>\s*<summary>.*?<code>([^<]+)</code>', text, re.S)

    assert opened[0] == "shop/payment.py"
    assert text.index("so-library") < text.index('so-own" open')


def test_one_walks_from_event_to_event(sign_in: SignIn) -> None:
    made = issue(events=0, at=utc_now())
    group = made.groupings.get()
    old, middle, new = (stored_event(group, at=utc_now() - ago) for ago in (HOUR, MINUTE, MINUTE / 2))
    client = sign_in("viewer")

    text = raw(client, page("issue_change", made.pk) + f"?event={middle.event_id.hex}&span=day")

    assert f"event={old.event_id.hex}" in text
    assert f"event={new.event_id.hex}" in text
    assert 'rel="next"' not in raw(client, page("issue_change", made.pk) + f"?event={new.event_id.hex}")
    gone = raw(client, page("issue_change", made.pk) + f"?event={uuid4().hex}")
    assert "not stored any more" in gone
    assert new.event_id.hex in gone


def test_an_issue_whose_events_are_all_gone_still_opens(sign_in: SignIn) -> None:
    made = issue(events=0, event_count=5)

    assert "retention has taken them" in seen(sign_in("viewer"), page("issue_change", made.pk))


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"exception": "text", "breadcrumbs": 7, "tags": [1, ["a"], ["b", {}]], "request": [], "user": "x"},
        {"exception": {"values": [None, {"stacktrace": {"frames": [None, {"lineno": "x", "vars": [1]}]}}]}},
        {"exception": {"values": [{"type": 5, "value": {"a": 1}, "stacktrace": [], "mechanism": "x"}]}, "sdk": 3},
        {"threads": {"values": [{"crashed": True, "stacktrace": {"frames": [{"function": "f"}]}}]}},
        {"logentry": {"message": "only text"}, "breadcrumbs": {"values": [{"timestamp": 1e300}, {"timestamp": "x"}]}},
        {"request": {"headers": [["a", "b"], 3], "url": None}, "modules": ["a"], "notes": "x", "extra": {"": None}},
    ],
)  # fmt: skip
def test_an_event_of_whatever_shape_is_shown_as_far_as_it_makes_sense(
    sign_in: SignIn, payload: dict[str, object]
) -> None:
    made = issue(events=0)
    stored_event(made.groupings.get(), at=utc_now(), payload={"event_id": uuid4().hex, **payload})

    assert "Stack trace" in seen(sign_in("viewer"), page("issue_change", made.pk))


def test_an_issue_says_plainly_when_it_was_first_seen_and_until_when_it_was_to_be_responded_to(
    sign_in: SignIn,
) -> None:
    made, client = report(project("shop"), at=utc_now()), sign_in("viewer")
    waiting = seen(client, page("issue_change", made.pk))
    Issue.objects.filter(pk=made.pk).update(responded_at=utc_now(), responded_by="ada", status="acknowledged")
    done = seen(client, page("issue_change", made.pk))

    assert "First seen</strong> <span" in waiting
    assert "unknown" not in waiting
    due = re.compile(r"<dt>Respond by</dt><dd>(.*?)</dd>", re.S)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", due.findall(waiting)[0])  # how soon is said by its badge
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", due.findall(done)[0])
