"""The catalogue as JSON. Rows are written by services alone: nothing here saves."""

from django.contrib.auth import get_user_model
from django.utils.text import slugify
from rest_framework import serializers

from catalogue import rules, subscribing
from catalogue.models import ContactAddress, Environment, Host, Person, Service, Subscription, Team
from catalogue.rules import LONGEST_ADDRESS, TIERS
from catalogue.services import Row
from sysops.api.forms import Form, OnlyKnown
from sysops.api.serializers import Id, ModelSerializer, Named


class _Named(OnlyKnown[Row], ModelSerializer[Row]):
    """What has a slug: it may be left out, and is then made from the name."""

    slug = serializers.RegexField(
        f"^{rules.SLUG.pattern}$",
        required=False,
        help_text="Others refer to it by this; it never changes. Made from the name when left out.",
        error_messages={"invalid": str(rules.slug_problem(""))},
    )

    def validate(self, attrs: dict[str, object]) -> dict[str, object]:
        if self.instance is None and "slug" not in attrs:
            made = slugify(str(attrs["name"]))[:64].strip("-")
            if not made:
                raise serializers.ValidationError({"slug": ["Cannot be made from this name; give one."]})
            attrs["slug"] = made
        return attrs


class EnvironmentSerializer(_Named[Environment]):
    """Where something runs."""

    class Meta:
        model = Environment
        fields = ["slug", "name", "is_production", "created_at"]


class HostSerializer(OnlyKnown[Host], ModelSerializer[Host]):
    """A machine that runs a worker; it makes itself known when its worker starts."""

    name = serializers.RegexField(
        f"^{rules.HOST_NAME.pattern}$",
        help_text="The machine's own name, as its worker gives it.",
        error_messages={"invalid": str(rules.host_name_problem(""))},
    )
    environment = Named(slug_field="slug", queryset=Environment.objects.all(), allow_null=True, required=False)

    class Meta:
        model = Host
        fields = ["name", "environment", "description", "last_seen_at", "created_at"]


class ContactSerializer(OnlyKnown[ContactAddress], ModelSerializer[ContactAddress]):
    """One way to reach a person."""

    class Meta:
        model = ContactAddress
        fields = ["channel", "address"]


class PersonSerializer(_Named[Person]):
    """Somebody who can be reached."""

    user = Named(
        slug_field="username",
        queryset=get_user_model().objects.all(),
        tells=False,
        allow_null=True,
        required=False,
        help_text="The account this person signs in with.",
    )
    contacts = ContactSerializer(many=True, required=False, help_text="In the order they are tried.")

    class Meta:
        model = Person
        fields = ["slug", "name", "time_zone", "quiet_from", "quiet_until", "user", "contacts", "created_at"]

    def validate_contacts(self, value: list[dict[str, str]]) -> list[tuple[str, str]]:
        """As the service takes them. A PATCH leaves out what stays, but not half a contact."""
        if any(len(contact) < 2 for contact in value):
            raise serializers.ValidationError("Each needs a channel and an address.")
        return [(contact["channel"], contact["address"]) for contact in value]


class TeamSerializer(_Named[Team]):
    """People who own services together. Who leads it is one of its members."""

    lead = Named(slug_field="slug", queryset=Person.objects.all(), allow_null=True, required=False)
    members = Named(slug_field="slug", queryset=Person.objects.all(), many=True, required=False)

    class Meta:
        model = Team
        fields = ["slug", "name", "lead", "members", "created_at"]


class ServiceSerializer(_Named[Service]):
    """What users depend on. Its state is set by maintenance and checks, not here."""

    tier = serializers.IntegerField(min_value=min(TIERS), max_value=max(TIERS), required=False)
    owner_team = Named(slug_field="slug", queryset=Team.objects.all(), allow_null=True, required=False)
    environment = Named(slug_field="slug", queryset=Environment.objects.all(), allow_null=True, required=False)
    depends_on = Named(slug_field="slug", queryset=Service.objects.all(), many=True, required=False)

    class Meta:
        model = Service
        fields = [
            "slug",
            "name",
            "kind",
            "tier",
            "owner_team",
            "environment",
            "depends_on",
            "state",
            "state_until",
            "state_reason",
            "created_at",
        ]


class ModeSerializer(serializers.Serializer[object]):
    """What the service's own proxy or code should do now."""

    mode = serializers.ChoiceField(choices=["normal", "maintenance"])
    until = serializers.DateTimeField(required=False, allow_null=True)


class SignUpSerializer(Form):
    """Who wants to be told."""

    email = serializers.RegexField(
        f"^{subscribing.EMAIL_PATTERN}$",
        max_length=LONGEST_ADDRESS,
        trim_whitespace=False,
        help_text="A link is mailed there; without a click on it nothing else is.",
        error_messages={"invalid": subscribing.NO_EMAIL},
    )


class SignedUpSerializer(serializers.Serializer[object]):
    """The same for every address."""

    detail = serializers.CharField()


class SubscriptionSerializer(ModelSerializer[Subscription]):
    """Somebody who is told: one of our people, or an address from outside."""

    id = Id()
    person: serializers.SlugRelatedField[Person] = serializers.SlugRelatedField(
        slug_field="slug", read_only=True, allow_null=True
    )

    class Meta:
        model = Subscription
        fields = ["id", "person", "email", "state", "requested_at", "confirmed_at", "ended_at"]
        read_only_fields = fields
