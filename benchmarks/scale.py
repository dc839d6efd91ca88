"""Our server alone with 10 thousand, 100 thousand and a million datasets, on SQLite and on PostgreSQL.

For each number of datasets: how fast one process registers them (without HTTP, 500 in a commit), in how much memory
and on how much disk; how long clients wait for answers, and the memory of a worker afterwards. Then one manifest with
a million items, on each backend. Every answer is checked before any is timed. What was measured is compared with what
is required at most (or at least): times of answers at the largest number of datasets with those at the smallest, and
the rest at the largest.

Datasets, and the figures of their registration, are kept in the --work folder and in databases of PostgreSQL, where
a million take some GB; --anew registers them once more.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks import checks, large_manifest, load, memory, report
from benchmarks.installations import Served, keys
from benchmarks.options import add_common, parser_of
from benchmarks.ours import POSTGRESQL, Ours
from benchmarks.questions import facets, few_base_uris, finding, operations
from benchmarks.workload import Workload

STORES = ["sqlite", "postgresql"]
ITEMS = 1_000_000

#: Their 99th percentile may be at most so many times as long with the most datasets as with the fewest.
STEADY = [
    "GET /uuids/<uuid>",
    "GET /uris/<uri>",
    "GET /readmes/<uri>, late",
    "GET /uris, first page",
    "GET /uris, deep page",
    "GET /users/<u>/summary",
]
MOST_TIMES = 3
#: 95th percentile of searches in ms, at most.
PROMPT = {
    "search, word in 1/8, 5 of 20 base URIs": 100,
    "search, rare word": 20,
    "facets, everything": 300,
    "facets, word in 1/8": 300,
    "facets, word in 1/8 and a tag": 300,
    "relevance, word in 1/8": 150,
    "relevance, mistyped": 150,
    "relevance, a word too many": 150,
    "suggestions": 30,
}
#: A search with a mistake may take so many times as long as the same one without.
MISTAKES_COST = 3
LEAST_RATE = 1500  # datasets a second
MOST_MB_OF_REGISTRATION, MOST_MB_OF_WORKER = 300, 150
MOST_KB_ON_DISK = 6.5  # of each dataset

MB, KB = 1_000_000, 1000


@dataclass(frozen=True)
class Verdict:
    """One figure, and what it must be: at least or at most."""

    what: str
    measured: float
    required: float
    at_least: bool = False

    @property
    def reached(self) -> bool:
        if self.at_least:
            return self.measured >= self.required
        return self.measured <= self.required

    def cells(self) -> list[str]:
        sign = "≥" if self.at_least else "≤"
        verdict = "yes" if self.reached else "NO"
        return [self.what, report.number(self.measured), f"{sign} {self.required:g}", verdict]


def measure(options: argparse.Namespace, store: str, size: int) -> dict[str, Any]:
    """Return the figures of one number of datasets on one database."""
    workload = Workload(size, options.seed)
    ours = Ours(
        options.work, keys(options.work), workload, options.address if store == "postgresql" else "sqlite"
    )
    if options.anew:
        ours.begin_anew()
    ours.fill()
    figures: dict[str, Any] = {"registration": ours.filled, "disk_bytes": ours.disk_bytes()}
    with ours.serve() as server:
        figures["operations"] = _read(options, server, workload)
        figures["workers"] = [memory.of_process(worker) for worker in server.gunicorn.workers]
    if options.remove:
        ours.remove()
    return figures


def _read(options: argparse.Namespace, server: Served, workload: Workload) -> dict[str, dict[str, float]]:
    measured = {}
    asked = [*operations(workload), few_base_uris(workload), *facets(workload), *finding(workload)]
    for operation in asked:
        report.say(f"  {operation.name} ...")
        checks.check(operation, server, workload)
        rounds = [load.send_as(options, server, operation.requests) for _ in range(options.rounds)]
        measured[operation.name] = load.median(rounds).as_dict()
    return measured


def verdicts(by_size: dict[str, dict[str, Any]]) -> Iterator[Verdict]:
    """Judge what was measured on one database, by number of datasets."""
    few, many = (by_size[size] for size in (min(by_size, key=int), max(by_size, key=int)))
    registration = many["registration"]
    yield Verdict(
        "registration, datasets/s", registration["datasets"] / registration["seconds"], LEAST_RATE, True
    )
    yield Verdict("memory of registration, MB", registration["max_rss_bytes"] / MB, MOST_MB_OF_REGISTRATION)
    yield Verdict("disk, kB a dataset", many["disk_bytes"] / registration["datasets"] / KB, MOST_KB_ON_DISK)
    for name in STEADY:
        times = many["operations"][name]["p99_ms"] / few["operations"][name]["p99_ms"]
        yield Verdict(f"{name}: times its p99 with the fewest", times, MOST_TIMES)
    for name, most in PROMPT.items():
        yield Verdict(f"{name}: p95, ms", many["operations"][name]["p95_ms"], most)
    right = many["operations"]["relevance, 2 words"]["p95_ms"]
    for name in ("relevance, mistyped", "relevance, a word too many"):
        times = many["operations"][name]["p95_ms"] / right
        yield Verdict(f"{name}: times the p95 of the same typed right", times, MISTAKES_COST)
    largest = max(worker["rss_bytes"] for worker in many["workers"])
    yield Verdict("memory of a worker, MB", largest / MB, MOST_MB_OF_WORKER)


def _print(title: str, heads: list[str], rows: list[list[str]]) -> None:
    print(f"\n{title}\n\n{report.table(heads, rows)}", flush=True)


def _print_answers(store: str, size: int, figures: dict[str, Any]) -> None:
    rows = [
        [name, *(report.number(measured[key]) for key in ("rate", "p50_ms", "p95_ms", "p99_ms"))]
        for name, measured in figures["operations"].items()
    ]
    _print(f"{size:,} datasets on {store}", ["operation", "r/s", "p50, ms", "p95, ms", "p99, ms"], rows)


def _sizes(options: argparse.Namespace, store: str) -> dict[str, Any]:
    by_size = {}
    for size in options.sizes:
        report.say(f"{size:,} datasets on {store}")
        by_size[str(size)] = figures = measure(options, store, size)
        _print_answers(store, size, figures)
    judged = list(verdicts(by_size))
    _print(
        f"{store}, {size:,} datasets", ["", "measured", "required", "reached"], [v.cells() for v in judged]
    )
    return {"sizes": by_size, "verdicts": [{**asdict(v), "reached": v.reached} for v in judged]}


def _manifests(options: argparse.Namespace) -> dict[str, Any]:
    measured = {}
    for store in [*options.stores, *([] if options.without_mongo else ["mongo"])]:
        report.say(f"A manifest of {options.items:,} items on {store}")
        measured[store] = large_manifest.measure(options.work, store, options.address, options.items)
    rows = [
        [
            store,
            report.number(figures["registration_seconds"]),
            report.number(figures["reading_seconds"]),
            report.number(figures["peak_bytes"] / MB),
            *Verdict("", figures["times"], large_manifest.MOST_MEMORY).cells()[1:],
        ]
        for store, figures in measured.items()
    ]
    heads = ["backend", "PUT, s", "GET, s", "memory, MB", "times its JSON", "required", "reached"]
    _print(f"A manifest of {options.items:,} items", heads, rows)
    return measured


def arguments() -> argparse.Namespace:
    parser = parser_of("scale", __doc__)
    add_common(parser, sizes=[10_000, 100_000, 1_000_000])
    parser.set_defaults(rounds=1)
    parser.add_argument("--stores", nargs="+", choices=STORES, default=STORES, help="(default: all)")
    parser.add_argument("--address", default=POSTGRESQL, help="of PostgreSQL (default: %(default)s)")
    parser.add_argument("--remove", action="store_true", help="remove the datasets when they are measured")
    parser.add_argument("--anew", action="store_true", help="register the datasets, even if they are kept")
    parser.add_argument(
        "--items", type=int, default=ITEMS, help=f"of the manifest; 0: none (default: {ITEMS})"
    )
    parser.add_argument("--without-mongo", action="store_true", help="no manifest on MongoDB")
    options = parser.parse_args()
    if options.quick:
        options.sizes, options.seconds, options.rounds, options.items = [200], 1, 1, 2000
    return options


def main() -> int:
    options = arguments()
    figures: dict[str, Any] = {"scale": {}}
    for store in options.stores:
        figures["scale"][store] = _sizes(options, store)
        report.write(options.json, options, figures)
    if options.items:
        figures["manifests"] = _manifests(options)
        report.write(options.json, options, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
