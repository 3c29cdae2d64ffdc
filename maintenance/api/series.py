"""Series of windows over HTTP: parse, one service call, answer."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import ClassVar

from django.db.models import Prefetch, QuerySet
from django.urls import URLPattern, URLResolver
from django.utils.text import slugify
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from catalogue.models import Service
from catalogue.rules import SLUG, slug_problem
from maintenance import recurrence, series_plans
from maintenance.api.serializers import LONGEST_SECONDS, GateIn, WindowBrief, WindowIn
from maintenance.models import Series, SeriesNote, Window, WrongState
from maintenance.rules import LONGEST_REASON, Status
from maintenance.series_plans import SeriesPlan
from maintenance.services import series as services
from sysops.api.filters import FilterSet, Flag, Name
from sysops.api.forms import Form, Moment
from sysops.api.problems import Conflict, invalid
from sysops.api.routers import Router
from sysops.api.serializers import Serializer
from sysops.api.views import ReadViewSet
from sysops.kernel.clock import utc_now

SHORTEST_SECONDS = int(recurrence.SHORTEST.total_seconds())
MOST_SHOWN = 100
# What the API calls differently than a plan does.
PLAN_NAMES = {
    "first_start_time": "first_start",
    "estimated_duration_seconds": "duration",
    "affected_services": "services",
}
_CANCEL = "cancel_scheduled"


class NoteOut(serializers.ModelSerializer[SeriesNote]):
    """An occurrence that was skipped, or could not be made."""

    class Meta:
        model = SeriesNote
        fields = ["occurrence", "skipped", "reason", "at"]
        read_only_fields = fields


class SeriesSerializer(serializers.ModelSerializer[Series]):
    """A series of windows."""

    rule_words = serializers.SerializerMethodField(help_text="The rule as people say it")
    first_start_time = serializers.DateTimeField(source="first_start")
    estimated_duration_seconds = serializers.IntegerField(
        source="duration_seconds", help_text="By the wall clock: 03:00–05:00 stays so when clocks change"
    )
    affected_services = serializers.SerializerMethodField()
    gates = GateIn(many=True)
    ended_time = serializers.DateTimeField(source="ended_at", allow_null=True)
    made_until_time = serializers.DateTimeField(source="made_until", allow_null=True)

    class Meta:
        model = Series
        fields = [
            "slug",
            "title",
            "description",
            "rule",
            "rule_words",
            "time_zone",
            "first_start_time",
            "estimated_duration_seconds",
            "affected_services",
            "starts_itself",
            "completes_itself",
            "maintenance_mode",
            "gates",
            "made_until_time",
            "ended_time",
            "created_at",
            "created_by",
        ]
        read_only_fields = fields

    def get_rule_words(self, row: Series) -> str:
        return recurrence.words(row.rule)

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_affected_services(self, row: Series) -> list[str]:
        return [service.slug for service in row.services.all()]


class SeriesDetailSerializer(SeriesSerializer):
    """A series with its windows to come, and what became of other occurrences."""

    windows = serializers.SerializerMethodField(help_text="Those not over yet, earliest first")
    notes = serializers.SerializerMethodField(help_text="Occurrences skipped or in conflict, latest first")

    class Meta(SeriesSerializer.Meta):
        fields = [*SeriesSerializer.Meta.fields, "windows", "notes"]
        read_only_fields = fields

    @extend_schema_field(WindowBrief(many=True))
    def get_windows(self, row: Series) -> object:
        open_now = Window.objects.filter(series=row, status__in=[Status.SCHEDULED.value, Status.IN_PROGRESS.value])
        return WindowBrief(open_now.order_by("scheduled_start", "pk")[:MOST_SHOWN], many=True).data

    @extend_schema_field(NoteOut(many=True))
    def get_notes(self, row: Series) -> object:
        return NoteOut(row.notes.order_by("-occurrence", "-pk")[:MOST_SHOWN], many=True).data


class SeriesIn(WindowIn):
    """A series as it is wanted."""

    maintenance_type = None  # type: ignore[assignment]  # DRF's way to leave out what the base class has
    scheduled_start_time = None  # type: ignore[assignment]
    slug = serializers.RegexField(
        f"^{SLUG.pattern}$",
        required=False,
        help_text="Others refer to it by this; it never changes. Made from the title when left out.",
        error_messages={"invalid": str(slug_problem(""))},
    )
    rule = serializers.CharField(
        max_length=recurrence.LONGEST_RULE, trim_whitespace=False, help_text="RFC 5545 RRULE, e.g. FREQ=WEEKLY;BYDAY=TU"
    )
    first_start_time = Moment(help_text="The first occurrence; its wall-clock time is that of all others")
    estimated_duration_seconds = serializers.IntegerField(
        min_value=SHORTEST_SECONDS, max_value=LONGEST_SECONDS, help_text="By the wall clock"
    )
    starts_itself = serializers.BooleanField(required=False, help_text="At its start, without anybody: the default")
    completes_itself = serializers.BooleanField(required=False, help_text="At its end, without anybody: the default")

    @classmethod
    def plan(cls, data: object, *, partial: bool = False) -> dict[str, object]:
        """What was given, under the names of a plan."""
        given = cls.validated(data, partial=partial)
        return {PLAN_NAMES.get(name, name): value for name, value in given.items()}


class PreviewIn(Form):
    """Times to try out."""

    rule = serializers.CharField(max_length=recurrence.LONGEST_RULE, trim_whitespace=False)
    time_zone = serializers.CharField(max_length=64, required=False, default="UTC")
    first_start_time = Moment()
    estimated_duration_seconds = serializers.IntegerField(min_value=SHORTEST_SECONDS, max_value=LONGEST_SECONDS)
    count = serializers.IntegerField(min_value=1, max_value=MOST_SHOWN, required=False, default=10)


class OccurrenceOut(Serializer[recurrence.Occurrence]):
    """One occurrence: what its window would be."""

    start_time = serializers.DateTimeField(source="start")
    end_time = serializers.DateTimeField(source="end")
    note = serializers.CharField(help_text="What the change of clocks does to it; mostly empty")


class PreviewOut(Serializer[dict[str, object]]):
    """What the times mean."""

    rule = serializers.CharField()
    rule_words = serializers.CharField()
    occurrences = OccurrenceOut(many=True)


class SkipIn(Form):
    """Which occurrence is not to take place."""

    occurrence = Moment(help_text="Its start as the rule names it, also where its window was moved")
    reason = serializers.CharField(
        max_length=LONGEST_REASON, required=False, default="", allow_blank=True, help_text="Told to everybody affected"
    )


class SeriesFilter(FilterSet):
    """`?service= &ended=`."""

    service = Name(Service, field_name="services", label="service")
    ended = Flag(field_name="ended_at", method="filter_ended")

    class Meta:
        model = Series
        fields: list[str] = []

    def filter_ended(self, rows: QuerySet[Series], name: str, value: bool) -> QuerySet[Series]:
        return rows.filter(ended_at__isnull=not value)


class SeriesViewSet(ReadViewSet[Series]):
    """`/api/system/maintenance-series`."""

    rights: ClassVar[dict[str, str]] = {
        "list": "maintenance.view",
        "retrieve": "maintenance.view",
        "create": "maintenance.manage",
        "preview": "maintenance.view",
        "partial_update": "maintenance.manage",
        "destroy": "maintenance.manage",
        "skip": "maintenance.manage",
    }
    queryset = Series.objects.prefetch_related(Prefetch("services", Service.objects.order_by("slug"))).order_by(
        "-created_at", "-pk"
    )
    lookup_field = "slug"
    serializer_class = SeriesSerializer
    filterset_class = SeriesFilter
    ordering_fields: ClassVar[dict[str, str]] = {"created_at": "created_at", "title": "title"}

    @extend_schema(request=SeriesIn, responses={201: SeriesDetailSerializer})
    def create(self, request: Request) -> Response:
        """Make a series and the windows of its next 60 days; what stands in the way of some is in `notes`."""
        given = {"description": "", **SeriesIn.plan(request.data)}
        given.setdefault("slug", _slug_of(str(given["title"])))
        with _refused():
            series = services.create_series(SeriesPlan(**given), by=self.actor(), at=utc_now())  # type: ignore[arg-type]
        headers = {"Location": f"/api/system/maintenance-series/{series.slug}"}
        return Response(self._shown(series), status=status.HTTP_201_CREATED, headers=headers)

    @extend_schema(responses=SeriesDetailSerializer)
    def retrieve(self, request: Request, slug: str) -> Response:
        """A series, with its windows to come and the notes on other occurrences."""
        return Response(SeriesDetailSerializer(self.get_object()).data)

    @extend_schema(request=SeriesIn, responses=SeriesDetailSerializer)
    def partial_update(self, request: Request, slug: str) -> Response:
        """Change a series and its windows to come; those moved, skipped or begun stay as they are."""
        series = self.get_object()
        given = SeriesIn.plan(request.data, partial=True)
        with _refused():
            services.change_series(series, given, by=self.actor(), at=utc_now())
        return Response(self._shown(series))

    @extend_schema(
        parameters=[OpenApiParameter(_CANCEL, bool, description="Also cancel its windows to come; default false.")],
        responses=SeriesDetailSerializer,
    )
    def destroy(self, request: Request, slug: str) -> Response:
        """End a series: nothing more is made of it. Its record and its windows stay."""
        series, cancel = self.get_object(), _cancel_asked(request)
        with _refused():
            services.end_series(series, cancel_scheduled=cancel, by=self.actor(), at=utc_now())
        return Response(self._shown(series))

    @extend_schema(request=SkipIn, responses=SeriesDetailSerializer)
    @action(detail=True, methods=["post"])
    def skip(self, request: Request, slug: str) -> Response:
        """Skip one occurrence: its window is cancelled, or never made."""
        series = self.get_object()
        given = SkipIn.validated(request.data)
        with _refused():
            services.skip(series, given["occurrence"], reason=given["reason"], by=self.actor(), at=utc_now())
        return Response(self._shown(series))

    @extend_schema(request=PreviewIn, responses={200: PreviewOut})
    @action(detail=False, methods=["post"])
    def preview(self, request: Request) -> Response:
        """When a series would take place, with what changes of the clocks do to it. Nothing is stored."""
        given = PreviewIn.validated(request.data)
        return Response(PreviewOut(_preview(given, at=utc_now())).data)

    def _shown(self, series: Series) -> object:
        return SeriesDetailSerializer(self.get_queryset().get(pk=series.pk)).data


router = Router()
router.register("maintenance-series", SeriesViewSet, basename="maintenance-series")
urls: list[URLPattern | URLResolver] = [*router.urls]


@contextmanager
def _refused() -> Iterator[None]:
    """What services refuse with, as the problems of API.md."""
    try:
        yield
    except services.BadSeries as exc:
        raise invalid(exc.problems) from None
    except WrongState as exc:
        raise Conflict(str(exc), current_status=exc.current) from None


def _slug_of(title: str) -> str:
    made = slugify(title)[:64].strip("-")
    if not made:
        raise invalid({"slug": "Cannot be made from this title; give one."})
    return made


def _cancel_asked(request: Request) -> bool:
    """The one parameter of DELETE; what is unknown is refused rather than passed over."""
    names = set(request.query_params)
    if wrong := names - {_CANCEL}:
        raise invalid(dict.fromkeys(wrong, f"There is no such parameter; known is {_CANCEL}."))
    values = request.query_params.getlist(_CANCEL)
    if values not in ([], ["true"], ["false"]):
        raise invalid({_CANCEL: "Must be true or false."})
    return values == ["true"]


def _preview(given: Mapping[str, object], *, at: datetime) -> dict[str, object]:
    rule, zone, first, seconds, count = (
        given[name] for name in ("rule", "time_zone", "first_start_time", "estimated_duration_seconds", "count")
    )
    assert isinstance(first, datetime)
    assert isinstance(seconds, int)
    assert isinstance(count, int)
    plan = SeriesPlan(
        slug="tried",
        title="Tried",
        description="",
        rule=str(rule),
        first_start=first.replace(microsecond=0),
        duration=timedelta(seconds=seconds),
        services=(),
        time_zone=str(zone),
    )
    if problems := series_plans.times_problems(plan, at=at):
        raise invalid(problems)
    found = series_plans.coming(plan, after=at, most=count)
    return {"rule": recurrence.parse(plan.rule).text, "rule_words": series_plans.in_words(plan), "occurrences": found}
