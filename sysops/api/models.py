"""Answers that were given, so that the same request asked twice is done once."""

from typing import ClassVar

from django.db import models


class Answer(models.Model):
    """What a POST with an `Idempotency-Key` was answered. Committed together with what it changed."""

    principal = models.CharField(max_length=200)
    path = models.CharField(max_length=500)
    key = models.CharField(max_length=200)
    fingerprint = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(default=0)
    headers = models.JSONField(default=dict)
    body = models.TextField(default="", help_text="Sealed: an answer may hold a secret that is shown once.")
    created_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["principal", "path", "key"], name="api_answer_once"),
        ]
        indexes: ClassVar = [models.Index(fields=["created_at"], name="api_answer_created")]

    def __str__(self) -> str:
        return f"{self.path} {self.key} by {self.principal}"
