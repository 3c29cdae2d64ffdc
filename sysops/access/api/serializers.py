"""Tokens and audit entries as clients see them."""

from rest_framework import serializers

from sysops.access.models import ApiToken, AuditEntry
from sysops.access.roles import Role
from sysops.access.services import LONGEST_LIFE, NAME_LIMIT
from sysops.api.forms import Form
from sysops.api.serializers import Id


class TokenSerializer(serializers.ModelSerializer[ApiToken]):
    id = Id()
    owner = serializers.CharField(source="owner.username", read_only=True, allow_null=True, default=None)

    class Meta:
        model = ApiToken
        fields: tuple[str, ...] = (
            "id", "name", "prefix", "role", "owner",
            "created_at", "created_by", "expires_at", "revoked_at", "last_used_at",
        )  # fmt: skip


class CreatedTokenSerializer(TokenSerializer):
    """A token that was just made, with its text: shown this once and kept nowhere."""

    token = serializers.CharField(read_only=True)

    class Meta(TokenSerializer.Meta):
        fields = (*TokenSerializer.Meta.fields, "token")


class CreateToken(Form):
    name = serializers.CharField(max_length=NAME_LIMIT)
    role = serializers.ChoiceField(choices=[role.value for role in Role])
    ttl_seconds = serializers.IntegerField(
        min_value=1,
        max_value=int(LONGEST_LIFE.total_seconds()),
        required=False,
        allow_null=True,
        help_text="How long it works; left out or null: until it is revoked.",
    )


class AuditEntrySerializer(serializers.ModelSerializer[AuditEntry]):
    id = Id()
    before = serializers.JSONField(read_only=True, allow_null=True)
    after = serializers.JSONField(read_only=True, allow_null=True)

    class Meta:
        model = AuditEntry
        fields = (
            "id", "at", "action", "actor", "actor_kind", "address",
            "subject", "label", "before", "after", "hash",
        )  # fmt: skip
