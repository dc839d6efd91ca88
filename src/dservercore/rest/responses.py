"""How a route answers, and how it documents its answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import marshmallow as ma
import orjson
from flask import Response, current_app

from dservercore.rest.blueprint import Blueprint
from dservercore.rest.schemas import ErrorSchema, TokenErrorSchema

#: Errors that every route with a token can give; the checks of the token itself have a shape of their own.
_TOKEN_ERRORS = (401, 422)

#: The schema of the answer of a route that has nothing to tell: an empty JSON string.
NOTHING = {"type": "string", "enum": [""]}


def json_answer(obj: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return the response whose body is *obj* as JSON.

    :param obj: anything that JSON can express; or bytes, a JSON document that is passed on as it is
    """
    body = obj if isinstance(obj, bytes) else as_json(obj)
    return current_app.response_class(body, status=status, headers=headers, mimetype="application/json")


def ascii_json(obj: Any) -> str:
    """Return *obj*, anything that JSON can express, as JSON in ASCII, as a header can hold it."""
    return json.dumps(obj, separators=(",", ":"))


def as_json(obj: Any) -> bytes:
    """Return *obj*, anything that JSON can express, as JSON."""
    try:
        return orjson.dumps(obj)
    except orjson.JSONEncodeError:
        # Integer keys (list positions in validation errors), integers beyond 64 bits, or very deep nesting.
        return json.dumps(obj, separators=(",", ":")).encode()


def answers(
    blp: Blueprint,
    status: int,
    schema: Any = None,
    *,
    errors: Iterable[int] = (401, 403, 404, 422),
    many: bool = False,
    description: str | None = None,
    headers: Mapping[str, Any] | None = None,
    parameters: Iterable[Mapping[str, Any]] = (),
    public: bool = False,
    content_type: str | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a view with its documentation: the answer, the errors, and whether it needs a token.

    The view itself returns a ``Response``, such as that of :func:`json_answer`.

    :param blp: the view's blueprint
    :param status: of the answer when all is well
    :param schema: marshmallow schema class or instance, or an OpenAPI schema object, of the answer
    :param errors: HTTP statuses that the view can fail with; 304, which has no body, counts as one
    :param many: the answer is a list, and *schema* the class of its elements
    :param description: of the answer
    :param headers: of the answer, as OpenAPI header objects by name
    :param parameters: headers that the view looks at, as OpenAPI parameter objects
    :param public: the view needs no token
    :param content_type: of the answer; None: it is JSON
    """
    answer = blp.response(
        status,
        schema(many=True) if many else schema,
        description=description,
        headers=headers,
        content_type=content_type,
    )

    described = blp.doc(
        security=[] if public else [{"bearerAuth": []}],
        **({"parameters": list(parameters)} if parameters else {}),
    )

    def decorator(view: Callable[..., Any]) -> Callable[..., Any]:
        documented: Any = described(answer(view))
        for error in errors:
            documented._apidoc["response"]["responses"].setdefault(error, []).append(
                _documented_error(blp, error, public)
            )
        return documented_as(documented, view)

    return decorator


def _documented_error(blp: Blueprint, status: int, public: bool) -> Any:
    """Return what documents an error of a view.

    It is made of a view without documentation: ``alt_response`` copies all that there is, which took a tenth of the
    time in which ``flask`` starts.
    """
    alone: Any = blp.alt_response(status, schema=_error_schema(status, public))(_undocumented)
    return alone._apidoc["response"]["responses"][status][0]


def _undocumented() -> None: ...


def documented_as(documented: Any, view: Callable[..., Any]) -> Callable[..., Any]:
    """Give *view* the documentation of what a decorator of flask-smorest made of it, and return it.

    That alone is wanted: a call through each of these wrappers took 15 microseconds of every request.
    """
    view._apidoc = documented._apidoc  # type: ignore[attr-defined]
    return view


def _error_schema(status: int, public: bool) -> type[ma.Schema] | dict[str, Any] | None:
    if status == 304:
        return None
    if status in _TOKEN_ERRORS and not public:
        return {"anyOf": [TokenErrorSchema, ErrorSchema]}
    return ErrorSchema


def also_answers(
    blp: Blueprint, status: int, schema: Any = None, *, description: str | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Document another way for a view to succeed, such as 201 next to 200. Goes above :func:`answers`."""
    return blp.alt_response(status, schema=schema, description=description, success=True)


def also_in_lines(
    blp: Blueprint, media_type: str, taken: type[ma.Schema], answered: type[ma.Schema]
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Document that a view takes a list as JSON, or as lines of another type, and answers alike.

    :param taken: schema of an element of the body
    :param answered: schema of an element of the answer
    """
    content = {"application/json": {"schema": taken(many=True)}, media_type: {"schema": taken}}
    in_lines = blp.alt_response(200, schema=answered, content_type=media_type, success=True)
    takes = blp.doc(requestBody={"required": True, "content": content})
    return lambda view: documented_as(takes(in_lines(view)), view)
