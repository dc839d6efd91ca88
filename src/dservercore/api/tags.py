"""``/tags``: the tags of a dataset."""

from __future__ import annotations

from flask import Response
from flask.views import MethodView

from dservercore import guards
from dservercore.api.answers import answers, json_answer
from dservercore.api.edits import STORAGE_HEADERS, edit_answer
from dservercore.blueprint import Blueprint
from dservercore.catalog import metadata
from dservercore.schemas import TagSchema
from dservercore.scope import Actor, Scope

blp = Blueprint("tags", __name__, url_prefix="/tags", description="Tags")


@blp.route("/<uri:uri>")
class Tags(MethodView):
    """All tags of a dataset."""

    @guards.with_scope("search")
    @answers(blp, 200, TagSchema)
    def get(self, uri: str, search_scope: Scope, actor: Actor) -> Response:
        """List a dataset's tags."""
        return json_answer({"tags": metadata.get_tags(search_scope, uri)})

    @guards.with_scope("register")
    @answers(blp, 200, TagSchema, errors=(400, 401, 403, 404, 413, 422), headers=STORAGE_HEADERS)
    @blp.arguments(TagSchema)
    def put(self, body: dict[str, list[str]], uri: str, register_scope: Scope, actor: Actor) -> Response:
        """Replace a dataset's tags, for which you need register permission."""
        return edit_answer(uri, "tags", metadata.replace_tags([register_scope], uri, body["tags"]))


@blp.route("/<uri:uri>/<tag>")
class Tag(MethodView):
    """One tag of a dataset. You need search and register permission."""

    @guards.with_scope("search", "register")
    @answers(blp, 200, TagSchema, headers=STORAGE_HEADERS)
    def post(self, uri: str, tag: str, search_scope: Scope, register_scope: Scope, actor: Actor) -> Response:
        """Add a tag to a dataset."""
        uri, tag = metadata.split_name(f"{uri}/{tag}")
        return edit_answer(uri, "tags", metadata.add_tag([search_scope, register_scope], uri, tag))

    @guards.with_scope("search", "register")
    @answers(blp, 200, TagSchema, headers=STORAGE_HEADERS)
    def delete(
        self, uri: str, tag: str, search_scope: Scope, register_scope: Scope, actor: Actor
    ) -> Response:
        """Remove a tag from a dataset."""
        uri, tag = metadata.split_name(f"{uri}/{tag}")
        return edit_answer(uri, "tags", metadata.remove_tag([search_scope, register_scope], uri, tag))
