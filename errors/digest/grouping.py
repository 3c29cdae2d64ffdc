"""Which events are one issue: what they have in common, as a hash and in words. Pure, and versioned.

A change of what is hashed needs a new VERSION: hashes of another version start new issues.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b

from errors.digest import bounds
from errors.digest.frames import Frame, frames_of

VERSION = 1

_DEFAULT = re.compile(r"\{\{\s*default\s*\}\}")
_INNERMOST = 50  # frames of one exception that count
_SAID = 1_000  # characters of a message that count
_READ = 8_192

_VARIABLE = re.compile(
    r"(?P<uuid>\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b)"
    r"|(?P<url>\b[a-z][a-z0-9+.\-]{0,20}://[^\s\"'<>]+)"
    r"|(?P<email>(?<![\w.+\-*])[\w.+\-*]+@[\w\-]+(?:\.[\w\-]+)+)"
    r"|(?P<text>\"[^\"\n]*\"|(?<!\w)'[^'\n]*'(?!\w)|`[^`\n]*`)"
    r"|(?P<time>\b\d{4}-\d\d-\d\d"
    r"(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z\b|[+\-]\d\d:?\d\d)?)?|\b\d\d:\d\d:\d\d(?:[.,]\d+)?)"
    r"|(?P<ip>\b\d{1,3}(?:\.\d{1,3}){3}\b(?::\d+)?"
    r"|(?<![\w:])(?=[0-9a-f:]*:[0-9a-f:]*:)(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![\w:]))"
    r"|(?P<n>0x[0-9a-f]+"
    r"|\b(?=[0-9a-f]*\d)[0-9a-f]{7,}\b|\b(?=\w*\d)(?=\w*[a-z])\w{16,}\b|[+\-]?\d+(?:[.,]\d+)*(?:e[+\-]?\d+)?)",
    re.IGNORECASE | re.ASCII,
)
_POINTER = re.compile(r"0x[0-9a-f]+|(?<=[$@/_#])\d+|(?<=lambda)\d+|\d{4,}", re.IGNORECASE | re.ASCII)
_BUILD = re.compile(
    r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|(?<=/)\d+(?=/|\Z)"
    r"|(?<=[.\-_])(?=[a-z]*\d|(?-i:[\w\-]*[A-Z]{2}|[\w\-]*[A-Z]\.))[\w\-]{8}(?=\.(?:[cm]?js|css)\b)"  # of Vite, Rollup
    r"|(?<=[.\-_])(?=[0-9a-f]*\d)[0-9a-f]{6,}(?=[.\-_/]|\Z)|\?.*\Z|#.*\Z|\bv?\d+\.\d+\.\d+[\w.\-]*",
    re.I | re.A,
)
_HOST = re.compile(
    r"^(?:blob:)?[a-z][a-z0-9+.\-]*://[^/]*|^.*(?:site-packages|dist-packages|node_modules)/", re.I | re.A
)
_NAMELESS = frozenset({"", "?", "<anonymous>", "anonymous", "<unknown>", "(anonymous)"})


Clean = Callable[[str], str]


def group(event: Mapping[str, object], fingerprint: list[str], *, clean: Clean) -> tuple[bytes, str]:
    """The hash (16 bytes) that alike events share, and what it was made from.

    `clean` takes secrets out of a message: a token that differs each time must not make an issue each time.
    """
    if fingerprint and not (len(fingerprint) == 1 and _DEFAULT.fullmatch(fingerprint[0])):
        return _by_fingerprint(event, fingerprint, clean)
    parts, label = _default(event, clean)
    return _hash(parts), label


def _by_fingerprint(event: Mapping[str, object], fingerprint: list[str], clean: Clean) -> tuple[bytes, str]:
    parts, default = ["fingerprint"], list[str]()
    for part in fingerprint:
        if _DEFAULT.search(part):
            default = default or _default(event, clean)[0]  # once: a fingerprint may ask for it twenty times
            parts += ["default", *default, _DEFAULT.sub("", part)]
        else:
            parts += ["own", part]
    return _hash(parts), _words("the SDK's fingerprint", fingerprint)


def _default(event: Mapping[str, object], clean: Clean) -> tuple[list[str], str]:
    chain = _listed(event, "exception")
    if chain:
        return _by_exceptions(chain, event, clean)
    said = message_of(event)
    if said:
        template = normalised(clean(said))
        return ["message", template], _words("message", [template])
    places = _places(frames_of(event)) or _places(_crashed(event))
    if places[0:]:
        return ["stack", *places], _words("stack trace", reversed(places))
    transaction = str(event.get("transaction") or "")
    return ["nothing", str(event.get("platform")), _module(transaction)], _words("transaction", [transaction or "none"])


def _by_exceptions(
    chain: list[Mapping[str, object]], event: Mapping[str, object], clean: Clean
) -> tuple[list[str], str]:
    parts, framed = ["exceptions"], False
    for exception in chain:
        places = _places(frames_of(exception))
        framed = framed or bool(places)
        parts += ["type", str(exception.get("type")), *places]
    if framed:
        last = chain[-1]
        shown = [str(last.get("type")), *reversed(_places(frames_of(last)))]
        return parts, _words("type and stack trace", shown)
    crashed = _places(frames_of(event)) or _places(_crashed(event))
    kinds = [str(exception.get("type")) for exception in chain]
    if crashed:
        return [*parts, *crashed], _words("type and stack trace", [kinds[-1], *reversed(crashed)])
    said = [normalised(clean(str(exception.get("value") or ""))) for exception in chain]
    return [*parts, *said], _words("type and message", [kinds[-1], said[-1]])


def _places(frames: list[Frame]) -> list[str]:
    """Where the frames are: those of the application, or all when there are none; no line numbers.

    A place counts once, where it stands innermost: how deep a recursion went does not matter, also when two functions
    call each other.
    """
    own = [frame for frame in frames if frame.get("in_app") is True]
    places = list(dict.fromkeys(place for frame in reversed(own or frames) if (place := _place(frame))))
    if not places and own:
        return _places([frame for frame in frames if frame.get("in_app") is not True])
    return places[:_INNERMOST][::-1]


def _place(frame: Frame) -> str:
    module, function = frame.get("module"), frame.get("function")
    if not module or module == "__main__":
        module = frame.get("filename") or frame.get("abs_path") or module or ""
    function = _function(str(function or ""))
    place = _module(str(module))
    if not function and (line := frame.get("context_line")):
        function = " ".join(str(line).split())[:120]
    return f"{place}.{function}" if place and function else place or function


@lru_cache(maxsize=10_000)
def _function(name: str) -> str:
    """The name of a function without what a compiler or a run of the program put into it."""
    return "" if name in _NAMELESS else _POINTER.sub("#", name)


@lru_cache(maxsize=10_000)
def _module(name: str) -> str:
    """A module or file without host, place of installation, version and hash of a build."""
    return _POINTER.sub("#", _BUILD.sub("#", _HOST.sub("", name.replace("\\", "/"))))


def message_of(event: Mapping[str, object]) -> str:
    """What the event says: the template where the SDK sent one."""
    entry = event.get("logentry")
    if not isinstance(entry, dict):
        return ""
    return str(entry.get("message") or entry.get("formatted") or "")


def normalised(text: str) -> str:
    """The text with a placeholder for all that differs from one occurrence to the next."""
    return " ".join(_VARIABLE.sub(_placeholder, text[:_READ]).split())[:_SAID]


def _placeholder(found: re.Match[str]) -> str:
    return f"<{found.lastgroup}>"


def _crashed(event: Mapping[str, object]) -> list[Frame]:
    threads = _listed(event, "threads")
    for wanted in ("crashed", "current"):
        for thread in threads:
            if thread.get(wanted) is True and (frames := frames_of(thread)):
                return frames
    return frames_of(threads[0]) if len(threads) == 1 else []


def _listed(event: Mapping[str, object], name: str) -> list[Mapping[str, object]]:
    holder = event.get(name)
    listed = holder.get("values") if isinstance(holder, dict) else None
    return listed if isinstance(listed, list) else []


def _hash(parts: Iterable[str]) -> bytes:
    text = "\x1f".join([str(VERSION), *parts])
    return blake2b(text.encode(), digest_size=16).digest()


def _words(made_from: str, parts: Iterable[str]) -> str:
    return f"{made_from}: {', '.join(part for part in parts if part)}"[: bounds.LABEL]
