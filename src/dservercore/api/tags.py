"""``/tags``: the tags of a dataset."""

from __future__ import annotations

from flask import Response
from flask.views import MethodView

from dservercore.api.edits import EDITING, EDITING_BY_BODY, edit_answer
from dservercore.auth import guards
from dservercore.catalog import metadata
from dservercore.catalog.scope import Actor, Scope
from dservercore.rest.blueprint import Blueprint
from dservercore.rest.body_limits import for_tags, takes_body
from dservercore.rest.etags import READING, condition_on, value_answer
from dservercore.rest.responses import answers
from dservercore.rest.schemas import TagPutSchema, TagSchema

blp = Blueprint("tags", __name__, url_prefix="/tags", description="Tags")


@blp.route("/<uri:uri>")
class Tags(MethodView):
    """All tags of a dataset."""

    @guards.with_scope("search", visitors=True)
    @answers(blp, 200, TagSchema, **READING)
    def get(self, uri: str, search_scope: Scope, actor: Actor) -> Response:
        """List a dataset's tags."""
        return value_answer({"tags": metadata.get_tags(search_scope, uri)})

    @guards.with_scope("search", "register")
    @takes_body(for_tags)
    @answers(blp, 200, TagSchema, **EDITING_BY_BODY)
    @blp.arguments(TagPutSchema)
    def put(
        self, body: dict[str, list[str]], uri: str, search_scope: Scope, register_scope: Scope, actor: Actor
    ) -> Response:
        """Replace a dataset's tags, for which you need register permission; with `If-Match`, search permission too."""
        condition = condition_on("tags")
        scopes = [search_scope, register_scope] if condition else [register_scope]
        return edit_answer(uri, "tags", metadata.replace_tags(scopes, uri, body["tags"], condition))


@blp.route("/<uri:uri>/<tag>")
class Tag(MethodView):
    """One tag of a dataset. You need search and register permission."""

    @guards.with_scope("search", "register")
    @answers(blp, 200, TagSchema, **EDITING)
    def post(self, uri: str, tag: str, search_scope: Scope, register_scope: Scope, actor: Actor) -> Response:
        """Add a tag to a dataset."""
        scopes = [search_scope, register_scope]
        uri, tag = metadata.split_name(scopes, f"{uri}/{tag}")
        tags = metadata.add_tag(scopes, uri, tag, condition_on("tags"))
        return edit_answer(uri, "tags", tags)

    @guards.with_scope("search", "register")
    @answers(blp, 200, TagSchema, **EDITING)
    def delete(
        self, uri: str, tag: str, search_scope: Scope, register_scope: Scope, actor: Actor
    ) -> Response:
        """Remove a tag from a dataset."""
        scopes = [search_scope, register_scope]
        uri, tag = metadata.split_name(scopes, f"{uri}/{tag}")
        tags = metadata.remove_tag(scopes, uri, tag, condition_on("tags"))
        return edit_answer(uri, "tags", tags)
