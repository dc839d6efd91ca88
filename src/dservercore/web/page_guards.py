"""Who looks at a page: from the session of the browser to a registered user and a scope.

Each guard wraps a view and passes it what it established: ``actor``, ``search_scope``, ``register_scope``. Whoever has
to be signed in, and is not, is led to the page where that is done, and back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any, TypeVar, cast
from urllib.parse import quote, urlencode, urlsplit

from flask import Blueprint, Response, current_app, g, redirect, request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from dservercore.auth import guards, permissions, sign_in
from dservercore.catalog.scope import Actor, Grant, Scope, acting
from dservercore.db.fast_reads import one_version
from dservercore.errors import AuthenticationError, AuthorizationError
from dservercore.web import lost_sessions
from dservercore.web.forms import Form

View = TypeVar("View", bound=Callable[..., Any])


def page_user() -> str | None:
    """Return the name of the user who looks at the page; None for a visitor.

    Where tokens are disabled, that is the ``DEFAULT_USER``.
    """
    if guards.authorisation_is_disabled():
        return cast(str, current_app.config["DEFAULT_USER"])
    session = sign_in.current()
    return session.username if session else None


def signed_in(view: View) -> View:
    """Let users pass who are signed in; give the view the user as ``actor``."""

    def establish(username: str) -> dict[str, Actor | Scope]:
        return {"actor": permissions.identify(username)}

    return _guard(view, establish)


def admin_only(view: View) -> View:
    """Let administrators pass who are signed in; give the view the user as ``actor``."""

    def establish(username: str) -> dict[str, Actor | Scope]:
        actor = permissions.identify(username)
        if not actor.is_admin:
            raise AuthorizationError("Only an administrator may do this")
        return {"actor": actor}

    return _guard(view, establish)


def with_scope(
    *grants: Grant, visitors: bool = False, others: Callable[[], Any] | None = None
) -> Callable[[View], View]:
    """Let users pass who are signed in; give the view ``actor``, and of each grant the scope.

    :param visitors: let whoever is not signed in pass, too, if there are public base URIs: with those as
        ``search_scope``, and an actor who has no name and may do nothing
    :param others: answers whoever is not signed in and does not pass; None: they are led to where users sign in
    """

    def establish(username: str) -> dict[str, Actor | Scope]:
        passed: dict[str, Actor | Scope] = {}
        for grant in grants:
            passed["actor"], passed[f"{grant}_scope"] = permissions.identify_with_scope(username, grant)
        return passed

    return lambda view: _guard(view, establish, visitors, others)


def _guard(
    view: View,
    establish: Callable[[str], dict[str, Actor | Scope]],
    visitors: bool = False,
    others: Callable[[], Any] | None = None,
) -> View:
    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        with one_version():
            username = page_user()
            if username is None:
                public = permissions.public_scope() if visitors else None
                if public is None or not public.base_uris:
                    return others() if others else lost_sessions.kept_form() or to_sign_in()
                return view(*args, **kwargs, actor=acting(), search_scope=public)
            try:
                established = establish(username)
            except AuthenticationError:  # deleted just now
                return to_sign_in()
            g.actor, g.username = established["actor"], username
            if lost_sessions.is_unconfirmed():
                return lost_sessions.to_confirm()
            return view(*args, **kwargs, **established)

    return cast(View, guarded)


def to_sign_in() -> Any:
    """Return the redirect to the page where users sign in, which leads back to the page that was asked for.

    From a form, it leads back to the page above: that of ``/account/password`` is ``/account``.
    """
    is_read = request.method in ("GET", "HEAD")
    wanted = _address_below() if is_read else quote(_page_above(request.path), _NOT_QUOTED)
    # Without this, the page to sign in would come into the middle of another one.
    if "HX-Request" in request.headers:
        open_page = _path_of(request.headers.get("HX-Current-URL", ""))
        # A page that asks for itself, with other parameters, is about to show what they say.
        if open_page and not (is_read and urlsplit(open_page).path == urlsplit(wanted).path):
            wanted = open_page
        address = f"{request.script_root}/sign-in?{urlencode({'next': wanted})}"
        return Response(status=HTTPStatus.UNAUTHORIZED, headers={"HX-Redirect": address})
    return redirect(f"{request.script_root}/sign-in?{urlencode({'next': wanted})}", 303)


# What may be in a path, and with the percent sign in a query string, as it is.
_NOT_QUOTED = "/:@!$&'()*+,;=-._~"


def _address_below() -> str:
    """Return path and query string of the request at hand, both percent-encoded."""
    query = request.query_string.decode("latin-1")
    path = quote(request.path, _NOT_QUOTED)
    return f"{path}?{quote(query, f'{_NOT_QUOTED}?%', 'latin-1')}" if query else path


def _page_above(path: str) -> str:
    """Return the path of the nearest page that can be opened, which is the path itself or begins it."""
    adapter = current_app.create_url_adapter(request)
    while path.strip("/") and adapter is not None:
        try:
            adapter.match(path, "GET")
            return path
        except HTTPException:  # there is none, or it takes forms alone, or another spelling is wanted
            path = path.rstrip("/").rpartition("/")[0]
    return "/"


def _path_of(address: str) -> str | None:
    """Return path and query of an address of this server, as one below it; None if it is of another one."""
    below = request.host_url.rstrip("/") + request.script_root
    return address.removeprefix(below) if address.startswith(f"{below}/") else None


def add_to(pages: Blueprint) -> None:
    """Give all templates ``signed_in_as``, the name of a user or None, ``is_admin`` and ``sign_out_form``."""
    pages.app_context_processor(_who_is_signed_in)


def _who_is_signed_in() -> dict[str, Any]:
    nobody = {"signed_in_as": None, "is_admin": False}
    try:
        session = sign_in.current()
        username = page_user()
        actor = permissions.identify(username) if username else None
    except AuthenticationError:  # deleted just now
        return nobody
    except SQLAlchemyError as error:  # an error is being shown, perhaps that of the database
        logging.getLogger(__name__).warning(
            "Who is signed in could not be found out: %s", type(error).__name__
        )
        return nobody
    if actor is None:
        return nobody
    form = Form(formdata=None) if session and current_app.secret_key else None
    return {"signed_in_as": actor.username, "is_admin": actor.is_admin, "sign_out_form": form}
