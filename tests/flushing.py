"""The test database as it was when it was made, after a test that commits.

Django's own way truncates every table and lets all apps fill in again what they have from the start; several hundred
tests commit. Here only tables that hold something else are emptied, with those that refer to them, and what was there
at first is put back as it was.
"""

from typing import TYPE_CHECKING

from django.db import connection

if TYPE_CHECKING:
    from django.db.backends.utils import CursorWrapper

_TABLES = """
SELECT oid::regclass::text FROM pg_class
WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace
"""
_REFERENCES = "SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint WHERE contype = 'f'"


class Flushing:
    """Knows what the database held when this was made."""

    def __init__(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(_TABLES)
            self._tables = {name for (name,) in cursor.fetchall()}
            cursor.execute(_REFERENCES)
            self._references = [(name, other) for name, other in cursor.fetchall() if name in self._tables]
            self._first = {name: _rows(cursor, name) for name in _holding(cursor, self._tables)}

    def flush(self) -> None:
        """Make it so again."""
        with connection.cursor() as cursor:
            changed = {name for name, rows in self._first.items() if _rows(cursor, name) != rows}
            changed |= _holding(cursor, self._tables - self._first.keys())
            if not changed:
                return
            emptied = self._with_referrers(changed)
            cursor.execute("SET session_replication_role = replica")  # the audit log's triggers refuse this to others
            cursor.execute(f"TRUNCATE {', '.join(sorted(emptied))}")
            for name in emptied & self._first.keys():
                with cursor.copy(f"COPY {name} FROM STDIN") as copy:
                    copy.write(self._first[name])
            cursor.execute("SET session_replication_role = origin")

    def _with_referrers(self, names: set[str]) -> set[str]:
        found: set[str] = set()
        while names - found:
            found |= names
            names = {name for name, other in self._references if other in found}
        return found


def _holding(cursor: "CursorWrapper", tables: set[str]) -> set[str]:
    """Those of the tables that hold a row."""
    cursor.execute(" UNION ALL ".join(f"SELECT '{name}' WHERE EXISTS (SELECT FROM {name})" for name in sorted(tables)))
    return {name for (name,) in cursor.fetchall()}


def _rows(cursor: "CursorWrapper", table: str) -> bytes:
    with cursor.copy(f"COPY {table} TO STDOUT") as copy:
        return b"".join(bytes(part) for part in copy)
