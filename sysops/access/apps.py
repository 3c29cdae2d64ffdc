"""People's rights as a Django app."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AccessConfig(AppConfig):
    name = "sysops.access"
    verbose_name = "Access"

    def ready(self) -> None:
        from sysops.access import auth_signals, sync
        from sysops.access.rights import ADMIN, SECURITY, VIEWER, declare

        declare("audit.view", roles=[SECURITY], description="Read the audit log")
        declare("tokens.view", roles=[SECURITY], description="See which API tokens exist")
        declare("tokens.create", roles=[ADMIN], description="Make API tokens")
        declare("tokens.revoke", roles=[SECURITY], description="Revoke API tokens")
        declare("people.view", roles=[SECURITY], description="See who may sign in, with which roles")
        declare("people.manage", roles=[ADMIN], description="Add, change and remove people and their roles")
        declare("events.view", roles=[VIEWER], description="See events and their deliveries")
        declare("events.retry", roles=[ADMIN], description="Try a dead delivery again")
        declare("queue.view", roles=[VIEWER], description="Watch the queue in Flower")
        declare("queue.control", roles=[ADMIN], description="Change the queue in Flower: revoke tasks, stop workers")
        post_migrate.connect(sync.after_migrate, sender=self, dispatch_uid="sysops.access.sync")
        auth_signals.connect()
