"""A house with errors in every state, as after some weeks of use; and an event of nothing but hostility."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from django.contrib.auth.models import User
from django.utils import timezone

from catalogue.models import Environment, Person, Service
from errors.models import (
    ActivityEntry,
    Attachment,
    Feedback,
    Grouping,
    HourCount,
    Issue,
    OutcomeCount,
    Project,
    Release,
    TagKey,
    TagValue,
    Undigestible,
)
from errors.services import policy
from tests.errors.support import DAY, HOUR, MINUTE, event, frame, issue, key, project, stored_event

RUNS = "window.owned = (window.owned || 0) + 1"
HOSTILE = (
    f'"><script>{RUNS}</script><img src=x onerror="{RUNS}"><svg onload="{RUNS}">'
    f"</pre></textarea></title></style><script>{RUNS}</script>' onmouseover='{RUNS}' x='"
    f" javascript:{RUNS}//  {{{{ 7|add:35 }}}} {{% debug %}} ${{{RUNS}}} \u202egnp.exe\u202c \u2066\u2069"
    f'<a href="javascript:{RUNS}">here</a><iframe srcdoc="<script>parent.owned=1</script>"></iframe>'
)
SHORT = f'"><script>{RUNS}</script>'  # where a column is narrow
LINK = f"javascript:{RUNS}"


def now() -> datetime:
    return timezone.now()


def hostile_event(event_id: UUID) -> dict[str, object]:
    """Every field of an event is an attempt to have something run where it is shown."""
    evil = HOSTILE
    call = {
        "filename": evil, "abs_path": LINK, "module": evil, "function": evil, "lineno": 3, "in_app": True,
        "pre_context": [evil], "context_line": evil, "post_context": [evil],
        "vars": {SHORT: evil, "nested": {evil: [evil]}},
    }  # fmt: skip
    return {
        "event_id": event_id.hex, "timestamp": now().isoformat(), "platform": SHORT[:20], "level": "error",
        "logger": evil, "transaction": evil, "server_name": evil, "release": SHORT, "environment": SHORT[:60],
        "exception": {"values": [
            {"type": SHORT, "value": evil, "module": evil, "mechanism": {"type": evil, "handled": False},
             "stacktrace": {"frames": [{**call, "in_app": False}, call]}},
            {"type": SHORT, "value": evil, "stacktrace": {"frames": [call]}},
        ]},
        "tags": {SHORT[:30]: evil[:190], "link": LINK, "url": LINK},
        "user": {"id": evil, "username": evil, "email": f"{SHORT}@example.org", "name": evil, SHORT: evil},
        "request": {"url": LINK, "method": SHORT, "query_string": evil, "data": {SHORT: evil},
                    "headers": {"Referer": LINK, SHORT: evil}, "env": {SHORT: evil}},
        "breadcrumbs": {"values": [
            {"timestamp": now().timestamp(), "category": evil, "type": evil, "level": SHORT, "message": evil,
             "data": {SHORT: evil, "url": LINK}},
        ]},
        "contexts": {SHORT: {SHORT: evil, "type": evil}, "runtime": {"name": evil, "version": LINK}},
        "extra": {SHORT: evil, "deep": {"a": [{"b": evil}]}},
        "modules": {SHORT: evil}, "fingerprint": [evil], "sdk": {"name": SHORT, "version": SHORT},
        "message": evil, "notes": [evil],
    }  # fmt: skip


def hostile_issue(of: Project | None = None) -> Issue:
    """An issue whose every text, and everything beside its event, is hostile; written past the digest."""
    of = of or project(f"evil-{uuid4().hex[:6]}", name=HOSTILE[:150])
    at = now() - MINUTE
    made = issue(
        of, SHORT, HOSTILE, at=at, events=0, culprit=HOSTILE[:290], platform=SHORT[:30], environment=SHORT[:60],
        first_release=SHORT, last_release=SHORT, severity="high", severity_because=HOSTILE[:290],
        assigned_because=HOSTILE[:290], respond_by=at, responded_by="",
    )  # fmt: skip
    group = made.groupings.get()
    Grouping.objects.filter(pk=group.pk).update(label=HOSTILE[:290])
    event_id = uuid4()
    stored = stored_event(group, at=at, payload=hostile_event(event_id), level="error")
    Issue.objects.filter(pk=made.pk).update(
        latest_event_id=stored.event_id, latest_received_at=stored.received_at, event_count=1
    )
    for tag, value in ((SHORT[:60], HOSTILE[:200]), ("link", LINK[:200]), ("url", HOSTILE[:200])):
        TagKey.objects.create(grouping=group, key=tag, values_kept=1)
        TagValue.objects.create(grouping=group, key=tag, value=value, quantity=1, last_seen=at)
    ActivityEntry.objects.create(
        issue=made, kind="comment", at=at, by=SHORT, text=HOSTILE, data={"release": HOSTILE, "before": HOSTILE}
    )
    ActivityEntry.objects.create(issue=made, kind="resolved", at=at, by=SHORT, text=HOSTILE, data={"release": HOSTILE})
    Feedback.objects.create(
        project=of, feedback_id=uuid4(), event_id=event_id, name=SHORT, email=SHORT, message=HOSTILE, url=LINK,
        received_at=at,
    )  # fmt: skip
    for position, (name, kind) in enumerate([(f"{SHORT}.html", "text/html"), ("cod\u202egnp.exe", "image/svg+xml")]):
        Attachment.objects.create(
            project=of, event_id=event_id, position=position, filename=name, content_type=kind, size_bytes=60,
            body=f"<script>{RUNS}</script>".encode(), received_at=at,
        )  # fmt: skip
    Undigestible.objects.create(
        project=of, event_id=event_id, received_at=at, failed_at=at, kind="store", encoding="identity",
        reason=HOSTILE, body=f"<script>{RUNS}</script>".encode(),
    )  # fmt: skip
    Release.objects.create(project=of, version=SHORT, first_seen=at)
    OutcomeCount.objects.create(
        project=of, hour=_hour(0), category=SHORT[:40], outcome="invalid", reason=HOSTILE[:100], quantity=3
    )
    key(of, label=SHORT)
    made.refresh_from_db()
    return made


def _hour(ago: int) -> datetime:
    return now().replace(minute=0, second=0, microsecond=0) - ago * HOUR


def hours(of: Issue, quantities: Mapping[int, int]) -> None:
    """Counts of the issue by how many hours ago."""
    group = of.groupings.order_by("pk")[0]
    HourCount.objects.bulk_create(
        HourCount(grouping=group, hour=_hour(ago), quantity=quantity) for ago, quantity in quantities.items()
    )


def payment_event(event_id: UUID) -> dict[str, object]:
    """An event as a shop's own code sends it, with a cause, libraries, breadcrumbs, a request and an account."""
    library = frame(
        "execute", filename="site-packages/httpx/_client.py", line=914, in_app=False,
        pre_context=["        request = self.build_request(method, url)", ""],
        context_line="        return self.send(request, auth=auth)", post_context=["", "    def send(self):"],
    )  # fmt: skip
    charge = frame(
        "charge", filename="shop/payment.py", line=88,
        pre_context=["    def charge(self, order: Order) -> Receipt:", "        total = order.total()",
                     "        if total <= 0:", "            raise ValueError('Nothing to charge')"],
        context_line="        answer = self.gateway.post('/charges', json={'amount': total, 'card': order.card.token})",
        post_context=["        if answer.status_code != 201:", "            raise PaymentDeclined(answer.json())",
                      "        return Receipt(answer.json())"],
        vars={"self": "<shop.payment.Payments object at 0x7f2a>", "total": 4990, "order": {"id": 81241, "items": 3,
              "country": "DE", "currency": "EUR"}, "idempotency_key": "ord-81241-1"},
    )  # fmt: skip
    checkout = frame(
        "checkout", filename="shop/views/checkout.py", line=31,
        pre_context=["@require_POST", "def checkout(request):", "    order = request.basket.to_order()"],
        context_line="    receipt = payments.charge(order)", post_context=["    return redirect(receipt)"],
        vars={"request": "<WSGIRequest: POST '/checkout/'>"},
    )  # fmt: skip
    handler = frame("inner", filename="site-packages/django/core/handlers/exception.py", line=55, in_app=False)
    values = [
        {"type": "ConnectTimeout", "value": "timed out after 5.0 s", "module": "httpx",
         "stacktrace": {"frames": [library, library]}},
        {"type": "PaymentTimeout", "value": "The payment provider did not answer within 5 s (order 81241)",
         "module": "shop.payment", "mechanism": {"type": "django", "handled": False},
         "stacktrace": {"frames": [handler, handler, handler, checkout, charge, library, library]}},
    ]  # fmt: skip
    return event(
        "PaymentTimeout", "The payment provider did not answer within 5 s", event_id=event_id, at=now(),
        exception={"values": values}, release="shop@2.14.0", environment="production", server_name="web-03",
        transaction="/checkout/", logger="django.request",
        tags={"area": "payment", "browser": "Firefox 144", "country": "DE"},
        user={"id": "12043", "username": "m.schmidt"},
        request={"url": "https://shop.example/checkout/", "method": "POST", "query_string": "step=3",
                 "headers": {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
                             "Host": "shop.example", "Referer": "https://shop.example/basket/"},
                 "data": {"basket": "b-9911", "card": "[masked]"}},
        breadcrumbs={"values": [
            {"timestamp": (now() - MINUTE).timestamp(), "category": "navigation", "message": "/basket/ → /checkout/"},
            {"timestamp": (now() - MINUTE / 2).timestamp(), "category": "query", "level": "info",
             "message": "SELECT * FROM shop_order WHERE id = %s", "data": {"duration_ms": 3}},
            {"timestamp": (now() - MINUTE / 20).timestamp(), "category": "httplib", "level": "warning",
             "message": "retrying POST /charges", "data": {"url": "https://pay.example/charges", "attempt": 2}},
            {"timestamp": now().timestamp(), "category": "shop.payment", "level": "error",
             "message": "charge failed after 2 attempts"},
        ]},
        contexts={"runtime": {"name": "CPython", "version": "3.12.7"}, "os": {"name": "Debian", "version": "12"}},
        extra={"celery-job": {"id": "a7c1", "queue": "payments"}},
        modules={"django": "5.2.8", "httpx": "0.28.1"},
    )  # fmt: skip


def furnish() -> Issue:
    """Issues of two projects in every state; the first one, with a full event, is handed back."""
    policy.ensure_defaults()
    at = now()
    production, _ = Environment.objects.get_or_create(slug="production", defaults={"name": "Production"})
    service, _ = Service.objects.get_or_create(slug="shop", defaults={"name": "Shop"})
    user, _ = User.objects.get_or_create(username="grace")
    grace, _ = Person.objects.get_or_create(slug="grace", defaults={"name": "Grace Hopper", "user": user})
    shop = project("shop", name="Shop", service=service, environment=production)
    web = project("shop-web", name="Shop in the browser", service=service)
    key(shop, label="Servers")
    key(web, label="Pages")
    first = _payment(shop, at)
    group = first.groupings.get()
    hours(first, {h: (7 * h) % 13 + (30 if h < 3 else 0) for h in range(60)})
    for tag, values in {
        "browser": {"Firefox 144": 801, "Chrome 142": 310, "Safari 19": 92}, "area": {"payment": 1203},
        "release": {"shop@2.14.0": 1100, "shop@2.13.2": 103}, "country": {"DE": 640, "FR": 402, "ES": 161},
    }.items():  # fmt: skip
        TagKey.objects.create(grouping=group, key=tag, values_kept=len(values), other=12 if tag == "browser" else 0)
        for value, quantity in values.items():
            TagValue.objects.create(grouping=group, key=tag, value=value, quantity=quantity, last_seen=at)
    _others(shop, web, grace)
    for ago, outcome, quantity in ((1, "accepted", 800), (2, "accepted", 640), (30, "accepted", 90),
                                   (1, "rate_limited", 40), (1, "undigestible", 2)):  # fmt: skip
        OutcomeCount.objects.create(
            project=shop, hour=_hour(ago), category="error", outcome=outcome, quantity=quantity,
            reason="key quota" if outcome == "rate_limited" else "",
        )  # fmt: skip
    Release.objects.create(project=shop, version="shop@2.14.0", first_seen=at - 6 * HOUR)
    Undigestible.objects.create(
        project=shop, received_at=at - HOUR, failed_at=at - HOUR, kind="store", encoding="gzip",
        reason="Its body is not JSON: line 1, column 17", body=b"\x1f\x8bnot really",
    )  # fmt: skip
    return first


def _payment(shop: Project, at: datetime) -> Issue:
    made = issue(
        shop, "PaymentTimeout", "The payment provider did not answer within 5 s (order 81241)", at=at - 2 * MINUTE,
        events=3, severity="critical", severity_because="Payments fail", culprit="shop.payment in charge",
        environment="production", first_release="shop@2.13.2", last_release="shop@2.14.0",
        first_seen=at - 60 * HOUR, affected_accounts=412, clock_started_at=at - 20 * MINUTE,
        respond_by=at - 20 * MINUTE, near_at=at - 20 * MINUTE, regressed_at=at - 20 * MINUTE, regressions=1,
        resolve_note="Raised the timeout of the gateway to 5 s.",
    )  # fmt: skip
    group = made.groupings.get()
    event_id = uuid4()
    stored = stored_event(group, at=at - MINUTE, payload=payment_event(event_id), release="shop@2.14.0")
    Issue.objects.filter(pk=made.pk).update(
        latest_event_id=stored.event_id, latest_received_at=stored.received_at, event_count=1203,
        last_seen=stored.received_at,
    )  # fmt: skip
    Grouping.objects.filter(pk=group.pk).update(event_count=1203)
    for kind, ago, by, text, data in (
        ("created", 60 * HOUR, "sysops", "", {}),
        ("acknowledged", 59 * HOUR, "grace", "", {}),
        ("comment", 58 * HOUR, "grace", "The provider has trouble since 14:00.\nTheir status page says so.", {}),
        ("resolved", 40 * HOUR, "grace", "Raised the timeout of the gateway to 5 s.", {"release": "shop@2.14.0"}),
        ("regressed", 20 * MINUTE, "sysops", "", {"release": "shop@2.14.0"}),
    ):  # fmt: skip
        ActivityEntry.objects.create(issue=made, kind=kind, at=at - ago, by=by, text=text, data=data)
    Attachment.objects.create(
        project=shop, event_id=event_id, position=0, filename="basket.json", content_type="application/json",
        size_bytes=412, body=b'{"items": 3}', received_at=at,
    )  # fmt: skip
    Feedback.objects.create(
        project=shop, feedback_id=uuid4(), event_id=event_id, name="Maria", email="m***@example.org",
        message="I pressed Pay three times and nothing happened.", received_at=at,
    )  # fmt: skip
    made.refresh_from_db()
    return made


def _others(shop: Project, web: Project, grace: Person) -> None:
    at = now()
    rows: list[tuple[Project, str, str, dict[str, object]]] = [
        (web, "TypeError", "undefined is not an object (evaluating 'basket.items.length')", {
            "severity": "high", "culprit": "basket.js in render", "event_count": 340, "affected_accounts": 96,
            "respond_by": at + 9 * MINUTE, "near_at": at - MINUTE, "clock_started_at": at - 51 * MINUTE,
        }),
        (shop, "IntegrityError", 'duplicate key value violates unique constraint "shop_order_number_key"', {
            "severity": "high", "culprit": "shop.orders in save", "event_count": 12, "affected_accounts": 11,
            "status": "acknowledged", "assignee": grace, "respond_by": at, "responded_at": at - HOUR,
            "responded_by": "grace",
        }),
        (shop, "OperationalError", "connection to server failed: FATAL: too many connections", {
            "severity": "medium", "culprit": "shop.reports in monthly", "event_count": 4,
            "respond_by": at + 3 * HOUR, "near_at": at + 2 * HOUR,
        }),
        (web, "NotFoundError", "/static/fonts/inter.woff2", {
            "severity": "low", "status": "ignored", "ignored_at": at - DAY, "ignored_by": "grace",
            "ignored_until_events": 5000, "event_count": 3100, "affected_accounts": 1800, "accounts_exact": False,
        }),
        (shop, "KeyError", "'vat_id'", {
            "severity": "medium", "status": "resolved", "resolved_at": at - DAY, "resolved_by": "grace",
            "resolve_note": "Private customers have none.", "resolved_in_release": "shop@2.13.0", "event_count": 57,
        }),
        (shop, "MemoryError", "", {"severity": "medium", "event_count": 1, "responded_at": at, "respond_by": at + HOUR,
                                   "responded_by": "grace"}),
    ]  # fmt: skip
    for number, (of, kind, message, values) in enumerate(rows):
        made = issue(of, kind, message, at=at - timedelta(minutes=7 * number + 3), events=1, **values)
        Issue.objects.filter(pk=made.pk).update(first_seen=at - (number + 1) * DAY, environment="production")
        hours(made, {h: (h * (number + 3)) % 7 for h in range(0, 24, number + 1)})
