"""What every list of the admin has in common, whichever app it belongs to."""

import html
import re
from datetime import UTC, datetime

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.db import models
from django.test import Client
from django.urls import reverse
from django.utils.text import capfirst
from django_celery_beat.models import CrontabSchedule, PeriodicTask

import sysops.urls  # noqa: F401 - it makes the pages known
from backups.models import Backup
from catalogue.models import Environment, Person, Subscription
from sysops.access.audited import RightedModelAdmin
from sysops.access.models import AuditEntry
from sysops.events.models import Event
from tests.errors.support import issue
from tests.maintenance.support import make_service

pytestmark = pytest.mark.django_db

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
RUBBISH = ["abc", "1e9", "-1", "0", "9" * 30, "9" * 5_000, "1\0", "\0", "’ OR 1=1", "", "[1]"]
NO_SUCH_ROW = "Nothing was done: what was chosen is not in this list, or not any more."


def address(model: type[models.Model]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def said(client: Client, model: type[models.Model], **given: object) -> set[str]:
    """What the next page will say to what was sent from the list."""
    answer = client.post(address(model), given)
    assert answer.status_code == 302, given
    return {str(message) for message in get_messages(answer.wsgi_request)}


@pytest.fixture
def root(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("root"))
    return client


def test_every_page_stands_on_the_same_ground() -> None:
    strangers = [model for model in MODELS if not isinstance(admin.site._registry[model], RightedModelAdmin)]

    assert strangers == []


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_a_list_is_titled_with_what_is_in_it(root: Client, model: type[models.Model]) -> None:
    answer = root.get(address(model), follow=True)

    assert answer.status_code == 200
    assert not answer.context["title"].startswith("Select ")
    if "cl" in answer.context:  # else all rows are on one page with a name of its own
        assert answer.context["title"] == capfirst(str(model._meta.verbose_name_plural))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_an_action_for_no_row_of_the_list_does_nothing_and_says_so(root: Client, model: type[models.Model]) -> None:
    form = (root.get(address(model)).context or {}).get("action_form")
    names = [name for name, _ in form.fields["action"].choices if name] if form else []

    for name in names:
        assert said(root, model, action=name, _selected_action="abc", index="0", post="yes") == {NO_SUCH_ROW}, name


@pytest.mark.parametrize("chosen", RUBBISH, ids=lambda text: ascii(text)[:12])
def test_whatever_stands_in_a_choice_deletes_nothing(root: Client, chosen: str) -> None:
    kept = Environment.objects.create(slug="kept", name="Kept")
    both = [str(kept.pk), chosen]

    assert said(root, Environment, action="delete_selected", _selected_action=chosen, post="yes") == {NO_SUCH_ROW}
    if not chosen.removeprefix("-").isdigit():  # a number may have been a row's: it is left out, the others are done
        assert said(root, Environment, action="delete_selected", _selected_action=both, post="yes") == {NO_SUCH_ROW}
    assert Environment.objects.filter(pk=kept.pk).exists()


def test_what_is_gone_meanwhile_is_left_out_and_the_others_are_done(root: Client) -> None:
    gone, left = (Environment.objects.create(slug=slug, name=slug) for slug in ("gone", "left"))
    chosen = [str(gone.pk), str(left.pk)]
    gone.delete()

    said(root, Environment, action="delete_selected", _selected_action=chosen, post="yes")

    assert not Environment.objects.filter(slug="left").exists()


def test_a_row_that_the_list_does_not_show_is_not_in_it(root: Client) -> None:
    done = issue(status="resolved")

    assert said(root, type(done), action="acknowledge_them", _selected_action=str(done.pk)) == {NO_SUCH_ROW}


def test_show_all_is_offered_only_where_something_is_left_out(root: Client) -> None:
    for model in (AuditEntry, Backup):
        assert "Show all" not in root.get(address(model)).content.decode(), model
        assert "Show all" in root.get(address(model) + "?q=nothing-like-it").content.decode(), model


def test_the_schedule_is_readable(root: Client) -> None:
    rule = CrontabSchedule.objects.create(minute="45", hour="3", timezone="UTC")
    PeriodicTask.objects.create(name="clean up", task="x", crontab=rule)

    seen = root.get(address(PeriodicTask)).content.decode()

    assert "45 3 * * * UTC" in seen
    assert "m/h/dM" not in seen
    assert "one_off" not in re.findall(r"field-(\w+)", seen)


def test_moments_are_written_as_on_every_other_page(root: Client) -> None:
    Event.objects.create(name="a.b", subject="1", at=datetime(2027, 1, 10, 0, 5, tzinfo=UTC))

    assert "2027-01-10 00:05 UTC" in root.get(address(Event)).content.decode()


def test_a_state_is_a_word_on_the_page_of_its_row_too(root: Client) -> None:
    service = make_service("shop")
    person = Person.objects.create(slug="ada", name="Ada")
    signed_up = Subscription.objects.create(service=service, person=person, state="confirmed")

    for row, name, word in ((service, "service", "Normal"), (signed_up, "subscription", "Confirmed")):
        page = root.get(reverse(f"admin:catalogue_{name}_change", args=[row.pk])).content.decode()
        shown = " ".join(root.get(reverse(f"admin:catalogue_{name}_changelist")).content.decode().split())
        assert re.search(rf">\s*{word}\s*<", page), name
        assert f"({row.state!r}, " not in html.unescape(page)
        assert f"> {word} <" in shown


def test_a_form_says_in_which_zone_a_moment_is_read(root: Client) -> None:
    form = root.get(reverse("admin:catalogue_oncalloverride_add")).context["adminform"].form
    beat = root.get(reverse("admin:django_celery_beat_periodictask_add")).context["adminform"].form

    assert form.fields["starts_at"].help_text == "In UTC."
    assert beat.fields["start_time"].help_text.endswith("the task to run. In UTC.")
