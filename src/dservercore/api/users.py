"""``/users``: registering users, and granting them permissions."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask.views import MethodView
from flask_smorest.pagination import PaginationParameters

from dservercore import db
from dservercore.auth import guards, permissions
from dservercore.catalog import audience, external_users, summary, users
from dservercore.catalog.scope import Actor, Grant
from dservercore.errors import AuthorizationError
from dservercore.rest.blueprint import Blueprint
from dservercore.rest.paging import listing, page_answer, slice_of
from dservercore.rest.responses import NOTHING, also_answers, answers, json_answer
from dservercore.rest.schemas import (
    ContainingSchema,
    IdentitySchema,
    SummarySchema,
    UserChangeSchema,
    UserObjectSchema,
    UserPatchSchema,
    UserPermissionsSchema,
    UserPutSchema,
)
from dservercore.rest.sort import SortParameters

blp = Blueprint("users", __name__, url_prefix="/users", description="Users and their permissions")


@blp.route("")
class Users(MethodView):
    """All users."""

    @guards.admin_only
    @answers(blp, 200, UserObjectSchema, many=True, errors=(401, 403, 404, 422))
    @listing(blp, sort="+username", allowed_sort_fields=["username", "is_admin"])
    @blp.arguments(ContainingSchema, location="query")
    def get(
        self,
        wanted: dict[str, Any],
        pagination_parameters: PaginationParameters,
        sort_parameters: SortParameters,
        actor: Actor,
    ) -> Response:
        """List the users, or those who have a text in a name of theirs (administrators only)."""
        found = users.list_users(sort_parameters.order, slice_of(pagination_parameters), **wanted)
        return page_answer(found, pagination_parameters)


@blp.route("/<username>")
class User(MethodView):
    """One user."""

    @guards.self_or_admin
    @answers(blp, 200, UserObjectSchema, errors=(401, 403, 404, 422))
    def get(self, username: str, actor: Actor) -> Response:
        """Look up a user: yourself, or anybody if you are an administrator."""
        return json_answer(permissions.as_allowed(users.get_user(username), actor))

    @guards.admin_only
    @also_answers(blp, 200, NOTHING)
    @answers(blp, 201, NOTHING, errors=(400, 401, 403, 409, 413, 415, 422))
    @blp.arguments(UserPutSchema)
    def put(self, properties: dict[str, Any], username: str, actor: Actor) -> Response:
        """Register a user, or set the properties of one (administrators only): 201 if the user is new, else 200.

        Permissions stay as they are.
        """
        is_new = users.put_user(username, properties, actor=actor)
        db.commit()
        return json_answer("", 201 if is_new else 200)

    @guards.admin_only
    @answers(blp, 200, UserObjectSchema, errors=(400, 401, 403, 404, 409, 413, 415, 422))
    @blp.arguments(UserPatchSchema)
    def patch(self, changes: dict[str, Any], username: str, actor: Actor) -> Response:
        """Change some properties of a user (administrators only)."""
        user = users.update_user(username, changes, actor=actor)
        db.commit()
        return json_answer(user)

    @guards.admin_only
    @answers(blp, 200, NOTHING, errors=(401, 403, 409, 422))
    def delete(self, username: str, actor: Actor) -> Response:
        """Remove a user with all permissions (administrators only); datasets stay. The user's tokens end at once."""
        users.delete_user(username, actor=actor)
        db.commit()
        return json_answer("")


@blp.route("/<username>/permissions")
class UserPermissions(MethodView):
    """What a user may do where, and why."""

    @guards.self_or_admin
    @answers(blp, 200, UserPermissionsSchema, errors=(401, 403, 404, 422))
    @blp.arguments(UserChangeSchema, location="query")
    def get(self, change: dict[str, Any], username: str, actor: Actor) -> Response:
        """Look up what a user may search and register in, and why: granted directly, or to which groups.

        Administrators may ask what would change if something were granted, revoked, or the user were in other groups;
        nothing is changed by that.
        """
        if change and not actor.is_admin:
            raise AuthorizationError("Only an administrator may ask what would change")
        found = audience.permissions_of(username, audience.Change(**change))
        return json_answer(permissions.reasons_as_allowed(found, actor))


@blp.route("/<username>/identity")
class UserIdentity(MethodView):
    """How a user is known to be who they are."""

    @guards.admin_only
    @answers(blp, 200, IdentitySchema, errors=(401, 403, 404, 422))
    def get(self, username: str, actor: Actor) -> Response:
        """Look up how a user signs in: with a password of this server, or by whom (administrators only)."""
        return json_answer(external_users.identity_of(username))


@blp.route("/<username>/summary")
class UserSummary(MethodView):
    """Figures about what a user may search."""

    @guards.self_or_admin
    @answers(blp, 200, SummarySchema, errors=(401, 403, 404, 422))
    def get(self, username: str, actor: Actor) -> Response:
        """Sum up the datasets that a user may search."""
        return json_answer(summary.summarise(permissions.scope_of_user(username)))


@blp.route("/<username>/search/<base_uri:base_uri>")
class SearchPermission(MethodView):
    """A user's permission to search a base URI."""

    @guards.admin_only
    @answers(blp, 200, UserObjectSchema, errors=(401, 403, 404, 409, 422))
    def post(self, username: str, base_uri: str, actor: Actor) -> Response:
        """Let a user search a base URI (administrators only)."""
        return _granted("search", username, base_uri, actor)

    @guards.admin_only
    @answers(blp, 200, UserObjectSchema, errors=(401, 403, 404, 422))
    def delete(self, username: str, base_uri: str, actor: Actor) -> Response:
        """No longer let a user search a base URI (administrators only)."""
        return _revoked("search", username, base_uri, actor)


@blp.route("/<username>/register/<base_uri:base_uri>")
class RegisterPermission(MethodView):
    """A user's permission to register datasets in a base URI."""

    @guards.admin_only
    @answers(blp, 200, UserObjectSchema, errors=(401, 403, 404, 409, 422))
    def post(self, username: str, base_uri: str, actor: Actor) -> Response:
        """Let a user register datasets in a base URI (administrators only)."""
        return _granted("register", username, base_uri, actor)

    @guards.admin_only
    @answers(blp, 200, UserObjectSchema, errors=(401, 403, 404, 422))
    def delete(self, username: str, base_uri: str, actor: Actor) -> Response:
        """No longer let a user register datasets in a base URI (administrators only)."""
        return _revoked("register", username, base_uri, actor)


def _granted(kind: Grant, username: str, base_uri: str, actor: Actor) -> Response:
    user = users.grant(kind, username, base_uri, actor=actor)
    db.commit()
    return json_answer(user)


def _revoked(kind: Grant, username: str, base_uri: str, actor: Actor) -> Response:
    user = users.revoke(kind, username, base_uri, actor=actor)
    db.commit()
    return json_answer(user)
