"""Django as a WSGI application: what sysops.asgi puts beneath the error reports, and `runserver` runs."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sysops.settings")

application = get_wsgi_application()
