"""The Celery application: `celery -A sysops worker`."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sysops.settings")
# Celery closes database connections around every task; reuse them this often instead.
os.environ.setdefault("CELERY_DB_REUSE_MAX", "1000")

app = Celery("sysops")
app.config_from_object("celeryconfig")
app.autodiscover_tasks()
