"""Our own server, on SQLite as it is without settings, or on a database of PostgreSQL."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, make_url, text

import dservercore
from benchmarks.installations import Keys, Served, run_side
from benchmarks.processes import Gunicorn, environment
from benchmarks.workload import Workload

PYTHON = Path(sys.executable)
#: What is measured is the package that is imported here, also where another copy of it is installed.
CODE = Path(dservercore.__file__).parents[1]
APPLICATION = "dservercore:create_app()"
POSTGRESQL = "postgresql://postgres@127.0.0.1:5432/postgres"


class Ours:
    """Our server with the datasets of a workload, kept in *work* or in a database of PostgreSQL.

    :param database: ``sqlite``, or the address of a PostgreSQL server on which databases may be made
    :param settings: further settings of the server, which is nevertheless kept in the same place
    """

    def __init__(
        self,
        work: Path,
        keys: Keys,
        workload: Workload,
        database: str = "sqlite",
        settings: Mapping[str, str] = {},
    ) -> None:
        self.name = "sqlite" if database == "sqlite" else "postgresql"
        self._folder = work / f"{self.name}-{workload.size}-{workload.seed}"
        self._keys, self._workload = keys, workload
        self._settings = {
            "FLASK_APP": "dservercore",
            "PYTHONPATH": str(CODE),
            "DSERVER_DATA_DIR": str(self._folder),
            **settings,
        }
        self._server = None if database == "sqlite" else make_url(database)
        if self._server is not None:
            place = hashlib.sha256(str(work).encode()).hexdigest()[:8]  # each folder has databases of its own
            self._database = f"dservercore_benchmark_{workload.size}_{workload.seed}_{place}"
            address = self._server.set(database=self._database).render_as_string(hide_password=False)
            self._settings["SQLALCHEMY_DATABASE_URI"] = address

    @property
    def _environment(self) -> dict[str, str]:
        return environment(**self._settings, **self._keys.settings)

    def fill(self) -> None:
        complete = self._folder / "complete.json"
        if complete.exists():
            self.flask("db", "upgrade")  # to the code of today
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        self._make_database()
        self.flask("db", "upgrade")
        print(f"Filling ours on {self.name} with {self._workload.size} datasets ...", file=sys.stderr)
        complete.write_text(json.dumps(self._run("fill")))

    def begin_anew(self) -> None:
        """Let :meth:`fill` register the datasets once more."""
        (self._folder / "complete.json").unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the datasets, and everything that is kept with them."""
        self._maintain("DROP DATABASE IF EXISTS {} WITH (FORCE)")
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def filled(self) -> dict[str, Any]:
        """What was measured when the datasets were registered."""
        figures: dict[str, Any] = json.loads((self._folder / "complete.json").read_text())
        return figures

    def disk_bytes(self) -> int:
        """Return the size of the database."""
        if self._server is None:
            return sum(file.stat().st_size for file in self._folder.glob("*.db*"))
        with create_engine(self._settings["SQLALCHEMY_DATABASE_URI"]).connect() as connection:
            return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())

    def _make_database(self) -> None:
        """Make the database anew: what is there is from a run that was stopped."""
        for file in self._folder.glob("*.db*"):
            file.unlink()
        self._maintain("DROP DATABASE IF EXISTS {} WITH (FORCE)", "CREATE DATABASE {}")

    def _maintain(self, *statements: str) -> None:
        if self._server is not None:
            engine = create_engine(self._server, isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                for statement in statements:
                    connection.execute(text(statement.format(self._database)))
            engine.dispose()

    def flask(self, *arguments: str) -> None:
        """Run a command of the server."""
        command: list[str | Path] = [PYTHON, "-m", "flask", *arguments]
        subprocess.run(command, check=True, env=self._environment, capture_output=True)

    def _run(self, action: str, *options: str) -> dict[str, Any]:
        return run_side(PYTHON, "ours_side", action, self._workload, self._environment, options)

    @contextmanager
    def serve(self) -> Iterator[Served]:
        with Gunicorn(PYTHON, APPLICATION, self._folder, self._environment) as gunicorn:
            yield Served(gunicorn.address, self._keys.token, gunicorn)

    def register(self, extra: int, seconds: float) -> float:
        done = self._run("register", "--extra", str(extra), "--seconds", str(seconds))
        return float(done["datasets"] / done["seconds"])

    def forget(self, extra: int) -> None:
        left = self._run("forget", "--extra", str(extra))["datasets"]
        if left != self._workload.size:
            raise RuntimeError(f"{self._folder} has {left} datasets: remove it")
