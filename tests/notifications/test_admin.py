"""Channels, routes, words, messages and deliveries in the admin."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from catalogue.models import Service, Subscription, Team
from catalogue.services import create
from notifications.models import Channel, Delivery, Message, MessageTemplate, Route
from notifications.rules import DeliveryState, Level
from sysops.access.driver_settings import unsealed
from sysops.access.models import AuditEntry
from sysops.kernel.clock import utc_now
from tests.admin.conftest import _static_files_on_demand, sign_in
from tests.notifications.furnished import BY, HOSTILE, NOW, furnish, make_channel, make_delivery, make_message

__all__ = ["_static_files_on_demand", "sign_in"]

pytestmark = pytest.mark.django_db

SignIn = Callable[[str], Client]


def page(name: str, *args: object) -> str:
    return reverse(f"admin:notifications_{name}", args=args)


def text(client: Client, url: str) -> str:
    answer = client.get(url)
    assert answer.status_code == 200, (url, answer.status_code)
    return answer.content.decode()


def every_page() -> list[str]:
    lists = [page(f"{name}_changelist") for name in ("channel", "route", "messagetemplate", "message", "delivery")]
    rows: list[str] = []
    for model in (Channel, Message, Delivery):
        rows += [page(f"{model._meta.model_name}_change", row.pk) for row in model._default_manager.all()]
    kinds = [page("messagetemplate_edit", kind) for kind in ("maintenance.scheduled", "alert.raised")]
    return [*lists, *rows, *kinds]


def test_an_operator_sees_every_page_and_hostile_text_stays_text(sign_in: SignIn) -> None:
    furnish(now=utc_now())
    operator = sign_in("operator")

    for url in every_page():
        assert HOSTILE not in text(operator, url), url


def test_a_viewer_sees_none_of_them(sign_in: SignIn) -> None:
    furnish(now=utc_now())
    viewer = sign_in("viewer")

    assert {viewer.get(url).status_code for url in every_page()} == {403}


def test_only_an_admin_changes_what_is_configured(sign_in: SignIn) -> None:
    furnish(now=utc_now())
    channel = Channel.objects.get(slug="email")
    operator = sign_in("operator")

    doors = [
        page("channel_add"), page("channel_settings", channel.pk), page("channel_test", channel.pk),
        page("channel_remove", channel.pk), page("route_changelist"),
        page("messagetemplate_edit", "alert.raised"), page("messagetemplate_preview", "alert.raised"),
        page("messagetemplate_reset", "alert.raised"),
    ]  # fmt: skip
    assert {operator.post(url, {"subject": "x", "text": "x", "html": "x"}).status_code for url in doors} == {403}


WEBHOOK = {
    "name": "Room",
    "slug": "room",
    "set_url": "https://chat.example.org/hooks/very-secret",
    "set_secret": "whsec_" + "A" * 43 + "=",
}


def errors(answer: object) -> dict[str, str]:
    assert answer.status_code == 200  # type: ignore[attr-defined]
    return {name: str(texts) for name, texts in answer.context["form"].errors.items()}  # type: ignore[attr-defined]


def test_a_channel_is_added_kind_first_and_its_secrets_are_never_shown(sign_in: SignIn) -> None:
    admin = sign_in("admin")

    assert "?driver=webhook" in text(admin, page("channel_add"))
    admin.post(page("channel_add") + "?driver=webhook", WEBHOOK)

    channel = Channel.objects.get()
    assert unsealed(channel.sealed_settings)["url"] == WEBHOOK["set_url"]
    for url in (page("channel_change", channel.pk), page("channel_settings", channel.pk)):
        assert "very-secret" not in text(admin, url)
    assert AuditEntry.objects.get(action="notifications.channel.created").actor == "admin-person"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"set_url": "ftp://example.org/very-secret"}, "set_url"),
        ({"slug": "No Slug"}, "slug"),
        ({"slug": "taken"}, "slug"),
        ({"name": ""}, "name"),
    ],
)
def test_what_does_not_fit_is_said_beside_its_field(sign_in: SignIn, wrong: dict[str, str], field: str) -> None:
    make_channel("taken")

    answer = sign_in("admin").post(page("channel_add") + "?driver=webhook", {**WEBHOOK, **wrong})

    assert set(errors(answer)) == {field}
    assert "very-secret" not in answer.content.decode()
    assert Channel.objects.count() == 1


def test_a_secret_left_empty_stays_and_a_channel_is_switched_off(sign_in: SignIn) -> None:
    admin = sign_in("admin")
    admin.post(page("channel_add") + "?driver=webhook", WEBHOOK)
    channel = Channel.objects.get()

    admin.post(page("channel_settings", channel.pk), {"name": "Other name", "set_url": "", "set_secret": ""})

    channel.refresh_from_db()
    assert (channel.name, channel.enabled) == ("Other name", False)
    assert unsealed(channel.sealed_settings)["url"] == WEBHOOK["set_url"]
    assert "Switched off" in text(admin, page("channel_changelist"))


def test_a_test_message_is_sent_and_its_delivery_shows_how_it_goes(sign_in: SignIn) -> None:
    admin, channel = sign_in("admin"), make_channel("email", name="E-mail")

    answer = admin.post(page("channel_test", channel.pk), {"address": "ada@example.org"})

    delivery = Delivery.objects.get()
    assert (delivery.address, delivery.channel, delivery.message.kind) == (
        "ada@example.org", channel, "notifications.test",
    )  # fmt: skip
    assert answer["Location"] == page("delivery_change", delivery.pk)
    assert "data-live=" in text(admin, answer["Location"])
    assert admin.get(page("delivery_live", delivery.pk)).status_code == 200


def test_a_test_to_no_address_is_refused_beside_the_field(sign_in: SignIn) -> None:
    channel = make_channel("email")

    answer = sign_in("admin").post(page("channel_test", channel.pk), {"address": "not an address"})

    assert set(errors(answer)) == {"address"}
    assert not Delivery.objects.exists()


def test_a_channel_is_removed_only_while_nothing_went_through_it(sign_in: SignIn) -> None:
    admin, used, unused = sign_in("admin"), make_channel("used"), make_channel("unused")
    make_delivery(make_message("x", at=NOW), used, "ada@example.org")

    assert "Remove" not in text(admin, page("channel_change", used.pk))
    answer = admin.post(page("channel_remove", used.pk))
    assert "switch it off instead" in answer.content.decode()
    admin.post(page("channel_remove", unused.pk))

    assert [channel.slug for channel in Channel.objects.all()] == ["used"]


def test_what_fails_stands_first_and_says_since_when_and_why(sign_in: SignIn) -> None:
    furnish(now=utc_now())

    shown = text(sign_in("operator"), page("channel_changelist"))

    assert "Failing since 31 min ago, tried again in" in shown
    assert "Connection refused by chat.example.org:443" in shown
    assert shown.index("Room of the operators") < shown.index("E-mail</a>")


def test_a_channel_whose_driver_is_gone_is_shown_and_cannot_be_tried(sign_in: SignIn) -> None:
    channel, admin = make_channel("pager", driver="smoke-signals"), sign_in("admin")

    assert "not installed" in text(admin, page("channel_change", channel.pk))
    assert admin.get(page("channel_settings", channel.pk)).status_code == 302
    assert "not installed" in text(admin, page("channel_changelist"))


def routes(team: Team | None = None) -> set[tuple[str, str]]:
    return set(Route.objects.filter(team=team).values_list("level", "channel__slug"))


def test_the_grid_of_routes_is_saved_as_ticked_for_everybody_and_for_a_team(sign_in: SignIn) -> None:
    furnish(now=utc_now())
    admin, team = sign_in("admin"), Team.objects.get(slug="data-team")
    url = page("route_changelist")

    admin.post(url, {"team": "", "critical": ["email", "ops-room"], "warning": ["ops-room"]})
    admin.post(url, {"team": "data-team", "critical": ["ops-room"]})

    assert routes() == {("critical", "email"), ("critical", "ops-room"), ("warning", "ops-room")}
    assert routes(team) == {("critical", "ops-room")}
    shown = text(admin, url)
    assert "No channel: each person is told through the first of their addresses that works." in shown
    admin.post(url, {"team": "data-team"})
    assert routes(team) == set()


def test_the_same_ticks_again_write_nothing_into_the_audit_log(sign_in: SignIn) -> None:
    furnish(now=utc_now())
    admin, url = sign_in("admin"), page("route_changelist")
    before = AuditEntry.objects.filter(action="notifications.routes.changed").count()

    admin.post(url, {"team": "", "critical": ["ops-room", "email"], "warning": ["email"], "info": ["ops-room"]})

    assert AuditEntry.objects.filter(action="notifications.routes.changed").count() == before


@pytest.mark.parametrize("team", ["nobody", "a\0b"])
def test_routes_of_a_team_that_is_not_there_are_a_404(sign_in: SignIn, team: str) -> None:
    admin = sign_in("admin")

    assert admin.get(page("route_changelist"), {"team": team}).status_code == 404
    assert admin.post(page("route_changelist"), {"team": team}).status_code == 404


SHIPPED = {"subject": "Alert: {{ title }}", "text": "Mind {{ title }}", "html": "<p>Mind {{ title }}</p>"}


def test_words_are_previewed_saved_and_reset(sign_in: SignIn) -> None:
    admin, kind = sign_in("admin"), "alert.raised"

    preview = admin.post(page("messagetemplate_preview", kind), SHIPPED).json()
    assert preview["problems"] == {}
    assert preview["subject"] == "Alert: Backups of shop-db fail"
    assert "<p>Mind Backups of shop-db fail</p>" in preview["html"]
    assert not MessageTemplate.objects.exists()

    admin.post(page("messagetemplate_edit", kind), SHIPPED)
    assert MessageTemplate.objects.get().text == "Mind {{ title }}"
    assert "Changed here" in text(admin, page("messagetemplate_changelist"))

    admin.post(page("messagetemplate_reset", kind))
    assert not MessageTemplate.objects.exists()


def test_words_that_cannot_be_filled_in_are_not_saved(sign_in: SignIn) -> None:
    admin, kind = sign_in("admin"), "alert.raised"
    broken = {**SHIPPED, "html": "<p>{% if title %}</p>"}

    assert set(admin.post(page("messagetemplate_preview", kind), broken).json()["problems"]) == {"html"}
    assert set(errors(admin.post(page("messagetemplate_edit", kind), broken))) == {"html"}
    assert not MessageTemplate.objects.exists()


def test_words_cannot_leave_the_sandboxed_frame(sign_in: SignIn) -> None:
    admin, kind = sign_in("admin"), "alert.raised"
    nasty = '"></iframe><script>alert(1)</script>'
    admin.post(page("messagetemplate_edit", kind), {"subject": nasty, "text": nasty, "html": nasty})
    message = make_message("alert:1:raised", at=NOW, kind=kind, context={"title": nasty})
    delivery = make_delivery(message, make_channel("email"), "ada@example.org")

    pages = [page("messagetemplate_edit", kind), page("message_change", message.pk)]
    for url in [*pages, page("delivery_change", delivery.pk)]:
        shown = text(admin, url)
        assert nasty not in shown
        assert "<script>alert" not in shown
        assert 'sandbox=""' in shown


def test_a_kind_nobody_knows_is_a_404(sign_in: SignIn) -> None:
    assert sign_in("admin").get(page("messagetemplate_edit", "no.such.kind")).status_code == 404


def test_what_was_given_up_is_sent_again_from_its_page_and_from_the_list(sign_in: SignIn) -> None:
    operator, channel = sign_in("operator"), make_channel("email")
    message = make_message("x", at=NOW)
    first, second, under_way = (
        make_delivery(message, channel, f"{name}@example.org", state=state, error="550")
        for name, state in [("a", DeliveryState.DEAD), ("b", DeliveryState.SENT), ("c", DeliveryState.SENDING)]
    )

    operator.post(page("delivery_send_again", first.pk))
    picked = {"action": "send_selected_again", "_selected_action": [second.pk, under_way.pk]}
    answer = operator.post(page("delivery_changelist"), picked, follow=True).content.decode()

    states = dict(Delivery.objects.values_list("address", "state"))
    assert states == {"a@example.org": "pending", "b@example.org": "pending", "c@example.org": "sending"}
    assert "Sent again: 1 of 2." in answer
    assert AuditEntry.objects.filter(action="notifications.delivery.sent_again").count() == 2


def test_what_is_under_way_is_not_sent_twice(sign_in: SignIn) -> None:
    operator = sign_in("operator")
    delivery = make_delivery(
        make_message("x", at=NOW), make_channel("email"), "a@example.org", state=DeliveryState.SENDING
    )

    answer = operator.post(page("delivery_send_again", delivery.pk), follow=True)

    assert "It is under way already" in answer.content.decode()


def test_deliveries_are_found_by_address_state_channel_level_and_kind(sign_in: SignIn) -> None:
    furnish(now=utc_now())
    operator, mail = sign_in("operator"), Channel.objects.get(slug="email")

    def shown(query: str) -> list[str]:
        answer = operator.get(f"{page('delivery_changelist')}?{query}")
        assert answer.status_code == 200
        return sorted(row.address for row in answer.context["cl"].result_list)

    assert shown("q=gone@example.org") == ["gone@example.org"]
    assert shown("state=dead") == ["gone@example.org", "unreached:bob"]
    assert shown(f"channel__id__exact={mail.pk}&state=sent") == ["ada@example.org", "someone@example.com"]
    assert shown("level=critical") == ["ada@example.org", "unreached:bob"]
    assert shown("kind=maintenance.ahead") == ["ada@example.org"]
    message = Message.objects.get(key="window:12:scheduled")
    assert len(shown(f"message__id__exact={message.pk}")) == 4


def test_a_link_that_would_act_for_its_reader_is_not_shown(sign_in: SignIn) -> None:
    operator, mail = sign_in("operator"), make_channel("email")
    service = create(Service, {"slug": "shop", "name": "Shop"}, by=BY, at=NOW)
    row = Subscription.objects.create(service=service, email="someone@example.com")
    ask = make_message(
        "c", at=NOW, kind="catalogue.confirm_subscription", context={"subscription_id": row.pk, "service": "Shop"}
    )
    asked = make_delivery(ask, mail, "someone@example.com", outside=True)
    told = make_delivery(make_message("m", at=NOW), mail, "someone@example.com", outside=True)

    pages = [page("message_change", ask.pk), page("delivery_change", asked.pk), page("delivery_change", told.pk)]
    for url in pages:
        assert "/subscriptions/confirm/" not in text(operator, url)
        assert "/subscriptions/end/" not in text(operator, url)


@pytest.mark.parametrize("name", ["message", "delivery"])
def test_a_list_costs_the_same_however_long_it_is(
    sign_in: SignIn, name: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    operator, channel = sign_in("operator"), make_channel("email")

    def add(first: int, last: int) -> None:
        for number in range(first, last):
            message = make_message(f"m{number}", at=NOW, level=Level.INFO)
            make_delivery(message, channel, f"{number}@example.org", state=DeliveryState.DEAD, error="550")

    add(0, 2)
    text(operator, page(f"{name}_changelist"))
    with CaptureQueriesContext(connection) as few:
        text(operator, page(f"{name}_changelist"))
    add(2, 30)

    with django_assert_num_queries(len(few)):
        text(operator, page(f"{name}_changelist"))
    assert len(few) <= 12
