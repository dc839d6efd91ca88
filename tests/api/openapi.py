"""Compares what the server answers with what its OpenAPI document says about it."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from openapi_schema_validator import OAS30ReadValidator, oas30_format_checker
from referencing import Registry
from referencing.jsonschema import DRAFT4
from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import Map, RequestRedirect
from werkzeug.test import TestResponse

DOCUMENT = "urn:openapi"
ERROR = f"{DOCUMENT}#/components/schemas/Error"

#: What any operation may answer when the database is out of reach; ``default`` in the document covers it.
UNAVAILABLE = "503"

#: A JSON document on each line.
LINES = "application/x-ndjson"

#: A table.
CSV = "text/csv"

#: What has no body: the client has it already.
NOT_MODIFIED = "304"

#: Headers that are part of what an operation answers, and so have to be documented with it.
DOCUMENTED_HEADERS = ("X-Pagination", "X-Sort", "X-Search", "X-Storage-Updated", "X-Graph", "ETag")


#: How the paths of pages and files begin, of which the document says nothing.
PAGES = (
    *("/doc/", "/static/", "/sign-in", "/sign-out", "/account", "/admin"),
    *("/search", "/dashboard", "/dataset", "/uuid/", "/searches", "/edit/", "/as-json/"),
)


class OpenAPIDocument:
    """The OpenAPI document of the server.

    An object in an answer may have no member but the documented ones, although the document does not say so.
    """

    def __init__(self, content: dict[str, Any]):
        self.content = content
        closed = copy.deepcopy(content)
        for schema in closed["components"]["schemas"].values():
            if "properties" in schema:
                schema.setdefault("additionalProperties", False)
        self._registry: Registry[Any] = Registry().with_resource(DOCUMENT, DRAFT4.create_resource(closed))
        self._validator = cache(self._make_validator)

    def _make_validator(self, pointer: str) -> OAS30ReadValidator:
        return OAS30ReadValidator(
            {"$ref": pointer}, registry=self._registry, format_checker=oas30_format_checker
        )

    def operation(self, path: str, method: str) -> dict[str, Any] | None:
        """Return the description of a method of a documented path."""
        return self.content["paths"].get(path, {}).get(method.lower())

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Yield path, method in upper case and description."""
        for path, described in self.content["paths"].items():
            for method, operation in described.items():
                if method != "parameters":
                    yield path, method.upper(), operation

    def resolved(self, described: dict[str, Any]) -> dict[str, Any]:
        """Return what a part of the document refers to, or the part itself."""
        if "$ref" not in described:
            return described
        found: Any = self.content
        for key in described["$ref"].removeprefix("#/").split("/"):
            found = found[key]
        return found

    def check(self, routes: Map, answer: TestResponse) -> None:
        """Pass if *answer*, given by an application with these *routes*, is what the document promises.

        Of pages it promises nothing.

        :raises AssertionError: saying what was promised, and what came
        """
        method = "GET" if answer.request.method == "HEAD" else answer.request.method
        is_of_a_host = answer.request.environ["PATH_INFO"].startswith("//")  # which is nothing here
        rule = None if is_of_a_host else _rule(routes, answer.request.path, method)
        if rule is None:
            assert answer.status_code in (404, 405), f"{answer.status} without an operation"
            if answer.request.method != "HEAD":
                self._check_body(answer, ERROR)
        elif rule != "/" and not rule.startswith(PAGES):
            self._check_operation(answer, path_template(rule), method)

    def _check_operation(self, answer: TestResponse, path: str, method: str) -> None:
        where = f"{method} {path} {answer.status_code}"
        operation = self.operation(path, method)
        assert operation is not None, f"undocumented: {where}"
        status = str(answer.status_code)
        if status == UNAVAILABLE and status not in operation["responses"]:
            status = "default"
        assert status in operation["responses"], f"undocumented: {where}: {answer.text[:300]}"
        described = self.resolved(operation["responses"][status])
        if status == NOT_MODIFIED:
            assert answer.data == b""
            assert "Content-Type" not in answer.headers
            assert "content" not in described, f"{where}: a body is documented"
            return
        for header in DOCUMENTED_HEADERS:
            assert header not in answer.headers or header in described.get("headers", {}), (
                f"{where}: {header} is not documented"
            )
        if answer.request.method == "HEAD":
            assert answer.data == b""
            return
        media_type = answer.mimetype if answer.mimetype in (LINES, CSV) else "application/json"
        assert media_type in described.get("content", {}), f"{where}: no body is documented"
        pointer = _pointer(operation["responses"][status], path, method, status, media_type)
        self._check_body(answer, pointer, media_type)

    def _check_body(self, answer: TestResponse, pointer: str, media_type: str = "application/json") -> None:
        assert answer.mimetype == media_type, answer.mimetype
        if media_type == LINES:
            values = list(map(json.loads, answer.data.splitlines()))
        else:
            values = [answer.text if media_type == CSV else answer.get_json()]
        problems = [
            f"{'/'.join(map(str, problem.absolute_path))}: {problem.message}"
            for value in values
            for problem in self._validator(pointer).iter_errors(value)
        ]
        assert not problems, (answer.request.method, answer.request.path, answer.status, problems)


def path_template(rule: str) -> str:
    """Return the path of the document that describes a rule of the URL map."""
    return re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule)


def _rule(routes: Map, path: str, method: str) -> str | None:
    try:
        rule, _arguments = routes.bind("localhost").match(path, method, return_rule=True)
    except (NotFound, MethodNotAllowed, RequestRedirect):
        return None
    return rule.rule


def _pointer(response: dict[str, Any], path: str, method: str, status: str, media_type: str) -> str:
    start = (
        response["$ref"]
        if "$ref" in response
        else f"#/paths/{_escaped(path)}/{method.lower()}/responses/{status}"
    )
    return f"{DOCUMENT}{start}/content/{_escaped(media_type)}/schema"


def _escaped(path: str) -> str:
    """Return *path* as one step of a JSON pointer in a URI fragment."""
    return path.replace("~", "~0").replace("/", "~1").replace("{", "%7B").replace("}", "%7D")
