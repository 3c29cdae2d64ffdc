"""One walk over what an event carries freely: bounded, and without what fields of secret names hold. Pure."""

import orjson

from errors.digest import bounds
from errors.digest.bounds import DEPTH, ITEMS
from errors.digest.cards import is_card
from errors.digest.names import LONG, Names
from errors.digest.scrub import MASK, Scrubber

CUT = "…"
TOO_DEEP = "[cut: nested too deeply]"
TOO_MUCH = "[cut: the event holds too much]"
_SLACK = 4_096  # read beyond a bound, so that a secret across it is recognised
_SMALLEST_CARD = 10**12
_CONTAINERS = (dict, list)  # as tuples: `dict | list` would be made anew for each of a thousand values
_NUMBERS = (int, float)
_BESIDE = ("name", "key", "Name", "Key")


class Walker:
    """Walks over one event and changes it in place. `notes` says what was cut."""

    __slots__ = ("dirty", "left", "longest", "names", "notes", "scrubber", "source")

    def __init__(self, names: Names, scrubber: Scrubber, *, dirty: bool) -> None:
        self.names = names
        self.scrubber = scrubber
        self.dirty = dirty  # texts may hold NUL or halves of characters
        self.longest = -1 if dirty else bounds.TEXT  # texts longer than this are looked at
        self.left = bounds.NODES
        self.notes: dict[str, None] = {}
        self.source: list[list[str]] = []  # the lines of source seen

    def note(self, text: str) -> None:
        """One more line of what was cut or left out; each is kept once."""
        if len(self.notes) < bounds.NOTES:
            self.notes[text] = None

    def tree(self, node: object, depth: int = 0) -> object:
        """The same container, bounded and masked; a text in its place when there is no room for it."""
        if depth > DEPTH or self.left <= 0:
            return self._no_room(depth)
        if isinstance(node, dict):
            self._dict(node, depth)
        elif isinstance(node, list):
            self._list(node, depth)
        return node

    def value(self, value: object) -> object:
        """Any value, bounded and masked as a part of a tree is."""
        if isinstance(value, str):
            return self.clean(value) if len(value) > self.longest else value
        if isinstance(value, _CONTAINERS):
            return self.tree(value)
        return number(value)

    def text(self, value: object, longest: int = bounds.TEXT) -> str:
        """Whatever stands where a text belongs, as a text; "" for nothing."""
        if isinstance(value, str):
            return value if self.longest >= len(value) <= longest else self.clean(value, longest)
        if value is None:
            return ""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, _CONTAINERS):
            return self.clean(orjson.dumps(self.tree(value)).decode(), longest)
        return str(number(value))[:longest]

    def clean(self, text: str, longest: int = bounds.TEXT) -> str:
        """The text without what cannot be stored, and not longer than allowed."""
        if self.dirty:
            storable = text.encode("utf-8", "replace").decode().replace("\0", "�")
            if storable != text:
                self.note("characters that cannot be stored were replaced")
                text = storable
        if len(text) > longest:
            self.note(f"texts longer than {longest} characters were cut")
            text = self.scrubber.text(text[: longest + _SLACK])[: longest - 1] + CUT
        return text

    def shorten(self, node: dict[str, object]) -> None:
        """Leaves the first entries of a flood."""
        self.note(f"of objects with more than {ITEMS} entries the rest was cut")
        for name in list(node)[ITEMS:]:
            del node[name]

    def clean_names(self, node: dict[str, object]) -> None:
        """Names without what cannot be stored."""
        entries = [(self.clean(name, len(name)), value) for name, value in node.items()]
        node.clear()
        node.update(entries)

    def _no_room(self, depth: int) -> str:
        if depth > DEPTH:
            self.note(f"what was nested deeper than {DEPTH} levels was cut")
            return TOO_DEEP
        self.note(f"what came after the first {bounds.NODES} values was cut")
        return TOO_MUCH

    def _dict(self, node: dict[str, object], depth: int) -> None:
        size = len(node)
        if size > ITEMS:
            self.shorten(node)
        if self.dirty:
            self.clean_names(node)
        self.left -= size
        names, longest, long_ones = self.names, self.longest, False
        for name, value in node.items():
            decision = names[name]
            if decision:
                if decision == LONG:
                    long_ones = True
                    decision = names.decide(name)
                if decision and value is not None and not isinstance(value, bool):
                    node[name] = MASK
                    continue
            if type(value) is str:  # quicker than isinstance(), and JSON brings no others
                if len(value) > longest:
                    node[name] = self.clean(value)
            elif isinstance(value, _CONTAINERS):
                if value:
                    node[name] = self.tree(value, depth + 1)
            elif isinstance(value, _NUMBERS) and value >= _SMALLEST_CARD:
                node[name] = number(value)
        if long_ones:
            self._cut_names(node)
        if ("value" in node or "Value" in node) and any(map(self._secret, map(node.get, _BESIDE))):
            node["value" if "value" in node else "Value"] = MASK  # {"name": "password", "value": …}

    def _list(self, node: list[object], depth: int) -> None:
        if len(node) > ITEMS:
            self.note(f"of lists with more than {ITEMS} entries the rest was cut")
            del node[ITEMS:]
        self.left -= len(node)
        longest = self.longest
        if len(node) == 2 and self._secret(node[0]):
            node[1] = MASK  # ["password", …]: a pair, as headers and query strings are listed
        option = False
        for place, value in enumerate(node):
            if isinstance(value, str):
                if option:
                    node[place] = MASK  # ["--password", …]
                elif len(value) > longest:
                    node[place] = self.clean(value)
                option = value[:1] == "-" and "=" not in value and self._secret(value)
                continue
            if isinstance(value, _CONTAINERS):
                if value:
                    node[place] = self.tree(value, depth + 1)
            elif isinstance(value, _NUMBERS) and (option or value >= _SMALLEST_CARD):
                node[place] = MASK if option else number(value)
            option = False

    def _cut_names(self, node: dict[str, object]) -> None:
        self.note(f"names longer than {bounds.NAME} characters were cut")
        for name in [name for name in node if len(name) > bounds.NAME]:
            node[self.scrubber.text(name)[: bounds.NAME - 1] + CUT] = node.pop(name)

    def _secret(self, name: object) -> bool:
        """Whether the value beside this name is to be masked."""
        return isinstance(name, str) and len(name) <= bounds.NAME and self.names[name] != 0


def number(value: object) -> object:
    """The number itself, unless it is the number of a card."""
    if isinstance(value, _NUMBERS) and value >= _SMALLEST_CARD and value == int(value):
        return MASK if is_card(str(int(value))) else value
    return value
