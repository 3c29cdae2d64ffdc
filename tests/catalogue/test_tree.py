"""The services as an indented tree."""

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries

from catalogue import services, tree
from catalogue.models import Person, Service, Team
from catalogue.rules import State
from sysops.access.actors import Actor
from sysops.access.roles import Role

BY = Actor.system()
names = st.sampled_from("abcdefgh")


def test_each_service_stands_below_what_needs_it_the_most_critical_first() -> None:
    tiers = {"db": (1, "Db"), "api": (1, "Api"), "shop": (2, "Shop"), "blog": (4, "Blog")}

    found = tree.lines(tiers, {"shop": ["api", "db"], "api": ["db"], "blog": ["db"]})

    assert [("  " * line.depth + line.slug, line.repeated) for line in found] == [
        ("shop", False),
        ("  api", False),
        ("    db", False),
        ("  db", True),
        ("blog", False),
        ("  db", True),
    ]


@given(edges=st.dictionaries(names, st.sets(names)))
def test_every_service_is_there_once_in_full_even_in_a_circle(edges: dict[str, set[str]]) -> None:
    found = tree.lines({name: (3, name) for name in "abcdefgh"}, edges)

    assert sorted(line.slug for line in found if not line.repeated) == list("abcdefgh")
    assert len(found) <= 8 + sum(len(needs) for needs in edges.values())


def test_a_chain_of_thousands_is_no_trouble() -> None:
    tiers = {str(n): (3, f"{n:05}") for n in range(5_000)}

    assert tree.lines(tiers, {str(n): [str(n + 1)] for n in range(4_999)})[-1] == tree.Line("4999", 4_999)


@pytest.fixture
def viewer(db: None) -> Client:
    """The browser of somebody who may look."""
    user = User.objects.create_user("vera", password="correct horse battery", is_staff=True)
    user.groups.add(Group.objects.get(name=Role.VIEWER.value))
    client = Client()
    client.force_login(user)
    return client


def make(model: type[services.Row], slug: str, /, **values: object) -> services.Row:
    return services.create(model, {"slug": slug, "name": slug.title(), **values}, by=BY, at=timezone.now())


def test_the_page_shows_state_owner_and_who_is_on_call_and_is_linked_from_the_list(viewer: Client) -> None:
    team = make(Team, "ops", members=[make(Person, "ada")])
    database = make(Service, "db", owner_team=team, tier=1)
    make(Service, "<shop>".strip("<>"), name="<b>Shop</b>", depends_on=[database])
    services.set_state(database, State.DOWN, by=BY, at=timezone.now())
    address = reverse("admin:catalogue_service_tree")

    page = viewer.get(address).content.decode()

    assert "&lt;b&gt;Shop&lt;/b&gt;" in page
    assert 'data-depth="1"' in page
    assert '<span class="so-pill so-bad">Down</span>' in page
    assert "the whole team is on call" in page
    assert "Nobody owns it" in page
    assert address in viewer.get(reverse("admin:catalogue_service_changelist")).content.decode()


def test_without_services_the_page_says_what_to_do(viewer: Client) -> None:
    assert "There is no service yet" in viewer.get(reverse("admin:catalogue_service_tree")).content.decode()


def test_many_services_cost_the_same_queries(
    viewer: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    below: list[Service] = []
    for n in range(20):
        team = make(Team, f"team-{n}", members=[make(Person, f"person-{n}")])
        below = [make(Service, f"service-{n}", owner_team=team, depends_on=below)]

    with django_assert_max_num_queries(14):
        viewer.get(reverse("admin:catalogue_service_tree"))
