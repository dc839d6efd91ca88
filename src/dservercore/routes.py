"""Wires what answers requests: middleware, tokens, resources, their documentation, pages."""

from __future__ import annotations

from importlib import import_module

import flask_smorest
from flask import Flask, request

from dservercore import api, plugin_host
from dservercore.api import metrics as metrics_page
from dservercore.api.edits import STORAGE_UPDATED
from dservercore.api.uris import X_SEARCH
from dservercore.auth import guards
from dservercore.auth.decoded_tokens import jwt
from dservercore.auth.ldap import init_ldap
from dservercore.catalog.journal import replay
from dservercore.catalog.metrics import Recorder, init_metrics
from dservercore.errors import ConfigurationError
from dservercore.middleware.around_requests import AroundRequests
from dservercore.middleware.proxies import TrustedProxies
from dservercore.middleware.request_log import REQUEST_ID, init_request_log
from dservercore.middleware.security_headers import Headers, init_cors
from dservercore.rest.documentation import init_docs
from dservercore.rest.errors import JSONErrorApi, init_errors
from dservercore.rest.etags import ETAG
from dservercore.rest.model_schemas import ma
from dservercore.rest.retries import RetryingFlask
from dservercore.rest.uris_in_paths import CONVERTERS, URIConverter
from dservercore.settings.configuration import checked_token_locations
from dservercore.settings.table import OIDC_PROVIDERS
from dservercore.web.pages import init_web


def new_app() -> RetryingFlask:
    """Return an application that answers no request yet."""
    return RetryingFlask("dservercore", static_folder=None)


def prepare(app: RetryingFlask, has_workers: bool = False) -> JSONErrorApi:
    """Have requests handled as they are on every route, and return the API that resources are mounted on.

    :param has_workers: whether several processes answer requests
    """
    app.url_map.converters.update(CONVERTERS)
    # werkzeug would lead from /users//anna to /users/anna, who is somebody else.
    app.url_map.merge_slashes = app.url_map.redirect_defaults = False
    init_middleware(app, init_metrics(app, has_workers))
    init_request_log(app)
    init_errors(app)
    init_journal(app)
    ma.init_app(app)
    init_tokens(app)
    init_ldap(app)
    return JSONErrorApi(app)


def mount(app: RetryingFlask, rest: JSONErrorApi, plugins: plugin_host.PluginSet) -> None:
    """Mount the resources, those of the extensions, the documentation of both, and the pages."""
    init_resources(app, rest, plugins)
    metrics_page.add_to(app)
    if app.config["DSERVER_WEB"]:
        static = [extension.get_static_files() for extension in plugins.extensions]
        init_web(
            app,
            [pages for extension in plugins.extensions for pages in extension.get_pages()],
            [directory for directory in static if directory is not None],
        )
    if app.config[OIDC_PROVIDERS]:
        init_providers(app)


def init_providers(app: Flask) -> None:
    """Have people sign in with the providers of OpenID Connect that are configured.

    :raises ConfigurationError: if what that takes is not installed
    """
    try:
        oidc = import_module("dservercore.web.oidc")
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        if package not in ("authlib", "joserfc", "requests"):
            raise
        raise ConfigurationError(
            f"{OIDC_PROVIDERS}: there is no {package} here: pip install 'dservercore[oidc]'"
        ) from None
    oidc.init_oidc(app)


def init_middleware(app: Flask, metrics: Recorder | None = None) -> None:
    """Put around the application what every request and every answer goes through.

    :param metrics: counts requests; None: nobody does
    """
    exposed = ["X-Pagination", "X-Sort", X_SEARCH, STORAGE_UPDATED, REQUEST_ID, ETAG, "Retry-After", "Allow"]
    # Of extensions, which need not be there: a bounded graph; a part of a file, and its name.
    exposed += ["X-Graph", "Content-Range", "Content-Disposition"]
    init_cors(app, exposed)
    around = AroundRequests(app.wsgi_app, Headers(app.config, exposed), metrics)
    app.wsgi_app = TrustedProxies(around, app.config["DSERVER_TRUSTED_PROXIES"])  # type: ignore[method-assign]


def init_journal(app: RetryingFlask) -> None:
    """Have requests undo or finish what processes have left that were killed while they wrote."""

    @app.before_request
    def settle_what_is_left() -> None:
        if request.blueprint in app.repeatable:
            replay.replay_in_new_process()
            if request.method not in ("GET", "HEAD", "OPTIONS"):
                replay.catch_up()


def init_tokens(app: Flask) -> None:
    """Configure the library of tokens: where they are looked for, and that this server accepts those that it makes."""
    app.config["JWT_TOKEN_LOCATION"] = checked_token_locations(app.config["JWT_TOKEN_LOCATION"])
    audiences = app.config["JWT_DECODE_AUDIENCE"]
    app.config.setdefault("JWT_ENCODE_ISSUER", app.config["JWT_DECODE_ISSUER"])
    app.config.setdefault("JWT_ENCODE_AUDIENCE", audiences[0] if isinstance(audiences, list) else audiences)
    app.before_request(guards.read_scheme_in_any_case)
    jwt.init_app(app)


def init_resources(app: RetryingFlask, rest: JSONErrorApi, plugins: plugin_host.PluginSet) -> None:
    """Mount the resources, then those of the extensions, and the documentation of both."""
    rest.register_converter(URIConverter, URIConverter.documentation)
    for resource in api.RESOURCES:
        rest.register_blueprint(resource)
    app.repeatable = frozenset(resource.name for resource in api.RESOURCES)
    for extension in plugins.extensions:
        blueprints = _blueprints_of(extension)
        for blueprint in blueprints:
            rest.register_blueprint(blueprint)
        if extension.repeatable:
            app.repeatable |= {blueprint.name for blueprint in blueprints}
    init_docs(app, rest)


def _blueprints_of(extension: plugin_host.ExtensionABC) -> list[flask_smorest.Blueprint]:
    blueprints = list(extension.get_blueprints())
    for blueprint in blueprints:
        if not isinstance(blueprint, flask_smorest.Blueprint):
            raise ConfigurationError(
                f"The extension {type(extension).__name__} has no flask_smorest or dservercore blueprint"
            )
    return blueprints
