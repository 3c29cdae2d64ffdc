"""Addresses below /api/system/."""

from django.urls import URLPattern, URLResolver, path

from backups.api.views import (
    BackupViewSet,
    EngineList,
    RestoreViewSet,
    SourceViewSet,
    TakeBackup,
    VerificationViewSet,
)
from sysops.api.routers import Router

router = Router()
router.register("backups", BackupViewSet, basename="backup")
router.register("verifications", VerificationViewSet, basename="verification")
router.register("restores", RestoreViewSet, basename="restore")
router.register("backup-sources", SourceViewSet, basename="backup-source")

urls: list[URLPattern | URLResolver] = [
    path("backup", TakeBackup.as_view(), name="take-backup"),
    path("backup-engines", EngineList.as_view(), name="backup-engines"),
    *router.urls,
]
