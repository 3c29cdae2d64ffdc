"""What is not there, and what one may not see: said in plain words, on a page like the others, with a way on."""

from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User
from django.templatetags.static import static
from django.test import Client
from django.urls import reverse

from tests.admin.errors_pages import SignIn, page
from tests.errors.support import issue, project

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse

pytestmark = pytest.mark.django_db

SIDE_BAR = f'href="{reverse("admin:access_apitoken_changelist")}"'
FIRST_PAGE = f'href="{reverse("admin:index")}"'


def words_of(answer: "_MonkeyPatchedWSGIResponse", status: int) -> str:
    assert answer.status_code == status
    return answer.content.decode()


def test_an_address_of_nothing_leads_back(sign_in: SignIn, client: Client) -> None:
    known = sign_in("viewer").get(page("issue_change", 987654))
    stranger = client.get("/errors/act/a/b")

    assert (known.status_code, stranger.status_code) == (404, 404)
    assert f'href="{page("issue_changelist")}"' in known.content.decode()
    assert f'href="{reverse("admin:index")}"' in known.content.decode()
    assert "/admin/" not in stranger.content.decode()


@pytest.mark.parametrize(
    ("address", "title", "back"),
    [
        ("/admin/backups/backup/987654/change/", "There is no backup 987654", "All backups"),
        ("/admin/backups/backup/987654/hold/", "There is no backup 987654", "All backups"),
        ("/admin/maintenance/window/987654/report/", "There is nothing at this address", "All windows"),
        ("/admin/backups/nonsense/1/", "There is nothing at this address", ""),
        ("/admin/nonsense/", "There is nothing at this address", ""),
        ("/nonsense/", "There is nothing at this address", ""),
    ],
)
def test_what_is_missing_is_said_on_a_page_like_the_others(
    sign_in: SignIn, address: str, title: str, back: str
) -> None:
    seen = words_of(sign_in("admin").get(address), 404)

    assert f'<h1 class="so-title">{title}</h1>' in seen
    assert SIDE_BAR in seen
    assert FIRST_PAGE in seen.split("so-actions")[1]
    assert (back or "The first page") in seen.split("so-actions")[1]
    assert ("All " in seen.split("so-actions")[1]) is bool(back)


def test_what_one_may_not_do_is_said_with_the_role_one_has(sign_in: SignIn) -> None:
    hidden = words_of(sign_in("viewer").get(reverse("admin:auth_user_add")), 403)
    act = words_of(sign_in("viewer").get(page("issue_resolve", issue().pk)), 403)

    for seen in (hidden, act):
        assert "You are signed in as viewer-person with the role viewer, which does not include it." in seen
        assert "can give you a role" in seen
        assert FIRST_PAGE in seen.split("so-actions")[1]
    assert "All users" not in hidden
    assert f'href="{page("issue_changelist")}"' in act.split("so-actions")[1]


def test_somebody_without_a_role_is_told_so_and_nothing_else(client: Client) -> None:
    client.force_login(User.objects.create_user("nobody", is_staff=True))

    seen = words_of(client.get(reverse("admin:backups_backup_changelist")), 403)

    assert "You are signed in as nobody, who has no role yet." in seen
    assert "All backups" not in seen


def test_a_page_of_a_restricted_project_reads_like_one_that_never_was(sign_in: SignIn) -> None:
    secret, viewer = issue(project("vault", restricted=True, name="Vault of secrets"), "SecretError"), sign_in("viewer")

    kept, never = (
        words_of(viewer.get(page("issue_change", number)), 404).split("so-title")[1].replace(f"issue {number}", "")
        for number in (secret.pk, secret.pk + 1)
    )

    assert kept == never


def test_what_an_address_says_is_text(sign_in: SignIn) -> None:
    seen = words_of(sign_in("admin").get("/admin/backups/backup/%3Cscript%3Ealert(1)/change/"), 404)

    assert "<script>alert" not in seen
    assert "There is no backup &lt;script&gt;alert(1)" in seen


def test_a_form_from_before_one_signed_in_again_is_refused_with_what_to_do(sign_in: SignIn) -> None:
    sign_in("admin")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get(username="admin-person"))

    seen = words_of(strict.post(reverse("admin:backups_store_add"), {}), 403)
    stranger = words_of(Client(enforce_csrf_checks=True).post(reverse("admin:login"), {}), 403)

    assert "reload the page and send it again" in seen
    assert FIRST_PAGE in seen
    assert "SYSOPS_PUBLIC_URL" in stranger


def test_browsers_find_the_icon_where_they_look_for_it(client: Client) -> None:
    answer = client.get("/favicon.ico")

    assert (answer.status_code, answer["Location"]) == (302, static("sysops/logo.svg"))
