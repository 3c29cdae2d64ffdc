"""Addresses of the public pages, below the root."""

from django.urls import URLPattern, URLResolver, path

from errors import public

urls: list[URLPattern | URLResolver] = [
    path("errors/act/<str:token>", public.act, name="errors-act"),
]
