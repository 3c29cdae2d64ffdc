"""What is taken out of text before anybody reads it, and what is left because it is meant to be read."""

import pytest

from notifications.channels.email import NOT_CONFIGURED
from sysops.kernel.redaction import redact


def test_the_example_of_a_hint_is_shown_as_it_is_to_be_typed() -> None:
    assert "smtp://user:password@host:587" in redact(NOT_CONFIGURED)


@pytest.mark.parametrize(
    "text",
    [
        "smtp://user:hunter2@host:587",
        "smtp://user:password@host.example.org:587",
        "smtp://user:password@hostname:587",
        "smtp://ada:password@host:587",
        "smtp://user:password1@host:587",
    ],
)
def test_whatever_is_not_the_example_itself_is_masked(text: str) -> None:
    name, rest = text.removeprefix("smtp://").split(":", 1)

    assert redact(text) == f"smtp://{name}:[redacted]@{rest.split('@')[1]}"
