"""The base of the HTTP interface as a Django app."""

from django.apps import AppConfig


class ApiConfig(AppConfig):
    name = "sysops.api"
    label = "api"
    verbose_name = "API"
