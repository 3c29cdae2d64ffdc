"""What the services of errors refuse with, as the problems of the API."""

from collections.abc import Iterator
from contextlib import contextmanager

from errors.models import WrongState
from errors.services.issues import IssueGone
from errors.services.merging import CannotMerge
from errors.services.projects import NotToDelete
from errors.services.rows import Overtaken
from sysops.api.problems import Conflict


@contextmanager
def refused() -> Iterator[None]:
    """Inside the block, whatever a service refuses with is a 409 that says why; bad values are a 400 by themselves."""
    try:
        yield
    except WrongState as exc:
        raise Conflict(str(exc), current_status=exc.current) from None
    except (IssueGone, CannotMerge, NotToDelete, Overtaken) as exc:
        raise Conflict(str(exc)) from None
