"""``/statistics``: figures of what somebody may search, and what its descriptions lack."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask.views import MethodView
from flask_smorest.pagination import PaginationParameters

from dservercore.auth import guards
from dservercore.catalog import statistics
from dservercore.catalog.scope import Actor, Scope
from dservercore.rest.blueprint import Blueprint
from dservercore.rest.paging import listing, page_answer, slice_of
from dservercore.rest.responses import answers, json_answer
from dservercore.rest.schemas import (
    LackingDatasetSchema,
    LackingFilterSchema,
    StatisticsQuerySchema,
    StatisticsSchema,
)
from dservercore.rest.sort import SortParameters

blp = Blueprint("statistics", __name__, url_prefix="/statistics", description="Figures of the datasets")


@blp.route("")
class Statistics(MethodView):
    """Figures of the datasets that you may search."""

    @guards.with_scope("search", visitors=True)
    @answers(blp, 200, StatisticsSchema, errors=(401, 422))
    @blp.arguments(StatisticsQuerySchema, location="query")
    def get(self, query: dict[str, Any], search_scope: Scope, actor: Actor) -> Response:
        """Count the datasets that you may search: over time, by base URI, person and tag; what they cost and lack.

        An owner and a licence are looked for at the top of a README that is YAML: `owners` or `owner`, `license` or
        `licence`. Costs are those of the base URIs with a price.
        """
        return json_answer(statistics.of_scope(search_scope, query["top"]))


@blp.route("/lacking")
class Lacking(MethodView):
    """The datasets that you may search whose description lacks something."""

    @guards.with_scope("search", visitors=True)
    @answers(blp, 200, LackingDatasetSchema, many=True, errors=(401, 404, 422))
    @listing(blp, sort="+base_uri", allowed_sort_fields=["base_uri"])
    @blp.arguments(LackingFilterSchema, location="query")
    def get(
        self,
        query: dict[str, Any],
        pagination_parameters: PaginationParameters,
        sort_parameters: SortParameters,
        search_scope: Scope,
        actor: Actor,
    ) -> Response:
        """List the datasets whose description lacks something: by base URI, those first in each that lack most."""
        scope = search_scope
        if "base_uri" in query:
            scope = scope.narrowed_to([query["base_uri"]])
        page = slice_of(pagination_parameters)
        found = statistics.list_lacking(scope, query.get("lacks"), query.get("creator"), page)
        return page_answer(found, pagination_parameters)
