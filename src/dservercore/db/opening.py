"""Connecting the application to its SQL database and to the migrations."""

from __future__ import annotations

from pathlib import Path

from flask import Flask
from flask_migrate import Migrate
from sqlalchemy import event, make_url
from sqlalchemy.exc import ArgumentError

from dservercore.db import servers, sqlite_files
from dservercore.db.engine import sql_db
from dservercore.db.revisions import migrations_directory
from dservercore.errors import ConfigurationError

migrate = Migrate()


def init_databases(app: Flask, serves: bool = True, must_exist: bool = False) -> None:
    """Connect *app* to its SQL database, and to the migrations.

    :param serves: whether requests will wait for the database, so that waiting has time limits
    :param must_exist: do not let SQLite make a file where there is none
    :raises ConfigurationError: if the address is malformed, its driver is not installed, or its file is not there
    """
    url = make_url(app.config["SQLALCHEMY_DATABASE_URI"])
    try:
        file = sqlite_files.file_of(app, url)
        if file:
            sqlite_files.require_readable(file)
        if must_exist:
            sqlite_files.require_file(file)
        if file and file.is_relative_to(app.instance_path):
            sqlite_files.make_directory(Path(app.instance_path))  # or Flask-SQLAlchemy makes it for everybody
        configured = app.config.get("SQLALCHEMY_ENGINE_OPTIONS") or {}
        app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {**servers.engine_options(url, serves), **configured}
        sqlite_files.prepare_connections()
        sql_db.init_app(app)
        with app.app_context():
            servers.prepare(sql_db.engine, serves)
            if file:
                event.listen(sql_db.engine, "do_connect", sqlite_files.make_private)
    except (ArgumentError, ValueError, TypeError):  # a parameter of another kind
        raise ConfigurationError(
            "SQLALCHEMY_DATABASE_URI: not a database address (dialect://user:password@host/name)"
        ) from None
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"SQLALCHEMY_DATABASE_URI: the driver {error.name!r} for {url.drivername} is not installed"
        ) from None
    migrate.init_app(
        app, sql_db, directory=str(migrations_directory()), compare_type=True, render_as_batch=True
    )
