"""How the states of backups look in the admin: always a word, the colour only underlines it."""

from django.utils.html import format_html
from django.utils.safestring import SafeString

from backups.models import Backup
from backups.rules import RestoreStatus, Rung, SlotOutcome, Status, VerificationStatus
from sysops.pages.show import NOTHING, pill

# tone and words of each value; a tone is a class of static/sysops/admin.css
WORDS: dict[str, dict[str, tuple[str, str]]] = {
    "status": {
        Status.QUEUED: ("wait", "Waiting"),
        Status.RUNNING: ("run", "Running"),
        Status.SUCCEEDED: ("good", "Succeeded"),
        Status.FAILED: ("bad", "Failed"),
        Status.INTERRUPTED: ("warn", "Interrupted"),
        Status.EXPIRED: ("off", "Removed"),
    },
    "verification": {
        VerificationStatus.PENDING: ("wait", "Not checked yet"),
        VerificationStatus.RUNNING: ("run", "Being checked"),
        VerificationStatus.PASSED: ("good", "Verified"),
        VerificationStatus.FAILED: ("bad", "Known bad"),
        VerificationStatus.COULD_NOT: ("warn", "Could not verify"),
    },
    "look": {
        VerificationStatus.PENDING: ("wait", "Waiting"),
        VerificationStatus.RUNNING: ("run", "Running"),
        VerificationStatus.PASSED: ("good", "Passed"),
        VerificationStatus.FAILED: ("bad", "Failed"),
        VerificationStatus.COULD_NOT: ("warn", "Could not look"),
    },
    "restore": {
        RestoreStatus.QUEUED: ("wait", "Waiting"),
        RestoreStatus.RUNNING: ("run", "Running"),
        RestoreStatus.SUCCEEDED: ("good", "Succeeded"),
        RestoreStatus.FAILED: ("bad", "Failed"),
    },
    "slot": {
        SlotOutcome.REQUESTED: ("good", "Backup asked for"),
        SlotOutcome.COALESCED: ("off", "Covered by another"),
        SlotOutcome.SKIPPED: ("warn", "Skipped"),
    },
    "readiness": {"good": ("good", "Ready"), "warning": ("warn", "Look at it"), "bad": ("bad", "Not ready")},
    "chain": {"sound": ("good", "Sound"), "broken": ("bad", "Broken"), "none": ("off", "None yet")},
}
RUNGS = {
    Rung.FILES: "Files, right after the backup",
    Rung.REREAD: "Files, read again later",
    Rung.RESTORE: "Restored into scratch",
}


def state(kind: str, value: object) -> SafeString:
    """The pill for a value of this kind; a value nobody told us of shows as it is."""
    tone, words = WORDS[kind].get(str(value), ("off", str(value)))
    return pill(tone, words)


def verification_of(backup: Backup) -> SafeString:
    """What is known of a backup: nothing can be said of one that has no files."""
    looked_at = backup.verification_status != VerificationStatus.PENDING.value
    if backup.status == Status.SUCCEEDED.value or (backup.status == Status.EXPIRED.value and looked_at):
        return state("verification", backup.verification_status)
    return NOTHING


def rung(value: object) -> str:
    return RUNGS.get(str(value), str(value))  # type: ignore[call-overload, no-any-return]


def kind_of(backup: Backup) -> SafeString:
    """The type of a backup, and why it differs from what was asked for."""
    if backup.backup_type == backup.requested_type:
        return format_html("{}", backup.backup_type.capitalize())
    return format_html(
        '{} <small class="so-aside" title="{}">instead of {}</small>',
        backup.backup_type.capitalize(),
        backup.type_reason,
        backup.requested_type,
    )
