"""The words of messages: shipped as files in words/, filled in for one recipient. Knows no rows."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from django.template import Context, Engine, Template
from django.utils import timezone
from django.utils.safestring import mark_safe

WORDS = Path(__file__).parent / "words"
GENERIC = "_generic"  # for a kind that has no words of its own
LONGEST_SUBJECT = 200
# Beyond what any reader takes, and far below what mail servers refuse.
LONGEST_BODY = 200_000
# C0, DEL, C1, line and paragraph separators, and what turns the direction of text round.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]+")


@dataclass(frozen=True)
class Words:
    """Templates of one kind of message; `text` and `html` are what stands between greeting and footer."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True)
class Filled:
    """What one recipient reads. `subject` is one line of at most 200 characters."""

    subject: str
    text: str
    html: str


class BadWords(Exception):
    """The templates cannot be filled in; `field` is the one at fault."""

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message)
        self.field = field


class _SmallEngine(Engine):
    """No files but the parts we ship, and no tags or filters but ours."""

    default_builtins = ["notifications.template_tags"]


def kinds() -> list[str]:
    """Every kind of message that words are shipped for."""
    return sorted(path.stem for path in WORDS.glob("*.subject") if not path.name.startswith("_"))


@cache
def shipped(kind: str) -> Words:
    """The words Sysops comes with; for a kind of somebody else's, its context as a list."""
    name = kind if kind in kinds() else GENERIC
    return Words(*((WORDS / f"{name}.{part}").read_text().strip("\n") for part in ("subject", "txt", "html")))


def fill(words: Words, context: Mapping[str, object], *, zone: str) -> Filled:
    """The words with the context filled in, times in `zone`, in the frame of every message. Raises BadWords."""
    with timezone.override(zone):
        subject = one_line(_filled(words.subject, context, field="subject", html=False))
        if not subject:
            raise BadWords("The subject is empty", field="subject")
        text = _tidy(_filled(words.text, context, field="text", html=False)[:LONGEST_BODY])
        html = _filled(words.html, context, field="html", html=True)[:LONGEST_BODY]
        framed = {**context, "subject": subject}
        # What stands in `html` was escaped when it was filled in.
        whole = {**framed, "body": mark_safe(html)}  # noqa: S308
        return Filled(
            subject=subject,
            text=_filled(_part("_frame.txt"), {**framed, "body": text}, field="text", html=False),
            html=_filled(_part("_frame.html"), whole, field="html", html=True),
        )


def one_line(text: str) -> str:
    """`text` as a header may have it: no control characters, single blanks, at most 200 characters."""
    line = " ".join(_CONTROLS.sub(" ", text).split())
    return line if len(line) <= LONGEST_SUBJECT else f"{line[: LONGEST_SUBJECT - 1].rstrip()}…"


def _filled(source: str, context: Mapping[str, object], *, field: str, html: bool) -> str:
    try:
        return _template(source, html=html).render(Context(dict(context), autoescape=html))
    except Exception as exc:  # whatever words people wrote can raise
        raise BadWords(f"{type(exc).__name__}: {exc}", field=field) from exc


@lru_cache(maxsize=500)
def _template(source: str, *, html: bool) -> Template:
    return Template(source, engine=_engine(html))


@cache
def _engine(html: bool) -> Engine:
    parts = {path.name: path.read_text().strip("\n") for path in _parts()}
    loader = ("django.template.loaders.locmem.Loader", parts)
    # Cached: otherwise each letter would have the included parts read anew.
    return _SmallEngine(autoescape=html, loaders=[("django.template.loaders.cached.Loader", [loader])])


@cache
def _part(name: str) -> str:
    return (WORDS / name).read_text()


def _parts() -> Iterator[Path]:
    return (path for path in sorted(WORDS.glob("_*")) if path.is_file())


def _tidy(text: str) -> str:
    """Lines without blanks at their end, at most one empty line between two."""
    lines = "\n".join(line.rstrip() for line in text.splitlines())
    return re.sub(r"\n{3,}", "\n\n", lines).strip("\n")
