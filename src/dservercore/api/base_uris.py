"""``/base-uris``: registering the places that hold datasets, and who may do what there (administrators only)."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from flask import Response
from flask.views import MethodView
from flask_smorest.pagination import PaginationParameters

from dservercore import db, guards
from dservercore.api.answers import NOTHING, also_answers, answers, json_answer
from dservercore.api.paging import listing, page_answer, slice_of
from dservercore.blueprint import Blueprint
from dservercore.body_limits import for_users, takes_body
from dservercore.catalog import base_uris
from dservercore.schemas import BaseURIItemSchema, BaseURIObjectSchema, BaseURIPutSchema
from dservercore.scope import Actor
from dservercore.sort import SortParameters

blp = Blueprint("base-uris", __name__, url_prefix="/base-uris", description="Base URIs")


class DeleteOptionsSchema(ma.Schema):
    """How to delete a base URI."""

    with_datasets = ma.fields.Boolean(load_default=False, metadata={"description": "Remove its datasets too"})


@blp.route("")
class BaseURIs(MethodView):
    """All base URIs."""

    @guards.admin_only
    @answers(blp, 200, BaseURIItemSchema, many=True, errors=(401, 403, 404, 422))
    @listing(blp, sort="+base_uri", allowed_sort_fields=["base_uri"])
    def get(
        self, pagination_parameters: PaginationParameters, sort_parameters: SortParameters, actor: Actor
    ) -> Response:
        """List the base URIs."""
        found, total = base_uris.list_base_uris(sort_parameters.order, slice_of(pagination_parameters))
        return page_answer(([{"base_uri": b["base_uri"]} for b in found], total), pagination_parameters)


@blp.route("/<base_uri:base_uri>")
class BaseURI(MethodView):
    """One base URI and its permissions."""

    @guards.admin_only
    @answers(blp, 200, BaseURIObjectSchema, errors=(401, 403, 404, 422))
    def get(self, base_uri: str, actor: Actor) -> Response:
        """Look up who may search, and register in, a base URI."""
        return json_answer(base_uris.get_base_uri(base_uri))

    @guards.admin_only
    @takes_body(for_users)
    @answers(blp, 201, BaseURIObjectSchema, errors=(400, 401, 403, 409, 413, 422))
    @blp.arguments(BaseURIPutSchema)
    def post(self, users: dict[str, Any], base_uri: str, actor: Actor) -> Response:
        """Register a base URI that is not registered yet."""
        created = base_uris.create_base_uri(base_uri, **_permissions(users), actor=actor)
        db.commit()
        return json_answer(created, 201)

    @guards.admin_only
    @takes_body(for_users)
    @also_answers(blp, 200, NOTHING)
    @answers(blp, 201, NOTHING, errors=(400, 401, 403, 413, 422))
    @blp.arguments(BaseURIPutSchema)
    def put(self, users: dict[str, Any], base_uri: str, actor: Actor) -> Response:
        """Register a base URI, or replace all permissions on one: 201 if it is new, else 200."""
        is_new = base_uris.put_base_uri(base_uri, **_permissions(users), actor=actor)
        db.commit()
        return json_answer("", 201 if is_new else 200)

    @guards.admin_only
    @answers(blp, 200, NOTHING, errors=(401, 403, 409, 422))
    @blp.arguments(DeleteOptionsSchema, location="query")
    def delete(self, options: dict[str, Any], base_uri: str, actor: Actor) -> Response:
        """Remove a base URI and the permissions on it; one that holds datasets only with `with_datasets=true`."""
        base_uris.delete_base_uri(base_uri, options["with_datasets"], actor=actor)
        db.commit()
        return json_answer("")


def _permissions(users: dict[str, Any]) -> dict[str, list[str]]:
    return {
        "searchers": users["users_with_search_permissions"],
        "registrants": users["users_with_register_permissions"],
    }
