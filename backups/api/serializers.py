"""How backups, verifications, restores and sources look over HTTP."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from backups.engines.base import Outcome
from backups.models import Backup, Policy, Restore, Source, Verification
from backups.rules import BackupType, RestoreStatus, Rung, Status, VerificationStatus
from catalogue.models import Service
from sysops.access import driver_settings as secrets
from sysops.api.forms import Form
from sysops.api.serializers import Named

# The contract knows four words; "could not verify" is not yet verified, and the detail says why.
CONTRACT_VERIFICATION = {
    VerificationStatus.COULD_NOT.value: VerificationStatus.PENDING.value,
}


def seconds(start: datetime | None, end: datetime | None) -> int | None:
    """Whole seconds from start to end; None when either is unknown."""
    return round((end - start).total_seconds()) if start and end else None


class ProgressOut(serializers.Serializer[Backup]):
    """How far running work is; figures that were not measured are null."""

    phase = serializers.CharField()
    percent = serializers.FloatField(allow_null=True)
    done_bytes = serializers.IntegerField(allow_null=True)
    total_bytes = serializers.IntegerField(allow_null=True)
    rate_bytes_per_second = serializers.FloatField(allow_null=True)
    remaining_seconds = serializers.IntegerField(allow_null=True)


def progress_of(row: Backup | Verification | Restore) -> dict[str, object]:
    """The progress of a leased row, as ProgressOut has it."""
    done, total, rate = row.done_bytes, row.total_bytes, row.rate_bytes_per_second
    if done is None or not total:
        percent, left = None, None
    else:
        # The total is an estimate made at the start; a growing database must not show 103 %.
        percent = round(min(100.0, 100 * done / total), 1)
        left = round(max(0, total - done) / rate) if rate else None
    return {
        "phase": row.phase,
        "percent": percent,
        "done_bytes": done,
        "total_bytes": total,
        "rate_bytes_per_second": rate,
        "remaining_seconds": left,
    }


class VerificationOut(serializers.Serializer[Backup]):
    status = serializers.ChoiceField(["pending", "running", "passed", "failed"])
    checked_at = serializers.DateTimeField(allow_null=True)
    detail = serializers.CharField()
    proven_at = serializers.DateTimeField(allow_null=True, help_text="Last restored into scratch and found right")


class RetentionOut(serializers.Serializer[Backup]):
    state = serializers.ChoiceField(["online", "archived", "expired"])
    online_until = serializers.DateTimeField(allow_null=True)
    delete_after = serializers.DateTimeField(allow_null=True)
    held = serializers.BooleanField()


class BackupSerializer(serializers.ModelSerializer[Backup]):
    """One backup. Unknown values are null."""

    id = serializers.CharField(source="pk", read_only=True)
    source = serializers.CharField(source="source.slug", read_only=True)  # type: ignore[assignment]
    store = serializers.CharField(source="store.slug", read_only=True)
    parent = serializers.CharField(source="parent_id", allow_null=True, read_only=True)  # type: ignore[assignment]
    success = serializers.SerializerMethodField()
    failure_reason = serializers.SerializerMethodField()
    duration_seconds = serializers.SerializerMethodField()
    progress = serializers.SerializerMethodField()
    verification = serializers.SerializerMethodField()
    retention = serializers.SerializerMethodField()

    class Meta:
        model = Backup
        fields = [
            "id",
            "source",
            "backup_type",
            "requested_type",
            "type_reason",
            "status",
            "success",
            "failure_reason",
            "parent",
            "requested_at",
            "requested_by",
            "started_at",
            "completed_at",
            "duration_seconds",
            "size_bytes",
            "logical_size_bytes",
            "store",
            "location",
            "engine",
            "engine_version",
            "host",
            "attempt",
            "not_before",
            "progress",
            "verification",
            "retention",
        ]
        read_only_fields = fields

    def get_success(self, row: Backup) -> bool | None:
        if row.status in (Status.SUCCEEDED.value, Status.EXPIRED.value):
            return True
        return False if row.status == Status.FAILED.value else None

    def get_failure_reason(self, row: Backup) -> str | None:
        return row.failure_reason or None

    def get_duration_seconds(self, row: Backup) -> int | None:
        return seconds(row.started_at, row.completed_at)

    @extend_schema_field(ProgressOut)
    def get_progress(self, row: Backup) -> dict[str, object]:
        return progress_of(row)

    @extend_schema_field(VerificationOut)
    def get_verification(self, row: Backup) -> dict[str, object]:
        return {
            "status": CONTRACT_VERIFICATION.get(row.verification_status, row.verification_status),
            "checked_at": row.verified_at,
            "detail": row.verification_detail,
            "proven_at": row.proven_at,
        }

    @extend_schema_field(RetentionOut)
    def get_retention(self, row: Backup) -> dict[str, object]:
        return {
            "state": "expired" if row.status == Status.EXPIRED.value else "online",
            "online_until": row.delete_after,
            "delete_after": row.delete_after,
            "held": bool(row.held_by),
        }


class CheckOut(serializers.Serializer[object]):
    name = serializers.CharField()
    passed = serializers.BooleanField(help_text="False also when it could not look; `outcome` tells which")
    outcome = serializers.ChoiceField(["passed", "failed", "could_not_verify"])
    detail = serializers.CharField()
    figures = serializers.DictField()
    duration_seconds = serializers.FloatField(allow_null=True)


def check_out(check: Mapping[str, object]) -> dict[str, object]:
    """A check as it is kept, as CheckOut has it."""
    return {**check, "passed": check["outcome"] == Outcome.PASSED.value}


def checks_of(row: Verification | Restore) -> list[dict[str, object]]:
    """The kept checks, as CheckOut has them."""
    return [check_out(check) for check in row.checks]


class VerificationSerializer(serializers.ModelSerializer[Verification]):
    """One look at a backup, with every check and its figures."""

    id = serializers.CharField(source="pk", read_only=True)
    backup = serializers.CharField(source="backup_id", read_only=True)
    rung = serializers.ChoiceField([r.value for r in Rung], read_only=True)
    status = serializers.ChoiceField([s.value for s in VerificationStatus], read_only=True)
    duration_seconds = serializers.SerializerMethodField()
    checks = serializers.SerializerMethodField()
    progress = serializers.SerializerMethodField()

    class Meta:
        model = Verification
        fields = [
            "id",
            "backup",
            "rung",
            "status",
            "detail",
            "requested_at",
            "requested_by",
            "started_at",
            "completed_at",
            "duration_seconds",
            "host",
            "attempt",
            "progress",
            "checks",
        ]
        read_only_fields = fields

    def get_duration_seconds(self, row: Verification) -> int | None:
        return seconds(row.started_at, row.completed_at)

    @extend_schema_field(CheckOut(many=True))
    def get_checks(self, row: Verification) -> list[dict[str, object]]:
        return checks_of(row)

    @extend_schema_field(ProgressOut)
    def get_progress(self, row: Verification) -> dict[str, object]:
        return progress_of(row)


class RestoreSerializer(serializers.ModelSerializer[Restore]):
    """One restore: where to, how far, what the checks of it found."""

    id = serializers.CharField(source="pk", read_only=True)
    backup = serializers.CharField(source="backup_id", read_only=True)
    status = serializers.ChoiceField([s.value for s in RestoreStatus], read_only=True)
    failure_reason = serializers.SerializerMethodField()
    duration_seconds = serializers.SerializerMethodField()
    checks = serializers.SerializerMethodField()
    progress = serializers.SerializerMethodField()
    connection = serializers.SerializerMethodField()

    class Meta:
        model = Restore
        fields = [
            "id",
            "backup",
            "target",
            "status",
            "failure_reason",
            "requested_at",
            "requested_by",
            "started_at",
            "completed_at",
            "duration_seconds",
            "host",
            "attempt",
            "start_server",
            "connection",
            "server_stopped_at",
            "stop_requested_by",
            "stop_requested_at",
            "stop_failure",
            "progress",
            "checks",
        ]
        read_only_fields = fields

    def get_failure_reason(self, row: Restore) -> str | None:
        return row.failure_reason or None

    def get_duration_seconds(self, row: Restore) -> int | None:
        return seconds(row.started_at, row.completed_at)

    def get_connection(self, row: Restore) -> str | None:
        return row.connection or None

    @extend_schema_field(CheckOut(many=True))
    def get_checks(self, row: Restore) -> list[dict[str, object]]:
        return checks_of(row)

    @extend_schema_field(ProgressOut)
    def get_progress(self, row: Restore) -> dict[str, object]:
        return progress_of(row)


class ReadinessOut(serializers.Serializer[object]):
    """Whether the source could be brought back now (SPEC B14)."""

    state = serializers.ChoiceField(["good", "warning", "bad"])
    words = serializers.CharField()
    last_good_backup = serializers.CharField(allow_null=True)
    age_seconds = serializers.IntegerField(allow_null=True)
    rpo_seconds = serializers.IntegerField()
    within_rpo = serializers.BooleanField(allow_null=True)
    last_proven_backup = serializers.CharField(allow_null=True)
    last_proven_at = serializers.DateTimeField(allow_null=True)
    proven_restore_seconds = serializers.IntegerField(allow_null=True)
    rto_seconds = serializers.IntegerField()
    within_rto = serializers.BooleanField(allow_null=True)
    chain = serializers.ChoiceField(["sound", "broken", "none"])
    failing_since = serializers.DateTimeField(allow_null=True)
    failing_reason = serializers.CharField(allow_null=True)


def whole(span: timedelta | None) -> int | None:
    """A span in whole seconds."""
    return round(span.total_seconds()) if span is not None else None


class SourceSerializer(serializers.ModelSerializer[Source]):
    """One source with its readiness; secrets in the settings show as a mask."""

    policy = serializers.CharField(source="policy.slug", read_only=True)
    service = serializers.CharField(source="service.slug", allow_null=True, read_only=True)
    settings = serializers.SerializerMethodField()
    readiness = serializers.SerializerMethodField()

    class Meta:
        model = Source
        fields = ["slug", "name", "engine", "policy", "service", "settings", "enabled", "created_at", "readiness"]
        read_only_fields = fields

    @extend_schema_field(serializers.DictField())
    def get_settings(self, row: Source) -> dict[str, object]:
        return secrets.masked(row.settings, row.sealed_settings)

    @extend_schema_field(ReadinessOut)
    def get_readiness(self, row: Source) -> dict[str, object]:
        found = self.context["readiness"][row.pk]
        return {
            "state": found.state,
            "words": found.words,
            "last_good_backup": str(found.last_good.pk) if found.last_good else None,
            "age_seconds": whole(found.age),
            "rpo_seconds": whole(found.rpo),
            "within_rpo": found.within_rpo,
            "last_proven_backup": str(found.last_proven.pk) if found.last_proven else None,
            "last_proven_at": found.proven_at,
            "proven_restore_seconds": whole(found.proven_restore),
            "rto_seconds": whole(found.rto),
            "within_rto": found.within_rto,
            "chain": found.chain_state,
            "failing_since": row.failing_since,
            "failing_reason": row.failing_reason or None,
        }


class BackupIn(Form):
    """What to back up, and how much of it."""

    source = Named(  # type: ignore[assignment]
        slug_field="slug", queryset=Source.objects.select_related("policy")
    )
    backup_type = serializers.ChoiceField([t.value for t in BackupType])


class VerifyIn(Form):
    rung = serializers.ChoiceField(
        [Rung.FILES.value, Rung.RESTORE.value],
        required=False,
        default=Rung.RESTORE.value,
        help_text="How deep: the stored files, or a restore into scratch (default)",
    )


class RestoreIn(Form):
    """Where to and how. The defaults restore the whole into a folder named for you."""

    target = serializers.CharField(required=False, max_length=1000, help_text="A new folder below SYSOPS_RESTORE_DIR")
    start_server = serializers.BooleanField(required=False, default=False)
    paths = serializers.ListField(child=serializers.CharField(max_length=1000), required=False, max_length=1000)
    point_in_time = serializers.DateTimeField(required=False)
    in_place = serializers.BooleanField(required=False, default=False)
    confirm = serializers.CharField(required=False, max_length=80)

    def validate_point_in_time(self, value: datetime) -> datetime:
        raise serializers.ValidationError("Point-in-time restore needs an archive of WAL, which no engine here keeps")

    def validate_in_place(self, value: bool) -> bool:
        if value:
            raise serializers.ValidationError("Restores go to a new place only; leave in_place out")
        return value


class HoldIn(Form):
    reason = serializers.CharField(max_length=1000)


class SourceIn(Form):
    slug = serializers.SlugField(max_length=80)
    name = serializers.CharField(max_length=200)
    engine = serializers.CharField(max_length=60)
    settings = serializers.DictField(help_text="As the engine's schema says; see backup-engines")
    policy = Named(slug_field="slug", queryset=Policy.objects.all(), required=False)
    service = Named(slug_field="slug", queryset=Service.objects.all(), required=False)


class SourceChange(Form):
    """What is given is changed. Slug and engine stay."""

    name = serializers.CharField(max_length=200, required=False)
    settings = serializers.DictField(
        required=False, help_text="All of them, as the engine's schema says; a secret given as the mask stays as it was"
    )
    policy = Named(slug_field="slug", queryset=Policy.objects.all(), required=False)
    service = Named(
        slug_field="slug",
        queryset=Service.objects.all(),
        required=False,
        allow_null=True,
        help_text="The service it belongs to; null for none",
    )
    enabled = serializers.BooleanField(required=False, help_text="Whether it is backed up on schedule")


class EngineOut(serializers.Serializer[object]):
    name = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    types = serializers.ListField(child=serializers.ChoiceField([t.value for t in BackupType]))
    settings_schema = serializers.DictField()
