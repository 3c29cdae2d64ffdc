"""YAML as a way to write JSON: the same values, in fewer quotes. Pure.

Built from the parser's events, because loading does too much: it follows aliases (a kilobyte that grows to
gigabytes), turns `20:00` into 1200, `no` into false and +4930123456 into a number.
"""

import re
from collections.abc import Mapping

import yaml

DEEPEST = 20
MOST_VALUES = 500_000
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same parser, in C where the wheel brings it
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_BROKEN = re.compile(r"-?(0|[1-9][0-9]{0,17})\.[0-9]{1,17}")
_WORDS: Mapping[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}
_STRING_TAG = "tag:yaml.org,2002:str"


def from_yaml(text: str) -> object:
    """The one document in the text as JSON values. Raises ValueError that names line and column."""
    try:
        return _Reader().read(text)
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ValueError(f"{getattr(exc, 'problem', None) or 'it cannot be read'}{where}") from None


def to_yaml(document: Mapping[str, object]) -> str:
    """The document as YAML, in the order it has; whatever another reader could mistake for a number is quoted."""
    return yaml.dump(dict(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True  # we refuse to read them


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Between double quotes where it holds what cannot be seen: PyYAML writes some line ends raw elsewhere."""
    return dumper.represent_scalar(_STRING_TAG, text, style=None if text.isprintable() else '"')


_Dumper.add_representer(str, _text)


class _Reader:
    """Puts the parser's events together. `stack` holds the open lists and mappings, with the key that waits."""

    def __init__(self) -> None:
        self.stack: list[tuple[list[object] | dict[str, object], list[str]]] = []
        self.documents: list[object] = []
        self.count = 0

    def read(self, text: str) -> object:
        for event in yaml.parse(text, Loader=_LOADER):
            match event:
                case yaml.AliasEvent():
                    self.refuse(event, "aliases (*name) are not read; write it out")
                case yaml.ScalarEvent() | yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                    self.begin(event)
                case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                    self.stack.pop()
        if len(self.documents) != 1:
            raise ValueError(f"it holds {len(self.documents) or 'no'} documents instead of one")
        return self.documents[0]

    def begin(self, event: yaml.NodeEvent) -> None:
        self.count += 1
        if self.count > MOST_VALUES:
            self.refuse(event, f"more than {MOST_VALUES:,} values")
        if event.anchor:
            self.refuse(event, "anchors (&name) are not read; write it out")
        if getattr(event, "tag", None) not in (None, "!", _STRING_TAG):
            self.refuse(event, "tags (!name) are not read")
        if isinstance(event, yaml.ScalarEvent):
            if self.waits_for_key():
                self.stack[-1][1].append(self.key(event))
            else:
                self.place(_scalar(event))
            return
        if self.waits_for_key():
            self.refuse(event, "the name of a value must be text")
        if len(self.stack) >= DEEPEST:
            self.refuse(event, f"nested more than {DEEPEST} deep")
        inside: list[object] | dict[str, object] = [] if isinstance(event, yaml.SequenceStartEvent) else {}
        self.place(inside)
        self.stack.append((inside, []))

    def waits_for_key(self) -> bool:
        return bool(self.stack) and isinstance(self.stack[-1][0], dict) and not self.stack[-1][1]

    def key(self, event: yaml.ScalarEvent) -> str:
        if event.value in self.stack[-1][0]:
            self.refuse(event, f"{event.value[:100]!r} occurs twice in one mapping")
        return str(event.value)

    def place(self, value: object) -> None:
        if not self.stack:
            self.documents.append(value)
            return
        inside, keys = self.stack[-1]
        if isinstance(inside, dict):
            inside[keys.pop()] = value
        else:
            inside.append(value)

    def refuse(self, event: yaml.Event, text: str) -> None:
        mark = event.start_mark
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise ValueError(f"{text}{where}")


def _scalar(event: yaml.ScalarEvent) -> object:
    text = str(event.value)
    if not event.implicit[0]:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _BROKEN.fullmatch(text) else text
