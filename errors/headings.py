"""What an issue is called, read again from one of its stored events. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from errors.digest import bounds
from errors.digest.making import culprit_of, cut, headline


@dataclass(frozen=True)
class Heading:
    """The titles of an issue, cut to their columns."""

    error_type: str
    error_message: str
    culprit: str
    platform: str


def heading(payload: Mapping[str, object]) -> Heading:
    """What the digest made of this event when it was reported."""
    error_type, error_message, frames = headline(payload)
    own = [frame for frame in frames if frame.get("in_app") is True]
    return Heading(
        error_type=cut(error_type, bounds.ERROR_TYPE),
        error_message=cut(error_message, bounds.ERROR_MESSAGE),
        culprit=cut(culprit_of(payload, own or frames), bounds.CULPRIT),
        platform=cut(str(payload.get("platform") or ""), bounds.PLATFORM),
    )
