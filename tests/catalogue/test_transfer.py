"""The whole catalogue out as one document, and in again: all or nothing, and nothing twice."""

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from catalogue import documents, services
from catalogue.documents import BadDocument
from catalogue.models import Dependency, Environment, Person, Service, Subscription, Team
from catalogue.services import transfer
from sysops.access import audit
from sysops.access.actors import Actor
from sysops.access.models import AuditEntry
from sysops.access.roles import Role
from sysops.access.services import create_token
from sysops.cli import main
from sysops.events.models import Event

BY = Actor.system()
NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
ROOT = "/api/system/catalogue"
Client = Callable[[Role], APIClient]

SHOP: dict[str, object] = {
    "environments": [{"slug": "production", "name": "Production", "is_production": True}],
    "hosts": [{"name": "web-1.example.org", "environment": "production", "description": "Left rack"}],
    "people": [
        {
            "slug": "ada",
            "name": "Ada",
            "time_zone": "Europe/London",
            "quiet_from": "22:00",
            "quiet_until": "07:00",
            "contacts": [
                {"channel": "sms", "address": "+4930123456"},
                {"channel": "email", "address": "ada@example.org"},
            ],
        },
        {
            "slug": "bob",
            "name": "Bob",
            "time_zone": "UTC",
            "quiet_from": None,
            "quiet_until": None,
            "contacts": [],
        },
    ],
    "teams": [{"slug": "ops", "name": "Ops", "lead": "ada", "members": ["ada", "bob"]}],
    "services": [
        {
            "slug": slug,
            "name": slug.title(),
            "kind": "other",
            "tier": 2,
            "owner_team": "ops",
            "environment": "production",
            "depends_on": needs,
        }
        for slug, needs in {"api": ["db"], "db": [], "shop": ["api", "db"]}.items()
    ],
    "subscriptions": [{"service": "shop", "person": "bob"}],
    "rotas": [
        {
            "team": "ops",
            "time_zone": "Europe/London",
            "rotations": [
                {
                    "name": "Nights",
                    "starts_on": "2026-03-02",
                    "handover_at": "09:00",
                    "turn_days": 7,
                    "daily_from": "20:00",
                    "daily_until": "06:00",
                    "people": ["bob", "ada", "bob"],
                }
            ],
        }
    ],
}


@pytest.fixture
def client_of() -> Client:
    """A client with a token of the given role."""

    def make(role: Role) -> APIClient:
        _, text = create_token(f"{role} for tests", role=role, ttl=None, by=BY, at=NOW)
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
        return client

    return make


def load(document: object, **options: bool) -> transfer.Outcome:
    return transfer.import_catalogue(document, by=BY, at=NOW, **options)


def problems_of(document: object, **options: bool) -> dict[str, str]:
    with pytest.raises(BadDocument) as refusal:
        load(document, **options)
    return refusal.value.problems


def count() -> tuple[int, int]:
    return AuditEntry.objects.count(), Event.objects.count()


@pytest.mark.django_db
def test_what_was_exported_is_imported_elsewhere_as_it_was() -> None:
    outcome = load(SHOP)

    assert transfer.export_catalogue() == SHOP
    assert (len(outcome.created), outcome.changed, outcome.unchanged) == (10, (), 0)
    assert "service shop" in outcome.created
    assert isinstance(audit.verify(), audit.Verified)


@pytest.mark.django_db
def test_a_second_import_changes_nothing_and_tells_nothing() -> None:
    load(SHOP)
    before = count()

    outcome = load(SHOP)
    again = load(transfer.export_catalogue())

    assert count() == before
    assert (outcome.created, outcome.changed, outcome.removed, outcome.unchanged) == ((), (), (), 10)
    assert again == outcome


@pytest.mark.django_db
def test_every_change_is_audited_and_published_as_if_made_by_hand() -> None:
    load(SHOP)
    before = count()

    outcome = load({"services": [{"slug": "shop", "tier": 1, "depends_on": ["api"]}]})

    entry = AuditEntry.objects.order_by("-id")[0]
    assert entry.action == "catalogue.service.changed"
    assert (entry.before, entry.after) == (
        {"tier": 2, "depends_on": ["api", "db"]},
        {"tier": 1, "depends_on": ["api"]},
    )
    assert Event.objects.order_by("-pk")[0].subject == "shop"
    assert count() == (before[0] + 1, before[1] + 1)
    assert [change.what for change in outcome.changed] == ["service shop"]


@pytest.mark.django_db
def test_what_the_document_leaves_out_stays_as_it_is() -> None:
    load(SHOP)

    load({"people": [{"slug": "ada", "name": "Ada Lovelace"}], "environments": []})

    ada = Person.objects.get(slug="ada")
    assert (ada.name, ada.time_zone, ada.contacts.count()) == ("Ada Lovelace", "Europe/London", 2)
    assert Environment.objects.count() == 1


@pytest.mark.django_db
def test_a_dry_run_says_what_would_change_and_changes_nothing() -> None:
    load({"services": [{"slug": "db", "name": "Database"}]})
    before = count()

    outcome = load({**SHOP, "services": [*SHOP["services"], {"slug": "new", "name": "New"}]}, dry_run=True)  # type: ignore[misc]

    assert outcome.dry_run
    assert "service new" in outcome.created
    assert [change.what for change in outcome.changed] == ["service db"]
    assert count() == before
    assert list(Service.objects.values_list("slug", flat=True)) == ["db"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("document", "path", "text"),
    [
        ([], "", "mapping of lists"),
        ({"servers": []}, "servers", "no such list"),
        ({"services": {}}, "services", "must be a list"),
        ({"services": ["shop"]}, "services[0]", "must be a mapping"),
        ({"services": [{"name": "Shop"}]}, "services[0].slug", "must be given"),
        ({"services": [{"slug": "shop"}]}, "services[0].name", "blank"),
        ({"services": [{"slug": "Shop!", "name": "Shop"}]}, "services[0].slug", "lower-case"),
        ({"services": [{"slug": "shop", "nmae": "Shop"}]}, "services[0].nmae", "unknown"),
        ({"services": [{"slug": "shop", "name": 5}]}, "services[0].name", "text"),
        ({"services": [{"slug": "shop", "name": "x" * 201}]}, "services[0].name", "200 characters"),
        ({"services": [{"slug": "shop", "name": "a\0b"}]}, "services[0].name", "nul"),
        ({"services": [{"slug": "shop", "name": "S", "tier": True}]}, "services[0].tier", "whole number"),
        ({"services": [{"slug": "shop", "name": "S", "kind": []}]}, "services[0].kind", "one of"),
        ({"services": [{"slug": "a", "name": "A"}, {"slug": "a", "name": "B"}]}, "services[1]", "there already"),
        (
            {"services": [{"slug": "shop", "name": "S", "depends_on": ["x"]}]},
            "services[0].depends_on[0]",
            "there is no service 'x'",
        ),
        (
            {"services": [{"slug": "shop", "name": "S", "owner_team": "x"}]},
            "services[0].owner_team",
            "there is no team 'x'",
        ),
        (
            {"services": [{"slug": "shop", "name": "S", "depends_on": ["shop", "shop"]}]},
            "services[0].depends_on[1]",
            "there already",
        ),
        ({"people": [{"slug": "ada", "name": "A", "time_zone": "Mars"}]}, "people[0].time_zone", "no time zone"),
        ({"people": [{"slug": "ada", "name": "A", "quiet_from": "22:00"}]}, "people[0].quiet_until", "both"),
        ({"people": [{"slug": "ada", "name": "A", "quiet_from": 1320}]}, "people[0].quiet_from", "in quotes"),
        (
            {"people": [{"slug": "ada", "name": "A", "contacts": [{"channel": "email", "address": "x"}]}]},
            "people[0].contacts[0].address",
            "no e-mail address",
        ),
        (
            {"people": [{"slug": "ada", "name": "A", "contacts": [{"channel": "email"}]}]},
            "people[0].contacts[0].address",
            "must be given",
        ),
        ({"teams": [{"slug": "ops", "name": "O", "members": ["x"]}]}, "teams[0].members[0]", "no person 'x'"),
        ({"rotas": [{"team": "ops"}]}, "rotas[0].team", "no team 'ops'"),
        ({"rotas": [{"team": "o", "rotations": [{}]}]}, "rotas[0].rotations[0].name", "must be given"),
    ],
)
def test_what_is_wrong_is_named_by_its_path_and_nothing_is_written(document: object, path: str, text: str) -> None:
    before = count()
    extra = {"environments": [{"slug": "production", "name": "Production"}], **document} if document else document  # type: ignore[dict-item]

    found = problems_of(extra)

    assert list(found) == [path]
    assert text in found[path].lower()
    assert count() == before
    assert not Environment.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("change", "path", "text"),
    [
        ({"people": ["x"]}, "rotas[0].rotations[0].people[0]", "there is no person 'x'"),
        ({"people": []}, "rotas[0].rotations[0].people", "at least one"),
        ({"turn_days": 0}, "rotas[0].rotations[0].turn_days", "from 1"),
        ({"daily_from": "20:00"}, "rotas[0].rotations[0].daily_until", "both"),
        ({"starts_on": "2026-02-30"}, "rotas[0].rotations[0].starts_on", "a day"),
    ],
)
def test_a_bad_rotation_is_named_by_its_path(change: dict[str, object], path: str, text: str) -> None:
    services.create(Team, {"slug": "ops", "name": "Ops"}, by=BY, at=NOW)
    rotation = {"name": "Weekly", "starts_on": "2026-03-02", "handover_at": "09:00", "people": ["ada"], **change}

    found = problems_of(
        {"people": [{"slug": "ada", "name": "Ada"}], "rotas": [{"team": "ops", "rotations": [rotation]}]}
    )

    assert list(found) == [path]
    assert text in found[path]


@pytest.mark.django_db
def test_a_circle_is_shown_also_when_half_of_it_is_in_the_catalogue_already() -> None:
    load(SHOP)

    found = problems_of({"services": [{"slug": "db", "depends_on": ["shop"]}]})

    circle = "a service cannot depend on itself, but here it would: db → shop → api → db"
    assert found == {"services[0].depends_on": circle}
    assert "db → db" in str(problems_of({"services": [{"slug": "db", "depends_on": ["db"]}]}))
    assert not Dependency.objects.filter(service__slug="db").exists()


@pytest.mark.django_db
def test_turning_a_dependency_round_is_no_circle() -> None:
    load(SHOP)

    load({"services": [{"slug": "shop", "depends_on": []}, {"slug": "db", "depends_on": ["shop"]}]})

    needs = Dependency.objects.values_list("service__slug", "requires__slug")
    assert sorted(needs) == [("api", "db"), ("db", "shop")]


@pytest.mark.django_db
def test_pruning_removes_what_the_lists_do_not_name_and_leaves_other_lists_alone() -> None:
    load(SHOP)

    outcome = load({"services": [{"slug": "db"}], "subscriptions": [], "rotas": []}, prune=True)

    gone = ["on-call rota ops", "service api", "service shop", "subscription of bob to shop"]
    assert sorted(outcome.removed) == gone
    assert list(Service.objects.values_list("slug", flat=True)) == ["db"]
    assert Person.objects.count() == 2
    assert Event.objects.filter(name="catalogue.service.deleted").count() == 2


@pytest.mark.django_db
def test_pruning_ends_subscriptions_and_refuses_what_is_in_use() -> None:
    load(SHOP)
    before = count()

    found = problems_of({"people": [{"slug": "ada"}], "teams": [{"slug": "ops"}]}, prune=True)

    assert found == {
        "people without bob": "person bob cannot be removed, it is in use by on-call rota of team ops, team ops"
    }
    assert count() == before
    assert load({"subscriptions": []}, prune=True).removed == ("subscription of bob to shop",)
    assert not Subscription.objects.filter(state="confirmed").exists()
    assert load({"subscriptions": []}, prune=True).removed == ()
    assert load({"subscriptions": [{"service": "shop", "person": "bob"}]}).created == ("subscription of bob to shop",)


@pytest.mark.django_db
def test_exporting_costs_the_same_queries_however_much_there_is(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    load(SHOP)

    with django_assert_num_queries(12):
        transfer.export_catalogue()


@pytest.mark.django_db(transaction=True)
def test_an_import_and_a_change_by_hand_at_once_both_succeed() -> None:
    load(SHOP)
    start, failures = threading.Barrier(2), []

    def work(do: Callable[[int], object]) -> None:
        try:
            start.wait(10)
            for n in range(10):
                do(n)
        except Exception as exc:
            failures.append(exc)
            raise
        finally:
            connection.close()

    def by_file(n: int) -> None:
        load({"services": [{"slug": slug, "tier": 1 + n % 2} for slug in ("shop", "api", "db")]})

    def by_hand(n: int) -> None:
        for slug in ("db", "shop", "api"):
            services.change(Service.objects.get(slug=slug), {"name": f"Number {n}"}, by=BY, at=NOW)

    threads = [threading.Thread(target=work, args=(do,)) for do in (by_file, by_hand)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert failures == []
    assert set(Service.objects.values_list("name", "tier")) == {("Number 9", 2)}


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@given(document=st.dictionaries(texts, values, max_size=4))
def test_yaml_and_json_mean_the_same(document: dict[str, object]) -> None:
    for form in ("yaml", "json"):
        assert documents.read(documents.write(document, form=form).encode(), form=form) == document


@pytest.mark.parametrize(
    "text", ["20:00", "no", "on", "+4930123456", "1e5", "0x10", "2026-03-02", ".5", "1_000", "=", "<<"]
)
def test_what_other_readers_turn_into_numbers_stays_text(text: str) -> None:
    assert documents.read(f"a: {text}\n".encode(), form="yaml") == {"a": text}


BOMB = "a: &a [x, x]\n" + "\n".join(f"{b}: &{b} [*{a}, *{a}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True))


@pytest.mark.parametrize(
    ("raw", "form", "text"),
    [
        (BOMB.encode(), "yaml", "anchors"),
        (b"a: *b", "yaml", "aliases"),
        (b"a: !!python/object/apply:os.system [ls]", "yaml", "tags"),
        (b"a: 1\na: 2", "yaml", "twice"),
        (b'{"a": 1, "a": 2}', "json", "twice"),
        (b"a: [", "yaml", "line"),
        (b"{", "json", "line 1"),
        (b'{"a": NaN}', "json", "NaN"),
        (b"--- {}\n--- {}", "yaml", "2 documents"),
        (b"", "yaml", "no documents"),
        (b"\xff\xfe", "json", "UTF-8"),
        (b"[" * 100_000, "yaml", "nested"),
        (b"[" * 100_000, "json", "nested"),
        (b"1" * 10_000, "json", "digits"),
        (b"- " * 1_000_000, "yaml", "nested"),
        (b"x" * (documents.LARGEST_BYTES + 1), "yaml", "at most"),
    ],
)
def test_a_hostile_file_is_refused_in_words(raw: bytes, form: str, text: str) -> None:
    with pytest.raises(BadDocument, match=text):
        documents.read(raw, form=form)


@pytest.mark.django_db
def test_the_api_exports_for_viewers_and_imports_for_admins(client_of: Client) -> None:
    admin, viewer = client_of(Role.ADMIN), client_of(Role.VIEWER)

    tried = admin.post(f"{ROOT}?dry_run=true", SHOP)
    assert (tried.status_code, tried.json()["dry_run"], len(tried.json()["created"])) == (200, True, 10)
    assert viewer.get(ROOT).json()["services"] == []

    assert admin.post(ROOT, SHOP).json()["unchanged"] == 0
    assert viewer.get(ROOT).json() == SHOP
    assert viewer.post(ROOT, SHOP).status_code == 403
    assert client_of(Role.OPERATOR).post(ROOT, SHOP).status_code == 403
    bad = admin.post(ROOT, {"services": [{"slug": "shop", "depends_on": ["x"]}]})
    assert (bad.status_code, bad.json()["errors"]) == (
        400,
        {"services[0].depends_on[0]": ["there is no service 'x'"]},
    )
    assert admin.post(f"{ROOT}?dry_run=perhaps", SHOP).status_code == 400
    assert admin.post(f"{ROOT}?force=true", SHOP).status_code == 400


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["catalogue.yaml", "catalogue.json"])
def test_the_commands_write_a_file_and_read_it_back(tmp_path: Path, name: str) -> None:
    load(SHOP)
    run, file = CliRunner().invoke, str(tmp_path / name)

    assert run(main, ["catalogue", "export", file]).exit_code == 0
    Service.objects.filter(slug="shop").update(tier=4)
    tried = run(main, ["catalogue", "import", file, "--dry-run"])
    done = run(main, ["catalogue", "import", file, "--json"])

    assert tried.output.splitlines()[:2] == ["~ service shop", "    tier: 4 → 2"]
    assert "dry run" in tried.output
    assert json.loads(done.output)["changed"] == [{"what": "service shop", "before": {"tier": 4}, "after": {"tier": 2}}]
    assert run(main, ["catalogue", "import", file]).output == "0 new, 0 changed, 0 removed, 10 as they are.\n"
    assert run(main, ["catalogue", "export"]).output.startswith("environments:\n- slug: production\n")


@pytest.mark.django_db
def test_a_file_that_cannot_be_imported_is_refused_with_its_paths(tmp_path: Path) -> None:
    file = tmp_path / "catalogue.yaml"
    file.write_text("services:\n- slug: shop\n  depends_on: [x]\n")

    told = CliRunner().invoke(main, ["catalogue", "import", str(file)])

    assert told.exit_code == 1
    assert "Nothing was changed.\nservices[0].depends_on[0]: there is no service 'x'" in told.output
    assert CliRunner().invoke(main, ["catalogue", "import", str(tmp_path / "none.yaml")]).exit_code == 1


@pytest.mark.django_db
def test_a_subscription_to_what_pruning_would_remove_is_refused_by_its_path() -> None:
    load(SHOP)
    before = count()

    for person in ("ada", "bob"):  # bob is subscribed to shop already
        one = {"service": "shop", "person": person}
        found = problems_of({"services": [{"slug": "db"}], "subscriptions": [one], "rotas": []}, prune=True)
        assert found == {"subscriptions[0].service": "there is no service 'shop'"}
    assert count() == before
