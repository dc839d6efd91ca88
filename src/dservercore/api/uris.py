"""``/uris``: listing, searching, registering and deleting datasets."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask.views import MethodView
from flask_smorest.pagination import PaginationParameters

from dservercore import db, guards
from dservercore.api.answers import NOTHING, also_answers, answers, json_answer
from dservercore.api.paging import listing, page_answer, slice_of
from dservercore.blueprint import Blueprint
from dservercore.body_limits import for_datasets, for_search, takes_body
from dservercore.catalog import datasets, search
from dservercore.dataset_info import DATASET_SORT_FIELDS
from dservercore.errors import ValidationError, invalid
from dservercore.schemas import DatasetObjectSchema, RegisterDatasetSchema, SearchDatasetSchema
from dservercore.scope import Actor, Scope
from dservercore.sort import RELEVANCE, SortParameters

blp = Blueprint("uris", __name__, url_prefix="/uris", description="Datasets")

_listing = listing(blp, sort="+uri", allowed_sort_fields=[*DATASET_SORT_FIELDS, RELEVANCE])


@blp.route("")
class Datasets(MethodView):
    """The datasets that a user may search."""

    @guards.with_scope("search")
    @answers(blp, 200, DatasetObjectSchema, many=True, errors=(401, 404, 422))
    @_listing
    @blp.arguments(SearchDatasetSchema, location="query")
    def get(self, query: dict[str, Any], **given: Any) -> Response:
        """List the datasets that you may search, or those of them that match.

        Parameters that take several values are repeated: `?tags=fruit&tags=veg`.
        """
        return _found(query, **given)

    @guards.with_scope("search")
    @takes_body(for_search)
    @answers(blp, 200, DatasetObjectSchema, many=True, errors=(400, 401, 404, 413, 422))
    @_listing
    @blp.arguments(SearchDatasetSchema)
    def post(self, query: dict[str, Any], **given: Any) -> Response:
        """Search the datasets that you may search.

        All filters given must hold. Page and sort order are in the query string.
        """
        return _found(query, **given)


def _found(
    query: dict[str, Any],
    pagination_parameters: PaginationParameters,
    sort_parameters: SortParameters,
    search_scope: Scope,
    actor: Actor,
) -> Response:
    """Answer a search, or a list where nothing is asked for."""
    if RELEVANCE in sort_parameters.order and "free_text" not in query:
        raise invalid("sort", "relevance needs free_text", location="query")
    if search.filters_anything(query):
        return json_answer(search.search(search_scope, query, pagination_parameters, sort_parameters))
    page = slice_of(pagination_parameters)
    return page_answer(
        datasets.list_datasets(search_scope, sort_parameters.order, page), pagination_parameters
    )


@blp.route("/<uri:uri>")
class Dataset(MethodView):
    """One dataset."""

    @guards.with_scope("search")
    @answers(blp, 200, DatasetObjectSchema, errors=(401, 403, 404, 422))
    def get(self, uri: str, search_scope: Scope, actor: Actor) -> Response:
        """Look up a dataset by its URI."""
        return json_answer(datasets.find(search_scope, uri))

    @guards.with_scope("register")
    @takes_body(for_datasets)
    @also_answers(blp, 200, NOTHING)
    @answers(blp, 201, NOTHING, errors=(400, 401, 403, 413, 422))
    @blp.arguments(RegisterDatasetSchema)
    def put(self, info: dict[str, Any], uri: str, register_scope: Scope, actor: Actor) -> Response:
        """Register a dataset, or replace what is registered: 201 if it is new, else 200.

        You need register permission on its base URI. What is answered is stored for good.
        """
        if info.get("uri", uri) != uri:
            raise ValidationError(
                "uri: differs from the URI in the path", {"uri": ["Differs from the path."]}
            )
        is_new = datasets.register_dataset(actor, register_scope, info)
        db.commit()
        return json_answer("", 201 if is_new else 200)

    @guards.with_scope("register")
    @answers(blp, 200, NOTHING, errors=(401, 403, 422))
    def delete(self, uri: str, register_scope: Scope, actor: Actor) -> Response:
        """Remove a dataset's registration; the dataset itself stays in its storage."""
        datasets.delete_dataset(register_scope, uri, actor=actor)
        db.commit()
        return json_answer("")
