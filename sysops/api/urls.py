"""Addresses of the document itself."""

from django.urls import path

from sysops.api.document import DocsView, SchemaView

urlpatterns = [
    path("api/system/schema", SchemaView.as_view(), name="schema"),
    path("api/system/docs", DocsView.as_view(), name="docs"),
]
