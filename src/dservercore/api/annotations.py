"""``/annotations``: the annotations of a dataset.

``PUT /annotations/<uri>`` and ``PUT /annotations/<uri>/<name>`` look the same to a router, because a URI has
slashes too. The body tells them apart: ``annotations`` replaces all of them, ``value`` sets one.
"""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from flask import Response
from flask.views import MethodView

from dservercore.api.edits import EDITING, EDITING_BY_BODY, edit_answer
from dservercore.auth import guards
from dservercore.catalog import metadata
from dservercore.catalog.scope import Actor, Scope
from dservercore.errors import invalid
from dservercore.rest.blueprint import Blueprint
from dservercore.rest.body_limits import for_annotations, takes_body
from dservercore.rest.etags import READING, condition_on, value_answer
from dservercore.rest.fields import JSONObject, JSONValue
from dservercore.rest.responses import answers
from dservercore.rest.schemas import AnnotationSchema

blp = Blueprint("annotations", __name__, url_prefix="/annotations", description="Annotations")


class AnnotationPutSchema(ma.Schema):
    """Either `annotations`, all of them by name, or the `value` of the one that the path ends in."""

    annotations = JSONObject(metadata={"description": "Replaces all annotations"})
    value = JSONValue(allow_none=True, metadata={"description": "Sets one annotation"})

    @ma.validates_schema
    def _one_of_them(self, body: dict[str, Any], **_options: Any) -> None:
        if len(body) > 1:
            raise ma.ValidationError("Give either annotations or value.")


@blp.route("/<uri:uri>")
class Annotations(MethodView):
    """All annotations of a dataset."""

    @guards.with_scope("search", visitors=True)
    @answers(blp, 200, AnnotationSchema, **READING)
    def get(self, uri: str, search_scope: Scope, actor: Actor) -> Response:
        """Read a dataset's annotations."""
        return value_answer({"annotations": metadata.get_annotations(search_scope, uri)})

    @guards.with_scope("search", "register")
    @takes_body(for_annotations)
    @answers(blp, 200, AnnotationSchema, **EDITING_BY_BODY)
    @blp.arguments(AnnotationPutSchema)
    def put(
        self, body: dict[str, Any], uri: str, search_scope: Scope, register_scope: Scope, actor: Actor
    ) -> Response:
        """Replace all of a dataset's annotations, for which you need register permission.

        With `If-Match`, you need search permission too.
        """
        return _put(uri, body, search_scope, register_scope)


@blp.route("/<uri:uri>/<name>")
class Annotation(MethodView):
    """One annotation of a dataset. You need search and register permission."""

    @guards.with_scope("search", "register")
    @takes_body(for_annotations)
    @answers(blp, 200, AnnotationSchema, **EDITING_BY_BODY)
    @blp.arguments(AnnotationPutSchema)
    def put(
        self,
        body: dict[str, Any],
        uri: str,
        name: str,
        search_scope: Scope,
        register_scope: Scope,
        actor: Actor,
    ) -> Response:
        """Set one annotation of a dataset."""
        return _put(f"{uri}/{name}", body, search_scope, register_scope)

    @guards.with_scope("search", "register")
    @answers(blp, 200, AnnotationSchema, **EDITING)
    def delete(
        self, uri: str, name: str, search_scope: Scope, register_scope: Scope, actor: Actor
    ) -> Response:
        """Remove one annotation of a dataset."""
        scopes = [search_scope, register_scope]
        uri, name = metadata.split_name(scopes, f"{uri}/{name}")
        remaining = metadata.delete_annotation(scopes, uri, name, condition_on("annotations"))
        return edit_answer(uri, "annotations", remaining)


def _put(path: str, body: dict[str, Any], search_scope: Scope, register_scope: Scope) -> Response:
    """Replace all annotations of the dataset *path*, or set the one whose name is the end of *path*."""
    condition = condition_on("annotations")
    scopes = [search_scope, register_scope]
    if not body:
        missing = "annotations" if metadata.is_registered(path, register_scope) else "value"
        raise invalid(missing, "missing from the body")
    if "annotations" in body:
        needed = scopes if condition else [register_scope]
        replaced = metadata.replace_annotations(needed, path, body["annotations"], condition)
        return edit_answer(path, "annotations", replaced)
    uri, name = metadata.split_name(scopes, path)
    edited = metadata.set_annotation(scopes, uri, name, body["value"], condition)
    return edit_answer(uri, "annotations", edited)
