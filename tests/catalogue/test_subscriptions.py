"""Signing up, saying yes, and being left in peace again."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from django.conf import LazySettings
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from catalogue import links, services, subscribing
from catalogue.models import Person, Service, Subscription
from catalogue.rules import SubscriptionState as State
from catalogue.services import subscriptions
from sysops.access.actors import Actor
from sysops.access.models import AuditEntry
from sysops.access.roles import Role
from sysops.access.services import create_token
from sysops.events.models import Event

pytestmark = pytest.mark.django_db

BY = Actor.user("anonymous", address="192.0.2.1")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ADDRESS = "ada@example.org"
SIGN_UP = "/api/system/services/shop/subscriptions"


@pytest.fixture(autouse=True)
def _fresh(settings: LazySettings) -> Iterator[None]:
    """No sign-ups counted from the tests before, and pages at once."""
    settings.WHITENOISE_AUTOREFRESH = True
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def shop() -> Service:
    return make_service("shop")


def make_service(slug: str) -> Service:
    return services.create(Service, {"slug": slug, "name": slug.title()}, by=BY, at=NOW)


def ask(service: Service, email: str = ADDRESS, *, at: datetime = NOW) -> Subscription | None:
    subscriptions.request(service=service, email=email, by=BY, at=at)
    return Subscription.objects.filter(service=service, email=email.lower()).first()


def subscribed(service: Service, email: str = ADDRESS) -> Subscription:
    row = ask(service, email, at=timezone.now())
    assert row is not None
    return subscriptions.confirm(token_of(links.confirm_url(row)), by=BY, at=timezone.now())


def token_of(url: str) -> str:
    return url.rsplit("/", 1)[1]


def path_of(url: str) -> str:
    return urlsplit(url).path


def told(name: str) -> list[str]:
    return list(
        Event.objects.filter(name=f"catalogue.subscription.{name}").order_by("pk").values_list("subject", flat=True)
    )


# Signing up


def test_a_sign_up_waits_for_its_mailbox_to_say_yes(shop: Service) -> None:
    row = ask(shop, "Ada@Example.ORG")

    assert row is not None
    assert (row.email, row.state, row.asked_at) == (ADDRESS, State.PENDING, NOW)
    assert told("requested") == [str(row.pk)]


def test_signing_up_again_mails_a_link_once_in_fifteen_minutes(shop: Service) -> None:
    ask(shop)
    ask(shop, at=NOW + timedelta(minutes=14))
    assert len(told("requested")) == 1

    ask(shop, at=NOW + timedelta(minutes=15))
    assert len(told("requested")) == 2
    assert Subscription.objects.count() == 1


def test_who_is_subscribed_already_gets_no_link(shop: Service) -> None:
    subscribed(shop)

    ask(shop, at=timezone.now() + timedelta(days=1))

    assert len(told("requested")) == 1
    assert Subscription.objects.get().state == State.CONFIRMED


def test_a_strangers_sign_ups_do_not_fill_an_inbox() -> None:
    for number in range(8):
        ask(make_service(f"s{number}"))
    assert len(told("requested")) == 5

    ask(make_service("later"), at=NOW + timedelta(minutes=61))
    assert len(told("requested")) == 6


@pytest.mark.django_db(transaction=True)
def test_sign_ups_at_the_same_instant_mail_one_link() -> None:
    service, start = make_service("shop"), threading.Barrier(4)
    failures: list[BaseException] = []

    def sign_up() -> None:
        try:
            start.wait(10)
            ask(service)
        except Exception as exc:
            failures.append(exc)
        finally:
            connection.close()

    threads = [threading.Thread(target=sign_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert failures == []
    assert len(told("requested")) == 1


@pytest.mark.parametrize(
    "email",
    [
        "", "nowhere", "a@b", "ada@example.org\nBcc: eve@example.org", "ada@example.org\n", "a\r\n@example.org",
        "ada@example.org,eve@example.org", "<ada@example.org>", "Ada <ada@example.org>", '"a b"@example.org',
        "ada@exa mple.org", "ada@.org", "ada@example..org", ".ada@example.org", "ada@-example.org", "ada@example.org\0",
        "ада@example.org", f"{'a' * 65}@example.org", f"a@{'b' * 63}.{'c' * 63}.{'d' * 63}.{'e' * 63}.org",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(shop: Service, email: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        ask(shop, email)
    assert "email" in refusal.value.message_dict

    answer = APIClient().post(SIGN_UP, {"email": email})
    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == ["email"]
    assert Subscription.objects.count() == 0


def test_the_audit_log_which_is_never_cut_keeps_nobodys_address(shop: Service) -> None:
    row = subscribed(shop)

    entries = list(AuditEntry.objects.filter(action__startswith="catalogue.subscription").order_by("id"))
    assert [entry.action.rsplit(".", 1)[1] for entry in entries] == ["requested", "confirmed"]
    assert entries[0].after == {"service": "shop", "person": None, "state": "pending"}
    assert all(entry.subject == f"catalogue.subscription:{row.pk}" for entry in entries)
    assert not any(ADDRESS in f"{entry.__dict__}" for entry in entries)


# Over HTTP


def test_the_answer_is_the_same_for_everybody(shop: Service) -> None:
    subscribed(shop, "known@example.org")

    answers = [APIClient().post(SIGN_UP, {"email": who}) for who in ("new@example.org", "known@example.org")]
    answers.append(APIClient().post(f"{SIGN_UP}/", {"email": "new@example.org"}))

    assert [answer.status_code for answer in answers] == [202, 202, 202]
    assert len({answer.content for answer in answers}) == 1
    assert set(Subscription.objects.values_list("email", "state")) == {
        ("known@example.org", "confirmed"),
        ("new@example.org", "pending"),
    }


def test_a_service_that_is_not_there_is_a_404() -> None:
    assert APIClient().post("/api/system/services/nowhere/subscriptions", {"email": ADDRESS}).status_code == 404


def test_one_sender_is_slowed_down_whatever_it_says_its_address_is(shop: Service) -> None:
    codes = [
        APIClient().post(SIGN_UP, {"email": f"a{n}@example.org"}, headers={"X-Forwarded-For": f"192.0.2.{n}"})
        for n in range(31)
    ]

    assert [answer.status_code for answer in codes] == [202] * 30 + [429]
    assert int(codes[-1]["Retry-After"]) >= 1
    assert APIClient().post(SIGN_UP, {"email": "b@example.org"}, REMOTE_ADDR="192.0.2.77").status_code == 202


def client_of(role: Role) -> APIClient:
    _, text = create_token(f"{role}", role=role, ttl=None, by=BY, at=NOW)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    return client


def test_who_is_subscribed_only_those_see_who_see_the_catalogue(shop: Service) -> None:
    row = subscribed(shop)
    ask(shop, "later@example.org", at=timezone.now())
    subscribed(make_service("blog"))

    assert APIClient().get(SIGN_UP).status_code == 401
    viewer = client_of(Role.VIEWER)
    rows = viewer.get(SIGN_UP).json()["results"]
    assert [(found["email"], found["state"], found["person"]) for found in rows] == [
        ("later@example.org", "pending", None),
        (ADDRESS, "confirmed", None),
    ]
    assert rows[1]["id"] == str(row.pk)
    assert [found["email"] for found in viewer.get(f"{SIGN_UP}?state=pending").json()["results"]] == [
        "later@example.org"
    ]
    assert viewer.get(f"{SIGN_UP}?state=nonsense").status_code == 400
    assert viewer.get("/api/system/services/nowhere/subscriptions").status_code == 404


def test_an_admin_ends_a_subscription_of_this_service_only(shop: Service) -> None:
    row, other = subscribed(shop), subscribed(make_service("blog"))
    admin = client_of(Role.ADMIN)

    assert client_of(Role.OPERATOR).delete(f"{SIGN_UP}/{row.pk}").status_code == 403
    assert admin.delete(f"{SIGN_UP}/{other.pk}").status_code == 404
    assert admin.delete(f"{SIGN_UP}/nonsense").status_code == 404
    assert admin.delete(f"{SIGN_UP}/{row.pk}").status_code == 204

    row.refresh_from_db()
    assert row.state == State.ENDED
    assert AuditEntry.objects.order_by("-id")[0].actor.startswith("admin")


def test_a_long_list_costs_no_more_queries(shop: Service, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    for name in ("a", "b", "c"):
        subscribed(shop, f"{name}@example.org")
        person = services.create(Person, {"slug": name, "name": name}, by=BY, at=NOW)
        subscriptions.subscribe_person(service=shop, person=person, by=BY, at=NOW)
    viewer = client_of(Role.VIEWER)
    viewer.get(SIGN_UP)

    with django_assert_num_queries(4):  # the token, the service, the count, the page
        assert len(viewer.get(SIGN_UP).json()["results"]) == 6


# Saying yes


def test_looking_at_the_page_confirms_nothing_and_its_button_does(shop: Service, client: Client) -> None:
    row = ask(shop, at=timezone.now())
    assert row is not None
    page = path_of(links.confirm_url(row))

    shown = client.get(page)
    client.head(page)

    assert shown.status_code == 200
    assert 'method="post"' in shown.content.decode()
    assert Subscription.objects.get().state == State.PENDING

    strict = Client(enforce_csrf_checks=True)
    assert "Shop" in strict.post(page).content.decode()
    assert Subscription.objects.get().state == State.CONFIRMED
    assert strict.post(page).status_code == 200  # a second click is no mistake
    assert told("confirmed") == [str(row.pk)]


def test_a_link_works_for_three_days(shop: Service, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    row = ask(shop)
    assert row is not None
    page = path_of(links.confirm_url(row))
    now = timezone.now().timestamp()

    monkeypatch.setattr("django.core.signing.time.time", lambda: now + 3 * 24 * 3600 - 60)
    assert client.get(page).status_code == 200
    monkeypatch.setattr("django.core.signing.time.time", lambda: now + 3 * 24 * 3600 + 60)
    for answer in (client.get(page), client.post(page)):
        assert answer.status_code == 410
        assert "three days" in answer.content.decode()
    assert Subscription.objects.get().state == State.PENDING


@pytest.mark.parametrize("page", ["confirm", "end"])
@pytest.mark.parametrize("token", ["nonsense", "MQ:1abcde:forged", "%00", "<script>alert(1)</script>"])
def test_a_link_that_is_not_ours_opens_nothing(client: Client, page: str, token: str) -> None:
    for answer in (client.get(f"/subscriptions/{page}/{token}"), client.post(f"/subscriptions/{page}/{token}")):
        assert answer.status_code == 404
        assert b"<script>" not in answer.content


def test_a_link_to_confirm_cannot_end_and_the_reverse(shop: Service, client: Client) -> None:
    row = ask(shop, at=timezone.now())
    assert row is not None
    confirm, end = links.confirm_url(row), links.unsubscribe_url(row)

    assert client.post(path_of(confirm).replace("confirm", "end")).status_code == 404
    assert client.post(path_of(end).replace("end", "confirm")).status_code == 404
    assert Subscription.objects.get().state == State.PENDING


def test_an_old_link_does_not_bring_back_what_was_ended(shop: Service, client: Client) -> None:
    row = subscribed(shop)
    client.post(path_of(links.unsubscribe_url(row)))

    assert client.post(path_of(links.confirm_url(row))).status_code == 410
    assert Subscription.objects.get().state == State.ENDED

    ask(shop, at=timezone.now() + timedelta(minutes=16))
    assert client.post(path_of(links.confirm_url(row))).status_code == 200


def test_our_people_need_no_link(shop: Service) -> None:
    ada = services.create(Person, {"slug": "ada", "name": "Ada"}, by=BY, at=NOW)

    row = subscriptions.subscribe_person(service=shop, person=ada, by=BY, at=NOW)
    again = subscriptions.subscribe_person(service=shop, person=ada, by=BY, at=NOW)

    assert (row.state, row.confirmed_at, again.pk) == (State.CONFIRMED, NOW, row.pk)
    assert (told("requested"), told("confirmed")) == ([], [str(row.pk)])
    subscriptions.end([row], by=BY, at=NOW)
    assert subscriptions.subscribe_person(service=shop, person=ada, by=BY, at=NOW).state == State.CONFIRMED


# Being left in peace


def test_looking_ends_nothing_and_one_service_of_several_can_be_ended(client: Client) -> None:
    for slug in ("shop", "blog", "mail"):
        subscribed(make_service(slug))
    page = path_of(links.unsubscribe_url(ADDRESS))

    shown = client.get(page).content.decode()
    assert all(name in shown for name in ("Shop", "Blog", "Mail"))
    assert told("ended") == []

    after = client.post(page, {"service": "blog"}).content.decode()
    assert Subscription.objects.get(state="ended").service.slug == "blog"
    assert "Shop" in after
    client.post(page)
    assert Subscription.objects.filter(state="ended").count() == 3
    assert "not subscribed any more" in client.get(page).content.decode()


def test_a_mail_program_unsubscribes_with_one_click(shop: Service) -> None:
    row, other = subscribed(shop), subscribed(make_service("blog"))
    strict = Client(enforce_csrf_checks=True)

    answer = strict.post(path_of(links.unsubscribe_url(row)), {"List-Unsubscribe": "One-Click"})  # RFC 8058

    assert (answer.status_code, answer.cookies) == (200, {})
    row.refresh_from_db()
    other.refresh_from_db()
    assert (row.state, other.state) == (State.ENDED, State.CONFIRMED)
    assert told("ended") == [str(row.pk)]
    assert strict.post(path_of(links.unsubscribe_url(row))).status_code == 200  # a second time is no mistake


def test_nobody_ends_what_is_another_addresss(shop: Service, client: Client) -> None:
    subscribed(shop)
    subscribed(shop, "eve@example.org")

    client.post(path_of(links.unsubscribe_url("Eve@example.org")))

    assert Subscription.objects.get(state="confirmed").email == ADDRESS


def test_the_pages_are_kept_by_nobody_and_run_nothing(shop: Service, client: Client) -> None:
    row = ask(shop, at=timezone.now())
    assert row is not None
    for url in (links.confirm_url(row), links.unsubscribe_url(row), f"{links.base_url()}/subscriptions/end/nonsense"):
        answer = client.get(path_of(url))
        assert answer["Referrer-Policy"] == "no-referrer"
        assert answer["X-Robots-Tag"] == "noindex, nofollow"
        assert answer["Cache-Control"] == "no-store"
        assert "default-src 'none'" in answer["Content-Security-Policy"]
        assert not answer.cookies
        assert b"<script" not in answer.content
    assert client.put(path_of(links.confirm_url(row))).status_code == 405


def test_the_name_of_a_service_is_text_and_not_markup(client: Client) -> None:
    service = services.create(Service, {"slug": "x", "name": "<b>X</b>"}, by=BY, at=NOW)
    row = subscribed(service)

    shown = client.get(path_of(links.unsubscribe_url(row))).content.decode()

    assert "&lt;b&gt;X&lt;/b&gt;" in shown
    assert "<b>X</b>" not in shown


# Links and forgetting


@pytest.mark.parametrize(
    ("host", "public", "expected"),
    [
        ("127.0.0.1", None, "http://127.0.0.1:8000"),
        ("0.0.0.0", None, "http://localhost:8000"),
        ("::1", None, "http://[::1]:8000"),
        ("0.0.0.0", "https://ops.example.org/", "https://ops.example.org"),
    ],
)
def test_links_lead_to_where_people_reach_us(
    settings: LazySettings, host: str, public: str | None, expected: str
) -> None:
    settings.ENV = settings.ENV.model_copy(update={"host": host, "port": 8000, "public_url": public})

    assert links.base_url() == expected
    assert links.unsubscribe_url(ADDRESS).startswith(f"{expected}/subscriptions/end/")


def test_addresses_that_never_confirmed_or_ended_are_forgotten_in_time(shop: Service) -> None:
    kept, gone = subscribed(shop, "kept@example.org"), subscribed(shop, "gone@example.org")
    at = timezone.now()
    subscriptions.end([gone], by=BY, at=at)
    ask(shop, "never@example.org", at=at)

    assert subscriptions.clean_up(now=at + timedelta(days=6)) == 0
    assert subscriptions.clean_up(now=at + timedelta(days=8)) == 1
    assert subscriptions.clean_up(now=at + timedelta(days=31)) == 1
    assert list(Subscription.objects.all()) == [kept]


@pytest.mark.django_db(transaction=True)
def test_a_click_on_the_link_while_somebody_signs_the_address_up_again_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service, later = make_service("shop"), NOW + timedelta(hours=1)
    row = ask(service)
    assert row is not None
    token = urlsplit(links.confirm_url(row)).path.rsplit("/", 1)[1]
    monkeypatch.setattr(links, "LINK_LIVES", timedelta(days=36_500))
    failures: list[BaseException] = []

    def confirm() -> None:
        try:
            subscriptions.confirm(token, by=BY, at=later)
        except Exception as exc:
            failures.append(exc)
        finally:
            connection.close()

    click, real = threading.Thread(target=confirm), subscribing.may_ask

    def may_ask(*args: object, **kwargs: object) -> bool:
        click.start()
        click.join(0.5)
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(subscribing, "may_ask", may_ask)
    ask(service, at=later)
    click.join(20)

    row.refresh_from_db()
    assert (row.state, failures) == (State.CONFIRMED, [])
