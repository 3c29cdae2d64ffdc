"""The project that Sysops reports its own errors to."""

from datetime import datetime

from django.db import connection, transaction

from errors.models import Key, Project
from sysops.access import audit
from sysops.access.actors import Actor

SLUG, NUMBER = "sysops", 1  # sysops.own_errors has the number in its DSN


def is_own(project: Project) -> bool:
    """Whether Sysops reports its own errors to it."""
    return (project.pk, project.slug) == (NUMBER, SLUG)


def ensure_own_project(*, number: int, public: str, by: Actor, at: datetime) -> Project:
    """The project with that number and a key `public`; made on the first start, given the key when it is new."""
    with transaction.atomic():
        project, created = Project.objects.get_or_create(
            pk=number,
            defaults={"slug": SLUG, "name": "Sysops itself", "created_at": at, "created_by": by.name},
        )
        if created:
            with connection.cursor() as cursor:  # a number given by hand does not move the sequence
                cursor.execute(
                    "SELECT setval(pg_get_serial_sequence('errors_project', 'id'), max(id)) FROM errors_project"
                )
            audit.record("errors.project.created", by=by, subject=project, at=at, after={"slug": SLUG})
        Key.objects.get_or_create(
            public=public,
            defaults={"project": project, "label": "Sysops' own processes", "created_at": at, "created_by": by.name},
        )
    return project
