"""What every channel driver must do. A driver's tests inherit ChannelContract and give it a `bench`."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol

import jsonschema
import pytest

from catalogue.rules import Channel
from notifications.channels.base import Driver, Letter, Receipt, SendError

AT = datetime(2027, 1, 15, 2, tzinfo=UTC)
LETTER = Letter(
    id="0b7d2a55-36bb-4d14-9a8e-7a7a3f2f9a11",
    to="",
    name="Ada",
    level="warning",
    subject="Maintenance of Shop begins at 02:00",
    text="Maintenance of Shop begins at 02:00 UTC.\nIt takes two hours.",
    html="<p>Maintenance of Shop begins at 02:00 UTC.</p>",
    kind="maintenance.ahead",
    posted_at=AT,
    thread="window:12",
    data={"window_id": 12, "services": ["Shop"]},
)


ODD_TEXTS = [
    "",
    "x" * 10_000,
    "Füße 🚧 \u202e\u0000",
    "<script>alert(1)</script> & co",
    "a\r\nBcc: eve@evil.example\r\n\r\nb",
]


class Mood(StrEnum):
    """How the other side behaves."""

    ACCEPTS = "accepts"
    NEVER = "never takes this letter"
    NOT_NOW = "does not take it now"
    SILENT = "does not answer"


class Bench(Protocol):
    """A driver on the bench, with a real server on loopback at the other end."""

    driver: Driver
    away: Mapping[str, object]  # settings with which nobody is there
    to: str
    secrets: Sequence[str]  # what must not be in any error
    patience: float  # seconds after which it has given up on a silent server, at the latest

    @property
    def settings(self) -> Mapping[str, object]: ...

    def behave(self, mood: Mood) -> None: ...

    def received(self) -> list[str]:
        """Everything that arrived and was accepted, letter by letter, decoded to text."""
        ...

    def ids(self) -> list[str] | None:
        """The ids that the letters bore; None where the other side has no place for one."""
        ...


def deliver(bench: Bench, letter: Letter = LETTER, settings: Mapping[str, object] | None = None) -> Receipt:
    """One letter through the driver, in a batch of its own."""
    with bench.driver.open(settings or bench.settings) as sender:
        return sender.send(replace(letter, to=bench.to))


def failure(bench: Bench, letter: Letter = LETTER, settings: Mapping[str, object] | None = None) -> SendError:
    with pytest.raises(SendError) as caught:
        deliver(bench, letter, settings)
    return caught.value


class ChannelContract:
    """Inherit it, and give a fixture `bench`."""

    def test_it_says_what_it_is(self, bench: Bench) -> None:
        assert bench.driver.label
        assert bench.driver.reaches in {"", *Channel}
        schema = dict(bench.driver.settings_schema)
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["type"] == "object"
        assert schema["additionalProperties"] is False

    def test_the_tests_own_settings_fit_its_schema(self, bench: Bench) -> None:
        jsonschema.validate(dict(bench.settings), dict(bench.driver.settings_schema))
        jsonschema.validate(dict(bench.away), dict(bench.driver.settings_schema))

    def test_settings_with_a_secret_in_them_are_declared_secret(self, bench: Bench) -> None:
        properties = bench.driver.settings_schema["properties"]
        assert isinstance(properties, Mapping)
        for name, value in bench.settings.items():
            if any(secret in str(value) for secret in bench.secrets):
                assert properties[name]["writeOnly"] is True, name

    def test_a_letter_arrives(self, bench: Bench) -> None:
        deliver(bench)

        (arrived,) = bench.received()
        assert LETTER.subject in arrived
        assert "It takes two hours." in arrived

    def test_one_way_out_takes_many_letters(self, bench: Bench) -> None:
        with bench.driver.open(bench.settings) as sender:
            for number in range(5):
                sender.send(replace(LETTER, id=f"letter-{number}", to=bench.to, subject=f"Number {number}"))

        assert [f"Number {number}" in each for number, each in enumerate(bench.received())] == [True] * 5

    def test_a_second_try_bears_the_same_id(self, bench: Bench) -> None:
        deliver(bench)
        deliver(bench)
        deliver(bench, replace(LETTER, id="another"))

        ids = bench.ids()
        if ids is not None:
            assert ids[0] == ids[1] != ids[2]
            assert LETTER.id in ids[0]

    def test_what_will_never_be_accepted_is_permanent(self, bench: Bench) -> None:
        bench.behave(Mood.NEVER)
        assert failure(bench).permanent

    def test_what_may_be_accepted_later_is_not(self, bench: Bench) -> None:
        bench.behave(Mood.NOT_NOW)
        assert not failure(bench).permanent
        bench.behave(Mood.ACCEPTS)
        deliver(bench)

    def test_after_a_letter_nobody_takes_the_next_one_goes_through(self, bench: Bench) -> None:
        with bench.driver.open(bench.settings) as sender:
            bench.behave(Mood.NEVER)
            with pytest.raises(SendError):
                sender.send(replace(LETTER, to=bench.to))
            bench.behave(Mood.ACCEPTS)
            sender.send(replace(LETTER, to=bench.to, subject="The next one"))

        assert "The next one" in bench.received()[-1]

    def test_nobody_there_concerns_the_whole_channel_and_is_not_permanent(self, bench: Bench) -> None:
        error = failure(bench, settings=bench.away)
        assert error.whole_channel
        assert not error.permanent

    def test_a_silent_server_costs_a_bounded_time(self, bench: Bench) -> None:
        bench.behave(Mood.SILENT)
        started = time.monotonic()
        assert not failure(bench).permanent
        assert time.monotonic() - started < bench.patience

    def test_no_error_holds_a_secret_and_every_error_says_something(self, bench: Bench) -> None:
        errors = [failure(bench, settings=bench.away)]
        for mood in (Mood.NEVER, Mood.NOT_NOW, Mood.SILENT):
            bench.behave(mood)
            errors.append(failure(bench))

        for error in errors:
            assert len(str(error)) > 10
            assert not [secret for secret in bench.secrets if secret in f"{error} {error!r} {error.__cause__!r}"]

    @pytest.mark.parametrize("text", ODD_TEXTS)
    def test_odd_texts_arrive_or_are_refused_for_good(self, bench: Bench, text: str) -> None:
        refused: SendError | None = None
        try:
            deliver(bench, replace(LETTER, text=text))
        except SendError as error:
            refused = error

        assert refused.permanent if refused else LETTER.subject in bench.received()[-1]
