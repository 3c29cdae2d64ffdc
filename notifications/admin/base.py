"""What the pages of this app share: rights, and what services refuse with, in plain words."""

from contextlib import AbstractContextManager
from functools import partial
from typing import ClassVar

from django import forms

from sysops.access.driver_settings import BadSettings
from sysops.kernel.registry import UnknownName
from sysops.pages import acts
from sysops.pages.schema import field_texts

VIEW, CONFIGURE = "notifications.view", "notifications.configure"
CONFIGURED = {"view": VIEW, "add": CONFIGURE, "change": CONFIGURE, "delete": CONFIGURE}
SEEN = {"view": VIEW}

# What services refuse with, in words for people. Anything else is a fault of ours and may be a 500.
REFUSALS: acts.Refusals = (BadSettings, UnknownName)


class ActingAdmin(acts.ActingAdmin):
    """Rows that only the services of this app write."""

    refusals: ClassVar = REFUSALS

    def told_in(self, form: forms.Form) -> AbstractContextManager[list[Exception]]:
        return told_in(form)


def told_in(form: forms.Form) -> AbstractContextManager[list[Exception]]:
    """What a service refuses inside the block is said in the form, beside its field where there is one."""
    return acts.told_in(form, refusals=REFUSALS, fields_of=partial(field_texts, form))
