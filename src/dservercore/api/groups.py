"""``/groups``: users who are granted the same together (administrators only)."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask.views import MethodView
from flask_smorest.pagination import PaginationParameters

from dservercore import db
from dservercore.auth import guards
from dservercore.catalog import groups
from dservercore.catalog.scope import Actor, Grant
from dservercore.rest.blueprint import Blueprint
from dservercore.rest.paging import listing, page_answer, slice_of
from dservercore.rest.responses import NOTHING, also_answers, answers, json_answer
from dservercore.rest.schemas import ContainingSchema, GroupObjectSchema
from dservercore.rest.sort import SortParameters

blp = Blueprint("groups", __name__, url_prefix="/groups", description="Groups of users and their permissions")


@blp.route("")
class Groups(MethodView):
    """All groups."""

    @guards.admin_only
    @answers(blp, 200, GroupObjectSchema, many=True, errors=(401, 403, 404, 422))
    @listing(blp, sort="+group", allowed_sort_fields=["group"])
    @blp.arguments(ContainingSchema, location="query")
    def get(
        self,
        wanted: dict[str, Any],
        pagination_parameters: PaginationParameters,
        sort_parameters: SortParameters,
        actor: Actor,
    ) -> Response:
        """List the groups, or those with a text in their name: their members, and what they are granted."""
        found = groups.list_groups(sort_parameters.order, slice_of(pagination_parameters), **wanted)
        return page_answer(found, pagination_parameters)


@blp.route("/<group>")
class Group(MethodView):
    """One group."""

    @guards.admin_only
    @answers(blp, 200, GroupObjectSchema, errors=(401, 403, 404, 422))
    def get(self, group: str, actor: Actor) -> Response:
        """Look up a group, its members, and what they are granted."""
        return json_answer(groups.get_group(group))

    @guards.admin_only
    @also_answers(blp, 200, NOTHING)
    @answers(blp, 201, NOTHING, errors=(401, 403, 422))
    def put(self, group: str, actor: Actor) -> Response:
        """Make a group: 201 if it is new, else 200. Members and permissions stay as they are."""
        is_new = groups.put_group(group, actor=actor)
        db.commit()
        return json_answer("", 201 if is_new else 200)

    @guards.admin_only
    @answers(blp, 200, NOTHING, errors=(401, 403, 422))
    def delete(self, group: str, actor: Actor) -> Response:
        """Remove a group. Its members lose at once what only it granted them."""
        groups.delete_group(group, actor=actor)
        db.commit()
        return json_answer("")


@blp.route("/<group>/members/<username>")
class Member(MethodView):
    """A user's membership in a group."""

    @guards.admin_only
    @also_answers(blp, 200, NOTHING)
    @answers(blp, 201, NOTHING, errors=(401, 403, 404, 422))
    def put(self, group: str, username: str, actor: Actor) -> Response:
        """Make a user a member: 201 if the user was none, else 200."""
        is_new = groups.add_member(group, username, actor=actor)
        db.commit()
        return json_answer("", 201 if is_new else 200)

    @guards.admin_only
    @answers(blp, 200, NOTHING, errors=(401, 403, 404, 422))
    def delete(self, group: str, username: str, actor: Actor) -> Response:
        """Make a user a member no longer."""
        groups.remove_member(group, username, actor=actor)
        db.commit()
        return json_answer("")


@blp.route("/<group>/search/<base_uri:base_uri>")
class SearchPermission(MethodView):
    """A group's permission to search a base URI."""

    @guards.admin_only
    @answers(blp, 200, GroupObjectSchema, errors=(401, 403, 404, 409, 422))
    def post(self, group: str, base_uri: str, actor: Actor) -> Response:
        """Let the members of a group search a base URI."""
        return _granted("search", group, base_uri, actor)

    @guards.admin_only
    @answers(blp, 200, GroupObjectSchema, errors=(401, 403, 404, 422))
    def delete(self, group: str, base_uri: str, actor: Actor) -> Response:
        """No longer let the members of a group search a base URI, unless something else lets them."""
        return _revoked("search", group, base_uri, actor)


@blp.route("/<group>/register/<base_uri:base_uri>")
class RegisterPermission(MethodView):
    """A group's permission to register datasets in a base URI."""

    @guards.admin_only
    @answers(blp, 200, GroupObjectSchema, errors=(401, 403, 404, 409, 422))
    def post(self, group: str, base_uri: str, actor: Actor) -> Response:
        """Let the members of a group register datasets in a base URI."""
        return _granted("register", group, base_uri, actor)

    @guards.admin_only
    @answers(blp, 200, GroupObjectSchema, errors=(401, 403, 404, 422))
    def delete(self, group: str, base_uri: str, actor: Actor) -> Response:
        """No longer let the members of a group register datasets in a base URI, unless something else lets them."""
        return _revoked("register", group, base_uri, actor)


def _granted(kind: Grant, group: str, base_uri: str, actor: Actor) -> Response:
    found = groups.grant(kind, group, base_uri, actor=actor)
    db.commit()
    return json_answer(found)


def _revoked(kind: Grant, group: str, base_uri: str, actor: Actor) -> Response:
    found = groups.revoke(kind, group, base_uri, actor=actor)
    db.commit()
    return json_answer(found)
