"""The routes below ``/graph`` that answer with a graph in other forms than a list of datasets."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask.views import MethodView
from marshmallow import fields
from marshmallow.validate import Range

from dservercore.auth import guards
from dservercore.catalog.scope import Actor, Scope
from dservercore.errors import UnknownURIError
from dservercore.plugins.graph import formats, service
from dservercore.plugins.graph.routes import (
    GRAPH_HEADERS,
    GraphOptionsSchema,
    GraphQueryStringSchema,
    blueprint,
    header_of,
)
from dservercore.rest.responses import answers

#: Datasets of a picture at most: to find places for more takes long, and nobody could read it.
MOST_DRAWN = 1000


class FormatOptionsSchema(GraphOptionsSchema):
    """Which part of a graph is wanted."""

    placeholders = fields.Boolean(
        load_default=False, metadata=GraphQueryStringSchema().fields["placeholders"].metadata
    )


class PictureOptionsSchema(FormatOptionsSchema):
    """Which part of a graph is to be drawn."""

    most = fields.Integer(
        load_default=MOST_DRAWN,
        validate=Range(1, MOST_DRAWN),
        metadata=GraphOptionsSchema().fields["most"].metadata,
    )


def _answers(name: str) -> Any:
    form = formats.FORMATS[name]
    return answers(
        blueprint,
        200,
        {"type": "object" if name == "prov" else "string"},
        errors=(401, 404, 422, 503),
        headers=GRAPH_HEADERS,
        content_type=form.media_type,
    )


@blueprint.route("/uuids/<uuid>/svg")
class Picture(MethodView):
    """A picture of a graph."""

    @guards.with_scope("search", visitors=True)
    @_answers("svg")
    @blueprint.arguments(PictureOptionsSchema, location="query")
    def get(self, options: dict[str, Any], uuid: str, search_scope: Scope, actor: Actor) -> Response:
        """Draw the datasets that one was made from or that were made of it, as SVG.

        What was there first is at the left. Datasets are links to their pages, where the server has pages. The picture
        is light or dark as its reader prefers.
        """
        return _answered("svg", options, uuid, search_scope)


@blueprint.route("/uuids/<uuid>/dot")
class Dot(MethodView):
    """A graph for Graphviz."""

    @guards.with_scope("search", visitors=True)
    @_answers("dot")
    @blueprint.arguments(FormatOptionsSchema, location="query")
    def get(self, options: dict[str, Any], uuid: str, search_scope: Scope, actor: Actor) -> Response:
        """Describe the datasets that one was made from or that were made of it in DOT, the language of Graphviz.

        `dot -Tpdf` makes a picture of it.
        """
        return _answered("dot", options, uuid, search_scope)


@blueprint.route("/uuids/<uuid>/prov")
class Prov(MethodView):
    """A graph as a W3C provenance document."""

    @guards.with_scope("search", visitors=True)
    @_answers("prov")
    @blueprint.arguments(FormatOptionsSchema, location="query")
    def get(self, options: dict[str, Any], uuid: str, search_scope: Scope, actor: Actor) -> Response:
        """Describe the datasets that one was made from or that were made of it in PROV-JSON.

        Each dataset is an entity, `urn:uuid:` and its UUID, generated when it was frozen, and derived from others. Of
        one that is not registered or not yours to search, there is the UUID alone.
        """
        return _answered("prov", options, uuid, search_scope)


def _answered(name: str, options: dict[str, Any], uuid: str, scope: Scope) -> Response:
    """Return an answer with the graph of a dataset.

    :raises UnknownURIError: where no copy of the dataset is in *scope*, whether or not there is one
    """
    wanted = {key: options[key] for key in ("direction", "depth", "most", "placeholders")}
    graph = service.connected(scope, uuid, **wanted)
    if graph.centre not in graph.nodes:
        raise UnknownURIError("No dataset that you may search has this UUID")
    return formats.answer(name, graph, header_of(graph.is_bounded, options))
