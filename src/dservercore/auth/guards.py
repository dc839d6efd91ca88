"""Who is asking: from the token of a request to a registered user, an administrator, a scope.

Each guard wraps a view and passes it what it established: ``actor``, ``search_scope``, ``register_scope``.
A guard stands above everything that reads the request, so that nobody unknown has a body looked at. It refuses query
parameters that the view below it does not document.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, TypeVar, cast

import flask_jwt_extended
import jwt
from flask import Flask, current_app, g, request
from flask_jwt_extended.exceptions import NoAuthorizationError

from dservercore import plugin_host
from dservercore.auth import authenticators, permissions
from dservercore.auth.decoded_tokens import remember_decoded, take_decoded
from dservercore.catalog import sessions
from dservercore.catalog.scope import Actor, Grant, Scope, acting
from dservercore.dataset.document import check_text
from dservercore.db.fast_reads import one_version
from dservercore.db.registered_names import spelling
from dservercore.errors import AuthenticationError, AuthorizationError, ValidationError
from dservercore.rest.query_parameters import QueryParameters

View = TypeVar("View", bound=Callable[..., Any])

#: Claim of a token that was made for a session of a browser: the number of the session.
SESSION_CLAIM = "dserver_session"


# Tokens


def authorisation_is_disabled() -> bool:
    """Return whether everybody is served as ``DEFAULT_USER``, without a token."""
    return bool(current_app.config.get("DISABLE_JWT_AUTHORISATION"))


def read_scheme_in_any_case() -> None:
    """Rewrite the request's ``bearer``, which RFC 9110 allows in any case, to the one spelling that the library knows.

    To be called before anybody looks at the request.
    """
    config, environ = current_app.config, request.environ
    name, scheme = config["JWT_HEADER_NAME"], config["JWT_HEADER_TYPE"]
    key = "HTTP_AUTHORIZATION" if name == "Authorization" else f"HTTP_{name.upper().replace('-', '_')}"
    header = environ.get(key)
    if header and scheme and not header.startswith(f"{scheme} "):
        in_any_case = rf"(?i)(^|,)(\s*){re.escape(scheme)}(?![^\s,])"
        environ[key] = re.sub(in_any_case, lambda found: found[1] + found[2] + scheme, header)


def verify_token(**options: Any) -> None:
    """Pass if the request carries a valid token, or needs none.

    :raises AuthenticationError: if a token of another kind is wanted, or there is no key to verify it
    :raises flask_jwt_extended.exceptions.JWTExtendedException, jwt.PyJWTError: for a missing or bad token
    """
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # each use of the proxy takes its time
    if app.config.get("DISABLE_JWT_AUTHORISATION"):
        return
    if authenticators.take_other_token(app, options):
        _check_lifetime(app, flask_jwt_extended.get_jwt())
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
        _check_end(claims)
        _check_lifetime(app, claims)
        _check_session(claims)
    except (
        AttributeError
    ) as error:  # of the library, for a body that is no object where it looks for a token in one
        if not request.is_json or isinstance(request.get_json(silent=True), dict):
            raise
        raise NoAuthorizationError("Missing a token in the JSON body, which is no object") from error
    except (OverflowError, TypeError, ValueError) as error:  # a claim that the library did not think of
        raise jwt.DecodeError("The token has a claim that cannot be understood") from error


def _check_end(claims: Mapping[str, Any]) -> None:
    """Pass if a token has not expired.

    The library accepts it for ``JWT_DECODE_LEEWAY`` longer; here that leeway is for the beginning of a token alone.

    :raises jwt.ExpiredSignatureError: if it has
    """
    if "exp" in claims and int(claims["exp"]) <= time.time():
        error = jwt.ExpiredSignatureError("Token has expired")
        error.jwt_header, error.jwt_data = {}, claims  # type: ignore[attr-defined]  # as the library hands it on
        raise error


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


def _check_session(claims: Mapping[str, Any]) -> None:
    """Pass if a token was not made for a session of a browser, or if that has not ended.

    :raises NoAuthorizationError: if it has, which is answered with a 401
    """
    if SESSION_CLAIM in claims and not sessions.is_open(claims[SESSION_CLAIM]):
        raise NoAuthorizationError("The session of this token has ended")


def require_token_of(actor: Actor) -> None:
    """Pass if the token of the request was made for a user and is not revoked, and not for a namesake deleted before.

    To the second, as tokens tell it. One that does not tell when it was made counts as old. Where tokens are made by
    another server, its clock may be ahead by ``JWT_DECODE_LEEWAY``, so they must be newer by that.

    :raises AuthenticationError: if the token is older than the user
    """
    since = actor.tokens_since
    if since is None or authorisation_is_disabled():
        return
    is_ours = current_app.config.get("JWT_PRIVATE_KEY") and "token_of_provider" not in g
    if actor.credential is None and not is_ours:
        since += math.ceil(current_app.config["JWT_DECODE_LEEWAY"])
    if int(get_jwt().get("iat", 0)) < since:
        raise AuthenticationError(
            f"The token is older than the registration of user {actor.username!r}, or revoked: get a new one"
        )


def get_jwt_identity() -> Any:
    """Return the user name of the verified token; ``DEFAULT_USER`` where tokens are disabled.

    :raises RuntimeError: outside a view that asks for a token
    """
    if authorisation_is_disabled():
        return current_app.config.get("DEFAULT_USER")
    return flask_jwt_extended.get_jwt_identity()


def get_jwt() -> dict[str, Any]:
    """Return the claims of the verified token: ``{}`` where a token is optional, and there is none.

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

    A request without a token, or with an expired one, gets a 401; one whose token cannot be decoded gets a 422. Where
    tokens are disabled everybody passes. The user need not be registered; a token that is older than the registration
    of its user gets a 401.

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
    # Without any option, a token that was verified before need not be verified again.
    options = {name: value for name, value in given.items() if value not in (None, name == "verify_type")}

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(*view_args: Any, **kwargs: Any) -> Any:
            verify_token(**options)
            _require_token_of_user()
            if authorisation_is_disabled():
                g.username = get_jwt_identity()  # for the request log, which otherwise reads it in the token
            return current_app.ensure_sync(view)(*view_args, **kwargs)

        return cast(View, guarded)

    return decorate


def _require_token_of_user() -> None:
    """Pass if the token of the request is not older than its user, who need not be registered.

    Nor need the application be a server: others may take its tokens, and have no users.
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
    """Let registered users pass; give the view the user as ``actor``."""

    def establish(_kwargs: dict[str, Any]) -> dict[str, Actor | Scope]:
        return {"actor": _admit(permissions.identify(_username()))}

    return _guard(view, establish)


def admin_only(view: View) -> View:
    """Let administrators pass; give the view the user as ``actor``."""

    def establish(_kwargs: dict[str, Any]) -> dict[str, Actor | Scope]:
        actor = _admit(permissions.identify(_username()))
        if not actor.is_admin:
            raise AuthorizationError("Only an administrator may do this")
        return {"actor": actor}

    return _guard(view, establish)


def self_or_admin(view: View) -> View:
    """Let administrators pass, and the user whom the path's ``username`` names; give the view the user as ``actor``."""

    def establish(kwargs: dict[str, Any]) -> dict[str, Actor | Scope]:
        actor = _admit(permissions.identify(_username()))
        if not actor.is_admin and actor.username != spelling(kwargs["username"]):
            raise AuthorizationError("Only an administrator may ask about somebody else")
        return {"actor": actor}

    return _guard(view, establish)


def in_person(view: View) -> View:
    """Let registered users pass who come themselves, with no personal token; give the view the user as ``actor``.

    Or else a token that may do little could make one that may do more.
    """

    def establish(_kwargs: dict[str, Any]) -> dict[str, Actor | Scope]:
        return {"actor": _come_in_person(_admit(permissions.identify(_username())))}

    return _guard(view, establish)


def admin_in_person(view: View) -> View:
    """Let administrators pass who come themselves, with no personal token; give the view the user as ``actor``."""

    def establish(_kwargs: dict[str, Any]) -> dict[str, Actor | Scope]:
        actor = _come_in_person(_admit(permissions.identify(_username())))
        if not actor.is_admin:
            raise AuthorizationError("Only an administrator may do this")
        return {"actor": actor}

    return _guard(view, establish)


def _come_in_person(actor: Actor) -> Actor:
    """Return an actor who comes with no personal token, nor with a token of a provider.

    Who is registered with a provider no longer has no token of it, but would have those that were made here.

    :raises AuthorizationError: for every other one
    """
    if actor.credential or "token_of_provider" in g:
        kind = "personal token" if actor.credential else "token of a provider"
        raise AuthorizationError(f"A {kind} may not do this: sign in, or take a token of `flask user token`")
    return actor


def with_scope(*grants: Grant, visitors: bool = False) -> Callable[[View], View]:
    """Let registered users pass; give the view ``actor``, and of each grant ``search_scope`` or ``register_scope``.

    Where ``register`` is one of the grants, users who may not register anywhere do not pass.

    :param visitors: let whoever comes without a token pass, too, if there are public base URIs: with those as
        ``search_scope``, and an actor who has no name and may do nothing
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

    return lambda view: _guard(view, establish, visitors)


def open_to_all(view: View) -> View:
    """Let everybody pass, with or without a token; give the view nothing."""
    parameters = QueryParameters.of(view)

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        parameters.check(current_app, request)
        return view(*args, **kwargs)

    return cast(View, guarded)


def _guard(
    view: View, establish: Callable[[dict[str, Any]], dict[str, Actor | Scope]], visitors: bool = False
) -> View:
    parameters = QueryParameters.of(view)

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        with one_version():
            public = _verify_or_visit(visitors)
            g.username = None  # until it is known that somebody is registered under that name
            established = establish(kwargs) if public is None else {"actor": acting(), "search_scope": public}
            parameters.check(current_app, request)
            return view(*args, **kwargs, **established)

    return cast(View, guarded)


def _verify_or_visit(visitors: bool) -> Scope | None:
    """Pass if the request carries a valid token. Return what is public, if it carries none and visitors may come.

    :raises flask_jwt_extended.exceptions.JWTExtendedException, jwt.PyJWTError, AuthenticationError: otherwise; also if
        nothing is public
    """
    if visitors and not authorisation_is_disabled() and not _brings_something():
        public = permissions.public_scope()
        if public.base_uris:
            return public
    verify_token()
    return None


def _brings_something() -> bool:
    """Return whether there is anything where this server looks for tokens, be it empty or meant for somebody else."""
    config = current_app.config
    locations = config["JWT_TOKEN_LOCATION"]
    return (
        config["JWT_HEADER_NAME"]
        in request.headers  # whatever the locations: not only the library looks there
        or ("cookies" in locations and config["JWT_ACCESS_COOKIE_NAME"] in request.cookies)
        or ("query_string" in locations and config["JWT_QUERY_STRING_NAME"] in request.args)
    )


def require_credential() -> None:
    """Pass if the credential, or the session, that the request is made with still holds: for requests that take long.

    :raises AuthenticationError: if it was revoked, or has expired, or ended
    """
    if authorisation_is_disabled():
        return
    try:
        if g.get("credential"):
            g.credential = None
            authenticators.take_other_token(current_app._get_current_object(), {})  # type: ignore[attr-defined]
        _check_session(get_jwt())
    except NoAuthorizationError as error:
        raise AuthenticationError(str(error)) from error


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
