"""The command ``flask base_uri index`` of our server and of the original, on real datasets that dtoolcore has made.

Each indexes the same folder into empty databases, and then again, when nothing has changed; with --s3 ours also indexes
a bucket of an S3 server on this machine. What is measured is the whole command, from its start to its end. Afterwards
both must have registered the same datasets.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import requests

from benchmarks import original, real_datasets, report
from benchmarks.installations import REPOSITORY
from benchmarks.options import add_kept, parser_of
from benchmarks.processes import Mongod, Program, environment, free_port

PYTHON = sys.executable
BUCKET = "harvest"
FIRST, AGAIN = "first run", "nothing changed"
REQUIRED = {FIRST: 4, AGAIN: 20}  # times as fast as the original
HEADS = ["run", "original s", "ours s", "times", "at least", "reached"]


@dataclass(frozen=True)
class Timed:
    """How long one command took: of the clock, and of the processors."""

    seconds: float
    cpu_seconds: float


class Indexer(Protocol):
    """A server with empty databases, and its command line."""

    def index(self) -> Timed:
        """Index the base URI."""

    def registered(self) -> list[str]:
        """Return the last parts of the URIs of all registered datasets, in order."""


class OursIndexer:
    """Our server as it is without settings.

    :param settings: how dtool reaches the base URI
    :param jobs: datasets that are read at the same time; None: as many as without being told
    """

    def __init__(self, folder: Path, base_uri: str, settings: Mapping[str, str], jobs: int | None) -> None:
        self._base_uri = base_uri
        self._options = [] if jobs is None else ["--jobs", str(jobs)]
        self._environment = environment(FLASK_APP="dservercore", DSERVER_DATA_DIR=str(folder), **settings)
        self._flask("init")
        self._flask("base_uri", "add", base_uri)

    def _flask(self, *arguments: str) -> str:
        return _run([PYTHON, "-m", "flask", *arguments], self._environment)

    def index(self) -> Timed:
        return _timed(
            [PYTHON, "-m", "flask", "base_uri", "index", self._base_uri, *self._options], self._environment
        )

    def registered(self) -> list[str]:
        return sorted(uri.rpartition("/")[2] for uri in self._flask("dataset", "list", "--uris").splitlines())


class OriginalIndexer:
    """The original server with its MongoDB plugins."""

    def __init__(self, python: Path, folder: Path, base_uri: str, mongod: Mongod) -> None:
        self._python, self._base_uri = str(python), base_uri
        settings = {"FLASK_APP": "dservercore", "SQLALCHEMY_DATABASE_URI": f"sqlite:///{folder}/app.db"}
        self._environment = environment(**settings, **original.mongo_settings(mongod))
        self._side("prepare")
        _run([self._python, "-m", "flask", "base_uri", "add", base_uri], self._environment)

    def _side(self, action: str) -> Any:
        command = [self._python, "-m", "benchmarks.original_side", action, "--size", "0", "--seed", "0"]
        return json.loads(_run(command, self._environment).splitlines()[-1])

    def index(self) -> Timed:
        command = [self._python, "-m", "flask", "base_uri", "index", self._base_uri]
        return _timed(command, self._environment)

    def registered(self) -> list[str]:
        return sorted(uri.rpartition("/")[2] for uri in self._side("registered")["uris"])


def _run(command: Sequence[str | Path], settings: Mapping[str, str]) -> str:
    ran = subprocess.run(command, cwd=REPOSITORY, env=settings, capture_output=True, text=True)
    if ran.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} failed:\n{ran.stdout[-1000:]}{ran.stderr[-3000:]}")
    return ran.stdout


def _timed(command: Sequence[str | Path], settings: Mapping[str, str]) -> Timed:
    before, started = _cpu_seconds(), time.perf_counter()
    _run(command, settings)
    return Timed(time.perf_counter() - started, _cpu_seconds() - before)


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextmanager
def _s3(folder: Path) -> Iterator[dict[str, str]]:
    """Return the settings by which dtool reaches the bucket of an S3 server."""
    address = f"http://127.0.0.1:{free_port()}"
    command = [PYTHON, "-m", "moto.server", "-p", address.rpartition(":")[2]]
    with Program(command, folder / "moto.log", lambda: _answers(address)):
        settings = {
            f"DTOOL_S3_ENDPOINT_{BUCKET}": address,
            f"DTOOL_S3_ACCESS_KEY_ID_{BUCKET}": "test",
            f"DTOOL_S3_SECRET_ACCESS_KEY_{BUCKET}": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        requests.put(f"{address}/{BUCKET}", timeout=60).raise_for_status()
        yield settings


def _answers(address: str) -> bool:
    try:
        return requests.get(f"{address}/moto-api/", timeout=5).ok
    except requests.RequestException:
        return False


def _in_turns(indexers: Mapping[str, Indexer], number: int) -> dict[str, dict[str, Timed]]:
    """Return ``{run: {server: how long it took}}``.

    :raises RuntimeError: if one has not registered every dataset, or other ones
    """
    figures: dict[str, dict[str, Timed]] = {}
    for run in (FIRST, AGAIN):
        for name, indexer in indexers.items():
            report.say(f"  {name}, {run} ...")
            figures.setdefault(run, {})[name] = indexer.index()
    registered = {name: indexer.registered() for name, indexer in indexers.items()}
    for name, found in registered.items():
        if len(found) != number or found != registered["ours"]:
            raise RuntimeError(f"{name} has registered {len(found)} datasets of {number}, or other ones")
    return figures


def _emptied(folder: Path) -> Path:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder


def _measure_on_disk(options: argparse.Namespace) -> list[dict[str, dict[str, Timed]]]:
    work: Path = options.work
    base_uri = real_datasets.make_on_disk(
        work / f"datasets-{options.datasets}-{options.seed}", options.datasets, options.seed
    )
    rounds = []
    for _ in range(options.rounds):
        with ExitStack() as stack:
            indexers: dict[str, Indexer] = {}
            if not options.without_original:
                folder = _emptied(work / "index-original")
                mongod = stack.enter_context(Mongod(folder))
                indexers["original"] = OriginalIndexer(original.install(work), folder, base_uri, mongod)
            indexers["ours"] = OursIndexer(_emptied(work / "index-ours"), base_uri, {}, options.jobs)
            rounds.append(_in_turns(indexers, options.datasets))
    return rounds


def _measure_on_s3(options: argparse.Namespace) -> list[dict[str, dict[str, Timed]]]:
    folder = _emptied(options.work / "index-s3")
    with _s3(folder) as settings:
        report.say(f"Making {options.datasets:,} datasets in s3://{BUCKET} ...")
        os.environ.update(settings)
        real_datasets.make(f"s3://{BUCKET}", options.datasets, options.seed, folder / "item")
        rounds = []
        for _ in range(options.rounds):
            ours = OursIndexer(_emptied(folder / "ours"), f"s3://{BUCKET}", settings, options.jobs)
            rounds.append(_in_turns({"ours": ours}, options.datasets))
        return rounds


def _row(run: str, rounds: list[dict[str, dict[str, Timed]]]) -> list[str]:
    seconds = {
        name: statistics.median(figures[run][name].seconds for figures in rounds) for name in rounds[0][run]
    }
    if "original" not in seconds:
        return [run, "", report.number(seconds["ours"]), "", "", ""]
    times = seconds["original"] / seconds["ours"]
    reached = "yes" if times >= REQUIRED[run] else "NO"
    return [
        run,
        report.number(seconds["original"]),
        report.number(seconds["ours"]),
        report.number(times),
        f"{REQUIRED[run]}",
        reached,
    ]


def _as_figures(rounds: list[dict[str, dict[str, Timed]]]) -> list[Any]:
    return [
        {run: {name: asdict(timed) for name, timed in of_run.items()} for run, of_run in figures.items()}
        for figures in rounds
    ]


def main() -> int:
    parser = parser_of("index", __doc__)
    add_kept(parser)
    parser.add_argument(
        "--datasets", type=int, default=10_000, help="number of datasets (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=1, help="from empty databases (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="another one makes other datasets")
    parser.add_argument("--jobs", type=int, help="datasets that ours reads at the same time")
    parser.add_argument("--without-original", action="store_true", help="measure ours alone")
    parser.add_argument(
        "--s3", action="store_true", help="a bucket on S3 instead of a folder, with ours alone"
    )
    options = parser.parse_args()
    if options.quick:
        options.datasets, options.rounds = 5, 1
    rounds = _measure_on_s3(options) if options.s3 else _measure_on_disk(options)
    where = "on S3" if options.s3 else "in a folder"
    print(f"\n{options.datasets:,} datasets {where}: seconds of `flask base_uri index`\n")
    print(report.table(HEADS, [_row(run, rounds) for run in (FIRST, AGAIN)]), flush=True)
    report.write(options.json, options, {"index": _as_figures(rounds)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
