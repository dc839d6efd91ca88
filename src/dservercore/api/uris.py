"""``/uris``: listing, searching, registering and deleting datasets."""

from __future__ import annotations

from typing import Any

from flask import Response, request
from flask.views import MethodView
from flask_smorest.pagination import PaginationParameters

from dservercore import db
from dservercore.auth import guards
from dservercore.catalog import deletion, facets, lookup, registration, search
from dservercore.catalog.result_pages import result_page
from dservercore.catalog.scope import Actor, Scope
from dservercore.dataset.facets import FACETS
from dservercore.dataset.fields import DATASET_SORT_FIELDS
from dservercore.errors import ValidationError, invalid
from dservercore.rest.blueprint import Blueprint
from dservercore.rest.body_limits import for_datasets, for_search, takes_body
from dservercore.rest.paging import listing, page_answer
from dservercore.rest.responses import NOTHING, also_answers, answers, ascii_json, json_answer
from dservercore.rest.schemas import (
    DatasetObjectSchema,
    FacetOptionsSchema,
    FacetsSchema,
    FoundDatasetSchema,
    PageOptionsSchema,
    RegisterDatasetSchema,
    SearchDatasetSchema,
    SearchOptionsSchema,
    SearchQueryStringSchema,
    SearchReportSchema,
)
from dservercore.rest.sort import ASCENDING, RELEVANCE, SortParameters

blp = Blueprint("uris", __name__, url_prefix="/uris", description="Datasets")

#: The header that says what was done to a query: JSON with ``corrected``, ``optional`` and ``strict_total``.
X_SEARCH = "X-Search"

#: The same, for the OpenAPI document.
SEARCH_HEADER = {
    X_SEARCH: {
        "description": "What was done to the query, as JSON in ASCII; absent where nothing was",
        "schema": SearchReportSchema,
    }
}

#: By what a search can be sorted.
SORT_FIELDS = [*DATASET_SORT_FIELDS, RELEVANCE]

_sorting = blp.sort(sort="+uri", allowed_sort_fields=SORT_FIELDS)
_listing = listing(blp, sort="+uri", allowed_sort_fields=SORT_FIELDS)


@blp.route("")
class Datasets(MethodView):
    """The datasets that a user may search."""

    @guards.with_scope("search", visitors=True)
    @answers(blp, 200, FoundDatasetSchema, many=True, errors=(401, 404, 422), headers=SEARCH_HEADER)
    @_listing
    @blp.arguments(PageOptionsSchema, location="query")
    @blp.arguments(SearchQueryStringSchema, location="query")
    def get(self, options: dict[str, Any], query: dict[str, Any], **given: Any) -> Response:
        """List the datasets that you may search, or those of them that match.

        Parameters that take several values are repeated: `?tags=fruit&tags=veg`. Empty values filter nothing.
        """
        return _found(query, options, **given)

    @guards.with_scope("search", visitors=True)
    @takes_body(for_search)
    @answers(
        blp,
        200,
        FoundDatasetSchema,
        many=True,
        errors=(400, 401, 404, 413, 415, 422),
        headers=SEARCH_HEADER,
    )
    @_listing
    @blp.arguments(PageOptionsSchema, location="query")
    @blp.arguments(SearchDatasetSchema)
    def post(self, options: dict[str, Any], query: dict[str, Any], **given: Any) -> Response:
        """Search the datasets that you may search.

        All filters and conditions given must hold. Page and sort order are in the query string.
        """
        return _found(query, options, **given)


@blp.route("/facets")
class Facets(MethodView):
    """What the datasets have in common that a search finds."""

    @guards.with_scope("search", visitors=True)
    @answers(blp, 200, FacetsSchema, errors=(401, 422), headers=SEARCH_HEADER)
    @_sorting
    @blp.arguments(FacetOptionsSchema, location="query")
    @blp.arguments(SearchOptionsSchema, location="query")
    @blp.arguments(SearchQueryStringSchema, location="query")
    def get(
        self, wanted: dict[str, Any], options: dict[str, Any], query: dict[str, Any], **given: Any
    ) -> Response:
        """Count the values of tags, creators, years and the like among the datasets that match.

        Parameters that take several values are repeated: `?tags=fruit&tags=veg`. Empty values filter nothing. Each
        facet is counted without its own filter. Give `sort` as you give it to `GET /uris`: what is found may depend on
        it.
        """
        return _counted(query, options, wanted, **given)

    @guards.with_scope("search", visitors=True)
    @takes_body(for_search)
    @answers(blp, 200, FacetsSchema, errors=(400, 401, 413, 415, 422), headers=SEARCH_HEADER)
    @_sorting
    @blp.arguments(FacetOptionsSchema, location="query")
    @blp.arguments(SearchOptionsSchema, location="query")
    @blp.arguments(SearchDatasetSchema)
    def post(
        self, wanted: dict[str, Any], options: dict[str, Any], query: dict[str, Any], **given: Any
    ) -> Response:
        """Count the values of tags, creators, years and the like among the datasets that match.

        All filters given must hold, except that each facet is counted without its own filter. Give `sort` as you give
        it to `POST /uris`: what is found may depend on it.
        """
        return _counted(query, options, wanted, **given)


def _counted(
    query: dict[str, Any],
    options: dict[str, Any],
    wanted: dict[str, Any],
    sort_parameters: SortParameters,
    search_scope: Scope,
    actor: Actor,
) -> Response:
    """Answer how many of the datasets that a search finds have which values."""
    query = sorted_query(query, sort_parameters)
    report = search.Report()
    counted = facets.count(
        search_scope,
        query,
        facets.Wanted(
            tuple(dict.fromkeys(wanted.get("facets") or FACETS)), wanted["top"], wanted.get("prefix", "")
        ),
        sort_parameters,
        is_strict=bool(options.get("strict")),
        report=report,
    )
    return json_answer(counted, headers=_header_of(report.done))


def _found(
    query: dict[str, Any],
    options: dict[str, Any],
    pagination_parameters: PaginationParameters,
    sort_parameters: SortParameters,
    search_scope: Scope,
    actor: Actor,
) -> Response:
    """Answer a search, or a list where nothing is asked for."""
    query = sorted_query(query, sort_parameters)
    page = result_page(
        search_scope,
        query,
        pagination_parameters,
        sort_parameters,
        is_strict=bool(options.get("strict")),
        is_grouped=options.get("group") == "uuid",
        details=options.get("include") or (),
    )
    if query:
        return json_answer(page.datasets, headers=_header_of(page.done))
    return page_answer((page.datasets, page.total), pagination_parameters)


def sorted_query(query: dict[str, Any], sort_parameters: SortParameters) -> dict[str, Any]:
    """Return a query without what filters nothing, and make *sort_parameters* fit it.

    :raises ValidationError: 422, if it is to be sorted by relevance, and has no text
    """
    if RELEVANCE in sort_parameters.order and "free_text" not in query:
        raise invalid("sort", "relevance needs free_text", location="query")
    query = search.without_blanks(query)
    if (
        RELEVANCE in sort_parameters.order and "free_text" not in query
    ):  # to a blank text, all datasets are equally relevant
        del sort_parameters.order[RELEVANCE]
        sort_parameters.order = sort_parameters.order or {"uri": ASCENDING}
    # Where nothing is found as it is typed, the best comes first, unless another order was asked for.
    sort_parameters.is_given = "sort" in request.args
    return query


# Proxies refuse answers with longer headers.
_LONGEST_HEADER = 2000


def _header_of(done: dict[str, Any] | None) -> dict[str, str] | None:
    return {X_SEARCH: as_header(done)} if done else None


def as_header(done: dict[str, Any]) -> str:
    """Return what was done to a query as JSON in ASCII; of a long query, the total alone."""
    said = ascii_json(done)
    return said if len(said) <= _LONGEST_HEADER else ascii_json({**done, "corrected": {}, "optional": []})


@blp.route("/<uri:uri>")
class Dataset(MethodView):
    """One dataset."""

    @guards.with_scope("search", visitors=True)
    @answers(blp, 200, DatasetObjectSchema, errors=(401, 403, 404, 422))
    def get(self, uri: str, search_scope: Scope, actor: Actor) -> Response:
        """Look up a dataset by its URI."""
        return json_answer(lookup.find(search_scope, uri))

    @guards.with_scope("register")
    @takes_body(for_datasets)
    @also_answers(blp, 200, NOTHING)
    @answers(blp, 201, NOTHING, errors=(400, 401, 403, 413, 415, 422))
    @blp.arguments(RegisterDatasetSchema)
    def put(self, info: dict[str, Any], uri: str, register_scope: Scope, actor: Actor) -> Response:
        """Register a dataset, or replace what is registered: 201 if it is new, else 200.

        You need register permission on its base URI. What is answered is stored for good.
        """
        if info.get("uri", uri) != uri:
            raise ValidationError(
                "uri: differs from the URI in the path", {"uri": ["Differs from the path."]}
            )
        is_new = registration.register_dataset(actor, register_scope, info)
        db.commit()
        return json_answer("", 201 if is_new else 200)

    @guards.with_scope("register")
    @answers(blp, 200, NOTHING, errors=(401, 403, 422))
    def delete(self, uri: str, register_scope: Scope, actor: Actor) -> Response:
        """Remove a dataset's registration; the dataset itself stays in its storage."""
        deletion.delete_dataset(register_scope, uri, actor=actor)
        db.commit()
        return json_answer("")
