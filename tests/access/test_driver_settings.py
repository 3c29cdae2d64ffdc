"""Secrets in settings: shown by name without any key, opened only where they are used."""

import pytest
from pytest_django import Settings

from sysops.access import driver_settings as secrets
from sysops.access.driver_settings import MASK, BadSettings
from sysops.access.secrets import CannotOpen, seal

SCHEMA = {"properties": {"host": {"type": "string"}, "password": {"type": "string", "writeOnly": True}}}


def sealed() -> str:
    return secrets.split({"host": "db", "password": "hunter2hunter2"}, SCHEMA)[1]


def test_what_is_stored_names_the_secrets_and_does_not_hold_them() -> None:
    assert "password" in sealed()
    assert "hunter2" not in sealed()
    assert secrets.unsealed(sealed()) == {"password": "hunter2hunter2"}
    assert secrets.split({"host": "db"}, SCHEMA) == ({"host": "db"}, "")


def test_a_secret_is_shown_as_set_also_when_the_key_is_lost(settings: Settings) -> None:
    stored = sealed()
    settings.SECRET_KEY = "quite another key, " * 4

    assert secrets.masked({"host": "db"}, stored) == {"host": "db", "password": MASK}
    with pytest.raises(CannotOpen):
        secrets.unsealed(stored)
    assert "SYSOPS_PREVIOUS_SECRET_KEYS" in secrets.problem(stored)


@pytest.mark.parametrize("damaged", ["nonsense", "[1]", '{"names": 3}', '{"names": ["password"], "sealed": "x"}'])
def test_a_damaged_text_is_an_error_where_it_is_opened_and_nowhere_else(damaged: str) -> None:
    assert secrets.masked({"host": "db"}, damaged)["host"] == "db"
    assert secrets.problem(damaged)
    with pytest.raises(CannotOpen):
        secrets.unsealed(damaged)


def test_a_mask_stands_for_the_secret_that_is_stored() -> None:
    assert secrets.unmasked({"host": "db2", "password": MASK}, sealed()) == {
        "host": "db2",
        "password": "hunter2hunter2",
    }


def test_a_secret_that_cannot_be_opened_can_be_entered_again_but_not_kept(settings: Settings) -> None:
    stored = sealed()
    settings.SECRET_KEY = "quite another key, " * 4

    assert secrets.unmasked({"password": "new"}, stored) == {"password": "new"}
    with pytest.raises(BadSettings) as caught:
        secrets.unmasked({"host": "db", "password": MASK}, stored)
    assert set(caught.value.errors) == {"settings.password"}


def test_secrets_are_told_apart_by_what_they_say_and_unreadable_ones_count_as_changed(settings: Settings) -> None:
    stored, again = sealed(), sealed()
    assert stored != again
    assert not secrets.changed(stored, again)
    assert secrets.changed(stored, "")
    settings.SECRET_KEY = "quite another key, " * 4
    assert secrets.changed(stored, seal("{}"))
