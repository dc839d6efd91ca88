"""``/me/tokens`` and ``/users/<u>/tokens``: tokens that users make for their programs."""

from __future__ import annotations

from typing import Any, cast

from flask import Response, current_app
from flask.views import MethodView

from dservercore import db
from dservercore.auth import guards, permissions
from dservercore.catalog import personal_tokens
from dservercore.catalog.personal_tokens import Wish
from dservercore.catalog.scope import Actor
from dservercore.rest.blueprint import Blueprint
from dservercore.rest.responses import NOTHING, answers, json_answer
from dservercore.rest.schemas import NewTokenSchema, RevocationSchema, TokenPostSchema, TokenSchema

blp = Blueprint("tokens", __name__, description="Tokens for programs")


@blp.route("/me/tokens")
class MyTokens(MethodView):
    """The tokens of the user who asks."""

    @guards.in_person
    @answers(blp, 200, TokenSchema, many=True, errors=(401, 403, 422))
    def get(self, actor: Actor) -> Response:
        """List the tokens that you have made for programs, when each was last used, and what it may do."""
        return json_answer(personal_tokens.list_tokens(_name_of(actor)))

    @guards.in_person
    @answers(blp, 201, NewTokenSchema, errors=(400, 401, 403, 409, 413, 415, 422))
    @blp.arguments(TokenPostSchema)
    def post(self, wish: dict[str, Any], actor: Actor) -> Response:
        """Make a token for a program, which may never do more than you may at the moment. It is told only now."""
        return _made(_name_of(actor), wish, actor)

    @guards.in_person
    @answers(blp, 200, RevocationSchema, errors=(401, 403, 422))
    def delete(self, actor: Actor) -> Response:
        """End everything that you could be known by: your sessions, and all of your tokens, of whatever kind.

        The token of this request is among them.
        """
        return _revoked(_name_of(actor), actor)


@blp.route("/me/tokens/<int:token_id>")
class MyToken(MethodView):
    """A token of the user who asks."""

    @guards.in_person
    @answers(blp, 200, NOTHING, errors=(401, 403, 404, 422))
    def delete(self, token_id: int, actor: Actor) -> Response:
        """End a token of yours, at once."""
        return _deleted(_name_of(actor), token_id, actor)


@blp.route("/users/<username>/tokens")
class UserTokens(MethodView):
    """The tokens of a user."""

    @guards.admin_in_person
    @answers(blp, 200, TokenSchema, many=True, errors=(401, 403, 404, 422))
    def get(self, username: str, actor: Actor) -> Response:
        """List the tokens that a user has for programs (administrators only)."""
        return json_answer(personal_tokens.list_tokens(username))

    @guards.admin_in_person
    @answers(blp, 201, NewTokenSchema, errors=(400, 401, 403, 404, 409, 413, 415, 422))
    @blp.arguments(TokenPostSchema)
    def post(self, wish: dict[str, Any], username: str, actor: Actor) -> Response:
        """Make a token for a service account (administrators only); 409 for a person, who does that without help."""
        return _made(username, wish, actor)

    @guards.admin_in_person
    @answers(blp, 200, RevocationSchema, errors=(401, 403, 404, 422))
    def delete(self, username: str, actor: Actor) -> Response:
        """End all tokens of a user, of whatever kind, and the sessions (administrators only)."""
        return _revoked(username, actor)


@blp.route("/users/<username>/tokens/<int:token_id>")
class UserToken(MethodView):
    """A token of a user."""

    @guards.admin_in_person
    @answers(blp, 200, NOTHING, errors=(401, 403, 404, 422))
    def delete(self, username: str, token_id: int, actor: Actor) -> Response:
        """End a token of a user, at once (administrators only)."""
        return _deleted(username, token_id, actor)


def _name_of(actor: Actor) -> str:
    return cast(str, actor.username)


def _made(username: str, wish: dict[str, Any], actor: Actor) -> Response:
    lifetime = personal_tokens.lifetime_of(wish, current_app.config["DSERVER_MAX_TOKEN_LIFETIME"])
    wanted = Wish(wish["name"], lifetime, wish["may"], wish.get("base_uris"))
    usable = permissions.usable_base_uris(username, wanted.may)
    made = personal_tokens.create_token(username, wanted, usable, actor=actor)
    db.commit()
    return json_answer(made, 201)


def _deleted(username: str, token_id: int, actor: Actor) -> Response:
    personal_tokens.delete_token(username, token_id, actor=actor)
    db.commit()
    return json_answer("")


def _revoked(username: str, actor: Actor) -> Response:
    revocation = personal_tokens.revoke_all(username, actor=actor)
    db.commit()
    revocation.wait()
    return json_answer(revocation.numbers)
