"""`sysops errors …`: issues and error projects from a terminal or a pipeline."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from sysops.cli.base import Failed, json_option, needs_django, person, show
from sysops.cli.error_words import details, line, project_line
from sysops.cli.maintenance import Span

if TYPE_CHECKING:
    from catalogue.models import Environment, Person, Service
    from errors.models import Issue
    from sysops.access.actors import Actor

MOST_DIGITS = 18  # fits a bigint
NOBODY, RULES = "none", "rules"
SEVERITIES = ("critical", "high", "medium", "low")
# Which option gave what the services call so.
OPTIONS = {"until": "--for", "more_events": "--events", "more_accounts": "--accounts", "slug": "SLUG", "text": "TEXT"}


class Number(click.ParamType[int]):
    """The number of an issue, or of one of its groups."""

    name = "number"

    def __init__(self, of: str = "issue") -> None:
        self.of, self.where = of, "list" if of == "issue" else "show ID"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS:
            return int(text)
        lists = f"`sysops errors {self.where}` lists them"
        raise click.UsageError(f"There is no {self.of} {text!r}; give its number. {lists}", ctx)


id_argument = click.argument("issue_id", metavar="ID", type=Number())


@click.group()
def errors() -> None:
    """Issues that applications reported: list, show, and all that is done about them; and projects."""


@errors.command("list")
@click.argument("query", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Resolved and ignored ones too.")
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True)
@json_option
@needs_django
def list_issues(query: tuple[str, ...], every: bool, limit: int, as_json: bool) -> None:
    """Open issues, the latest seen first. QUERY as in the search box: 'severity:critical "card declined" area:eu'."""
    from errors.api.serializers import listed
    from errors.finding import OPEN
    from errors.links import called
    from errors.models import Project
    from errors.search import BadQuery, parse
    from errors.selectors import all_issues, search_issues
    from sysops.kernel.clock import utc_now

    now, rows = utc_now(), all_issues()
    try:
        asked = parse(" ".join(query))
        if not every and not any(term.key in ("is", "status") for term in asked.terms):
            rows = rows.filter(status__in=OPEN)
        projects = Project.objects.filter(deleted_at=None)
        found = list(search_issues(rows, asked, now=now, projects=projects)[:limit])
    except BadQuery as exc:
        raise click.UsageError(f"QUERY: {exc}") from None
    names = called({issue.responded_by for issue in found})
    show(
        listed(found),
        as_json=as_json,
        text=lambda: "\n".join(line(issue, now=now, names=names) for issue in found) or "No such issue",
    )


@errors.command("show")
@id_argument
@json_option
@needs_django
def show_issue(issue_id: int, as_json: bool) -> None:
    """All about an issue, with the stack trace of its latest event."""
    _show(_issue(issue_id), as_json=as_json)


@errors.command()
@id_argument
@click.option("--note", default="", help="How, for those who meet it again.")
@click.option("--release", default="", help="The release that has the fix; left out: from now on.")
@click.option("--next-release", is_flag=True, help="Fixed in the release after that one (after the newest, if none).")
@json_option
@needs_django
def resolve(issue_id: int, note: str, release: str, next_release: bool, as_json: bool) -> None:
    """It is fixed. It comes back when it happens in a release that should have the fix."""
    from errors.services import issues
    from sysops.kernel.clock import utc_now

    with _refused():
        done = issues.resolve(
            _issue(issue_id), by=_actor(), at=utc_now(), note=note, release=release, in_next_release=next_release
        )
    _show(done, as_json=as_json)


@errors.command()
@id_argument
@json_option
@needs_django
def acknowledge(issue_id: int, as_json: bool) -> None:
    """Somebody is at it: the time to respond is kept."""
    from errors.services import issues
    from sysops.kernel.clock import utc_now

    with _refused():
        done = issues.acknowledge(_issue(issue_id), by=_actor(), at=utc_now())
    _show(done, as_json=as_json)


@errors.command()
@id_argument
@click.argument("who", metavar="PERSON")
@json_option
@needs_django
def assign(issue_id: int, who: str, as_json: bool) -> None:
    """Give it to PERSON (a slug of the catalogue), who is told; `none` takes it from whoever has it."""
    from errors.services import issues
    from sysops.kernel.clock import utc_now

    with _refused():
        done = issues.assign(_issue(issue_id), _person(who), by=_actor(), at=utc_now())
    _show(done, as_json=as_json)


@errors.command()
@id_argument
@click.option("--for", "span", type=Span(), help="So long, such as 24h, 7d or 1w.")
@click.option("--events", type=click.IntRange(1), help="Until so many more events.")
@click.option("--accounts", type=click.IntRange(1), help="Until it has met so many more accounts.")
@json_option
@needs_django
def ignore(issue_id: int, span: timedelta | None, events: int | None, accounts: int | None, as_json: bool) -> None:
    """Tell nobody of it: for good, or until what is named here, whichever comes first."""
    from errors.services import issues
    from sysops.kernel.clock import utc_now

    now = utc_now()
    try:
        until = now + span if span else None
    except OverflowError:
        raise click.UsageError("--for: That is too long; leave it out to ignore the issue for good") from None
    with _refused():
        done = issues.ignore(
            _issue(issue_id), by=_actor(), at=now, until=until, more_events=events, more_accounts=accounts
        )
    _show(done, as_json=as_json)


@errors.command()
@id_argument
@json_option
@needs_django
def reopen(issue_id: int, as_json: bool) -> None:
    """It is to be dealt with again; the time to respond starts anew."""
    from errors.services import issues
    from sysops.kernel.clock import utc_now

    with _refused():
        done = issues.reopen(_issue(issue_id), by=_actor(), at=utc_now())
    _show(done, as_json=as_json)


@errors.command()
@id_argument
@click.argument("text")
@json_option
@needs_django
def comment(issue_id: int, text: str, as_json: bool) -> None:
    """Write TEXT into its history."""
    from errors.api.serializers import ActivitySerializer
    from errors.services import issues
    from sysops.kernel.clock import utc_now

    with _refused():
        entry = issues.comment(_issue(issue_id), text=text, by=_actor(), at=utc_now())
    show(ActivitySerializer(entry).data, as_json=as_json, text=lambda: f"The comment is in the history of {issue_id}.")


@errors.command()
@id_argument
@click.argument("level", metavar="SEVERITY", type=click.Choice([*SEVERITIES, RULES]))
@json_option
@needs_django
def severity(issue_id: int, level: str, as_json: bool) -> None:
    """Say how bad it is (critical, high, medium, low), which the rules then leave alone; `rules` gives it back."""
    from errors.rules import Severity
    from errors.services import issues
    from sysops.kernel.clock import utc_now

    given = None if level == RULES else Severity(level)
    with _refused():
        done = issues.set_severity(_issue(issue_id), given, by=_actor(), at=utc_now())
    _show(done, as_json=as_json)


@errors.command()
@id_argument
@click.argument("others", metavar="OTHER...", nargs=-1, required=True, type=Number())
@json_option
@needs_django
def merge(issue_id: int, others: tuple[int, ...], as_json: bool) -> None:
    """Make the OTHER issues of its project part of ID; they are gone then."""
    from errors.services import merging
    from sysops.kernel.clock import utc_now

    with _refused():
        done = merging.merge(_issue(issue_id), [_issue(pk) for pk in others], by=_actor(), at=utc_now())
    _show(done, as_json=as_json)


@errors.command()
@id_argument
@click.argument("grouping", metavar="GROUP", type=Number("group"))
@json_option
@needs_django
def split(issue_id: int, grouping: int, as_json: bool) -> None:
    """Split one of its groups off (`sysops errors show` lists them); prints the new issue."""
    from errors.services import merging
    from sysops.kernel.clock import utc_now

    found = _issue(issue_id).groupings.filter(pk=grouping).first()
    if found is None:
        raise click.UsageError(f"Issue {issue_id} has no group {grouping}; `sysops errors show {issue_id}` lists them")
    with _refused():
        done = merging.unmerge(found, by=_actor(), at=utc_now())
    _show(done, as_json=as_json)


@errors.command()
@json_option
@needs_django
def projects(as_json: bool) -> None:
    """Error projects and the DSNs their applications report to."""
    from errors.models import Project
    from errors.services.projects import dsn

    rows = Project.objects.filter(deleted_at=None).select_related("service", "environment").prefetch_related("keys")
    found = [(row, [dsn(key) for key in row.keys.all() if key.enabled]) for row in rows.order_by("slug")]
    data = [
        {
            "id": str(row.pk),
            "slug": row.slug,
            "name": row.name,
            "service": row.service.slug if row.service else None,
            "environment": row.environment.slug if row.environment else None,
            "enabled": row.enabled,
            "restricted": row.restricted,
            "dsns": dsns,
        }
        for row, dsns in found
    ]
    show(
        data,
        as_json=as_json,
        text=lambda: (
            "\n".join(project_line(row, dsns) for row, dsns in found)
            or "No project reports errors; `sysops errors create-project` makes one"
        ),
    )


@errors.command("create-project")
@click.argument("slug")
@click.option("--name", default="", help="How people call it; the slug when left out.")
@click.option("--service", "service_slug", default=None, help="Slug of the service it is.")
@click.option("--environment", "environment_slug", default=None, help="Slug of the environment it runs in.")
@json_option
@needs_django
def create_project(slug: str, name: str, service_slug: str | None, environment_slug: str | None, as_json: bool) -> None:
    """Make a project and print its DSN, alone on a line: the SENTRY_DSN of the application."""
    from errors.services import projects as services
    from sysops.kernel.clock import utc_now

    service, environment = _service(service_slug), _environment(environment_slug)
    with _refused():
        made = services.create_project(
            slug=slug, name=name or slug, service=service, environment=environment, by=_actor(), at=utc_now()
        )
    dsns = [services.dsn(key) for key in made.keys.all()]
    show({"id": str(made.pk), "slug": made.slug, "dsns": dsns}, as_json=as_json, text=lambda: "\n".join(dsns))


def _actor() -> "Actor":
    from sysops.access.actors import Actor

    return Actor.cli(person())


def _issue(pk: int) -> "Issue":
    from errors.selectors import all_issues
    from errors.services.merging import merged_into

    found = all_issues().filter(pk=pk).first()
    if found is not None:
        return found
    target = merged_into(pk)
    if target is not None and all_issues().filter(pk=target).exists():
        raise click.UsageError(f"Issue {pk} is part of issue {target} now; `sysops errors show {target}` shows it")
    raise click.UsageError(f"There is no issue {pk}; `sysops errors list` lists them")


def _person(slug: str) -> "Person | None":
    from catalogue.models import Person

    if slug == NOBODY:
        return None
    found = Person.objects.filter(slug=slug).first()
    if found is None:
        some = ", ".join(Person.objects.order_by("slug").values_list("slug", flat=True)[:20])
        raise click.UsageError(f"PERSON: There is nobody with the slug {slug!r}. Known: {some or NOBODY}")
    return found


def _service(slug: str | None) -> "Service | None":
    from catalogue.models import Service

    found = Service.objects.filter(slug=slug).first() if slug else None
    if slug and found is None:
        raise click.UsageError(f"--service: There is no service {slug!r}")
    return found


def _environment(slug: str | None) -> "Environment | None":
    from catalogue.models import Environment

    found = Environment.objects.filter(slug=slug).first() if slug else None
    if slug and found is None:
        raise click.UsageError(f"--environment: There is no environment {slug!r}")
    return found


@contextmanager
def _refused() -> Iterator[None]:
    """What services refuse with: 2 for what makes no sense, 1 for what is not possible now."""
    from django.core.exceptions import ValidationError

    from catalogue.services.rows import Overtaken
    from errors.models import WrongState
    from errors.services.issues import IssueGone
    from errors.services.merging import CannotMerge

    try:
        yield
    except ValidationError as exc:
        found = exc.message_dict if hasattr(exc, "error_dict") else {"": exc.messages}
        words = (
            f"{OPTIONS.get(name, '--' + name.replace('_', '-'))}: {' '.join(texts)}" for name, texts in found.items()
        )
        raise click.UsageError("; ".join(words)) from None
    except (WrongState, IssueGone, CannotMerge, Overtaken) as exc:
        raise Failed(str(exc)) from None


def _show(issue: "Issue", *, as_json: bool) -> None:
    from errors.api.serializers import shown
    from errors.links import called
    from errors.selectors import all_issues, sla_state
    from sysops.kernel.clock import utc_now

    now, row = utc_now(), all_issues().get(pk=issue.pk)
    found, names = shown(row.pk), called({row.responded_by})
    show(
        found,
        as_json=as_json,
        text=lambda: "\n".join([line(row, now=now, names=names), *details(found, sla=sla_state(row, now=now))]),
    )
