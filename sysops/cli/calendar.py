"""`sysops calendar-link`: the address that calendar programs subscribe to."""

from urllib.parse import urlencode

import click

from sysops.cli.base import Failed, needs_django


@click.command("calendar-link")
@click.option("--service", default=None, help="Only windows that affect the service with this slug.")
@needs_django
def calendar_link(service: str | None) -> None:
    """Print the link of the maintenance calendar, with its key where the feed is secret."""
    from django.conf import settings

    from catalogue.models import Service
    from maintenance.api.feed import ADDRESS, feed_key

    env = settings.ENV
    if env.calendar_feed == "off":
        raise Failed("The calendar feed is switched off; set SYSOPS_CALENDAR_FEED to public or secret.")
    if service is not None and not Service.objects.filter(slug=service).exists():
        raise click.UsageError(f"There is no service {service!r}")
    asked = {"service": service} if service else {}
    if env.calendar_feed == "secret":
        asked["key"] = feed_key()
    base = (env.public_url or f"http://{env.host}:{env.port}").rstrip("/")
    click.echo(base + ADDRESS + (f"?{urlencode(asked)}" if asked else ""))
