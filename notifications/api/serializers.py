"""How channels and deliveries look over HTTP."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from catalogue.rules import SLUG
from notifications.channels.base import drivers
from notifications.looks import health
from notifications.models import Channel, Delivery
from notifications.rules import DeliveryState, Level
from notifications.services.fan_out import UNREACHED
from sysops.access import driver_settings
from sysops.api.forms import Form
from sysops.api.serializers import Id, ModelSerializer


class ChannelSerializer(ModelSerializer[Channel]):
    """One channel. Secrets in `settings` are shown as asterisks."""

    reaches = serializers.SerializerMethodField(help_text="Which address of a person it needs; blank for one place")
    settings = serializers.SerializerMethodField()
    health = serializers.SerializerMethodField(help_text="In words")

    class Meta:
        model = Channel
        fields = [
            "slug",
            "name",
            "driver",
            "reaches",
            "settings",
            "enabled",
            "health",
            "failing_since",
            "resting_until",
            "last_error",
            "last_sent_at",
            "created_at",
        ]
        read_only_fields = fields

    def get_reaches(self, row: Channel) -> str | None:
        return drivers.get(row.driver).reaches if row.driver in drivers else None

    @extend_schema_field(OpenApiTypes.OBJECT)
    def get_settings(self, row: Channel) -> dict[str, object]:
        return driver_settings.masked(row.settings, row.sealed_settings)

    def get_health(self, row: Channel) -> str:
        return health(row)[1]


class ChannelIn(Form):
    """A new channel. The JSON Schema of `settings` is its driver's; what is secret there is write-only."""

    slug = serializers.RegexField(f"^{SLUG.pattern}$", max_length=64)
    name = serializers.CharField(max_length=200)
    driver = serializers.CharField(max_length=60)
    settings = serializers.DictField(default=dict)
    enabled = serializers.BooleanField(default=True)


class ChannelChange(Form):
    """What is given is changed. A secret given as it is shown, in asterisks, stays as it was."""

    name = serializers.CharField(max_length=200, required=False)
    settings = serializers.DictField(required=False)
    enabled = serializers.BooleanField(required=False)


class DeliverySerializer(ModelSerializer[Delivery]):
    """One message for one address through one channel; `public_id` is its Message-ID or webhook-id."""

    id = Id()
    message = serializers.CharField(source="message_id", read_only=True)
    kind = serializers.CharField(source="message.kind", read_only=True)
    level = serializers.ChoiceField([level.value for level in Level], source="message.level", read_only=True)
    thread = serializers.CharField(source="message.thread", read_only=True)
    posted_at = serializers.DateTimeField(source="message.posted_at", read_only=True)
    channel = serializers.CharField(source="channel.slug", read_only=True)
    person = serializers.CharField(source="person.slug", allow_null=True, default=None, read_only=True)
    address = serializers.SerializerMethodField(help_text="Blank: the channel's own place, or nobody could be reached")
    state = serializers.ChoiceField([state.value for state in DeliveryState], read_only=True)
    fallback_of = serializers.CharField(source="fallback_of_id", allow_null=True, read_only=True)

    class Meta:
        model = Delivery
        fields = [
            "id",
            "public_id",
            "message",
            "kind",
            "level",
            "thread",
            "posted_at",
            "channel",
            "person",
            "name",
            "address",
            "outside",
            "state",
            "attempt",
            "due_at",
            "sent_at",
            "ended_at",
            "provider_id",
            "error",
            "fallback_of",
        ]
        read_only_fields = fields

    def get_address(self, row: Delivery) -> str:
        return "" if row.address.startswith(UNREACHED) else row.address
