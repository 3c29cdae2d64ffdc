"""How much of what is taken; what lies beyond is refused or dropped and counted. As SDKs expect of a Sentry server."""

from errors.rules import Outcome

KIB = 1024
MIB = 1024 * KIB

PACKED_BYTES = 20 * MIB  # a request's body as it comes
RAW_BYTES = 100 * MIB  # the same, unpacked
EVENT_BYTES = 1 * MIB
STORE_BYTES = EVENT_BYTES  # the unpacked body of store/, security/ and the plain JSON intake
ATTACHMENT_BYTES = 1 * MIB
ATTACHMENTS = 10  # of an envelope
ITEMS_OF_TYPE = 100  # of an envelope: events, sessions, check-ins …
ITEMS = 1_000  # of an envelope, kept or dropped; more is refused
KEPT_BYTES = 16 * MIB  # payloads of an envelope together; what comes after is dropped
HEADER_BYTES = 64 * KIB  # an envelope's first line
ITEM_HEADER_BYTES = 16 * KIB
FAST_BYTES = 2 * MIB  # an unpacked envelope up to this is read in one piece, a bigger one as a stream

ITEM_BYTES: dict[str, int] = {
    "event": EVENT_BYTES,
    "attachment": ATTACHMENT_BYTES,
    "feedback": EVENT_BYTES,
    "user_report": EVENT_BYTES,
    "session": 64 * KIB,
    "sessions": 1 * MIB,
    "check_in": 100 * KIB,
    "client_report": 4 * KIB,
}
KEPT_TYPES = frozenset(ITEM_BYTES)

# Telemetry that Sysops does not keep: counted as sampled out, so that nobody wonders where it went.
CATEGORIES: dict[str, str] = {
    "event": "error",
    "attachment": "attachment",
    "feedback": "feedback",
    "user_report": "feedback",
    "session": "session",
    "sessions": "session",
    "check_in": "monitor",
    "client_report": "internal",
    "transaction": "transaction",
    "span": "span",
    "profile": "profile",
    "profile_chunk": "profile_chunk",
    "replay_event": "replay",
    "replay_recording": "replay",
    "replay_video": "replay",
    "log": "log_item",
    "otel_log": "log_item",
    "trace_metric": "trace_metric",
    "statsd": "metric_bucket",
    "metric_buckets": "metric_bucket",
}
NOT_KEPT_TYPES = frozenset(CATEGORIES) - KEPT_TYPES

DROPPED = frozenset({Outcome.SAMPLED_OUT.value, Outcome.UNKNOWN_ITEM.value, Outcome.TOO_LARGE.value})
