"""What a batch of the digest reads once and relies on; whoever changes it waits for the batch, and is waited for.

It is which grouping belongs to which issue, and what a project is: which service it runs for, whether it is restricted.
"""

from django.db import connection

_LOCK = 7_305_021  # advisory lock


def keep_groupings() -> None:
    """Until the end of the transaction none of it changes. For the digest; any number of these at once."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [_LOCK])


def hold_groupings() -> None:
    """Until the end of the transaction no batch reads it. Before any issue is locked."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
