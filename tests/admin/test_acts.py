"""Every button ends in one service call, and what a service refuses is said in words."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.test import Client
from django.urls import reverse

from backups.models import Backup, Restore
from backups.services import restores
from sysops.access.models import AuditEntry
from sysops.kernel.clock import utc_now
from tests.admin import support
from tests.backups.support import Hands

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse

pytestmark = pytest.mark.django_db

SignIn = Callable[[str], Client]


def page(name: str, *args: object) -> str:
    return reverse(f"admin:backups_{name}", args=args)


def said(answer: "_MonkeyPatchedWSGIResponse") -> str:
    assert answer.status_code == 200
    return answer.content.decode()


def test_back_up_now_queues_a_backup_of_the_type_that_was_chosen(sign_in: SignIn, hands: Hands) -> None:
    source = support.make_source("shop", engine="fake")

    seen = said(
        sign_in("operator").post(page("source_back_up", source.pk), {"backup_type": "differential"}, follow=True)
    )

    backup = Backup.objects.get()
    assert (backup.requested_type, backup.requested_by) == ("differential", "operator-person")
    assert f"Differential backup {backup.pk} of Shop is queued." in seen
    entry = AuditEntry.objects.filter(action="backups.backup.requested").latest("pk")
    assert (entry.actor, entry.address) == ("operator-person", "127.0.0.1")


def test_the_page_of_an_act_changes_nothing(sign_in: SignIn, hands: Hands) -> None:
    source = support.make_source("shop", engine="fake")
    backup = support.make_backup(source)
    queued = support.make_backup(source, status="queued")
    client = sign_in("admin")

    for url in (
        page("source_back_up", source.pk),
        page("backup_verify", backup.pk),
        page("backup_restore", backup.pk),
        page("backup_hold", backup.pk),
        page("backup_cancel", queued.pk),
    ):
        assert "What will happen" in said(client.get(url))
    assert Backup.objects.count() == 2
    assert not Restore.objects.exists()


def test_a_second_backup_at_once_is_refused_in_words(sign_in: SignIn, hands: Hands) -> None:
    source = support.make_source("shop", engine="fake")
    first = support.make_backup(source, status="running", started_at=utc_now())

    seen = said(sign_in("operator").post(page("source_back_up", source.pk), {"backup_type": "full"}))

    assert f"Backup {first.pk} of shop is running already: wait for it or cancel it" in seen
    assert Backup.objects.count() == 1


def test_a_source_whose_engine_is_gone_says_so(sign_in: SignIn) -> None:
    source = support.make_source("shop", engine="sold-out")

    client = sign_in("admin")
    seen = said(client.post(page("source_back_up", source.pk), {"backup_type": "full"}))

    assert "is not one of the available choices" in seen
    assert "sold-out (not installed here)" in said(client.get(page("source_change", source.pk)))
    assert "There is no backup engine" in said(client.get(page("source_settings", source.pk), follow=True))


def test_verify_now_queues_the_rung_that_was_chosen(sign_in: SignIn, hands: Hands) -> None:
    backup = support.make_backup(support.make_source("shop", engine="fake"))

    sign_in("operator").post(page("backup_verify", backup.pk), {"rung": "reread"})

    assert backup.verifications.get().rung == "reread"


def test_restore_says_where_to_and_queues_it(sign_in: SignIn, hands: Hands) -> None:
    backup = support.make_backup(support.make_source("shop", engine="fake"))

    form = {"target": "rehearsal", "start_server": "on"}
    seen = said(sign_in("approver").post(page("backup_restore", backup.pk), form, follow=True))

    restore = Restore.objects.get()
    assert Path(restore.target).name == "rehearsal"
    assert restore.start_server
    assert f"Restore {restore.pk} to {restore.target} is queued." in seen


def test_a_restore_outside_the_restore_folder_is_refused_beside_the_field(sign_in: SignIn, hands: Hands) -> None:
    backup = support.make_backup(support.make_source("shop", engine="fake"))

    answer = sign_in("approver").post(page("backup_restore", backup.pk), {"target": "/etc"})

    assert "Restores go below" in str(answer.context["form"].errors["target"])
    assert not Restore.objects.exists()


def test_a_backup_known_bad_is_not_restored_whoever_asks(sign_in: SignIn, hands: Hands) -> None:
    bad = support.make_backup(
        support.make_source("shop", engine="fake"), verification_status="failed", verification_detail="2 bad blocks"
    )
    client = sign_in("admin")

    assert page("backup_restore", bad.pk) not in said(client.get(page("backup_change", bad.pk)))
    assert "was found bad: 2 bad blocks" in said(client.post(page("backup_restore", bad.pk), {"target": ""}))
    assert not Restore.objects.exists()


def test_a_queued_backup_is_cancelled_and_a_finished_one_is_not(sign_in: SignIn, hands: Hands) -> None:
    source = support.make_source("shop", engine="fake")
    done, queued = support.make_backup(source), support.make_backup(source, status="queued")
    client = sign_in("operator")

    client.post(page("backup_cancel", queued.pk))
    refused = said(client.post(page("backup_cancel", done.pk)))

    queued.refresh_from_db()
    assert queued.failure_reason == "Cancelled by operator-person"
    assert "there is nothing to cancel" in refused


def test_a_hold_wants_a_reason_and_is_released_again_by_an_approver(sign_in: SignIn, hands: Hands) -> None:
    backup = support.make_backup(support.make_source("shop", engine="fake"))
    client = sign_in("operator")

    said(client.post(page("backup_hold", backup.pk), {"reason": " "}))
    assert not Backup.objects.get(pk=backup.pk).held_by
    assert "Held by operator-person: lawsuit" in said(
        client.post(page("backup_hold", backup.pk), {"reason": "lawsuit"}, follow=True)
    )
    assert client.post(page("backup_release", backup.pk)).status_code == 403
    assert "Release" not in client.get(page("backup_change", backup.pk)).content.decode()
    backup.refresh_from_db()
    assert backup.held_by == "operator-person"
    sign_in("approver").post(page("backup_release", backup.pk))
    backup.refresh_from_db()
    assert not backup.held_by


def test_many_are_held_with_one_reason(sign_in: SignIn, hands: Hands) -> None:
    source = support.make_source("shop", engine="fake")
    rows = [support.make_backup(source), support.make_backup(source), support.make_backup(source, status="failed")]
    form: dict[str, object] = {"action": "hold_selected", "_selected_action": [row.pk for row in rows]}
    client = sign_in("operator")

    assert "Hold 3 backups" in said(client.post(page("backup_changelist"), form))
    seen = said(client.post(page("backup_changelist"), {**form, "reason": "audit"}, follow=True))

    assert Backup.objects.filter(held_reason="audit").count() == 2
    assert "Held: 2 of 3." in seen
    assert "only a stored one is held" in seen


@pytest.mark.parametrize("action", ["verify_selected", "cancel_selected", "release_selected"])
def test_the_actions_of_the_list_call_the_services(sign_in: SignIn, hands: Hands, action: str) -> None:
    source = support.make_source("shop", engine="fake")
    rows = [support.make_backup(source, held_by="anna"), support.make_backup(source, status="queued")]
    form = {"action": action, "_selected_action": [row.pk for row in rows]}

    seen = said(sign_in("approver").post(page("backup_changelist"), form, follow=True))

    assert "1 of 2." in seen


def test_an_operator_does_not_release_what_is_held_from_the_list_either(sign_in: SignIn, hands: Hands) -> None:
    backup = support.make_backup(support.make_source("shop", engine="fake"), held_by="anna")

    sign_in("operator").post(page("backup_changelist"), {"action": "release_selected", "_selected_action": [backup.pk]})

    backup.refresh_from_db()
    assert backup.held_by == "anna"


def test_a_viewer_who_knows_the_addresses_is_refused(sign_in: SignIn, hands: Hands) -> None:
    source = support.make_source("shop", engine="fake")
    backup = support.make_backup(source)
    client = sign_in("viewer")

    for url in (
        page("source_back_up", source.pk), page("source_settings", source.pk), page("source_add"),
        page("backup_verify", backup.pk), page("backup_restore", backup.pk), page("backup_hold", backup.pk),
        page("policy_add_beat", source.policy_id), page("store_add"), page("store_try", backup.store_id),
        reverse("admin:django_celery_beat_periodictask_add"),
    ):  # fmt: skip
        assert client.get(url).status_code == 403, url
        assert client.post(url, {"backup_type": "full", "reason": "x"}).status_code == 403, url
    form = {"action": "hold_selected", "_selected_action": [backup.pk], "reason": "x"}
    client.post(page("backup_changelist"), form)
    backup.refresh_from_db()
    assert not backup.held_by
    assert Backup.objects.count() == 1


def test_an_operator_does_not_restore(sign_in: SignIn, hands: Hands) -> None:
    backup = support.make_backup(support.make_source("shop", engine="fake"))

    assert sign_in("operator").post(page("backup_restore", backup.pk), {}).status_code == 403


def test_the_server_of_a_restore_is_stopped_from_its_page(sign_in: SignIn, hands: Hands) -> None:
    backup = support.make_backup(support.make_source("shop", engine="fake"))
    restore = Restore.objects.create(
        backup=backup, target="/nowhere/at-all", status="succeeded", connection="host=/nowhere", requested_by="x",
        host="test-host", requested_at=utc_now(), not_before=utc_now(),
    )  # fmt: skip
    client = sign_in("approver")

    assert "psql &quot;host=/nowhere&quot;" in said(client.get(page("restore_change", restore.pk)))
    seen = said(client.post(page("restore_stop_server", restore.pk), follow=True))

    assert "was told to stop the server" in seen
    restores.execute_stop(restore_id=restore.pk, workshop=hands.workshop)
    assert hands.engine.stopped == [Path("/nowhere/at-all")]
    assert "Its server was stopped" in said(client.get(page("restore_change", restore.pk)))
    assert "has no running server" in said(client.post(page("restore_stop_server", restore.pk)))


def test_a_row_that_is_not_there_is_a_404(sign_in: SignIn) -> None:
    client = sign_in("admin")

    for url in (
        page("backup_change", 99999), page("backup_live", 99999), page("backup_hold", 99999),
        page("source_settings", 99999), page("policy_beat", 99999, 1), "/admin/backups/backup/abc/change/",
    ):  # fmt: skip
        assert client.get(url).status_code == 404, url
