"""Sealed text: only a known key opens it, and a rotated key still does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sysops.kernel.masking import is_secret_name, masked, secret_names
from sysops.kernel.secretbox import CannotOpen, open_sealed, seal

OLD, NEW = "the old key of this installation", "the new key of this installation"


@given(text=st.text())
def test_what_was_sealed_opens(text: str) -> None:
    assert open_sealed(seal(text, keys=[NEW]), keys=[NEW]) == text


def test_sealing_twice_gives_two_texts_and_neither_shows_the_secret() -> None:
    one, two = seal("hunter2", keys=[NEW]), seal("hunter2", keys=[NEW])

    assert one != two
    assert "hunter2" not in one


def test_after_a_change_of_key_the_old_one_still_opens() -> None:
    sealed = seal("hunter2", keys=[OLD])

    assert open_sealed(sealed, keys=[NEW, OLD]) == "hunter2"


def test_the_first_key_is_the_one_that_seals() -> None:
    sealed = seal("hunter2", keys=[NEW, OLD])

    assert open_sealed(sealed, keys=[NEW]) == "hunter2"


@pytest.mark.parametrize(
    "sealed",
    [seal("x", keys=[OLD]), "", "nonsense", "é", seal("x", keys=[NEW])[:-4]],
    ids=["another key", "empty", "nonsense", "not ASCII", "cut short"],
)
def test_without_the_key_it_says_what_to_do_and_nothing_of_the_text(sealed: str) -> None:
    with pytest.raises(CannotOpen, match="SYSOPS_PREVIOUS_SECRET_KEYS") as refused:
        open_sealed(sealed, keys=[NEW])

    assert not sealed or sealed not in str(refused.value)


@pytest.mark.parametrize("name", ["password", "db_password", "API-Key", "token", "secret", "x.private_key", "dsn"])
def test_a_name_that_means_a_secret_is_known(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["name", "token_id", "passwords_left", "secretary", "keys", "author", "path"])
def test_a_harmless_name_is_left_alone(name: str) -> None:
    assert not is_secret_name(name)


def test_masking_changes_secrets_only() -> None:
    value = {"a": [1, {"token": "t", "b": "plain"}], "secret": None, "note": "password=x"}

    assert masked(value) == {
        "a": [1, {"token": "[redacted]", "b": "plain"}],
        "secret": None,
        "note": "password=[redacted]",
    }
    assert secret_names(value) == ["secret", "token"]
