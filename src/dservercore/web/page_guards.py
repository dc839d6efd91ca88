"""Who looks at a page: from the session of the browser to a registered user and a scope.

Each guard wraps a view and passes it what it established: ``actor``, ``search_scope``, ``register_scope``. Whoever has
to be signed in, and is not, is led to the page where that is done, and back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast
from urllib.parse import urlencode

from flask import Blueprint, current_app, g, redirect, request
from sqlalchemy.exc import SQLAlchemyError

from dservercore.auth import guards, permissions, sign_in
from dservercore.catalog.scope import Actor, Grant, Scope, acting
from dservercore.db.fast_reads import one_version
from dservercore.errors import AuthenticationError, AuthorizationError
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

    return _guard(view, establish, visitors=False)


def admin_only(view: View) -> View:
    """Let administrators pass who are signed in; give the view the user as ``actor``."""

    def establish(username: str) -> dict[str, Actor | Scope]:
        actor = permissions.identify(username)
        if not actor.is_admin:
            raise AuthorizationError("Only an administrator may do this")
        return {"actor": actor}

    return _guard(view, establish, visitors=False)


def with_scope(*grants: Grant, visitors: bool = False) -> Callable[[View], View]:
    """Let users pass who are signed in; give the view ``actor``, and of each grant the scope.

    :param visitors: let whoever is not signed in pass, too, if there are public base URIs: with those as
        ``search_scope``, and an actor who has no name and may do nothing
    """

    def establish(username: str) -> dict[str, Actor | Scope]:
        passed: dict[str, Actor | Scope] = {}
        for grant in grants:
            passed["actor"], passed[f"{grant}_scope"] = permissions.identify_with_scope(username, grant)
        return passed

    return lambda view: _guard(view, establish, visitors)


def _guard(view: View, establish: Callable[[str], dict[str, Actor | Scope]], visitors: bool) -> View:
    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        with one_version():
            username = page_user()
            if username is None:
                public = permissions.public_scope() if visitors else None
                if public is None or not public.base_uris:
                    return to_sign_in()
                return view(*args, **kwargs, actor=acting(), search_scope=public)
            try:
                established = establish(username)
            except AuthenticationError:  # deleted just now
                return to_sign_in()
            g.actor, g.username = established["actor"], username
            return view(*args, **kwargs, **established)

    return cast(View, guarded)


def to_sign_in() -> Any:
    """Return the redirect to the page where users sign in, which leads back to the page that was asked for."""
    wanted = request.full_path.rstrip("?") if request.method in ("GET", "HEAD") else request.path
    return redirect(f"{request.script_root}/sign-in?{urlencode({'next': wanted})}", 303)


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
