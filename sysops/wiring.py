"""The only module that knows every app: registers drivers, declares rights, subscribes, builds the beat schedule."""

from celery.schedules import crontab

from alerting.section import alerts_during
from backups import alerts as backup_alerts
from backups import subscribers
from backups.engines.base import engines
from backups.engines.postgres.engine import PostgresEngine
from backups.engines.postgres_dump import PostgresDumpEngine
from backups.gate import FreshBackup
from backups.section import backups_during
from backups.stores.base import stores
from backups.stores.local import LocalStore
from backups.workshop import store_rooms
from catalogue.gates import gates
from catalogue.sections import sections
from errors.message_links import links_for
from errors.section import errors_during
from maintenance import subscribers as maintenance_subscribers
from monitoring.health import Probe, Reading, probes, room
from notifications import subscribers as notification_subscribers
from notifications.channels.apprise import Chat, Sms
from notifications.channels.base import drivers
from notifications.channels.email import EmailDriver
from notifications.channels.webhook import Webhook
from notifications.personal import link_makers
from sysops.access import rights
from sysops.access.roles import ADMIN, APPROVER, OPERATOR, VIEWER
from sysops.celery import app
from sysops.events import subscribe

Entry = dict[str, object]


def wire() -> None:
    """Called once, when every app is ready."""
    _register_drivers()
    probes.register("backup stores", Probe("storage", _store_rooms, keep_seconds=30))
    _declare_rights()
    _subscribe()
    app.conf.beat_schedule = beat_schedule()


def _register_drivers() -> None:
    engines.register(PostgresEngine.name, PostgresEngine())
    engines.register(PostgresDumpEngine.name, PostgresDumpEngine())
    stores.register(LocalStore.name, LocalStore)
    drivers.register("email", EmailDriver())
    drivers.register("webhook", Webhook())
    drivers.register("apprise", Chat())
    drivers.register("apprise-sms", Sms())
    gates.register(FreshBackup.name, FreshBackup())
    sections.register("alerts", alerts_during)
    sections.register("backups", backups_during)
    sections.register("errors", errors_during)
    link_makers.register("errors", links_for)


def _store_rooms() -> list[Reading]:
    """Whether each backup store can be written, and its room."""
    return [
        room(f"store {found.name}", free_bytes=found.free_bytes, total_bytes=found.total_bytes, problem=found.problem)
        for found in store_rooms()
    ]


def _declare_rights() -> None:
    rights.declare("backups.view", roles=[VIEWER], description="See backups, sources and restores")
    rights.declare("backups.request", roles=[OPERATOR], description="Take, verify, cancel and hold backups")
    rights.declare("backups.restore", roles=[APPROVER], description="Restore backups to a new place")
    rights.declare("backups.release_hold", roles=[APPROVER], description="Let retention decide about a held backup")
    rights.declare("backups.configure", roles=[ADMIN], description="Change sources, stores and policies")


def _subscribe() -> None:
    subscribe("backups.backup.queued", subscriber="backups.take", handler=subscribers.take_queued)
    subscribe("backups.verification.queued", subscriber="backups.verify", handler=subscribers.verify_queued)
    subscribe("backups.restore.queued", subscriber="backups.restore", handler=subscribers.restore_queued)
    subscribe("backups.restore.stop_requested", subscriber="backups.stop_server", handler=subscribers.stop_asked)
    for ended in ("succeeded", "failed", "cancelled"):
        subscribe(f"backups.backup.{ended}", subscriber="backups.take_next", handler=subscribers.take_next)
    _subscribe_alerts()
    subscribe(
        "catalogue.subscription.requested",
        subscriber="notifications.ask_to_confirm",
        handler=notification_subscribers.ask_to_confirm,
    )
    for what in ("created", "changed"):
        subscribe(
            f"catalogue.service.{what}",
            subscriber="maintenance.refresh_reach",
            handler=maintenance_subscribers.refresh_reach,
        )


def _subscribe_alerts() -> None:
    for name, handler in {
        "backups.source.failing": backup_alerts.source_failing,
        "backups.source.recovered": backup_alerts.source_recovered,
        "backups.backup.expired": backup_alerts.backup_expired,
    }.items():
        subscribe(name, subscriber=f"alerting.{name}", handler=handler)
    for ended in ("passed", "failed"):
        subscribe(
            f"backups.verification.{ended}",
            subscriber="alerting.backups.verification",
            handler=backup_alerts.verification_ended,
        )


def beat_schedule() -> dict[str, Entry]:
    """Every tick. Beat keeps them as django-celery-beat rows; each is a wake-up, the rows it finds are the truth."""
    return {
        "events: relay": _every(10, "events.relay"),
        "events: clean up": _at("events.clean_up", hour=3, minute=40),
        "api: clean up": _hourly("api.clean_up", minute=35),
        "backups: sweep": _every(15, "backups.sweep"),
        "backups: request what is due": _every(30, "backups.request_due"),
        "backups: re-read all stored backups": _at("backups.queue_rereads", hour=4, minute=0),
        "backups: random restore tests": _at("backups.queue_restore_tests", hour=5, minute=0),
        "backups: apply retention": _hourly("backups.apply_retention", minute=20),
        "backups: clean up": _hourly("backups.clean_up", minute=50),
        "backups: watch recovery points": _every(60, "backups.watch_rpo"),
        "catalogue: clean up": _at("catalogue.clean_up", hour=3, minute=50),
        "alerting: release what maintenance held back": _every(15, "alerting.release_held"),
        "alerting: clean up": _at("alerting.clean_up", hour=3, minute=55),
        "maintenance: tick": _every(10, "maintenance.tick"),
        "maintenance: make windows of series ahead": _hourly("maintenance.make_ahead", minute=10),
        "errors: digest what waits": _every(10, "intake.sweep"),
        "errors: response times, announcements": _every(15, "errors.tick"),
        "errors: apply retention": _hourly("errors.apply_retention", minute=25),
        "errors: remove deleted projects": _every(60, "errors.remove_projects"),
        "notifications: sweep": _every(15, "notifications.sweep"),
        "notifications: clean up": _at("notifications.clean_up", hour=3, minute=45),
    }


def _every(seconds: int, task: str) -> Entry:
    # A tick that could not be worked off before the next one is due is worth nothing.
    return {"task": task, "schedule": float(seconds), "options": {"expires": seconds}}


def _at(task: str, *, hour: int, minute: int) -> Entry:
    return {"task": task, "schedule": crontab(hour=hour, minute=minute), "options": {"expires": 12 * 3600}}


def _hourly(task: str, *, minute: int) -> Entry:
    return {"task": task, "schedule": crontab(minute=minute), "options": {"expires": 3600}}
