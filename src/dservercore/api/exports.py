"""``/uris.csv`` and ``/uris.ndjson``: all datasets of a search, however many there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from flask import Flask, Response, current_app
from flask.views import MethodView

from dservercore.api.uris import SEARCH_HEADER, SORT_FIELDS, X_SEARCH, as_header, sorted_query
from dservercore.auth import guards
from dservercore.catalog import metrics, search
from dservercore.catalog.scope import Actor, Scope
from dservercore.catalog.search import DatasetObject, Everything
from dservercore.dataset import csv_lines
from dservercore.rest.blueprint import Blueprint
from dservercore.rest.body_limits import for_search, takes_body
from dservercore.rest.responses import answers, as_json
from dservercore.rest.schemas import (
    DatasetObjectSchema,
    SearchDatasetSchema,
    SearchOptionsSchema,
    SearchQueryStringSchema,
)
from dservercore.rest.sort import SortParameters

CSV, LINES = "text/csv", "application/x-ndjson"

blp = Blueprint("exports", __name__, url_prefix="/", description="All datasets of a search")

#: Makes of some datasets a part of the body.
Format = Callable[[list[DatasetObject]], str]


def _answers_csv(*errors: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return answers(
        blp,
        200,
        {"type": "string", "example": csv_lines.header()},
        errors=errors,
        description="A line for each dataset, below one with the names of the columns",
        headers=SEARCH_HEADER,
        content_type=CSV,
    )


def _answers_lines(*errors: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return answers(
        blp,
        200,
        DatasetObjectSchema,
        errors=errors,
        description="A dataset on each line",
        headers=SEARCH_HEADER,
        content_type=LINES,
    )


_sorted = blp.sort(sort="+uri", allowed_sort_fields=SORT_FIELDS)


@blp.route("/uris.csv")
class Table(MethodView):
    """The datasets that a user may search, for a spreadsheet."""

    @guards.with_scope("search", visitors=True)
    @_answers_csv(401, 422, 503)
    @_sorted
    @blp.arguments(SearchOptionsSchema, location="query")
    @blp.arguments(SearchQueryStringSchema, location="query")
    def get(self, options: dict[str, Any], query: dict[str, Any], **given: Any) -> Response:
        """Export all datasets that `GET /uris` finds with the same parameters, as CSV.

        Times are in ISO 8601, sizes in bytes, and all tags in one cell. A text that begins with `=`, `+`, `-` or `@`
        has an apostrophe in front, lest a spreadsheet takes it for a formula.
        """
        return _all(query, options, CSV, **given)

    @guards.with_scope("search", visitors=True)
    @takes_body(for_search)
    @_answers_csv(400, 401, 413, 415, 422, 503)
    @_sorted
    @blp.arguments(SearchOptionsSchema, location="query")
    @blp.arguments(SearchDatasetSchema)
    def post(self, options: dict[str, Any], query: dict[str, Any], **given: Any) -> Response:
        """Export all datasets that `POST /uris` finds with the same body, as CSV.

        Times are in ISO 8601, sizes in bytes, and all tags in one cell. A text that begins with `=`, `+`, `-` or `@`
        has an apostrophe in front, lest a spreadsheet takes it for a formula.
        """
        return _all(query, options, CSV, **given)


@blp.route("/uris.ndjson")
class Lines(MethodView):
    """The datasets that a user may search, for a program."""

    @guards.with_scope("search", visitors=True)
    @_answers_lines(401, 422, 503)
    @_sorted
    @blp.arguments(SearchOptionsSchema, location="query")
    @blp.arguments(SearchQueryStringSchema, location="query")
    def get(self, options: dict[str, Any], query: dict[str, Any], **given: Any) -> Response:
        """Export all datasets that `GET /uris` finds with the same parameters, one JSON object a line."""
        return _all(query, options, LINES, **given)

    @guards.with_scope("search", visitors=True)
    @takes_body(for_search)
    @_answers_lines(400, 401, 413, 415, 422, 503)
    @_sorted
    @blp.arguments(SearchOptionsSchema, location="query")
    @blp.arguments(SearchDatasetSchema)
    def post(self, options: dict[str, Any], query: dict[str, Any], **given: Any) -> Response:
        """Export all datasets that `POST /uris` finds with the same body, one JSON object a line."""
        return _all(query, options, LINES, **given)


def _all(
    query: dict[str, Any],
    options: dict[str, Any],
    media_type: str,
    sort_parameters: SortParameters,
    search_scope: Scope,
    actor: Actor,
) -> Response:
    query = sorted_query(query, sort_parameters)
    return export(search_scope, query, sort_parameters, media_type, is_strict=bool(options.get("strict")))


def export(
    scope: Scope, query: dict[str, Any], sort_parameters: SortParameters, media_type: str, *, is_strict: bool
) -> Response:
    """Answer with everything that a search finds.

    What is found is known, by a few bytes of each dataset, and the first datasets are read, before the answer begins:
    until then errors are answered like any others.

    :param query: as :func:`~dservercore.catalog.search.without_blanks` returns it
    :param media_type: :data:`CSV` or :data:`LINES`
    :param is_strict: find just what is asked for
    :raises ValidationError: 422 for what the search plugin cannot do
    :raises UnavailableError: if it cannot be done now, or finding them takes longer than a search may
    """
    with metrics.counted_search(query) as counted:
        everything = search.search_all(scope, query, sort_parameters, is_strict=is_strict)
        counted.number, counted.done = len(everything.keys), everything.done
    in_format, beginning, suffix = (
        (search.csv_of, csv_lines.header(), "csv") if media_type == CSV else (_json_lines, "", "ndjson")
    )
    slices = everything.slices()
    beginning += in_format(everything.fetch(next(slices, ())))
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # the answer outlives the request
    answer = current_app.response_class(
        _rest(app, everything, in_format, beginning, slices), content_type=f"{media_type}; charset=utf-8"
    )
    answer.headers["Content-Disposition"] = f'attachment; filename="datasets.{suffix}"'
    if everything.done:
        answer.headers[X_SEARCH] = as_header(everything.done)
    return answer


def _rest(
    app: Flask, everything: Everything, in_format: Format, beginning: str, slices: Iterator[Any]
) -> Iterator[bytes]:
    """Yield the body. While a client reads one part, no transaction is open, and no connection taken.

    An error ends it where it is: a server does not complete an answer whose body fails.
    """
    yield beginning.encode()
    for keys in slices:
        with app.app_context():
            part = in_format(everything.fetch(keys)).encode()
        if part:
            yield part


def _json_lines(datasets: list[DatasetObject]) -> str:
    return "".join(f"{as_json(dataset).decode()}\n" for dataset in datasets)
