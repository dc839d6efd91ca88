"""Signed in with a browser: how a session begins and ends, and whose a request comes with.

A session is a row of the database, whose secret the browser keeps in a cookie. Pages take it, and ``/auth``, which
exchanges it for a token; nothing else of the REST API does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import flask
from flask import Flask, Response, current_app, g, has_request_context, request

from dservercore.auth import permissions
from dservercore.catalog import metrics, sessions
from dservercore.catalog.scope import acting
from dservercore.catalog.sessions import Client, Limits, Session
from dservercore.errors import AuthorizationError
from dservercore.settings.external_url import external_url

#: Name of the cookie where the browser speaks TLS: with this prefix, it takes one from this very host alone.
SECURE_COOKIE = "__Host-dserver_session"
#: Where it does not, browsers drop cookies with that prefix.
PLAIN_COOKIE = "dserver_session"

_MAX_SECRET = 100


def limits() -> Limits:
    """Return how long sessions last on this server."""
    return Limits(current_app.config["DSERVER_SESSION_IDLE"], current_app.config["DSERVER_SESSION_LIFETIME"])


def client() -> Client:
    """Return the browser that the request at hand comes from."""
    return Client(acting().origin.place, _as_text(request.headers.get("User-Agent", "")))


def _as_text(header: str) -> str:
    # WSGI has the bytes of a header disguised as latin-1, and some databases take no NUL.
    return header.encode("latin-1", "replace").decode("utf-8", "replace").replace("\0", "")


def current() -> Session | None:
    """Return the session that the request at hand comes with; None if it comes with none that is good."""
    if not has_request_context():
        return None
    if "browser_session" not in g:
        g.browser_session = _session_of_request()
        if g.browser_session is not None:
            g.username = g.browser_session.username  # for the request log
    found: Session | None = g.browser_session
    return found


def _session_of_request() -> Session | None:
    if "HTTP_COOKIE" not in request.environ:
        return None
    secret = request.cookies.get(_cookie_name(), "")
    if not 0 < len(secret) <= _MAX_SECRET or not secret.isascii():
        return None
    found = sessions.find(secret)
    last = limits()
    if found is None or not found.is_good(last):
        return None
    sessions.note_use(found, last)
    return found


def begin_session(response: Response, username: str, means: str, id_token: str | None = None) -> Response:
    """Have the browser signed in as a user from this response on, and return the response. To be committed then.

    Whatever the browser was before ends (see :func:`begin`).

    :param means: how the user has signed in: ``password``, ``link``, ``ldap``, or ``oidc:`` and the name of a provider
    :param id_token: of the provider, which asks for it at sign-out
    :raises AuthenticationError: if nobody is registered under the name
    :raises ConflictError: if the user is a service account, which cannot sign in
    """
    return hand_out(response, begin(username, means, id_token))


def begin(username: str, means: str, id_token: str | None = None) -> str:
    """Begin a session of whoever the request comes from, and return its secret. To be committed then.

    Whatever the browser was before ends: its session, and what forms and sign-ins have kept in its cookie.

    :param means: as :func:`begin_session` takes it
    :raises AuthenticationError: if nobody is registered under the name
    :raises ConflictError: if the user is a service account, which cannot sign in
    """
    actor = permissions.identify(username)
    before = _session_of_request()
    sessions.prune(limits())
    if before is not None:
        sessions.end_of(before.username, before.id, actor=permissions.identify(before.username))
    secret = sessions.begin(str(actor.username), means, client(), id_token=id_token, actor=actor)
    metrics.sign_in(means, "success")
    _forget_flask_session()
    g.browser_session = None
    g.username = actor.username  # for the request log
    return secret


def hand_out(response: Response, secret: str) -> Response:
    """Have the browser keep the secret of its session, and return the response."""
    response.set_cookie(_cookie_name(), secret, **_cookie_options())
    _keep_nowhere(response)
    return response


def complete(
    username: str, means: str, id_token: str | None = None, next_path: str | None = None
) -> Response:
    """Return the redirect of a browser whose user has just signed in, with a new session. To be committed then.

    :param next_path: where the user wanted to go, as :func:`safe_path` takes it; None: to the first page
    :raises AuthenticationError: if nobody is registered under the name
    :raises ConflictError: if the user is a service account, which cannot sign in
    """
    response = flask.redirect(request.script_root + safe_path(next_path), 303)
    return begin_session(response, username, means, id_token)  # type: ignore[arg-type]  # Flask's own, not Werkzeug's


def end_session(response: Response) -> Response:
    """Have the browser signed out from this response on, and return the response. To be committed then."""
    found = _session_of_request()
    if found is not None:
        sessions.end_of(found.username, found.id, actor=permissions.identify(found.username))
    _forget_flask_session()
    g.browser_session = None
    response.set_cookie(_cookie_name(), "", **(_cookie_options() | {"max_age": 0}))
    _keep_nowhere(response)
    return response


def require_own_site() -> None:
    """Pass if the request comes from a page of this server or of a site that is listed, or from no page.

    To let every site read answers (``DSERVER_CORS_ORIGINS=*``) lists none.

    :raises AuthorizationError: if it comes from a page of another site
    """
    origin = request.headers.get("Origin")
    if origin is None:
        is_foreign = request.headers.get("Sec-Fetch-Site") == "cross-site"
    else:
        listed = {site.lower() for site in current_app.config["DSERVER_CORS_ORIGINS"] or ()} - {"*"}
        is_foreign = origin.lower() not in {*listed, *_own_origins()}
    if is_foreign:
        raise AuthorizationError("Pages of this site may not sign in here: it is not in DSERVER_CORS_ORIGINS")


def _own_origins() -> set[str]:
    addresses = (request.host_url, external_url())
    return {"/".join(address.split("/", 3)[:3]).lower() for address in addresses}


def safe_path(path: str | None) -> str:
    """Return a path of this server, with its query if it has one; ``/`` for whatever would lead elsewhere."""
    if not path or not path.startswith("/") or path.startswith("//") or "\\" in path:
        return "/"
    return path if path.isascii() and path.isprintable() and " " not in path else "/"


def _forget_flask_session() -> None:
    # With it goes the token of forms, of which there must be a new one after signing in.
    if flask.session:
        flask.session.clear()
    g.pop("csrf_token", None)


def _cookie_name() -> str:
    return SECURE_COOKIE if request.is_secure else PLAIN_COOKIE


def _cookie_options() -> dict[str, Any]:
    return {
        "path": "/",  # as the prefix of the name demands, also below the prefix of a proxy
        "secure": request.is_secure,
        "httponly": True,
        "samesite": "Lax",
        "max_age": current_app.config["DSERVER_SESSION_LIFETIME"],
    }


def _keep_nowhere(response: Response) -> None:
    response.headers["Cache-Control"] = "no-store"


class Way(NamedTuple):
    """A place to sign in or out at, as a link on a page.

    :param label: what is on the link, such as the name of an institute
    :param url: its address; one that begins with ``/`` is a path of this server, without the prefix of a proxy
    """

    label: str
    url: str


def sign_in_ways(app: Flask) -> list[Way]:
    """Return the ways to sign in to an application beside a password, to which others may be added.

    The path where the user wants to go is added to their addresses, as the parameter ``next``.
    """
    ways: list[Way] = app.extensions.setdefault("dservercore-sign-in-ways", [])
    return ways


def sign_out_ways(app: Flask) -> list[Callable[[Session], Way | None]]:
    """Return functions, to which others may be added, that tell where whoever had a session may sign out, too."""
    ways: list[Callable[[Session], Way | None]] = app.extensions.setdefault("dservercore-sign-out-ways", [])
    return ways
