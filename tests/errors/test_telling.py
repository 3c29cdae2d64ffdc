"""People hear of errors at once and are not flooded: all through the real path, counting what was posted."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, transaction

from alerting.models import Alert
from alerting.services import release_held
from catalogue.models import Service
from errors.message_links import links_for
from errors.models import Announcement, Issue, Project, SeverityRule
from errors.rules import Severity
from errors.services import bulletins, policy, telling
from errors.services import issues as steps
from errors.services.merging import merge
from errors.services.projects import change_project, delete_project
from errors.services.ticking import tick
from notifications.models import Message
from notifications.templating import fill
from notifications.templating import shipped as shipped_words
from tests.errors.growth import TICK, arrive, grow, grow_all, kinds, person, run_clock, service, team
from tests.errors.support import BY, DAY, HOUR, MINUTE, NOW, digested, issue, project

pytestmark = pytest.mark.django_db
Step = Callable[..., Issue]


@pytest.fixture(autouse=True)
def shipped() -> None:
    policy.ensure_defaults()


def told(at: datetime) -> int:
    return tick(now=lambda: at)["told"]


def test_the_first_event_of_an_issue_is_told_with_the_next_tick() -> None:
    owner = team("shop", "ada")
    found = arrive(project("shop", service=service("shop", owner)))

    assert told(NOW) == 1

    message = Message.objects.get()
    assert (message.kind, message.level) == ("errors.issue", "warning")
    assert message.context["title"] == "ValueError: broken"
    assert message.context["what"] == "new"
    assert message.context["url"] == f"/admin/errors/issue/{found.pk}/change/"
    assert message.audience["teams"] == [owner.pk]
    assert message.audience["people"] == [person("ada").pk]
    assert told(NOW + MINUTE) == 0


def test_a_storm_of_ten_thousand_events_of_one_issue_is_at_most_three_messages() -> None:
    found = arrive(project())
    for number in range(50):
        at = NOW + timedelta(seconds=number * 1.2)
        found = grow(found, *[digested(at=at)] * 200, at=at, accounts=min(number, 40))
        if number % 12 == 0:
            told(at)
    assert found.event_count == 10_001

    run_clock(NOW + MINUTE, NOW + 40 * MINUTE, step=MINUTE)

    assert len(kinds()) <= 3
    assert kinds() == ["errors.issue", "errors.issue"]
    first, last = Message.objects.order_by("pk")
    assert first.posted_at == NOW
    assert NOW + 5 * MINUTE <= last.posted_at <= NOW + 6 * MINUTE
    assert last.context["event_count"] == 10_001
    assert last.context["since_count"] == 10_001 - first.context["event_count"]


def test_a_storm_that_becomes_critical_is_at_most_three_messages_too() -> None:
    found = arrive(project())
    told(NOW)
    for number in range(50):
        at = NOW + timedelta(seconds=1 + number * 1.2)
        found = grow(found, *[digested(at=at, level="fatal")] * 200, at=at)
        if number % 12 == 0:
            told(at)

    run_clock(NOW + MINUTE, NOW + 40 * MINUTE, step=MINUTE)

    assert kinds() == ["errors.issue", "alert.raised", "errors.sla_breached"]


def test_five_hundred_new_issues_are_at_most_ten_messages_critical_ones_included() -> None:
    levels = ["fatal", "error", "error", "warning", "error"]
    home = project(service=service("shop", team("shop", "ada")))
    made = [issue(home, "Error", f"number {number}", events=0, level=levels[number % 5]) for number in range(500)]
    at = NOW
    for number in range(0, 500, 100):
        for place, level in enumerate(levels):
            some = [each for each in made[number : number + 100] if each.level == level][place % 2 :: 1]
            grow_all(some, digested(level=level, at=at), at=at, new=True, accounts=2 if place == 1 else 1)
            at += timedelta(seconds=2)
        told(at)

    run_clock(at, NOW + 70 * MINUTE, step=2 * MINUTE)

    assert len(kinds()) <= 10, kinds()
    assert kinds().count("alert.raised") == 4
    assert Alert.objects.filter(key__startswith="errors.issue:").count() == 3
    assert "more critical issues" in Alert.objects.get(key=f"errors.critical:{home.pk}").title
    assert Announcement.objects.filter(next_at__isnull=False, key__startswith="issue:").count() == 0


def test_issues_that_all_go_on_are_told_of_together() -> None:
    home = project()
    made = [arrive(home, digested("Error", f"number {number}")) for number in range(9)]
    for number in range(40):
        at = NOW + number * timedelta(minutes=3)
        told(at)
        grow_all(made[number % 3 :: 3], digested(at=at), at=at)

    shown = [kind for kind in kinds() if not kind.startswith("errors.sla")]
    assert shown == ["errors.new_issues"] * len(shown)
    assert 3 <= len(shown) <= 6, "two hours: at once, after 5, 20 and 65 minutes"
    assert Message.objects.filter(kind="errors.new_issues").order_by("-pk")[0].context["counts"] == "9 going on"


def test_what_goes_on_is_told_of_ever_less_often_with_its_count() -> None:
    found = arrive(project())
    moments = [0, 5, 10, 15, 20, 25, 40, 60, 65, 70, 120, 180, 200, *range(205, 4 * 24 * 60, 135)]
    for minutes in moments:
        at = NOW + minutes * MINUTE
        told(at)
        found = grow(found, at=at)

    growing = Message.objects.filter(kind="errors.issue").order_by("pk")
    gaps = [(later.posted_at - sooner.posted_at) for sooner, later in pairwise(growing)]
    assert gaps[:4] == [5 * MINUTE, 15 * MINUTE, 45 * MINUTE, 135 * MINUTE]
    assert max(gaps) <= DAY + 135 * MINUTE
    assert sum(message.context["since_count"] for message in growing) <= found.event_count


def test_after_a_long_quiet_it_is_news_again() -> None:
    found = arrive(project())
    told(NOW)
    grow(found, at=NOW + 3 * HOUR)

    assert told(NOW + 3 * HOUR) >= 1
    assert Message.objects.filter(kind="errors.issue").order_by("-pk")[0].context["what"] == "again"


def test_critical_is_an_alert_at_once_without_waiting_for_a_tick() -> None:
    owner = team("shop", "ada")
    found = arrive(project(service=service("shop", owner)), digested(level="fatal"))

    message = Message.objects.get()
    assert (message.kind, message.level) == ("alert.raised", "critical")
    assert message.audience["on_call_of"] == [owner.pk]
    assert Alert.objects.get().key == f"errors.issue:{found.pk}"
    assert told(NOW) == 0, "its alert told of it"


def test_an_issue_that_becomes_critical_raises_its_alert_even_when_acknowledged() -> None:
    found = arrive(project())
    steps.acknowledge(found, by=BY, at=NOW)
    grow(found, digested(level="fatal"), at=NOW + MINUTE)
    assert Alert.objects.get().key == f"errors.issue:{found.pk}"


def test_nobody_is_told_again_of_what_is_acknowledged_or_ignored() -> None:
    home = project()
    seen, hidden = arrive(home), arrive(home, digested("Other"))
    told(NOW)
    steps.acknowledge(seen, by=BY, at=NOW)
    steps.ignore(hidden, by=BY, at=NOW)
    for hours in range(1, 50, 7):
        grow_all([seen, hidden], digested(), at=NOW + hours * HOUR)
        told(NOW + hours * HOUR)
    assert kinds() == ["errors.new_issues"]


def test_what_was_resolved_before_its_turn_is_not_told() -> None:
    home = project()
    arrive(home)
    told(NOW)
    late = arrive(home, digested("Other"), at=NOW + MINUTE)
    told(NOW + MINUTE)
    steps.resolve(late, by=BY, at=NOW + 2 * MINUTE)
    run_clock(NOW + 2 * MINUTE, NOW + 2 * HOUR, step=5 * MINUTE)
    assert kinds() == ["errors.issue"]


def test_maintenance_holds_messages_back_and_releases_what_is_still_true() -> None:
    shop = service("shop", team("shop", "ada"))
    home = project(service=shop)
    Service.objects.filter(pk=shop.pk).update(state="maintenance", state_reason="Upgrade")
    bad, cured = arrive(home, digested("Bad", level="fatal")), arrive(home, digested("Cured", level="fatal"))
    plain, over = arrive(home, digested("Plain")), arrive(home, digested("Over"))
    run_clock(NOW, NOW + 20 * MINUTE, step=MINUTE)
    steps.resolve(cured, by=BY, at=NOW + 20 * MINUTE)
    steps.resolve(over, by=BY, at=NOW + 20 * MINUTE)
    assert kinds() == []

    Service.objects.filter(pk=shop.pk).update(state="normal")
    after = NOW + 30 * MINUTE
    release_held(now=lambda: after)
    told(after)

    said = [(message.kind, message.context.get("title")) for message in Message.objects.order_by("pk")]
    assert said == [
        ("alert.raised", f"Bad: broken in {home.name}"),
        ("errors.sla_breached", "Bad: broken"),
        ("errors.issue", "Plain: broken"),
    ]
    assert {bad.pk, plain.pk} == set(Issue.objects.filter(status="unresolved").values_list("pk", flat=True))


def test_the_alert_of_the_rest_ends_when_somebody_has_taken_care_of_all() -> None:
    home = project()
    made = [arrive(home, digested("Error", f"number {number}", level="fatal")) for number in range(5)]
    key = f"errors.critical:{home.pk}"
    told(NOW)
    assert Alert.objects.filter(key=key, resolved_at=None).exists()
    for each in made:
        steps.acknowledge(each, by=BY, at=NOW + MINUTE)
    told(NOW + MINUTE)
    assert not Alert.objects.filter(key=key, resolved_at=None).exists()


def test_an_hour_later_critical_issues_are_alerts_of_their_own_again() -> None:
    home = project()
    for number in range(5):
        arrive(home, digested("Error", f"number {number}", level="fatal"))
    late = arrive(home, digested("Late", level="fatal"), at=NOW + HOUR)
    assert Alert.objects.filter(key=f"errors.issue:{late.pk}").exists()


def test_projects_are_told_of_apart() -> None:
    for slug in ("shop", "blog"):
        arrive(project(slug))
    assert told(NOW) == 2


def test_high_waits_a_quarter_of_an_hour_at_most_however_often_a_project_was_told() -> None:
    home = project()
    at = NOW
    for number in range(20):
        arrive(home, digested("Error", f"number {number}"), at=at)
        told(at)
        at += 6 * MINUTE
    before = Message.objects.count()
    arrive(home, digested("Bad"), at=at, accounts=2)
    run_clock(at, at + 15 * MINUTE, step=MINUTE)
    assert "high" in Message.objects.order_by("-pk").exclude(kind__startswith="errors.sla")[0].context["severities"]
    assert Message.objects.count() > before


def test_a_restricted_project_is_told_of_without_a_word_of_its_errors() -> None:
    home = project("vault", restricted=True, service=service("cellar", team("shop", "ada")))
    plain = arrive(home, digested("Secret", "customer 12"))
    bad = arrive(home, digested("Worse", "customer 13", level="fatal"))
    told(NOW)
    arrive(home, digested("Third"))
    steps.assign(plain, None, by=BY, at=NOW)
    steps.assign(plain, person("ada"), by=BY, at=NOW)
    run_clock(NOW, NOW + 5 * HOUR, step=5 * MINUTE)
    assert {"errors.issue", "errors.assigned", "errors.sla_near", "errors.sla_breached"} <= set(kinds())
    said = " ".join(str(message.context) for message in Message.objects.exclude(kind__startswith="alert"))
    for word in ("Secret", "customer", "vault", "Vault", "cellar", "Cellar"):
        assert word not in said
    assert f"Issue {plain.pk}" in said
    assert f"Issue {bad.pk}" in said


def test_hostile_text_stays_one_line_without_secrets() -> None:
    arrive(project(), digested("E\r\nBcc: eve@example.org", "\n\npassword=hunter2 " + "x" * 5_000))
    told(NOW)
    title = Message.objects.get().context["title"]
    assert len(title) <= 160
    assert "\n" not in title
    assert "hunter2" not in title


def test_a_tick_that_runs_twice_tells_once() -> None:
    arrive(project())
    assert [told(NOW), told(NOW), told(NOW + TICK)] == [1, 0, 0]


def test_whoever_is_given_an_issue_is_told() -> None:
    team("shop", "ada")
    found = issue()
    with transaction.atomic():
        telling.tell_assigned(found, person("ada"), by="ben", at=NOW)
    message = Message.objects.get()
    assert (message.kind, message.audience["people"]) == ("errors.assigned", [person("ada").pk])
    assert message.context["assigned_by"] == "ben"


def test_somebody_makes_it_critical_and_on_call_is_alerted() -> None:
    found = issue()
    steps.set_severity(found, Severity.CRITICAL, by=BY, at=NOW)
    assert Alert.objects.get().key == f"errors.issue:{found.pk}"


def test_a_message_that_waits_for_the_morning_is_taken_back_when_it_is_not_true_any_more() -> None:
    found = arrive(project())
    told(NOW)
    with transaction.atomic():
        telling.take_back(found, because="It was resolved", at=NOW + MINUTE)
    assert Message.objects.get().expired_because == "It was resolved"


@pytest.mark.django_db(transaction=True)
def test_ticks_at_the_same_moment_tell_once() -> None:
    policy.ensure_defaults()
    home = project()
    for number in range(5):
        arrive(home, digested("Error", f"number {number}"))
    together = threading.Barrier(3)

    def run() -> None:
        try:
            together.wait(timeout=20)
            told(NOW)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)

    assert kinds() == ["errors.new_issues"]


def test_a_message_offers_its_reader_the_next_steps_and_a_stranger_none() -> None:
    team("shop", "ada", "eve")
    ada = person("ada")
    ada.user = get_user_model().objects.create_superuser("ada", password="x")
    ada.save()
    eve = person("eve")
    eve.user = get_user_model().objects.create_user("eve", password="x")
    eve.save()
    found = arrive(project(), digested(level="fatal"))
    alert = Message.objects.get()

    offered = links_for(alert.context, person=ada.pk, at=NOW)

    assert set(offered) == {"acknowledge_url", "take_url", "resolve_url", "ignore_url"}
    assert all("/errors/act/" in url for url in offered.values())
    assert links_for(alert.context, person=eve.pk, at=NOW) == {}
    assert links_for(alert.context, person=None, at=NOW) == {}
    assert (
        links_for({"url": f"https://evil.example/admin/errors/issue/{found.pk}/change/"}, person=ada.pk, at=NOW) == {}
    )


def test_the_words_of_a_restricted_project_are_in_no_message_and_no_alert() -> None:
    home = project("vault", restricted=True, service=service("vault", team("vault", "ada")))
    home_rule = SeverityRule.objects.create(
        slug="key", name="The key of the vault", severity="critical", project=home, conditions={"message": "*stolen*"}
    )
    found = arrive(home, digested("TheftError", "stolen", release="heist@1", environment="cellar"))
    for number in range(5):
        arrive(home, digested("TheftError", f"stolen {number}", level="error", release="heist@1"))
    steps.assign(found, person("ada"), by=BY, at=NOW)
    run_clock(NOW, NOW + 20 * MINUTE, step=MINUTE)

    said = [str(row) for row in Alert.objects.values_list("title", "detail")]
    said += [str(row.context) for row in Message.objects.all()]

    assert said
    for word in ("Theft", "stolen", "heist", "cellar", "payment", home_rule.name):
        assert not [each for each in said if word in each], word


def test_an_alert_of_a_restricted_project_names_neither_the_project_nor_how_often_it_happened() -> None:
    home = project("vault", restricted=True, service=service("shop", team("shop", "ada")))
    made = [arrive(home, digested("Theft", f"{number}", level="fatal"), accounts=7) for number in range(4)]
    steps.set_severity(made[0], Severity.LOW, by=BY, at=NOW + MINUTE)

    first = Alert.objects.get(key=f"errors.issue:{made[0].pk}")
    rest = Alert.objects.get(key=f"errors.critical:{home.pk}")

    assert first.title == f"Issue {made[0].pk} of a restricted project"
    assert rest.title == f"Issue {made[3].pk} of a restricted project"
    told_of = str([*Alert.objects.values(), *Message.objects.values_list("context", flat=True)]).lower()
    for word in ("vault", "events so far", "accounts", "it low", "to ada"):
        assert word not in told_of, word


@pytest.mark.parametrize("name", ["Token", "Password", "Secret", "API key", "Basic", "Bearer"])
@pytest.mark.parametrize("restricted", [False, True])
def test_no_title_of_an_alert_is_taken_for_a_secret(name: str, restricted: bool) -> None:
    home = project(name=name, restricted=restricted)
    for number in range(4):
        arrive(home, digested("Error", f"number {number}", level="fatal"))

    titles = list(Alert.objects.values_list("title", flat=True))

    assert len(titles) == 4
    assert not [title for title in titles if "redacted" in title]


def test_the_subject_of_an_alert_names_its_service_and_its_project_once_where_they_are_called_alike() -> None:
    shop = service("shop", team("shop", "ada"))
    for name in ("Shop", "Till"):
        arrive(project(name=name, service=shop), digested("OSError", name, level="fatal"))

    assert [subject(message) for message in Message.objects.order_by("pk")] == [
        "Critical, Shop: OSError: Shop",
        "Critical, Shop: OSError: Till in Till",
    ]


def storm(home: Project, count: int) -> list[Issue]:
    """So many critical issues, the first three of which are alerts of their own."""
    return [arrive(home, digested("Error", f"number {number}", level="fatal")) for number in range(count)]


def rest_of(home: Project) -> Alert:
    return Alert.objects.filter(key=f"errors.critical:{home.pk}").latest("pk")


def test_one_more_critical_issue_is_told_as_that_issue_with_its_steps_and_once() -> None:
    team("shop", "ada")
    ada = person("ada")
    ada.user = get_user_model().objects.create_superuser("ada", password="x")
    ada.save()
    home = project(name="Till")
    found = storm(home, 4)[3]

    message = Message.objects.latest("pk")

    assert subject(message) == "Critical: Error: number 3 in Till"
    assert message.context["url"] == f"/admin/errors/issue/{found.pk}/change/"
    assert "So far: 1 event." in str(message.context["detail"])
    assert "acknowledge_url" in links_for(message.context, person=ada.pk, at=NOW)
    assert told(NOW) == 0, "its alert told of it"


def test_several_more_critical_issues_are_counted_and_listed_without_those_that_have_an_alert() -> None:
    home = project(name="Till")
    storm(home, 4)
    made = [issue(home, "More", f"{number}", events=0, level="fatal") for number in range(12)]
    grow_all(made, digested("More", level="fatal"), at=NOW, new=True)

    rest = rest_of(home)
    assert rest.title == "13 more critical issues in Till"
    assert rest.path == f"/admin/errors/issue/?project__id__exact={home.pk}&severity=critical"
    lines = [line for line in rest.detail.splitlines() if line.startswith("- ")]
    assert lines == ["- Error: number 3", *(f"- More: {number}" for number in range(9)), "- and 3 more"]
    assert kinds() == ["alert.raised"] * 4


def test_the_alert_of_the_rest_ends_with_its_own_issues_whatever_waits_besides() -> None:
    home = project(name="Till")
    made = storm(home, 5)

    steps.resolve(made[3], by=BY, at=NOW + MINUTE)
    told(NOW + MINUTE)
    assert (rest_of(home).title, rest_of(home).resolved_at) == ("Error: number 4 in Till", None)
    count = rest_of(home).count
    told(NOW + 2 * MINUTE)
    assert rest_of(home).count == count, "nothing has changed"

    steps.resolve(made[4], by=BY, at=NOW + 3 * MINUTE)
    told(NOW + 3 * MINUTE)

    assert rest_of(home).resolved_at == NOW + 3 * MINUTE
    assert Alert.objects.filter(key__startswith="errors.issue:", resolved_at=None).count() == 3


def test_the_alert_of_the_rest_of_a_deleted_project_ends_as_that() -> None:
    home = project(name="Till")
    storm(home, 5)
    delete_project(home, by=BY, at=NOW + MINUTE)

    tick(now=lambda: NOW + 2 * MINUTE)

    assert rest_of(home).resolved_at == NOW + 2 * MINUTE
    context = Message.objects.get(kind="alert.resolved").context
    assert (context["how"], context["ending"]) == ("Its project was deleted.", "over")


def test_an_issue_that_somebody_ignores_is_not_called_resolved() -> None:
    found = arrive(project(name="Till"), digested("OSError", level="fatal"))
    steps.ignore(found, by=BY, at=NOW + MINUTE)

    assert subject(Message.objects.get(kind="alert.resolved")) == "Taken care of: OSError: broken in Till"


def test_an_alert_that_ends_in_a_closed_issue_does_not_say_that_it_goes_on() -> None:
    home = project(name="Till")
    one = steps.resolve(arrive(home, digested("LookupError")), by=BY, at=NOW)
    other = arrive(home, digested("OSError", level="fatal"))
    Issue.objects.filter(pk=other.pk).update(status="resolved")
    merge(one, [other], by=BY, at=NOW + MINUTE)

    assert subject(Message.objects.get(kind="alert.resolved")) == "Taken care of: OSError: broken in Till"


def test_a_message_that_ends_an_alert_asks_for_no_step() -> None:
    home = project()
    for each in storm(home, 4):
        steps.resolve(each, by=BY, at=NOW + MINUTE)
    told(NOW + MINUTE)

    ended = Message.objects.filter(kind="alert.resolved")

    assert ended.count() == 4
    for message in ended:
        said = fill(shipped_words("alert.resolved"), message.context, zone="UTC")
        assert "cknowledge" not in said.text
        assert "cknowledge" not in said.html


def test_an_alert_that_ends_because_it_is_not_critical_any_more_says_what_it_is_now() -> None:
    found = arrive(project(name="Till"), digested("OSError", level="fatal"))
    steps.set_severity(found, Severity.LOW, by=BY, at=NOW + MINUTE)

    message = Message.objects.get(kind="alert.resolved")
    said = fill(shipped_words("alert.resolved"), {**message.context, "acknowledge_url": "https://x/act"}, zone="UTC")

    assert said.subject == "No longer critical: OSError: broken in Till"
    for text in (said.text, said.html):
        assert "No longer critical: ada made it low." in text
        assert "https://x/act" not in text
        assert "need not do anything" not in text


def test_an_alert_that_lives_on_in_another_issue_is_not_called_over() -> None:
    home = project(name="Till")
    one = arrive(home, digested("LookupError", "no refund", level="fatal"))
    other = arrive(home, digested("OSError", level="fatal"))
    merge(one, [other], by=BY, at=NOW + MINUTE)

    message = Message.objects.get(kind="alert.resolved")
    said = fill(shipped_words("alert.resolved"), message.context, zone="UTC")

    assert said.subject == "Merged: OSError: broken in Till"
    for text in (said.text, said.html):
        assert f"Part of issue {one.pk} now, which is still open: LookupError: no refund." in text
        assert "This is part of another issue now" in text
        assert "need not do anything" not in text
        assert "This is over" not in text


def test_an_alert_that_is_over_needs_nobody_and_offers_no_step() -> None:
    found = arrive(project(name="Till"), digested("OSError", level="fatal"))
    steps.resolve(found, by=BY, at=NOW + MINUTE)

    message = Message.objects.get(kind="alert.resolved")
    said = fill(shipped_words("alert.resolved"), {**message.context, "acknowledge_url": "https://x/act"}, zone="UTC")

    assert said.subject == "Resolved: OSError: broken in Till"
    assert "You need not do anything." in said.text
    assert "https://x/act" not in said.text


def subject(message: Message) -> str:
    return fill(shipped_words(message.kind), message.context, zone="UTC").subject


def test_a_project_that_becomes_restricted_takes_its_words_out_of_its_alerts() -> None:
    home = project()
    for number in range(5):
        arrive(home, digested("TheftError", f"stolen {number}", level="fatal"))
    before = Message.objects.count()

    change_project(home, {"restricted": True}, by=BY, at=NOW + MINUTE)

    assert not [row for row in Alert.objects.values_list("title", "detail") if "Theft" in str(row)]
    assert Alert.objects.filter(resolved_at=None).count() == 4
    assert Message.objects.count() == before


def test_a_critical_issue_after_the_hour_is_an_alert_of_its_own_however_steadily_they_come() -> None:
    home = project()
    for number in range(6):
        found = arrive(home, digested("Error", f"number {number}", level="fatal"), at=NOW + number * 50 * MINUTE)

    assert Alert.objects.filter(key=f"errors.issue:{found.pk}").exists()


@pytest.mark.django_db(transaction=True)
def test_an_issue_told_of_while_a_batch_of_it_is_settled_is_not_told_of_as_new_again() -> None:
    found = arrive(project())
    settled = threading.Event()
    go_on = threading.Event()

    def told_meanwhile(*args: object, **values: object) -> None:
        settled.set()
        go_on.wait(timeout=20)
        real(*args, **values)  # type: ignore[arg-type]

    real = bulletins._note

    def post() -> None:
        try:
            told(NOW)
        finally:
            connection.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bulletins, "_note", told_meanwhile)
        poster = threading.Thread(target=post)
        poster.start()
        assert settled.wait(timeout=20)
        grower = threading.Thread(target=lambda: _grow_apart(found))
        grower.start()
        grower.join(timeout=1)  # it waits for the message that is being posted, or has not looked yet
        go_on.set()
        poster.join(timeout=20)
        grower.join(timeout=20)

    row = Announcement.objects.get(key=f"issue:{found.pk}")
    assert (row.times_told, row.told_at, row.data) == (1, NOW, {"news": "worse"})
    assert row.next_at == NOW + 5 * MINUTE


def _grow_apart(found: Issue) -> None:
    try:
        grow(found, digested(at=NOW), at=NOW, accounts=2)
    finally:
        connection.close()


@pytest.mark.django_db(transaction=True)
def test_an_alert_of_many_does_not_end_while_a_batch_adds_to_it() -> None:
    home = project()
    for number in range(5):
        arrive(home, digested("Error", f"number {number}", level="fatal"))
    for row in Issue.objects.all():
        steps.acknowledge(row, by=BY, at=NOW)
    ender = threading.Thread(target=lambda: _tick_apart(NOW + MINUTE))

    with transaction.atomic():
        arrive(home, digested("Error", "one more", level="fatal"), at=NOW + MINUTE)
        ender.start()
        ender.join(timeout=2)
    ender.join(timeout=20)

    assert Alert.objects.filter(key=f"errors.critical:{home.pk}", resolved_at=None).exists()


def _tick_apart(at: datetime) -> None:
    try:
        tick(now=lambda: at)
    finally:
        connection.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("step", [steps.resolve, steps.acknowledge])
def test_what_is_being_posted_while_somebody_takes_care_of_it_is_taken_back_too(step: Step) -> None:
    policy.ensure_defaults()
    found = arrive(project())
    posted, go_on = threading.Event(), threading.Event()
    real = bulletins._note

    def told_meanwhile(*args: object, **values: object) -> None:
        posted.set()
        go_on.wait(timeout=20)
        real(*args, **values)  # type: ignore[arg-type]

    def cared_for() -> None:
        try:
            step(found, by=BY, at=NOW)
        finally:
            connection.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bulletins, "_note", told_meanwhile)
        poster = threading.Thread(target=lambda: _tick_apart(NOW))
        poster.start()
        assert posted.wait(timeout=20)
        carer = threading.Thread(target=cared_for)
        carer.start()
        carer.join(timeout=1)  # it waits for the message that is being posted
        go_on.set()
        poster.join(timeout=20)
        carer.join(timeout=20)

    assert Message.objects.get(kind="errors.issue").expired_because.endswith("by ada.")


def test_what_was_taken_care_of_before_anybody_heard_of_it_is_open_again_and_not_back_after_a_quiet_time() -> None:
    found = steps.acknowledge(arrive(project()), by=BY, at=NOW)
    told(NOW)
    found = steps.reopen(steps.resolve(found, by=BY, at=NOW), by=BY, at=NOW + MINUTE)
    grow(found, at=NOW + 2 * MINUTE)

    told(NOW + 2 * MINUTE)

    assert Message.objects.get(kind="errors.issue").context["what"] == "reopened"


def test_a_critical_issue_that_somebody_reopens_is_told_of_by_its_alert_alone() -> None:
    found = steps.resolve(arrive(project(), digested(level="fatal")), by=BY, at=NOW + MINUTE)
    found = steps.reopen(found, by=BY, at=NOW + 3 * HOUR)
    grow(found, at=NOW + 3 * HOUR + MINUTE)

    told(NOW + 3 * HOUR + MINUTE)

    assert kinds() == ["alert.raised", "alert.resolved", "alert.raised"]


def test_an_acknowledged_issue_that_becomes_critical_is_an_alert_of_its_own_also_in_a_storm() -> None:
    home = project()
    found = steps.acknowledge(arrive(home), by=BY, at=NOW)
    for number in range(5):
        arrive(home, digested("Error", f"number {number}", level="fatal"))

    grow(found, digested(level="fatal", at=NOW + MINUTE), at=NOW + MINUTE)

    assert Alert.objects.filter(key=f"errors.issue:{found.pk}", resolved_at=None).exists()
