"""How rows that do work change state: compare-and-set, leased, fenced by the attempt number."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Self

from django.db import models

from backups.rules import LEASE, may_move


class WrongState(Exception):
    """The row is not in the state this move starts from, or another worker moved it first."""

    def __init__(self, message: str, *, current: str | None = None) -> None:
        super().__init__(message)
        self.current = current


class Leased(models.Model):
    """A row that waits, is claimed by one worker under a lease, and ends.

    `attempt` is the fence: it grows with each claim, and every write of a worker names the one it holds.
    """

    MOVES: ClassVar[Mapping[Any, frozenset[Any]]]  # each row has its own StrEnum
    RUNNING: ClassVar[StrEnum]
    STATES: ClassVar[type[StrEnum]]

    status = models.CharField(max_length=20)
    attempt = models.PositiveSmallIntegerField(default=0)
    not_before = models.DateTimeField(help_text="Not to be claimed before this moment")
    woken_at = models.DateTimeField(null=True, blank=True, help_text="When a worker was last told of it")
    lease_until = models.DateTimeField(null=True, blank=True)
    host = models.CharField(max_length=255, blank=True, help_text="The machine that works or worked on it")
    phase = models.CharField(max_length=40, blank=True)
    done_bytes = models.BigIntegerField(null=True, blank=True)
    total_bytes = models.BigIntegerField(null=True, blank=True)
    rate_bytes_per_second = models.FloatField(null=True, blank=True)
    cancel_requested_by = models.CharField(max_length=255, blank=True)

    class Meta:
        abstract = True

    def move(self, new: StrEnum, **changes: object) -> None:
        """Compare-and-set: the UPDATE names the state and attempt we read, so one worker wins.

        Raises WrongState.
        """
        old = self.STATES(self.status)
        if not may_move(self.MOVES, old, new):
            raise WrongState(f"{self} is {old} and cannot become {new}", current=old)
        changes["status"] = new.value
        if type(self)._base_manager.filter(pk=self.pk, status=old.value, attempt=self.attempt).update(**changes) != 1:
            raise WrongState(f"{self} was moved by someone else")
        for name, value in changes.items():
            setattr(self, name, value)

    def hold_again(self) -> None:
        """Before a write is tried again: undo in memory what an earlier, rolled back try of it had set."""
        self.status = self.RUNNING.value

    def claim(self, *, at: datetime, host: str, **changes: object) -> None:
        """Take the row to work on it. Raises WrongState when it is not there to be taken."""
        self.move(
            self.RUNNING,
            attempt=self.attempt + 1,
            lease_until=at + LEASE,
            host=host,
            phase="",
            done_bytes=None,
            total_bytes=None,
            rate_bytes_per_second=None,
            **changes,
        )

    @classmethod
    def renew(cls, *, pk: int, attempt: int, until: datetime, **progress: object) -> Self | None:
        """Extend the lease and write the progress; the fresh row, or None when the lease was lost."""
        held = cls._base_manager.filter(pk=pk, attempt=attempt, status=cls.RUNNING.value)
        if held.update(lease_until=until, **progress) != 1:
            return None
        return held.first()
