"""Who is told about which service, in the admin: added and ended; what they said themselves is changed by nobody."""

from typing import ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import display

from catalogue import selectors, subscribing
from catalogue.admin_base import CatalogueAdmin, Form, FormSet
from catalogue.models import Service, Subscription
from catalogue.rules import SubscriptionState, label
from catalogue.services import subscriptions
from sysops.access.requests import request_actor
from sysops.pages import show

SHOWN = 10
_STATES = [state.value for state in SubscriptionState]


class SubscriptionForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Subscription
        fields = ("service", "person", "email")
        help_texts = {
            "person": "One of our people. They are told from now on.",
            "email": "Or an address from outside. It gets a link, and is told once it has confirmed.",
        }

    def clean(self) -> dict[str, object]:
        person, email = self.cleaned_data.get("person"), str(self.cleaned_data.get("email") or "")
        if bool(person) == bool(email):
            raise ValidationError("Give a person or an e-mail address, and not both.")
        if email and (problem := subscribing.email_problem(email)):
            self.add_error("email", problem)
        return self.cleaned_data

    def _get_validation_exclusions(self) -> set[str]:
        """All: the model would refuse what exists already, and signing up again is no mistake."""
        return {field.name for field in Subscription._meta.concrete_fields}


@admin.register(Subscription)
class SubscriptionAdmin(CatalogueAdmin):
    form = SubscriptionForm
    rights: ClassVar = {"view": "catalogue.view", "add": "catalogue.change"}
    list_display = ("who", "service", "state_shown", "requested_at", "confirmed_at", "ended_at")
    list_filter = ("state", "service")
    search_fields = ("email", "person__name", "person__slug", "service__name", "service__slug")
    autocomplete_fields = ("service", "person")
    actions = ("end",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Subscription]:
        return selectors.subscriptions()

    def get_fieldsets(  # type: ignore[override]
        self, request: HttpRequest, obj: Subscription | None = None
    ) -> list[tuple[str | None, dict[str, tuple[str, ...]]]]:
        times = ("state_shown", "requested_at", "asked_at", "confirmed_at", "ended_at")
        return [(None, {"fields": ("service", "person", "email", *(times if obj else ()))})]

    def get_readonly_fields(self, request: HttpRequest, obj: object = None) -> list[str]:
        return ["state_shown", "requested_at", "asked_at", "confirmed_at", "ended_at"]

    def save_related(self, request: HttpRequest, form: Form, formsets: list[FormSet], change: bool) -> None:
        given, by, at = form.cleaned_data, request_actor(request), timezone.now()
        service, person, email = given["service"], given["person"], given["email"]
        if person:
            row: Subscription | None = subscriptions.subscribe_person(service=service, person=person, by=by, at=at)
        else:
            subscriptions.request(service=service, email=email, by=by, at=at)
            row = Subscription.objects.filter(service=service, email=email.lower()).first()
            if row is None:
                raise ValidationError(f"{email} was sent {subscribing.LINKS_AN_HOUR} links within an hour. Wait.")
            if row.state == SubscriptionState.PENDING:
                self.message_user(request, f"{email} is told once it has confirmed by the link it was sent.")
        form.instance.__dict__.update(row.__dict__)

    @admin.display(description="Who", ordering="email")
    def who(self, row: Subscription) -> str:
        return str(row.person or row.email)

    @display(  # type: ignore[untyped-decorator]
        description="State",
        ordering="state",
        label={label(_STATES[0]): "warning", label(_STATES[1]): "success", label(_STATES[2]): "default"},
    )
    def state_shown(self, row: Subscription) -> str:
        return label(row.state)

    @admin.action(description="End the selected subscriptions", permissions=["add"])
    def end(self, request: HttpRequest, rows: QuerySet[Subscription]) -> None:
        chosen = list(rows)
        ended = subscriptions.end(chosen, by=request_actor(request), at=timezone.now())
        self.message_user(request, f"Ended {len(ended)} of {len(chosen)}.", messages.SUCCESS)


def subscribers_of(service: Service) -> SafeString:
    """Who is told about a service, for its own page: how many, the newest, and the way to all of them."""
    rows = selectors.subscriptions().filter(service=service)
    counts = dict(rows.order_by("state").values_list("state").annotate(Count("pk")))
    if not counts:
        return format_html("{}", "nobody but its team")
    shown = rows.filter(state=SubscriptionState.CONFIRMED.value)[:SHOWN]
    names = format_html_join(", ", "{}", ((str(row.person or row.email),) for row in shown))
    pills = format_html_join(
        " ",
        "{}",
        (
            (show.pill(tone, f"{counts[state]} {state}"),)
            for state, tone in zip(_STATES, ("wait", "good", "off"), strict=True)
            if state in counts
        ),
    )
    url = f"{reverse('admin:catalogue_subscription_changelist')}?service__id__exact={service.pk}"
    more = " …" if counts.get(SubscriptionState.CONFIRMED.value, 0) > SHOWN else ""
    return format_html('{} {}{} <a href="{}">All of them</a>', pills, names, more, url)
