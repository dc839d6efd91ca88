"""Who is asking: from the token of a request to a registered user, an administrator, a scope.

Each guard wraps a view and passes it what it established: ``actor``, ``search_scope``, ``register_scope``.
A guard stands above everything that reads the body, so that nobody unknown has a body looked at.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, TypeVar, cast

import flask_jwt_extended
import jwt
from flask import Flask, current_app, g, request
from flask_jwt_extended.exceptions import NoAuthorizationError

from dservercore import permissions, plugin_host
from dservercore.catalog import settling
from dservercore.dataset_info import check_text
from dservercore.decoded_tokens import remember_decoded, take_decoded
from dservercore.errors import AuthenticationError, AuthorizationError, ValidationError
from dservercore.scope import Actor, Grant, Scope

View = TypeVar("View", bound=Callable[..., Any])


# Tokens


def authorisation_is_disabled() -> bool:
    """Return whether everybody is served as ``DEFAULT_USER``, without a token."""
    return bool(current_app.config.get("DISABLE_JWT_AUTHORISATION"))


def verify_token(**options: Any) -> None:
    """Pass if the request carries a valid token, or needs none.

    :raises AuthenticationError: if the server has no key to verify it with
    :raises flask_jwt_extended.exceptions.JWTExtendedException, jwt.PyJWTError: for a missing or bad token
    """
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # each use of the proxy takes its time
    if app.config.get("DISABLE_JWT_AUTHORISATION"):
        return
    if app.config["JWT_ALGORITHM"].startswith(("RS", "ES", "PS")) and not app.config.get("JWT_PUBLIC_KEY"):
        raise AuthenticationError(
            "This server has no public key to verify tokens with (see `flask keys generate`)"
        )
    try:
        claims = None if options else take_decoded(app)
        if claims is None:
            flask_jwt_extended.verify_jwt_in_request(**options)
            claims = flask_jwt_extended.get_jwt()
            if not options:
                remember_decoded(app)
        _check_lifetime(app, claims)
    except (OverflowError, TypeError, ValueError) as error:  # a claim that the library did not think of
        raise jwt.DecodeError("The token has a claim that cannot be understood") from error


def _check_lifetime(app: Flask, claims: Mapping[str, Any]) -> None:
    """Pass if a token lives no longer than ``DSERVER_MAX_TOKEN_LIFETIME``, as far as it tells when it was made.

    :raises NoAuthorizationError: if it does, which is answered with a 401
    """
    longest = app.config["DSERVER_MAX_TOKEN_LIFETIME"]
    if not longest or not claims:  # there are none where a token is optional, and missing
        return
    # To the second, because tokens are made in whole ones. Whoever leaves out `iat` has made it now.
    latest = min(float(claims.get("iat", math.inf)), time.time() + app.config["JWT_DECODE_LEEWAY"]) + 1
    if float(claims.get("exp", math.inf)) > latest + longest:
        raise NoAuthorizationError(
            f"This server accepts no tokens that work for longer than {longest} seconds"
        )


def require_token_of(actor: Actor) -> None:
    """Pass if the token of the request was made for a user, and not for a namesake who was deleted before.

    To the second, as tokens tell it. One that does not tell when it was made counts as old. Where tokens are made by
    another server, its clock may be ahead by ``JWT_DECODE_LEEWAY``, so they must be newer by that.

    :raises AuthenticationError: if the token is older than the user
    """
    since = actor.tokens_since
    if since is None or authorisation_is_disabled():
        return
    if not current_app.config.get("JWT_PRIVATE_KEY"):
        since += math.ceil(current_app.config["JWT_DECODE_LEEWAY"])
    if int(get_jwt().get("iat", 0)) < since:
        raise AuthenticationError(
            f"The token is older than the registration of user {actor.username!r}: get a new one"
        )


def get_jwt_identity() -> Any:
    """Return the user name of the verified token; ``DEFAULT_USER`` where tokens are disabled.

    :raises RuntimeError: outside a view that asks for a token
    """
    if authorisation_is_disabled():
        return current_app.config.get("DEFAULT_USER")
    return flask_jwt_extended.get_jwt_identity()


def get_jwt() -> dict[str, Any]:
    """Return the claims of the verified token: ``{}`` where there may be none, and is none.

    Where tokens are disabled they are ``sub`` alone, the ``DEFAULT_USER``.

    :raises RuntimeError: outside a view that asks for a token
    """
    if authorisation_is_disabled():
        return {"sub": get_jwt_identity()}
    return flask_jwt_extended.get_jwt()


def jwt_required(
    optional: bool = False,
    fresh: bool = False,
    refresh: bool = False,
    locations: str | Sequence[str] | None = None,
    verify_type: bool = True,
    skip_revocation_check: bool = False,
) -> Callable[[View], View]:
    """Return a decorator for view functions that need a valid token.

    A request without one gets a 401, and one with an expired one, too; a token that is none at all is a 422. Where
    tokens are disabled everybody passes. Whether the user is registered is not asked here; if so, a token that is older
    than the registration is a 401.

    :param optional: let requests without a token pass, too; :func:`get_jwt_identity` is None then
    :param fresh: let no token pass but fresh ones
    :param refresh: let refresh tokens pass, instead of access tokens
    :param locations: where to look for the token, such as ``"headers"``; None: as the server is configured
    :param verify_type: False: let access and refresh tokens pass
    :param skip_revocation_check: do not ask whether the token was revoked
    """
    given = {
        "optional": optional,
        "fresh": fresh,
        "refresh": refresh,
        "locations": locations,
        "verify_type": verify_type,
        "skip_revocation_check": skip_revocation_check,
    }
    # Without any, a token that was verified before need not be verified again.
    options = {name: value for name, value in given.items() if value not in (None, name == "verify_type")}

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(*view_args: Any, **kwargs: Any) -> Any:
            verify_token(**options)
            _require_token_of_user()
            return current_app.ensure_sync(view)(*view_args, **kwargs)

        return cast(View, guarded)

    return decorate


def _require_token_of_user() -> None:
    """Pass if the token of the request is not older than its user, who need not be registered.

    Nor need the application be a server: some only take tokens as one does.
    """
    if authorisation_is_disabled() or not get_jwt() or not plugin_host.is_at_home():
        return
    try:
        actor = permissions.identify(_username())
    except AuthenticationError:
        return
    require_token_of(actor)


# Guards


def signed_in(view: View) -> View:
    """Let registered users pass, as ``actor``."""

    def establish(_kwargs: dict[str, Any]) -> dict[str, Actor | Scope]:
        return {"actor": _admit(permissions.identify(_username()))}

    return _guard(view, establish)


def admin_only(view: View) -> View:
    """Let administrators pass, as ``actor``."""

    def establish(_kwargs: dict[str, Any]) -> dict[str, Actor | Scope]:
        actor = _admit(permissions.identify(_username()))
        if not actor.is_admin:
            raise AuthorizationError("Only an administrator may do this")
        return {"actor": actor}

    return _guard(view, establish)


def self_or_admin(view: View) -> View:
    """Let administrators pass, and the user whom the path's ``username`` names, as ``actor``."""

    def establish(kwargs: dict[str, Any]) -> dict[str, Actor | Scope]:
        actor = _admit(permissions.identify(_username()))
        if not actor.is_admin and actor.username != kwargs["username"]:
            raise AuthorizationError("Only an administrator may ask about somebody else")
        return {"actor": actor}

    return _guard(view, establish)


def with_scope(*grants: Grant) -> Callable[[View], View]:
    """Let registered users pass, as ``actor``, with the scope of each grant as ``search_scope``, ``register_scope``.

    Who may register nothing anywhere does not pass where that is one of the grants.
    """

    def establish(_kwargs: dict[str, Any]) -> dict[str, Actor | Scope]:
        username = _username()
        passed: dict[str, Actor | Scope] = {}
        for grant in grants:
            actor, scope = permissions.identify_with_scope(username, grant)
            passed[f"{grant}_scope"] = scope
            passed["actor"] = _admit(actor)
            if grant == "register" and not scope.base_uris:
                raise scope.refusal()  # before the body is read
        return passed

    return lambda view: _guard(view, establish)


def _guard(view: View, establish: Callable[[dict[str, Any]], dict[str, Actor | Scope]]) -> View:
    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        verify_token()
        established = establish(kwargs)
        settling.replay_in_new_process()
        if request.method not in ("GET", "HEAD"):
            settling.catch_up()
        return view(*args, **kwargs, **established)

    return cast(View, guarded)


def _username() -> str:
    username = cast(str, get_jwt_identity())
    try:
        check_text(username, "sub")
    except ValidationError as error:  # no store holds such a name, and some do not even take the question
        raise AuthenticationError(error.message) from None
    return username


def _admit(actor: Actor) -> Actor:
    require_token_of(actor)
    g.username = actor.username  # for the request log
    g.actor = actor
    return actor
