"""The shared pages as a Django app, for its template tags."""

from django.apps import AppConfig


class PagesConfig(AppConfig):
    name = "sysops.pages"
    label = "pages"
