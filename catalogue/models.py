"""The rows of the catalogue and what can never be true of them."""

from collections.abc import Iterable

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone

from catalogue import rota, rules
from catalogue.rules import TIERS, Channel, Kind, State, SubscriptionState, label


def _choices(values: Iterable[str]) -> list[tuple[str, str]]:
    return [(str(value), label(value)) for value in values]


def _refuse(**problems: str | None) -> None:
    found = {field: [problem] for field, problem in problems.items() if problem}
    if found:
        raise ValidationError(found)


class Entry(models.Model):
    """A row that people name, add and change: what `catalogue.services` creates, changes and removes."""

    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        abstract = True


class Environment(Entry):
    """Where something runs: production, staging …"""

    slug = models.CharField(max_length=64, unique=True)
    name = models.CharField(max_length=200)
    is_production = models.BooleanField(
        default=False, help_text="Whether real users depend on what runs here; what is done here is asked for twice."
    )

    class Meta:
        ordering = ["name", "pk"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        _refuse(slug=rules.slug_problem(self.slug))


class Person(Entry):
    """Somebody who can be reached, in their own time zone."""

    slug = models.CharField(max_length=64, unique=True)
    name = models.CharField(max_length=200)
    time_zone = models.CharField(max_length=64, default="UTC", help_text="A name such as Europe/Berlin.")
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="person",
        help_text="The account this person signs in with.",
    )
    quiet_from = models.TimeField(
        null=True, blank=True, help_text="From then on, in their own zone, only what is critical reaches them."
    )
    quiet_until = models.TimeField(null=True, blank=True, help_text="The next morning they hear of the rest.")

    class Meta:
        ordering = ["name", "pk"]
        verbose_name_plural = "people"

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        quiet = rules.quiet_problem(self.quiet_from, self.quiet_until)
        _refuse(
            slug=rules.slug_problem(self.slug),
            time_zone=rules.time_zone_problem(self.time_zone),
            **(dict([quiet]) if quiet else {}),
        )


class ContactAddress(models.Model):
    """One way to reach a person; the lowest position is tried first."""

    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="contacts")
    channel = models.CharField(max_length=16, choices=_choices(Channel))
    address = models.CharField(max_length=254)
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["position", "pk"]
        verbose_name_plural = "contact addresses"
        constraints = [
            models.UniqueConstraint(fields=["person", "channel", "address"], name="catalogue_contact_once"),
        ]

    def __str__(self) -> str:
        return f"{label(self.channel)}: {self.address}"

    def clean(self) -> None:
        _refuse(address=rules.address_problem(self.channel, self.address))


class Team(Entry):
    """People who own services together."""

    slug = models.CharField(max_length=64, unique=True)
    name = models.CharField(max_length=200)
    lead = models.ForeignKey(Person, on_delete=models.PROTECT, null=True, blank=True, related_name="leads")
    members = models.ManyToManyField(Person, through="Membership", related_name="teams", blank=True)

    class Meta:
        ordering = ["name", "pk"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        _refuse(slug=rules.slug_problem(self.slug))


class Membership(models.Model):
    """One person in one team."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="memberships")

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["team", "person"], name="catalogue_membership_once")]

    def __str__(self) -> str:
        return f"{self.person} in {self.team}"


class Host(Entry):
    """A machine that runs a Sysops worker."""

    name = models.CharField(max_length=253, unique=True, help_text="The machine's own name, as its worker gives it.")
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, null=True, blank=True, related_name="hosts")
    description = models.TextField(blank=True, default="", max_length=2000)
    last_seen_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["name", "pk"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        _refuse(name=rules.host_name_problem(self.name))


class Service(Entry):
    """What users depend on. `state` and its companions are written by `catalogue.services.set_state` alone."""

    slug = models.CharField(max_length=64, unique=True)
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=32, choices=_choices(Kind), default=Kind.OTHER.value)
    tier = models.PositiveSmallIntegerField(
        choices=[(1, "1 · critical"), (2, "2 · important"), (3, "3 · ordinary"), (4, "4 · minor")],
        default=3,
        help_text="How much stops when this stops: 1 is everything.",
    )
    owner_team = models.ForeignKey(Team, on_delete=models.PROTECT, null=True, blank=True, related_name="services")
    environment = models.ForeignKey(
        Environment, on_delete=models.PROTECT, null=True, blank=True, related_name="services"
    )
    depends_on = models.ManyToManyField(
        "self",
        through="Dependency",
        through_fields=("service", "requires"),
        symmetrical=False,
        related_name="dependants",
        blank=True,
    )
    state = models.CharField(max_length=16, choices=_choices(State), default=State.NORMAL.value, editable=False)
    state_until = models.DateTimeField(null=True, blank=True, editable=False)
    state_reason = models.CharField(max_length=500, blank=True, default="", editable=False)
    state_changed_at = models.DateTimeField(null=True, blank=True, editable=False)
    maintenance_mode = models.BooleanField(
        default=False, editable=False, help_text="Its own proxy or code is told to turn users away."
    )

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            models.CheckConstraint(condition=models.Q(tier__in=TIERS), name="catalogue_service_tier_1_to_4"),
            models.CheckConstraint(
                condition=models.Q(state__in=[state.value for state in State]), name="catalogue_service_state_known"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        _refuse(slug=rules.slug_problem(self.slug))


class Dependency(models.Model):
    """`service` cannot work without `requires`."""

    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="requirements")
    requires = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="required_by")

    class Meta:
        ordering = ["pk"]
        verbose_name_plural = "dependencies"
        constraints = [
            models.UniqueConstraint(fields=["service", "requires"], name="catalogue_dependency_once"),
            models.CheckConstraint(
                condition=~models.Q(service=models.F("requires")), name="catalogue_dependency_not_on_itself"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.service} depends on {self.requires}"


class Subscription(models.Model):
    """Somebody who wants to be told what happens to a service: a person of ours, or an address from outside."""

    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="subscriptions")
    person = models.ForeignKey(Person, on_delete=models.CASCADE, null=True, blank=True, related_name="subscriptions")
    email = models.CharField(max_length=254, blank=True, default="", help_text="In lower case; blank for a person.")
    state = models.CharField(
        max_length=16, choices=_choices(SubscriptionState), default=SubscriptionState.PENDING.value, editable=False
    )
    requested_at = models.DateTimeField(default=timezone.now, editable=False)
    asked_at = models.DateTimeField(null=True, editable=False, help_text="When a confirmation link was last mailed")
    confirmed_at = models.DateTimeField(null=True, editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-requested_at", "-pk"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(person=None) ^ models.Q(email=""), name="catalogue_subscription_person_or_email"
            ),
            models.UniqueConstraint(
                fields=["service", "person"],
                condition=models.Q(person__isnull=False),
                name="catalogue_subscription_person_once",
            ),
            models.UniqueConstraint(
                fields=["service", "email"], condition=~models.Q(email=""), name="catalogue_subscription_email_once"
            ),
        ]
        indexes = [models.Index(fields=["email"], name="catalogue_subscription_email")]

    def __str__(self) -> str:
        return f"{self.person or self.email} to {self.service}"


class Rota(Entry):
    """Who of a team is on call: its rotations, tried from the lowest position, and overrides before them."""

    team = models.OneToOneField(Team, on_delete=models.CASCADE, related_name="rota")
    time_zone = models.CharField(max_length=64, default="UTC", help_text="Handovers happen at this zone's wall clock.")

    class Meta:
        ordering = ["team__name", "pk"]

    def __str__(self) -> str:
        return f"on-call rota of {self.team}"

    def clean(self) -> None:
        _refuse(time_zone=rules.time_zone_problem(self.time_zone))


class Rotation(models.Model):
    """People who take turns. Without `daily_from` and `daily_until` a turn covers the whole day."""

    rota = models.ForeignKey(Rota, on_delete=models.CASCADE, related_name="rotations")
    position = models.PositiveSmallIntegerField(default=0, help_text="The lowest that has somebody is on call.")
    name = models.CharField(max_length=100)
    starts_on = models.DateField(help_text="The day of the first handover.")
    handover_at = models.TimeField(help_text="The wall-clock time at which the next person takes over.")
    turn_days = models.PositiveSmallIntegerField(default=7, help_text="Days of one turn; 7 is weekly.")
    daily_from = models.TimeField(null=True, blank=True, help_text="On call only from this time of day …")
    daily_until = models.TimeField(null=True, blank=True, help_text="… until this one, which may be the next morning.")

    class Meta:
        ordering = ["position", "pk"]
        constraints = [
            models.CheckConstraint(condition=models.Q(turn_days__gte=1), name="catalogue_rotation_turn_of_a_day"),
            models.UniqueConstraint(fields=["rota", "position"], name="catalogue_rotation_position_once"),
        ]

    def __str__(self) -> str:
        return self.name


class RotationTurn(models.Model):
    """One person's place in a rotation."""

    rotation = models.ForeignKey(Rotation, on_delete=models.CASCADE, related_name="turns")
    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="turns")
    position = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["position", "pk"]
        constraints = [models.UniqueConstraint(fields=["rotation", "position"], name="catalogue_turn_position_once")]

    def __str__(self) -> str:
        return f"{self.person} in {self.rotation}"


class OnCallOverride(Entry):
    """Somebody who is on call for a team instead of whoever the rotations name."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="overrides")
    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="overrides")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    reason = models.CharField(max_length=200, blank=True, default="")

    class Meta:
        ordering = ["-starts_at", "-pk"]
        verbose_name = "on-call override"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(ends_at__gt=models.F("starts_at")), name="catalogue_override_ends_after_start"
            ),
        ]
        indexes = [models.Index(fields=["team", "ends_at"], name="catalogue_override_team_end")]

    def __str__(self) -> str:
        return f"{self.person} for {self.team}"

    def clean(self) -> None:
        if self.starts_at and self.ends_at:
            _refuse(ends_at=rota.override_problem(self.starts_at, self.ends_at))
