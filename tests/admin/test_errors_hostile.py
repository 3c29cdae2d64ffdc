"""What somebody reported is text and a download, never a part of the page."""

import json
import re
from uuid import uuid4

import pytest

from errors.models import Attachment, Spool, Undigestible
from sysops.access.models import AuditEntry
from sysops.kernel.clock import utc_now
from tests.admin import errors_house as house
from tests.admin.errors_pages import LISTS, SignIn, act, assert_download, page, raw, seen
from tests.errors.support import issue, project

pytestmark = pytest.mark.django_db

DANGEROUS = re.compile(r"<script>window|<img src=x|<svg onload|<iframe srcdoc|href=\"javascript|onerror=\"window", re.I)


def test_a_report_that_could_not_be_digested_says_why_and_is_tried_again(sign_in: SignIn) -> None:
    home = project()
    kept = Undigestible.objects.create(
        project=home, event_id=uuid4(), received_at=utc_now(), failed_at=utc_now(), kind="store",
        encoding="identity", reason="It is not JSON", body=b"<script>1</script>",
    )  # fmt: skip
    client = sign_in("admin")

    assert "It is not JSON" in seen(client, page("undigestible_change", kept.pk))
    body = client.get(page("undigestible_body", kept.pk))
    assert body.content == b"<script>1</script>"
    assert_download(body)
    assert sign_in("viewer").get(page("undigestible_body", kept.pk)).status_code == 403

    assert "waits to be digested again" in act(client, "again", kept)
    waiting = Spool.objects.get()
    assert (bytes(waiting.body), waiting.event_id, waiting.project_id) == (
        b"<script>1</script>",
        kept.event_id,
        home.pk,
    )
    assert not Undigestible.objects.exists()
    assert AuditEntry.objects.filter(action="errors.undigestible.retried").exists()


def test_hostile_text_is_text_on_every_page(sign_in: SignIn) -> None:
    made = house.hostile_issue()
    client = sign_in("admin")
    addresses = [
        page("issue_change", made.pk), *(page(f"{name}_changelist") for name in LISTS),
        page("project_change", made.project_id), page("project_edit", made.project_id),
        page("undigestible_change", Undigestible.objects.get().pk),
        *(page(f"issue_{name}", made.pk) for name in ("resolve", "ignore", "assign", "severity", "merge", "comment")),
        page("issue_together", "merge") + f"?ids={made.pk}", page("issue_together", "resolve") + f"?ids={made.pk}",
        page("issue_changelist") + "?what=all&q=" + "%3Cscript%3Ewindow.owned%3D1%3C%2Fscript%3E",
    ]  # fmt: skip

    for address in addresses:
        text = raw(client, address)
        assert not DANGEROUS.search(text), address
        assert "\u202e" not in text, address
    assert "&lt;script&gt;window.owned" in raw(client, addresses[0])
    assert "‹U+202E›" in raw(client, addresses[0])
    assert "{{ 7|add:35 }}" in raw(client, addresses[0])


def test_attachments_are_handed_out_as_downloads_whatever_they_say_they_are(sign_in: SignIn) -> None:
    made = house.hostile_issue()
    client = sign_in("viewer")

    for file in Attachment.objects.all():
        answer = client.get(page("issue_file", made.pk, file.pk))
        assert_download(answer)
        assert not re.search("[<>\u202e/]", answer["Content-Disposition"])
    answer = client.get(page("issue_event_json", made.pk, made.latest_event_id))
    assert_download(answer)
    assert json.loads(answer.content)["exception"]


@pytest.mark.parametrize(
    "name", ["", "..", "../../etc/passwd", "a\r\nSet-Cookie: x=1", "\u202e", "名前.txt", "x" * 400, '"; x="']
)
def test_a_file_of_whatever_name_is_downloaded(sign_in: SignIn, name: str) -> None:
    made = issue()
    file = Attachment.objects.create(
        project=made.project, event_id=str(made.latest_event_id), position=0, filename=name[:255], size_bytes=1,
        body=b"x", received_at=utc_now(),
    )  # fmt: skip

    answer = sign_in("viewer").get(page("issue_file", made.pk, file.pk))

    assert_download(answer)
    assert "/" not in answer["Content-Disposition"]
    assert "Set-Cookie" not in answer.headers
