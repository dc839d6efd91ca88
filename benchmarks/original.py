"""The original server with its MongoDB plugins, from the registry, in a virtual environment of its own."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from benchmarks.installations import Keys, Served, run_side
from benchmarks.processes import Gunicorn, Mongod, environment
from benchmarks.workload import Workload

#: Without these pins its last release does not import, and without cryptography it verifies no token.
REQUIREMENTS = [
    "dservercore==0.22.0",
    "flask<3",
    "flask-smorest==0.42.3",
    "marshmallow<4",
    "flask-marshmallow<1.3",
    "marshmallow-sqlalchemy<1.2",
    "dserver-search-plugin-mongo==0.4.2",
    "dserver-retrieve-plugin-mongo==0.4.2",
    "cryptography",
    "gunicorn",
]
APPLICATION = "dservercore:create_app()"
HEALTHY = "/config/versions"  # it has no /config/health yet


def install(work: Path) -> Path:
    """Return the interpreter of the virtual environment with the original, made if there is none."""
    folder = work / "original-venv"
    python = folder / "bin" / "python"
    complete = folder / "complete"
    if not complete.exists():
        print("Installing the original server ...", file=sys.stderr)
        venv.create(folder, clear=True, with_pip=True)
        pip: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *REQUIREMENTS], check=True)
        complete.touch()
    return python


def mongo_settings(mongod: Mongod) -> dict[str, str]:
    """Return the environment variables by which both plugins use one collection."""
    settings = {}
    for kind in ("SEARCH", "RETRIEVE"):
        settings[f"{kind}_MONGO_URI"] = mongod.uri
        settings[f"{kind}_MONGO_DB"] = "dserver"
        settings[f"{kind}_MONGO_COLLECTION"] = "datasets"
    return settings


class Original:
    """The original server with the datasets of a workload, kept in *work*."""

    name = "original"

    def __init__(self, work: Path, keys: Keys, workload: Workload) -> None:
        self._folder = work / f"original-{workload.size}-{workload.seed}"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._python = install(work)
        self._keys, self._workload = keys, workload
        self._mongod: Mongod | None = None  # while it serves

    def _environment(self, mongod: Mongod) -> dict[str, str]:
        settings = {"FLASK_APP": "dservercore", "SQLALCHEMY_DATABASE_URI": f"sqlite:///{self._folder}/app.db"}
        return environment(**settings, **mongo_settings(mongod), **self._keys.settings)

    def fill(self) -> None:
        complete = self._folder / "complete"
        if not complete.exists():
            if any(self._folder.iterdir()):
                raise RuntimeError(f"{self._folder} is half filled: remove it")
            print(f"Filling the original with {self._workload.size} datasets ...", file=sys.stderr)
            self._run("fill")
            complete.touch()

    def _run(self, action: str, *options: str) -> dict[str, float]:
        with nullcontext(self._mongod) if self._mongod else Mongod(self._folder) as mongod:
            return run_side(
                self._python, "original_side", action, self._workload, self._environment(mongod), options
            )

    @contextmanager
    def serve(self) -> Iterator[Served]:
        with (
            Mongod(self._folder) as mongod,
            Gunicorn(self._python, APPLICATION, self._folder, self._environment(mongod), HEALTHY) as gunicorn,
        ):
            self._mongod = mongod
            try:
                yield Served(gunicorn.address, self._keys.token, gunicorn)
            finally:
                self._mongod = None

    def register(self, extra: int, seconds: float) -> float:
        done = self._run("register", "--extra", str(extra), "--seconds", str(seconds))
        return done["datasets"] / done["seconds"]

    def forget(self, extra: int) -> None:
        left = self._run("forget", "--extra", str(extra))["datasets"]
        if left != self._workload.size:
            raise RuntimeError(f"{self._folder} has {left:.0f} datasets: remove it")
