"""``/me/sessions`` and ``/users/<username>/sessions``: the browsers in which somebody has signed in."""

from __future__ import annotations

from flask import Response
from flask.views import MethodView

from dservercore import db
from dservercore.auth import guards, sign_in
from dservercore.catalog import sessions
from dservercore.catalog.scope import Actor
from dservercore.rest.blueprint import Blueprint
from dservercore.rest.responses import NOTHING, answers, json_answer
from dservercore.rest.schemas import SessionSchema

blp = Blueprint("sessions", __name__, description="Browsers in which somebody has signed in")


@blp.route("/me/sessions")
class MySessions(MethodView):
    """Your sessions."""

    @guards.in_person
    @answers(blp, 200, SessionSchema, many=True, errors=(401, 403, 422))
    def get(self, actor: Actor) -> Response:
        """List your sessions, at most a hundred, the newest first."""
        return json_answer(sessions.list_of(str(actor.username), sign_in.limits()))

    @guards.in_person
    @answers(blp, 200, NOTHING, errors=(401, 403, 422))
    def delete(self, actor: Actor) -> Response:
        """End all your sessions."""
        return _all_ended(str(actor.username), actor)


@blp.route("/me/sessions/<int:session>")
class MySession(MethodView):
    """One of your sessions."""

    @guards.in_person
    @answers(blp, 200, NOTHING, errors=(401, 403, 422))
    def delete(self, session: int, actor: Actor) -> Response:
        """End a session of yours. It is no error if there is none of that number."""
        return _ended(str(actor.username), session, actor)


@blp.route("/users/<username>/sessions")
class UserSessions(MethodView):
    """The sessions of a user."""

    @guards.admin_only
    @answers(blp, 200, SessionSchema, many=True, errors=(401, 403, 404, 422))
    def get(self, username: str, actor: Actor) -> Response:
        """List the sessions of a user, at most a hundred, the newest first (administrators only)."""
        return json_answer(sessions.list_of(username, sign_in.limits()))

    @guards.admin_only
    @answers(blp, 200, NOTHING, errors=(401, 403, 404, 422))
    def delete(self, username: str, actor: Actor) -> Response:
        """End all sessions of a user (administrators only)."""
        return _all_ended(username, actor)


@blp.route("/users/<username>/sessions/<int:session>")
class UserSession(MethodView):
    """One session of a user."""

    @guards.admin_only
    @answers(blp, 200, NOTHING, errors=(401, 403, 404, 422))
    def delete(self, username: str, session: int, actor: Actor) -> Response:
        """End a session of a user (administrators only). It is no error if there is none of that number."""
        return _ended(username, session, actor)


def _ended(username: str, session_id: int, actor: Actor) -> Response:
    sessions.end_of(username, session_id, actor=actor)
    db.commit()
    return json_answer("")


def _all_ended(username: str, actor: Actor) -> Response:
    sessions.end_all_of(username, actor=actor)
    db.commit()
    return json_answer("")
