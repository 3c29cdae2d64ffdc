"""How issues and events look over HTTP."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from errors import selectors
from errors.models import ActivityEntry, Attachment, Event, Feedback, Grouping, Issue
from errors.models.issues import SEVERITIES, STATUSES
from errors.models.projects import choices
from errors.rules import SeveritySource
from sysops.api.serializers import Id
from sysops.kernel.clock import utc_now

TREND_HOURS = 24


class SlaOut(serializers.Serializer[selectors.Sla]):
    """The time in which somebody has to respond."""

    respond_by = serializers.DateTimeField(allow_null=True)
    responded_at = serializers.DateTimeField(allow_null=True)
    breached = serializers.BooleanField()
    near = serializers.BooleanField(help_text="Most of the time is over")
    left_seconds = serializers.IntegerField(allow_null=True, help_text="Below 0: so long over")


class IssueList(serializers.ListSerializer[Issue]):
    """Issues with the stack traces of their latest events: one query for all of them."""

    def to_representation(self, data: Iterable[Issue]) -> list[object]:  # type: ignore[override]  # no manager
        rows = list(data)
        assert isinstance(self.child, IssueSerializer)
        self.child.traces = selectors.stack_traces(rows)
        return super().to_representation(rows)


class IssueSerializer(serializers.ModelSerializer[Issue]):
    """An issue. What is not known is null."""

    traces: Mapping[int, str | None] | None = None  # of all issues of a list; None: not read yet

    id = Id()
    project = serializers.CharField(source="project.slug")
    service = serializers.CharField(source="service.slug", allow_null=True, default=None)
    environment = serializers.SerializerMethodField(help_text="Of the latest event, else of its project")
    release = serializers.SerializerMethodField(help_text="Of the latest event that names one")
    status = serializers.ChoiceField(STATUSES)
    severity = serializers.ChoiceField(SEVERITIES)
    severity_source = serializers.ChoiceField(choices(SeveritySource))
    stack_trace = serializers.SerializerMethodField(help_text="Of the latest event")
    affected_accounts = serializers.IntegerField()
    event_count = serializers.IntegerField()
    occurred_at = serializers.DateTimeField(source="last_seen")
    assignee = serializers.CharField(source="assignee.slug", allow_null=True, default=None)
    sla = serializers.SerializerMethodField()
    resolved_at = serializers.DateTimeField(allow_null=True)
    resolved_by = serializers.SerializerMethodField()
    resolved_in_release = serializers.SerializerMethodField()

    class Meta:
        model = Issue
        list_serializer_class = IssueList
        fields = [
            "id",
            "project",
            "error_type",
            "error_message",
            "culprit",
            "level",
            "platform",
            "severity",
            "severity_source",
            "severity_because",
            "status",
            "stack_trace",
            "service",
            "environment",
            "release",
            "affected_accounts",
            "accounts_exact",
            "event_count",
            "first_seen",
            "last_seen",
            "occurred_at",
            "assignee",
            "assigned_at",
            "sla",
            "resolved_at",
            "resolved_by",
            "resolve_note",
            "resolved_in_release",
            "resolved_in_next_release",
            "regressed_at",
            "regressions",
            "ignored_at",
            "ignored_until",
            "ignored_until_events",
            "ignored_until_accounts",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_stack_trace(self, row: Issue) -> str | None:
        return (selectors.stack_traces([row]) if self.traces is None else self.traces)[row.pk]

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_environment(self, row: Issue) -> str | None:
        if row.environment:
            return row.environment
        return row.project.environment.slug if row.project.environment else None

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_release(self, row: Issue) -> str | None:
        return row.last_release or None

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_resolved_by(self, row: Issue) -> str | None:
        return row.resolved_by or None

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_resolved_in_release(self, row: Issue) -> str | None:
        return row.resolved_in_release or None

    @extend_schema_field(SlaOut)
    def get_sla(self, row: Issue) -> dict[str, object]:
        """As SlaOut says it; making one of those for every row of a list took longer than the rest of the row."""
        sla = selectors.sla_state(row, now=utc_now())
        return {
            "respond_by": _moment(sla.respond_by),
            "responded_at": _moment(sla.responded_at),
            "breached": sla.breached,
            "near": sla.near,
            "left_seconds": sla.left_seconds,
        }


class EventSerializer(serializers.ModelSerializer[Event]):
    """An event, without what was reported."""

    id = serializers.SerializerMethodField(help_text="As its SDK knows it")
    release = serializers.SerializerMethodField()
    environment = serializers.SerializerMethodField()

    class Meta:
        model = Event
        fields = ["id", "received_at", "occurred_at", "level", "release", "environment"]
        read_only_fields = fields

    @extend_schema_field(serializers.CharField())
    def get_id(self, row: Event) -> str:
        return row.event_id.hex

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_release(self, row: Event) -> str | None:
        return row.release or None

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_environment(self, row: Event) -> str | None:
        return row.environment or None


class AttachmentOut(serializers.ModelSerializer[Attachment]):
    """A file that came with an event; its contents are downloaded in the admin."""

    id = Id()

    class Meta:
        model = Attachment
        fields = ["id", "filename", "content_type", "size_bytes"]
        read_only_fields = fields


class FeedbackOut(serializers.ModelSerializer[Feedback]):
    """What somebody who met the error wrote."""

    class Meta:
        model = Feedback
        fields = ["name", "email", "message", "url", "received_at"]
        read_only_fields = fields


class EventDetailSerializer(EventSerializer):
    """An event with all that was reported: normalised, and scrubbed of secrets."""

    stack_trace = serializers.SerializerMethodField()
    payload = serializers.SerializerMethodField(help_text="What was reported, as the protocol has it")
    attachments = serializers.SerializerMethodField()
    feedback = serializers.SerializerMethodField()

    class Meta(EventSerializer.Meta):
        fields = [*EventSerializer.Meta.fields, "stack_trace", "payload", "attachments", "feedback"]
        read_only_fields = fields

    def to_representation(self, instance: Event) -> dict[str, object]:
        self.reported = selectors.payload_of(instance)
        return super().to_representation(instance)

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_stack_trace(self, _: Event) -> str | None:
        return selectors.stack_trace_text(self.reported)

    @extend_schema_field(serializers.DictField())
    def get_payload(self, _: Event) -> dict[str, object]:
        return self.reported

    @extend_schema_field(AttachmentOut(many=True))
    def get_attachments(self, row: Event) -> object:
        return AttachmentOut(selectors.attachments_of(row), many=True).data

    @extend_schema_field(FeedbackOut(many=True))
    def get_feedback(self, row: Event) -> object:
        return FeedbackOut(selectors.feedback_of(row), many=True).data


class TagShareOut(serializers.Serializer[selectors.TagShare]):
    """How many events carry a value."""

    value = serializers.CharField()
    quantity = serializers.IntegerField()
    percent = serializers.FloatField()
    last_seen = serializers.DateTimeField()


class TagOut(serializers.Serializer[selectors.Tag]):
    """A tag, and its most frequent values."""

    key = serializers.CharField()
    total = serializers.IntegerField(help_text="Events that carry it")
    other = serializers.IntegerField(help_text="Events with a value that is not among these")
    values = TagShareOut(many=True)


class GroupingOut(serializers.ModelSerializer[Grouping]):
    """One fingerprint of events; a merged issue has several, each of which can be split off."""

    id = Id()
    event_count = serializers.IntegerField()

    class Meta:
        model = Grouping
        fields = ["id", "label", "event_count", "first_seen", "last_seen"]
        read_only_fields = fields


class IssueDetailSerializer(IssueSerializer):
    """An issue with its latest event, its tags, its trend and what it was merged from."""

    latest_event = serializers.SerializerMethodField(help_text="null when its events are past their retention")
    tags = serializers.SerializerMethodField()
    trend = serializers.SerializerMethodField(help_text=f"Events in each of the last {TREND_HOURS} hours")

    groupings = GroupingOut(many=True)

    class Meta(IssueSerializer.Meta):
        fields = [*IssueSerializer.Meta.fields, "latest_event", "tags", "trend", "groupings"]
        read_only_fields = fields

    def to_representation(self, instance: Issue) -> dict[str, object]:
        event = selectors.latest_event(instance)
        shown = None if event is None else EventDetailSerializer(event).data
        self.traces = {instance.pk: shown["stack_trace"] if shown else None}
        self.latest = shown
        return super().to_representation(instance)

    @extend_schema_field(EventDetailSerializer(allow_null=True))
    def get_latest_event(self, _: Issue) -> object:
        return self.latest

    @extend_schema_field(TagOut(many=True))
    def get_tags(self, row: Issue) -> object:
        return [TagOut(tag).data for tag in selectors.tags_of(row)]

    @extend_schema_field(serializers.ListField(child=serializers.IntegerField()))
    def get_trend(self, row: Issue) -> list[int]:
        return selectors.trend([row], hours=TREND_HOURS, now=utc_now())[row.pk]


class ActivitySerializer(serializers.ModelSerializer[ActivityEntry]):
    """A line of an issue's history."""

    id = Id()

    class Meta:
        model = ActivityEntry
        fields = ["id", "kind", "at", "by", "text", "data"]
        read_only_fields = fields


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def shown(issue_id: int) -> Mapping[str, object]:
    """The issue as it is now, as answers show it. Raises Issue.DoesNotExist."""
    return IssueDetailSerializer(selectors.all_issues().get(pk=issue_id)).data


def listed(issues: Iterable[Issue]) -> object:
    """Issues as lists show them."""
    return IssueSerializer(list(issues), many=True).data
