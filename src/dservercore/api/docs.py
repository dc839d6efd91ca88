"""The API documentation: what the OpenAPI document says about the whole server, and the pages that show it.

flask-smorest serves the document itself. Its own pages load their scripts from a content delivery network;
ours bring them along, and refuse to load anything from elsewhere. An administrator who sets
``OPENAPI_SWAGGER_UI_URL`` or ``OPENAPI_REDOC_URL`` gets flask-smorest's page, with the scripts from there.
"""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import flask_smorest
from flask import Blueprint, Flask, Response, make_response, render_template, request

from dservercore.schemas import ErrorSchema

BEARER_AUTH = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "A JSON Web Token signed with RS256, whose `sub` is the name of a registered user.",
}

_PACKAGE = Path(__file__).parent.parent


class Api(flask_smorest.Api):
    """The API, with the error object that all of its routes share."""

    ERROR_SCHEMA = ErrorSchema

    def init_app(self, app: Flask, **options: Any) -> None:
        """Initialise the API of *app*."""
        # An empty address, as the environment gives it, means none; flask-smorest makes a broken page of it.
        for address in ("OPENAPI_SWAGGER_UI_URL", "OPENAPI_REDOC_URL"):
            app.config[address] = app.config.get(address) or None
        super().init_app(app, **options)


def init_docs(app: Flask, api: flask_smorest.Api) -> None:
    """Describe the server in the OpenAPI document, and add the documentation pages to *app*.

    The pages are at ``OPENAPI_URL_PREFIX`` + ``OPENAPI_SWAGGER_UI_PATH`` and ``OPENAPI_REDOC_PATH``; what
    is named by a setting that is None is left out. Call this once *api* is initialised.
    """
    if "bearerAuth" not in api.spec.components.security_schemes:
        api.spec.components.security_scheme("bearerAuth", BEARER_AUTH)
    prefix = app.config.get("OPENAPI_URL_PREFIX")
    if prefix is None:
        return
    pages = _Pages(app, api, posixpath.join("/", prefix))
    # Relative to the document, so that "try it out" works below whatever path a proxy puts the server.
    this_server = {"url": _relative("/", pages.spec_path), "description": "this server"}
    api.spec.options.setdefault("servers", [this_server])
    app.register_blueprint(pages.blueprint())


class _Pages:
    """The documentation pages of one app. All addresses in them are relative, for the sake of proxies."""

    def __init__(self, app: Flask, api: flask_smorest.Api, prefix: str):
        self.config = app.config
        self.api = api
        self.prefix = prefix
        self.assets_path = posixpath.join(prefix, "assets")
        self.spec_path = posixpath.join(
            prefix, app.config.get("OPENAPI_JSON_PATH", "openapi.json").lstrip("/")
        )

    def blueprint(self) -> Blueprint:
        blueprint = Blueprint(
            "apidocs",
            __name__,
            url_prefix=self.prefix,
            static_folder=_PACKAGE / "static" / "apidocs",
            static_url_path="/assets",
            template_folder=_PACKAGE / "templates",
        )
        for name, view in (("SWAGGER_UI", self.swagger), ("REDOC", self.redoc)):
            path = self.config.get(f"OPENAPI_{name}_PATH")
            # With an address of its own, flask-smorest has made the page already.
            if path and not self.config.get(f"OPENAPI_{name}_URL"):
                blueprint.add_url_rule(posixpath.join("/", path), view_func=view)
        return blueprint

    def swagger(self) -> Response:
        config = self.config.get("OPENAPI_SWAGGER_UI_CONFIG") or {}
        return self._page("apidocs/swagger.html", swagger_config=config)

    def redoc(self) -> Response:
        return self._page("apidocs/redoc.html")

    def _page(self, template: str, **values: object) -> Response:
        page = render_template(
            template,
            title=self.api.spec.title,
            spec_url=_relative(self.spec_path, request.path),
            assets=_relative(self.assets_path, request.path),
            **values,
        )
        response = make_response(page)
        response.headers["Content-Security-Policy"] = self._content_security_policy()
        response.headers["X-Frame-Options"] = "SAMEORIGIN"  # as the policy says to browsers that know it
        return response

    def _content_security_policy(self) -> str:
        """Return the policy that keeps the page from loading anything but the server's own files.

        Only requests that the reader sends with "try it out" may go to the servers that the document names.
        """
        servers = (urlsplit(server["url"]) for server in self.api.spec.options.get("servers", []))
        origins = [
            f"{server.scheme}://{server.netloc}" for server in servers if server.scheme and server.netloc
        ]
        return "; ".join(
            [
                "default-src 'none'",
                "script-src 'self'",
                "style-src 'self' 'unsafe-inline'",  # both pages make their style elements at run time
                "img-src 'self' data:",
                "font-src 'self' data:",
                "worker-src 'self' blob:",  # Redoc searches in a worker
                " ".join(["connect-src 'self'", *origins]),
                "base-uri 'none'",
                "form-action 'none'",
                "frame-ancestors 'self'",
            ]
        )


def _relative(path: str, page: str) -> str:
    """Return the address of *path* as seen from *page*; both begin with a slash."""
    return posixpath.relpath(path, posixpath.dirname(page))
