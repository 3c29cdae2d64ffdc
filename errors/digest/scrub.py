"""Secrets and personal data taken out of texts. Pure.

Running every pattern over every text would cost more than all the rest of the digest, so `Scrubber.json` first looks
for a few letters that each pattern needs, over the whole event at once, and only reads the texts that hold them.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import chain

import orjson

from errors.digest.cards import mask_cards, places_of_cards

MASK = "[redacted]"
MASKED_NAME = "***"  # before the @ of an e-mail address

_WORDS = (
    r"pass(?:word|wd|phrase|code)|pwd|secret|token|credential|authorization|cookie"
    r"|(?:api|access|private|signing|encryption|auth|account|storage|shared|session)[_\-. ]?key"
)
_KEPT = r"(?!\[(?:redacted|Filtered)\](?!\w))"  # what is masked already
_QUOTED = r"[bBuUrRfF]{0,2}(?P<quote>\\*(?:\"\"\"|'''|[\"'`]))(?:(?!(?<!\\)(?P=quote)).)*"
# Up to a blank; a quote or bracket ends it only where the sentence around it goes on.
_BARE = r"(?:[^\s&\"'`,;)\]}<]|[\"'`](?![\s,;:)\]}<]|\Z)|[,;)\]}](?!\s|\Z|[\"'`]|[\w.\-]{1,40}\s?[=:]))+"
_LINE = r"[^\r\n]+?(?=[\"'](?:[\s,;:)\]}]|\Z)|[\r\n]|\Z)"
_SEPARATOR = (
    r"(?:%5[dD]|\])?(?:\\*[\"'`]\]?\s*,\s*(?=[bBuU]?\\*[\"'])|\\*[\"'`]?\]?\s*"
    r"(?:=>|!?={1,3}|:=|::?|%3[dD]|>(?=[^<>]{0,500}</)|\((?=\s*[bBuU]?\\*[\"']))\s*)"
)
_AFTER_SCHEME = r"(?:bearer|basic|token|digest|negotiate|apikey)\s+[^\s\"',;]+"
_FLAGS = re.IGNORECASE | re.ASCII | re.DOTALL  # ASCII: the letters looked for beforehand know no other capitals

_PASSWORD_IN_URL = re.compile(
    r"(?P<head>://[^\s:/@\"'<>]{0,200}:)(?!\d{1,5}(?:/|\\*[\"'>)\]}]*(?:\s|\Z|[,;][\s\"'\\])))"
    r"(?:[^\s/?#\"'<>]{0,500}(?=@)|[^\s@]{0,500}(?=@))"
    r"|(?P<user>://)[^\s:/@\"'<>]{16,}(?=@)",
    re.ASCII,
)
_HEADER = re.compile(
    r"(?P<head>\b(?:authorization|cookie2?)\\*[\"']?\]?\s*[:=]\s*)" + _KEPT + f"(?:{_QUOTED}|{_LINE})", _FLAGS
)
_BEARER = re.compile(r"(?P<head>\b(?i:bearer)\s+)(?!\[redacted\])[^\s\"',;<>]{4,}", re.ASCII)
_BASIC = re.compile(r"(?P<head>\b(?i:basic)\s+)(?=\S*[0-9A-Z=])[\w.~+/=\-]{6,}", re.ASCII)
_SHAPES = re.compile(
    r"(?<![\w\-])eyJ[\w\-]{6,}\.(?:[\w\-]+|(?=\.))(?:\.[\w\-]*)*"
    r"|-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)",
    re.ASCII | re.DOTALL,
)
# Tokens told by how their makers begin them, whatever stands before.
_TOKENS = re.compile(
    r"(?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{20,}|glpat-[\w\-]{16,}|xox[a-z]-[\w\-]{10,}"
    r"|AKIA[A-Z0-9]{16}(?![A-Za-z0-9])|[sr]k_(?:live|test|prod)_\w{10,}|sk-(?=[\w\-]{0,60}\d)[\w\-]{20,}"
    r"|AIza[\w\-]{30,}|npm_\w{30,}|hf_\w{30,}|shpat_\w{20,}|pypi-[\w\-]{30,}|SG\.[\w\-]{16,}\.[\w\-]{16,})"
    r"|(?<=hooks\.slack\.com/services/)[\w/]{10,}|(?<=/bot)\d{6,}:[\w\-]{20,}",
    re.ASCII,
)
_BEGINNINGS = ("_", "-", "AKIA", "AIza", "SG.", "/bot", "slack")
# Short names of secrets, which are ordinary words too: only where a quote or nothing parts them from : or =.
_SHORT = r"(?<![\w\-])(?:pass|pw|x?auth|pin|t?otp|sid|cvv|cvc|ssn)"
_NAMED = re.compile(
    rf"(?P<head>{_SHORT}\\*[\"']\]?\s*(?:=>|[:=])\s*|{_SHORT}=|signature=|(?<![\w\-])sig=|[?&]code=)"
    rf"{_KEPT}(?:{_QUOTED}|{_BARE})",
    _FLAGS,
)
# `password: correct horse`: what goes on behind the first word, up to a mark or to what is named anew.
_PROSE = re.compile(
    r"(?P<head>\bpass(?:word|phrase|code|wd)s?\s?:[ \t]+\[redacted\])"
    r"(?:[ \t]+(?![\w.\-]{1,40}\s?[=:])[^\s=:,;()\[\]{}\"'`<>&|]+){1,8}",
    _FLAGS,
)
_SAID = re.compile(
    r"(?P<head>\b(?:pass(?:word|phrase|code|wd)\s+(?:(?:is|was|to)\s+)?|identified\s+by\s+))"
    + _KEPT
    + r"(?:(?P<quote>')[^'\r\n]+(?=')|(?=\S*\d)[^\s,;'\"]+)",
    _FLAGS,
)
_INSERT, _VALUES = re.compile(r"\b(?:insert|replace)\s+into\b", _FLAGS), re.compile(r"\bvalues?\b", _FLAGS)
_LITERAL = re.compile(r"'(?:[^']|'')*'")
_BEGINS_KEY = "PRIVATE KEY-----"
_OF_KEY = re.compile(  # a text of nothing but a line of such a key; a hash of hexadecimal digits is none
    rb"\"(?:\\[nrt\"]|[\s'(+,])*(?=[0-9a-f]*[^0-9a-f\"])[A-Za-z0-9+/]{40,}={0,2}(?:\\[nrt\"]|\\\\[nr]|[\s'),+])*\""
)
_ADDRESS = re.compile(r"(?<![\w.+\-])(?<!://)[\w.+\-]+(?P<at>@|%40)(?P<domain>(?:[\w\-]+\.)+[^\W\d_]{2,})")

_WORD, _SCHEME, _URL, _EMAIL, _CARD, _NAME = 1, 2, 4, 8, 16, 32  # why a text is read
_BITS, _ALL = 6, 63
# What the patterns above need, with something after it. Each begins with a rare letter: looking for one letter is ten
# times as fast as looking for a choice of them.
_LETTERS = (
    # token, …key, cookie, PRIVATE KEY; AKIA…, sk_live_, sk-, hooks.slack.com
    (re.compile(rb'k(?:(?:e[ny]|ie)(?!")|ia(?<=akia)|_(?<=[sr]k_)(?:live|test|prod)_|-(?<=sk-)|s\.slack)'), _WORD),
    (re.compile(rb'w(?:d|ord)(?!")'), _WORD),  # pwd, passwd, password
    (re.compile(rb'z(?:ation(?!")|a(?<=aiza))'), _WORD),  # authorization; AIza…
    (re.compile(rb'cre(?:t(?!")|dential(?!")|ate (?:user|role))'), _WORD),  # secret, credential
    (re.compile(rb'pass(?:phrase|code)(?!")'), _WORD),
    (re.compile(rb"j(?<=eyj)"), _WORD),
    (re.compile(rb"b(?:earer|asic|ot\d)"), _SCHEME),  # …; api.telegram.org/bot123:…
    (re.compile(rb"_(?<=(?:gh[pousr]|npm|pat|\Whf)_)"), _WORD),  # ghp_…, github_pat_…, shpat_…
    (re.compile(rb"-(?<=(?:glpat|\Wpypi|.xox[a-z])-)"), _WORD),
    (
        re.compile(
            rb"=(?<=[shwnpdvcge]=)(?:(?<=(?:pass|auth)=)|(?<=pw=)|(?<=(?:pin|otp|sid|cvv|cvc|ssn|sig)=)"
            rb"|(?<=nature=)|(?<=[?&]code=))"
        ),
        _NAME,
    ),
    (re.compile(rb"\\(?<=[shwnpdvc]\\)(?:(?<=(?:pass|auth)\\)|(?<=pw\\)|(?<=(?:pin|otp|sid|cvv|cvc|ssn)\\))"), _NAME),
    (re.compile(rb"'(?<=[shwnpdvc]')(?:(?<=(?:pass|auth)')|(?<=pw')|(?<=(?:pin|otp|sid|cvv|cvc|ssn)'))"), _NAME),
)
_SENDGRID = re.compile(rb"G\.(?<=SG\.)")
_BARE_NAME = re.compile(rb'"[a-z_]{0,40}"')
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')


class Scrubber:
    """Takes secrets out of texts by the rules of one project."""

    def __init__(self, fields: frozenset[str], *, personal: bool) -> None:
        own = [parts for field in sorted(fields) if (parts := _parts(field))]
        words = "|".join([_WORDS, *(r"[_\-. ]?".join(map(re.escape, parts)) for parts in own)])
        head = rf"(?P<head>(?:{words})[\w\-]{{0,40}}"
        self._assigned = re.compile(
            rf"{head}{_SEPARATOR}){_KEPT}(?:{_QUOTED}|{_AFTER_SCHEME}|[\[{{(][^\])}}]*|{_BARE})"
            rf"|(?P<option>(?<![\w\-])--?[\w\-]{{0,40}}?(?:{words})[\w\-]{{0,40}}\s+(?=[^\s\-])){_KEPT}{_BARE}",
            _FLAGS,
        )
        # In source a value without quotes is an expression, unless it has a digit and is neither called nor looked up.
        annotation = r"(?:\s*:\s*[A-Za-z_][\w.\[\], |]{0,80}?\s*(?==[^=]))?"
        self._in_source = re.compile(
            rf"{head}{annotation}{_SEPARATOR}){_KEPT}"
            rf"(?:[\[{{(]*\s*{_QUOTED}|{_AFTER_SCHEME}|(?![A-Za-z_][\w.]*[(\[])(?=[^\s,;)\]}}]*\d){_BARE})",
            _FLAGS,
        )
        self._word = re.compile(words, _FLAGS)
        around, new_line = r"[^\"\r\n]{0,40}", r"(?:\r?\n|\\r\\n|\\n)"
        named = rf"\bname=\\*\"{around}(?:{words}){around}\""
        self._in_form = re.compile(rf"(?P<head>{named}{new_line}{new_line})[^\r\n\\]+", _FLAGS)
        self._stems = [max(parts, key=len).lower().encode() for parts in own]
        self._personal = personal

    def text(self, text: str, *, why: int = _ALL) -> str:
        """The text without what is, or looks like, a secret."""
        return self._scrub(text, self._assigned, why)

    def release(self, text: str) -> str:
        """The name of a release without secrets; `shop@main.two` is no e-mail address here."""
        return self._scrub(text, self._assigned, _ALL & ~_EMAIL)

    def source(self, line: str, *, why: int = _ALL) -> str:
        """A line of source: literals go, expressions that only name a secret stay."""
        return self._scrub(line, self._in_source, why)

    def _scrub(self, text: str, assigned: re.Pattern[str], why: int) -> str:
        if why & _URL and "@" in text and "://" in text:
            text = _PASSWORD_IN_URL.sub(_without_password, text)
        if why & _WORD:
            if assigned is self._assigned:
                text = self._written(text)
            text = assigned.sub(_without_value, text)
            if ": [redacted] " in text:
                text = _PROSE.sub(r"\g<head>", text)
            if "eyJ" in text or "-----BEGIN" in text:
                text = _SHAPES.sub(MASK, text)
        if why & (_WORD | _SCHEME) and any(map(text.__contains__, _BEGINNINGS)):
            text = _TOKENS.sub(MASK, text)
        if why & _NAME and assigned is self._assigned:
            text = _NAMED.sub(_without_value, text)
        if why & _SCHEME:
            text = _BASIC.sub(_without_rest, _BEARER.sub(_without_rest, text))
        if why & _CARD:
            text = mask_cards(text, MASK)
        if why & _EMAIL and self._personal:
            text = _ADDRESS.sub(_without_name, text)
        return text

    def _written(self, text: str) -> str:
        """The text without what headers, sentences, forms and statements of SQL say is a secret."""
        text, low = _HEADER.sub(_without_value, text), text.lower()
        if "pass" in low or "identified" in low:
            text = _SAID.sub(_without_said, text)
        if "name=" in low:
            text = self._in_form.sub(_without_rest, text)
        insert = _INSERT.search(text) if "into" in low else None
        columns_end = _VALUES.search(text, insert.end()) if insert else None
        if insert and columns_end and self._word.search(text, insert.end(), columns_end.start()):
            text = text[: columns_end.end()] + _LITERAL.sub(f"'{MASK}'", text[columns_end.end() :])
        return text

    def json(self, dump: bytes, source: Iterable[Iterable[str]] = ()) -> bytes:
        """The JSON with all its texts scrubbed; the very same object when there was nothing to scrub.

        `dump` is what orjson wrote: no letter of it is escaped. `source` holds the texts that are lines of source.
        """
        places = self._places(dump)
        if not places:
            return dump
        lines = frozenset(chain.from_iterable(source))
        pieces, done, known = [], 0, dict[tuple[bytes, int], bytes]()
        for start, end, why in _texts(dump, places):
            literal = dump[start:end]
            new = known.get((literal, why))
            if new is None:
                new = known[literal, why] = self._literal(literal, why, lines)
            if new is not literal:
                pieces += [dump[done:start], new]
                done = end
        if not pieces:
            return dump
        scrubbed = b"".join([*pieces, dump[done:]])
        return _OF_KEY.sub(b'"%s"' % MASK.encode(), scrubbed) if _BEGINS_KEY.encode() in dump else scrubbed

    def may_change(self, texts: Iterable[str]) -> bool:
        """Whether one of the texts may hold a secret; False is certain."""
        return bool(self._places(orjson.dumps("\n".join(texts))))

    def _literal(self, literal: bytes, why: int, lines: frozenset[str]) -> bytes:
        if _BARE_NAME.fullmatch(literal):
            return literal
        old: str = orjson.loads(literal)
        new = self._scrub(old, self._in_source if old in lines else self._assigned, why)
        return literal if new == old else orjson.dumps(new)

    def _places(self, dump: bytes) -> list[int]:
        """Where something stands that a pattern needs, and why it counts: more than there are secrets, never fewer."""
        low = dump.lower()
        places = [(found.start() << _BITS) + why for letters, why in _LETTERS for found in letters.finditer(low)]
        for stem in self._stems:
            if stem in low:
                places += [(place << _BITS) + _WORD for place in _all(low, stem)]
        if b"@" in low:
            places += [(place << _BITS) + (_URL | _EMAIL) for place in _all(low, b"@")]
        if b"%" in low:
            places += [(place << _BITS) + _EMAIL for place in _all(low, b"%40")]
        places += [(place << _BITS) + _CARD for place in _within_texts(dump, places_of_cards(dump))]
        if b"G" in dump:
            places += [(found.start() << _BITS) + _WORD for found in _SENDGRID.finditer(dump)]
        places.sort()
        return places


_made: dict[tuple[frozenset[str], bool], Scrubber] = {}


def scrubber_of(fields: frozenset[str], *, personal: bool) -> Scrubber:
    """The scrubber for a project's own fields, the same object for the same fields: it is costly to make."""
    key = (fields, personal)
    found = _made.get(key)
    if found is None:
        if len(_made) >= 500:
            _made.clear()
        found = _made[key] = Scrubber(fields, personal=personal)
    return found


def _without_password(found: re.Match[str]) -> str:
    return (found["head"] or found["user"]) + MASK


def _without_rest(found: re.Match[str]) -> str:
    return f"{found['head']}{MASK}"


def _without_said(found: re.Match[str]) -> str:
    return f"{found['head']}{found['quote'] or ''}{MASK}"


def _without_name(found: re.Match[str]) -> str:
    return f"{MASKED_NAME}{found['at']}{found['domain']}"


def _without_value(found: re.Match[str]) -> str:
    return f"{found['head'] or found['option']}{found['quote'] or ''}{MASK}"


def _parts(field: str) -> list[str]:
    """The words of a field's name: `cardHolder` and `card_holder` have the same two."""
    return re.findall(r"[A-Z]?[^\W_A-Z]+|[A-Z]+", field)


def _all(text: bytes, part: bytes) -> Iterator[int]:
    place = text.find(part)
    while place >= 0:
        yield place
        place = text.find(part, place + 1)


def _within_texts(dump: bytes, places: list[int]) -> Iterator[int]:
    """Those of the places that lie within texts, not within numbers of JSON."""
    if places:
        for found in _STRING.finditer(dump):
            start, end = found.span()
            yield from (place for place in places if start < place < end)


def _texts(dump: bytes, places: list[int]) -> Iterator[tuple[int, int, int]]:
    """The string literals that hold these places, each once: where it begins, where it ends, why it counts."""
    start, end, why = 0, 0, 0
    for place in places:
        if place >> _BITS < end:
            why |= place & _ALL
            continue
        if end:
            yield start, end, why
        start, why = _opening_quote(dump, place >> _BITS), place & _ALL
        found = _STRING.match(dump, start)
        assert found is not None  # letters stand only within texts
        end = found.end()
    if end:
        yield start, end, why


def _opening_quote(dump: bytes, place: int) -> int:
    """The nearest quote before without a backslash: it opens the text, because the place is within one."""
    quote = dump.rfind(b'"', 0, place)
    while dump[quote - 1 : quote] == b"\\":
        quote = dump.rfind(b'"', 0, quote)
    return quote
