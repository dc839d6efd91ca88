"""``/base-uris``: registering the places that hold datasets, and who may do what there (administrators only)."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from flask import Response
from flask.views import MethodView
from flask_smorest.pagination import PaginationParameters

from dservercore import db
from dservercore.auth import guards
from dservercore.catalog import audience, base_uris
from dservercore.catalog.scope import Actor
from dservercore.rest.blueprint import Blueprint
from dservercore.rest.body_limits import for_users, takes_body
from dservercore.rest.paging import listing, page_answer, slice_of
from dservercore.rest.responses import NOTHING, also_answers, answers, json_answer
from dservercore.rest.schemas import (
    AudienceChangeSchema,
    AudienceSchema,
    BaseURIItemSchema,
    BaseURIListSchema,
    BaseURIObjectSchema,
    BaseURIPutSchema,
)
from dservercore.rest.sort import SortParameters

blp = Blueprint("base-uris", __name__, url_prefix="/base-uris", description="Base URIs")


#: By what the list can be sorted; what it has of each base URI.
SORT_FIELDS = ["base_uri", "number_of_datasets", "size_in_bytes", "last_indexed"]
LISTED = (
    "base_uri",
    "public",
    "price_per_tb",
    "currency",
    "last_indexed",
    "number_of_datasets",
    "size_in_bytes",
)


class DeleteOptionsSchema(ma.Schema):
    """How to delete a base URI."""

    with_datasets = ma.fields.Boolean(load_default=False, metadata={"description": "Remove its datasets too"})


@blp.route("")
class BaseURIs(MethodView):
    """All base URIs."""

    @guards.admin_only
    @answers(blp, 200, BaseURIItemSchema, many=True, errors=(401, 403, 404, 422))
    @listing(blp, sort="+base_uri", allowed_sort_fields=SORT_FIELDS)
    @blp.arguments(BaseURIListSchema, location="query")
    def get(
        self,
        wanted: dict[str, Any],
        pagination_parameters: PaginationParameters,
        sort_parameters: SortParameters,
        actor: Actor,
    ) -> Response:
        """List the base URIs: which are public, what they cost, and when and how each was last indexed."""
        order, page = sort_parameters.order, slice_of(pagination_parameters)
        found, total = base_uris.list_base_uris(order, page, with_users=False, **wanted)
        items = [{key: b[key] for key in LISTED if key in b} for b in found]
        return page_answer((items, total), pagination_parameters)


@blp.route("/<base_uri:base_uri>")
class BaseURI(MethodView):
    """One base URI and its permissions."""

    @guards.admin_only
    @answers(blp, 200, BaseURIObjectSchema, errors=(401, 403, 404, 422))
    def get(self, base_uri: str, actor: Actor) -> Response:
        """Look up who may search, and register in, a base URI, whether it is public, and what it costs."""
        return json_answer(base_uris.get_base_uri(base_uri))

    @guards.admin_only
    @takes_body(for_users)
    @answers(blp, 201, BaseURIObjectSchema, errors=(400, 401, 403, 409, 413, 415, 422))
    @blp.arguments(BaseURIPutSchema)
    def post(self, given: dict[str, Any], base_uri: str, actor: Actor) -> Response:
        """Register a base URI that is not registered yet."""
        created = base_uris.create_base_uri(base_uri, **_access(given), actor=actor)
        db.commit()
        return json_answer(created, 201)

    @guards.admin_only
    @takes_body(for_users)
    @also_answers(blp, 200, NOTHING)
    @answers(blp, 201, NOTHING, errors=(400, 401, 403, 413, 415, 422))
    @blp.arguments(BaseURIPutSchema)
    def put(self, given: dict[str, Any], base_uri: str, actor: Actor) -> Response:
        """Register a base URI, or replace the permissions on one: 201 if it is new, else 200.

        Of the two lists, one that is left out stays as it is, and so do `public`, `price_per_tb` and `currency`.

        What is in a public base URI can be found and read by whoever can reach the server, without a token.
        """
        is_new = base_uris.put_base_uri(base_uri, **_access(given), actor=actor)
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


@blp.route("/<base_uri:base_uri>/audience")
class Audience(MethodView):
    """Who may search, and register in, a base URI, and why."""

    @guards.admin_only
    @answers(blp, 200, AudienceSchema, errors=(401, 403, 404, 422))
    @blp.arguments(AudienceChangeSchema, location="query")
    def get(self, change: dict[str, Any], base_uri: str, actor: Actor) -> Response:
        """Look up who may search, and register in, a base URI, and why: granted directly, or to which groups.

        Also what would change if something were granted or revoked, or somebody were in another group; nothing is
        changed by that.
        """
        longer = f"{base_uri}/audience"
        if base_uris.is_registered(longer):  # the path is also that of a base URI whose name ends so
            return json_answer(base_uris.get_base_uri(longer))
        return json_answer(audience.audience_of(base_uri, audience.Change(**change)))


def _access(given: dict[str, Any]) -> dict[str, Any]:
    return {
        "searchers": given.get("users_with_search_permissions"),
        "registrants": given.get("users_with_register_permissions"),
        "public": given.get("public"),
        "price": {key: given[key] for key in ("price_per_tb", "currency") if key in given},
    }
