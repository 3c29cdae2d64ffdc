"""Channels and deliveries over HTTP."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from notifications.models import Channel, Delivery
from notifications.rules import DeliveryState
from sysops.access.driver_settings import MASK, unsealed
from sysops.access.models import AuditEntry
from tests.api.conftest import _static_files_on_demand, api, token
from tests.notifications.furnished import NOW, furnish, make_channel, make_delivery, make_message

__all__ = ["_static_files_on_demand", "api", "token"]

pytestmark = pytest.mark.django_db

CHANNELS, DELIVERIES = "/api/system/notification-channels", "/api/system/deliveries"
Api = Callable[[str], APIClient]
SECRET = "https://chat.example.org/hooks/very-secret"
ROOM = {
    "slug": "room",
    "name": "Room",
    "driver": "webhook",
    "settings": {"url": SECRET, "secret": "whsec_" + "A" * 43 + "="},
}


def test_an_admin_adds_a_channel_and_its_secrets_are_write_only(api: Api) -> None:
    admin = api("admin")

    answer = admin.post(CHANNELS, ROOM)

    assert answer.status_code == 201
    assert answer["Location"] == f"{CHANNELS}/room"
    assert answer.json()["settings"] == {"url": MASK, "secret": MASK}
    assert unsealed(Channel.objects.get().sealed_settings)["url"] == SECRET
    assert admin.get(f"{CHANNELS}/room").json() == answer.json()
    assert "very-secret" not in admin.get(CHANNELS).content.decode()


def test_what_is_given_is_changed_and_a_secret_in_asterisks_stays(api: Api) -> None:
    admin = api("admin")
    admin.post(CHANNELS, ROOM)

    answer = admin.patch(f"{CHANNELS}/room", {"name": "Other", "enabled": False})
    assert (answer.json()["name"], answer.json()["enabled"], answer.json()["health"]) == (
        "Other",
        False,
        "Switched off",
    )
    assert admin.patch(f"{CHANNELS}/room", {"settings": {"url": MASK, "secret": MASK}}).status_code == 200

    assert unsealed(Channel.objects.get().sealed_settings)["url"] == SECRET


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"driver": "pigeon"}, "driver"),
        ({"settings": {"url": "ftp://very-secret"}}, "settings.url"),
        ({"settings": {"colour": "red"}}, "settings"),
        ({"slug": "No Slug"}, "slug"),
        ({"slug": "taken"}, "slug"),
        ({"name": ""}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"enabled": "yes"}, "enabled"),
    ],
)
def test_what_does_not_fit_is_a_400_that_names_the_field(api: Api, wrong: dict[str, object], field: str) -> None:
    make_channel("taken")

    answer = api("admin").post(CHANNELS, {**ROOM, **wrong})

    assert answer.status_code == 400
    assert field in answer.json()["errors"]
    assert "very-secret" not in answer.content.decode()
    assert Channel.objects.count() == 1


def test_an_operator_reads_channels_and_changes_none(api: Api) -> None:
    make_channel("email")
    operator = api("operator")

    assert operator.get(CHANNELS).status_code == 200
    assert operator.post(CHANNELS, ROOM).status_code == 403
    assert operator.patch(f"{CHANNELS}/email", {"enabled": False}).status_code == 403
    assert api("viewer").get(CHANNELS).status_code == 403
    assert api("").get(DELIVERIES).status_code == 401


def addresses(client: APIClient, query: str) -> list[str]:
    answer = client.get(f"{DELIVERIES}?{query}")
    assert answer.status_code == 200, answer.content
    return sorted(row["address"] for row in answer.json()["results"])


def test_deliveries_are_narrowed_to_a_state_a_channel_and_a_time(api: Api) -> None:
    furnish(now=NOW)
    operator = api("operator")

    assert addresses(operator, "state=dead") == ["", "gone@example.org"]
    assert addresses(operator, "state=pending&channel=ops-room") == [""]
    hour_ago = (NOW - timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    assert addresses(operator, f"from={hour_ago}") == ["", "ada@example.org"]
    assert addresses(operator, f"to={hour_ago}&state=dropped") == ["ada@example.org"]


@pytest.mark.parametrize("query", ["state=lost", "channel=nothing", "from=yesterday", "status=sent"])
def test_a_filter_that_cannot_be_meant_is_a_400(api: Api, query: str) -> None:
    assert api("operator").get(f"{DELIVERIES}?{query}").status_code == 400


def test_a_delivery_says_what_it_was_and_why_it_was_given_up(api: Api) -> None:
    furnish(now=NOW)

    row = api("operator").get(f"{DELIVERIES}?state=dead&channel=email").json()["results"][1]

    wanted = {"kind": "maintenance.scheduled", "level": "warning", "thread": "window:12", "name": "Charles"}
    assert wanted.items() <= row.items()
    assert row["error"] == "550 5.1.1 gone@example.org: no such user"


def test_what_was_given_up_is_sent_again_under_the_same_id(api: Api) -> None:
    operator, channel = api("operator"), make_channel("email")
    delivery = make_delivery(make_message("m", at=NOW), channel, "a@example.org", state=DeliveryState.DEAD, error="550")

    answer = operator.post(f"{DELIVERIES}/{delivery.pk}/send-again")

    assert answer.status_code == 202
    assert (answer.json()["state"], answer.json()["public_id"]) == ("pending", str(delivery.public_id))
    assert AuditEntry.objects.filter(action="notifications.delivery.sent_again").exists()


@pytest.mark.parametrize("state", [DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.DROPPED])
def test_what_is_under_way_or_not_true_any_more_is_a_409(api: Api, state: DeliveryState) -> None:
    delivery = make_delivery(make_message("m", at=NOW), make_channel("email"), "a@example.org", state=state)

    answer = api("operator").post(f"{DELIVERIES}/{delivery.pk}/send-again")

    assert (answer.status_code, answer.json()["current_status"]) == (409, state.value)
    assert Delivery.objects.get().state == state.value


def test_a_list_costs_the_same_however_long_it_is(
    api: Api, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    operator, channel = api("operator"), make_channel("email")
    for number in range(30):
        make_delivery(make_message(f"m{number}", at=NOW), channel, f"{number}@example.org")
    addresses(operator, "")

    with django_assert_max_num_queries(4):
        assert len(addresses(operator, "page_size=30")) == 30
