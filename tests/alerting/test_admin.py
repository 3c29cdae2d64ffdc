"""Alerts in the admin: what is wrong now first, what maintenance holds back, what is over."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from alerting import services
from alerting.models import Alert
from notifications.rules import Level
from tests.admin.conftest import _static_files_on_demand, sign_in
from tests.alerting.support import MINUTE, NOW, back_to, fire, maintenance, make_service, make_team, release, resolve

__all__ = ["_static_files_on_demand", "sign_in"]

pytestmark = pytest.mark.django_db

SignIn = Callable[[str], Client]
LIST = "admin:alerting_alert_changelist"
HOSTILE = '<script>document.title = "owned"</script>'


def shown(client: Client, query: str = "") -> list[str]:
    answer = client.get(f"{reverse(LIST)}?{query}")
    assert answer.status_code == 200
    return [alert.key for alert in answer.context["cl"].result_list]


def page(client: Client, alert: Alert) -> str:
    answer = client.get(reverse("admin:alerting_alert_change", args=[alert.pk]))
    assert answer.status_code == 200
    return answer.content.decode()


def test_what_is_wrong_now_comes_first_the_worst_of_it_before_the_rest(sign_in: SignIn) -> None:
    shop, blog = make_service("shop-db", owner=make_team()), make_service("blog")
    fire(blog, key="over", level=Level.CRITICAL)
    resolve(key="over")
    fire(blog, key="worst", level=Level.CRITICAL)
    fire(blog, key="warning")
    maintenance(shop)
    fire(shop, key="held")
    viewer = sign_in("viewer")

    assert shown(viewer) == ["worst", "held", "warning"]
    assert shown(viewer, "what=waiting") == ["held"]
    assert shown(viewer, "what=over") == ["over"]
    assert shown(viewer, "what=all") == ["worst", "held", "warning", "over"]
    assert shown(viewer, "level=warning") == ["held", "warning"]
    assert shown(viewer, "what=nonsense") == ["worst", "held", "warning"]
    assert "Held back" in viewer.get(reverse(LIST)).content.decode()


def test_the_page_of_a_held_back_alert_says_that_nobody_was_told_and_why(sign_in: SignIn) -> None:
    service = make_service("shop-db", owner=make_team())
    maintenance(service)
    alert = fire(service)
    viewer = sign_in("viewer")

    held = page(viewer, alert)
    assert "Held back: nobody was told." in held
    assert "Window 12: new disks" in held
    back_to(service)
    release()
    assert "Held back: nobody was told." not in page(viewer, alert)


def test_the_page_shows_what_was_sent_and_that_it_is_over(sign_in: SignIn) -> None:
    alert = fire(make_service("shop-db", owner=make_team()))
    resolve()

    said = page(sign_in("operator"), alert)

    assert "It is over" in said
    assert "Alert: raised" in said
    assert "Alert: resolved" in said


def test_hostile_text_stays_text_and_a_link_leads_nowhere_else(sign_in: SignIn) -> None:
    viewer = sign_in("viewer")
    alerts = [
        services.fire(key=path, level=Level.INFO, title=HOSTILE, detail=HOSTILE, path=path, at=NOW)
        for path in ("javascript:alert(1)", "//evil.example.org/", "/\\evil.example.org/", "https://evil.example.org")
    ]

    for said in [viewer.get(reverse(LIST)).content.decode(), *(page(viewer, alert) for alert in alerts)]:
        assert HOSTILE not in said
        assert 'href="javascript:' not in said
        assert 'href="//evil' not in said
        assert 'href="/\\evil' not in said
        assert 'href="https://evil' not in said


def test_nobody_changes_an_alert_here(sign_in: SignIn) -> None:
    alert, admin = fire(None), sign_in("admin")

    assert admin.get(reverse("admin:alerting_alert_add")).status_code == 403
    assert admin.post(reverse("admin:alerting_alert_change", args=[alert.pk]), {"title": "x"}).status_code == 403
    assert admin.post(reverse("admin:alerting_alert_delete", args=[alert.pk])).status_code == 403


def test_the_list_costs_the_same_however_long_it_is(
    sign_in: SignIn, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    viewer = sign_in("viewer")

    def add(first: int, last: int) -> None:
        for number in range(first, last):
            fire(make_service(f"s{number}"), key=f"check:{number}", at=NOW + number * MINUTE)

    add(0, 2)
    shown(viewer)
    with CaptureQueriesContext(connection) as few:
        shown(viewer)
    add(2, 12)

    with django_assert_num_queries(len(few)):
        assert len(shown(viewer)) == 12
