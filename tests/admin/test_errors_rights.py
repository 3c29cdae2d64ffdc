"""Errors in the admin: nobody sees what is not theirs, and nobody meets a button that would be refused."""

import re

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from catalogue.models import Person, Team
from errors.models import AssignmentRule, Attachment, Issue, Project, SeverityLevel, SeverityRule, Undigestible
from errors.services import policy
from sysops.kernel.clock import utc_now
from tests.admin import errors_house as house
from tests.admin.errors_pages import LISTS, SignIn, act, page, raw, seen
from tests.errors.support import issue, project

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
def test_every_list_and_every_row_opens(sign_in: SignIn, role: str) -> None:
    house.furnish()
    client = sign_in(role)

    for name in LISTS:
        raw(client, page(f"{name}_changelist"))
    for model in (Issue, Project, SeverityLevel, SeverityRule, AssignmentRule, Undigestible):
        for row in model._default_manager.all():
            raw(client, page(f"{model._meta.model_name}_change", row.pk))


def test_a_filter_by_the_number_of_a_project_that_one_may_not_see_does_not_say_its_name(sign_in: SignIn) -> None:
    secret = issue(project("vault", restricted=True, name="Vault of secrets"), "SecretError").project
    operator = sign_in("operator")

    for name in ("issue", "undigestible"):
        shown = raw(operator, f"{page(f'{name}_changelist')}?project__id__exact={secret.pk}")
        assert "Vault of secrets" not in shown, name
    assert "Vault of secrets" in raw(sign_in("admin"), f"{page('issue_changelist')}?project__id__exact={secret.pk}")


def test_the_rules_that_anybody_may_look_at_do_not_list_the_projects_that_one_may_not_see(sign_in: SignIn) -> None:
    policy.ensure_defaults()
    project("vault", restricted=True, name="Vault of secrets")
    seen = project("shop", name="The shop")
    assigned = AssignmentRule.objects.create(name="To the team", team=Team.objects.create(slug="t", name="T"))
    pages = [page("severityrule_change", SeverityRule.objects.earliest("pk").pk)]
    pages.append(page("assignmentrule_change", assigned.pk))

    for address in pages:
        shown = raw(sign_in("viewer"), address)
        assert "Vault of secrets" not in shown
        assert seen.name in shown
        assert "Vault of secrets" in raw(sign_in("admin"), address)


def test_lists_of_others_cannot_be_filtered_by_issues_and_projects_that_one_may_not_see(sign_in: SignIn) -> None:
    outside = [model for model in apps.get_models() if model._meta.app_label != "errors"]
    ways = {
        f"{model._meta.label}.{way.name}"
        for model in outside
        for way in model._meta.get_fields(include_hidden=False)
        if way.is_relation and way.auto_created and way.related_model._meta.app_label == "errors"  # type: ignore[union-attr]
    }
    assert ways == set()

    ada = Person.objects.create(slug="ada", name="Ada")
    secret = issue(project("secret", restricted=True), assignee=ada)
    answer = sign_in("viewer").get(f"{reverse('admin:catalogue_person_changelist')}?issues__id__exact={secret.pk}")
    assert (answer.status_code, answer["Location"].endswith("?e=1")) == (302, True)


@pytest.mark.parametrize("asked", ["error_message__regex=(", "severity__iregex=[", "project__id__exact=x", "pk__in=a"])
def test_an_address_that_asks_for_nonsense_is_no_fault_of_ours(asked: str, sign_in: SignIn) -> None:
    assert sign_in("viewer").get(f"{page('issue_changelist')}?{asked}").status_code in (302, 400)


def test_somebody_without_any_role_sees_nothing_of_errors(client: Client) -> None:
    made = issue(message="of the secret project")
    client.force_login(User.objects.create_user("nobody", is_staff=True))

    for name in LISTS:
        assert client.get(page(f"{name}_changelist")).status_code == 403
    assert client.get(page("issue_change", made.pk)).status_code == 403
    assert client.get(page("issue_event_json", made.pk, made.latest_event_id)).status_code == 403


def test_a_restricted_project_is_for_its_readers_and_admins(sign_in: SignIn) -> None:
    secret = issue(project("secret", restricted=True), "SecretError")
    other = issue(project("other"), "OtherError")
    file = Attachment.objects.create(
        project=secret.project, event_id=str(secret.latest_event_id), position=0, filename="a.txt", size_bytes=1,
        body=b"x", received_at=utc_now(),
    )  # fmt: skip
    lost = Undigestible.objects.create(
        project=secret.project, received_at=utc_now(), failed_at=utc_now(), kind="store", encoding="identity",
        reason="secret reason", body=b"x",
    )  # fmt: skip
    addresses = [
        page("issue_change", secret.pk), page("issue_file", secret.pk, file.pk),
        page("project_change", secret.project.pk),
        page("issue_event_json", secret.pk, secret.latest_event_id), page("undigestible_change", lost.pk),
        page("issue_file", other.pk, file.pk), page("issue_event_json", other.pk, secret.latest_event_id),
    ]  # fmt: skip
    operator = sign_in("operator")

    assert [operator.get(address).status_code for address in addresses] == [404] * 7
    assert operator.post(page("issue_resolve", secret.pk), {"fixed": "now"}).status_code == 404
    for name in ("issue", "project", "undigestible"):
        assert "ecret" not in seen(operator, page(f"{name}_changelist"))
    act(operator, "merge", other, numbers=str(secret.pk))
    assert Issue.objects.filter(pk=secret.pk).exists()

    secret.project.readers.add(User.objects.get(username="operator-person"))
    assert "SecretError" in seen(operator, page("issue_change", secret.pk))
    assert "SecretError" in seen(sign_in("admin"), page("issue_change", secret.pk))


def test_a_viewer_meets_no_button_that_would_be_refused(sign_in: SignIn) -> None:
    first = house.furnish()
    viewer = sign_in("viewer")
    addresses = [page("issue_changelist"), page("issue_change", first.pk), page("project_change", first.project_id)]

    text = "".join(seen(viewer, address) for address in addresses)

    assert not re.search(r"/\d+/(acknowledge|resolve|assign|ignore|take|comment|merge|edit|keys|add-key|remove)/", text)
    assert "/acknowledge/" in seen(sign_in("operator"), addresses[1])
    assert "/edit/" not in seen(sign_in("operator"), addresses[2])
    assert "/edit/" in seen(sign_in("admin"), addresses[2])
    assert viewer.post(page("issue_resolve", first.pk), {"fixed": "now"}).status_code == 403
    assert viewer.get(page("issue_together", "resolve") + f"?ids={first.pk}").status_code == 403
