"""Routes: one page that says which level goes through which channel, for everybody and for single teams."""

from dataclasses import dataclass
from typing import ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone

from catalogue.models import Team
from notifications import lists, looks
from notifications.admin.base import CONFIGURE, SEEN, ActingAdmin
from notifications.models import Channel, Route
from notifications.rules import Level
from notifications.services.channels import set_routes
from sysops.access.requests import request_actor
from sysops.access.rights import has_right

WORST_FIRST = (Level.CRITICAL, Level.WARNING, Level.INFO)


@dataclass(frozen=True)
class Cell:
    """One box of the grid: whether this level goes through this channel. `inherited`: because it does for everybody."""

    channel: Channel
    name: str
    checked: bool
    inherited: bool


@dataclass(frozen=True)
class Row:
    """One level: its boxes, and what is wrong with them."""

    level: Level
    cells: list[Cell]
    problem: str
    own: bool


@dataclass(frozen=True)
class Grid:
    """The routes of everybody (`team` None) or of one team."""

    team: Team | None
    rows: list[Row]


@admin.register(Route)
class RouteAdmin(ActingAdmin):
    """Seen and changed as a grid, never row by row."""

    rights: ClassVar = SEEN

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, object] | None = None) -> HttpResponse:
        """The grid of everybody, then that of each team with routes of its own."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            return self._save(request)
        channels = list(lists.channels())
        teams = list(lists.teams_with_routes())
        added = self._team(request.GET.get("team", ""))
        if added and added not in teams:
            teams.append(added)
        found = lists.routes()
        default = found.get(None, {})
        grids = [_grid(None, channels, default, {})]
        grids += [_grid(team, channels, found.get(team.pk, {}), default) for team in teams]
        return self.shown(
            request,
            "notifications/routes.html",
            title="Routes",
            channels=[(channel, *looks.health(channel)) for channel in channels],
            grids=grids,
            addable=Team.objects.exclude(pk__in=[team.pk for team in teams]).order_by("name", "pk"),
            may_change=has_right(request.user, CONFIGURE),
        )

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, object] | None = None
    ) -> HttpResponse:
        raise Http404("Routes are seen and changed together")

    def _save(self, request: HttpRequest) -> HttpResponse:
        if not has_right(request.user, CONFIGURE):
            raise PermissionDenied
        team = self._team(request.POST.get("team", ""))
        known = {channel.slug: channel for channel in lists.channels()}
        before = lists.routes().get(team.pk if team else None, {})
        by, at = request_actor(request), timezone.now()
        for level in Level:
            wanted = [known[slug] for slug in request.POST.getlist(level.value) if slug in known]
            # Those that stay keep their place; else the same choice would be written anew, and audited.
            place = {pk: index for index, pk in enumerate(before.get(level, []))}
            wanted.sort(key=lambda channel: place.get(channel.pk, len(place)))
            set_routes(level, wanted, team=team, by=by, at=at)
        messages.success(request, f"The routes of {team.name if team else 'everybody'} are saved.")
        return HttpResponseRedirect(request.path)

    def _team(self, slug: str) -> Team | None:
        if not slug:
            return None
        team = Team.objects.filter(slug=slug).first() if "\0" not in slug else None
        if team is None:
            raise Http404("There is no such team")
        return team


def _grid(
    team: Team | None, channels: list[Channel], own: dict[Level, list[int]], default: dict[Level, list[int]]
) -> Grid:
    return Grid(
        team, [_row(level, team, channels, own.get(level, []), default.get(level, [])) for level in WORST_FIRST]
    )


def _row(level: Level, team: models.Model | None, channels: list[Channel], own: list[int], default: list[int]) -> Row:
    used = own or (default if team else [])
    cells = [
        Cell(channel, looks.driver_label(channel.driver), channel.pk in own, not own and channel.pk in used)
        for channel in channels
    ]
    return Row(level, cells, _problem([channel for channel in channels if channel.pk in used], team), bool(own))


def _problem(used: list[Channel], team: models.Model | None) -> str:
    """What is wrong with these channels for a level, in words, with what happens instead."""
    if not used:
        return "" if team else "No channel: each person is told through the first of their addresses that works."
    tones = {channel.name: looks.health(channel)[0] for channel in used}
    if all(tone == "bad" or not channel.enabled for tone, channel in zip(tones.values(), used, strict=True)):
        return "None of these channels works now."
    failing = [channel.name for channel in used if tones[channel.name] == "bad"]
    return f"{', '.join(failing)} does not work now." if failing else ""
