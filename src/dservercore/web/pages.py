"""What pages are made of: a blueprint with the headers that a page needs, and how pages are put into an application."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, Request, Response, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin

from dservercore.rest.retries import RetryingFlask
from dservercore.web import (
    account,
    account_tokens,
    admin,
    dashboard,
    dataset_edits,
    dataset_pages,
    error_pages,
    kept_searches,
    navigation,
    page_guards,
    search,
    shown,
    sign_in_pages,
    static_files,
    texts,
)
from dservercore.web.packing import packed
from dservercore.web.policy import keep_nowhere, protect


class Pages(Blueprint):
    """A blueprint whose answers may load and send nothing but from and to this server, and run no inline script.

    Templates extend ``web/base.html``. Arguments are those of ``flask.Blueprint``.
    """

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self.after_request(_protect)


def _protect(response: Response) -> Response:
    return packed(protect(response)) if response.mimetype == "text/html" else keep_nowhere(response)


# Messages for the next page, and characters of each: browsers drop a cookie of more than 4 kB, with all that is in it,
# and some proxies the answer that sets it. A character beyond ASCII takes up to twelve bytes there.
_MOST_SAID, _MOST_CHARACTERS = 2, 300


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"


class PageSession(SecureCookieSessionInterface):
    """Keeps the session in a signed cookie that comes back over TLS alone where it was set over TLS."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Return the session of a request, an empty one if it has no cookie; None if there is no secret key."""
        # Programs send none. Making what checks a signature takes a tenth of a lookup (measured, in process).
        if app.secret_key and "HTTP_COOKIE" not in request.environ:
            return self.session_class()
        return super().open_session(app, request)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Set the cookie, in which what a page is to say is no longer than a cookie may be."""
        if session.modified and (said := session.get("_flashes")):
            session["_flashes"] = [(kind, _cut(text)) for kind, text in said[-_MOST_SAID:]]
        super().save_session(app, session, response)

    def get_cookie_secure(self, app: Flask) -> bool:
        """Return whether the cookie is for TLS alone."""
        return request.is_secure or super().get_cookie_secure(app)


def init_web(
    app: RetryingFlask, of_extensions: Iterable[Blueprint], static_of_extensions: Sequence[Path] = ()
) -> None:
    """Serve pages: the server's own, those of extensions, and errors for who prefers to read them in a browser.

    :param of_extensions: their blueprints with pages
    :param static_of_extensions: directories with their parts of the style sheet and the script
    """
    app.session_interface = PageSession()
    # Forms need one. An application that is configured in code, without any, is one process.
    app.secret_key = app.secret_key or secrets.token_hex(32)
    app.config["SESSION_COOKIE_SAMESITE"] = app.config.get("SESSION_COOKIE_SAMESITE") or "Lax"
    # A form that has been open for long can still be sent: its token is good as long as its session.
    app.config.setdefault("WTF_CSRF_TIME_LIMIT", None)
    pages = Pages("web", __name__, template_folder="templates")
    texts.init_texts(app)
    static_files.add_to(pages, static_of_extensions)
    shown.add_to(pages)
    navigation.add_to(pages)
    search.add_to(pages)
    dashboard.add_to(pages)
    sign_in_pages.add_to(pages)
    account.add_to(pages)
    admin.add_to(pages)
    dataset_pages.add_to(pages)
    account_tokens.add_to(pages)
    kept_searches.add_to(pages)
    dataset_edits.add_to(pages)
    page_guards.add_to(pages)
    app.register_blueprint(pages)
    app.repeatable |= {pages.name}
    for blueprint in of_extensions:
        app.register_blueprint(blueprint)
    app.after_request(error_pages.as_page)
