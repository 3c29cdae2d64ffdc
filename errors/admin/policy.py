"""What is decided once, in the admin: what each severity means, what makes an issue which of them, who gets it."""

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar, cast

from django import forms
from django.contrib import admin
from django.db import models
from django.db.models import Case, IntegerField, QuerySet, Value, When
from django.http import Http404, HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString

from errors import looks
from errors.admin.base import CONFIGURE, VIEW
from errors.admin.form_pages import FormAdmin
from errors.admin.policy_forms import AssignmentForm, LevelForm, RuleForm
from errors.models import AssignmentRule, SeverityLevel, SeverityRule, WrongState
from errors.rules import SEVERITIES
from errors.selectors import visible_projects
from errors.services import rulebook
from errors.services.rows import Overtaken
from sysops.access.actors import Actor
from sysops.kernel.words import span_words
from sysops.pages import show
from sysops.pages.acts import Act, Done, posted

REFUSALS = (WrongState, Overtaken)
_LABELS = {"level": "level", "error_type": "type", "message": "message", "service": "service", "tag": "tag"}
_COMPARES = (">", "<")


def conditions_words(conditions: object) -> str:
    """The conditions of a rule in a line."""
    if not isinstance(conditions, Mapping) or not conditions:
        return "Always"
    asked = [f"{_LABELS[name]} {_value(conditions[name])}" for name in _LABELS if name in conditions]
    if accounts := conditions.get("accounts_at_least"):
        asked.append(f"at least {looks.figure(accounts)} account{'' if accounts == 1 else 's'}")
    if events := conditions.get("events_at_least"):
        minutes = conditions.get("within_minutes")
        within = f" within {span_words(minutes * 60)}" if isinstance(minutes, int) and minutes else ""
        asked.append(f"at least {looks.figure(events)} event{'' if events == 1 else 's'}{within}")
    return "; ".join(asked)


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(_tag(str(key), wanted) for key, wanted in value.items())
    return " or ".join(map(str, value)) if isinstance(value, list) else str(value)


def _tag(key: str, wanted: object) -> str:
    """A value that compares has its sign already."""
    said = _value(wanted)
    return f"{key} {said}" if said.lstrip().startswith(_COMPARES) else f"{key} = {said}"


def _remove(name: str) -> Act:
    def do(row: models.Model, given: Mapping[str, object], by: Actor, at: datetime) -> Done:
        said = str(row)
        rulebook.remove(cast(SeverityRule | AssignmentRule, row), by=by, at=at)
        return Done(f"The rule {said} is gone.", reverse(f"admin:errors_{name}_changelist"))

    return Act(
        "remove",
        "Delete…",
        CONFIGURE,
        do,
        lambda row: ("It is asked no more. What it has decided already stays.",),
        icon="delete",
        tone="danger",
    )


class _OfSeenProjects(FormAdmin):
    """Rules of all projects, and of those that the person may see."""

    refusals: ClassVar = REFUSALS
    actions = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[models.Model]:
        rows: QuerySet[models.Model] = self.model._default_manager.select_related("project")
        seen = models.Q(project=None) | models.Q(project__in=visible_projects(request.user))
        return rows.filter(seen)

    @admin.display(description="Project", ordering="project__name")
    def of(self, row: SeverityRule | AssignmentRule) -> str:
        return row.project.name if row.project else "All"

    @admin.display(description="State", ordering="enabled")
    def stands(self, row: SeverityRule | AssignmentRule) -> SafeString:
        return show.pill("good", "In use") if row.enabled else show.pill("off", "Switched off")


@admin.register(SeverityLevel)
class SeverityLevelAdmin(FormAdmin):
    """The four severities: what they mean can be changed, that there are four cannot."""

    rights: ClassVar = {"view": VIEW, "change": CONFIGURE}
    refusals: ClassVar = REFUSALS
    list_display = ("named", "respond_within", "near", "means")
    list_display_links = ("named",)
    actions = None
    intro = "A change counts for issues whose time to respond starts from now on."

    def get_queryset(self, request: HttpRequest) -> QuerySet[SeverityLevel]:
        worst = [When(severity=severity.value, then=Value(i)) for i, severity in enumerate(SEVERITIES)]
        return SeverityLevel.objects.annotate(place=Case(*worst, output_field=IntegerField())).order_by("place")

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        return ("place",)

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False  # Django's own form; ours asks for the right by itself

    @admin.display(description="Severity", ordering="place")
    def named(self, row: SeverityLevel) -> SafeString:
        return looks.severity(row.severity)

    @admin.display(description="Respond within", ordering="respond_within_seconds")
    def respond_within(self, row: SeverityLevel) -> SafeString | str:
        return show.span(row.respond_within_seconds) if row.respond_within_seconds else "at once"

    @admin.display(description="Meaning")
    def means(self, row: SeverityLevel) -> SafeString:
        return looks.long_text(row.meaning)

    @admin.display(description="Near after", ordering="near_percent")
    def near(self, row: SeverityLevel) -> str:
        return f"{row.near_percent} %"

    def row_or_404(self, request: HttpRequest, pk: object) -> models.Model:
        row = self.get_queryset(request).filter(severity=str(pk)).first()
        if row is None:
            raise Http404(f"There is no severity {pk}")
        return row

    def entry_form(self, request: HttpRequest, row: models.Model | None) -> forms.Form:
        return LevelForm(posted(request), row=cast(SeverityLevel, row))

    def save(self, form: forms.Form, row: models.Model | None, *, by: Actor, at: datetime) -> models.Model:
        return rulebook.change(cast(SeverityLevel, row), form.cleaned_data, by=by, at=at)


@admin.register(SeverityRule)
class SeverityRuleAdmin(_OfSeenProjects):
    """When an issue is of which severity."""

    acts: ClassVar = (_remove("severityrule"),)
    list_display = ("name", "makes", "says", "of", "position", "stands")
    list_display_links = ("name",)
    list_filter = ("severity", "enabled")
    search_fields = ("name", "slug")
    ordering = ("position", "slug")
    intro = "All that is filled in must hold. What no rule fits is medium."

    @admin.display(description="Severity", ordering="severity")
    def makes(self, row: SeverityRule) -> SafeString:
        return looks.severity(row.severity)

    @admin.display(description="When")
    def says(self, row: SeverityRule) -> SafeString:
        return looks.long_text(conditions_words(row.conditions))

    def entry_form(self, request: HttpRequest, row: models.Model | None) -> forms.Form:
        return RuleForm(posted(request), row=cast(SeverityRule | None, row), user=request.user)

    def save(self, form: forms.Form, row: models.Model | None, *, by: Actor, at: datetime) -> models.Model:
        values = cast(RuleForm, form).values()
        if row is None:
            return rulebook.create(SeverityRule, values, by=by, at=at)
        return rulebook.change(cast(SeverityRule, row), values, by=by, at=at)


@admin.register(AssignmentRule)
class AssignmentRuleAdmin(_OfSeenProjects):
    """Who gets a new issue."""

    acts: ClassVar = (_remove("assignmentrule"),)
    list_display = ("name", "goes_to", "says", "of", "position", "stands")
    list_display_links = ("name",)
    list_filter = ("enabled",)
    search_fields = ("name", "person__name", "team__name")
    ordering = ("position", "pk")
    intro = "The first rule that fits decides; else whoever is on call of the service's owner team gets it."

    def get_queryset(self, request: HttpRequest) -> QuerySet[models.Model]:
        return super().get_queryset(request).select_related("project", "service", "person", "team")

    @admin.display(description="Given to")
    def goes_to(self, row: AssignmentRule) -> str:
        return row.person.name if row.person else f"On call of {row.team}"

    @admin.display(description="When")
    def says(self, row: AssignmentRule) -> SafeString:
        asked = {
            "service": row.service,
            "file": row.path,
            "tag": row.tag_key and f"{row.tag_key} = {row.tag_value or '*'}",
        }
        return looks.long_text("; ".join(f"{name} {value}" for name, value in asked.items() if value) or "Always")

    def entry_form(self, request: HttpRequest, row: models.Model | None) -> forms.Form:
        return AssignmentForm(posted(request), row=cast(AssignmentRule | None, row), user=request.user)

    def save(self, form: forms.Form, row: models.Model | None, *, by: Actor, at: datetime) -> models.Model:
        if row is None:
            return rulebook.create(AssignmentRule, form.cleaned_data, by=by, at=at)
        return rulebook.change(cast(AssignmentRule, row), form.cleaned_data, by=by, at=at)
