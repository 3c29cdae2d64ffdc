"""Addresses of health below /api/system/."""

from django.urls import URLPattern, URLResolver, path

from monitoring.api import views

urls: list[URLPattern | URLResolver] = [
    path("health", views.HealthView.as_view(), name="health"),
    path("health/live", views.LiveView.as_view(), name="health-live"),
    path("health/ready", views.ReadyView.as_view(), name="health-ready"),
]
