"""The benchmarks run, and find what they ask for; how fast that is decides nothing here."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections.abc import Iterator
from itertools import cycle, product
from pathlib import Path
from typing import Any

import pytest
from benchmarks.backends import BACKENDS
from benchmarks.large_manifest import MOST_MEMORY
from benchmarks.processes import environment
from benchmarks.questions import facets, few_base_uris, finding, operations
from benchmarks.scale import Verdict, verdicts
from benchmarks.workload import Workload

from support import forking
from support.databases import SERVERS, new_database

REPOSITORY = Path(__file__).parents[1]
COMMANDS = sorted(
    file.stem
    for file in (REPOSITORY / "benchmarks").glob("*.py")
    if "__main__" in file.read_text() and not file.stem.endswith("_side")
)
SYLLABLES = ["bar", "lem", "nid", "gos", "tuv", "rak", "pel", "dom"]
READ = [operation.name for operation in operations(Workload(200))]

RUN_SECONDS = 590
#: With it, the load of a second does not keep all processors busy, beside which other tests run.
PAUSED = ["--pause", "100"]

pytestmark = pytest.mark.timeout(600)


def run(command: str, *options: str | Path, status: int = 0) -> str:
    ran = forking.run(
        [f"benchmarks.{command}", *map(str, options)],
        cwd=REPOSITORY,
        env=environment(AWS_EC2_METADATA_DISABLED="true"),
        timeout=RUN_SECONDS,
    )
    assert ran.returncode == status, ran.stdout + ran.stderr
    return ran.stdout


def quick(command: str, folder: Path, *options: str) -> tuple[dict[str, Any], str]:
    """Run the quick mode of a command; return the figures that it keeps, and what it prints."""
    if shutil.which("wrk") is None:
        pytest.skip("No wrk on this machine")
    kept = folder / "figures.json"
    printed = run(command, "--quick", "--work", folder / "work", "--json", kept, *options)
    figures = json.loads(kept.read_text())
    assert figures["machine"]["cores"] > 0
    assert figures["versions"]["flask"]
    return figures, printed


@pytest.mark.parametrize("command", COMMANDS)
def test_says_what_it_does(command: str) -> None:
    assert "options:" in run(command, "--help")


@pytest.mark.long
def test_compare(tmp_path: Path) -> None:
    figures, printed = quick("compare", tmp_path, "--without-original", *PAUSED)
    rows = {row["operation"]: row["median"]["ours"] for row in figures["compare"]["200"]}
    assert list(rows)[: len(READ)] == READ
    assert [name.split(",")[0].split(" (")[0] for name in rows][len(READ) :] == [
        "PUT /uris/<uri>",
        "POST /uris/bulk",
        "registration in bulk",
    ]
    assert all(row["rate"] > 0 for row in rows.values())
    assert all(name in printed for name in rows)


@pytest.mark.long
def test_floor(tmp_path: Path) -> None:
    figures, printed = quick("floor", tmp_path, *PAUSED)
    for row in figures["floor"]["200"]:
        assert row["part"] == row["ours"]["rate"] / row["floor"]["rate"] > 0
        assert row["operation"] in printed


@pytest.mark.long
def test_databases(tmp_path: Path) -> None:
    with new_database("postgresql"):  # skips where there is no server
        options = ["--address", SERVERS["postgresql"], "--remove", *PAUSED]
        figures, printed = quick("databases", tmp_path, *options)
    rows = figures["databases"]["200"]
    assert len(rows) == 7
    for row in rows:
        assert row["part"] == row["postgresql"]["rate"] / row["sqlite"]["rate"] > 0
        assert row["operation"] in printed


@pytest.mark.long
def test_graph(tmp_path: Path) -> None:
    kept = tmp_path / "figures.json"
    with new_database("postgresql"):  # skips where there is no server
        options = ["--quick", "--work", tmp_path, "--json", kept, "--address", SERVERS["postgresql"]]
        ran = forking.run(
            ["benchmarks.graph", *map(str, options)], cwd=REPOSITORY, env=environment(), timeout=RUN_SECONDS
        )
    assert ran.returncode in (0, 1), (
        ran.stderr
    )  # one: it takes longer than it may, which decides nothing here
    rows = json.loads(kept.read_text())["graph"]
    assert [(row["database"], row["family"]) for row in rows] == list(
        product(["sqlite", "postgresql"], ["tree", "chain", "star"])
    )
    assert all(0 < row["page"]["p50_ms"] <= row["page"]["p95_ms"] for row in rows)
    assert all(row["family"] in ran.stdout for row in rows)


@pytest.mark.long
@pytest.mark.parametrize("where", [[], ["--s3"]])
def test_index(tmp_path: Path, where: list[str]) -> None:
    figures, printed = quick("index", tmp_path, "--without-original", *where)
    (runs,) = figures["index"]
    assert list(runs) == ["first run", "nothing changed"]
    assert all(run["ours"]["seconds"] > 0 and run["ours"]["cpu_seconds"] > 0 for run in runs.values())
    assert all(name in printed for name in runs)


@pytest.mark.long
def test_scale(tmp_path: Path) -> None:
    with new_database("postgresql"):  # skips where there is no server
        options = ["--stores", "postgresql", "--address", SERVERS["postgresql"], "--remove", *PAUSED]
        figures, printed = quick("scale", tmp_path, *options)
    measured = figures["scale"]["postgresql"]
    for size, by_size in measured["sizes"].items():
        assert by_size["registration"]["datasets"] == int(size)
        assert by_size["registration"]["database"] == "postgresql+psycopg"
        assert by_size["disk_bytes"] > 1000 * int(size)
        assert list(by_size["operations"]) == [
            *READ,
            few_base_uris(Workload(200)).name,
            *(operation.name for operation in [*facets(Workload(200)), *finding(Workload(200))]),
        ]
        assert all(row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"] for row in by_size["operations"].values())
        assert all(0 < worker["uss_bytes"] < worker["peak_bytes"] for worker in by_size["workers"])
    assert all(verdict["what"] in printed for verdict in measured["verdicts"])
    assert list(figures["manifests"]) == ["postgresql", "mongo"]
    assert all(manifest["items"] == 2000 for manifest in figures["manifests"].values())


def corpus(folder: Path, words: Iterator[str], number: int = 20) -> Path:
    """Make a corpus of descriptions, each of which has three of the words."""
    file = folder / "corpus.jsonl.gz"
    with gzip.open(file, "wt") as lines:
        for slug in range(number):
            readme = f"Name: {next(words)} {next(words)}\nDescription: {next(words)}\n"
            lines.write(json.dumps({"slug": f"dataset-{slug}", "readme": readme}) + "\n")
    return file


@pytest.mark.long
def test_known_item(tmp_path: Path) -> None:
    different = (f"{one}{other}" for one, other in product(SYLLABLES, repeat=2))
    options = ["--corpus", corpus(tmp_path, different), "--kinds", "exact", "--seeds", "1", "2"]
    kept = tmp_path / "figures.json"
    with new_database("postgresql"):  # skips where there is no server
        options += ["--json", kept, "--backend", *BACKENDS, "--address", SERVERS["postgresql"]]
        printed = run("known_item", *options)
    figures = json.loads(kept.read_text())
    assert list(figures["known_item"]) == BACKENDS
    for scores in figures["known_item"].values():
        assert scores["exact"]["questions"] == 40
        assert scores["exact"]["mrr_at_10"] == {"1": 1, "2": 1}
    assert "exact         40  1.0000      1.0000  1.0000      0.90      yes" in printed


@pytest.mark.long
def test_known_item_among_twins(tmp_path: Path) -> None:
    """A figure that is missed is one in the exit status, too; what people ask of another corpus is not asked."""
    twins = cycle(["barley", "pods", "rhizotron"])
    options = ["--quick", "--peoples", "--corpus", corpus(tmp_path, twins), "--kinds", "exact"]
    printed = run("known_item", *options, status=1)
    assert re.search(r"exact +20  0\.1\d{3}      0\.90       NO", printed)
    assert "people" not in printed


class TestVerdicts:
    """Of ``scale``: a figure that is as required is reached, and one that is not is not."""

    def figures(self, **changes: float) -> dict[str, Any]:
        latencies = {"p95_ms": 10.0, "p99_ms": changes.get("p99_ms", 10.0)}
        return {
            "registration": {
                "datasets": 1000,
                "seconds": changes.get("seconds", 0.66),
                "max_rss_bytes": changes.get("max_rss_bytes", 3e8),
            },
            "disk_bytes": changes.get("disk_bytes", 6.5e6),
            "operations": dict.fromkeys(
                [
                    *READ,
                    few_base_uris(Workload(200)).name,
                    *(operation.name for operation in [*facets(Workload(200)), *finding(Workload(200))]),
                ],
                latencies,
            ),
            "workers": [{"rss_bytes": 1e8}, {"rss_bytes": changes.get("rss_bytes", 1.5e8)}],
        }

    def missed(self, **changes: float) -> list[str]:
        judged = verdicts({"9": self.figures(), "10": self.figures(**changes)})
        return [verdict.what for verdict in judged if not verdict.reached]

    def test_everything_as_required(self) -> None:
        assert self.missed(p99_ms=30.0) == []

    @pytest.mark.parametrize(
        ("changes", "what"),
        [
            ({"seconds": 0.67}, "registration, datasets/s"),
            ({"max_rss_bytes": 3.01e8}, "memory of registration, MB"),
            ({"disk_bytes": 6.6e6}, "disk, kB a dataset"),
            ({"rss_bytes": 1.51e8}, "memory of a worker, MB"),
        ],
    )
    def test_one_figure_that_is_not(self, changes: dict[str, float], what: str) -> None:
        assert self.missed(**changes) == [what]

    def test_answers_that_take_longer_with_more_datasets(self) -> None:
        assert len(self.missed(p99_ms=30.1)) == 6

    def test_a_table_says_so(self) -> None:
        assert Verdict("memory", 12, MOST_MEMORY).cells() == ["memory", "12.0", "≤ 10", "NO"]
