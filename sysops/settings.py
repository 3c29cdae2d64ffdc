"""Django's settings. What an operator may choose comes from sysops.env; the rest is decided here."""

from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import django_stubs_ext

from sysops import env as _env
from sysops.admin_site import UNFOLD as UNFOLD
from sysops.logs import logging_config

django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent
ENV = _env.current()

SECRET_KEY = _env.secret_key(ENV)
SECRET_KEY_FALLBACKS = [key.get_secret_value() for key in ENV.previous_secret_keys]
DEBUG = ENV.debug
ALLOWED_HOSTS = ENV.allowed_hosts
CSRF_TRUSTED_ORIGINS = [ENV.public_url] if ENV.public_url else []

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin.apps.SimpleAdminConfig",  # sysops.urls looks for the pages: workers and beat need none
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "django_celery_beat",
    "django_filters",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "sysops.events",
    "sysops.access",
    "sysops.api",
    "sysops.pages",
    "catalogue",
    "notifications",
    "alerting",
    "monitoring",
    "backups",
    "maintenance",
    "errors",
    "sysops",  # last: its ready() wires the others together
]

MIDDLEWARE = [
    "monitoring.requests.RequestTimes",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "sysops.access.middleware.ActorMiddleware",
]

ROOT_URLCONF = "sysops.urls"
WSGI_APPLICATION = "sysops.wsgi.application"
APPEND_SLASH = False  # both forms of an API path answer; a redirect would lose the body of a write

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]


def _database(url: str) -> dict[str, object]:
    """Django's form of a PostgreSQL URL; `?host=` names the folder of a Unix socket, as libpq has it."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")) or "sysops",
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", None) or parts.hostname or "",
        "PORT": options.pop("port", None) or parts.port or "",
        "CONN_MAX_AGE": 600,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"connect_timeout": 5, **options},
    }


DATABASES = {
    "default": _database(ENV.database_url.get_secret_value() if ENV.database_url else "postgresql://localhost/sysops")
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = False
LANGUAGE_CODE = "en-gb"
FORMAT_MODULE_PATH = "sysops.formats"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = bool(ENV.public_url and ENV.public_url.startswith("https://"))
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if SESSION_COOKIE_SECURE else None
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# Two instances on one machine share the host name and so its cookies: the port keeps them apart.
SESSION_COOKIE_NAME = f"sysops_session_{ENV.port}"
CSRF_COOKIE_NAME = f"sysops_csrf_{ENV.port}"

STATIC_URL = "static/"
STATIC_ROOT = None  # nothing is collected: WhiteNoise serves straight from the packages
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = ENV.profile != "production"  # found when asked for, not all at start

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "sysops.access.authentication.BearerAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["sysops.api.permissions.HasRight"],
    "DEFAULT_RENDERER_CLASSES": ["sysops.api.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["sysops.api.parsers.JSONParser"],
    "DEFAULT_PAGINATION_CLASS": "sysops.api.pagination.Pages",
    "DEFAULT_FILTER_BACKENDS": ["sysops.api.filters.StrictFilterBackend", "sysops.api.filters.StrictOrdering"],
    "DEFAULT_SCHEMA_CLASS": "sysops.api.schema.Schema",
    "EXCEPTION_HANDLER": "sysops.api.problems.handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Sysops",
    "DESCRIPTION": "Backups that prove themselves, maintenance windows, errors and health in one place.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "BackupTypeEnum": "backups.models.records.TYPES",
        "BackupStatusEnum": "backups.models.records.STATUSES",
        "VerificationStatusEnum": "backups.models.work.VERIFICATION_STATUSES",
        "MaintenanceTypeEnum": "maintenance.models.TYPES",
        "MaintenanceStatusEnum": "maintenance.models.STATUSES",
        "RestoreStatusEnum": "backups.models.work.RESTORE_STATUSES",
    },
}

CELERY_BEAT_SCHEDULE: dict[str, dict[str, object]] = {}  # sysops.wiring fills the schedule

LOGGING = logging_config(level=ENV.log_level, form=ENV.log_format)
