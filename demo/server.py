"""The demo's server: administered with the product's own commands, as a user would."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import NoReturn

import click
from click.testing import CliRunner, Result
from flask.cli import cli

from demo.console import DemoError

# Settings of the person's own server (or tests), which must not leak into the demo.
FOREIGN_SETTINGS = (
    "API_SPEC_",
    "DEFAULT_USER",
    "DISABLE_JWT_",
    "DSERVER_",
    "FLASK_",
    "GUNICORN_",
    "JWT_",
    "OPENAPI_",
    "RETRIEVE_",
    "SEARCH_",
    "SECRET_KEY",
    "SQLALCHEMY_",
)
WORKERS = 2
INTERRUPTED = 130  # exit status, as a shell gives it to a program that Ctrl-C ended


class Server:
    """The server whose database and keys are in `data_directory`."""

    def __init__(self, data_directory: Path) -> None:
        for name in list(os.environ):
            if name.startswith(FOREIGN_SETTINGS):
                del os.environ[name]
        os.environ["DSERVER_DATA_DIR"] = str(data_directory)
        os.environ["FLASK_APP"] = "dservercore"
        os.environ["FLASK_SKIP_DOTENV"] = "1"

    def flask(self, *arguments: str) -> Result:
        """Run the ``flask`` command with the arguments; return the result, with what it printed.

        It runs in this process, as starting another one for each command would take most of the time.

        Raises DemoError with what it said if it fails, KeyboardInterrupt if Ctrl-C ended it.
        """
        result = CliRunner().invoke(cli, arguments, prog_name="flask", standalone_mode=False)
        failure = result.exception
        if isinstance(failure, click.Abort) or getattr(failure, "exit_code", 0) == INTERRUPTED:
            raise KeyboardInterrupt
        if failure:
            reason = failure.format_message() if isinstance(failure, click.ClickException) else repr(failure)
            raise DemoError(f"`flask {shlex.join(arguments)}` failed:", result.output + reason)
        return result

    def serve(self, host: str, port: str) -> NoReturn:
        """Become the server: this process ends when it does, and Ctrl-C reaches it directly."""
        options = ["--host", host, "--port", port, "--workers", str(WORKERS)]
        command = [sys.executable, "-m", "flask", "serve", *options]
        sys.stdout.flush()
        os.execv(sys.executable, command)
