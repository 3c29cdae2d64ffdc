"""The rows behind an imported document: locked, written and removed in bulk. Nothing is checked twice or told here."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import ProtectedError, RestrictedError

from catalogue import documents, records
from catalogue.documents import BadDocument, Item, Values
from catalogue.models import (
    ContactAddress,
    Dependency,
    Entry,
    Environment,
    Host,
    Membership,
    Person,
    Rota,
    Service,
    Subscription,
    Team,
)
from catalogue.services import oncall, subscriptions
from sysops.access.actors import Actor

KINDS: Mapping[str, type[Entry]] = {
    "environments": Environment,
    "hosts": Host,
    "people": Person,
    "teams": Team,
    "services": Service,
    "rotas": Rota,
}
WRITTEN = tuple(KINDS)  # each after what it refers to
PRUNED = ("rotas", "services", "hosts", "teams", "people", "environments")  # each after what refers to it
Wanted = Mapping[Entry, list[object]]  # what each row is to be linked to
_LINKS = {"contacts", "members", "depends_on", "rotations", "user"}
_DEFAULTS: Mapping[str, Values] = {
    "environments": {"name": "", "is_production": False},
    "hosts": {"environment": None, "description": ""},
    "people": {
        "name": "",
        "time_zone": "UTC",
        "quiet_from": None,
        "quiet_until": None,
        "user": None,
        "contacts": [],
    },
    "teams": {"name": "", "lead": None, "members": []},
    "services": {
        "name": "",
        "kind": "other",
        "tier": 3,
        "owner_team": None,
        "environment": None,
        "depends_on": [],
    },
    "rotas": {"time_zone": "UTC", "rotations": []},
}


@dataclass(frozen=True)
class Differing:
    """An entry of the document that is not so yet: what there is (None: nothing) and what it is to be."""

    item: Item
    have: Values | None
    want: Values


def completed(name: str, given: Values, have: Values | None) -> Values:
    """All values of an entry: those given, and for the rest what there is, or the default."""
    want = {**(_DEFAULTS[name] if have is None else have), **given}
    if name == "teams":
        lead = [want["lead"]] if want["lead"] else []  # who leads a team belongs to it
        want["members"] = sorted({*_list(want["members"]), *lead}, key=str)
    if name == "services":
        want["depends_on"] = sorted(_list(want["depends_on"]), key=str)
    return want


def lock(document: documents.Document, *, everything: bool) -> None:
    """Hold the rows that the document names (or all of its lists) until the end of the transaction."""
    for name, kind in KINDS.items():
        rows = kind._default_manager.select_for_update(no_key=not everything, of=("self",)).order_by("pk")
        if name in document and not everything:
            rows = rows.filter(**{f"{_key_field(name)}__in": [item.key[0] for item in document[name]]})
        if name in document:
            list(rows.values_list("pk"))
    if "subscriptions" in document:
        slugs = {item.key[0] for item in document["subscriptions"]}
        people = Subscription.objects.filter(person__isnull=False)
        wanted = people if everything else people.filter(service__slug__in=slugs)
        list(wanted.select_for_update(of=("self",)).order_by("pk").values_list("pk"))


class Rows:
    """The rows of the catalogue by list and key, read when first asked for."""

    def __init__(self, at: datetime) -> None:
        self.at = at
        self._known: dict[str, dict[str, Entry]] = {}
        self._links: Mapping[str, Mapping[str, Callable[[Wanted], None]]] = {
            "environments": {},
            "hosts": {},
            "people": {"contacts": self._contacts},
            "teams": {"members": self._members},
            "services": {"depends_on": self._depends_on},
            "rotas": {"rotations": self._rotations},
        }

    def of(self, name: str) -> dict[str, Entry]:
        if name not in self._known:
            rows = Rota.objects.select_related("team") if name == "rotas" else KINDS[name]._default_manager.all()
            self._known[name] = {records.key(row): row for row in rows}
        return self._known[name]

    def named(self, name: str, keys: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], Entry]:
        return {key: self.of(name)[key[0]] for key in keys}

    def save(self, name: str, differing: Sequence[Differing]) -> list[Entry]:
        """The rows of these entries, as the document wants them, links included. Raises BadDocument by path."""
        if not differing:
            return []
        saved, problems = [], {}
        for one in differing:
            row = KINDS[name](created_at=self.at) if one.have is None else self.of(name)[one.item.key[0]]
            problems.update(self._fill(row, one))
            saved.append(row)
        if problems:
            raise BadDocument(problems)
        new = [row for row, one in zip(saved, differing, strict=True) if one.have is None]
        old = [row for row, one in zip(saved, differing, strict=True) if one.have is not None]
        manager = KINDS[name]._default_manager
        manager.bulk_create(new)
        fields = [field for field in documents.FIELDS[name] if field not in _LINKS]
        manager.bulk_update(old, fields, batch_size=500)
        self.of(name).update({one.item.key[0]: row for row, one in zip(saved, differing, strict=True)})
        self._link(name, saved, differing)
        return saved

    def remove(self, name: str, keys: Sequence[tuple[str, ...]]) -> dict[tuple[str, ...], list[str]]:
        """Delete these; those that something uses stay, with the names of what uses them."""
        if name == "services":
            # Two that go may stand on each other; what stays and stands on one of them still holds it.
            Dependency.objects.filter(service__slug__in=[key[0] for key in keys]).delete()
        rows = self.named(name, keys)
        if not self._users(name, list(rows.values())):
            return {}
        return {key: users for key, row in rows.items() if (users := self._users(name, [row]))}

    def _users(self, name: str, rows: Sequence[Entry]) -> list[str]:
        """What uses some of these rows; nobody, and then they are deleted."""
        try:
            with transaction.atomic():
                KINDS[name]._default_manager.filter(pk__in=[row.pk for row in rows]).delete()
        except (ProtectedError, RestrictedError) as exc:
            using = exc.protected_objects if isinstance(exc, ProtectedError) else exc.restricted_objects
            return sorted({records.user_of(user) for user in using})
        return []

    def _fill(self, row: Entry, one: Differing) -> dict[str, str]:
        """Set the row's own columns; the problems by path."""
        references = []
        for name, value in one.want.items():
            if name in _LINKS:
                continue
            if name in documents.REFERENCES:
                references.append(name)
                value = self.of(documents.REFERENCES[name])[str(value)] if value is not None else None
            setattr(row, name, value)
        try:
            row.full_clean(exclude=[*references, "user"], validate_unique=False, validate_constraints=False)
        except ValidationError as exc:
            return {f"{one.item.path}.{name}": " ".join(texts) for name, texts in exc.message_dict.items()}
        return {}

    def _link(self, name: str, saved: Sequence[Entry], differing: Sequence[Differing]) -> None:
        """Write what stands in tables of its own, for the entries where that differs."""
        for field, write in self._links[name].items():
            wanted = {
                row: _list(one.want[field])
                for row, one in zip(saved, differing, strict=True)
                if one.have is None or one.have[field] != one.want[field]
            }
            if wanted:
                write(wanted)

    def _contacts(self, wanted: Wanted) -> None:
        ContactAddress.objects.filter(person__in=[person.pk for person in wanted]).delete()
        ContactAddress.objects.bulk_create(
            ContactAddress(person_id=person.pk, position=n, **_mapping(contact))
            for person, contacts in wanted.items()
            for n, contact in enumerate(contacts)
        )

    def _members(self, wanted: Wanted) -> None:
        pairs = {(team.pk, self.of("people")[str(slug)].pk) for team, slugs in wanted.items() for slug in slugs}
        rows = Membership.objects.filter(team__in=[team.pk for team in wanted])
        known = {(team, person): pk for pk, team, person in rows.values_list("pk", "team_id", "person_id")}
        Membership.objects.filter(pk__in=[pk for pair, pk in known.items() if pair not in pairs]).delete()
        missing = sorted(pairs - known.keys())
        Membership.objects.bulk_create(Membership(team_id=team, person_id=person) for team, person in missing)

    def _depends_on(self, wanted: Wanted) -> None:
        pairs = {(service.pk, self.of("services")[str(slug)].pk) for service, slugs in wanted.items() for slug in slugs}
        rows = Dependency.objects.filter(service__in=[service.pk for service in wanted])
        known = {(one, other): pk for pk, one, other in rows.values_list("pk", "service_id", "requires_id")}
        Dependency.objects.filter(pk__in=[pk for pair, pk in known.items() if pair not in pairs]).delete()
        missing = sorted(pairs - known.keys())
        Dependency.objects.bulk_create(Dependency(service_id=one, requires_id=other) for one, other in missing)

    def _rotations(self, wanted: Wanted) -> None:
        people = {slug: row.pk for slug, row in self.of("people").items()}
        for row, rotations in wanted.items():
            assert isinstance(row, Rota)
            oncall.write_rotations(row, [documents.as_rotation(_mapping(one), people) for one in rotations])


def subscribe(started: Iterable[tuple[str, ...]], ended: Iterable[tuple[str, ...]], *, by: Actor, at: datetime) -> None:
    """Subscribe people to services, and end other subscriptions; both are named (service, person)."""
    services = {row.slug: row for row in Service.objects.filter(slug__in={service for service, _ in started})}
    people = {row.slug: row for row in Person.objects.filter(slug__in={person for _, person in started})}
    for service, person in started:
        subscriptions.subscribe_person(service=services[service], person=people[person], by=by, at=at)
    doomed = set(ended)
    rows = Subscription.objects.filter(person__isnull=False).select_related("service", "person") if doomed else ()
    going = [row for row in rows if row.person and (row.service.slug, row.person.slug) in doomed]
    if going:
        subscriptions.end(going, by=by, at=at)


def _key_field(name: str) -> str:
    return "team__slug" if name == "rotas" else documents.KEYS[name][0]


def _list(value: object) -> list[object]:
    assert isinstance(value, list)
    return value


def _mapping(value: object) -> dict[str, object]:
    assert isinstance(value, dict)
    return value
