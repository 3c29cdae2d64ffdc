"""The OpenAPI document says what the base does everywhere: problems, sign-in, opaque ids, idempotency."""

import re
from collections.abc import Mapping
from http import HTTPStatus

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.utils import Direction

from sysops.api.idempotency import HEADER
from sysops.api.permissions import PUBLIC, key_of
from sysops.api.problems import CONTENT_TYPE
from sysops.api.views import Guarded

Part = dict[str, object]

_PREFIX = re.compile(r"^/api(/system)?(?=/)")
_HAS_BODY = frozenset({"POST", "PUT", "PATCH"})

PROBLEM: Part = {
    "type": "object",
    "description": "What went wrong (RFC 9457). A conflict also tells `current_status` where there is one.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "object",
            "description": "The texts by field, for bad input.",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
        "current_status": {"type": "string"},
    },
    "additionalProperties": True,
}


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How BearerAuthentication shows in the document."""

    target_class = "sysops.access.authentication.BearerAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: AutoSchema) -> Part:
        return {"type": "http", "scheme": "bearer", "description": "`sysops token create NAME --role ROLE` makes one."}


class Schema(AutoSchema):
    """drf-spectacular's AutoSchema with what Guarded views have in common."""

    def get_auth(self) -> list[dict[str, list[str]]]:
        schemes = [scheme for scheme in super().get_auth() if scheme]
        return [*schemes, {}] if self._is_public() else schemes

    def _get_parameters(self) -> list[Part]:
        parameters: list[Part] = super()._get_parameters()
        for parameter in parameters:
            schema = parameter.get("schema")
            if parameter["in"] == "path":
                parameter["schema"] = {"type": "string", "minLength": 1}
            elif parameter["in"] == "query" and isinstance(schema, dict):
                _as_text(schema)
        if self.method == "POST" and isinstance(self.view, Guarded):
            text = {"type": "string", "minLength": 1, "maxLength": 200, "pattern": r"^[\x21-\x7e]+$"}
            about = "The same key and body within 24 hours is done once and answered alike."
            parameters.append({"name": HEADER, "in": "header", "required": False, "description": about, "schema": text})
        return parameters

    def _get_response_bodies(self, direction: Direction = "response") -> Part:
        responses: Part = super()._get_response_bodies(direction)
        for code in self._problems():
            if str(code) not in responses:
                responses[str(code)] = {"description": HTTPStatus(code).phrase, "content": self._problem_content()}
        return responses

    def _problems(self) -> list[int]:
        """The problems any request of this kind can meet."""
        codes = [400, 401, 404, 405, 429]
        if not self._is_public():
            codes.append(403)
        if self.method not in ("GET", "HEAD"):
            codes.append(409)
        if self.method in _HAS_BODY:
            codes += [413, 415, 422]
        return sorted(codes)

    def _problem_content(self) -> Part:
        component = ResolvedComponent(  # type: ignore[no-untyped-call]
            name="Problem", type=ResolvedComponent.SCHEMA, schema=PROBLEM, object="Problem"
        )
        self.registry.register_on_missing(component)
        return {CONTENT_TYPE: {"schema": component.ref}}

    def _is_public(self) -> bool:
        rights: Mapping[str, str] = getattr(self.view, "rights", {})
        return rights.get(key_of(self.method, self.view)) == PUBLIC

    def _tokenize_path(self) -> list[str]:
        # Not the prefix that all paths happen to share: one more path must not rename every operation.
        path = re.sub(r"\{[\w\-]+\}", "", _PREFIX.sub("", self.path))
        return [part.replace(".", "_") for part in path.split("/") if part]


def _as_text(schema: Part) -> None:
    """A parameter arrives as text, and an empty one is refused (StrictFilterBackend)."""
    choices = schema.get("enum")
    if isinstance(choices, list):
        schema["enum"] = [int(choice) if schema.get("type") == "integer" else str(choice) for choice in choices]
    elif schema.get("type") == "string" and not {"format", "pattern", "minLength"} & set(schema):
        schema["minLength"] = 1
