"""Addresses of the public pages, below the root."""

from django.urls import URLPattern, URLResolver, path

from catalogue import public

urls: list[URLPattern | URLResolver] = [
    path("subscriptions/confirm/<str:token>", public.confirm, name="subscription-confirm"),
    path("subscriptions/end/<str:token>", public.end, name="subscription-end"),
]
