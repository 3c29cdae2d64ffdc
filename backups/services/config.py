"""Sources, stores, policies and cadences: what is backed up, where to, when."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db import IntegrityError, transaction

from backups.engines.base import engines
from backups.models import Policy, Source, Store
from backups.rules import BackupType
from backups.schedule import Cron
from backups.services.beats import CadencePlan, add_cadence, check_types
from backups.services.cadence import follow_edits
from backups.stores.base import StoreError, stores
from backups.workshop import open_store
from catalogue.models import Service
from sysops.access import audit
from sysops.access import driver_settings as secrets
from sysops.access.actors import Actor
from sysops.access.driver_settings import BadSettings
from sysops.events import publish
from sysops.kernel.registry import UnknownName

# SPEC B4.
FULL_CADENCES = (
    CadencePlan("daily full", BackupType.FULL, Cron("0", "2", "*", "*", "*")),
    CadencePlan("weekly image", BackupType.FULL, Cron("0", "2", "*", "*", "0"), keep_days=28),
    CadencePlan("monthly archive", BackupType.FULL, Cron("0", "2", "1", "*", "*"), keep_days=365),
)
CHAIN_CADENCES = (
    CadencePlan("six-hourly incremental", BackupType.INCREMENTAL, Cron("0", "*/6", "*", "*", "*")),
    CadencePlan("hourly differential", BackupType.DIFFERENTIAL, Cron("0", "*", "*", "*", "*")),
)
ADDRESS_SETTINGS = ("host", "port", "url", "endpoint", "sslmode")
STANDARD_POLICY = "standard"
FULL_ONLY_POLICY = "full-only"
LOCAL_STORE = "local"


def create_store(
    *, slug: str, name: str, driver: str, settings: Mapping[str, object], by: Actor, at: datetime
) -> Store:
    """A place for backups, tried once by writing to it. Raises BadSettings."""
    try:
        schema = stores.get(driver).settings_schema
    except UnknownName as exc:
        raise BadSettings({"driver": [str(exc)]}) from None
    public, sealed = secrets.split(secrets.check(settings, schema), schema)
    store = Store(slug=slug, name=name, driver=driver, settings=public, sealed_settings=sealed)
    try:
        open_store(store).check()
    except StoreError as exc:
        raise BadSettings({"settings": [str(exc)]}) from exc
    with transaction.atomic():
        store.save()
        audit.record("backups.store.created", by=by, subject=store, at=at, after={"slug": slug, "driver": driver})
    return store


def create_policy(
    *, slug: str, name: str, store: Store, cadences: Sequence[CadencePlan], by: Actor, at: datetime, **fields: object
) -> Policy:
    """A policy with its cadences as django-celery-beat rows. Raises BadSettings for a rule that makes no sense."""
    with transaction.atomic():
        policy = Policy.objects.create(slug=slug, name=name, store=store, **fields)
        audit.record("backups.policy.created", by=by, subject=policy, at=at, after={"slug": slug})
        for plan in cadences:
            add_cadence(policy, plan, by=by, at=at)
    return policy


def create_source(
    *,
    slug: str,
    name: str,
    engine: str,
    settings: Mapping[str, object],
    by: Actor,
    at: datetime,
    policy: Policy | None = None,
    service: Service | None = None,
) -> Source:
    """Something to back up; without a policy, the shipped one that its engine can do all of.

    Raises BadSettings naming each field: unknown engine, settings that do not fit its schema, a slug in
    use, a policy with a type the engine does not have.
    """
    try:
        driver = engines.get(engine)
    except UnknownName as exc:
        raise BadSettings({"engine": [str(exc)]}) from None
    public, sealed = secrets.split(secrets.check(settings, driver.settings_schema), driver.settings_schema)
    policy = policy or default_policy(driver.types)
    check_types(engine, [BackupType(c.backup_type) for c in policy.cadences.all()], field="policy")
    try:
        with transaction.atomic():
            source = Source.objects.create(
                slug=slug,
                name=name,
                engine=engine,
                policy=policy,
                service=service,
                settings=public,
                sealed_settings=sealed,
                created_at=at,
            )
            facts = {"slug": slug, "engine": engine, "policy": policy.slug, "settings": public}
            audit.record("backups.source.created", by=by, subject=source, at=at, after=facts)
            publish("backups.source.created", subject=source.pk, at=at, data={"slug": slug})
    except IntegrityError:
        raise BadSettings({"slug": [f"There is a source {slug!r} already; choose another slug"]}) from None
    return source


def change_source(
    source: Source,
    *,
    by: Actor,
    at: datetime,
    settings: Mapping[str, object] | None = None,
    policy: Policy | None = None,
    **fields: object,
) -> Source:
    """The source with what is given changed: other settings (a secret given as the mask stays as it was), another
    policy, other `fields`. Raises BadSettings."""
    changes, sealed_before = dict(fields), source.sealed_settings
    if settings is not None:
        changes["settings"], changes["sealed_settings"] = _changed_settings(source, settings)
    if policy is not None:
        check_types(source.engine, [BackupType(c.backup_type) for c in policy.cadences.all()], field="policy")
        changes["policy"] = policy
    if not changes:
        return source
    before = audit.snapshot(source, exclude=["sealed_settings"])
    with transaction.atomic():
        for field, value in changes.items():
            setattr(source, field, value)
        source.save(update_fields=list(changes))
        after = audit.snapshot(source, exclude=["sealed_settings"])
        secret_changed = {"secrets": "changed"} if secrets.changed(sealed_before, source.sealed_settings) else {}
        audit.record(
            "backups.source.changed", by=by, subject=source, at=at, before=before, after=after | secret_changed
        )
        publish("backups.source.changed", subject=source.pk, at=at, data={"slug": source.slug})
    return source


def _changed_settings(source: Source, settings: Mapping[str, object]) -> tuple[dict[str, object], str]:
    """The public and the sealed settings, masks replaced by what they stand for. Raises BadSettings."""
    try:
        schema = engines.get(source.engine).settings_schema
    except UnknownName as exc:
        raise BadSettings({"engine": [str(exc)]}) from None
    old, new = secrets.with_defaults(source.settings, schema), secrets.with_defaults(settings, schema)
    moved = [name for name in ADDRESS_SETTINGS if new.get(name) != old.get(name)]
    kept = [name for name, value in settings.items() if value == secrets.MASK]
    if moved and kept:
        # Otherwise whoever may configure could have the stored secret presented to a server of theirs.
        text = f"{', '.join(moved)} changed: enter it again"
        raise BadSettings({f"settings.{name}": [text] for name in kept})
    clear = secrets.unmasked(settings, source.sealed_settings)
    return secrets.split(secrets.check(clear, schema), schema)


def default_policy(types: frozenset[BackupType]) -> Policy:
    """The shipped policy for an engine with these types. Raises BadSettings when it was removed."""
    slug = STANDARD_POLICY if types >= set(BackupType) else FULL_ONLY_POLICY
    policy = Policy.objects.filter(slug=slug).first()
    if policy is None:
        raise BadSettings({"policy": [f"There is no policy {slug!r} any more; name one"]})
    return policy


def ensure_defaults(*, backup_dir: str, by: Actor, at: datetime) -> None:
    """The local store and the two shipped policies, made where missing; nothing that exists is touched."""
    with transaction.atomic():
        store = Store.objects.filter(slug=LOCAL_STORE).first() or create_store(
            slug=LOCAL_STORE, name="Local folder", driver="local", settings={"path": backup_dir}, by=by, at=at
        )
        if not Policy.objects.filter(slug=STANDARD_POLICY).exists():
            cadences = (*FULL_CADENCES, *CHAIN_CADENCES)
            create_policy(slug=STANDARD_POLICY, name="Standard", store=store, cadences=cadences, by=by, at=at)
        if not Policy.objects.filter(slug=FULL_ONLY_POLICY).exists():
            create_policy(
                slug=FULL_ONLY_POLICY,
                name="Full backups only",
                store=store,
                cadences=FULL_CADENCES,
                by=by,
                at=at,
                rpo_seconds=26 * 3600,
            )
        follow_edits(at=at)
