"""``/me/searches``: searches that users name and keep."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask.views import MethodView

from dservercore import db
from dservercore.auth import guards
from dservercore.catalog import kept_searches
from dservercore.catalog.scope import Actor
from dservercore.rest.blueprint import Blueprint
from dservercore.rest.responses import NOTHING, answers, json_answer
from dservercore.rest.schemas import KeptSearchPostSchema, KeptSearchSchema, KeptSearchUpdateSchema

blp = Blueprint("searches", __name__, url_prefix="/me/searches", description="Searches that you keep")


@blp.route("")
class MySearches(MethodView):
    """The searches that the user who asks keeps."""

    @guards.in_person
    @answers(blp, 200, KeptSearchSchema, many=True, errors=(401, 403, 422))
    def get(self, actor: Actor) -> Response:
        """List the searches that you keep, by name."""
        return json_answer(kept_searches.list_searches(str(actor.username)))

    @guards.in_person
    @answers(blp, 201, KeptSearchSchema, errors=(400, 401, 403, 409, 413, 415, 422))
    @blp.arguments(KeptSearchPostSchema)
    def post(self, search: dict[str, Any], actor: Actor) -> Response:
        """Keep a search under a name. You can keep a hundred.

        `GET /uris?` with its `query` behind it asks for it again.
        """
        kept = kept_searches.keep(str(actor.username), search["name"], search["query"])
        db.commit()
        return json_answer(kept, 201)


@blp.route("/<int:search_id>")
class MySearch(MethodView):
    """A search that the user who asks keeps."""

    @guards.in_person
    @answers(blp, 200, KeptSearchSchema, errors=(400, 401, 403, 404, 409, 413, 415, 422))
    @blp.arguments(KeptSearchUpdateSchema)
    def patch(self, changes: dict[str, Any], search_id: int, actor: Actor) -> Response:
        """Rename a search that you keep, or have it ask for something else."""
        kept = kept_searches.change(str(actor.username), search_id, changes)
        db.commit()
        return json_answer(kept)

    @guards.in_person
    @answers(blp, 200, NOTHING, errors=(401, 403, 404, 422))
    def delete(self, search_id: int, actor: Actor) -> Response:
        """Keep a search no longer."""
        kept_searches.forget(str(actor.username), search_id)
        db.commit()
        return json_answer("")
