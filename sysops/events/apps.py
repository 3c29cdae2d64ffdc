"""The outbox as a Django app."""

from django.apps import AppConfig


class EventsConfig(AppConfig):
    name = "sysops.events"
    verbose_name = "Events"
