"""The application factory: wiring only."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import Any

import click
import flask_smorest
from flask import Flask
from flask_cors import CORS

from dservercore import api, plugin_host
from dservercore.api.docs import init_docs
from dservercore.api.edits import STORAGE_UPDATED
from dservercore.api.errors import JSONErrorApi, init_errors
from dservercore.api.request_log import REQUEST_ID, init_request_log
from dservercore.api.uris_in_paths import CONVERTERS, URIConverter
from dservercore.config import read_environment, with_defaults
from dservercore.db import close_connections, init_databases, jwt, ma, require_upgraded
from dservercore.errors import ConfigurationError


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
    app = Flask("dservercore", static_folder=None)
    app.config.from_mapping(read_environment() if test_config is None else with_defaults(test_config))
    init_logging(app)
    plugins = plugin_host.load_plugins(app, take_settings=test_config is None)
    app.url_map.converters.update(CONVERTERS)
    CORS(app, expose_headers=["X-Pagination", "X-Sort", STORAGE_UPDATED, REQUEST_ID])
    init_request_log(app)
    init_errors(app)
    init_databases(app, must_exist=test_config is None and _needs_database())
    ma.init_app(app)
    jwt.init_app(app)
    plugin_host.init_plugins(app, plugins)
    init_routes(app, plugins)
    if test_config is None and _is_about_to_serve():
        with app.app_context():
            require_upgraded()
            close_connections()  # gunicorn --preload forks now, and two processes must not share one
    return app


def init_logging(app: Flask) -> None:
    """Send what the package logs to stderr, from the configured level up."""
    logger = logging.getLogger("dservercore")
    logger.setLevel(app.config["DSERVER_LOG_LEVEL"])
    if not logger.handlers and not logging.getLogger().handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger.addHandler(handler)
        logger.propagate = False


def init_routes(app: Flask, plugins: plugin_host.PluginSet) -> None:
    """Mount the resources, then those of the extensions, and the documentation of both."""
    rest = JSONErrorApi(app)
    rest.register_converter(URIConverter, URIConverter.documentation)
    for resource in api.RESOURCES:
        rest.register_blueprint(resource)
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


def _needs_database() -> bool:
    """Return whether the application is made for something that has no use for a new, empty database."""
    context = click.get_current_context(silent=True)
    return _is_about_to_serve() or bool(context and getattr(context.command, "needs_database", False))


def _under_gunicorn() -> bool:
    return os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn")


def _stop(error: ConfigurationError) -> None:
    """End the process with the one line of the error, where that is how its program reports one."""
    if click.get_current_context(silent=True):
        raise click.ClickException(error.message) from error
    if _under_gunicorn():
        print(f"Error: {error.message}", file=sys.stderr)
        # gunicorn's own code for an application that cannot be loaded: it does not try again.
        raise SystemExit(4)
