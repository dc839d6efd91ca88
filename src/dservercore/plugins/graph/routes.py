"""The routes below ``/graph``."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from flask import Response
from flask.views import MethodView
from flask_smorest.pagination import PaginationParameters
from marshmallow import fields
from marshmallow.validate import OneOf, Range

from dservercore.auth import guards
from dservercore.catalog.scope import Actor, Scope
from dservercore.plugins.graph import service
from dservercore.plugins.graph.keys import LONGEST_KEY, MOST_KEYS, why_no_key
from dservercore.plugins.graph.walk import DIRECTIONS
from dservercore.rest.blueprint import Blueprint
from dservercore.rest.fields import StringList
from dservercore.rest.paging import slice_of
from dservercore.rest.responses import answers, ascii_json, json_answer
from dservercore.rest.schemas import DatasetObjectSchema

blueprint = Blueprint("graph", __name__, url_prefix="/graph", description="Provenance graph")

#: The header that says where an answer ends, though there is more: JSON with ``most`` and ``depth``.
X_GRAPH = "X-Graph"


def _described(text: str) -> dict[str, Any]:
    return {"description": text}


class GraphOptionsSchema(ma.Schema):
    """Which part of a graph is wanted."""

    direction = fields.String(
        load_default="both",
        validate=OneOf(DIRECTIONS),
        metadata=_described(
            "`ancestors`: what it was made from; `descendants`: what was made of it; `both`: either, at each step"
        ),
    )
    depth = fields.Integer(
        load_default=None,
        validate=Range(0, service.MOST_NODES),
        metadata=_described("Steps to walk at most; any number, unless given"),
    )
    most = fields.Integer(
        load_default=service.USUAL_NODES,
        validate=Range(1, service.MOST_NODES),
        metadata=_described("Datasets at most, the nearest first"),
    )


class GraphQueryStringSchema(GraphOptionsSchema):
    """Which part of a graph is wanted, and in which form."""

    placeholders = fields.Boolean(
        load_default=False,
        metadata=_described(
            "Also list what datasets name, and what is not registered or not yours to search"
        ),
    )
    sort = fields.String(metadata=_described("Has no effect: the list is by UUID"))


class DependencyKeysSchema(ma.Schema):
    """Where READMEs and annotations name the datasets that a dataset was made from."""

    dependency_keys = StringList(
        longest=LONGEST_KEY,
        required=True,
        metadata=_described("Keys such as `readme.derived_from.uuid` or `annotations.source_dataset_uuid`"),
    )

    @ma.validates("dependency_keys")
    def _check(self, keys: list[str], **_given: Any) -> None:
        if not 0 < len(keys) <= MOST_KEYS:
            raise ma.ValidationError(f"Must have 1 to {MOST_KEYS} keys.")
        wrong = {number: [reason] for number, key in enumerate(keys) if (reason := why_no_key(key))}
        if wrong:
            raise ma.ValidationError(wrong)  # by position, as those of a list
        if len(set(keys)) < len(keys):
            raise ma.ValidationError("A key is given twice.")


class ConnectedDatasetSchema(DatasetObjectSchema):
    """A dataset of a graph; of a placeholder, there are `uuid`, `derived_from` and `placeholder` alone."""

    type = fields.String(metadata=_described("`dataset`"))
    tags = fields.List(fields.String())
    derived_from = fields.List(
        fields.String(), metadata=_described("UUIDs of the datasets that it was made from, sorted")
    )
    placeholder = fields.Boolean(
        metadata=_described("True: a dataset that another one names, and that is not registered or not yours")
    )


class EndsSchema(ma.Schema):
    """Where an answer ends: content of the header `X-Graph`."""

    most = fields.Integer(metadata=_described("Datasets at most"))
    depth = fields.Integer(allow_none=True, metadata=_described("Steps at most; null: any number"))


#: That header, for the OpenAPI document.
GRAPH_HEADERS = {
    X_GRAPH: {
        "description": "Where the answer ends, as JSON; absent where there is no more",
        "schema": EndsSchema,
    }
}


def header_of(is_bounded: bool, options: dict[str, Any]) -> dict[str, str]:
    """Return the header that says that there is more than was asked for, if there is.

    :param options: what :class:`GraphOptionsSchema` has loaded
    """
    return {X_GRAPH: ascii_json({key: options[key] for key in ("most", "depth")})} if is_bounded else {}


@blueprint.route("/uuids/<uuid>")
class Connected(MethodView):
    """The datasets that are connected with one."""

    @guards.with_scope("search", visitors=True)
    @answers(blueprint, 200, ConnectedDatasetSchema, many=True, errors=(401, 422), headers=GRAPH_HEADERS)
    @blueprint.arguments(GraphQueryStringSchema, location="query")
    @blueprint.paginate()
    def get(self, options: dict[str, Any], uuid: str, **given: Any) -> Response:
        """List the datasets that one was made from or that were made of it, by any number of steps.

        They are those that you may search, the dataset itself among them, each UUID once, by UUID; none where you may
        not search the dataset. `derived_from` has every UUID that the dataset names.
        """
        return _connected(uuid, options, None, **given)

    @guards.with_scope("search", visitors=True)
    @answers(
        blueprint,
        200,
        ConnectedDatasetSchema,
        many=True,
        errors=(400, 401, 413, 415, 422),
        headers=GRAPH_HEADERS,
    )
    @blueprint.arguments(GraphQueryStringSchema, location="query")
    @blueprint.arguments(DependencyKeysSchema)
    @blueprint.paginate()
    def post(self, options: dict[str, Any], body: dict[str, Any], uuid: str, **given: Any) -> Response:
        """List the datasets that are connected with one, by dependency keys of your own.

        The server may be configured to take no such keys: then it uses its own. A key that does not begin with
        `readme.` or `annotations.` connects nothing.
        """
        return _connected(uuid, options, body["dependency_keys"], **given)


def _connected(
    uuid: str,
    options: dict[str, Any],
    keys: list[str] | None,
    pagination_parameters: PaginationParameters,
    search_scope: Scope,
    actor: Actor,
) -> Response:
    wanted = {name: options[name] for name in ("direction", "depth", "most", "placeholders")}
    page = service.connected_page(search_scope, uuid, slice_of(pagination_parameters), keys=keys, **wanted)
    pagination_parameters.item_count = page.total
    return json_answer(page.datasets, headers=header_of(page.is_bounded, options))
