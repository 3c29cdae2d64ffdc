"""Moments as on every other page, by the day's 24 hours and in UTC; what is typed may also have Django's own forms."""

DATE_FORMAT = SHORT_DATE_FORMAT = "Y-m-d"
TIME_FORMAT = "H:i"
DATETIME_FORMAT = SHORT_DATETIME_FORMAT = "Y-m-d H:i e"  # all are in UTC, and say so
DATE_INPUT_FORMATS = ["%Y-%m-%d", "%d/%m/%Y"]  # the first is what a form shows
