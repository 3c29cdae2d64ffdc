"""The rows of this app: what is configured (config) and what happened (records)."""

from backups.models.config import Cadence, Policy, Source, Store
from backups.models.moves import WrongState
from backups.models.records import Attempt, Backup, CadenceSlot, Removal
from backups.models.work import Restore, Verification

__all__ = [
    "Attempt",
    "Backup",
    "Cadence",
    "CadenceSlot",
    "Policy",
    "Removal",
    "Restore",
    "Source",
    "Store",
    "Verification",
    "WrongState",
]
