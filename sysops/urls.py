"""Every address of Sysops."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.templatetags.static import static
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.generic import RedirectView

from alerting.api.urls import urls as alerting_urls
from backups.api.urls import urls as backups_urls
from catalogue.api.urls import urls as catalogue_urls
from catalogue.public_urls import urls as public_urls
from errors.api.urls import urls as errors_urls
from errors.public_urls import urls as errors_public_urls
from maintenance.api.urls import urls as maintenance_urls
from maintenance.report_page import report_page
from monitoring.api.urls import urls as monitoring_urls
from notifications.api.urls import urls as notifications_urls
from sysops import dashboard, flower
from sysops.api.slashes import nothing_here, without_slash

admin.autodiscover()  # here, and not in every process that starts


def favicon(request: HttpRequest) -> HttpResponse:
    """Where browsers look when a page names no icon."""
    return redirect(static("sysops/logo.svg"))


def api_urls() -> list[URLPattern | URLResolver]:
    """The addresses of every app's API; those of the API's own last resort stand behind them."""
    return [
        path("", include("sysops.api.urls")),
        path("", include("sysops.access.api.urls")),
        path("api/system/", include(catalogue_urls)),
        path("api/system/", include(monitoring_urls)),
        path("api/system/", include(backups_urls)),
        path("api/system/", include(maintenance_urls)),
        path("api/system/", include(alerting_urls)),
        path("api/system/", include(notifications_urls)),
        path("api/system/", include(errors_urls)),
    ]


urlpatterns = [
    path("", RedirectView.as_view(url="/admin/", permanent=False)),
    path("favicon.ico", favicon),
    path("admin/live/running/", admin.site.admin_view(dashboard.running), name="live-running"),
    path("admin/live/overview/", admin.site.admin_view(dashboard.overview), name="live-overview"),
    path("admin/maintenance/window/<int:pk>/report/", admin.site.admin_view(report_page), name="maintenance-report"),
    path("admin/", admin.site.urls),
    re_path(r"^flower(?P<path>/.*)?$", flower.proxy, name="flower"),
    *public_urls,
    *errors_public_urls,
    *api_urls(),
    re_path(r"^(?P<path>api/.*[^/])/$", without_slash),
    re_path(r"^api/", nothing_here),
]

handler400 = "sysops.api.problems.bad_request"
handler403 = "sysops.api.problems.forbidden"
handler404 = "sysops.api.problems.not_found"
handler500 = "sysops.api.problems.server_error"
