"""``/uuids``: where the copies of a dataset are."""

from __future__ import annotations

from flask import Response
from flask.views import MethodView
from flask_smorest.pagination import PaginationParameters

from dservercore.auth import guards
from dservercore.catalog import lookup
from dservercore.catalog.scope import Actor, Scope
from dservercore.dataset.fields import DATASET_SORT_FIELDS
from dservercore.rest.blueprint import Blueprint
from dservercore.rest.paging import listing, page_answer, slice_of
from dservercore.rest.responses import answers
from dservercore.rest.schemas import DatasetObjectSchema
from dservercore.rest.sort import SortParameters

blp = Blueprint("uuids", __name__, url_prefix="/uuids", description="Copies of a dataset")


@blp.route("/<uuid>")
class Copies(MethodView):
    """All copies of one dataset."""

    @guards.with_scope("search", visitors=True)
    @answers(blp, 200, DatasetObjectSchema, many=True, errors=(401, 404, 422))
    @listing(blp, sort="+uri", allowed_sort_fields=DATASET_SORT_FIELDS)
    def get(
        self,
        uuid: str,
        pagination_parameters: PaginationParameters,
        sort_parameters: SortParameters,
        search_scope: Scope,
        actor: Actor,
    ) -> Response:
        """List the copies of a dataset, in all base URIs that you may search, by the dataset's UUID."""
        page = slice_of(pagination_parameters)
        found = lookup.find_copies(search_scope, uuid, sort_parameters.order, page)
        return page_answer(found, pagination_parameters)
