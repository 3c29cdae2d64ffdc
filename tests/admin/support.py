"""A house full of backups in every state, as an installation has them after some weeks."""

from datetime import datetime, timedelta

from backups.engines.base import engines
from backups.models import Attempt, Backup, CadenceSlot, Policy, Removal, Restore, Source, Store, Verification
from backups.rules import BackupType, Rung, Status, VerificationStatus
from backups.schedule import Cron
from backups.services.beats import CadencePlan
from backups.services.config import CHAIN_CADENCES, FULL_CADENCES, create_policy
from sysops.access.actors import Actor
from sysops.access.driver_settings import split
from sysops.kernel.clock import utc_now

BY = Actor.user("tester")
GB = 1_000_000_000
HOSTILE = '<script>document.title = "owned"</script>'
CONNECTION = {"host": "db.example.org", "port": 5432, "user": "backup", "dbname": "shop", "password": "very secret"}


def make_policy(**fields: object) -> Policy:
    """A policy with its store and the standard beats."""
    store, _ = Store.objects.get_or_create(
        slug="local",
        defaults={"name": "Local folder", "driver": "local", "settings": {"path": "/srv/backups"}},
    )
    values = {"slug": "standard", "name": "Standard", **fields}
    found = Policy.objects.filter(slug=values["slug"]).first()
    return found or create_policy(
        slug=str(values.pop("slug")),
        name=str(values.pop("name")),
        store=store,
        cadences=(*FULL_CADENCES, *CHAIN_CADENCES),
        by=BY,
        at=utc_now(),
        **values,
    )


def make_source(slug: str, *, engine: str = "postgres", policy: Policy | None = None, **fields: object) -> Source:
    """A source of the standard policy."""
    public, sealed = split(CONNECTION, engines.get("postgres").settings_schema)
    values: dict[str, object] = {
        "name": slug.replace("-", " ").capitalize(),
        "engine": engine,
        "settings": public,
        "sealed_settings": sealed,
        "created_at": utc_now() - timedelta(days=40),
        **fields,
    }
    return Source.objects.create(slug=slug, policy=policy or make_policy(), **values)


def make_backup(source: Source, *, ago: timedelta = timedelta(minutes=30), **fields: object) -> Backup:
    """A backup of the source that succeeded `ago`, if the fields do not say otherwise."""
    at = utc_now() - ago
    values: dict[str, object] = {
        "store": source.policy.store,
        "status": Status.SUCCEEDED.value,
        "requested_type": "full",
        "backup_type": "full",
        "requested_by": "backups.request_due",
        "requested_at": at,
        "not_before": at,
        "attempt": 1,
        "host": "backup-01",
        "engine": source.engine,
        "engine_version": "PostgreSQL 18.1",
        **fields,
    }
    if values["status"] == Status.SUCCEEDED.value:
        size = int(1.84 * GB)
        values = {
            "started_at": at,
            "completed_at": at + timedelta(minutes=3, seconds=12),
            "size_bytes": size,
            "logical_size_bytes": int(size * 3.3),
            "verification_status": VerificationStatus.PASSED.value,
            "verified_at": at + timedelta(minutes=5),
            "delete_after": at + timedelta(days=30),
            "location": f"/srv/backups/{source.slug}",
            "manifest": [
                {"name": f"base/{n}.tar.gz", "size_bytes": size // 3, "sha256": f"{n}" * 64} for n in range(3)
            ],
            **values,
        }
    backup = Backup.objects.create(source=source, **values)
    if backup.started_at:
        ended = {Status.SUCCEEDED.value: "succeeded", Status.FAILED.value: "failed"}.get(backup.status, "")
        Attempt.objects.create(
            backup=backup,
            number=backup.attempt,
            host=backup.host,
            started_at=backup.started_at,
            ended_at=backup.completed_at,
            outcome=ended,
            code=backup.failure_code,
            reason=backup.failure_reason,
        )
    return backup


def make_verification(backup: Backup, rung: Rung = Rung.RESTORE, **fields: object) -> Verification:
    """A look at the backup that passed, if the fields do not say otherwise."""
    at = backup.completed_at or utc_now()
    values: dict[str, object] = {
        "status": VerificationStatus.PASSED.value,
        "requested_by": "backups.take",
        "requested_at": at,
        "not_before": at,
        "started_at": at,
        "completed_at": at + timedelta(minutes=2, seconds=5),
        "host": "backup-01",
        "attempt": 1,
        "detail": "5 checks passed",
        "checks": CHECKS,
        **fields,
    }
    return Verification.objects.create(backup=backup, rung=rung.value, **values)


def _check(name: str, outcome: str, detail: str, seconds: float, **figures: object) -> dict[str, object]:
    return {"name": name, "outcome": outcome, "detail": detail, "duration_seconds": seconds, "figures": figures}


CHECKS = [
    _check("pg_verifybackup", "passed", "backup successfully verified", 11.2, links=1),
    _check("server starts", "passed", "Accepts connections and has left recovery", 4.8, recovery_seconds=3.1),
    _check("marker row", "passed", "The row written just before the backup is there", 0.1, age_seconds=2.4),
    _check("tables and rows", "passed", "All within their bounds", 1.9, tables=214,
           rows_lower=91_402_113, rows_upper=91_402_890, rows_found=91_402_500),
    _check("pg_amcheck", "passed", "No corruption found", 88.4, relations=1_204, read_bytes=6_073_000_000),
]  # fmt: skip
BAD_CHECKS = [
    *CHECKS[:2],
    _check("pg_checksums", "failed", "2 blocks have a wrong checksum in base/16384/24576", 19.7,
           bad_blocks=2, blocks=741_882),
    _check("pg_amcheck", "could_not_verify", "pg_amcheck needs the extension amcheck, which is not installed", 0.2),
]  # fmt: skip


def furnish(*, now: datetime | None = None) -> None:
    """Sources in all states, work under way, a failed, a bad and an unprovable backup, restores."""
    now = now or utc_now()
    dump_policy = create_policy(
        slug="nightly-dump",
        name="Nightly dump",
        store=make_policy().store,
        cadences=[
            CadencePlan("nightly dump", BackupType.FULL, Cron("30", "1", "*", "*", "*", "Europe/Madrid")),
        ],
        rpo_seconds=26 * 3600,
        by=BY,
        at=now,
    )
    shop, blog, mail = make_source("shop-db"), make_source("blog-db"), make_source("mail-archive")
    crm = make_source("crm", engine="postgres-dump", policy=dump_policy)
    make_source("new-warehouse")
    ledger = make_source(
        "ledger",
        failing_since=now - timedelta(hours=2, minutes=10),
        failing_reason="Connection refused by ledger.example.org:5432. Is PostgreSQL running there?",
        failing_tries=7,
    )
    for source, hours in ((shop, 26), (blog, 26), (mail, 50), (crm, 9), (ledger, 27)):
        full = make_backup(source, ago=timedelta(hours=hours), proven_at=now - timedelta(hours=hours - 1))
        make_verification(full, Rung.FILES, checks=CHECKS[:1], detail="1 check passed")
        make_verification(full)
    chain = make_backup(shop, ago=timedelta(minutes=44), backup_type="differential", requested_type="differential",
        parent=Backup.objects.filter(source=shop).first(), size_bytes=212_400_311)  # fmt: skip
    make_verification(chain, Rung.FILES, checks=CHECKS[:1], detail="1 check passed")
    make_backup(
        mail, ago=timedelta(minutes=20), backup_type="full", requested_type="incremental",
        type_reason="There is no stored backup for an incremental one to stand on",
        verification_status="could_not_verify",
        verification_detail="restore: Could not verify: tool_missing: pg_amcheck",
    )  # fmt: skip
    bad = make_backup(
        blog, ago=timedelta(minutes=40), verification_status="failed",
        verification_detail="restore: 2 blocks have a wrong checksum in base/16384/24576",
    )  # fmt: skip
    make_verification(bad, status="failed", detail="1 of 4 checks failed", checks=BAD_CHECKS)
    make_backup(
        ledger, ago=timedelta(minutes=9), status="failed", attempt=5, started_at=now - timedelta(minutes=9),
        completed_at=now - timedelta(minutes=8), failure_code="connection_refused",
        failure_reason=ledger.failing_reason,
    )  # fmt: skip
    make_backup(
        ledger, ago=timedelta(minutes=6), status="queued", attempt=2, not_before=now + timedelta(minutes=4),
        failure_reason=ledger.failing_reason,
    )  # fmt: skip
    make_backup(
        shop, ago=timedelta(minutes=2), status="running", started_at=now - timedelta(seconds=95),
        backup_type="incremental", requested_type="incremental", parent=chain, phase="streaming",
        done_bytes=1_310_720_000, total_bytes=2_147_483_648, rate_bytes_per_second=48_300_000.0,
        lease_until=now + timedelta(days=1),
    )  # fmt: skip
    make_backup(crm, ago=timedelta(seconds=20), status="queued", attempt=0)
    make_verification(
        chain, status="running", completed_at=None, started_at=now - timedelta(seconds=40), phase="checking",
        checks=[], detail="", lease_until=now + timedelta(days=1),
    )  # fmt: skip
    _restores(shop, now)
    gone = make_backup(shop, ago=timedelta(days=33), status="expired", size_bytes=2 * GB)
    Removal.objects.create(
        backup=gone, reason="Past its retention", removed_by="backups.apply_retention",
        removed_at=now - timedelta(days=2), freed_bytes=2 * GB,
    )  # fmt: skip
    for cadence in shop.policy.cadences.order_by("pk"):
        CadenceSlot.objects.create(
            cadence=cadence, source=shop, slot_at=now - timedelta(minutes=44), outcome="requested", backup=chain
        )


def _restores(source: Source, now: datetime) -> None:
    full = Backup.objects.filter(source=source, status="succeeded").earliest("pk")
    common: dict[str, object] = {"backup": full, "requested_by": "anna", "not_before": now, "host": "backup-01"}
    Restore.objects.create(
        target="/srv/restores/shop-db-1-20260301T120000", status="succeeded", attempt=1, start_server=True,
        requested_at=now - timedelta(hours=5), started_at=now - timedelta(hours=5),
        completed_at=now - timedelta(hours=4, minutes=52), checks=CHECKS[1:3],
        connection="host=/srv/restores/shop-db-1-20260301T120000/socket port=5432 user=postgres dbname=shop", **common,
    )  # fmt: skip
    Restore.objects.create(
        target="/srv/restores/try-2", status="failed", attempt=3, requested_at=now - timedelta(hours=1),
        started_at=now - timedelta(hours=1), completed_at=now - timedelta(minutes=55),
        failure_reason="No space left on the disk of /srv/restores: 6.1 GB are needed, 2.0 GB are free", **common,
    )  # fmt: skip
    Restore.objects.create(
        target="/srv/restores/rehearsal", status="running", attempt=1, requested_at=now - timedelta(minutes=3),
        started_at=now - timedelta(minutes=3), phase="restoring", done_bytes=2 * GB, total_bytes=6 * GB,
        rate_bytes_per_second=31e6, lease_until=now + timedelta(days=1), **common,
    )  # fmt: skip
