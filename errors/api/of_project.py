"""What lies below `/api/system/error-projects/{slug}/`: rows of a project that the asker may see."""

from typing import TypeVar

from django.db import models
from django.http import Http404

from errors import selectors
from errors.models import Project
from sysops.api.filters import FilterSet
from sysops.api.views import ReadViewSet, nothing_called

M = TypeVar("M", bound=models.Model)


class OfProject(ReadViewSet[M]):
    """Rows of the project in the address; 404 when there is none that the asker may see."""

    filterset_class = FilterSet

    def project(self) -> Project:
        slug = self.kwargs["slug"]
        found = selectors.visible_projects(self.request.user).filter(slug=slug).first()
        if found is None:
            raise Http404(nothing_called(Project, slug))
        return found
