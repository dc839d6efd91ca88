"""The application factory: wiring only."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from flask import Flask

from dservercore import db, plugin_host
from dservercore.catalog import events, jobs, orm_rows
from dservercore.catalog.journal import replay
from dservercore.compat import plugin_tables
from dservercore.db import (
    DatabaseAwayError,
    at_end_of_transaction,
    close_connections,
    forget_unfinished,
    init_databases,
    require_upgraded,
    watch_engines,
)
from dservercore.errors import ConfigurationError
from dservercore.printable import printable
from dservercore.settings import misspellings
from dservercore.settings.configuration import read_environment, with_defaults
from dservercore.settings.keys import exposed_files
from dservercore.settings.secrecy import Redacting, secrets_of

_SERVING_COMMANDS = ("serve", "run")


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
    # Importing what answers requests takes as long as all else that a short command does.
    routes = import_module("dservercore.routes") if test_config is not None or _needs_routes() else None
    app: Flask = routes.new_app() if routes else Flask("dservercore", static_folder=None)
    app.config.from_mapping(read_environment() if test_config is None else with_defaults(test_config))
    init_logging(app)
    plugins = plugin_host.load_plugins(app, take_settings=test_config is None)
    hide_secrets(app)  # with those of the plugins
    # Before a plugin makes an API of its own, which would take the place of our document.
    rest = routes.prepare(app, has_workers=_has_workers()) if routes else None
    init_databases(app, serves=not _is_a_command(), must_exist=test_config is None and _needs_database())
    watch_engines()
    init_catalog(app)
    plugin_host.init_plugins(app, plugins)
    if routes:
        routes.mount(app, rest, plugins)
    init_extensions(app, plugins)
    if test_config is None:
        warn_of_unknown_variables(app)
    if test_config is None and _is_about_to_serve():
        warn_of_exposed_files(app)
        with app.app_context():
            require_usable_database()
            replay.replay_at_start()
            tell_extensions_before_serving(plugins)
            close_connections()  # gunicorn --preload forks now, and two processes must not share one
    return app


def init_catalog(app: Flask) -> None:
    """Have the catalog told when transactions end, and what plugins delete through the models."""
    orm_rows.watch_deletions()
    at_end_of_transaction(replay.end_of_transaction)
    app.teardown_appcontext(forget_unfinished)


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


def warn_of_unknown_variables(app: Flask) -> None:
    """Tell the administrator which variables of the environment look like settings, and are none."""
    warnings = list(
        misspellings.warnings(os.environ, app.config, is_alone=not plugin_host.has_foreign_plugins())
    )
    if warnings and misspellings.is_first_worker():
        for warning in warnings:
            logging.getLogger("dservercore").warning("%s", warning)


def require_usable_database() -> None:
    """Pass if the database is one of ours and up to date, or does not answer: it is served when it does.

    :raises ConfigurationError: otherwise
    """
    try:
        require_upgraded()
        plugin_tables.require_there()
    except DatabaseAwayError as error:
        logging.getLogger("dservercore").warning("Until it can be, requests get a 503. %s", error.message)


def tell_extensions_before_serving(plugins: plugin_host.PluginSet) -> None:
    """Tell each extension that requests are about to be answered. One that fails is logged."""
    for extension in plugins.extensions:
        try:
            extension.before_serving()
        except Exception:
            logging.getLogger("dservercore").exception(
                "The extension %s failed before serving", type(extension).__name__
            )


def init_extensions(app: Flask, plugins: plugin_host.PluginSet) -> None:
    """Add the migrations, commands and jobs of the extensions, and have them told of what is committed."""
    db.init_branches(
        app,
        [
            db.Branch(plugin_host.name_of(extension), Path(directory))
            for extension in plugins.extensions
            if (directory := extension.get_migrations()) is not None
        ],
    )
    for extension in plugins.extensions:
        for command in extension.get_commands():
            app.cli.add_command(command)
    jobs.init_jobs(app, [extension.get_job_handlers() for extension in plugins.extensions])
    events.watch()
    db.at_end_of_transaction(events.tell)
    # Before what is left open is rolled back; a plugin that commits by itself has done so by then.
    app.teardown_appcontext(events.tell)


def _is_about_to_serve() -> bool:
    """Return whether the application is made to answer requests: by ``flask serve``, ``flask run`` or gunicorn."""
    context = click.get_current_context(silent=True)
    return context.info_name in _SERVING_COMMANDS if context else _under_gunicorn()


def _has_workers() -> bool:
    """Return whether several processes may answer requests: those of ``flask serve`` or gunicorn."""
    context = click.get_current_context(silent=True)
    return context.info_name == "serve" if context else _under_gunicorn()


def _is_a_command() -> bool:
    """Return whether the application is made to do one thing, however long that takes."""
    context = click.get_current_context(silent=True)
    return context is not None and context.info_name not in _SERVING_COMMANDS


def _needs_routes() -> bool:
    """Return whether the application may be asked for what it answers requests with: not by our own short commands."""
    if not _is_a_command() or plugin_host.has_foreign_plugins():
        return True
    return getattr(click.get_current_context().command, "needs_routes", True)


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
