"""The OpenAPI document and the page to browse it: public, as the source code is."""

from functools import cache
from typing import ClassVar

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer2, OpenApiYamlRenderer2
from drf_spectacular.views import SpectacularSwaggerView
from rest_framework.request import Request
from rest_framework.response import Response

from sysops.api.views import PUBLIC, View


class SchemaView(View):
    """GET /api/system/schema, as JSON or, where the client asks for it, as YAML."""

    rights: ClassVar[dict[str, str]] = {"get": PUBLIC}
    authentication_classes = ()
    renderer_classes = (OpenApiJsonRenderer2, OpenApiYamlRenderer2)
    schema = None

    def get(self, request: Request) -> Response:
        return Response(_document())


class DocsView(View, SpectacularSwaggerView):
    """GET /api/system/docs"""

    rights: ClassVar[dict[str, str]] = {"get": PUBLIC}
    authentication_classes = ()
    renderer_classes = SpectacularSwaggerView.renderer_classes
    url_name = "schema"


@cache
def _document() -> dict[str, object]:
    """Made once per process: it takes seconds, and anybody may ask for it."""
    generator = SchemaGenerator()  # type: ignore[no-untyped-call]
    document: dict[str, object] = generator.get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return document
