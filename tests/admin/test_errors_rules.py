"""Severities, their rules and those of assignment in the admin."""

import re

import pytest

from catalogue.models import Team
from errors import looks
from errors.admin.policy import conditions_words
from errors.models import AssignmentRule, SeverityLevel, SeverityRule
from errors.services import policy
from tests.admin.errors_pages import SignIn, page, said, seen

pytestmark = pytest.mark.django_db


def test_a_severity_rule_is_written_in_fields_and_stored_as_conditions(sign_in: SignIn) -> None:
    client = sign_in("admin")
    given = {
        "name": "Payments fail", "slug": "payments-fail", "severity": "critical", "enabled": "on", "position": "10",
        "level": ["fatal", "error"], "error_type": "Payment*\nCard*", "tag": "area: payment\nregion: > 50",
        "accounts_at_least": "2", "events_at_least": "10", "within_minutes": "60",
    }  # fmt: skip

    said(client.post(page("severityrule_add"), given, follow=True))
    rule = SeverityRule.objects.get()

    assert rule.conditions == {
        "level": ["fatal", "error"], "error_type": ["Payment*", "Card*"],
        "tag": {"area": ["payment"], "region": ["> 50"]},
        "accounts_at_least": 2, "events_at_least": 10, "within_minutes": 60,
    }  # fmt: skip
    again = seen(client, page("severityrule_change", rule.pk))
    assert "Payment*\nCard*" in again
    assert "area: payment" in again
    said(client.post(page("severityrule_change", rule.pk), {**given, "name": "Payments", "tag": ""}, follow=True))
    rule.refresh_from_db()
    assert (rule.name, "tag" in rule.conditions) == ("Payments", False)


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        ({}, "Always"),
        ({"tag": {"slowdown_percent": "> 50", "security": ["a", "b"]}}, "tag slowdown_percent > 50, security = a or b"),
        (
            {"level": ["fatal", "error"], "accounts_at_least": 1, "events_at_least": 2000, "within_minutes": 10},
            "level fatal or error; at least 1 account; at least 2,000 events within 10 min",
        ),
        ({"events_at_least": 1}, "at least 1 event"),
    ],
)
def test_conditions_read_as_words(conditions: dict[str, object], words: str) -> None:
    assert conditions_words(conditions) == words


def test_long_text_ends_in_dots_at_a_word_and_is_there_whole() -> None:
    text = "message *lost data* or *checksum mismatch*"

    shown = looks.long_text(text, most=30)

    assert ">message *lost data* or<span" in shown
    assert "".join(re.sub(r'<span class="so-wide-only"> …</span>|<[^>]+>', "", shown)) == text


def test_shipped_rules_come_through_their_form_unchanged(sign_in: SignIn) -> None:
    policy.ensure_defaults()
    client = sign_in("admin")

    for rule in SeverityRule.objects.all():
        form = client.get(page("severityrule_change", rule.pk)).context["form"]
        given = {name: form[name].value() for name in form.fields}
        given = {name: value for name, value in given.items() if value not in (None, False)}
        assert client.post(page("severityrule_change", rule.pk), given).status_code == 302, rule.slug
        kept = SeverityRule.objects.get(pk=rule.pk)
        assert _listed(kept.conditions) == _listed(rule.conditions), rule.slug


def _listed(conditions: dict[str, object]) -> dict[str, object]:
    """Conditions with a list wherever a single text may stand."""
    return {
        name: {key: one if isinstance(one, list) else [one] for key, one in value.items()}
        if isinstance(value, dict)
        else [value]
        if isinstance(value, str)
        else value
        for name, value in conditions.items()
    }


def test_what_makes_no_rule_is_refused_with_words(sign_in: SignIn) -> None:
    given = {"name": "X", "slug": "x", "severity": "high", "position": "1", "within_minutes": "5"}

    assert "say how many events" in said(sign_in("admin").post(page("severityrule_add"), given))
    assert "as a tag and a pattern" in said(
        sign_in("admin").post(page("severityrule_add"), {**given, "tag": "payment"})
    )
    assert not SeverityRule.objects.exists()


def test_an_assignment_rule_names_a_person_or_a_team(sign_in: SignIn) -> None:
    client, team = sign_in("admin"), Team.objects.create(slug="ops", name="Ops")
    given = {"name": "Payments", "position": "5", "enabled": "on", "path": "shop/payment/*"}

    assert "either a person or a team" in said(client.post(page("assignmentrule_add"), given))
    said(client.post(page("assignmentrule_add"), {**given, "team": str(team.pk)}, follow=True))

    rule = AssignmentRule.objects.get()
    assert rule.team == team
    text = seen(client, page("assignmentrule_changelist"))
    assert "On call of Ops" in text
    assert "file shop/payment/*" in text
    client.post(page("assignmentrule_remove", rule.pk))
    assert not AssignmentRule.objects.exists()


def test_a_severity_means_what_people_decide(sign_in: SignIn) -> None:
    policy.ensure_defaults()
    given = {"meaning": "Soon", "respond_within_seconds": "30 min", "near_percent": "50"}

    said(sign_in("admin").post(page("severitylevel_change", "high"), given, follow=True))

    level = SeverityLevel.objects.get(pk="high")
    assert (level.respond_within_seconds, level.near_percent) == (1800, 50)
    assert sign_in("operator").post(page("severitylevel_change", "high"), given).status_code == 403
    assert "disabled" in seen(sign_in("operator"), page("severitylevel_change", "high"))
