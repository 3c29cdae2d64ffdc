"""`sysops on-call` and `sysops catalogue`: who answers, and the whole catalogue as a file."""

import click

from sysops.cli.base import Failed, json_option, needs_django, person, show


@click.command("on-call")
@click.argument("team")
@click.option("--at", "moment", default=None, help="A time such as 2026-03-02T09:00:00Z; default: now.")
@json_option
@needs_django
def on_call(team: str, moment: str | None, as_json: bool) -> None:
    """Who is on call for TEAM, how to reach them, and why it is them. Exit code 1 when the team has nobody."""
    from catalogue.models import Team
    from catalogue.rota import parse_moment
    from catalogue.selectors_oncall import on_call as who
    from sysops.kernel.clock import utc_now

    row = Team.objects.filter(slug=team).first()
    if row is None:
        raise Failed(f"There is no team {team!r}.")
    try:
        at = parse_moment(moment) if moment else utc_now()
    except ValueError as exc:
        raise click.BadParameter(str(exc), param_hint="--at") from None
    found = who([row.pk], at=at)[row.pk]
    people = [
        {
            "slug": one.slug,
            "name": one.name,
            "contacts": [{"channel": c.channel, "address": c.address} for c in one.contacts.all()],
        }
        for one in found.people
    ]
    data = {"team": team, "at": at.isoformat(), "people": people, "because": found.because}
    lines = [f"{one.name}: {', '.join(c.address for c in one.contacts.all()) or 'no address'}" for one in found.people]
    show(data, as_json=as_json, text=lambda: "\n".join([*lines, f"Because: {found.because}."]))
    if not found.people:
        raise SystemExit(1)


@click.group()
def catalogue() -> None:
    """The whole catalogue as a file: written, and read back as often as you like."""


_format = click.option(
    "--format",
    "form",
    type=click.Choice(["json", "yaml"]),
    default=None,
    help="Default: by the file's name; YAML unless it ends in .json.",
)


@catalogue.command("export")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True), default="-")
@_format
@needs_django
def export(file: str, form: str | None) -> None:
    """Write environments, hosts, people, teams, services, subscriptions and rotas to FILE ("-": standard output)."""
    from catalogue.documents import write
    from catalogue.services.transfer import export_catalogue

    text = write(export_catalogue(), form=form or _form_of(file))
    try:
        with click.open_file(file, "w", encoding="utf-8", atomic=file != "-") as out:
            out.write(text)
    except OSError as exc:
        raise Failed(f"{file} cannot be written: {exc.strerror}") from None


@catalogue.command("import")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@_format
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@click.option("--prune", is_flag=True, help="Also remove what the file's lists do not name, unless it is in use.")
@json_option
@needs_django
def import_(file: str, form: str | None, dry_run: bool, prune: bool, as_json: bool) -> None:
    """Make the catalogue what FILE says: all or nothing. What it does not name stays. Exit code 1 when refused."""
    from catalogue.documents import LARGEST_BYTES, BadDocument, read
    from catalogue.services import Overtaken
    from catalogue.services.transfer import Outcome, import_catalogue
    from sysops.access.actors import Actor
    from sysops.kernel.clock import utc_now

    try:
        with click.open_file(file, "rb") as source:
            raw = source.read(LARGEST_BYTES + 1)
        document = read(raw, form=form or _form_of(file))
        outcome: Outcome = import_catalogue(
            document, by=Actor.cli(person()), at=utc_now(), dry_run=dry_run, prune=prune
        )
    except OSError as exc:
        raise Failed(f"{file} cannot be read: {exc.strerror}") from None
    except (BadDocument, Overtaken) as exc:
        raise Failed(f"Nothing was changed.\n{exc}") from None
    show(outcome.as_json(), as_json=as_json, text=lambda: "\n".join(outcome.words()))


def _form_of(file: str) -> str:
    return "json" if file.endswith(".json") else "yaml"
