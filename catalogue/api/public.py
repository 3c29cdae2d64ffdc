"""What anybody may ask of the catalogue: whether a service turns users away, and to be told what happens to it."""

from typing import ClassVar

import django_filters
from django.db.models import QuerySet
from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle

from catalogue import rules, selectors
from catalogue.api.serializers import (
    ModeSerializer,
    SignedUpSerializer,
    SignUpSerializer,
    SubscriptionSerializer,
)
from catalogue.models import Service, Subscription
from catalogue.rules import SubscriptionState, label
from catalogue.services import subscriptions
from sysops.api.filters import FilterSet
from sysops.api.throttling import Limit
from sysops.api.views import PUBLIC, ReadViewSet, View

# So long may a proxy hand out one answer: what a thousand requests a second cost Sysops is one every few seconds.
MODE_KEPT_SECONDS = 5
SIGNED_UP = "If this address can be subscribed, a message with a link is on its way: the link confirms it."


class ModeView(View):
    """Whether a service is in maintenance mode, for its own proxy or code. May be kept for five seconds.

    Only maintenance mode answers 503. A service that a check found down still answers "normal" here: a proxy that
    turned users away for it would keep the check from ever seeing it recover.
    """

    authentication_classes = ()
    rights: ClassVar[dict[str, str]] = {"get": PUBLIC}

    @extend_schema(responses={200: ModeSerializer, 503: ModeSerializer}, auth=[])
    def get(self, request: Request, slug: str) -> Response:
        found = Service.objects.filter(slug=slug).values_list("maintenance_mode", "state_until").first()
        if found is None:
            raise Http404(f"There is no service {slug!r}.")
        closed, until = found
        # Proxies act on the header: some other server between us and them may say 503 too.
        headers = {"Cache-Control": f"public, max-age={MODE_KEPT_SECONDS}", "Sysops-Mode": "normal"}
        if not closed:
            return Response({"mode": "normal"}, headers=headers)
        headers["Sysops-Mode"] = "maintenance"
        headers["Retry-After"] = str(rules.retry_after_seconds(until=until, now=timezone.now()))
        body = {"mode": "maintenance", "until": until}
        answer = Response(body, status.HTTP_503_SERVICE_UNAVAILABLE, headers=headers)
        setattr(answer, "_has_been_logged", True)  # noqa: B010 - Django logs a 503 as our error; this one is an answer
        return answer


class _SignUps(Limit):
    """By the address of the connection: a header that names another one says whatever its sender likes."""

    scope, rate = "subscribe", "30/min"

    def get_ident(self, request: Request) -> str:
        return str(request.META.get("REMOTE_ADDR", ""))


class SubscriptionFilter(FilterSet):
    state = django_filters.ChoiceFilter(choices=[(state.value, label(state)) for state in SubscriptionState])

    class Meta:
        model = Subscription
        fields: ClassVar[list[str]] = []


class SubscriptionViewSet(ReadViewSet[Subscription]):
    """Who is told about a service. Anybody may sign up; who is signed up only those see who see the catalogue."""

    rights: ClassVar[dict[str, str]] = {
        "list": "catalogue.view",
        "create": PUBLIC,
        "destroy": "catalogue.change",
    }
    queryset = Subscription.objects.none()
    serializer_class = SubscriptionSerializer
    filterset_class = SubscriptionFilter
    ordering_fields = ("requested_at", "email")

    def get_throttles(self) -> list[BaseThrottle]:
        return [_SignUps()] if self.action == "create" else []

    def get_queryset(self) -> QuerySet[Subscription]:
        if getattr(self, "swagger_fake_view", False):
            return Subscription.objects.none()
        return selectors.subscriptions().filter(service=self._service())

    def _service(self) -> Service:
        slug = self.kwargs["slug"]
        service = Service.objects.filter(slug=slug).first()
        if service is None:
            raise Http404(f"There is no service {slug!r}.")
        return service

    @extend_schema(request=SignUpSerializer, responses={202: SignedUpSerializer})
    def create(self, request: Request, slug: str) -> Response:
        """Sign an e-mail address up. The answer never tells whether it was known."""
        service = self._service()
        given = SignUpSerializer.validated(request.data)
        subscriptions.request(service=service, email=given["email"], by=self.actor(), at=timezone.now())
        return Response({"detail": SIGNED_UP}, status.HTTP_202_ACCEPTED)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, **_: str) -> Response:
        """End it. It stays in the list for thirty days."""
        subscriptions.end([self.get_object()], by=self.actor(), at=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)
