"""The application factory: wiring only."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Mapping
from typing import Any

import click
import flask_smorest
from flask import Flask

from dservercore import api, plugin_host
from dservercore.api.docs import init_docs
from dservercore.api.edge import Edge
from dservercore.api.edits import STORAGE_UPDATED
from dservercore.api.errors import JSONErrorApi, init_errors
from dservercore.api.etags import ETAG
from dservercore.api.proxies import TrustedProxies
from dservercore.api.request_log import REQUEST_ID, init_request_log
from dservercore.api.retries import RetryingFlask
from dservercore.api.security_headers import Headers, init_cors
from dservercore.api.uris_in_paths import CONVERTERS, URIConverter
from dservercore.catalog import records, settling
from dservercore.config import read_environment, with_defaults
from dservercore.db import close_connections, forget_unfinished, init_databases, jwt, ma, require_upgraded
from dservercore.errors import ConfigurationError
from dservercore.keys import exposed_files
from dservercore.printable import printable
from dservercore.secrecy import Redacting, secrets_of


def create_app(test_config: Mapping[str, Any] | None = None) -> Flask:
    """Return the application.

    :param test_config: the whole configuration; None: read it from the environment
    :raises ConfigurationError: in one line; under ``flask`` and gunicorn, the line alone is printed
    """
    try:
        return _create_app(test_config)
    except ConfigurationError as error:
        _stop(error)
        raise


def _create_app(test_config: Mapping[str, Any] | None) -> Flask:
    app = RetryingFlask("dservercore", static_folder=None)
    app.config.from_mapping(read_environment() if test_config is None else with_defaults(test_config))
    init_logging(app)
    plugins = plugin_host.load_plugins(app, take_settings=test_config is None)
    hide_secrets(app)  # with those of the plugins
    app.url_map.converters.update(CONVERTERS)
    init_edge(app)
    init_request_log(app)
    init_errors(app)
    init_databases(app, serves=not _is_a_command(), must_exist=test_config is None and _needs_database())
    records.watch_deletions()
    app.teardown_appcontext(forget_unfinished)
    ma.init_app(app)
    init_tokens(app)
    plugin_host.init_plugins(app, plugins)
    init_routes(app, plugins)
    if test_config is None and _is_about_to_serve():
        warn_of_exposed_files(app)
        with app.app_context():
            require_upgraded()
            settling.replay_at_start()
            close_connections()  # gunicorn --preload forks now, and two processes must not share one
    return app


def init_edge(app: Flask) -> None:
    """Put around the application what every request and every answer goes through."""
    exposed = ["X-Pagination", "X-Sort", STORAGE_UPDATED, REQUEST_ID, ETAG]
    init_cors(app, exposed)
    edge = Edge(app.wsgi_app, Headers(app.config, exposed))
    app.wsgi_app = TrustedProxies(edge, app.config["DSERVER_TRUSTED_PROXIES"])  # type: ignore[method-assign]


def init_logging(app: Flask) -> None:
    """Send what the package logs to stderr, from the configured level up."""
    logger = logging.getLogger("dservercore")
    logger.setLevel(app.config["DSERVER_LOG_LEVEL"])
    if not logger.handlers and not logging.getLogger().handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(Redacting("%(asctime)s %(levelname)s %(message)s"))
        logger.addHandler(handler)
        logger.propagate = False
    hide_secrets(app)


def hide_secrets(app: Flask) -> None:
    """Keep the secrets of the configuration out of the log."""
    for handler in logging.getLogger("dservercore").handlers:
        if isinstance(handler.formatter, Redacting):
            handler.formatter.hide(secrets_of(app.config))


def warn_of_exposed_files(app: Flask) -> None:
    """Tell the administrator which files with secrets other users of the machine can read."""
    for path in exposed_files(app.config):
        logging.getLogger("dservercore").warning(
            "%s can be read by every user of this machine: chmod o-rwx %s", path, shlex.quote(str(path))
        )


def init_tokens(app: Flask) -> None:
    """Make tokens that this server accepts itself."""
    audiences = app.config["JWT_DECODE_AUDIENCE"]
    app.config.setdefault("JWT_ENCODE_ISSUER", app.config["JWT_DECODE_ISSUER"])
    app.config.setdefault("JWT_ENCODE_AUDIENCE", audiences[0] if isinstance(audiences, list) else audiences)
    jwt.init_app(app)


def init_routes(app: RetryingFlask, plugins: plugin_host.PluginSet) -> None:
    """Mount the resources, then those of the extensions, and the documentation of both."""
    rest = JSONErrorApi(app)
    rest.register_converter(URIConverter, URIConverter.documentation)
    for resource in api.RESOURCES:
        rest.register_blueprint(resource)
    app.repeatable = frozenset(resource.name for resource in api.RESOURCES)
    for extension in plugins.extensions:
        rest.register_blueprint(_blueprint_of(extension))
    init_docs(app, rest)


def _blueprint_of(extension: plugin_host.ExtensionABC) -> flask_smorest.Blueprint:
    blueprint = extension.get_blueprint()
    if not isinstance(blueprint, flask_smorest.Blueprint):
        raise ConfigurationError(
            f"The extension {type(extension).__name__} has no flask_smorest or dservercore blueprint"
        )
    return blueprint


def _is_about_to_serve() -> bool:
    """Return whether the application is made to answer requests: by ``flask run`` or by gunicorn."""
    context = click.get_current_context(silent=True)
    return context.info_name == "run" if context else _under_gunicorn()


def _is_a_command() -> bool:
    """Return whether the application is made to do one thing, however long that takes."""
    context = click.get_current_context(silent=True)
    return context is not None and context.info_name != "run"


def _needs_database() -> bool:
    """Return whether the application is made for something that has no use for a new, empty database."""
    context = click.get_current_context(silent=True)
    return _is_about_to_serve() or bool(context and getattr(context.command, "needs_database", False))


def _under_gunicorn() -> bool:
    return os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn")


def _stop(error: ConfigurationError) -> None:
    """End the process with the one line of the error, where that is how its program reports one."""
    if click.get_current_context(silent=True):
        raise click.ClickException(printable(error.message, sys.stderr.encoding or "utf-8")) from error
    if _under_gunicorn():
        print(f"Error: {printable(error.message, sys.stderr.encoding or 'utf-8')}", file=sys.stderr)
        # gunicorn's own code for an application that cannot be loaded: it does not try again.
        raise SystemExit(4)
