"""People, roles, tokens and the audit log in the admin."""

from datetime import timedelta
from typing import ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.db import models
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminIntegerFieldWidget

from sysops.access import services
from sysops.access.audited import ReadOnlyModelAdmin, RightedModelAdmin
from sysops.access.models import ApiToken, AuditEntry
from sysops.access.requests import request_actor
from sysops.access.roles import DESCRIPTIONS, Role

admin.site.unregister(User)
admin.site.unregister(Group)

PEOPLE = {"view": "people.view", "add": "people.manage", "change": "people.manage", "delete": "people.manage"}


class RolesField(forms.ModelMultipleChoiceField[Group]):
    """Groups, each with what it means."""

    def label_from_instance(self, obj: Group) -> str:
        return f"{obj}: {DESCRIPTIONS[Role(obj.name)]}" if _is_role(obj) else str(obj)


class RightsField(forms.ModelMultipleChoiceField[Permission]):
    """Rights by what they are for: as permissions they are called by a table that is none."""

    def label_from_instance(self, obj: Permission) -> str:
        return f"{obj.codename}: {obj.name}"


@admin.register(User)
class UserAdmin(DjangoUserAdmin[User], RightedModelAdmin):
    """People who may sign in. Changes are audited by sysops.access.auth_signals, whoever makes them."""

    rights: ClassVar = PEOPLE
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "first_name", "last_name", "is_active", "roles", "last_login")
    list_filter = ("is_active", "is_staff", "is_superuser", "groups")
    filter_horizontal = ("user_permissions",)
    fieldsets = (
        (None, {"fields": ("username", "password", "first_name", "last_name", "email")}),
        ("What this person may do", {"fields": ("is_active", "groups", "is_staff", "is_superuser")}),
        ("Single rights beside the roles", {"fields": ("user_permissions",), "classes": ("collapse",)}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    @admin.display(description="Roles")
    def roles(self, user: User) -> str:
        names = ["superuser"] if user.is_superuser else []
        return ", ".join(names + sorted(group.name for group in user.groups.all())) or "none"

    def formfield_for_manytomany(
        self, db_field: "models.ManyToManyField[models.Model, models.Model]", request: HttpRequest, **kwargs: object
    ) -> "forms.ModelMultipleChoiceField[models.Model] | None":
        """Roles as boxes with what they mean, single rights by what they are for."""
        if db_field.name == "groups":
            kwargs = {
                "form_class": RolesField,
                "queryset": Group.objects.order_by("pk"),
                "widget": UnfoldAdminCheckboxSelectMultipleWidget,
                "label": "Roles",
                "help_text": "What this person may see and do. None: nothing but the first page.",
            }
        else:
            kwargs = {"form_class": RightsField, "queryset": _rights(), "label": "Rights", "help_text": ""}
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        """Only a superuser makes superusers, or gives rights one by one past the roles."""
        fields = [*super().get_readonly_fields(request, obj), "last_login", "date_joined"]
        return fields if _is_superuser(request) else [*fields, "is_superuser", "user_permissions"]

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return super().has_change_permission(request, obj) and _may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return super().has_delete_permission(request, obj) and _may_touch(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """One by one: the audit log hears of each, and Django asks no permission per row here."""
        kept = [user for user in queryset if not self.has_delete_permission(request, user)]
        for user in queryset.exclude(pk__in=[user.pk for user in kept]):
            user.delete()
        if kept:
            names = ", ".join(user.get_username() for user in kept)
            self.message_user(request, f"Only a superuser can delete: {names}.", messages.WARNING)


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, RightedModelAdmin):
    """Roles come with Sysops and say what they said after every upgrade; further groups are the installation's."""

    rights: ClassVar = PEOPLE
    list_display = ("name", "about")

    @admin.display(description="Meaning")
    def about(self, group: Group) -> str:
        return DESCRIPTIONS[Role(group.name)] if _is_role(group) else "A group of this installation"

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or not _is_role(obj))

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return super().has_delete_permission(request, obj) and (obj is None or not _is_role(obj))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Group]) -> None:
        for group in queryset.exclude(name__in=[role.value for role in Role]):
            group.delete()


class TokenForm(forms.ModelForm[ApiToken]):
    """What to ask for a new token."""

    giver: User | None = None  # set for each request, see ApiTokenAdmin.get_form
    days = forms.IntegerField(
        min_value=1,
        max_value=services.LONGEST_LIFE.days,
        initial=365,
        required=False,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="How long it works. Empty: until it is revoked.",
    )

    class Meta:
        model = ApiToken
        fields = ("name", "role", "owner")

    def clean_role(self) -> str:
        role: str = self.cleaned_data["role"]
        if self.giver and (beyond := services.rights_beyond(self.giver, Role(role))):
            raise forms.ValidationError(f"This role includes rights you do not have: {', '.join(beyond)}")
        return role


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyModelAdmin):
    """Tokens are made and revoked through services; nothing else about them changes."""

    rights: ClassVar = {"view": "tokens.view", "add": "tokens.create", "revoke": "tokens.revoke"}
    form = TokenForm  # type: ignore[assignment]
    list_display = ("name", "shown", "role", "owner", "state", "last_used_at", "expires_at", "created_by")
    list_filter = ("role", ("revoked_at", admin.EmptyFieldListFilter))
    list_select_related = ("owner",)
    search_fields = ("name", "prefix", "created_by")
    actions = ("revoke",)
    fields = (
        "name",
        "role",
        "owner",
        "shown",
        "state",
        "created_at",
        "created_by",
        "expires_at",
        "revoked_at",
        "last_used_at",
    )

    def get_fields(self, request: HttpRequest, obj: models.Model | None = None) -> tuple[str, ...]:
        return self.fields if obj else ("name", "role", "owner", "days")

    def get_form(
        self, request: HttpRequest, obj: ApiToken | None = None, change: bool = False, **kwargs: object
    ) -> type[ModelForm[ApiToken]]:
        form = super().get_form(request, obj, change, **kwargs)
        return type("TokenForm", (form,), {"giver": request.user})

    @admin.display(description="Token")
    def shown(self, token: ApiToken) -> str:
        return f"{token.prefix}…"

    @admin.display(description="State")
    def state(self, token: ApiToken) -> str:
        if token.revoked_at:
            return "revoked"
        return "usable" if token.usable(at=timezone.now()) else "expired"

    def has_add_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return self.may(request, "add")

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "revoke")

    def save_model(self, request: HttpRequest, obj: models.Model, form: ModelForm[models.Model], change: bool) -> None:
        assert isinstance(obj, ApiToken)
        days = form.cleaned_data.get("days")
        token, plain = services.create_token(
            obj.name,
            role=Role(obj.role),
            ttl=timedelta(days=days) if days else None,
            by=request_actor(request),
            at=timezone.now(),
            owner=obj.owner,
        )
        obj.__dict__.update(token.__dict__)
        text = format_html("The token, shown this once: <code>{}</code>", plain)
        self.message_user(request, text, messages.WARNING)

    def response_add(self, request: HttpRequest, obj: ApiToken, post_url_continue: str | None = None) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:access_apitoken_changelist"))

    @admin.action(description="Revoke the selected tokens", permissions=["revoke"])
    def revoke(self, request: HttpRequest, tokens: QuerySet[ApiToken]) -> None:
        by, at = request_actor(request), timezone.now()
        revoked = sum(services.revoke_token(token=token, by=by, at=at) for token in tokens)
        self.message_user(request, f"Revoked {revoked} of {len(tokens)} tokens; the others had been before.")


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyModelAdmin):
    """Who changed what. Kept by triggers in the database from being changed here or anywhere."""

    rights: ClassVar = {"view": "audit.view"}
    list_display = ("at", "actor", "actor_kind", "action", "subject", "label", "address")
    list_filter = ("actor_kind", "at")
    search_fields = ("action", "actor", "subject", "label", "address")
    date_hierarchy = None
    list_per_page = 50
    show_full_result_count = False


def _rights() -> QuerySet[Permission]:
    """What a person may be given: of Django's own permissions, one per table and verb, none counts here."""
    return Permission.objects.filter(content_type__app_label="access", content_type__model="right").order_by("codename")


def _is_superuser(request: HttpRequest) -> bool:
    return bool(request.user.is_superuser)


def _may_touch(request: HttpRequest, obj: models.Model | None) -> bool:
    """Whoever is no superuser could otherwise set one's password."""
    return _is_superuser(request) or not getattr(obj, "is_superuser", False)


def _is_role(group: models.Model) -> bool:
    return str(group) in set(Role)
