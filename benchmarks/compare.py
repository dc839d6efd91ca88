"""Our server and the original side by side: the same datasets, the same requests, in turn.

The original comes from the registry into a virtual environment of its own, with a MongoDB server of its own. Before
anything is timed, each of the different requests of an operation is sent to both, and the answers must be the same.
Then wrk sends them, over and over, to one server and the other, in turns; an answer that is an error stops the run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial

from benchmarks import bulk, checks, load, report
from benchmarks.installations import Installation, Served, keys
from benchmarks.load import Measured
from benchmarks.options import add_common, parser_of
from benchmarks.original import Original
from benchmarks.ours import POSTGRESQL, Ours
from benchmarks.questions import Operation, operations, put
from benchmarks.workload import Workload

PUTS_A_SECOND = 1000  # more than either server can take
BULK = 5000  # datasets to register at most
PUT = Operation("PUT /uris/<uri>, one client", [], 4, 20)
TOGETHER = Operation("POST /uris/bulk (datasets/s), beside PUT on ours", [], 5, 5)
IN_BULK = Operation("registration in bulk, no HTTP (datasets/s)", [], 15, 15)


@dataclass(frozen=True)
class Row:
    """What came of one operation: the rounds of each server (requests/s, and latencies in ms where there are any)."""

    operation: str
    target: float
    original: list[Measured]
    ours: list[Measured]

    @property
    def ratio(self) -> float:
        """How many times as fast we are, by the medians."""
        return load.median(self.ours).rate / load.median(self.original).rate if self.original else 0.0

    def as_dict(self) -> dict[str, object]:
        medians = {
            name: load.median(rounds).as_dict()
            for name, rounds in (("original", self.original), ("ours", self.ours))
            if rounds
        }
        return {**asdict(self), "median": medians, "ratio": self.ratio}

    def cells(self) -> list[str]:
        if not self.original:
            return [self.operation, "", report.number(load.median(self.ours).rate), "", "", ""]
        reached = "yes" if self.ratio >= self.target else "NO"
        rates = [report.number(load.median(rounds).rate) for rounds in (self.original, self.ours)]
        return [self.operation, *rates, f"{self.ratio:.1f}", f"{self.target:g}", reached]


HEADS = ["operation", "original r/s", "ours r/s", "times", "at least", "reached"]


class Comparison:
    """Measures our server, and the original if it takes part, at one number of datasets."""

    def __init__(self, options: argparse.Namespace, size: int) -> None:
        self._options = options
        self._workload = Workload(size, options.seed)
        work, shared = options.work, keys(options.work)
        ours = Ours(
            work, shared, self._workload, options.address if options.ours == "postgresql" else "sqlite"
        )
        original = [] if options.without_original else [Original(work, shared, self._workload)]
        self._installations: list[Installation] = [*original, ours]
        self._puts = int(PUTS_A_SECOND * options.seconds * options.rounds)

    def measure(self) -> list[Row]:
        """Return the rows of the table."""
        for installation in self._installations:
            installation.fill()
        with ExitStack() as stack:
            self._servers = [stack.enter_context(each.serve()) for each in self._installations]
            chosen = [op for op in operations(self._workload) if self._is_chosen(op)]
            for operation in chosen:
                self._check(operation)
            rows = [self._read(operation) for operation in chosen]
            if self._is_chosen(PUT):
                rows.append(self._put())
            if self._is_chosen(TOGETHER):
                rows.append(self._put_together())
            if self._is_chosen(IN_BULK):
                rows.append(self._register())
        return rows

    def _is_chosen(self, operation: Operation) -> bool:
        return any(word in operation.name for word in self._options.only or [""])

    def _check(self, operation: Operation) -> None:
        ours = self._servers[-1]
        checks.check(operation, ours, self._workload)
        for original in self._servers[:-1]:
            checks.compare(operation, original, ours)

    def _read(self, operation: Operation) -> Row:
        def send(server: Served) -> Measured:
            return load.send_as(self._options, server, operation.requests)

        return self._in_turns(operation, [partial(send, server) for server in self._servers])

    def _put(self) -> Row:
        documents = self._workload.documents(self._workload.size, self._workload.size + self._puts)
        requests = [put(document) for document in documents]
        share = len(requests) // self._options.rounds

        def sender(server: Served) -> Callable[[], Measured]:
            shares = iter([requests[n * share : (n + 1) * share] for n in range(self._options.rounds)])
            return lambda: load.send_as(self._options, server, next(shares), connections=1)

        try:
            row = self._in_turns(PUT, [sender(server) for server in self._servers])
            for server, rounds in zip(
                self._servers, [row.original, row.ours][-len(self._servers) :], strict=True
            ):
                checks.check_registered(server, self._workload.size, requests, rounds)
            return row
        finally:
            self._forget(self._puts)

    def _put_together(self) -> Row:
        """Compare registrations in one request with single ones, of the same kind of datasets, on our server."""
        ours, number, rounds = self._servers[-1], self._options.bulk, self._options.rounds
        documents = self._workload.documents(self._workload.size, self._workload.size + 2 * number * rounds)
        requests = [put(document) for document in documents]
        shares = iter([requests[n * number : (n + 1) * number] for n in range(2 * rounds)])
        try:
            return self._in_turns(
                TOGETHER,
                [
                    lambda: load.send_as(self._options, ours, next(shares), connections=1),
                    lambda: bulk.send(ours, next(shares)),
                ],
            )
        finally:
            self._installations[-1].forget(2 * number * rounds)

    def _register(self) -> Row:
        def register(installation: Installation) -> Measured:
            try:
                rate = installation.register(self._options.bulk, self._options.seconds)
            finally:
                installation.forget(self._options.bulk)
            return Measured(rate, 0, 0, 0)

        return self._in_turns(IN_BULK, [partial(register, each) for each in self._installations])

    def _forget(self, extra: int) -> None:
        for installation in self._installations:
            installation.forget(extra)

    def _in_turns(self, operation: Operation, measures: Sequence[Callable[[], Measured]]) -> Row:
        report.say(f"  {operation.name} ...")
        rounds = [[measure() for measure in measures] for _ in range(self._options.rounds)]
        original = [measured[0] for measured in rounds] if len(measures) > 1 else []
        return Row(
            operation.name,
            operation.target(self._workload.size),
            original,
            [measured[-1] for measured in rounds],
        )


def arguments() -> argparse.Namespace:
    parser = parser_of("compare", __doc__)
    add_common(parser, sizes=[10_000, 100_000])
    parser.add_argument("--bulk", type=int, default=BULK, help=f"datasets to register at most ({BULK})")
    parser.add_argument("--only", nargs="+", metavar="TEXT", help="operations with this in their name")
    parser.add_argument(
        "--ours", choices=["sqlite", "postgresql"], default="sqlite", help="(default: sqlite)"
    )
    parser.add_argument("--address", default=POSTGRESQL, help="of PostgreSQL (default: %(default)s)")
    parser.add_argument("--without-original", action="store_true", help="measure ours alone")
    options = parser.parse_args()
    if options.quick:
        options.sizes, options.seconds, options.rounds, options.bulk = [200], 1, 1, 500
    return options


def main() -> int:
    options = arguments()
    tables = {}
    for size in options.sizes:
        report.say(f"{size:,} datasets")
        tables[size] = Comparison(options, size).measure()
        print(f"\n{size:,} datasets, {options.connections} connections, ours on {options.ours}\n")
        print(report.table(HEADS, [row.cells() for row in tables[size]]), flush=True)
        figures = {str(done): [row.as_dict() for row in rows] for done, rows in tables.items()}
        report.write(options.json, options, {"compare": figures})
    return 0


if __name__ == "__main__":
    sys.exit(main())
