"""How long it takes to find a thousand datasets that are connected, among a million, on SQLite and PostgreSQL.

The tables of datasets and edges are filled by the database itself, with families of a thousand datasets each: trees, in
which each dataset was made from two others, chains, and stars. Then a graph is asked for again and again, never the
same: as the catalog finds it, and as the server answers a page of it. The time of the processor is that of our process
alone: on SQLite, of everything. The best time is what it takes where the machine has nothing else to do at that moment.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from flask import Flask
from flask_jwt_extended import create_access_token

from benchmarks import report
from benchmarks.options import add_kept, parser_of
from dservercore import create_app, sql_db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris, users
from dservercore.plugins.graph import service
from dservercore.plugins.graph.keys import EVERY_KEY, number_of

FAMILY = 1000  # datasets
SHAPES = ("tree", "chain", "star")
REQUIRED_MS = 50.0
KEY = number_of("readme.derived_from.uuid")
USER = "olga"
HEADS = [
    *("database", "datasets", "family"),
    *("graph ms", "95 %", "best", "processor", "page ms", "95 %", "best", "processor"),
    *("at most", "reached"),
]

# Numbers are spread over the UUIDs, as those of real datasets are. The first eight digits are enough to be different.
_UUID = {
    "sqlite": "printf('%08x-aaaa-4bbb-8ccc-0123456789ab', ({}) * 2654435761 % 4294967296)",
    "postgresql": "lpad(to_hex(({})::bigint * 2654435761 % 4294967296), 8, '0') || '-aaaa-4bbb-8ccc-0123456789ab'",
}
_NUMBERS = {
    "sqlite": "(WITH RECURSIVE c(n) AS (SELECT {0} UNION ALL SELECT n + 1 FROM c WHERE n + 1 < {1}) SELECT n FROM c)",
    "postgresql": "(SELECT generate_series({0}, {1} - 1) AS n)",
}
#: Datasets that share a statement: the server ends those that take long.
_SLICE = 20_000


def uuid_of(number: int) -> str:
    """Return the UUID of the dataset with this number."""
    return f"{number * 2654435761 % 2**32:08x}-aaaa-4bbb-8ccc-0123456789ab"


def fill(size: int, places: int) -> None:
    """Fill the tables with so many datasets in so many base URIs, and their edges."""
    kind = sql_db.engine.dialect.name
    own = _UUID[kind].format("n")
    k, first = f"(n % {FAMILY})", f"(n - n % {FAMILY})"
    # By the number of the family: a tree, a chain, a star. A second parent for datasets of trees.
    parent = f"{first} + CASE n / {FAMILY} % 3 WHEN 0 THEN {k} / 2 WHEN 1 THEN {k} - 1 ELSE 0 END"
    second = f"{first} + {k} / 3"
    base = f"n % {places} + (SELECT min(id) FROM base_uri)"
    edge = "INSERT INTO graph_edge (dataset_id, parent, key_number, uuid, base_uri_id)"
    statements = [
        "INSERT INTO dataset (id, base_uri_id, uri, uuid, name, creator_username, frozen_at, created_at,"
        f" number_of_items, size_in_bytes) SELECT n + 1, {base}, 's3://place/' || {own}, {own}, 'dataset',"
        " 'olga', '2026-01-01 00:00:00', '2026-01-01 00:00:00', 1, 1 FROM {numbers} numbers",
        f"{edge} SELECT n + 1, {_UUID[kind].format(parent)}, {KEY}, {own}, {base} FROM {{numbers}} numbers"
        f" WHERE {k} > 0",
        f"{edge} SELECT n + 1, {_UUID[kind].format(second)}, {KEY}, {own}, {base} FROM {{numbers}} numbers"
        f" WHERE {k} > 1 AND n / {FAMILY} % 3 = 0 AND {k} / 2 <> {k} / 3",
        f"INSERT INTO graph_dataset (dataset_id, keys_number) SELECT n + 1, {EVERY_KEY} FROM {{numbers}} numbers",
    ]
    for start in range(0, size, _SLICE):
        numbers = _NUMBERS[kind].format(start, min(start + _SLICE, size))
        with sql_db.engine.begin() as connection:
            for statement in statements:
                text = statement.replace("{numbers}", numbers)
                connection.exec_driver_sql(text.replace("%", "%%") if kind == "postgresql" else text)
    with sql_db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")


@contextmanager
def installation(address: str, size: int, places: int) -> Iterator[Flask]:
    """An application on an empty database that is filled."""
    secret = uuid.uuid4().hex
    app = create_app(
        {
            "SQLALCHEMY_DATABASE_URI": address,
            "SECRET_KEY": secret,
            "JWT_ALGORITHM": "HS256",
            "JWT_SECRET_KEY": secret,
            "DSERVER_EXTENSIONS": ["graph"],
            "DSERVER_WEB": False,
        }
    )
    with app.app_context():
        sql_db.create_all()
        users.add_user(USER)
        for number in range(places):
            base_uris.create_base_uri(f"s3://place-{number}", [USER], [])
        sql_db.session.commit()
        fill(size, places)
        yield app
        sql_db.session.remove()
        sql_db.engine.dispose()


@contextmanager
def new_database(kind: str, server: str) -> Iterator[str]:
    """The address of a database that is gone afterwards."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory(prefix="graph-") as folder:
            yield f"sqlite:///{folder}/graph.db"
        return
    url, name = sqlalchemy.make_url(server), f"bench_graph_{uuid.uuid4().hex[:12]}"
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


def measure(app: Flask, kind: str, size: int, rounds: int) -> list[dict[str, Any]]:
    """Return a row for each shape, with times in ms."""
    headers = {"Authorization": f"Bearer {create_access_token(USER)}"}
    client = app.test_client()
    scope = operator_scope("search")
    rows = []
    for place, shape in enumerate(SHAPES):
        families = [n for n in range(size // FAMILY) if n % len(SHAPES) == place]
        # Others than those before, and others in each family: what a database remembers is not what it finds.
        starts = [uuid_of(families[n % len(families)] * FAMILY + n * 37 % FAMILY) for n in range(2 * rounds)]

        def graph(start: str) -> None:
            found = service.connected(scope, start)
            assert len(found.nodes) == FAMILY, len(found.nodes)

        def page(start: str) -> None:
            answer = client.get(f"/graph/uuids/{start}?page_size=100", headers=headers)
            assert len(answer.get_json()) == 100, answer.text
            assert json.loads(answer.headers["X-Pagination"])["total"] == FAMILY

        rows.append(
            {
                "database": kind,
                "datasets": size,
                "family": shape,
                "graph": _times(graph, starts[:rounds]),
                "page": _times(page, starts[rounds:]),
            }
        )
    return rows


def _times(ask: Callable[[str], None], starts: list[str]) -> dict[str, float]:
    times, of_processor = [], []
    for start in starts:
        started, cpu = time.perf_counter(), time.process_time()
        ask(start)
        times.append(1000 * (time.perf_counter() - started))
        of_processor.append(1000 * (time.process_time() - cpu))
    processor = statistics.median(of_processor)
    return {
        "processor_ms": processor,
        "best_ms": min(times),
        "p50_ms": statistics.median(times),
        "p95_ms": sorted(times)[int(0.95 * (len(times) - 1))],
    }


def main() -> int:
    parser = parser_of("graph", __doc__)
    parser.add_argument("--size", type=int, default=1_000_000, help="number of datasets (%(default)s)")
    parser.add_argument("--base-uris", type=int, default=10, help="in which they are (%(default)s)")
    parser.add_argument("--rounds", type=int, default=100, help="graphs of each shape (%(default)s)")
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"], help="(%(default)s)")
    parser.add_argument(
        "--address",
        default="postgresql+psycopg://postgres@127.0.0.1:5432/postgres",
        help="of a server of PostgreSQL, where a database is made and dropped (%(default)s)",
    )
    add_kept(parser)
    options = parser.parse_args()
    if options.quick:
        options.size, options.rounds = 3 * FAMILY, 3
    rows = []
    for kind in options.databases:
        with (
            new_database(kind, options.address) as address,
            installation(address, options.size, options.base_uris) as app,
        ):
            rows += measure(app, kind, options.size, options.rounds)
    print(report.table(HEADS, [_cells(row) for row in rows]))
    if options.json:
        Path(options.json).write_text(json.dumps({**report.origin(options), "graph": rows}, indent=2))
    return 0 if all(_is_reached(row) for row in rows) else 1


def _is_reached(row: dict[str, Any]) -> bool:
    return max(row["graph"]["p50_ms"], row["page"]["p50_ms"]) <= REQUIRED_MS


def _cells(row: dict[str, Any]) -> list[str]:
    times = [
        f"{row[what][which]:.1f}"
        for what in ("graph", "page")
        for which in ("p50_ms", "p95_ms", "best_ms", "processor_ms")
    ]
    reached = "yes" if _is_reached(row) else "NO"
    return [row["database"], f"{row['datasets']:,}", row["family"], *times, f"{REQUIRED_MS:.0f}", reached]


if __name__ == "__main__":
    sys.exit(main())
