"""The API documentation: what the OpenAPI document says about the whole server, and the pages that show it.

flask-smorest serves the document itself. Its own pages load their scripts from a content delivery network;
ours bring them along, and refuse to load anything from elsewhere. An administrator who sets
``OPENAPI_SWAGGER_UI_URL`` or ``OPENAPI_REDOC_URL`` gets flask-smorest's page, with the scripts from there.
"""

from __future__ import annotations

import posixpath
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import flask_smorest
from apispec import APISpec
from flask import Blueprint, Flask, Response, make_response, render_template, request

from dservercore.rest.schemas import ErrorSchema

BEARER_AUTH = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "A JSON Web Token signed with RS256, whose `sub` is the name of a registered user.",
}

_PACKAGE = Path(__file__).parent.parent


class Api(flask_smorest.Api):
    """The API, with the error object that all of its routes share.

    The OpenAPI document is made when somebody asks for it: describing all routes is two thirds of the time that
    an application takes to be made (130 of 200 ms), and most commands and processes never need it.
    """

    ERROR_SCHEMA = ErrorSchema

    def __init__(self, *args: Any, **kwargs: Any):
        self._undescribed: list[Callable[[APISpec], None]] = []
        self._describing = threading.RLock()
        super().__init__(*args, **kwargs)

    @property
    def spec(self) -> APISpec:
        """The OpenAPI document, with everything in it that was registered until now."""
        with self._describing:
            while self._undescribed:
                self._undescribed.pop(0)(self._spec)
            return self._spec

    @spec.setter
    def spec(self, spec: APISpec) -> None:
        self._spec = spec

    def describe(self, description: Callable[[APISpec], None]) -> None:
        """Have *description* called with the OpenAPI document before anybody sees that."""
        self._undescribed.append(description)

    def register_blueprint(self, blp: Any, *, parameters: Any = None, **options: Any) -> None:
        """Serve the routes of *blp*, and have them described in the OpenAPI document.

        :param parameters: of the address that *blp* is served under, as the document describes them
        :param options: those of Flask's ``register_blueprint``
        """
        name = options.get("name", blp.name)
        self._app.extensions["flask-smorest"]["blp_name_to_api"][name] = self
        self._app.register_blueprint(blp, **options)
        self.describe(partial(self._describe_blueprint, blp, name, parameters))

    def _describe_blueprint(self, blp: Any, name: str, parameters: Any, spec: APISpec) -> None:
        blp.register_views_in_doc(self, self._app, spec, name=name, parameters=parameters)
        spec.tag({"name": name, "description": blp.description})

    def _make_doc_blueprint_name(self) -> str:
        """Leave the usual name to the API that an extension, or the tests of one, may make beside this."""
        return f"dserver-{super()._make_doc_blueprint_name()}"

    def init_app(self, app: Flask, **options: Any) -> None:
        """Initialise the API of *app*."""
        # An empty address, as the environment gives it, means none; flask-smorest makes a broken page of it.
        for address in ("OPENAPI_SWAGGER_UI_URL", "OPENAPI_REDOC_URL"):
            app.config[address] = app.config.get(address) or None
        super().init_app(app, **options)


def init_docs(app: Flask, api: Api) -> None:
    """Describe the server in the OpenAPI document, and add the documentation pages to *app*.

    The pages are at ``OPENAPI_URL_PREFIX`` + ``OPENAPI_SWAGGER_UI_PATH`` and ``OPENAPI_REDOC_PATH``; a page whose
    setting is None is left out, and so are both where the prefix is None. Call this once *api* is initialised.
    """
    api.describe(_describe_authentication)
    prefix = app.config.get("OPENAPI_URL_PREFIX")
    if prefix is None:
        return
    pages = _Pages(app, api, posixpath.join("/", prefix))
    api.describe(pages.describe_server)
    app.register_blueprint(pages.blueprint())


def _describe_authentication(spec: APISpec) -> None:
    if "bearerAuth" not in spec.components.security_schemes:
        spec.components.security_scheme("bearerAuth", BEARER_AUTH)


def for_visitors(app: Flask) -> str:
    """Return a sentence for whoever opens the bare address of the server, in a browser perhaps."""
    prefix, page = (app.config.get(f"OPENAPI_{name}") for name in ("URL_PREFIX", "SWAGGER_UI_PATH"))
    if prefix is None or page is None:
        return "This is the REST API of dservercore, which has no page here: use one of its clients"
    address = f"{request.script_root}{posixpath.join('/', prefix, page.lstrip('/'))}"
    return (
        f"This is the REST API of dservercore, which has no page here: {address} has a form for every request, "
        "and clients such as dtool-lookup-gui and dtool-lookup-api search for you"
    )


class _Pages:
    """The documentation pages of one app. All addresses in them are relative, for the sake of proxies."""

    def __init__(self, app: Flask, api: Api, prefix: str):
        self.config = app.config
        self.api = api
        self.prefix = prefix
        self.assets_path = posixpath.join(prefix, "assets")
        self.spec_path = posixpath.join(
            prefix, app.config.get("OPENAPI_JSON_PATH", "openapi.json").lstrip("/")
        )

    def describe_server(self, spec: APISpec) -> None:
        # Relative to the document, so that "try it out" works below whatever path a proxy puts the server.
        this_server = {"url": _relative("/", self.spec_path), "description": "this server"}
        spec.options.setdefault("servers", [this_server])

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
