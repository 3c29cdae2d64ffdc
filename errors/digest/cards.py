"""Numbers of payment cards, told from other numbers by their beginning, length and check digit. Pure."""

import re
from collections.abc import Iterator

_DIGITS = bytes(48 if 48 <= byte <= 57 else byte for byte in range(256))
_THIRTEEN = b"0" * 13
_RUN = re.compile(r"\d(?:[ \-]?\d){12,}", re.ASCII)
_GROUP = re.compile(r"\d+", re.ASCII)
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
_LONG = (16, 17, 18, 19)
_GROUPS = 6  # that a number is written in at most; a flood of single digits would else take seconds


def places_of_cards(text: bytes) -> list[int]:
    """Where numbers of cards begin in a long text that seldom holds one; reading it digit by digit would be slow."""
    together = text.translate(_DIGITS, b" -")
    if _THIRTEEN not in together:
        return []
    as_written, plain = text.translate(_DIGITS), text.decode("latin-1")
    if as_written.count(_THIRTEEN) < together.count(_THIRTEEN):  # some are written in groups
        return [start for start, _ in find_cards(plain)]
    found, place = [], as_written.find(_THIRTEEN)
    while place >= 0:
        while place and plain[place - 1] in "0123456789 -":
            place -= 1
        run = _RUN.search(plain, place)
        assert run is not None
        found += [start for start, _ in _cards_in(plain, run)]
        place = as_written.find(_THIRTEEN, run.end())
    return found


def is_card(digits: str) -> bool:
    """Whether these digits are the number of a card."""
    size = len(digits)
    if not 13 <= size <= 19 or digits[0] not in "23456":
        return False
    head = int(digits[:4])
    if digits[0] == "4":
        fits = size in (13, 16, 19)
    elif head // 100 in (34, 37):
        fits = size == 15
    elif head // 100 in (30, 36, 38, 39):
        fits = size in (14, 16)
    elif digits[0] == "5":
        fits = size == 16 or (size in _LONG and head // 100 in (50, 56, 57, 58))
    else:
        fits = size in _LONG and (head // 100 == 35 or digits[0] == "6" or 2221 <= head <= 2720)
    return fits and _checks(digits)


def mask_cards(text: str, mask: str) -> str:
    """The text with the numbers of cards masked."""
    pieces, done = [], 0
    for start, end in find_cards(text):
        pieces += [text[done:start], mask]
        done = end
    return "".join([*pieces, text[done:]]) if pieces else text


def find_cards(text: str) -> Iterator[tuple[int, int]]:
    """Where numbers of cards begin and end, also beside other digits: `2 4111 1111 1111 1111 12/28`."""
    for run in _RUN.finditer(text):
        yield from _cards_in(text, run)


def _cards_in(text: str, run: re.Match[str]) -> Iterator[tuple[int, int]]:
    groups = [found.span() for found in _GROUP.finditer(text, run.start(), run.end())]
    if _is_fraction(text, run.start()):
        del groups[0]  # 0.30000000000000004 is no card
    index = 0
    while index < len(groups):
        last = _card_at(text, groups, index)
        if last is None:
            index += 1
            continue
        yield groups[index][0], groups[last][1]
        index = last + 1


def _card_at(text: str, groups: list[tuple[int, int]], first: int) -> int | None:
    """The last of the groups that make up a card beginning with the first, if they do."""
    digits, end = "", min(first + _GROUPS, len(groups))
    if groups[end - 1][1] - groups[first][0] < 13:
        return None
    for index in range(first, end):
        begun, ended = groups[index]
        if len(digits) + ended - begun > 19:
            return None
        digits += text[begun:ended]
        if is_card(digits):
            return index
    return None


def _is_fraction(text: str, start: int) -> bool:
    return start >= 2 and text[start - 1] == "." and text[start - 2].isdigit()


def _checks(digits: str) -> bool:
    """Luhn's check digit."""
    values = [ord(digit) - 48 for digit in reversed(digits)]
    return (sum(values[::2]) + sum(_DOUBLED[value] for value in values[1::2])) % 10 == 0
