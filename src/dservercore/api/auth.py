"""``/auth``: signing in with a password, for a token; and ``/me/password``.

Beside a token, a browser gets a session in a cookie, for which it is given a new token when the page is opened again.
"""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import Any

from flask import Response, current_app
from flask.views import MethodView
from flask_jwt_extended import create_access_token
from flask_jwt_extended.config import config as jwt_config

from dservercore import db
from dservercore.auth import guards, passwords, sign_in
from dservercore.catalog import sessions
from dservercore.catalog.scope import Actor
from dservercore.catalog.sessions import Session
from dservercore.errors import AuthenticationError
from dservercore.rest.blueprint import Blueprint
from dservercore.rest.errors import error_answer
from dservercore.rest.responses import NOTHING, answers, json_answer
from dservercore.rest.schemas import BearerTokenSchema, PasswordChangeSchema, SignInSchema

blp = Blueprint("auth", __name__, description="Signing in")

_NO_STORE = {"Cache-Control": "no-store"}


@blp.route("/auth/token")
class Token(MethodView):
    """A token for whoever signs in."""

    @guards.open_to_all
    @answers(blp, 200, BearerTokenSchema, errors=(401, 403, 422, 501), public=True)
    def get(self) -> Response:
        """Get a token for the session of this browser; 401 if it has none. No token needed.

        Pages of other sites get a 403, unless the server lists theirs.
        """
        sign_in.require_own_site()
        session = sign_in.current()
        if session is None:
            raise AuthenticationError("Nobody is signed in here")
        return _token_for(session) if _has_key() else _no_key()

    @guards.open_to_all
    @answers(blp, 200, BearerTokenSchema, errors=(400, 401, 403, 413, 415, 422, 429, 501, 503), public=True)
    @blp.arguments(SignInSchema)
    def post(self, given: dict[str, Any]) -> Response:
        """Sign in with a name and a password, and get a token; a browser gets a session, too. No token needed.

        A 401 does not tell whether there is such a user. After too many attempts the answer is a 429, whose
        ``Retry-After`` says after how many seconds there may be another one.
        """
        sign_in.require_own_site()
        if not _has_key():
            return _no_key()
        username, means = passwords.authenticate(given["username"], given["password"])
        secret = sign_in.begin(username, means)
        session = sessions.find(secret)
        assert session is not None  # it has begun in this transaction
        answer = sign_in.hand_out(_token_for(session), secret)
        db.commit()
        return answer


@blp.route("/auth/logout")
class Logout(MethodView):
    """The end of a session."""

    @guards.open_to_all
    @answers(blp, 200, NOTHING, errors=(403, 422), public=True)
    def post(self) -> Response:
        """End the session of this browser, if it has one, and the tokens that were made for it. No token needed."""
        sign_in.require_own_site()
        answer = sign_in.end_session(json_answer(""))
        db.commit()
        return answer


@blp.route("/me/password")
class MyPassword(MethodView):
    """The password of the user who asks."""

    @guards.in_person
    @answers(blp, 200, NOTHING, errors=(400, 401, 403, 409, 413, 415, 422, 429, 503))
    @blp.arguments(PasswordChangeSchema)
    def put(self, given: dict[str, Any], actor: Actor) -> Response:
        """Set your password. Your sessions end."""
        passwords.change(actor, given["old"], given["new"])
        db.commit()
        return json_answer("")


def _has_key() -> bool:
    return bool(current_app.config.get("JWT_PRIVATE_KEY"))


def _token_for(session: Session) -> Response:
    """Return the answer with a new token for a session, which ends with it."""
    longest, usual = current_app.config["DSERVER_MAX_TOKEN_LIFETIME"], jwt_config.access_expires
    lifetime = usual or False
    if longest:
        lifetime = min(usual or timedelta.max, timedelta(seconds=longest))
    token = create_access_token(
        session.username, expires_delta=lifetime, additional_claims={guards.SESSION_CLAIM: session.id}
    )
    return json_answer({"token": token}, headers=_NO_STORE)


def _no_key() -> Response:
    message = (
        "This server makes no tokens: it has no private key to sign them with (see `flask keys generate`)"
    )
    return error_answer(HTTPStatus.NOT_IMPLEMENTED, message)
