"""Which queues tasks go to."""

from functools import cache

from sysops.celery import app


@cache
def names_in_use() -> tuple[str, ...]:
    """The queues that the tasks of this installation are routed to, third parties' included; sorted.

    The first call imports every tasks module: make it outside of what is measured.
    """
    app.autodiscover_tasks(force=True)
    app.finalize()
    names = {app.amqp.router.route({}, name)["queue"].name for name in app.tasks if not name.startswith("celery.")}
    return tuple(sorted(names))
