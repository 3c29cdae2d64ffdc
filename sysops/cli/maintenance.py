"""`sysops schedule`, `windows` and `window …`: maintenance windows from a terminal or a pipeline."""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from sysops.cli.base import Failed, json_option, needs_django, person, show
from sysops.cli.spans import BadSpan, read_length, read_span
from sysops.cli.window_words import STATE_WORDS, details, line, times

if TYPE_CHECKING:
    from catalogue.models import Service
    from maintenance.models import Window
    from maintenance.plans import GatePlan
    from sysops.access.actors import Actor

STATUSES = ["scheduled", "in_progress", "completed", "cancelled"]
POLL_SECONDS = 2.0
EARLY = timedelta(hours=1)  # to start a window sooner than this before its time may be a slip of the number
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
MOST_DIGITS = 18  # fits a bigint


class Number(click.ParamType[int]):
    """The number of a window."""

    name = "number"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS:
            return int(text)
        raise click.UsageError(f"There is no window {text!r}; give its number. `sysops windows` lists them", ctx)


id_argument = click.argument("window_id", metavar="ID", type=Number())


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
    "--window",
    "span",
    required=True,
    help='"2027-01-15 02:00-04:00", "2027-01-15 02:00 +2h30m", or with --emergency "now +2h".',
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
@click.option("--all", "every", is_flag=True, help="Completed and cancelled ones too, behind the others.")
@click.option("--service", "slug", default=None, help="Only those that affect this service.")
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True)
@json_option
@needs_django
def windows(status: str | None, every: bool, slug: str | None, limit: int, as_json: bool) -> None:
    """Open maintenance windows: the running ones, those that should have begun, then the next ones."""
    from maintenance.api.serializers import WindowSerializer
    from maintenance.rules import OPEN
    from maintenance.selectors import for_lists, what_matters_first
    from sysops.kernel.clock import utc_now

    rows = for_lists().order_by(*what_matters_first(at=utc_now()))
    if status or not every:
        rows = rows.filter(status__in=[status] if status else [open_.value for open_ in OPEN])
    if slug:
        (service,) = _services((slug,))
        rows = rows.filter(affected__service=service)
    found = list(rows[:limit])
    nothing = "No such window" if status or every else "No window is open; --all shows the completed and cancelled ones"
    show(
        WindowSerializer(found, many=True).data,
        as_json=as_json,
        text=lambda: "\n".join(map(line, found)) or nothing,
    )


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
@click.option("--early", is_flag=True, help="Although it is due in more than an hour: its maintenance begins now.")
@json_option
@needs_django
def start(window_id: int, wait: bool, early: bool, as_json: bool) -> None:
    """Begin. Exit code 1 while a gate is closed or still prepares."""
    from maintenance.services import running
    from sysops.kernel.clock import utc_now

    if not early:
        _ask_whether_early_is_meant(_window(window_id), at=utc_now())
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


def _ask_whether_early_is_meant(row: "Window", *, at: datetime) -> None:
    """Nothing for a window that is due within the hour. Else asks at a terminal; refuses where nobody can answer."""
    from sysops.kernel.words import span_words

    ahead = row.scheduled_start - at
    if row.status != "scheduled" or ahead <= EARLY:
        return
    due = times(row.scheduled_start, row.scheduled_end, zone=row.time_zone)
    words = (
        f"Window {row.pk} is due in {span_words(ahead)} ({due}). Started now, its services are in maintenance from now "
        "until that end, and everybody affected is told."
    )
    if not sys.stdin.isatty():
        raise click.UsageError(f"{words} Add --early if that is meant")
    click.confirm(f"{words} Start it now?", abort=True, err=True)


@window.command()
@id_argument
@json_option
@needs_django
def complete(window_id: int, as_json: bool) -> None:
    """The work is done."""
    from maintenance.services import running
    from sysops.kernel.clock import utc_now

    with _refused(as_json=as_json, about=window_id):
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

    with _refused(as_json=as_json, about=window_id):
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
    given = {**OPTIONS, "estimated_duration_seconds": "--to" if whole else "--by"}
    with _refused(as_json=as_json, options=given):
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
def _refused(*, as_json: bool, options: Mapping[str, str] = OPTIONS, about: int | None = None) -> Iterator[None]:
    """What services refuse with: 2 for what makes no sense, 1 for what is in the way.

    `options` gave the API's fields; `about` is the window whose state is said in plain words.
    """
    from maintenance.models import WrongState
    from maintenance.services.scheduling import BadWindow, Conflicts

    try:
        yield
    except BadWindow as exc:
        words = "; ".join(f"{options.get(field, field)}: {text}" for field, text in exc.problems.items())
        raise click.UsageError(words) from None
    except WrongState as exc:
        raise Failed(f"Window {about} {STATE_WORDS[exc.current]}" if about else str(exc)) from None
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
    show(found, as_json=as_json, text=lambda: "\n".join([line(row), *details(found)]))
