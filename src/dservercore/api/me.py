"""``/me``: the user who asks."""

from __future__ import annotations

from typing import Any, cast

from flask import Response
from flask.views import MethodView

from dservercore import db, guards
from dservercore.api.answers import answers, json_answer
from dservercore.blueprint import Blueprint
from dservercore.catalog import summary, users
from dservercore.schemas import MeUpdateSchema, SummarySchema, UserObjectSchema
from dservercore.scope import Actor, Scope

blp = Blueprint("me", __name__, url_prefix="/me", description="Yourself")


@blp.route("")
class Me(MethodView):
    """The user who asks."""

    @guards.signed_in
    @answers(blp, 200, UserObjectSchema, errors=(401, 422))
    def get(self, actor: Actor) -> Response:
        """Look up yourself and your permissions."""
        return json_answer(users.get_user(cast(str, actor.username)))

    @guards.signed_in
    @answers(blp, 200, UserObjectSchema, errors=(400, 401, 413, 422))
    @blp.arguments(MeUpdateSchema)
    def patch(self, changes: dict[str, Any], actor: Actor) -> Response:
        """Change the name that you are shown under."""
        user = users.update_user(cast(str, actor.username), changes, actor=actor)
        db.commit()
        return json_answer(user)


@blp.route("/summary")
class MySummary(MethodView):
    """Figures about what you may search."""

    @guards.with_scope("search")
    @answers(blp, 200, SummarySchema, errors=(401, 422))
    def get(self, search_scope: Scope, actor: Actor) -> Response:
        """Sum up the datasets that you may search."""
        return json_answer(summary.summarise(search_scope))
