"""The shapes of health for the OpenAPI document; the answers themselves are made by selectors."""

from rest_framework import serializers

from monitoring.rules import Status


class HealthPart(serializers.Serializer[object]):
    name = serializers.CharField()
    status = serializers.ChoiceField(choices=[s.value for s in Status], allow_null=True)
    response_time_seconds = serializers.FloatField(allow_null=True)
    last_check = serializers.DateTimeField(allow_null=True)
    details = serializers.DictField(help_text="`summary` in words, and figures by name")


class HealthServices(serializers.Serializer[object]):
    database = HealthPart()
    redis = HealthPart()
    api = HealthPart()
    beat = HealthPart()
    storage = HealthPart()
    workers = HealthPart(many=True)
    queues = HealthPart(many=True)
    checks = HealthPart(many=True)


class HealthResource(serializers.Serializer[object]):
    current = serializers.FloatField(allow_null=True, help_text="CPU in percent, memory and disk in bytes")
    max = serializers.FloatField(allow_null=True, help_text="Most seen in the last hour")
    percentage = serializers.FloatField(allow_null=True)
    trend = serializers.ChoiceField(choices=["increasing", "stable", "decreasing"], allow_null=True)


class HealthNetwork(serializers.Serializer[object]):
    bytes_in = serializers.IntegerField(allow_null=True)
    bytes_out = serializers.IntegerField(allow_null=True)
    packets_in = serializers.IntegerField(allow_null=True)
    packets_out = serializers.IntegerField(allow_null=True)


class HealthResources(serializers.Serializer[object]):
    cpu = HealthResource()
    memory = HealthResource()
    disk = HealthResource()
    network = HealthNetwork()


class HealthPerformance(serializers.Serializer[object]):
    response_time_seconds = serializers.FloatField(allow_null=True, help_text="95th percentile")
    throughput_per_hour = serializers.IntegerField(allow_null=True)
    error_rate_percent = serializers.FloatField(allow_null=True)
    uptime_percent = serializers.FloatField(allow_null=True)
    notes = serializers.DictField(child=serializers.CharField(), help_text="Why a figure is null")


class HealthSerializer(serializers.Serializer[object]):
    status = serializers.ChoiceField(choices=[s.value for s in Status])
    timestamp = serializers.DateTimeField(required=False)
    services = HealthServices(required=False)
    resources = HealthResources(required=False)
    performance = HealthPerformance(required=False)


class LiveSerializer(serializers.Serializer[object]):
    status = serializers.ChoiceField(choices=["alive"])


class ReadySerializer(serializers.Serializer[object]):
    status = serializers.ChoiceField(choices=["ready", "not ready"])
    missing = serializers.ListField(child=serializers.ChoiceField(choices=["database", "migrations"]))
