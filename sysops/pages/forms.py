"""Form fields that several apps' pages use."""

from django import forms
from unfold.widgets import UnfoldAdminTextInputWidget

from sysops.kernel.words import read_span, span_words


class SpanField(forms.CharField):
    """Seconds, written as people say them: "1 h 30 min", "2 d", "45 min", "1w", or plain seconds."""

    widget = UnfoldAdminTextInputWidget

    def prepare_value(self, value: object) -> object:
        if not isinstance(value, int):
            return value
        words = span_words(value)
        return words if read_span(words) == value else f"{value} s"  # saved unseen, it stays what it was

    def to_python(self, value: object) -> int | None:  # type: ignore[override]
        text = str(value or "").strip().lower()
        if not text:
            return None
        if text.isdigit() and len(text) < 10:
            return int(text)
        seconds = read_span(text)
        if seconds is None:
            raise forms.ValidationError("Write a span such as 45 min, 4 h, 1 h 30 min, 2 d or 1 w.")
        if seconds > 2_147_483_647:
            raise forms.ValidationError("That is longer than can be stored.")
        return seconds

    def has_changed(self, initial: object, data: object) -> bool:
        try:
            return initial != self.to_python(data)
        except forms.ValidationError:
            return True
