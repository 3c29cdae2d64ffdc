"""What the tests of the errors' pages share: addresses, what a page says, and an act done."""

from collections.abc import Callable
from html import unescape
from typing import TYPE_CHECKING

from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from errors.models import Issue, Project, Undigestible

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse

SignIn = Callable[[str], Client]
LISTS = ["issue", "project", "severitylevel", "severityrule", "assignmentrule", "undigestible"]


def page(name: str, *args: object) -> str:
    return reverse(f"admin:errors_{name}", args=args)


def raw(client: Client, url: str) -> str:
    answer = client.get(url)
    assert answer.status_code == 200, (url, answer.status_code)
    return answer.content.decode()


def said(answer: "_MonkeyPatchedWSGIResponse") -> str:
    assert answer.status_code == 200, answer.content[:500]
    return unescape(answer.content.decode())


def seen(client: Client, url: str) -> str:
    return unescape(raw(client, url))


def act(client: Client, name: str, row: Issue | Project | Undigestible, **given: object) -> str:
    """What is said after the act's page was sent off."""
    address = page(f"{row._meta.model_name}_{name.replace('-', '_')}", row.pk)
    return said(client.post(address, given, follow=True))


def positions(text: str, *words: str) -> list[int]:
    found = [text.index(word) for word in words]
    assert len(found) == len(words)
    return found


def assert_download(answer: "_MonkeyPatchedWSGIResponse") -> None:
    assert answer.status_code == 200
    assert answer["Content-Disposition"].startswith("attachment")
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer["Content-Security-Policy"]


def somebody(role: str) -> User:
    user = User.objects.create_user(f"some-{role}")
    user.groups.add(Group.objects.get(name=role))
    return user
