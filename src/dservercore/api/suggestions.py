"""``/suggest``: what somebody may be about to type into a search box."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask.views import MethodView

from dservercore.auth import guards
from dservercore.catalog import suggestions
from dservercore.catalog.scope import Actor, Scope
from dservercore.rest.blueprint import Blueprint
from dservercore.rest.responses import answers, json_answer
from dservercore.rest.schemas import SuggestionSchema, SuggestQuerySchema

blp = Blueprint("suggest", __name__, url_prefix="/suggest", description="Completions of what is typed")


@blp.route("")
class Suggestions(MethodView):
    """Words, names, tags and creators that begin with what is typed."""

    @guards.with_scope("search", visitors=True)
    @answers(blp, 200, SuggestionSchema, many=True, errors=(401, 422))
    @blp.arguments(SuggestQuerySchema, location="query")
    def get(self, query: dict[str, Any], search_scope: Scope, actor: Actor) -> Response:
        """Complete what is typed by words, names, tags and creators of datasets that you may search.

        Each finds something. A blank text is answered with nothing.
        """
        return json_answer(suggestions.suggest(search_scope, query.get("q", ""), query["limit"]))
