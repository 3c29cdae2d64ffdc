"""The Celery application: `celery -A sysops worker`."""

import gc
import os

from celery import Celery
from celery.signals import worker_before_create_process

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sysops.settings")
# Celery closes database connections around every task; reuse them this often instead.
os.environ.setdefault("CELERY_DB_REUSE_MAX", "1000")
# Django's checks load every page and form. Migrating has made them before any worker starts.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

app = Celery("sysops")
app.config_from_object("celeryconfig")
app.autodiscover_tasks()


@worker_before_create_process.connect
def keep_shared(**_: object) -> None:
    """Before the first fork: what start-up made stays for good, and the collector leaves its pages shared."""
    if not gc.get_freeze_count():
        gc.collect()
        gc.freeze()
