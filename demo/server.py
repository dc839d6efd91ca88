"""The demo's server: administered with the product's own commands, as a user would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

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


class Server:
    """The server whose database and keys are in `data_directory`."""

    def __init__(self, data_directory: Path) -> None:
        own = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_SETTINGS)}
        self._environment = own | {
            "DSERVER_DATA_DIR": str(data_directory),
            "FLASK_APP": "dservercore",
            "FLASK_SKIP_DOTENV": "1",
        }

    def flask(self, *arguments: str) -> str:
        """Run ``flask`` with the arguments; return what it printed on standard output.

        Raises DemoError with what it said if it fails.
        """
        command = [sys.executable, "-m", "flask", *arguments]
        run = subprocess.run(command, env=self._environment, capture_output=True, text=True)
        if run.returncode:
            raise DemoError(f"`flask {' '.join(arguments)}` failed:", run.stdout + run.stderr)
        return run.stdout

    def users(self) -> dict[str, Any]:
        """Return the registered users, as ``flask user list`` shows them, by username."""
        return {user["username"]: user for user in json.loads(self.flask("user", "list"))}

    def base_uris(self) -> list[str]:
        return [entry["base_uri"] for entry in json.loads(self.flask("base_uri", "list"))]

    def serve(self, host: str, port: str) -> NoReturn:
        """Become the server: this process ends when it does, and Ctrl-C reaches it directly."""
        options = ["--bind", f"{host}:{port}", "--workers", str(WORKERS), "--log-level", "warning"]
        command = [sys.executable, "-m", "gunicorn", *options, "dservercore:create_app()"]
        sys.stdout.flush()
        os.execve(sys.executable, command, self._environment)
