"""The command `sysops`. Exit codes: 0 it is so, 1 it is not (or it failed), 2 the command was not understood."""

import click

from sysops.cli import backups, calendar, catalogue, core, errors, maintenance


@click.group()
@click.version_option(package_name="sysops")
def main() -> None:
    """Sysops: backups that prove themselves, and who gets told."""


for _command in (
    core.up,
    core.health,
    core.token,
    core.audit,
    backups.backup,
    backups.backups,
    backups.verify_backup,
    backups.restore,
    backups.restores,
    backups.stop_server,
    backups.check_source,
    catalogue.on_call,
    catalogue.catalogue,
    errors.errors,
    maintenance.schedule,
    maintenance.windows,
    maintenance.window,
    calendar.calendar_link,
):
    main.add_command(_command)
