"""What the web server runs."""

import gc
import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sysops.settings")

application = get_wsgi_application()

# What start-up made stays for good. Left to the collector, walking it again cost every fiftieth request 150 ms.
get_resolver().url_patterns  # noqa: B018 - loads every view, which the first request would do otherwise
gc.collect()
gc.freeze()
