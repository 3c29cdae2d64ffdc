"""Pages: rows that come and go between two pages neither repeat nor hide another."""

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase
from rest_framework import serializers
from rest_framework.test import APIRequestFactory

from sysops.api.pagination import COUNT_UP_TO, complete_ordering
from sysops.api.serializers import Id
from sysops.api.views import PUBLIC, ReadViewSet
from sysops.events.models import Delivery, Event
from tests.api.conftest import AT

pytestmark = pytest.mark.django_db


class EventSerializer(serializers.ModelSerializer[Event]):
    id = Id()

    class Meta:
        model = Event
        fields = ("id", "name", "subject", "at")


class DeliverySerializer(serializers.ModelSerializer[Delivery]):
    class Meta:
        model = Delivery
        fields = ("id", "subscriber", "finished_at")


class Events(ReadViewSet[Event]):
    rights = {"list": PUBLIC}
    authentication_classes = ()
    queryset = Event.objects.order_by("-at")
    serializer_class = EventSerializer
    ordering_fields = ("at", "name", "subject")


class Deliveries(ReadViewSet[Delivery]):
    rights = {"list": PUBLIC}
    authentication_classes = ()
    queryset = Delivery.objects.order_by("-finished_at")
    serializer_class = DeliverySerializer
    ordering_fields = {"finished": "finished_at", "event": "event__name", "attempt": "attempt"}


def get(query: str = "", view: type[ReadViewSet[Any]] = Events) -> dict[str, Any]:
    request = APIRequestFactory().get(f"/list?{query}")
    response = view.as_view({"get": "list"})(request).render()
    return {**json.loads(response.content), "code": response.status_code}


def follow(url: str, view: type[ReadViewSet[Any]] = Events) -> dict[str, Any]:
    return get(urlsplit(url).query, view)


def walk(query: str, view: type[ReadViewSet[Any]] = Events) -> list[Any]:
    """All ids, page by page, and the same backwards from the end."""
    page = get(query, view)
    ids = [row["id"] for row in page["results"]]
    while page["next"]:
        page = follow(page["next"], view)
        ids += [row["id"] for row in page["results"]]
    back = [row["id"] for row in page["results"]]
    while page["previous"]:
        page = follow(page["previous"], view)
        back = [row["id"] for row in page["results"]] + back
    assert back == ids, "backwards shows the same"
    return ids


def subjects(page: dict[str, Any]) -> list[str]:
    return [row["subject"] for row in page["results"]]


@pytest.fixture
def make() -> Callable[..., Event]:
    def event(number: int, **more: Any) -> Event:
        fields = {"name": "a.b", "subject": str(number), "at": AT + timedelta(minutes=number), **more}
        return Event.objects.create(**fields)

    return event


def test_pages_come_newest_first_with_links_both_ways(make: Callable[..., Event]) -> None:
    for number in range(5):
        make(number)

    first = get("page_size=2")
    second = follow(first["next"])
    third = follow(second["next"])

    assert [subjects(page) for page in (first, second, third)] == [["4", "3"], ["2", "1"], ["0"]]
    assert (first["count"], first["previous"], third["next"]) == (5, None, None)
    assert subjects(follow(third["previous"])) == ["2", "1"]
    back = follow(follow(third["previous"])["previous"])
    assert (subjects(back), back["previous"]) == (["4", "3"], None)


def test_a_row_added_or_removed_between_two_pages_moves_no_other(make: Callable[..., Event]) -> None:
    rows = [make(number) for number in range(6)]
    first = get("page_size=2")

    make(7)
    rows[5].delete()
    rows[4].delete()

    assert subjects(follow(first["next"])) == ["3", "2"]


def test_rows_that_are_equal_in_the_order_are_told_apart_by_their_key(make: Callable[..., Event]) -> None:
    rows = [make(number, at=AT) for number in range(7)]

    assert walk("page_size=2") == [str(row.pk) for row in reversed(rows)]
    assert walk("page_size=3&ordering=name") == [str(row.pk) for row in rows]


def test_the_page_before_an_empty_one_shows_what_is_left(make: Callable[..., Event]) -> None:
    rows = [make(number) for number in range(4)]
    first = get("page_size=2")
    rows[0].delete()
    rows[1].delete()

    empty = follow(first["next"])

    assert (subjects(empty), empty["next"]) == ([], None)
    assert subjects(follow(empty["previous"])) == ["3", "2"]


def test_links_keep_filters_ordering_and_size(make: Callable[..., Event]) -> None:
    for number in range(3):
        make(number)

    link = parse_qs(urlsplit(get("page_size=1&ordering=-name,at")["next"]).query)

    assert (link["page_size"], link["ordering"]) == (["1"], ["-name,at"])


def test_a_cursor_of_another_ordering_is_refused(make: Callable[..., Event]) -> None:
    for number in range(3):
        make(number)
    cursor = parse_qs(urlsplit(get("page_size=1")["next"]).query)["cursor"][0]

    assert get(f"page_size=1&ordering=name&cursor={cursor}")["code"] == 400


@pytest.mark.parametrize(
    "values",
    [["x", 1], [None, None, None], [{}, 1], [["2026-01-01T00:00:00Z"], 1], ["2026-01-01T00:00:00Z", "x"],
     ["2026-01-01T00:00:00", 1], ["0001-01-01T00:00:00+23:00", 1], ["2026-01-01T00:00:00Z", 10**40],
     ["2026-01-01T00:00:00Z", 1.5e300], [True, True], "ab"],
)  # fmt: skip
def test_a_forged_cursor_is_400_or_harmless_and_never_500(make: Callable[..., Event], values: Any) -> None:
    make(1)
    raw = json.dumps([["-at", "-pk"], values, 0, 0]).encode()
    cursor = base64.urlsafe_b64encode(raw).decode().rstrip("=")

    assert get(f"cursor={cursor}")["code"] in (200, 400)


def test_a_list_costs_two_queries_whatever_its_length(
    make: Callable[..., Event], django_assert_num_queries: Any
) -> None:
    for number in range(30):
        make(number)

    with django_assert_num_queries(2):
        assert len(get()["results"]) == 30


def test_beyond_the_limit_the_count_is_unknown_rather_than_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    Event.objects.bulk_create([Event(name="a.b", subject="1", at=AT) for _ in range(4)])
    monkeypatch.setattr(Events, "count_up_to", 3, raising=False)

    assert get()["count"] is None
    monkeypatch.setattr(Events, "count_up_to", 4)
    assert get()["count"] == 4
    assert COUNT_UP_TO >= 1000


def test_an_ordering_always_ends_in_the_key() -> None:
    def names(*given: str) -> tuple[str, ...]:
        return complete_ordering(Event.objects.order_by(*given))

    assert names("-at") == ("-at", "-pk")
    assert names("name") == ("name", "pk")
    assert names("-id", "name") == ("-id",)
    assert complete_ordering(Event.objects.all()) == ("-id",)
    with pytest.raises(TypeError, match="field names"):
        names("?", *[__import__("django.db.models").db.models.F("at").desc()])


class NullsTest(TestCase):
    """Rows without a value in the ordering field are neither lost nor shown twice, in either direction."""

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        ages=st.lists(st.none() | st.integers(0, 3), max_size=9),
        size=st.integers(1, 4),
        ordering=st.sampled_from(["finished", "-finished", "event,-finished", "-attempt,finished", "-event"]),
    )
    def test_every_row_is_shown_exactly_once(self, ages: list[int | None], size: int, ordering: str) -> None:
        for number, age in enumerate(ages):
            event = Event.objects.create(name=f"a.{number % 2}", subject="x", at=AT)
            finished = None if age is None else AT + timedelta(hours=age)
            Delivery.objects.create(event=event, subscriber="s", due_at=AT, finished_at=finished, attempt=number % 3)
        expected = get(f"page_size=200&ordering={ordering}", Deliveries)["results"]

        assert walk(f"page_size={size}&ordering={ordering}", Deliveries) == [row["id"] for row in expected]
        assert len(expected) == len(ages)
