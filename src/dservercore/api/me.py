"""``/me``: the user who asks."""

from __future__ import annotations

from typing import Any, cast

from flask import Response
from flask.views import MethodView

from dservercore import db
from dservercore.auth import guards, permissions
from dservercore.catalog import summary, users
from dservercore.catalog.scope import GRANTS, Actor, Scope
from dservercore.rest.blueprint import Blueprint
from dservercore.rest.responses import answers, json_answer
from dservercore.rest.schemas import MeUpdateSchema, SummarySchema, UserObjectSchema

blp = Blueprint("me", __name__, url_prefix="/me", description="Yourself")


@blp.route("")
class Me(MethodView):
    """The user who asks."""

    @guards.signed_in
    @answers(blp, 200, UserObjectSchema, errors=(401, 422))
    def get(self, actor: Actor) -> Response:
        """Look up yourself and your permissions."""
        return json_answer(_with_all_permissions(users.get_user(cast(str, actor.username)), actor))

    @guards.in_person
    @answers(blp, 200, UserObjectSchema, errors=(400, 401, 403, 413, 415, 422))
    @blp.arguments(MeUpdateSchema)
    def patch(self, changes: dict[str, Any], actor: Actor) -> Response:
        """Change the name that you are shown under."""
        user = users.update_user(cast(str, actor.username), changes, actor=actor)
        db.commit()
        return json_answer(_with_all_permissions(user, actor))


def _with_all_permissions(user: dict[str, Any], actor: Actor) -> dict[str, Any]:
    """Return the user object of an actor with what groups are granted, too, as far as the token of the request goes."""
    user = permissions.as_allowed(user, actor)
    scopes = {kind: permissions.scope_of_user(user["username"], kind) for kind in GRANTS}
    return user | {f"{kind}_permissions_on_base_uris": list(scopes[kind].base_uris) for kind in GRANTS}


@blp.route("/summary")
class MySummary(MethodView):
    """Figures about what you may search."""

    @guards.with_scope("search")
    @answers(blp, 200, SummarySchema, errors=(401, 422))
    def get(self, search_scope: Scope, actor: Actor) -> Response:
        """Sum up the datasets that you may search."""
        return json_answer(summary.summarise(search_scope))
