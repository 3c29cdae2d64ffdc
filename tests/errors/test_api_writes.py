"""Writing over HTTP: steps with issues, projects, keys and rules, by the contract of API.md."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.core.cache import cache
from django.core.exceptions import ValidationError
from pytest_django import Settings
from rest_framework.test import APIClient

from catalogue.models import Environment, Person, Service, Team
from errors import project_rules
from errors.models import ActivityEntry, AssignmentRule, Issue, Project, SeverityLevel, SeverityRule
from errors.services import own, projects
from errors.services.policy import ensure_defaults
from sysops.access.actors import Actor
from sysops.access.models import ApiToken, AuditEntry
from sysops.access.roles import Role
from sysops.access.services import create_token
from sysops.own_errors import OWN_PROJECT
from tests.errors.support import NOW, issue, key, project
from tests.errors.support import grouping as more

pytestmark = pytest.mark.django_db

Body = dict[str, object]
Client = Callable[[str], APIClient]


@pytest.fixture(autouse=True)
def _quick_clients(settings: Settings) -> None:
    """Else every test client first looks through all static files, for half a second."""
    settings.WHITENOISE_AUTOREFRESH = True
    cache.clear()


def client(role: Role) -> APIClient:
    made, plain = create_token(
        f"test {role}", role=role, ttl=timedelta(hours=1), by=Actor.system(), at=datetime.now(UTC)
    )
    found = APIClient()
    found.credentials(HTTP_AUTHORIZATION=f"Bearer {plain}")
    found.token = made  # type: ignore[attr-defined]
    return found


@pytest.fixture
def operator() -> APIClient:
    return client(Role.OPERATOR)


@pytest.fixture
def viewer() -> APIClient:
    return client(Role.VIEWER)


@pytest.fixture
def admin() -> APIClient:
    return client(Role.ADMIN)


def put(who: APIClient, row: Issue, step: str, body: Body | None = None, *, status: int = 200) -> Body:
    answer = who.put(f"/api/system/errors/{row.pk}/{step}", body or {}, format="json")
    assert answer.status_code == status, answer.content
    return dict(answer.json())


def post(who: APIClient, path: str, body: Body, *, status: int = 201) -> Body:
    answer = who.post(f"/api/system/{path}", body, format="json")
    assert answer.status_code == status, answer.content
    return dict(answer.json())


def patch(who: APIClient, path: str, body: Body, *, status: int = 200) -> Body:
    answer = who.patch(f"/api/system/{path}", body, format="json")
    assert answer.status_code == status, answer.content
    return dict(answer.json())


# -- Steps with an issue ---------------------------------------------------------------------------------------------


def test_an_issue_is_resolved_with_a_note_and_a_release(operator: APIClient) -> None:
    out = put(operator, issue(), "resolve", {"note": "Fixed", "release": "shop@1.4.0"})

    assert (out["status"], out["resolve_note"]) == ("resolved", "Fixed")
    assert str(out["resolved_by"]).startswith("test operator")
    assert out["resolved_in_release"] == "shop@1.4.0"


def test_resolving_what_is_resolved_is_a_conflict_that_names_the_status(operator: APIClient) -> None:
    row = issue()
    put(operator, row, "resolve")

    out = put(operator, row, "resolve", status=409)

    assert out["current_status"] == "resolved"


def test_the_other_steps(operator: APIClient) -> None:
    row = issue()
    Person.objects.create(slug="grace", name="Grace")

    assert put(operator, row, "acknowledge")["status"] == "acknowledged"
    assert put(operator, row, "assign", {"assignee": "grace"})["assignee"] == "grace"
    assert put(operator, row, "assign", {"assignee": None})["assignee"] is None
    assert put(operator, row, "severity", {"severity": "high"})["severity_source"] == "manual"
    assert put(operator, row, "severity", {"severity": None})["severity_source"] == "rule"
    assert put(operator, row, "ignore", {"more_events": 10})["ignored_until_events"] == 11
    assert put(operator, row, "reopen")["status"] == "unresolved"


def test_a_step_needs_no_body(operator: APIClient) -> None:
    row = issue()

    assert operator.put(f"/api/system/errors/{row.pk}/acknowledge").status_code == 200
    assert operator.put(f"/api/system/errors/{row.pk}/resolve").status_code == 200


@pytest.mark.parametrize("step", ["resolve", "acknowledge", "assign", "ignore", "reopen", "severity"])
def test_a_field_nobody_knows_is_refused_by_name(operator: APIClient, step: str) -> None:
    row = issue()
    known: dict[str, Body] = {"assign": {"assignee": None}, "severity": {"severity": "low"}}

    out = put(operator, row, step, {**known.get(step, {}), "reelase": "1.0", "status": "resolved"}, status=400)

    assert set(out["errors"]) == {"reelase", "status"}  # type: ignore[call-overload]
    row.refresh_from_db()
    assert row.status == "unresolved"


def test_what_is_wrong_and_what_is_unknown_are_said_at_once(operator: APIClient) -> None:
    out = put(operator, issue(), "ignore", {"more_events": 0, "until": "tomorrow", "how": 1}, status=400)

    assert set(out["errors"]) == {"more_events", "until", "how"}  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("step", "body", "field"),
    [
        ("assign", {}, "assignee"),
        ("assign", {"assignee": "nobody"}, "assignee"),
        ("severity", {"severity": "worst"}, "severity"),
        ("ignore", {"until": "2020-01-01T00:00:00Z"}, "until"),
        ("ignore", {"until": "2090-01-01T00:00:00"}, "until"),
        ("ignore", {"more_events": 2**31}, "more_events"),
        ("resolve", {"note": "x" * 2_001}, "note"),
        ("resolve", {"in_next_release": "yes"}, "in_next_release"),
    ],
)
def test_bad_values_name_their_field(operator: APIClient, step: str, body: Body, field: str) -> None:
    out = put(operator, issue(), step, body, status=400)

    assert list(out["errors"]) == [field]  # type: ignore[call-overload]


def test_a_comment_is_written_into_the_history(operator: APIClient) -> None:
    row = issue()

    out = post(operator, f"errors/{row.pk}/comments", {"text": "It is the card reader"})

    assert (out["text"], out["kind"]) == ("It is the card reader", "comment")
    assert str(out["by"]).startswith("test operator")
    post(operator, f"errors/{row.pk}/comments", {"text": " "}, status=400)


def test_issues_are_merged_and_split_again(operator: APIClient) -> None:
    home = project()
    one, other = issue(home, events=2), issue(home, events=3)

    merged = post(operator, f"errors/{one.pk}/merge", {"issues": [str(other.pk)]}, status=200)
    assert merged["event_count"] == 5
    split = post(operator, f"errors/{one.pk}/unmerge", {"grouping": str(one.groupings.last().pk)})  # type: ignore[union-attr]

    assert split["event_count"] == 3
    assert Issue.objects.count() == 2


def test_merging_what_is_not_there_or_cannot_be_says_which(operator: APIClient) -> None:
    row, elsewhere = issue(), issue()
    more(row)

    unknown = post(operator, f"errors/{row.pk}/merge", {"issues": [str(elsewhere.pk), "99999"]}, status=400)
    assert unknown["errors"] == {"issues": ["There is no issue '99999'."]}
    post(operator, f"errors/{row.pk}/merge", {"issues": []}, status=400)
    post(operator, f"errors/{row.pk}/merge", {"issues": ["x"]}, status=400)
    post(operator, f"errors/{row.pk}/merge", {"issues": [str(elsewhere.pk)]}, status=409)
    post(operator, f"errors/{row.pk}/merge", {"issues": [str(row.pk)]}, status=409)
    foreign = elsewhere.groupings.get()
    post(operator, f"errors/{row.pk}/unmerge", {"grouping": str(foreign.pk)}, status=400)
    post(operator, f"errors/{elsewhere.pk}/unmerge", {"grouping": str(foreign.pk)}, status=409)


def test_who_may_only_look_changes_nothing(viewer: APIClient) -> None:
    row = issue()

    for step in ("resolve", "acknowledge", "assign", "ignore", "reopen", "severity"):
        put(viewer, row, step, status=403)
    for step in ("comments", "merge", "unmerge"):
        post(viewer, f"errors/{row.pk}/{step}", {}, status=403)
    assert APIClient().put(f"/api/system/errors/{row.pk}/resolve").status_code == 401


def test_an_issue_of_a_project_one_may_not_see_is_not_there(operator: APIClient, admin: APIClient) -> None:
    hidden, seen = issue(project(restricted=True)), issue()

    put(operator, hidden, "resolve", status=404)
    post(operator, f"errors/{hidden.pk}/comments", {"text": "hello"}, status=404)
    out = post(operator, f"errors/{seen.pk}/merge", {"issues": [str(hidden.pk)]}, status=400)
    assert out["errors"] == {"issues": [f"There is no issue '{hidden.pk}'."]}
    put(admin, hidden, "resolve")


def test_a_token_that_is_a_reader_of_a_restricted_project_acts_in_it(operator: APIClient) -> None:
    home = project(restricted=True)
    home.reader_tokens.add(operator.token)  # type: ignore[attr-defined]

    assert put(operator, issue(home), "acknowledge")["status"] == "acknowledged"


def test_a_comment_sent_twice_with_one_idempotency_key_is_written_once(operator: APIClient) -> None:
    row = issue()
    for _ in range(2):
        answer = operator.post(
            f"/api/system/errors/{row.pk}/comments", {"text": "Once"}, format="json", HTTP_IDEMPOTENCY_KEY="k1"
        )
        assert answer.status_code == 201

    assert ActivityEntry.objects.filter(issue=row).count() == 1


# -- Projects and keys -----------------------------------------------------------------------------------------------


def test_a_project_is_made_with_a_key_and_its_dsn(admin: APIClient) -> None:
    Service.objects.create(slug="shop", name="Shop")
    Environment.objects.create(slug="prod", name="Production")

    out = post(admin, "error-projects", {"slug": "shop-web", "name": "Shop", "service": "shop", "environment": "prod"})

    made = out["keys"][0]  # type: ignore[index]
    assert made["dsn"].endswith(f"/{out['id']}")
    assert made["public"] in made["dsn"]
    assert (out["service"], out["environment"], out["enabled"]) == ("shop", "prod", True)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"slug": "shop web", "name": "Shop"}, "slug"),
        ({"slug": "shop"}, "name"),
        ({"slug": "shop", "name": "Shop", "service": "none"}, "service"),
        ({"slug": "shop", "name": "Shop", "quota": 5}, "quota"),
        ({"slug": "shop", "name": "Shop", "id": "7"}, "id"),
        ({"slug": "shop", "name": "Shop", "allowed_origins": ["shop.example"]}, "allowed_origins"),
        ({"slug": "shop", "name": "Shop", "retention_days": 731}, "retention_days"),
        ({"slug": "taken", "name": "Shop"}, "slug"),
        ({"slug": "shop", "name": "Shop", "readers": ["nobody"]}, "readers"),
        ({"slug": "shop", "name": "Shop", "reader_tokens": ["0"]}, "reader_tokens.0"),
    ],
)
def test_a_project_that_cannot_be_names_the_field(admin: APIClient, body: Body, field: str) -> None:
    project("taken")

    out = post(admin, "error-projects", body, status=400)

    assert list(out["errors"]) == [field]  # type: ignore[call-overload]


def test_a_project_is_changed_and_read_back(admin: APIClient, operator: APIClient) -> None:
    row = project("shop")
    token = ApiToken.objects.get(name="test operator")

    out = patch(
        admin,
        "error-projects/shop",
        {"restricted": True, "reader_tokens": [str(token.pk)], "scrub_fields": ["iban"], "quota_per_minute": None},
    )

    assert (out["restricted"], out["reader_tokens"], out["scrub_fields"]) == (True, [str(token.pk)], ["iban"])
    assert operator.get("/api/system/error-projects/shop").status_code == 200
    patch(admin, "error-projects/shop", {"slug": "other"}, status=400)
    assert AuditEntry.objects.filter(action="errors.project.changed").count() == 1
    row.refresh_from_db()
    assert row.slug == "shop"


def test_keys_are_shown_to_who_may_configure_projects_and_to_nobody_else(admin: APIClient, viewer: APIClient) -> None:
    key(project("shop"))

    assert len(admin.get("/api/system/error-projects/shop").json()["keys"]) == 1
    assert viewer.get("/api/system/error-projects/shop").json()["keys"] is None
    assert viewer.get("/api/system/error-projects/shop/keys").status_code == 403


def test_keys_are_added_named_and_switched_off(admin: APIClient) -> None:
    project("shop")

    made = post(admin, "error-projects/shop/keys", {"label": "browsers", "quota_per_minute": 60})
    out = patch(admin, f"error-projects/shop/keys/{made['id']}", {"enabled": False})

    assert (out["enabled"], out["label"], out["public"]) == (False, "browsers", made["public"])
    assert [row["id"] for row in admin.get("/api/system/error-projects/shop/keys").json()["results"]] == [made["id"]]
    patch(admin, f"error-projects/shop/keys/{made['id']}", {"public": "0" * 32}, status=400)
    patch(admin, "error-projects/shop/keys/none", {"enabled": True}, status=404)


def test_a_key_of_another_project_is_not_there(admin: APIClient) -> None:
    project("shop")
    foreign = key(project("blog"))

    patch(admin, f"error-projects/shop/keys/{foreign.pk}", {"enabled": False}, status=404)


def test_a_deleted_project_is_gone_with_its_issues(admin: APIClient) -> None:
    row = issue(project("shop"))

    assert admin.delete("/api/system/error-projects/shop").status_code == 204
    assert admin.get("/api/system/error-projects/shop").status_code == 404
    assert admin.get(f"/api/system/errors/{row.pk}").status_code == 404
    assert admin.delete("/api/system/error-projects/shop").status_code == 404
    post(admin, "error-projects", {"slug": "shop", "name": "Shop again"})


def test_the_project_of_sysops_own_errors_is_not_deleted(admin: APIClient) -> None:
    own.ensure_own_project(number=OWN_PROJECT, public="0" * 32, by=Actor.system(), at=NOW)

    answer = admin.delete("/api/system/error-projects/sysops")

    assert answer.status_code == 409
    assert "reports its own errors" in answer.json()["detail"]
    assert "Switch it off" in answer.json()["detail"]
    assert Project.objects.get(slug="sysops").deleted_at is None
    patch(admin, "error-projects/sysops", {"enabled": False})


@pytest.mark.parametrize("slug", ["Shop", "shop_web", "-shop", "shop--web", "s" * 65])
def test_a_slug_is_refused_with_the_same_words_everywhere(admin: APIClient, slug: str) -> None:
    out = post(admin, "error-projects", {"slug": slug, "name": "Shop"}, status=400)

    assert out["errors"] == {"slug": [project_rules.NO_SLUG]}
    with pytest.raises(ValidationError) as refused:
        projects.create_project(slug=slug, name="Shop", by=Actor.system(), at=NOW)
    assert refused.value.message_dict == {"slug": [project_rules.NO_SLUG]}


def test_what_is_named_and_not_there_is_said_by_what_it_should_be(admin: APIClient, operator: APIClient) -> None:
    made = post(admin, "error-projects", {"slug": "shop", "name": "Shop", "service": "zed"}, status=400)
    rule = post(admin, "severity-rules", {"name": "X", "severity": "low", "project": "zed"}, status=400)
    given = put(operator, issue(), "assign", {"assignee": "zed"}, status=400)

    assert made["errors"] == {"service": ["There is no service 'zed'."]}
    assert rule["errors"]["project"] == ["There is no error project 'zed'."]  # type: ignore[index]
    assert given["errors"] == {"assignee": ["There is no person 'zed'."]}


def test_projects_and_rules_are_for_admins(operator: APIClient) -> None:
    project("shop")

    post(operator, "error-projects", {"slug": "x", "name": "X"}, status=403)
    patch(operator, "error-projects/shop", {"name": "X"}, status=403)
    assert operator.delete("/api/system/error-projects/shop").status_code == 403
    post(operator, "severity-rules", {"name": "X", "severity": "low"}, status=403)
    post(operator, "assignment-rules", {"name": "X"}, status=403)
    patch(operator, "severity-levels/high", {"near_percent": 50}, status=403)
    assert Project.objects.count() == 1


def test_a_list_of_projects_costs_the_same_for_one_and_for_many(
    admin: APIClient, django_assert_max_num_queries: Callable[[int], object]
) -> None:
    for number in range(5):
        key(project(f"project-{number}"))

    with django_assert_max_num_queries(9):  # type: ignore[attr-defined]
        assert len(admin.get("/api/system/error-projects").json()["results"]) == 5


# -- Rules and levels ------------------------------------------------------------------------------------------------


def test_a_severity_rule_is_made_changed_and_deleted(admin: APIClient) -> None:
    conditions = {"tag": {"area": "payment"}}
    made = post(admin, "severity-rules", {"name": "Payment fails", "severity": "critical", "conditions": conditions})
    assert made["slug"] == "payment-fails"

    out = patch(admin, "severity-rules/payment-fails", {"enabled": False, "project": None})
    assert admin.get("/api/system/severity-rules?enabled=true").json()["results"] == []
    assert (out["enabled"], out["conditions"]) == (False, conditions)

    assert admin.delete("/api/system/severity-rules/payment-fails").status_code == 204
    assert not SeverityRule.objects.filter(slug="payment-fails").exists()
    actions = AuditEntry.objects.filter(action__startswith="errors.severity_rule.").order_by("id")
    assert [entry.action.rsplit(".", 1)[1] for entry in actions] == ["created", "changed", "deleted"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "X", "severity": "low", "conditions": {"colour": "red"}}, "conditions"),
        ({"name": "X", "severity": "low", "conditions": []}, "conditions"),
        ({"name": "X", "severity": "low", "conditions": {}}, "conditions"),
        ({"name": "X", "severity": "low"}, "conditions"),
        ({"name": "X", "severity": "worst"}, "severity"),
        ({"name": "§", "severity": "low"}, "slug"),
        ({"name": "X", "severity": "low", "project": "none"}, "project"),
        ({"name": "X", "severity": "low", "when": {}}, "when"),
    ],
)
def test_a_severity_rule_that_cannot_be_names_the_field(admin: APIClient, body: Body, field: str) -> None:
    out = post(admin, "severity-rules", body, status=400)

    assert list(out["errors"]) == [field]  # type: ignore[call-overload]


def test_an_assignment_rule_names_a_person_or_a_team(admin: APIClient) -> None:
    Person.objects.create(slug="grace", name="Grace")
    Team.objects.create(slug="web", name="Web")

    made = post(admin, "assignment-rules", {"name": "Payment", "path": "shop/payment/*", "person": "grace"})
    post(admin, "assignment-rules", {"name": "Both", "person": "grace", "team": "web"}, status=400)
    post(admin, "assignment-rules", {"name": "Neither"}, status=400)
    out = patch(admin, f"assignment-rules/{made['id']}", {"person": None, "team": "web", "position": 5})

    assert (out["person"], out["team"], out["position"]) == (None, "web", 5)
    listed = admin.get("/api/system/assignment-rules?enabled=true&ordering=position").json()["results"]
    assert [row["id"] for row in listed] == [made["id"]]
    assert admin.delete(f"/api/system/assignment-rules/{made['id']}").status_code == 204
    assert not AssignmentRule.objects.exists()


def test_rules_of_a_project_one_may_not_see_are_not_there(admin: APIClient, viewer: APIClient) -> None:
    hidden = project("secret", restricted=True)
    SeverityRule.objects.create(slug="hidden", name="Hidden", severity="low", project=hidden)

    assert viewer.get("/api/system/severity-rules/hidden").status_code == 404
    assert admin.get("/api/system/severity-rules/hidden").status_code == 200


def test_a_level_says_how_fast_somebody_must_respond(admin: APIClient) -> None:
    ensure_defaults()

    out = patch(admin, "severity-levels/high", {"respond_within_seconds": 1800})

    assert (out["severity"], out["respond_within_seconds"]) == ("high", 1800)
    assert SeverityLevel.objects.get(severity="high").respond_within_seconds == 1800
    patch(admin, "severity-levels/high", {"respond_within_seconds": -1}, status=400)
    patch(admin, "severity-levels/high", {"severity": "low"}, status=400)
    patch(admin, "severity-levels/worst", {"near_percent": 50}, status=404)
    assert len(admin.get("/api/system/severity-levels").json()["results"]) == 4


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (0, 0),
        (14_400, 14_400),
        ("4h", 14_400),
        ("1d", 86_400),
        ("1 h 30 min", 5_400),
        ("90m", 5_400),
        ("366d", 31_622_400),
    ],
)
def test_how_fast_somebody_must_respond_may_be_said_as_a_span(admin: APIClient, given: object, seconds: int) -> None:
    ensure_defaults()

    assert patch(admin, "severity-levels/low", {"respond_within_seconds": given})["respond_within_seconds"] == seconds
    assert SeverityLevel.objects.get(severity="low").respond_within_seconds == seconds


@pytest.mark.parametrize(
    "given", ["soon", "4", "", "4 fortnights", "1h 2h", "-4h", "367d", -1, 31_622_401, 4.5, True, None, ["4h"], {}]
)
def test_what_is_no_time_to_respond_is_refused_with_an_example(admin: APIClient, given: object) -> None:
    ensure_defaults()

    said = patch(admin, "severity-levels/low", {"respond_within_seconds": given}, status=400)["errors"]

    assert isinstance(said, dict)
    assert list(said) == ["respond_within_seconds"]
    assert given is None or "4h" in said["respond_within_seconds"][0]
    assert SeverityLevel.objects.get(severity="low").respond_within_seconds == 86_400


def test_times_are_answered_in_utc(operator: APIClient) -> None:
    row = issue()

    out = put(operator, row, "ignore", {"until": "2090-01-01T02:00:00+02:00"})

    assert out["ignored_until"] == "2090-01-01T00:00:00Z"
    assert str(out["first_seen"]).startswith(NOW.strftime("%Y-%m-%dT%H:%M"))
