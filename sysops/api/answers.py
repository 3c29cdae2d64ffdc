"""How long answers to requests with an `Idempotency-Key` are kept. Workers forget them, and load no REST framework."""

from datetime import timedelta

from sysops.api.models import Answer
from sysops.kernel.clock import Clock

KEPT_FOR = timedelta(hours=24)


def clean_up(*, now: Clock) -> int:
    """Forget answers older than 24 hours; how many."""
    return Answer.objects.filter(created_at__lt=now() - KEPT_FOR).delete()[0]
