"""What a refusal says: what was looked for, what there is instead, and never that something hidden exists."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework import serializers as drf
from rest_framework.test import APIClient

from catalogue.models import Person, Service
from sysops.api.forms import Form, OnlyKnown
from sysops.api.serializers import MOST_NAMED, Named
from tests.backups.support import make_source
from tests.errors.support import project

pytestmark = pytest.mark.django_db

Api = Callable[[str], APIClient]
BACKUP = "/api/system/backup"


def refused(answer: Any, status: int = 400) -> dict[str, Any]:
    assert answer.status_code == status, answer.content
    return dict(answer.json())


def test_an_unknown_name_is_refused_with_those_there_are(api: Api) -> None:
    make_source("shop")
    make_source("blog")

    said = refused(api("operator").post(BACKUP, {"source": "nope", "backup_type": "full"}))

    assert said["errors"] == {"source": ["There is no source 'nope'. Known: blog, shop."]}


def test_more_names_than_one_can_read_are_left_out(api: Api) -> None:
    for number in range(MOST_NAMED + 1):
        Service.objects.create(slug=f"s{number}", name=f"S{number}")

    said = refused(api("admin").post("/api/system/services", {"slug": "x", "name": "X", "depends_on": ["nope"]}))

    assert said["errors"] == {"depends_on": ["There is no service 'nope'."]}


def test_an_unknown_choice_is_refused_with_those_there_are(api: Api) -> None:
    make_source("shop")
    client = api("operator")

    unknown = refused(client.post(BACKUP, {"source": "shop", "backup_type": "huge"}))
    of_another_type = refused(client.post(BACKUP, {"source": "shop", "backup_type": 7}))

    known = "Must be one of: full, differential, incremental"
    assert unknown["errors"] == {"backup_type": [f"{known}; not 'huge'."]}
    assert of_another_type["errors"] == {"backup_type": [f"{known}."]}


def test_choices_in_lists_and_with_braces_are_named_too() -> None:
    class Body(Form):
        kinds = drf.ListField(child=drf.ChoiceField(["{a}", "b"]))

    form = Body(data={"kinds": ["b", "{c}"]})

    assert not form.is_valid()
    assert str(form.errors["kinds"][1][0]) == "Must be one of: {a}, b; not '{c}'."


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (
            "backups?status=huge",
            "Must be one of: queued, running, succeeded, failed, interrupted, expired; not 'huge'.",
        ),
        ("errors?severity=high&severity=%25s", "Must be one of: critical, high, medium, low; not '%s'."),
        ("backups?source=nope", "There is no source 'nope'. Known: shop."),
    ],
)
def test_a_filter_names_what_can_be_asked_for(api: Api, address: str, text: str) -> None:
    make_source("shop")

    said = refused(api("viewer").get(f"/api/system/{address}"))

    assert [text] in said["errors"].values()


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("backups/99", "There is no backup 99."),
        ("maintenance/99", "There is no window 99."),
        ("maintenance/abc", "There is no window 'abc'."),
        ("maintenance-series/99", "There is no series 99."),
        ("services/nope", "There is no service 'nope'."),
        ("backup-sources/nope", "There is no source 'nope'."),
        ("error-projects/nope", "There is no error project 'nope'."),
        ("error-projects/nope/keys", "There is no error project 'nope'."),
        ("error-projects/nope/check-ins", "There is no error project 'nope'."),
        ("severity-levels/awful", "There is no severity level 'awful'."),
    ],
)
def test_what_is_not_there_is_named(api: Api, address: str, text: str) -> None:
    assert refused(api("admin").get(f"/api/system/{address}"), 404)["detail"] == text


def test_a_hidden_project_reads_like_one_that_does_not_exist(api: Api) -> None:
    project("hidden", restricted=True)
    client = api("operator")

    for place in ("", "/check-ins", "/sessions", "/feedback"):
        hidden, missing = (
            refused(client.get(f"/api/system/error-projects/{slug}{place}"), 404)["detail"]
            for slug in ("hidden", "absent")
        )
        assert hidden.replace("hidden", "absent") == missing
    for slug in ("hidden", "absent"):
        filtered = refused(client.get(f"/api/system/errors?project={slug}"))
        assert filtered["errors"] == {"project": [f"There is no error project '{slug}'."]}
        reported = refused(client.post("/api/system/errors", {"project": slug, "message": "x"}))
        assert reported["errors"] == {"project": [f"There is no error project '{slug}'."]}


def test_projects_and_accounts_are_never_listed(api: Api, django_user_model: Any) -> None:
    project("hidden", restricted=True)
    django_user_model.objects.create_user("secretive")
    client = api("admin")

    rule = client.post("/api/system/severity-rules", {"name": "X", "severity": "low", "project": "nope"})
    person = client.post("/api/system/people", {"slug": "x", "name": "X", "user": "nope"})
    reader = client.post("/api/system/error-projects", {"slug": "x", "name": "X", "readers": ["nope"]})

    assert refused(rule)["errors"]["project"] == ["There is no error project 'nope'."]
    assert refused(person)["errors"]["user"] == ["There is no user 'nope'."]
    assert refused(reader)["errors"]["readers"] == ["There is no user 'nope'."]


def test_what_is_wrong_with_no_field_in_particular_has_one_name(api: Api) -> None:
    Person.objects.create(slug="ada", name="Ada")

    said = refused(api("admin").post("/api/system/assignment-rules", {"name": "X"}))

    assert said["errors"] == {"non_field_errors": ["Name either a person or a team."]}
    assert said["detail"] == "Name either a person or a team."


def test_a_method_that_is_not_possible_is_answered_with_those_that_are(api: Api) -> None:
    answer = api("operator").post("/api/system/errors/1/resolve", {})

    assert refused(answer, 405)["detail"] == "POST is not possible here. Possible: PUT, OPTIONS."
    assert answer["Allow"] == "PUT, OPTIONS"


def test_every_name_in_a_request_is_looked_up_in_the_same_way() -> None:
    def below(known: type[object]) -> set[type[object]]:
        return {known}.union(*(below(one) for one in known.__subclasses__()))

    plain = [
        f"{form.__module__}.{form.__name__}.{name}"
        for form in below(OnlyKnown)
        for name, field in getattr(form, "_declared_fields", {}).items()
        if isinstance(getattr(field, "child_relation", field), drf.RelatedField)
        and not field.read_only
        and not isinstance(getattr(field, "child_relation", field), Named)
    ]

    assert plain == []
