"""The directives ``rest-api-routes`` and ``rest-api-objects``: the API, from the document that the server serves."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from generated import GeneratedDirective, as_rst, bundled_extensions, table, title
from sphinx.application import Sphinx

from dservercore import create_app

METHODS = ("get", "put", "post", "patch", "delete")

# What statuses mean that mean the same everywhere.
COMMON_STATUSES = {
    "304": "You have the value already.",
    "400": "The body is not JSON, or something is missing from it.",
    "401": "No token, an expired one, or one of somebody who is not registered.",
    "403": "You may not do this, or not there.",
    "404": "There is no such thing.",
    "409": "It contradicts what is stored.",
    "412": "The value is not the one that the request is meant for.",
    "413": "The body is larger than the route takes (see :doc:`configuration`).",
    "415": "The body is not declared as what the route reads, or is compressed.",
    "422": "A bad token, or a parameter or field that is not acceptable.",
    "503": "Something that the server depends on is out of reach.",
}


@functools.cache
def openapi_document() -> Mapping[str, Any]:
    """Return the OpenAPI document of a server with all bundled extensions."""
    app = create_app({"DSERVER_LOG_LEVEL": "WARNING", "DSERVER_EXTENSIONS": list(bundled_extensions())})
    return app.test_client().get("/doc/openapi.json").json


class Routes(GeneratedDirective):
    """Describes the routes, resource by resource."""

    def lines(self) -> Iterator[str]:
        document = openapi_document()
        for tag in document["tags"]:
            yield from title(tag["description"], "-")
            for path, item in document["paths"].items():
                for method in METHODS:
                    if tag["name"] in item.get(method, {}).get("tags", ()):
                        yield from _route(path, method, item)


class Objects(GeneratedDirective):
    """Describes the objects in bodies and answers."""

    def lines(self) -> Iterator[str]:
        for name, schema in sorted(openapi_document()["components"]["schemas"].items()):
            yield from (f".. _object-{name.lower()}:", "")
            yield from title(name, "~")
            required = schema.get("required", ())
            rows = [
                (f"``{field}``", _type(described), "yes" if field in required else "", _text(described))
                for field, described in schema["properties"].items()
            ]
            yield from table(("Key", "Type", "Required", "Meaning"), rows, (28, 22, 12, 38))


def _route(path: str, method: str, item: Mapping[str, Any]) -> Iterator[str]:
    operation = item[method]
    yield from title(f"{method.upper()} {path}", "~")
    yield from (as_rst(operation.get("summary")), "")
    yield from (as_rst(operation.get("description")), "")
    if not operation.get("security"):
        yield from ("Needs no token.", "")
    parameters = [*item.get("parameters", ()), *operation.get("parameters", ())]
    rows = [(f"``{p['name']}``", p["in"], _type(p["schema"]), _text(p) or _in_path(p)) for p in parameters]
    yield from table(("Parameter", "In", "Type", "Meaning"), rows, (22, 10, 28, 40))
    body = operation.get("requestBody")
    if body:
        yield from (f"Body: {_type(_json_schema(body))}", "")
    yield from table(("Status", "Meaning", "Answer"), _answers(operation["responses"]), (10, 55, 35))


def _in_path(parameter: Mapping[str, Any]) -> str:
    is_uri = parameter["name"] in ("uri", "base_uri")
    return ":ref:`In any of several forms <uris-in-paths>`" if is_uri else ""


def _answers(responses: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for status in sorted(set(responses) - {"default"}):
        meaning = COMMON_STATUSES.get(status, f"{HTTPStatus(int(status)).phrase}.")
        headers = ", ".join(f"``{header}``" for header in responses[status].get("headers", ()))
        schema = _json_schema(responses[status])
        # A PUT or DELETE that has nothing to tell answers with an empty string.
        answer = _type(schema) if schema else "none" if status == "304" else '``""``'
        yield status, f"{meaning}{f' Headers: {headers}' if headers else ''}", answer


def _json_schema(described: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the schema of what is sent: as JSON, if it can be that."""
    content = described.get("content", {})
    return (content.get("application/json") or next(iter(content.values()), {})).get("schema")


def _type(schema: Mapping[str, Any]) -> str:
    """Return the type of a value, as a link where it is an object of ours."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f":ref:`{name} <object-{name.lower()}>`"
    for composed in ("allOf", "anyOf"):
        if composed in schema:
            return " or ".join(_type(part) for part in schema[composed])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}"
    null = " or null" if schema.get("nullable") and "type" in schema else ""
    return schema.get("format", schema.get("type", "anything")) + null


def _text(described: Mapping[str, Any]) -> str:
    """Return what a value means, and what it must be like."""
    limits = ", ".join(_limits(described.get("schema", described)))
    return f"{as_rst(described.get('description'))} {f'({limits})' if limits else ''}".strip()


def _limits(schema: Mapping[str, Any]) -> Iterator[str]:
    least, most, default = (schema.get(key) for key in ("minimum", "maximum", "default"))
    if least is not None and most is not None:
        yield "not negative" if most == 2**63 - 1 else f"{least} to {most}"
    elif least is not None:
        yield f"at least {least}"
    if "maxLength" in schema:
        yield f"at most {schema['maxLength']} characters"
    if default not in (None, []):
        yield f"default: ``{','.join(default) if isinstance(default, list) else default}``"


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directives."""
    app.add_directive("rest-api-routes", Routes)
    app.add_directive("rest-api-objects", Objects)
    return {"parallel_read_safe": True}
