"""The words of messages: shipped ones that always work, changed ones that can never cost a message or a header."""

import json

import pytest

from notifications import templating
from notifications.audience import Audience
from notifications.models import MessageTemplate
from notifications.samples import sample
from notifications.services.rendering import Recipient, preview, render
from notifications.services.words import change_words, reset_words
from notifications.templating import BadWords, Words, fill, one_line, shipped
from sysops.access.driver_settings import BadSettings
from sysops.access.models import AuditEntry
from tests.notifications.support import AT, BY, WINDOW, Clock, make_person, post

CONTRACT = {
    *(f"maintenance.{event}" for event in (
        "scheduled", "ahead", "started", "update", "extended", "overrun", "rescheduled", "cancelled", "completed",
        "start_refused", "start_due",
    )),
    "alert.raised", "alert.resolved", "catalogue.confirm_subscription", "notifications.channel_broken",
    "notifications.channel_works", "notifications.test",
    "errors.issue", "errors.new_issues", "errors.assigned", "errors.sla_near", "errors.sla_breached",
}  # fmt: skip
NASTY = '"><script>alert(1)</script>\r\nBcc: eve@example.org\r\n\r\n<b>' + "ä" * 10_000


def test_words_are_shipped_for_every_kind_of_message() -> None:
    assert set(templating.kinds()) == CONTRACT


@pytest.mark.django_db
@pytest.mark.parametrize("outside", [False, True])
@pytest.mark.parametrize("kind", sorted(CONTRACT))
def test_shipped_words_say_what_and_when_to_whom_they_may(kind: str, outside: bool) -> None:
    filled = preview(kind, zone="Europe/London", outside=outside)

    assert 10 < len(filled.subject) <= 200
    for part in (filled.subject, filled.text, filled.html):
        assert "{{" not in part
        assert "{%" not in part
        assert "None" not in part
        assert "2027-01-" not in part, "times are shown as people read them"
    assert ("/admin/" in filled.text) == (bool(sample(kind).get("url")) and not outside)
    assert ("/subscriptions/end/" in filled.text) == outside
    assert "\n\n\n" not in filled.text


@pytest.mark.django_db
@pytest.mark.parametrize("kind", sorted(CONTRACT))
def test_shipped_words_bear_a_context_without_anything_in_it(kind: str) -> None:
    made = render(post(Audience(), kind=kind, context={}), Recipient())
    assert "None" not in made.filled.text


def test_a_time_is_shown_in_the_recipients_zone_with_its_name() -> None:
    words = Words("{{ start_at|span:end_at }}", "{{ start_at|when }}", "{{ end_at|when }}")
    shown = {
        zone: fill(words, WINDOW, zone=zone).subject
        for zone in ("Europe/London", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo")
    }
    assert shown == {
        "Europe/London": "Sat 16 Jan 2027, 02:00–04:00 GMT",
        "America/New_York": "Fri 15 Jan 2027, 21:00–23:00 EST",
        "Australia/Lord_Howe": "Sat 16 Jan 2027, 13:00–15:00 UTC+1100",
        "America/Sao_Paulo": "Fri 15 Jan 2027, 23:00 – Sat 16 Jan 2027, 01:00 UTC-0300",
    }


def test_a_span_over_a_change_of_the_clocks_names_both_zones() -> None:
    context = {"a": "2027-03-28T00:30:00Z", "b": "2027-03-28T02:00:00Z"}
    assert fill(Words("{{ a|span:b }}", "-", "-"), context, zone="Europe/London").subject == (
        "Sun 28 Mar 2027, 00:30 GMT – 03:00 BST"
    )


def test_a_nasty_title_neither_adds_a_header_nor_runs_in_a_page() -> None:
    filled = fill(shipped("maintenance.scheduled"), {**sample("maintenance.scheduled"), "title": NASTY}, zone="UTC")

    assert len(filled.subject) <= 200
    assert "\n" not in filled.subject
    assert "\r" not in filled.subject
    assert "<script>" not in filled.html
    assert "&lt;script&gt;" in filled.html
    assert "<script>" in filled.text, "plain text is not escaped"
    assert "ä" * 10_000 in filled.text


@pytest.mark.parametrize("control", ["\r\n", "\0", "\x1b", "\x85", "\u2028", "\u202e"])
def test_a_subject_is_one_line_without_control_characters(control: str) -> None:
    assert one_line(f"Window{control}Bcc: eve@example.org") == "Window Bcc: eve@example.org"


@pytest.mark.parametrize(
    "source",
    [
        "{% load static %}",
        "{% include '/etc/passwd' %}",
        "{% extends '_frame.html' %}",
        "{% debug %}",
        "{% csrf_token %}",
        "{% url 'admin:index' %}",
        "{{ title|safe }}",
        "{% autoescape off %}{{ title }}{% endautoescape %}",
        "{{ title|ljust:'1000000000' }}",
        "{% lorem 1000000 %}",
        "{% if %}",
    ],
)
def test_words_can_do_nothing_but_words(source: str) -> None:
    with pytest.raises(BadWords) as refused:
        fill(Words("S", "T", source), {"title": "x"}, zone="UTC")
    assert refused.value.field == "html"


@pytest.mark.django_db
def test_changed_words_are_used_and_keep_the_footer(clock: Clock) -> None:
    change_words(
        "maintenance.scheduled", Words("Ours: {{ title }}", "Hi {{ name }}", "<i>{{ title }}</i>"), by=BY, at=AT
    )
    message = post(Audience())

    made = render(message, Recipient(address="ada@example.org", name="Ada"))

    assert (made.filled.subject, made.problem) == ("Ours: Upgrade", "")
    assert made.filled.text.startswith("Hi Ada\n\n-- \nSysops, http")
    reset_words("maintenance.scheduled", by=BY, at=AT)
    assert render(message, Recipient()).filled.subject.startswith("Maintenance planned")
    assert AuditEntry.objects.filter(action__startswith="notifications.words.").count() == 2


@pytest.mark.django_db
def test_changed_words_that_break_cost_no_message_and_it_is_said() -> None:
    MessageTemplate.objects.create(kind="maintenance.scheduled", subject="{% if %}", text="", html="")

    made = render(post(Audience()), Recipient())

    assert made.filled.subject.startswith("Maintenance planned")
    assert "The changed subject of maintenance.scheduled is broken" in made.problem


@pytest.mark.django_db
@pytest.mark.parametrize("field", ["subject", "text", "html"])
@pytest.mark.parametrize("broken", ["{{ title|nonsense }}", "{{ title", "{{ title }} {% if x", "{{ a\n}}"])
def test_broken_words_are_refused_by_field(field: str, broken: str) -> None:
    words = {"subject": "S", "text": "T", "html": "H", field: broken}
    with pytest.raises(BadSettings) as refused:
        change_words("maintenance.scheduled", Words(**words), by=BY, at=AT)
    assert list(refused.value.errors) == [field]


@pytest.mark.django_db
def test_a_kind_without_words_is_told_as_facts() -> None:
    message = post(Audience(), kind="acme.moved", context={"title": "Moved <b>", "to_rack": 7, "url": "/admin/x/"})

    made = render(message, Recipient())

    assert made.filled.subject == "Moved <b>"
    assert "to rack: 7" in made.filled.text
    assert "<b>" not in made.filled.html.replace("<body", "")


@pytest.mark.django_db
def test_an_unknown_zone_is_utc() -> None:
    assert "UTC" in render(post(Audience()), Recipient(zone="Mars/Olympus")).filled.subject


@pytest.mark.django_db
def test_the_link_that_confirms_is_made_for_the_mail_and_stored_nowhere() -> None:
    from tests.notifications.support import make_service, subscribe

    asked = subscribe(make_service("shop"), "eve@example.org")
    message = post(
        Audience(subscriptions=(asked.pk,)), kind="catalogue.confirm_subscription",
        context={"service": "Shop", "subscription_id": asked.pk},
    )  # fmt: skip

    made = render(message, Recipient(address="eve@example.org", outside=True))

    assert "/subscriptions/confirm/" in made.filled.text
    assert made.unsubscribe_url == ""
    assert "/subscriptions/confirm/" not in json.dumps([message.context, dict(made.data)])


@pytest.mark.django_db
def test_a_letter_is_rendered_for_whom_it_is_sent_to() -> None:
    made = render(post(Audience(people=(make_person("ada").pk,))), Recipient(zone="Asia/Tokyo"))
    assert "11:00–13:00 JST" in made.filled.subject
