"""`sysops schedule`, `windows` and `window …`: maintenance windows from a terminal or a pipeline."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from sysops.cli.base import Failed, json_option, needs_django, person, show
from sysops.cli.spans import BadSpan, read_length, read_span

if TYPE_CHECKING:
    from catalogue.models import Service
    from maintenance.models import Window
    from maintenance.plans import GatePlan
    from sysops.access.actors import Actor

STATUSES = ["scheduled", "in_progress", "completed", "cancelled"]
POLL_SECONDS = 2.0
# Which option gave what the API calls so.
OPTIONS = {
    "title": "--title",
    "description": "--description",
    "time_zone": "--zone",
    "scheduled_start_time": "--window",
    "estimated_duration_seconds": "--window",
    "affected_services": "--service",
    "gates": "--require-backup",
}
id_argument = click.argument("window_id", metavar="ID", type=click.IntRange(min=1, max=2**63 - 1))


class Span(click.ParamType[timedelta]):
    """A length of time such as 2h30m."""

    name = "length"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        try:
            return read_length(str(value))
        except BadSpan as exc:
            self.fail(str(exc), param, ctx)


@click.command()
@click.option(
    "--window", "span", required=True, help='"2027-01-15 02:00-04:00", "2027-01-15 02:00 +2h30m", "now +2h" …'
)
@click.option("--service", "services", multiple=True, required=True, help="Slug of a service worked on; repeatable.")
@click.option("--title", required=True, help="What is done, in one line.")
@click.option("--description", default="", help="More of it, for those who are told.")
@click.option("--zone", default="UTC", show_default=True, help="The zone of the times, such as Europe/Berlin.")
@click.option("--emergency", is_flag=True, help="Is held up by no other window; may begin now.")
@click.option("--starts-itself", is_flag=True, help="Starts at its time without anybody.")
@click.option("--completes-itself", is_flag=True, help="Completes at its estimated end without anybody.")
@click.option("--no-mode", is_flag=True, help="Leave proxies alone: GET …/services/{slug}/mode goes on to say normal.")
@click.option("--require-backup", type=Span(), help="Start only with a verified backup not older than this: 24h.")
@click.option("--take-backup", is_flag=True, help="With --require-backup: take one first where there is none.")
@json_option
@needs_django
def schedule(
    span: str, services: tuple[str, ...], title: str, description: str, zone: str, emergency: bool, starts_itself: bool,
    completes_itself: bool, no_mode: bool, require_backup: timedelta | None, take_backup: bool, as_json: bool,
) -> None:  # fmt: skip
    """Schedule a maintenance window. Exit code 1 when another window is in the way, which is named."""
    from maintenance.plans import Plan
    from maintenance.rules import Type
    from maintenance.services import scheduling
    from sysops.kernel.clock import utc_now

    try:
        wanted = read_span(span, zone=zone)
    except BadSpan as exc:
        raise click.UsageError(f"--window: {exc}") from None
    if wanted.start is None and not emergency:
        raise click.UsageError("--window: Only an emergency begins now. Name its start, or add --emergency")
    if wanted.note:
        click.echo(wanted.note, err=True)
    plan = Plan(
        maintenance_type=Type.EMERGENCY if emergency else Type.PLANNED,
        title=title,
        description=description,
        start=wanted.start,
        duration=wanted.duration,
        services=_services(services),
        time_zone=zone,
        starts_itself=starts_itself,
        completes_itself=completes_itself,
        maintenance_mode=not no_mode,
        gates=_gates(require_backup, take=take_backup),
    )
    with _refused(as_json=as_json):
        made = scheduling.schedule(plan, by=_actor(), at=utc_now())
    _show(made.pk, as_json=as_json)


@click.command()
@click.option("--status", type=click.Choice(STATUSES), default=None, help="Only those.")
@click.option("--service", "slug", default=None, help="Only those that affect this service.")
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True)
@json_option
@needs_django
def windows(status: str | None, slug: str | None, limit: int, as_json: bool) -> None:
    """Maintenance windows, the latest first."""
    from maintenance.api.serializers import WindowSerializer
    from maintenance.selectors import for_lists

    rows = for_lists().order_by("-scheduled_start", "-pk")
    rows = rows.filter(status=status) if status else rows
    if slug:
        (service,) = _services((slug,))
        rows = rows.filter(affected__service=service)
    found = list(rows[:limit])
    show(WindowSerializer(found, many=True).data, as_json=as_json, text=lambda: "\n".join(map(_line, found)))


@click.group()
def window() -> None:
    """One maintenance window: show, start, complete, cancel, extend, update, report."""


@window.command("show")
@id_argument
@json_option
@needs_django
def show_window(window_id: int, as_json: bool) -> None:
    """All about a window."""
    _show(_window(window_id).pk, as_json=as_json)


@window.command()
@id_argument
@click.option("--wait", is_flag=True, help="Follow a gate that prepares (takes a backup) until it opens.")
@json_option
@needs_django
def start(window_id: int, wait: bool, as_json: bool) -> None:
    """Begin. Exit code 1 while a gate is closed or still prepares."""
    from maintenance.services import running
    from sysops.kernel.clock import utc_now

    said, by = "", _actor()
    while True:
        row = _window(window_id)
        if said and row.status == "in_progress":
            break  # the waiting start went through by itself
        try:
            with _refused(as_json=as_json):
                running.start(row.pk, by=by, at=utc_now)
            break
        except running.NotYet as exc:
            if not (wait and exc.preparing):
                raise Failed(_not_yet(exc.reason, preparing=exc.preparing)) from None
            if exc.reason != said:
                click.echo(exc.reason, err=True)
                said = exc.reason
        time.sleep(POLL_SECONDS)
    _show(window_id, as_json=as_json)


@window.command()
@id_argument
@json_option
@needs_django
def complete(window_id: int, as_json: bool) -> None:
    """The work is done."""
    from maintenance.services import running
    from sysops.kernel.clock import utc_now

    with _refused(as_json=as_json):
        running.complete(_window(window_id), by=_actor(), at=utc_now())
    _show(window_id, as_json=as_json)


@window.command()
@id_argument
@click.option("--reason", default="", help="Told to everybody affected.")
@json_option
@needs_django
def cancel(window_id: int, reason: str, as_json: bool) -> None:
    """Call off a window that has not begun."""
    from maintenance.services import running
    from sysops.kernel.clock import utc_now

    with _refused(as_json=as_json):
        running.cancel(_window(window_id), reason=reason, by=_actor(), at=utc_now())
    _show(window_id, as_json=as_json)


@window.command()
@id_argument
@click.option("--by", "more", type=Span(), help="So much longer than now estimated: 30m.")
@click.option("--to", "whole", type=Span(), help="So long in all, from its scheduled start: 3h.")
@json_option
@needs_django
def extend(window_id: int, more: timedelta | None, whole: timedelta | None, as_json: bool) -> None:
    """Give it more time. Exit code 1 when another window has that time."""
    from maintenance.services import scheduling
    from sysops.kernel.clock import utc_now

    row = _window(window_id)
    if (more is None) == (whole is None):
        raise click.UsageError("Say either --by 30m (longer) or --to 3h (in all)")
    duration = whole or timedelta(seconds=row.estimated_duration_seconds) + (more or timedelta())
    with _refused(as_json=as_json):
        scheduling.extend(row, duration=duration, by=_actor(), at=utc_now())
    _show(window_id, as_json=as_json)


@window.command()
@id_argument
@click.argument("message")
@json_option
@needs_django
def update(window_id: int, message: str, as_json: bool) -> None:
    """Tell everybody affected how it stands."""
    from maintenance.api.serializers import UpdateOut
    from maintenance.services import running
    from sysops.kernel.clock import utc_now

    with _refused(as_json=as_json):
        posted = running.post_update(_window(window_id), message=message, by=_actor(), at=utc_now())
    show(UpdateOut(posted).data, as_json=as_json, text=lambda: f"Posted to window {window_id}: {posted.message}")


@window.command()
@id_argument
@json_option
@needs_django
def report(window_id: int, as_json: bool) -> None:
    """What was planned and what happened. Exit code 1 before the window is completed."""
    from maintenance.report_words import lines
    from maintenance.services import reports
    from sysops.kernel.clock import utc_now

    row = _window(window_id)
    if row.status != "completed":
        words = row.status.replace("_", " ")
        raise Failed(f"Window {row.pk} is {words}; it has a report once it is completed")
    found = reports.report(row, at=utc_now())
    show(found, as_json=as_json, text=lambda: "\n".join(lines(found, zone=row.time_zone)))


def _actor() -> "Actor":
    from sysops.access.actors import Actor

    return Actor.cli(person())


def _services(slugs: tuple[str, ...]) -> "list[Service]":
    from catalogue.models import Service

    known = {service.slug: service for service in Service.objects.filter(slug__in=slugs)}
    unknown = [slug for slug in dict.fromkeys(slugs) if slug not in known]
    if unknown:
        some = ", ".join(Service.objects.order_by("slug").values_list("slug", flat=True)[:20])
        raise click.UsageError(f"--service: There is no service {', '.join(unknown)}. Known: {some or 'none'}")
    return [known[slug] for slug in slugs]


def _gates(age: timedelta | None, *, take: bool) -> "list[GatePlan]":
    from maintenance.plans import GatePlan

    if age is None:
        if take:
            raise click.UsageError("--take-backup goes with --require-backup: say how old one may be, such as 24h")
        return []
    return [GatePlan("fresh_backup", {"max_age_seconds": int(age.total_seconds())}, prepare=take)]


def _window(pk: int) -> "Window":
    from maintenance.models import Window

    found = Window.objects.filter(pk=pk).first()
    if found is None:
        raise click.UsageError(f"There is no window {pk}; `sysops windows` lists them")
    return found


@contextmanager
def _refused(*, as_json: bool) -> Iterator[None]:
    """What services refuse with: 2 for what makes no sense, 1 for what is in the way."""
    from maintenance.models import WrongState
    from maintenance.services.scheduling import BadWindow, Conflicts

    try:
        yield
    except BadWindow as exc:
        words = "; ".join(f"{OPTIONS.get(field, field)}: {text}" for field, text in exc.problems.items())
        raise click.UsageError(words) from None
    except WrongState as exc:
        raise Failed(str(exc)) from None
    except Conflicts as exc:
        if as_json:
            click.echo(json.dumps({"conflicts": _as_json([other.pk for other in exc.windows])}, indent=2, default=str))
        raise Failed(str(exc)) from None


def _as_json(keys: list[int]) -> object:
    from maintenance.api.serializers import WindowSerializer
    from maintenance.selectors import for_lists

    rows = for_lists().filter(pk__in=keys).order_by("scheduled_start", "pk")
    return WindowSerializer(rows, many=True).data


def _not_yet(reason: str, *, preparing: bool) -> str:
    return f"{reason} It starts by itself when that is done; --wait follows it." if preparing else reason


def _show(pk: int, *, as_json: bool) -> None:
    from maintenance.api.serializers import WindowDetailSerializer
    from maintenance.selectors import window as whole

    row = whole(pk)
    found = WindowDetailSerializer(row).data
    show(found, as_json=as_json, text=lambda: "\n".join([_line(row), *_details(found)]))


def _line(row: "Window") -> str:
    status = "overrunning" if row.overrunning else row.status.replace("_", " ")
    kind = "" if row.maintenance_type == "planned" else f" ({row.maintenance_type})"
    start, end = row.actual_start or row.scheduled_start, row.completed_at or row.scheduled_end
    return f"Window {row.pk} {status}{kind}: {_times(start, end, zone=row.time_zone)}  {row.title}"


def _details(found: Mapping[str, object]) -> Iterator[str]:
    lists: list[tuple[str, str, Callable[..., str]]] = [
        ("affected_services", "works on", str),
        ("reached_services", "reaches", str),
        ("overlaps", "overlaps", lambda other: f"window {other['id']} “{other['title']}”"),
        ("gates", "needs", lambda gate: f"{gate['gate']} ({gate['state']}) {gate['reason']}".strip()),
    ]
    for name, words, one in lists:
        rows = found[name]
        assert isinstance(rows, list)
        if rows:
            shown = [one(row) for row in rows[:20]]
            yield f"  {words} {', '.join(shown)}" + (f" and {len(rows) - 20} more" if len(rows) > 20 else "")
    if found["note"]:
        yield f"  {found['note']}"
    if found["start_refused_because"]:
        yield f"  did not start: {found['start_refused_because']}"


def _times(start: datetime, end: datetime, *, zone: str) -> str:
    place = ZoneInfo(zone)
    first, last = start.astimezone(place), end.astimezone(place)
    until = f"{last:%H:%M}" if first.date() == last.date() else f"{last:%Y-%m-%d %H:%M}"
    return f"{first:%Y-%m-%d %H:%M} – {until} {zone}"
