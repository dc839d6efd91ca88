"""PostgreSQL beside SQLite: our server on both, with the same datasets, measured in turns.

For each operation the requests a second on both, and what part of SQLite's rate PostgreSQL reaches. Both are served by
gunicorn with two workers. Answers are checked before any is timed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from benchmarks import checks, load, report
from benchmarks.installations import Served, keys
from benchmarks.load import Measured
from benchmarks.options import add_common, parser_of
from benchmarks.ours import POSTGRESQL, Ours
from benchmarks.questions import Operation, operations
from benchmarks.workload import Workload

#: The part of SQLite's rate that PostgreSQL has to reach.
REQUIRED = {
    "GET /uuids/<uuid>": 0.6,
    "GET /uris/<uri>": 0.6,
    "GET /readmes/<uri>, late": 0.6,
    "GET /uris, first page": 0.6,
    "GET /uris, deep page": 0.6,
    "GET /users/<u>/summary": 0.6,
}
SIDES = "sqlite", "postgresql"
IN_BULK, REQUIRED_IN_BULK = "registration, 500 in a commit", 0.7
HEADS = ["operation", "SQLite /s", "PostgreSQL /s", "part", "at least", "reached"]


def measure(options: argparse.Namespace, size: int) -> list[dict[str, Any]]:
    """Return a row for each operation, with rates in requests, or datasets registered, a second."""
    workload = Workload(size, options.seed)
    installations = [
        Ours(options.work, keys(options.work), workload, database) for database in ("sqlite", options.address)
    ]
    for installation in installations:
        installation.fill()
    with ExitStack() as stack:
        servers = [stack.enter_context(installation.serve()) for installation in installations]
        chosen = [operation for operation in operations(workload) if operation.name in REQUIRED]
        for operation in chosen:
            for server in servers:
                checks.check(operation, server, workload)
        rows = [_read(options, operation, servers) for operation in chosen]
    if options.bulk:
        measures = {
            side: partial(_register, options, installation)
            for side, installation in zip(SIDES, installations, strict=True)
        }
        rows.append(load.in_turns(options.rounds, IN_BULK, REQUIRED_IN_BULK, measures))
    if options.remove:
        for installation in installations:
            installation.remove()
    return rows


def _read(options: argparse.Namespace, operation: Operation, servers: Sequence[Served]) -> dict[str, Any]:
    measures = {
        side: partial(load.send_as, options, server, operation.requests)
        for side, server in zip(SIDES, servers, strict=True)
    }
    return load.in_turns(options.rounds, operation.name, REQUIRED[operation.name], measures)


def _register(options: argparse.Namespace, installation: Ours) -> Measured:
    try:
        return Measured(installation.register(options.bulk, float("inf")), 0, 0, 0)
    finally:
        installation.forget(options.bulk)


def main() -> int:
    parser = parser_of("databases", __doc__)
    add_common(parser, sizes=[60_000])
    parser.add_argument("--address", default=POSTGRESQL, help="of PostgreSQL (default: %(default)s)")
    parser.add_argument(
        "--bulk", type=int, default=5000, help="datasets registered in each turn; 0: none (default: 5000)"
    )
    parser.add_argument("--remove", action="store_true", help="remove the datasets when they are measured")
    options = parser.parse_args()
    if options.quick:
        options.sizes, options.seconds, options.rounds, options.bulk = [200], 1, 1, 200
    figures = {}
    for size in options.sizes:
        report.say(f"{size:,} datasets")
        figures[str(size)] = measure(options, size)
        print(f"\n{size:,} datasets, {options.connections} connections\n")
        print(report.table(HEADS, [report.cells(row, *SIDES) for row in figures[str(size)]]), flush=True)
        report.write(options.json, options, {"databases": figures})
    return 0


if __name__ == "__main__":
    sys.exit(main())
