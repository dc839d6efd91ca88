"""``/mongo``: structured queries, in the language of MongoDB."""

from __future__ import annotations

from typing import Any

from flask import Response, current_app
from flask.views import MethodView
from flask_smorest import abort
from flask_smorest.pagination import PaginationParameters

from dservercore.auth import guards
from dservercore.catalog.scope import Actor, Scope
from dservercore.dataset.fields import DATASET_SORT_FIELDS
from dservercore.plugins.query import service
from dservercore.plugins.query.schemas import (
    AggregationSchema,
    QuerySchema,
    ResultSchema,
    StoredDatasetSchema,
    for_queries,
    restrictions_of,
)
from dservercore.rest.blueprint import Blueprint
from dservercore.rest.body_limits import takes_body
from dservercore.rest.paging import listing, slice_of
from dservercore.rest.responses import answers, json_answer
from dservercore.rest.sort import SortParameters

blueprint = Blueprint("query", __name__, url_prefix="/mongo", description="Structured queries")

_listing = listing(blueprint, sort="+uri", allowed_sort_fields=DATASET_SORT_FIELDS)


@blueprint.route("/query")
class Query(MethodView):
    """Datasets that match a structured query."""

    @guards.with_scope("search")
    @takes_body(for_queries)
    @answers(blueprint, 200, StoredDatasetSchema, many=True, errors=(400, 401, 404, 413, 415, 422, 503))
    @_listing
    @blueprint.arguments(QuerySchema)
    def post(
        self,
        given: dict[str, Any],
        pagination_parameters: PaginationParameters,
        sort_parameters: SortParameters,
        search_scope: Scope,
        actor: Actor,
    ) -> Response:
        """Find the datasets that you may search, and that match a query in the language of MongoDB.

        The query is about the whole document of a dataset: the fields of the dataset object, `type`, `tags`,
        `annotations`, `manifest`, and `readme` as the YAML in it is read. A page beyond the last one is empty.
        """
        _require("DSERVER_ALLOW_DIRECT_QUERY", "queries")
        found, pagination_parameters.item_count = service.query(
            search_scope,
            given["query"],
            restrictions_of(given),
            sort_parameters.order,
            slice_of(pagination_parameters),
        )
        return json_answer(found)


@blueprint.route("/aggregate")
class Aggregation(MethodView):
    """What an aggregation makes of the datasets that match a structured query."""

    @guards.with_scope("search")
    @takes_body(for_queries)
    @answers(blueprint, 200, ResultSchema, many=True, errors=(400, 401, 404, 413, 415, 422, 503))
    @_listing
    @blueprint.arguments(AggregationSchema)
    def post(
        self,
        given: dict[str, Any],
        pagination_parameters: PaginationParameters,
        sort_parameters: SortParameters,
        search_scope: Scope,
        actor: Actor,
    ) -> Response:
        """Aggregate the datasets that you may search, and that match a query.

        The stages are `$match`, `$project`, `$addFields`, `$set`, `$unset`, `$group`, `$sort`, `$sortByCount`,
        `$limit`, `$skip`, `$unwind` and `$count`. The order is that of the last `$sort`, and `sort` changes nothing.
        Results have no `_id`. A page beyond the last one is empty.
        """
        _require("DSERVER_ALLOW_DIRECT_AGGREGATION", "aggregations")
        found, pagination_parameters.item_count = service.aggregate(
            search_scope,
            given["query"],
            restrictions_of(given),
            given["aggregation"],
            slice_of(pagination_parameters),
        )
        return json_answer(found)


def _require(setting: str, what: str) -> None:
    if not current_app.config[setting]:
        abort(404, message=f"This server answers no structured {what} ({setting})")
