"""Our server on each of its backends, with nothing registered and nothing kept."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.installations import keys
from benchmarks.ours import Ours
from benchmarks.processes import Mongod
from benchmarks.workload import Workload

BACKENDS = ["sqlite", "postgresql", "mongo"]


@contextmanager
def empty(work: Path, backend: str, address: str, settings: Mapping[str, str] = {}) -> Iterator[Ours]:
    """Return an installation that is removed when the ``with`` block ends, however it does.

    :param backend: one of :data:`BACKENDS`; for ``mongo``, mongod runs meanwhile, and the SQL database is on SQLite
    :param address: of a PostgreSQL server on which databases may be made; the others do not need it
    :param settings: further settings of the server
    """
    with ExitStack() as stack:
        if backend == "mongo":
            folder = work / "mongo"
            folder.mkdir(parents=True, exist_ok=True)
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            settings = {**settings, **_plugins(stack.enter_context(Mongod(folder)).uri)}
        database = address if backend == "postgresql" else "sqlite"
        ours = Ours(work, keys(work), Workload(0), database, settings)
        stack.callback(ours.remove)
        ours.begin_anew()
        ours.fill()
        yield ours


def _plugins(uri: str) -> dict[str, str]:
    settings = {}
    for kind in ("SEARCH", "RETRIEVE"):
        settings[f"DSERVER_{kind}_PLUGIN"] = "mongo"
        settings[f"{kind}_MONGO_URI"] = uri
        settings[f"{kind}_MONGO_DB"] = f"benchmark_{time.time_ns()}"
        settings[f"{kind}_MONGO_COLLECTION"] = "datasets"
    return settings
