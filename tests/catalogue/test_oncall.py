"""Who is on call: kept in rows, changed through services, the API and the command line."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta

import pytest
from click.testing import CliRunner
from django.core.exceptions import ValidationError
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from catalogue import rota, selectors_oncall, services
from catalogue.models import OnCallOverride, Person, Rotation, Team
from catalogue.services import oncall
from sysops.access.actors import Actor
from sysops.access.models import AuditEntry
from sysops.access.roles import Role
from sysops.access.services import create_token
from sysops.cli import main
from sysops.events.models import Event

pytestmark = pytest.mark.django_db

BY = Actor.system()
NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ROOT = "/api/system/teams/ops"
Client = Callable[[Role], APIClient]


@pytest.fixture
def client_of() -> Client:
    """A client with a token of the given role."""

    def make(role: Role) -> APIClient:
        _, text = create_token(f"{role} for tests", role=role, ttl=None, by=BY, at=NOW)
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
        return client

    return make


def person(slug: str, **values: object) -> Person:
    return services.create(Person, {"slug": slug, "name": slug.title(), **values}, by=BY, at=NOW)


def team_of(*people: Person, slug: str = "ops", lead: Person | None = None) -> Team:
    values = {"slug": slug, "name": slug.title(), "members": people, "lead": lead}
    return services.create(Team, values, by=BY, at=NOW)


def weekly(*people: Person, **values: object) -> rota.Rotation:
    given = {"name": "Weekly", "starts_on": date(2026, 3, 2), "handover_at": time(9), **values}
    return rota.Rotation(members=tuple(one.pk for one in people), **given)  # type: ignore[arg-type]


def set_rota(team: Team, *rotations: rota.Rotation, zone: str = "UTC") -> None:
    oncall.set_rota(team, time_zone=zone, rotations=rotations, by=BY, at=NOW)


def who(team: Team, at: datetime = NOW) -> list[str]:
    return [one.slug for one in selectors_oncall.on_call([team.pk], at=at)[team.pk].people]


def test_a_rota_answers_who_is_on_call_and_an_override_comes_before_it() -> None:
    ada, bob, cleo = person("ada"), person("bob"), person("cleo")
    team = team_of(ada, bob)
    set_rota(team, weekly(bob, ada))

    oncall.add_override(team, person=cleo, starts_at=NOW + HOUR, ends_at=NOW + 2 * HOUR, by=BY, at=NOW)

    assert [who(team, NOW + n * HOUR) for n in (0, 1, 2)] == [["bob"], ["cleo"], ["bob"]]
    assert who(team, NOW + timedelta(days=7)) == ["ada"]


def test_every_team_asked_for_is_answered_with_a_reason() -> None:
    ada, bob = person("ada"), person("bob")
    without, lonely = team_of(bob, ada), team_of(slug="empty")

    found = selectors_oncall.on_call([without.pk, lonely.pk, 10**9], at=NOW)

    assert [[p.slug for p in one.people] for one in found.values()] == [["ada", "bob"], [], []]
    assert [one.because for one in found.values()] == [rota.NO_ROTA, rota.NOBODY, selectors_oncall.NO_SUCH_TEAM]


def test_asking_for_many_teams_costs_as_many_queries_as_for_one(
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    ada, bob = person("ada", contacts=[("email", "ada@example.org")]), person("bob")
    teams = [team_of(ada, bob, slug=f"team-{n}") for n in range(6)]
    for team in teams:
        set_rota(team, weekly(ada, bob), weekly(bob, ada))

    with django_assert_max_num_queries(8):
        found = selectors_oncall.on_call([team.pk for team in teams], at=NOW)
        assert [c.address for c in found[teams[0].pk].people[0].contacts.all()] == ["ada@example.org"]


def test_of_two_overrides_the_later_made_wins() -> None:
    ada, bob = person("ada"), person("bob")
    team = team_of(ada, bob)
    for n, one in enumerate((bob, ada)):
        oncall.add_override(
            team, person=one, starts_at=NOW, ends_at=NOW + (4 - n) * HOUR, by=BY, at=NOW + timedelta(seconds=n)
        )

    assert [who(team, NOW + n * HOUR) for n in (1, 3)] == [["ada"], ["bob"]]


def test_a_rota_is_audited_once_with_its_people_and_not_when_nothing_differs() -> None:
    ada, bob = person("ada"), person("bob")
    team = team_of(ada, bob)

    for _ in range(2):
        set_rota(team, weekly(ada, bob), zone="Europe/London")
    kept = Rotation.objects.get().pk
    set_rota(team, weekly(ada, bob), zone="Europe/London")

    made = AuditEntry.objects.filter(action__startswith="catalogue.rota")
    assert [entry.action for entry in made] == ["catalogue.rota.created"]
    assert made[0].after is not None
    assert made[0].after["rotations"][0]["people"] == ["ada", "bob"]
    assert Event.objects.filter(name="catalogue.rota.created", subject="ops").count() == 1
    assert Rotation.objects.get().pk == kept


def test_a_change_of_the_rota_tells_what_was_and_what_is() -> None:
    ada, bob = person("ada"), person("bob")
    team = team_of(ada, bob)
    set_rota(team, weekly(ada))

    set_rota(team, weekly(bob), zone="Europe/London")

    entry = AuditEntry.objects.filter(action="catalogue.rota.changed").get()
    assert entry.before is not None
    assert entry.after is not None
    assert (entry.before["time_zone"], entry.after["time_zone"]) == ("UTC", "Europe/London")
    assert entry.after["rotations"][0]["people"] == ["bob"]


def test_a_rota_that_cannot_be_is_refused_by_field_and_the_old_one_stays() -> None:
    ada = person("ada")
    team = team_of(ada)
    set_rota(team, weekly(ada))

    with pytest.raises(ValidationError) as refusal:
        set_rota(team, weekly(ada), weekly(turn_days=0), zone="Mars/Olympus")

    assert sorted(refusal.value.message_dict) == ["rotations.1.people", "rotations.1.turn_days", "time_zone"]
    assert who(team) == ["ada"]


def test_without_its_rota_the_whole_team_is_on_call_again() -> None:
    ada, bob = person("ada"), person("bob")
    team = team_of(ada, bob)
    set_rota(team, weekly(ada))

    oncall.remove_rota(team, by=BY, at=NOW)
    oncall.remove_rota(team, by=BY, at=NOW)

    assert who(team) == ["ada", "bob"]
    assert AuditEntry.objects.filter(action="catalogue.rota.deleted").count() == 1


def test_who_has_turns_cannot_be_deleted_and_the_refusal_names_the_rota() -> None:
    ada, bob = person("ada"), person("bob")
    set_rota(team_of(ada), weekly(ada, bob))

    with pytest.raises(services.InUse, match="on-call rota of team ops"):
        services.remove(bob, by=BY, at=NOW)


@pytest.mark.parametrize(
    ("starts", "ends", "text"),
    [
        (NOW + HOUR, NOW + HOUR, "before it has begun"),
        (NOW + 2 * HOUR, NOW + HOUR, "before it has begun"),
        (NOW - 2 * HOUR, NOW - HOUR, "in the past"),
        (NOW, datetime(9999, 12, 31, 23, 59, tzinfo=UTC), "before 2200"),
    ],
)
def test_an_override_that_cannot_be_is_refused(starts: datetime, ends: datetime, text: str) -> None:
    ada = person("ada")

    with pytest.raises(ValidationError, match=text):
        oncall.add_override(team_of(ada), person=ada, starts_at=starts, ends_at=ends, by=BY, at=NOW)


def test_an_override_that_runs_ends_now_one_to_come_is_deleted_and_one_that_was_stays() -> None:
    ada, bob = person("ada"), person("bob")
    team = team_of(ada)
    runs, comes = (
        oncall.add_override(team, person=bob, starts_at=start, ends_at=NOW + 9 * HOUR, by=BY, at=NOW)
        for start in (NOW - HOUR, NOW + HOUR)
    )

    for override in (runs, comes):
        oncall.end_override(override, by=BY, at=NOW)

    assert who(team) == ["ada"]
    assert OnCallOverride.objects.get().ends_at == NOW
    with pytest.raises(oncall.AlreadyOver):
        oncall.end_override(runs, by=BY, at=NOW + HOUR)


def test_the_api_sets_a_rota_and_says_who_is_on_call_why_and_who_follows(client_of: Client) -> None:
    team_of(person("ada", contacts=[("sms", "+4930123456")]), person("bob"))
    rotation = {
        "name": "Weekly",
        "people": ["bob", "ada"],
        "starts_on": "2026-03-02",
        "handover_at": "09:00",
        "turn_days": 7,
        "daily_from": None,
        "daily_until": None,
    }
    body = {"time_zone": "Europe/London", "rotations": [rotation]}

    answer = client_of(Role.ADMIN).put(f"{ROOT}/rota", body)

    assert (answer.status_code, answer.json()) == (200, body)
    viewer = client_of(Role.VIEWER)
    assert viewer.get(f"{ROOT}/rota").json() == body
    found = viewer.get(f"{ROOT}/on-call?at=2026-03-09T09:00:00Z&days=15").json()
    contacts = [{"channel": "sms", "address": "+4930123456"}]
    assert found["people"] == [{"slug": "ada", "name": "Ada", "time_zone": "UTC", "contacts": contacts}]
    assert found["because"] == "a turn in the rotation 'Weekly', until Mon 16 Mar 2026 09:00 Europe/London"
    assert [shift["people"] for shift in found["shifts"]] == [["ada"], ["bob"], ["ada"]]
    assert viewer.put(f"{ROOT}/rota", body).status_code == 403


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"people": ["nobody"]}, "rotations.0.people"),
        ({"people": []}, "rotations.0.people"),
        ({"starts_on": "2026-02-30"}, "rotations.0.starts_on"),
        ({"handover_at": "25:00"}, "rotations.0.handover_at"),
        ({"turn_days": 0}, "rotations.0.turn_days"),
        ({"daily_from": "09:00"}, "rotations.0.daily_until"),
    ],
)
def test_the_api_refuses_a_bad_rota_at_its_field(client_of: Client, change: dict[str, object], field: str) -> None:
    team_of(person("ada"))
    rotation = {"name": "Weekly", "people": ["ada"], "starts_on": "2026-03-02", "handover_at": "09:00", **change}

    answer = client_of(Role.ADMIN).put(f"{ROOT}/rota", {"rotations": [rotation]})

    assert answer.status_code == 400
    assert [name for name in answer.json()["errors"] if name.startswith(field)], answer.json()


@pytest.mark.parametrize(
    "query", ["at=yesterday", "at=2026-03-02T09:00:00", "at=9999-01-01T00:00:00Z", "days=0", "days=93", "when=now"]
)
def test_the_api_refuses_a_question_it_does_not_understand(client_of: Client, query: str) -> None:
    team_of(person("ada"))

    assert client_of(Role.VIEWER).get(f"{ROOT}/on-call?{query}").status_code == 400


def test_an_operator_puts_somebody_on_call_and_takes_it_back(client_of: Client) -> None:
    team = team_of(person("ada"))
    person("bob")
    operator = client_of(Role.OPERATOR)
    body = {"person": "bob", "starts_at": "2000-01-01T00:00:00Z", "ends_at": "2199-01-01T00:00:00Z", "reason": "Ill"}

    made = operator.post(f"{ROOT}/overrides", body)

    assert made.status_code == 201
    assert [one["id"] for one in operator.get(f"{ROOT}/overrides").json()] == [made.json()["id"]]
    assert who(team) == ["bob"]
    assert operator.get(f"{ROOT}/on-call").json()["because"].endswith("(Ill)")
    assert operator.delete(f"{ROOT}/overrides/{made.json()['id']}").status_code == 204
    assert operator.get(f"{ROOT}/on-call").json()["people"][0]["slug"] == "ada"
    assert operator.delete(f"{ROOT}/overrides/{made.json()['id']}").status_code == 409
    assert operator.delete(f"{ROOT}/overrides/x").status_code == 404
    assert client_of(Role.VIEWER).post(f"{ROOT}/overrides", body).status_code == 403


def test_an_unknown_team_and_a_team_without_rota_are_not_found(client_of: Client) -> None:
    viewer = client_of(Role.VIEWER)
    assert viewer.get(f"{ROOT}/on-call").status_code == 404
    team_of()
    assert viewer.get(f"{ROOT}/rota").status_code == 404
    assert viewer.get(f"{ROOT}/on-call").json()["because"] == rota.NOBODY


def test_the_command_says_who_how_to_reach_them_and_why() -> None:
    ada = person("ada", contacts=[("email", "ada@example.org")])
    set_rota(team_of(ada, person("bob")), weekly(ada))

    told = CliRunner().invoke(main, ["on-call", "ops", "--at", "2026-03-04T12:00:00Z"])

    assert told.exit_code == 0
    assert told.output.splitlines() == [
        "Ada: ada@example.org",
        "Because: a turn in the rotation 'Weekly', until Mon 09 Mar 2026 09:00 UTC.",
    ]
    found = json.loads(CliRunner().invoke(main, ["on-call", "ops", "--json"]).output)
    assert [one["slug"] for one in found["people"]] == ["ada"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["nobody"], 1), (["ops"], 1), (["ops", "--at", "noon"], 2), (["ops", "--at", "9999-01-01"], 2)],
)
def test_the_command_fails_in_words(arguments: list[str], code: int) -> None:
    team_of()

    assert CliRunner().invoke(main, ["on-call", *arguments]).exit_code == code


def test_quiet_hours_come_in_pairs(client_of: Client) -> None:
    person("ada")
    admin = client_of(Role.ADMIN)

    kept = admin.patch("/api/system/people/ada", {"quiet_from": "22:00", "quiet_until": "07:00"})
    half = admin.patch("/api/system/people/ada", {"quiet_until": None})
    none = admin.patch("/api/system/people/ada", {"quiet_until": "22:00"})

    assert (kept.json()["quiet_from"], kept.json()["quiet_until"]) == ("22:00:00", "07:00:00")
    assert (list(half.json()["errors"]), list(none.json()["errors"])) == (["quiet_until"], ["quiet_until"])
    assert Person.objects.get().quiet_until == time(7)
    entry = AuditEntry.objects.filter(action="catalogue.person.changed").get()
    assert entry.after == {"quiet_from": "22:00", "quiet_until": "07:00"}
