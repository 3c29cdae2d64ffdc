"""How alerts look over HTTP."""

from rest_framework import serializers

from alerting.models import Alert
from sysops.api.serializers import Id, ModelSerializer


class AlertSerializer(ModelSerializer[Alert]):
    """One alert. `told_at` is null while maintenance holds it back."""

    id = Id()
    status = serializers.SerializerMethodField()
    service = serializers.CharField(source="service.slug", allow_null=True, default=None, read_only=True)

    class Meta:
        model = Alert
        fields = [
            "id",
            "key",
            "status",
            "level",
            "title",
            "detail",
            "service",
            "count",
            "raised_at",
            "last_seen_at",
            "held_back_at",
            "held_back_by",
            "told_at",
            "resolved_at",
            "path",
        ]
        read_only_fields = fields

    def get_status(self, row: Alert) -> str:
        return "open" if row.resolved_at is None else "resolved"
