"""Form fields that several apps' pages use."""

import re

from django import forms
from unfold.widgets import UnfoldAdminTextInputWidget

from sysops.kernel.words import span_words


class SpanField(forms.CharField):
    """Seconds, written as people say them: "1 h 30 min", "2 d", "45 min", or plain seconds."""

    SECONDS = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
    widget = UnfoldAdminTextInputWidget

    def prepare_value(self, value: object) -> object:
        return span_words(value) if isinstance(value, int) else value

    def to_python(self, value: object) -> int | None:  # type: ignore[override]
        text = str(value or "").strip().lower()
        if not text:
            return None
        if text.isdigit() and len(text) < 10:
            return int(text)
        parts = re.findall(r"(\d{1,9})\s*([a-z]+)", text)
        if not parts or re.sub(r"(\d{1,9})\s*([a-z]+)|\s|,", "", text) or any(u not in self.SECONDS for _, u in parts):
            raise forms.ValidationError("Write a span such as 45 min, 4 h, 1 h 30 min or 2 d.")
        seconds = sum(int(count) * self.SECONDS[unit] for count, unit in parts)
        if seconds > 2_147_483_647:
            raise forms.ValidationError("That is longer than can be stored.")
        return seconds

    def has_changed(self, initial: object, data: object) -> bool:
        try:
            return initial != self.to_python(data)
        except forms.ValidationError:
            return True
