"""Celery's door into the API's housekeeping."""

from celery import shared_task
from django.utils import timezone

from sysops.api import answers


@shared_task(name="api.clean_up", time_limit=300)
def clean_up(**_: object) -> None:
    answers.clean_up(now=timezone.now)
