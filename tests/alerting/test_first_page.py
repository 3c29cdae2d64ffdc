"""What the first page says of alerts."""

import pytest

from notifications.rules import Level
from sysops.dashboard import people
from tests.alerting.support import fire

pytestmark = pytest.mark.django_db


def test_an_alert_is_on_the_first_page_however_many_are_told_of_elsewhere_on_it() -> None:
    for number in range(people.MOST + 1):
        fire(key=f"backups.source:{number}", level=Level.CRITICAL)
    fire(key="checks.shop", title="The shop is slow")

    assert [wrong.title for wrong in people.alerts()] == ["The shop is slow"]
