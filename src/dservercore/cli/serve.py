"""``flask serve``: serve others, with or without a proxy in front."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import click
from flask.cli import ScriptInfo

from dservercore import db
from dservercore.catalog import jobs as catalog_jobs
from dservercore.cli.console import CommandWithoutDatabase, Failure, count_of, require_server, say
from dservercore.db import sql_db
from dservercore.serving.encryption import check_certificate
from dservercore.serving.options import MISCONFIGURED, Serving
from dservercore.serving.sockets import listening_socket
from dservercore.settings import misspellings
from dservercore.settings.table import SERVING_SETTINGS, Setting

_SETTINGS: dict[str, Setting] = {setting.name: setting for setting in SERVING_SETTINGS}


class _Option(click.Option):
    """An option whose variable counts unless Kubernetes has set it: to the address of a service called dserver."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Return the value of the variable; None: there is none."""
        value = super().resolve_envvar_value(ctx)
        return None if value and misspellings.is_of_kubernetes(value) else value


def _option(flag: str, variable: str, **attributes: Any) -> Any:
    setting = _SETTINGS[variable]
    return click.option(
        flag,
        cls=_Option,
        envvar=variable,
        default=attributes.pop("default", setting.default),
        show_envvar=True,
        help=setting.help,
        **attributes,
    )


def default_workers() -> int:
    """Return the number of processors that the server may use, up to 8."""
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 8)


_FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


@click.command(name="serve", cls=CommandWithoutDatabase)
@_option("--host", "DSERVER_HOST", show_default=True)
@_option("--port", "DSERVER_PORT", type=click.IntRange(1, 65_535), show_default=True)
@_option("--unix-socket", "DSERVER_UNIX_SOCKET", default=None, type=click.Path(path_type=Path))
@_option("--workers", "DSERVER_WORKERS", default=None, type=click.IntRange(1, 1000))
@_option("--threads", "DSERVER_THREADS", type=click.IntRange(1, 1000), show_default=True)
@_option("--connections", "DSERVER_CONNECTIONS", type=click.IntRange(1, 1_000_000), show_default=True)
@_option("--backlog", "DSERVER_BACKLOG", type=click.IntRange(128, 65_535), show_default=True)
@_option("--client-timeout", "DSERVER_CLIENT_TIMEOUT", type=click.IntRange(1, 86_400), show_default=True)
@_option("--graceful-timeout", "DSERVER_GRACEFUL_TIMEOUT", type=click.IntRange(1, 86_400), show_default=True)
@_option("--jobs/--no-jobs", "DSERVER_SERVE_JOBS", show_default=True)
@_option("--certificate", "DSERVER_CERTIFICATE", default=None, type=_FILE)
@_option("--key", "DSERVER_CERTIFICATE_KEY", default=None, type=_FILE)
@click.pass_context
def serve_command(
    ctx: click.Context,
    host: str,
    port: int,
    unix_socket: Path | None,
    workers: int | None,
    threads: int,
    connections: int,
    backlog: int,
    client_timeout: int,
    graceful_timeout: int,
    jobs: bool,
    certificate: Path | None,
    key: Path | None,
) -> None:
    """Serve many users at once.

    Clients that are slow, or idle, wait in the server and hold up nobody, so that it may face the network as it is; a
    proxy in front is for what a proxy does besides. SIGTERM and Ctrl-C end it once the requests in flight are answered.

    \b
      flask serve
      flask serve --host 0.0.0.0 --port 8000 --workers 4
    """
    if bool(certificate) != bool(key):
        raise click.UsageError("--certificate and --key belong together.", ctx)
    database, has_jobs = _application(ctx)
    serving = Serving(
        host=host,
        port=port,
        unix_socket=unix_socket.absolute() if unix_socket else None,
        workers=workers or default_workers(),
        threads=threads,
        connections=connections,
        backlog=backlog,
        client_seconds=client_timeout,
        graceful_seconds=graceful_timeout,
        does_jobs=jobs and has_jobs,
        certificate=certificate,
        key=key,
    )
    _check_certificate(certificate, key)
    try:
        listening = listening_socket(serving)
    except OSError as error:
        raise Failure(f"Cannot listen on {serving.address}: {error.strerror or error}") from None
    from dservercore.serving.server import serve  # every other command starts sooner without what this brings

    application = ctx.ensure_object(ScriptInfo).app_import_path
    serve(application, serving, listening, lambda: _say_what_it_does(serving, database))


def _check_certificate(certificate: Path | None, key: Path | None) -> None:
    """Pass if there is neither a certificate nor a key, or the server can speak TLS with them.

    :raises Failure: otherwise
    """
    if not (certificate and key):
        return
    try:
        check_certificate(certificate, key)
    except ValueError as error:
        failure: Any = Failure(f"Cannot serve TLS: {error}")
        failure.exit_code = MISCONFIGURED
        raise failure from None


def _application(ctx: click.Context) -> tuple[str, bool]:
    """Return where the database is, of the application that is about to be served, and whether it has jobs to do.

    :raises click.ClickException: in one line, if it cannot be served as it is configured
    """
    try:
        app = ctx.ensure_object(ScriptInfo).load_app()
    except click.ClickException as error:
        cast(Any, error).exit_code = MISCONFIGURED
        raise
    with app.app_context():
        require_server()
        url = sql_db.engine.url
        place = url.database if url.get_backend_name() == "sqlite" else db.address()
        sql_db.engine.dispose()
        return str(place), bool(catalog_jobs.handlers())


def _say_what_it_does(serving: Serving, database: str) -> None:
    workers, threads = count_of(serving.workers, "worker"), count_of(serving.threads, "thread")
    how = f"{workers} of {threads}, database {database}"
    say(f"dservercore {version('dservercore')} serves {serving.address} ({how})", err=True)
    if not serving.unix_socket:
        say(f"The API is described at {serving.address}/doc/swagger; Ctrl-C ends the server.", err=True)
