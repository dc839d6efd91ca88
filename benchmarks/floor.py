"""How near our server comes to the floor: a bare Flask route that returns the same bytes.

That route reads no token and asks no database. Both are served by gunicorn with two workers, and measured in turns.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import checks, load, report
from benchmarks.floor_app import HEALTHY
from benchmarks.installations import REPOSITORY, Served, keys
from benchmarks.options import add_common, parser_of
from benchmarks.ours import PYTHON, Ours
from benchmarks.processes import Gunicorn, environment
from benchmarks.questions import Operation, operations
from benchmarks.workload import Workload

#: Route of each operation, and the part of the floor's rate that is required.
REQUIRED = {
    "GET /uuids/<uuid>": ("/uuids/<uuid>", 0.45),
    "GET /uris, first page": ("/uris", 0.35),
    "search, rare word": ("/uris", 0.30),
}
SIDES = "floor", "ours"
HEADS = ["operation", "floor r/s", "ours r/s", "ours / floor", "at least", "reached"]


@contextmanager
def serve_floor(folder: Path, ours: Served, measured: list[Operation]) -> Iterator[Served]:
    """Serve what ours answers to the first request of each operation."""
    answers = [
        [operation.requests[0].method, REQUIRED[operation.name][0], checks.text(ours, operation.requests[0])]
        for operation in measured
    ]
    file = folder / "floor-answers.json"
    file.write_text(json.dumps(answers))
    settings = environment(FLOOR_ANSWERS=str(file), PYTHONPATH=str(REPOSITORY))
    with Gunicorn(PYTHON, "benchmarks.floor_app:create_app()", folder, settings, HEALTHY) as gunicorn:
        yield Served(gunicorn.address, ours.token, gunicorn)


def measure(options: argparse.Namespace, size: int) -> list[dict[str, Any]]:
    """Return a row for each operation, with rates in requests/s and latencies in ms."""
    workload = Workload(size, options.seed)
    measured = [operation for operation in operations(workload) if operation.name in REQUIRED]
    installation = Ours(options.work, keys(options.work), workload)
    installation.fill()
    rows = []
    with installation.serve() as ours:
        for operation in measured:
            checks.check(operation, ours, workload)
        with serve_floor(options.work, ours, measured) as floor:
            for operation in measured:
                rows.append(_measure(options, operation, floor, ours))
    return rows


def _measure(
    options: argparse.Namespace, operation: Operation, floor: Served, ours: Served
) -> dict[str, Any]:
    measures = {
        side: partial(load.send_as, options, server, operation.requests)
        for side, server in zip(SIDES, (floor, ours), strict=True)
    }
    return load.in_turns(options.rounds, operation.name, REQUIRED[operation.name][1], measures)


def main() -> int:
    parser = parser_of("floor", __doc__)
    add_common(parser, sizes=[10_000])
    options = parser.parse_args()
    if options.quick:
        options.sizes, options.seconds, options.rounds = [200], 1, 1
    figures = {}
    for size in options.sizes:
        report.say(f"{size:,} datasets")
        figures[str(size)] = measure(options, size)
        print(f"\n{size:,} datasets, {options.connections} connections\n")
        print(report.table(HEADS, [report.cells(row, *SIDES) for row in figures[str(size)]]), flush=True)
        report.write(options.json, options, {"floor": figures})
    return 0


if __name__ == "__main__":
    sys.exit(main())
