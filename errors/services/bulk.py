"""Many rows changed by one statement, each to values of its own."""

from collections.abc import Sequence

from django.db import connection, models


def update(rows: Sequence[models.Model], *names: str) -> None:
    """Write these fields of all these rows (of one model) as they are in memory. One statement; none for no rows."""
    if not rows:
        return
    meta = rows[0]._meta
    quote = connection.ops.quote_name
    values, types, columns = [], [], []
    for name in ("pk", *names):
        field = meta.pk if name == "pk" else meta.get_field(name)
        assert isinstance(field, models.Field)
        assert field.column is not None
        values.append([field.get_db_prep_save(getattr(row, field.attname), connection) for row in rows])
        types.append(f"%s::{field.rel_db_type(connection) if field.primary_key else field.db_type(connection)}[]")
        columns.append(quote(field.column))
    table = quote(meta.db_table)
    changes = ", ".join(f"{column} = given.{column}" for column in columns[1:])
    # Of names of our own models alone; the values are parameters.
    query = (
        f"UPDATE {table} SET {changes} FROM unnest({', '.join(types)}) AS given({', '.join(columns)}) "  # noqa: S608
        f"WHERE {table}.{columns[0]} = given.{columns[0]}"
    )
    with connection.cursor() as cursor:
        cursor.execute(query, values)
