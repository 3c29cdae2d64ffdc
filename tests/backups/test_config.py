"""Sources, stores and policies: refused with the field named, secrets sealed, types checked at once."""

from pathlib import Path

import pytest
from django.db import connection

from backups.engines.base import engines
from backups.models import Policy, Source
from backups.rules import BackupType
from backups.schedule import Cron
from backups.services import beats, config
from backups.services.beats import CadencePlan
from backups.workshop import spec_of
from sysops.access import driver_settings as secrets
from sysops.access.driver_settings import BadSettings
from sysops.access.models import AuditEntry
from tests.backups.support import START, TESTER, FakeEngine, Hands, make_policy

pytestmark = pytest.mark.django_db(transaction=True)


def create(**given: object) -> Source:
    values: dict[str, object] = {"slug": "shop", "name": "Shop", "engine": "fake", "settings": {}, **given}
    values.setdefault("policy", make_policy())
    return config.create_source(**values, by=TESTER, at=START)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _known(hands: Hands) -> None:
    """The fake engine is registered."""


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"engine": "postgers"}, "engine"),
        ({"settings": {"host": 5}}, "settings.host"),
        ({"settings": {"nonsense": 1}}, "settings"),
        ({"settings": {"password": 17}}, "settings.password"),
    ],
)
def test_bad_input_names_the_field(given: dict[str, object], field: str) -> None:
    with pytest.raises(BadSettings) as caught:
        create(**given)

    assert set(caught.value.errors) == {field}


def test_an_unknown_engine_says_what_was_probably_meant() -> None:
    with pytest.raises(BadSettings, match="Did you mean 'postgres'"):
        create(engine="postgers")


def test_a_wrong_secret_is_not_repeated_in_the_error() -> None:
    with pytest.raises(BadSettings) as caught:
        create(settings={"password": 424242})

    assert "424242" not in str(caught.value)


def test_a_slug_in_use_is_refused() -> None:
    create()
    with pytest.raises(BadSettings, match="already"):
        create()


def test_secrets_are_sealed_in_the_database_masked_when_shown_and_clear_for_the_engine_only() -> None:
    source = create(settings={"host": "db", "password": "hunter2hunter2"})

    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(s)::text FROM backups_source s")
        assert "hunter2" not in cursor.fetchone()[0]
    assert secrets.masked(source.settings, source.sealed_settings) == {"host": "db", "password": secrets.MASK}
    assert spec_of(source).settings == {"host": "db", "password": "hunter2hunter2"}
    assert "hunter2" not in repr(spec_of(source))
    assert not AuditEntry.objects.filter(after__icontains="hunter2").exists()


def test_changing_a_source_keeps_a_secret_given_as_the_mask() -> None:
    source = create(settings={"host": "db", "password": "hunter2hunter2"})

    config.change_source(
        source,
        settings={"host": "db", "password": secrets.MASK, "note": "moved to rack 4"},
        policy=source.policy,
        by=TESTER,
        at=START,
    )

    source.refresh_from_db()
    assert spec_of(source).settings == {"host": "db", "note": "moved to rack 4", "password": "hunter2hunter2"}


def test_a_kept_secret_does_not_follow_to_another_address() -> None:
    source = create(settings={"host": "db", "password": "hunter2hunter2"})

    with pytest.raises(BadSettings, match="host changed: enter it again"):
        config.change_source(
            source,
            settings={"host": "evil.example.com", "password": secrets.MASK},
            policy=source.policy,
            by=TESTER,
            at=START,
        )


def test_leaving_a_setting_out_is_the_same_address_as_giving_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    properties = FakeEngine.settings_schema["properties"]
    assert isinstance(properties, dict)
    monkeypatch.setitem(properties, "sslmode", {"enum": ["prefer", "disable"], "default": "prefer"})
    source = create(settings={"host": "db", "password": "hunter2hunter2"})

    def change(**given: object) -> None:
        settings = {"host": "db", "password": secrets.MASK, **given}
        config.change_source(source, settings=settings, by=TESTER, at=START)

    change(sslmode="prefer")
    change()
    assert spec_of(source).settings["password"] == "hunter2hunter2"
    with pytest.raises(BadSettings, match="sslmode changed: enter it again"):
        change(sslmode="disable")


def test_a_source_whose_secret_no_key_opens_is_cured_by_entering_it_again() -> None:
    source = create(settings={"host": "db", "password": "hunter2hunter2"})
    Source.objects.update(sealed_settings='{"names": ["password"], "sealed": "broken"}')
    source.refresh_from_db()
    kept, fresh = {"host": "db", "password": secrets.MASK}, {"host": "db", "password": "hunter3hunter3"}

    with pytest.raises(BadSettings) as caught:
        config.change_source(source, settings=kept, policy=source.policy, by=TESTER, at=START)
    config.change_source(source, settings=fresh, policy=source.policy, by=TESTER, at=START)

    assert set(caught.value.errors) == {"settings.password"}
    assert spec_of(source).settings == fresh


def test_a_policy_with_a_type_the_engine_does_not_have_is_refused_where_it_is_configured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FakeEngine, "types", frozenset({BackupType.FULL}))
    hourly = CadencePlan("hourly", BackupType.DIFFERENTIAL, Cron("0", "*", "*", "*", "*"))
    policy = make_policy()
    beats.add_cadence(policy, hourly, by=TESTER, at=START)

    with pytest.raises(BadSettings, match="knows full only") as caught:
        create(policy=policy)
    assert set(caught.value.errors) == {"policy"}

    full_only = make_policy()
    create(policy=full_only)
    with pytest.raises(BadSettings, match="knows full only"):
        beats.add_cadence(full_only, hourly, by=TESTER, at=START)


def test_the_shipped_policies_are_made_once_and_left_as_people_changed_them(tmp_path: Path) -> None:
    config.ensure_defaults(backup_dir=str(tmp_path / "b"), by=TESTER, at=START)
    Policy.objects.filter(slug="standard").update(online_days=7)
    config.ensure_defaults(backup_dir=str(tmp_path / "b"), by=TESTER, at=START)

    assert list(Policy.objects.order_by("slug").values_list("slug", "online_days")) == [
        ("full-only", 30),
        ("standard", 7),
    ]
    assert config.default_policy(engines.get("postgres").types).slug == "standard"
    assert config.default_policy(engines.get("postgres-dump").types).slug == "full-only"


def test_a_store_that_cannot_be_written_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(BadSettings) as caught:
        config.create_store(
            slug="s", name="S", driver="local", settings={"path": str(tmp_path / "file" / "x")}, by=TESTER, at=START
        )

    assert set(caught.value.errors) == {"settings"}


def test_a_label_in_use_is_refused_by_name() -> None:
    policy, daily = make_policy(), CadencePlan("daily", BackupType.FULL, Cron("0", "2", "*", "*", "*"))
    beats.add_cadence(policy, daily, by=TESTER, at=START)

    with pytest.raises(BadSettings, match="already") as caught:
        beats.add_cadence(policy, daily, by=TESTER, at=START)

    assert set(caught.value.errors) == {"label"}
