"""The audit log: append-only, and a change to what was written shows."""

import threading
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import Group, User
from django.db import DatabaseError, connection, transaction
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from sysops.access import audit
from sysops.access.actors import Actor, acting, current_actor
from sysops.access.audit import Broken, Note, Verified
from sysops.access.models import AuditEntry
from sysops.access.rules import storable
from tests.access.conftest import AT

BY = Actor.user("ann", address="192.0.2.1")


def write(*names: str) -> list[AuditEntry]:
    return [audit.record("shop.changed", by=BY, subject=name, at=AT, after={"name": name}) for name in names]


def tamper(sql: str, *values: str | int) -> None:
    """What somebody with all rights on the database can do."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # triggers off
        cursor.execute(sql, values)
        cursor.execute("SET LOCAL session_replication_role = DEFAULT")


@pytest.mark.django_db
def test_an_entry_says_who_what_before_after_and_from_where() -> None:
    group = Group(pk=7, name="packers")

    audit.record("shop.changed", by=BY, subject=group, at=AT, before={"name": "a"}, after={"name": "b"})

    entry = AuditEntry.objects.latest("id")
    assert (entry.at, entry.action, entry.by) == (AT, "shop.changed", BY)
    assert (entry.subject, entry.label) == ("auth.group:7", "packers")
    assert (entry.before, entry.after) == ({"name": "a"}, {"name": "b"})


@pytest.mark.django_db
def test_secrets_are_masked_before_they_are_written() -> None:
    settings = {"host": "db", "password": "hunter2", "nested": [{"api_key": "k", "password": ""}], "url": "x://u:pw@h"}

    audit.record("shop.changed", by=BY, subject="s", at=AT, after={"settings": settings})

    assert AuditEntry.objects.latest("id").after == {
        "settings": {
            "host": "db",
            "password": "[redacted]",
            "nested": [{"api_key": "[redacted]", "password": ""}],
            "url": "x://u:[redacted]@h",
        }
    }


@pytest.mark.django_db
@pytest.mark.parametrize("sql", ["UPDATE {} SET actor = 'eve'", "DELETE FROM {}", "TRUNCATE {}"])
def test_the_database_refuses_to_change_the_log(sql: str) -> None:
    write("a")

    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql.format("access_auditentry"))

    assert isinstance(audit.verify(), Verified)


@pytest.mark.django_db
def test_an_untouched_log_verifies_and_tells_its_head() -> None:
    *_, last = write("a", "b", "c")

    found = audit.verify()

    assert found == Verified(AuditEntry.objects.count(), last.hash)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("at", "2020-01-01T00:00:00Z"),
        ("action", "x"),
        ("actor", "eve"),
        ("actor_kind", "system"),
        ("address", "10.0.0.1"),
        ("subject", "x"),
        ("label", "x"),
        ("before", "{}"),
        ("after", '{"name": "x"}'),
        ("hash", "f" * 64),
    ],
)
def test_a_change_behind_the_triggers_back_is_found_at_its_entry(column: str, value: str) -> None:
    _, second, _ = write("a", "b", "c")

    tamper(f"UPDATE access_auditentry SET {column} = %s WHERE id = %s", value, second.pk)

    found = audit.verify()
    assert isinstance(found, Broken)
    assert found.entry_id == second.pk
    assert found.reason == "Its content is not what was recorded"


@pytest.mark.django_db
def test_a_removed_entry_is_found_at_the_one_after_it() -> None:
    _, second, third = write("a", "b", "c")

    tamper("DELETE FROM access_auditentry WHERE id = %s", second.pk)

    found = audit.verify()
    assert isinstance(found, Broken)
    assert found.entry_id == third.pk
    assert "one was removed" in found.reason


@pytest.mark.django_db
def test_entries_that_changed_places_are_found() -> None:
    first, second = write("a", "b")

    tamper("UPDATE access_auditentry SET id = -1 WHERE id = %s", first.pk)
    tamper("UPDATE access_auditentry SET id = %s WHERE id = %s", first.pk, second.pk)
    tamper("UPDATE access_auditentry SET id = %s WHERE id = -1", second.pk)

    assert isinstance(audit.verify(), Broken)


@pytest.mark.django_db
def test_entries_written_together_follow_each_other() -> None:
    notes = [Note("shop.changed", name) for name in "abc"]

    entries = audit.record_many(notes, by=BY, at=AT)

    assert [entry.previous_hash for entry in entries[1:]] == [entry.hash for entry in entries[:-1]]
    assert isinstance(audit.verify(), Verified)


@pytest.mark.django_db(transaction=True)
def test_writers_at_once_make_one_chain() -> None:
    def work() -> None:
        try:
            for _ in range(10):
                with transaction.atomic():
                    write("a", "b")
        finally:
            connection.close()

    before = AuditEntry.objects.count()
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert AuditEntry.objects.count() == before + 80
    assert isinstance(audit.verify(), Verified)


@pytest.mark.django_db(transaction=True)
def test_an_entry_is_lost_with_the_change_it_tells_of() -> None:
    with transaction.atomic():
        write("rolled back")
        transaction.set_rollback(True)
    write("kept")

    assert not AuditEntry.objects.filter(subject="rolled back").exists()
    assert isinstance(audit.verify(), Verified)


@pytest.mark.django_db
def test_odd_values_are_written_as_text_and_still_verify() -> None:
    odd: Any = {
        "when": AT, "id": UUID(int=1), "price": Decimal("1.50"), "names": {"b", "a"}, "nul": "a\0b", "half": "\ud800",
        "huge": 1e300, "small": 1e-7, "whole": 1.0, "nan": float("nan"), "minus": -0.0, 5: "number as name",
        "bytes": b"x", "group": Group(name="packers"), "big": 10**30,
    }  # fmt: skip

    audit.record("shop.changed", by=BY, subject="s", at=AT, after=odd)

    entry = AuditEntry.objects.latest("id")
    assert entry.after is not None
    assert entry.after["when"] == "2026-03-01T12:00:00Z"
    assert entry.after["names"] == ["a", "b"]
    assert entry.after["group"] == "packers"
    assert isinstance(audit.verify(), Verified)


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(value=json_like)
def test_what_is_storable_stays_so(value: object) -> None:
    once = storable(value)

    assert storable(once) == once


@pytest.mark.django_db
def test_sign_ins_and_failed_ones_are_recorded(client: Client) -> None:
    User.objects.create_user("ann", password="a long enough one", is_staff=True)

    def sign_in(password: str) -> None:
        client.post("/admin/login/", {"username": "ann", "password": password, "next": "/admin/"})

    sign_in("a wrong one")
    failed = AuditEntry.objects.latest("id")
    sign_in("a long enough one")
    signed_in = AuditEntry.objects.latest("id")
    client.post("/admin/logout/")
    signed_out = AuditEntry.objects.latest("id")

    assert (failed.action, failed.actor, failed.subject) == ("access.sign_in_failed", "anonymous", "user ann")
    assert (signed_in.action, signed_in.actor, signed_in.address) == ("access.signed_in", "ann", "127.0.0.1")
    assert (signed_out.action, signed_out.actor) == ("access.signed_out", "ann")
    assert not any("wrong one" in str(row) for row in AuditEntry.objects.values())


@pytest.mark.django_db
def test_a_password_changed_in_a_command_is_recorded_on_behalf_of_who_ran_it() -> None:
    user = User.objects.create_user("ann")

    with acting(Actor.cli("root")):
        user.set_password("another long one")
        user.save()

    entry = AuditEntry.objects.latest("id")
    assert (entry.action, entry.by) == ("access.user.changed", Actor.cli("root"))
    assert entry.after == {"password": "[redacted]"}


@pytest.mark.django_db
def test_taking_all_roles_from_somebody_is_recorded() -> None:
    user, group = User.objects.create_user("ann"), Group.objects.get(name="admin")
    user.groups.add(group)
    user.groups.clear()
    cleared = AuditEntry.objects.latest("id")
    group.user_set.add(user)
    added = AuditEntry.objects.latest("id")
    user.delete()

    assert (cleared.action, cleared.before) == ("access.user.groups_removed", {"groups": ["admin"]})
    assert (added.action, added.after) == ("access.group.users_added", {"users": ["ann"]})
    assert AuditEntry.objects.latest("id").action == "access.user.deleted"


def test_code_acts_for_sysops_itself_unless_somebody_said_otherwise() -> None:
    assert current_actor() == Actor.system()
    with acting(Actor.task("backups.take")):
        assert current_actor() == Actor("backups.take", "task")
        with acting(Actor.cli("root")):
            assert current_actor().kind == "cli"
        assert current_actor().kind == "task"
    assert current_actor() == Actor.system()


@pytest.mark.django_db
def test_a_log_longer_than_one_fetch_verifies_and_a_change_deep_in_it_is_found() -> None:
    notes = [Note("shop.changed", str(n)) for n in range(5_000)]
    entries = audit.record_many(notes, by=BY, at=datetime(2026, 1, 1, tzinfo=UTC))
    assert isinstance(audit.verify(), Verified)

    tamper("UPDATE access_auditentry SET actor = 'eve' WHERE id = %s", entries[4_321].pk)

    found = audit.verify()
    assert isinstance(found, Broken)
    assert found.entry_id == entries[4_321].pk
