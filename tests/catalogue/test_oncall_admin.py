"""Who is on call, in the admin, as a person with a browser meets it."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from catalogue import selectors_oncall, services
from catalogue.models import Entry, OnCallOverride, Person, Rota, Team
from sysops.access.actors import Actor
from sysops.access.models import AuditEntry
from sysops.access.roles import Role

pytestmark = pytest.mark.django_db

BY = Actor.system()


def browser(role: Role) -> Client:
    user = User.objects.create_user(f"{role}", password="correct horse battery", is_staff=True)
    user.groups.add(Group.objects.get(name=role.value))
    client = Client()
    client.force_login(user)
    return client


def make(model: type[services.Row], slug: str, /, **values: object) -> services.Row:
    return services.create(model, {"slug": slug, "name": slug.title(), **values}, by=BY, at=timezone.now())


def page(model: type[Entry], name: str = "changelist", *args: object) -> str:
    return reverse(f"admin:catalogue_{model._meta.model_name}_{name}", args=args)


def rotation(n: int, *people: Person, **values: object) -> dict[str, object]:
    given = {
        "id": "",
        "rota": "",
        "name": f"Rotation {n}",
        "order": n + 1,
        "starts_on": "2026-03-02",
        "handover_at": "09:00",
        "turn_days": 7,
        "daily_from": "",
        "daily_until": "",
        "people": [*(str(one.pk) for one in people), "", "", ""],
        **values,
    }
    return {f"rotations-{n}-{name}": value for name, value in given.items()}


def form(team: Team, *rotations: dict[str, object], initial: int = 0) -> dict[str, object]:
    found: dict[str, object] = {"team": team.pk, "time_zone": "Europe/London"}
    counts = {"TOTAL_FORMS": len(rotations), "INITIAL_FORMS": initial, "MIN_NUM_FORMS": 0, "MAX_NUM_FORMS": 1000}
    found.update({f"rotations-{name}": count for name, count in counts.items()})
    for one in rotations:
        found.update(one)
    return found


def turns(team: Team) -> list[tuple[str, list[str]]]:
    return [
        (one.name, [turn.person.slug for turn in one.turns.all()])
        for one in team.rota.rotations.order_by("position").prefetch_related("turns__person")
    ]


def test_a_rota_is_made_on_one_page_with_its_rotations_and_people_in_turn() -> None:
    ada, bob = make(Person, "ada"), make(Person, "bob")
    team = make(Team, "ops", members=[ada, bob])

    answer = browser(Role.ADMIN).post(
        page(Rota, "add"), form(team, rotation(0, bob, ada, bob, order=2), rotation(1, ada, order=1))
    )

    assert answer.status_code == 302, answer.context["errors"]
    assert turns(team) == [("Rotation 1", ["ada"]), ("Rotation 0", ["bob", "ada", "bob"])]
    entry = AuditEntry.objects.order_by("-id")[0]
    assert (entry.action, entry.actor) == ("catalogue.rota.created", "admin")


def test_the_page_says_who_is_on_call_and_who_comes_and_changes_as_it_was_shown() -> None:
    ada, bob = make(Person, "ada"), make(Person, "bob")
    team = make(Team, "ops", members=[ada, bob])
    admin = browser(Role.ADMIN)
    admin.post(page(Rota, "add"), form(team, rotation(0, ada, bob)))
    address = page(Rota, "change", team.rota.pk)

    shown = admin.get(address).content.decode()
    kept = {"id": team.rota.rotations.get().pk, "rota": team.rota.pk}
    answer = admin.post(address, form(team, rotation(0, bob, **kept), initial=1))

    now = selectors_oncall.on_call([team.pk], at=timezone.now())[team.pk]
    assert shown.count('data-label="On call"') in (2, 3)
    assert "a turn in the rotation &#x27;Rotation 0&#x27;" in shown
    assert f'value="{ada.pk}" selected' in shown
    assert answer.status_code == 302
    assert [person.slug for person in now.people] == ["bob"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"people": ["", ""]}, "at least one person"),
        ({"people": ["999999"]}, "not there any more"),
        ({"daily_from": "20:00"}, "Give both"),
        ({"turn_days": 0}, "1 to 366"),
        ({"starts_on": "1969-01-01"}, "from 1970-01-01"),
    ],
)
def test_what_a_rotation_cannot_be_is_said_at_its_field(change: dict[str, object], text: str) -> None:
    ada = make(Person, "ada")
    team = make(Team, "ops", members=[ada])

    answer = browser(Role.ADMIN).post(page(Rota, "add"), form(team, rotation(0, ada, **change)))

    assert answer.status_code == 200
    assert text in answer.content.decode()
    assert not Rota.objects.exists()


def test_who_may_only_look_sees_the_rota_and_cannot_change_it() -> None:
    ada, bob = make(Person, "ada"), make(Person, "bob")
    team = make(Team, "ops", members=[ada])
    browser(Role.ADMIN).post(page(Rota, "add"), form(team, rotation(0, bob, ada, bob)))
    viewer, address = browser(Role.VIEWER), page(Rota, "change", team.rota.pk)

    shown = viewer.get(address).content.decode()

    assert "a turn in the rotation" in shown
    assert "Bob, Ada, Bob" in shown
    assert viewer.post(address, form(team)).status_code == 403
    assert viewer.get(page(Rota, "add")).status_code == 403


def test_a_rota_that_is_deleted_leaves_the_whole_team_on_call() -> None:
    ada, bob = make(Person, "ada"), make(Person, "bob")
    team = make(Team, "ops", members=[ada, bob])
    admin = browser(Role.ADMIN)
    admin.post(page(Rota, "add"), form(team, rotation(0, ada)))

    assert admin.post(page(Rota, "delete", team.rota.pk), {"post": "yes"}).status_code == 302

    found = selectors_oncall.on_call([team.pk], at=timezone.now())[team.pk]
    assert [person.slug for person in found.people] == ["ada", "bob"]
    assert "the whole team is on call" in admin.get(page(Team, "change", team.pk)).content.decode()


def test_the_list_of_rotas_costs_the_same_queries_for_many(
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    ada = make(Person, "ada")
    admin = browser(Role.ADMIN)
    for n in range(8):
        admin.post(page(Rota, "add"), form(make(Team, f"team-{n}", members=[ada]), rotation(0, ada)))

    with django_assert_max_num_queries(20):
        shown = admin.get(page(Rota)).content.decode()
    assert shown.count("<strong>Ada</strong>") == 8


def test_an_operator_puts_somebody_on_call_and_ends_it() -> None:
    ada, bob = make(Person, "ada"), make(Person, "bob")
    team = make(Team, "ops", members=[ada])
    operator, now = browser(Role.OPERATOR), timezone.now()
    values = {"team": team.pk, "person": bob.pk, "reason": "Ada is ill"}
    for name, moment in (("starts_at", now - timedelta(hours=1)), ("ends_at", now + timedelta(hours=1))):
        values.update({f"{name}_0": f"{moment:%Y-%m-%d}", f"{name}_1": f"{moment:%H:%M:%S}"})

    assert operator.get(page(OnCallOverride, "add")).status_code == 200
    answer = operator.post(page(OnCallOverride, "add"), values)
    assert answer.status_code == 302, answer.context["errors"]
    row = OnCallOverride.objects.get()
    assert "Ada is ill" in operator.get(page(OnCallOverride)).content.decode()
    assert operator.get(page(OnCallOverride, "change", row.pk)).status_code == 200

    operator.post(page(OnCallOverride), {"action": "end_now", "_selected_action": [row.pk]})

    found = selectors_oncall.on_call([team.pk], at=timezone.now())[team.pk]
    assert [person.slug for person in found.people] == ["ada"]
    assert browser(Role.VIEWER).get(page(OnCallOverride, "add")).status_code == 403


def test_an_override_in_the_past_is_refused_in_words() -> None:
    ada = make(Person, "ada")
    team = make(Team, "ops", members=[ada])
    day = {"starts_at_0": "2026-01-01", "starts_at_1": "10:00", "ends_at_0": "2026-01-01", "ends_at_1": "11:00"}

    answer = browser(Role.OPERATOR).post(
        page(OnCallOverride, "add"), {"team": team.pk, "person": ada.pk, **day}, follow=True
    )

    assert "in the past" in answer.content.decode()
    assert not OnCallOverride.objects.exists()


def test_quiet_hours_are_entered_as_a_pair() -> None:
    admin = browser(Role.ADMIN)
    counts = {"TOTAL_FORMS": 0, "INITIAL_FORMS": 0, "MIN_NUM_FORMS": 0, "MAX_NUM_FORMS": 1000}
    values = {"name": "Ada", "slug": "ada", "time_zone": "UTC", "quiet_from": "22:00"}
    values.update({f"contacts-{name}": str(count) for name, count in counts.items()})

    half = admin.post(page(Person, "add"), values)
    assert (half.status_code, Person.objects.count()) == (200, 0)
    assert "Give both" in half.content.decode()
    assert admin.post(page(Person, "add"), {**values, "quiet_until": "07:00"}).status_code == 302
    assert Person.objects.get().quiet_until is not None
