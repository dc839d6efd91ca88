"""Sorting: the ``sort`` query parameter, the ``X-Sort`` header, and their documentation."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable
from copy import deepcopy
from http import HTTPStatus
from typing import Any

import marshmallow as ma
from flask import Request, current_app, request
from flask.views import MethodView
from flask_smorest.utils import unpack_tuple_response
from webargs.flaskparser import abort
from werkzeug.datastructures import Headers

from dservercore.rest.request_parser import RequestParser, check_query_string

ASCENDING = 1
DESCENDING = -1

RELEVANCE = "relevance"

_SIGNS = {"+": ASCENDING, "-": DESCENDING}
_SIGN_OF = {ASCENDING: "+", DESCENDING: "-"}
# Which way a field goes that is named without a sign. A search ranks the best match highest.
_DIRECTION_WITHOUT_SIGN = {RELEVANCE: DESCENDING}


class SortParameters:
    """By which fields to sort, the most important first.

    :param sort: ``"+name,-frozen_at"``, or the same as a list. ``+`` may be left out, but ``relevance`` alone
        means ``-relevance``, the best match first
    """

    def __init__(self, sort: str | Iterable[str]):
        items = sort.split(",") if isinstance(sort, str) else sort
        #: ``{field: ASCENDING | DESCENDING}`` in order of importance.
        self.order: dict[str, int] = dict(_field_and_direction(item) for item in items if item)
        #: Whether somebody has asked for this order.
        self.is_given = True

    def __repr__(self) -> str:
        fields = ",".join(f"{_SIGN_OF[direction]}{field}" for field, direction in self.order.items())
        return f"{type(self).__name__}(sort={fields!r})"


def _field_and_direction(item: str) -> tuple[str, int]:
    sign, field = item[0], item[1:]
    # An unescaped + in a query string arrives as a space.
    if sign == " ":
        sign = "+"
    if sign in _SIGNS:
        return field, _SIGNS[sign]
    return item, _DIRECTION_WITHOUT_SIGN.get(item, ASCENDING)


class SortMetadataSchema(ma.Schema):
    """Content of the ``X-Sort`` header."""

    sort = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.Integer(validate=ma.validate.OneOf([ASCENDING, DESCENDING])),
        metadata={"description": "Fields by importance: 1 ascending, -1 descending."},
    )


class CommaSeparatedListFlaskParser(RequestParser):
    """Reads every query parameter as a comma-separated list."""

    def load_querystring(self, req: Request, schema: ma.Schema | None = None) -> dict[str, list[str]]:
        """Return ``{parameter: [item, ...]}``, without empty items.

        Of a repeated parameter the first one counts.
        """
        check_query_string(req.query_string)
        return {name: [item for item in text.split(",") if item] for name, text in req.args.items()}


class SortMixin:
    """Gives a blueprint the decorator :meth:`sort`."""

    SORT_ARGUMENTS_PARSER = CommaSeparatedListFlaskParser()

    #: Name of the response header that tells how the answer is sorted. None: no header.
    SORT_HEADER_NAME: str | None = "X-Sort"

    def sort(
        self, *, sort: str | Iterable[str] | None = None, allowed_sort_fields: Iterable[str] | None = None
    ) -> Callable[[Any], Any]:
        """Decorate a view function, or all methods of a ``MethodView``, that can sort its answer.

        The view gets the keyword argument ``sort_parameters``, a :class:`SortParameters`. A client that asks
        for a field that is not allowed gets a 422.

        :param sort: how to sort when the request does not say, such as ``"+uri"``
        :param allowed_sort_fields: names of the fields that a client may sort by; None: any
        """
        default = sort.split(",") if isinstance(sort, str) else list(sort or [])
        allowed = None if allowed_sort_fields is None else list(allowed_sort_fields)
        documentation = {
            "parameter": _parameter_documentation(default, allowed),
            "response": {"422": HTTPStatus.UNPROCESSABLE_ENTITY.name},
        }

        def decorate_function(view: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(view)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                parameters = self.requested_sort(default, allowed)
                view_result = current_app.ensure_sync(view)(*args, sort_parameters=parameters, **kwargs)
                result, status, headers = unpack_tuple_response(view_result)
                if self.SORT_HEADER_NAME is not None:
                    headers = Headers(headers)
                    headers[self.SORT_HEADER_NAME] = self.sort_header(parameters)
                return result, status, headers

            described = deepcopy(getattr(view, "_apidoc", {})) | {"sort": documentation}
            wrapper._apidoc = described  # type: ignore[attr-defined]
            return wrapper

        def decorator(view: Any) -> Any:
            if not (isinstance(view, type) and issubclass(view, MethodView)):
                return decorate_function(view)
            for method in (name.lower() for name in view.methods or ()):
                setattr(view, method, decorate_function(getattr(view, method)))
            return view

        return decorator

    def requested_sort(self, default: list[str], allowed: list[str] | None) -> SortParameters:
        """Return how the request wants its answer sorted, or the default.

        :raises HTTPException: 422, if it names a field that is not allowed
        """
        try:
            items = self.SORT_ARGUMENTS_PARSER.load_querystring(request).get("sort")
        except ma.ValidationError as error:
            abort(422, messages={"query": error.messages})
        parameters = SortParameters(items or default)
        if allowed is not None and not parameters.order.keys() <= set(allowed):
            choice = ", ".join(allowed)
            message = (
                f"Can be sorted by {choice}; each with + (ascending) or - (descending) in front, or neither."
            )
            abort(422, messages={"query": {"sort": [message]}})
        return parameters

    def sort_header(self, parameters: SortParameters) -> str:
        """Return the value of ``X-Sort``."""
        return json.dumps({"sort": parameters.order})

    def _prepare_sort_doc(
        self, doc: dict[str, Any], doc_info: dict[str, Any], **_kwargs: Any
    ) -> dict[str, Any]:
        """Add the parameter, the header and the error of sorting to *doc*, which describes an operation."""
        documentation = doc_info.get("sort")
        if not documentation:
            return doc
        doc.setdefault("parameters", []).append(documentation["parameter"])
        responses = doc.setdefault("responses", {})
        if not any(str(status) == "422" for status in responses):
            responses.update(documentation["response"])
        if self.SORT_HEADER_NAME is not None:
            header = {"description": "How the answer is sorted, as JSON", "schema": SortMetadataSchema}
            for status in doc_info.get("success_status_codes", []):
                responses[status].setdefault("headers", {})[self.SORT_HEADER_NAME] = header
        return doc


def _parameter_documentation(default: list[str], allowed: list[str] | None) -> dict[str, Any]:
    """Return the OpenAPI description of the ``sort`` query parameter."""
    item: dict[str, Any] = {"type": "string"}
    if allowed is not None:
        item["enum"] = [sign + field for sign in ("+", "-", "") for field in allowed]
    schema = {"type": "array", "items": item}
    if default:
        schema["default"] = default
    return {
        "in": "query",
        "name": "sort",
        "schema": schema,
        "style": "form",
        "explode": False,
        "description": "Fields to sort by, most important first: `+` or nothing ascending, `-` descending.",
    }
