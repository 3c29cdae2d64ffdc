"""Statements for many rows at once, past the ORM: parameters go to the server as they are, bytes unescaped."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from django.db import connection
from psycopg.rows import TupleRow


@contextmanager
def cursor() -> Iterator[psycopg.Cursor[TupleRow]]:
    """A cursor on Django's own connection, in its transaction; failures are Django's exceptions."""
    connection.ensure_connection()
    raw = connection.connection
    assert raw is not None
    with connection.wrap_database_errors, psycopg.Cursor(raw) as found:
        yield found
