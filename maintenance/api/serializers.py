"""How windows look over HTTP, and what is taken for one."""

from collections.abc import Mapping
from datetime import timedelta

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from catalogue.models import Service
from maintenance import selectors
from maintenance.models import STATUSES, TYPES, Update, Window, WindowGate
from maintenance.plans import GatePlan
from maintenance.rules import (
    LONGEST_DESCRIPTION,
    LONGEST_DURATION,
    LONGEST_REASON,
    LONGEST_TITLE,
    LONGEST_UPDATE,
    GateState,
    Type,
)
from sysops.api.forms import Form, Moment
from sysops.api.serializers import Id

LONGEST_SECONDS = int(LONGEST_DURATION.total_seconds())
MOST_SERVICES = 1_000
MOST_GATES = 20
# What the API calls differently than a plan does.
PLAN_NAMES = {
    "scheduled_start_time": "start",
    "estimated_duration_seconds": "duration",
    "affected_services": "services",
}


class UpdateOut(serializers.ModelSerializer[Update]):
    """Something that was said of a window."""

    id = Id()

    class Meta:
        model = Update
        fields = ["id", "message", "created_at", "author"]
        read_only_fields = fields


class GateOut(serializers.ModelSerializer[WindowGate]):
    """A gate of a window, and what it said when it was last asked."""

    settings = serializers.DictField()
    state = serializers.ChoiceField([state.value for state in GateState])
    facts = serializers.DictField()

    class Meta:
        model = WindowGate
        fields = ["gate", "settings", "prepare", "state", "reason", "facts", "asked_at"]
        read_only_fields = fields


class WindowBrief(serializers.ModelSerializer[Window]):
    """Another window, as far as one must know of it."""

    id = Id()
    status = serializers.ChoiceField(STATUSES)
    scheduled_start_time = serializers.DateTimeField(source="scheduled_start")
    scheduled_end_time = serializers.DateTimeField(source="scheduled_end")

    class Meta:
        model = Window
        fields = ["id", "title", "maintenance_type", "status", "scheduled_start_time", "scheduled_end_time"]
        read_only_fields = fields


class WindowSerializer(serializers.ModelSerializer[Window]):
    """A window with all that belongs to it. What is not known yet is null."""

    id = Id()
    status = serializers.ChoiceField(STATUSES)
    maintenance_type = serializers.ChoiceField(TYPES)
    overrunning = serializers.BooleanField()
    scheduled_start_time = serializers.DateTimeField(source="scheduled_start")
    scheduled_end_time = serializers.DateTimeField(source="scheduled_end")
    actual_start_time = serializers.DateTimeField(source="actual_start", allow_null=True)
    actual_duration_seconds = serializers.SerializerMethodField()
    completed_time = serializers.DateTimeField(source="completed_at", allow_null=True)
    cancelled_time = serializers.DateTimeField(source="cancelled_at", allow_null=True)
    affected_services = serializers.SerializerMethodField(help_text="Those that are worked on")
    reached_services = serializers.SerializerMethodField(help_text="Those that stand on them")
    updates = UpdateOut(many=True)
    gates = GateOut(many=True)
    series = serializers.CharField(source="series.slug", allow_null=True, default=None)

    class Meta:
        model = Window
        fields = [
            "id",
            "title",
            "description",
            "maintenance_type",
            "status",
            "overrunning",
            "scheduled_start_time",
            "scheduled_end_time",
            "estimated_duration_seconds",
            "actual_start_time",
            "actual_duration_seconds",
            "completed_time",
            "cancelled_time",
            "cancel_reason",
            "time_zone",
            "affected_services",
            "reached_services",
            "starts_itself",
            "completes_itself",
            "maintenance_mode",
            "start_refused_because",
            "gates",
            "updates",
            "series",
            "note",
            "created_at",
            "created_by",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.IntegerField(allow_null=True))
    def get_actual_duration_seconds(self, row: Window) -> int | None:
        if row.actual_start is None or row.completed_at is None:
            return None
        return round((row.completed_at - row.actual_start).total_seconds())

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_affected_services(self, row: Window) -> list[str]:
        return self._slugs(row, direct=True)

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_reached_services(self, row: Window) -> list[str]:
        return self._slugs(row, direct=False)

    def _slugs(self, row: Window, *, direct: bool) -> list[str]:
        return [found.service.slug for found in row.affected.all() if found.direct is direct]


class WindowDetailSerializer(WindowSerializer):
    """A window, and the others that meet it on a service in its time."""

    overlaps = serializers.SerializerMethodField(
        help_text="Open windows that meet this one; an emergency may, others only where both merely reach a service"
    )

    class Meta(WindowSerializer.Meta):
        fields = [*WindowSerializer.Meta.fields, "overlaps"]
        read_only_fields = fields

    @extend_schema_field(WindowBrief(many=True))
    def get_overlaps(self, row: Window) -> list[dict[str, object]]:
        return WindowBrief(selectors.overlaps(row), many=True).data  # type: ignore[return-value]


class GateIn(Form):
    """A gate that is asked before the start."""

    gate = serializers.CharField(max_length=60, help_text="Its name, such as fresh_backup")
    settings = serializers.DictField(required=False, default=dict, help_text="As the gate's own schema has it")
    prepare = serializers.BooleanField(
        required=False, default=False, help_text="It may do what opens it, such as take a backup first"
    )


class WindowIn(Form):
    """A window as it is wanted."""

    title = serializers.CharField(max_length=LONGEST_TITLE, trim_whitespace=False)
    description = serializers.CharField(
        max_length=LONGEST_DESCRIPTION, required=False, allow_blank=True, trim_whitespace=False
    )
    maintenance_type = serializers.ChoiceField(
        [Type.PLANNED.value, Type.EMERGENCY.value], required=False, help_text="planned when left out"
    )
    scheduled_start_time = Moment(required=False, help_text="An emergency may leave it out: now")
    estimated_duration_seconds = serializers.IntegerField(min_value=1, max_value=LONGEST_SECONDS)
    affected_services = serializers.ListField(
        child=serializers.CharField(max_length=64),
        allow_empty=False,
        min_length=1,  # the published document says it by this
        max_length=MOST_SERVICES,
        help_text="The slugs of the services that are worked on",
    )
    time_zone = serializers.CharField(
        max_length=64, required=False, help_text="In which readers from outside see its times; UTC when left out"
    )
    starts_itself = serializers.BooleanField(required=False)
    completes_itself = serializers.BooleanField(required=False)
    maintenance_mode = serializers.BooleanField(
        required=False, help_text="While it runs, GET …/services/{slug}/mode of those worked on answers 503"
    )
    gates = serializers.ListField(child=GateIn(), required=False, max_length=MOST_GATES)

    def validate_affected_services(self, slugs: list[str]) -> list[Service]:
        known = {service.slug: service for service in Service.objects.filter(slug__in=slugs)}
        unknown = [slug for slug in dict.fromkeys(slugs) if slug not in known]
        if unknown:
            shown = ", ".join(repr(slug) for slug in unknown[:10])
            more = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
            raise serializers.ValidationError(
                f"There is no service {shown}{more}; GET /api/system/services lists them."
            )
        return [known[slug] for slug in slugs]

    def validate_estimated_duration_seconds(self, whole: int) -> timedelta:
        return timedelta(seconds=whole)

    def validate_gates(self, gates: list[Mapping[str, object]]) -> list[GatePlan]:
        """As a plan has them. A PATCH leaves out what stays, but not half a gate."""
        if bad := {n: {"gate": ["This field is required."]} for n, gate in enumerate(gates) if "gate" not in gate}:
            raise serializers.ValidationError(bad)  # type: ignore[arg-type]
        return [GatePlan(**gate) for gate in gates]  # type: ignore[arg-type]

    @classmethod
    def plan(cls, data: object, *, partial: bool = False) -> dict[str, object]:
        """What was given, under the names of a plan."""
        given = cls.validated(data, partial=partial)
        found = {PLAN_NAMES.get(name, name): value for name, value in given.items()}
        if "maintenance_type" in found:
            found["maintenance_type"] = Type(found["maintenance_type"])
        return found


class ExtendIn(Form):
    """How long it is to be."""

    estimated_duration_seconds = serializers.IntegerField(
        min_value=1, max_value=LONGEST_SECONDS, help_text="The whole length, counted from the scheduled start"
    )

    def validate_estimated_duration_seconds(self, whole: int) -> timedelta:
        return timedelta(seconds=whole)


class CancelIn(Form):
    """Why it will not take place."""

    reason = serializers.CharField(
        max_length=LONGEST_REASON, required=False, default="", allow_blank=True, help_text="Told to everybody affected"
    )


class UpdateIn(Form):
    """How it stands."""

    message = serializers.CharField(max_length=LONGEST_UPDATE, help_text="Told to everybody affected")
