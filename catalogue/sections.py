"""What happened to services in a span of time: each app registers what it knows; reports put it together.

sections.register("backups", backups_during)     # in wiring, or an entry point of `sysops.report_sections`
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sysops.kernel.registry import Registry


@dataclass(frozen=True)
class Span:
    """A span of time and the slugs of the services it is asked about."""

    starts: datetime
    ends: datetime
    services: tuple[str, ...]


# JSON; a figure that was not measured is null beside a `why`.
Section = Callable[[Span], Mapping[str, object]]

sections: Registry[Section] = Registry("report section", group="sysops.report_sections")
