"""``/readmes``: what a dataset's README says."""

from __future__ import annotations

from flask import Response
from flask.views import MethodView

from dservercore.api.edits import EDITING_BY_BODY, edit_answer
from dservercore.auth import guards
from dservercore.catalog import metadata
from dservercore.catalog.scope import Actor, Scope
from dservercore.rest.blueprint import Blueprint
from dservercore.rest.body_limits import for_readme, takes_body
from dservercore.rest.etags import READING, condition_on, value_answer
from dservercore.rest.responses import answers
from dservercore.rest.schemas import ReadmeRequestSchema, ReadmeSchema

blp = Blueprint("readmes", __name__, url_prefix="/readmes", description="READMEs")


@blp.route("/<uri:uri>")
class Readme(MethodView):
    """The README of a dataset."""

    @guards.with_scope("search", visitors=True)
    @answers(blp, 200, ReadmeSchema, **READING)
    def get(self, uri: str, search_scope: Scope, actor: Actor) -> Response:
        """Read a dataset's README."""
        return value_answer({"readme": metadata.get_readme(search_scope, uri)})

    @guards.with_scope("search", "register")
    @takes_body(for_readme)
    @answers(blp, 200, ReadmeSchema, **EDITING_BY_BODY)
    @blp.arguments(ReadmeRequestSchema)
    def put(
        self, body: dict[str, str], uri: str, search_scope: Scope, register_scope: Scope, actor: Actor
    ) -> Response:
        """Replace a dataset's README, for which you need search and register permission.

        `X-Storage-Updated` in the answer says whether the dataset in its storage was updated too.
        """
        scopes = [search_scope, register_scope]
        readme = metadata.replace_readme(scopes, uri, body["readme"], condition_on("readme"))
        return edit_answer(uri, "readme", readme)
