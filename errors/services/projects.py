"""Projects: what reports errors. The only module that writes them; their keys are in errors.services.keys."""

import time
from collections.abc import Mapping
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import models, transaction

from alerting import services as alerting
from alerting.models import Alert
from catalogue.models import Environment, Service
from errors import project_rules, releases
from errors.models import (
    Attachment,
    CheckIn,
    Event,
    Feedback,
    Grouping,
    Issue,
    OutcomeCount,
    Project,
    Release,
    SessionCount,
    Spool,
    Undigestible,
)
from errors.services import alarms, holding, own, rows, telling
from errors.services.keys import add_key, change_key, dsn
from errors.services.rows import Overtaken
from sysops.access.actors import Actor
from sysops.kernel.clock import Clock

__all__ = [
    "NotToDelete",
    "Overtaken",
    "add_key",
    "change_key",
    "change_project",
    "create_project",
    "delete_project",
    "dsn",
    "newest_release",
    "remove_deleted",
]

_FIXED = frozenset({"slug", "deleted_at", "created_at", "created_by"})
_BESIDE: tuple[type[models.Model], ...] = (
    Undigestible,
    Attachment,
    CheckIn,
    SessionCount,
    Feedback,
    OutcomeCount,
    Release,
)
_RELEASES = 100  # that are looked at to find the newest: a patch of an old line may have come last
_EVENTS, _ISSUES, _FILES = 5_000, 200, 200  # rows removed in one transaction, so that nobody waits for it


class NotToDelete(Exception):
    """Something depends on the project; the message says what, and what to do instead."""


def create_project(
    *,
    slug: str,
    name: str,
    by: Actor,
    at: datetime,
    service: Service | None = None,
    environment: Environment | None = None,
    **settings: object,
) -> Project:
    """A new project with one key. `settings` are any other fields of it, and `readers` and `reader_tokens`.

    Raises ValidationError by field, Overtaken.
    """
    values = {"name": name, "service": service, "environment": environment, **settings}
    if problem := project_rules.slug_problem(slug):
        raise ValidationError({"slug": [problem]})
    _refuse_wrong(values)
    with rows.one_change("the projects"):
        row = Project(slug=slug, created_at=at, created_by=by.name[:255])
        rows.write(row, values)
        add_key(row, by=by, at=at)
        rows.tell("errors.project.created", row, before=None, after=_facts(row), by=by, at=at, about=_about(row))
    return row


def change_project(project: Project, values: Mapping[str, object], *, by: Actor, at: datetime) -> Project:
    """The project with these values; says nothing when nothing differs. Raises ValidationError by field, Overtaken."""
    _refuse_wrong(values)
    with rows.one_change(f"the project {project.slug}"):
        row = rows.fresh(project)
        _refuse_deleted(row)
        before = _facts(row)
        rows.write(row, values)
        after = _facts(row)
        moved, hidden = before["service"] != after["service"], row.restricted and not before["restricted"]
        if moved or hidden:
            holding.hold_groupings()  # the running batch has read how the project was
        if moved:
            _move_issues(row)
        if hidden:
            telling.hide_words(row, at=at)
        if after != before:
            rows.tell("errors.project.changed", row, before=before, after=after, by=by, at=at, about=_about(row))
    return row


def delete_project(project: Project, *, by: Actor, at: datetime) -> None:
    """Nothing it sends is taken from now on, nobody sees it, and its slug is free; `remove_deleted` does the rest.

    Raises NotToDelete, Overtaken.
    """
    with rows.one_change(f"the project {project.slug}"):
        row = rows.fresh(project)
        _refuse_deleted(row)
        if own.is_own(row):
            raise NotToDelete(
                f"Sysops reports its own errors to {row.name}: it cannot be deleted. Switch it off instead, or set "
                "SYSOPS_SENTRY_DSN to report them elsewhere."
            )
        about, before = _about(row), _facts(row)
        Project.objects.filter(pk=row.pk).update(deleted_at=at, enabled=False, slug=f"{row.slug[:40]}-deleted-{row.pk}")
        rows.tell("errors.project.deleted", row, before=before, after=None, by=by, at=at, about=about)


def remove_deleted(*, now: Clock, seconds: float = 60.0) -> bool:
    """Whether something is left of projects that were asked to be deleted; some or all of it is gone.

    Every transaction is short, and may be the last one: what is left is found the next time.
    """
    stop = time.monotonic() + seconds
    for project in Project.objects.filter(deleted_at__isnull=False).order_by("deleted_at", "pk"):
        while _remove_some(project, at=now()):
            if time.monotonic() >= stop:
                return True
    return False


def newest_release(project: Project, *, like: str = "") -> str:
    """The newest of its releases that was seen, of the same package as `like`; "" for none."""
    seen = Release.objects.filter(project=project).order_by("-first_seen", "-pk")[:_RELEASES]
    found = [releases.Seen(row.version, row.first_seen) for row in seen if releases.related(row.version, like)]
    newest = releases.newest(found)
    return newest.version if newest else ""


def _remove_some(project: Project, *, at: datetime) -> bool:
    """Whether there was something to remove of it; a bounded part of that is gone."""
    waiting = list(Spool.objects.filter(project_id=project.pk).values_list("pk", flat=True)[:_EVENTS])
    if waiting:
        Spool.objects.filter(pk__in=waiting).delete()
        return True
    issues = list(Issue.objects.filter(project=project).order_by("pk").values_list("pk", flat=True)[:_ISSUES])
    if issues:
        return _remove_issues(project, issues, at=at)
    for kind in _BESIDE:
        batch = _FILES if kind in (Attachment, Undigestible) else _EVENTS
        keys = list(kind._default_manager.filter(project=project).order_by().values_list("pk", flat=True)[:batch])
        if keys:
            kind._default_manager.filter(pk__in=keys).delete()
            return True
    return bool(Project.objects.filter(pk=project.pk).delete()[0])


def _remove_issues(project: Project, issues: list[int], *, at: datetime) -> bool:
    groupings = list(Grouping.objects.filter(issue__in=issues).values_list("pk", flat=True))
    events = Event.objects.filter(grouping__in=groupings)
    some = list(events.order_by().values_list("event_id", flat=True)[:_EVENTS])
    if some:
        events.filter(event_id__in=some).delete()
        return True
    with transaction.atomic():
        Issue.objects.filter(pk__in=issues).delete()  # its groupings, accounts, tags and history go with it
        keys = [alarms.issue_key(pk) for pk in issues]
        for key in Alert.objects.filter(key__in=keys, resolved_at=None).values_list("key", flat=True):
            alerting.resolve(key=key, detail=telling.DELETED, at=at)
        telling.take_back_deleted(project, issues, at=at)
    return True


def _move_issues(row: Project) -> None:
    """Its issues follow it to its service. Locked by their keys first: so does the digest, several at once."""
    issues = Issue.objects.filter(project=row)
    list(issues.order_by("pk").select_for_update(of=("self",)).values_list("pk", flat=True))
    issues.update(service=row.service)


def _refuse_wrong(values: Mapping[str, object]) -> None:
    if fixed := sorted(_FIXED & set(values)):
        raise ValidationError({name: ["Cannot be changed."] for name in fixed})
    checks = {
        "allowed_origins": project_rules.origins_problem,
        "scrub_fields": project_rules.fields_problem,
    }
    found = {name: [text] for name, check in checks.items() if name in values and (text := check(values[name]))}
    if found:
        raise ValidationError(found)


def _refuse_deleted(row: Project) -> None:
    if row.deleted_at is not None:
        raise Overtaken(f"The project {row.name} has just been deleted.")


def _facts(row: Project) -> dict[str, object]:
    return rows.facts(row, without=["deleted_at", "created_at", "created_by"])


def _about(row: Project) -> dict[str, object]:
    """For events, which everybody may read: of a restricted project not what it is called."""
    named = {} if row.restricted else {"project": row.slug}
    return {**named, "enabled": row.enabled, "restricted": row.restricted}
