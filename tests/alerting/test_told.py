"""From an alert to what its owners read."""

import pytest

from alerting.rules import Ending
from catalogue.models import Person, Team
from catalogue.services import create
from notifications.models import Delivery, Message
from notifications.rules import Level
from notifications.services.channels import ensure_defaults
from notifications.services.fan_out import fan_out
from notifications.services.rendering import Recipient, render
from tests.alerting.support import BY, MINUTE, NOW, back_to, fire, maintenance, make_service, release, resolve

pytestmark = pytest.mark.django_db


@pytest.fixture
def owners(monkeypatch: pytest.MonkeyPatch) -> Team:
    """A team of one, who has an e-mail address; nobody wakes a queue."""
    from notifications.services import fan_out as spreading

    monkeypatch.setattr(spreading, "wake", lambda *_, **__: True)
    ensure_defaults(by=BY, at=NOW)
    contacts = [("email", "ada@example.org")]
    ada = create(Person, {"slug": "ada", "name": "Ada", "contacts": contacts}, by=BY, at=NOW)
    return create(Team, {"slug": "shop", "name": "Shop team", "members": [ada]}, by=BY, at=NOW)


def read() -> list[tuple[str, str, str]]:
    """Address, subject and text of everything that is on its way, in order."""
    fan_out(now=lambda: NOW + 10 * MINUTE)
    rows = Delivery.objects.select_related("message").order_by("message_id", "pk")
    filled = [(row.address, render(row.message, Recipient(row.address, row.name, row.zone)).filled) for row in rows]
    return [(address, words.subject, words.text) for address, words in filled]


def test_the_owners_read_that_it_began_and_that_it_is_over(owners: Team) -> None:
    service = make_service("shop-db", owner=owners)
    fire(service, level=Level.CRITICAL, title="Backups fail\r\nBcc: everybody@example.org", detail="No space left.")
    read()
    resolve()

    (to, began, why), (also_to, over, how) = read()

    assert (to, also_to) == ("ada@example.org", "ada@example.org")
    assert began == "Critical, Shop-db: Backups fail Bcc: everybody@example.org"
    assert "No space left." in why
    assert over.startswith("Resolved, Shop-db: ")
    assert "A backup succeeded." in how


@pytest.mark.parametrize(
    ("ending", "subject", "says", "dropped"),
    [
        (Ending.OVER, "Resolved", "This is over", "It is over."),
        (Ending.TAKEN_CARE_OF, "Taken care of", "Somebody has taken care of this", "Somebody has taken care of it."),
        (Ending.PART_OF_ANOTHER, "Merged", "This is part of another issue now", "It is part of another one now."),
        (Ending.NO_LONGER_CRITICAL, "No longer critical", "This is no longer critical", "It is no longer critical."),
    ],
)
def test_the_words_of_its_end_are_chosen_by_what_kind_of_end_it_is_and_never_by_its_reason(
    owners: Team, ending: Ending, subject: str, says: str, dropped: str
) -> None:
    fire(make_service("shop-db", owner=owners))
    read()
    resolve(ending=ending, detail="The note says: No longer critical. Part of issue 7 now.")

    (_, over, how) = read()[1]

    assert over == f"{subject}, Shop-db: Backups of shop-db fail"
    assert how.startswith(f"{says} (")
    goes_on = ending in (Ending.PART_OF_ANOTHER, Ending.NO_LONGER_CRITICAL)
    assert ("The alert has ended" in how, "You need not do anything." in how) == (goes_on, not goes_on)
    assert Message.objects.latest("pk").context["ending"] == ending
    assert Delivery.objects.earliest("pk").error == dropped


def test_that_it_is_over_is_not_read_after_it_is_wrong_again(owners: Team) -> None:
    service = make_service("shop-db", owner=owners)
    fire(service)
    resolve()
    read()
    fire(service, at=NOW + 20 * MINUTE)

    read()

    rows = Delivery.objects.order_by("message_id").values_list("message__kind", "state", "error")
    assert list(rows) == [("alert.resolved", "dropped", "It is wrong again."), ("alert.raised", "pending", "")]


def test_that_it_is_over_is_still_read_when_it_is_wrong_again_in_a_maintenance_of_which_nobody_is_told(
    owners: Team,
) -> None:
    service = make_service("shop-db", owner=owners)
    fire(service)
    resolve()
    maintenance(service)
    fire(service, at=NOW + 20 * MINUTE)
    resolve(at=NOW + 25 * MINUTE)

    read()

    rows = Delivery.objects.order_by("message_id").values_list("message__kind", "state")
    assert list(rows) == [("alert.resolved", "pending")]


def test_who_was_not_reached_while_it_was_wrong_reads_only_that_it_is_over(owners: Team) -> None:
    service = make_service("shop-db", owner=owners)
    fire(service)
    read()
    resolve()

    read()

    raised, resolved = Delivery.objects.order_by("message_id")
    assert (raised.state, raised.error) == ("dropped", "It is over.")
    assert (resolved.state, resolved.message.kind) == ("pending", "alert.resolved")


def test_a_warning_that_waits_is_not_read_after_it_became_critical(owners: Team) -> None:
    service = make_service("shop-db", owner=owners)
    fire(service)
    read()
    fire(service, level=Level.CRITICAL)

    read()

    rows = Delivery.objects.order_by("message_id").values_list("message__level", "state")
    assert list(rows) == [("warning", "dropped"), ("critical", "pending")]


def test_the_owners_are_told_although_the_service_was_deleted_before_the_fan_out(owners: Team) -> None:
    service = make_service("shop-db", owner=owners)
    fire(service)
    service.delete()

    assert [address for address, _, _ in read()] == ["ada@example.org"]


def test_what_outlived_the_maintenance_says_that_it_began_in_it(owners: Team) -> None:
    service = make_service("shop-db", owner=owners)
    maintenance(service)
    fire(service)
    assert not Message.objects.exists()
    back_to(service)
    release()

    ((_, _, text),) = read()

    assert "It began during Window 12: new disks, was held back and has not ended with it." in text
