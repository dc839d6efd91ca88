"""The server with a page that redirects, as an extension's may: where that leads shows which address it believes in."""

from __future__ import annotations

from flask import Flask

import dservercore

#: The page, as it is asked for, and where that leads to.
REDIRECTED, PAGE = "/some/where", "/some/where/"


def create_app() -> Flask:
    """Return the application, configured by the environment."""
    return with_redirect(dservercore.create_app())


def with_redirect(app: Flask) -> Flask:
    """Return *app* with the page."""
    app.add_url_rule(PAGE, "some_where", view_func=lambda: "")
    return app
