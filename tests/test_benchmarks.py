"""The benchmarks run, and find what they ask for; how fast that is decides nothing here."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmarks.large_manifest import MOST_MEMORY
from benchmarks.questions import few_base_uris, operations
from benchmarks.scale import Verdict, verdicts
from benchmarks.workload import Workload

from databases import SERVERS, new_database

REPOSITORY = Path(__file__).parents[1]
COMMANDS = sorted(
    file.stem
    for file in (REPOSITORY / "benchmarks").glob("*.py")
    if "__main__" in file.read_text() and not file.stem.endswith("_side")
)
READ = [operation.name for operation in operations(Workload(200))]

pytestmark = pytest.mark.timeout(600)


def run(command: str, *options: str | Path) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{command}", *options],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
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


def test_compare(tmp_path: Path) -> None:
    figures, printed = quick("compare", tmp_path, "--without-original")
    rows = {row["operation"]: row["median"]["ours"] for row in figures["compare"]["200"]}
    assert list(rows)[: len(READ)] == READ
    assert [name.split(",")[0].split(" (")[0] for name in rows][len(READ) :] == [
        "PUT /uris/<uri>",
        "POST /uris/bulk",
        "registration in bulk",
    ]
    assert all(row["rate"] > 0 for row in rows.values())
    assert all(name in printed for name in rows)


def test_floor(tmp_path: Path) -> None:
    figures, printed = quick("floor", tmp_path)
    for row in figures["floor"]["200"]:
        assert row["part"] == row["ours"]["rate"] / row["floor"]["rate"] > 0
        assert row["operation"] in printed


@pytest.mark.parametrize("where", [[], ["--s3"]])
def test_index(tmp_path: Path, where: list[str]) -> None:
    figures, printed = quick("index", tmp_path, "--without-original", *where)
    (runs,) = figures["index"]
    assert list(runs) == ["first run", "nothing changed"]
    assert all(run["ours"]["seconds"] > 0 and run["ours"]["cpu_seconds"] > 0 for run in runs.values())
    assert all(name in printed for name in runs)


def test_scale(tmp_path: Path) -> None:
    with new_database("postgresql"):  # skips where there is no server
        options = ["--stores", "postgresql", "--address", SERVERS["postgresql"], "--remove"]
        figures, printed = quick("scale", tmp_path, *options)
    measured = figures["scale"]["postgresql"]
    for size, by_size in measured["sizes"].items():
        assert by_size["registration"]["datasets"] == int(size)
        assert by_size["registration"]["database"] == "postgresql+psycopg2"
        assert by_size["disk_bytes"] > 1000 * int(size)
        assert list(by_size["operations"]) == [*READ, few_base_uris(Workload(200)).name]
        assert all(row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"] for row in by_size["operations"].values())
        assert all(0 < worker["uss_bytes"] < worker["peak_bytes"] for worker in by_size["workers"])
    assert all(verdict["what"] in printed for verdict in measured["verdicts"])
    assert list(figures["manifests"]) == ["postgresql", "mongo"]
    assert all(manifest["items"] == 2000 for manifest in figures["manifests"].values())


class TestVerdicts:
    """Of ``scale``: a figure that is as required is reached, and one that is not is not."""

    def figures(self, **changes: float) -> dict[str, Any]:
        latencies = {"p95_ms": 10.0, "p99_ms": changes.get("p99_ms", 10.0)}
        return {
            "registration": {
                "datasets": 1000,
                "seconds": changes.get("seconds", 0.5),
                "max_rss_bytes": changes.get("max_rss_bytes", 3e8),
            },
            "disk_bytes": changes.get("disk_bytes", 6e6),
            "operations": dict.fromkeys([*READ, few_base_uris(Workload(200)).name], latencies),
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
            ({"seconds": 0.51}, "registration, datasets/s"),
            ({"max_rss_bytes": 3.01e8}, "memory of registration, MB"),
            ({"disk_bytes": 6.1e6}, "disk, kB a dataset"),
            ({"rss_bytes": 1.51e8}, "memory of a worker, MB"),
        ],
    )
    def test_one_figure_that_is_not(self, changes: dict[str, float], what: str) -> None:
        assert self.missed(**changes) == [what]

    def test_answers_that_take_longer_with_more_datasets(self) -> None:
        assert len(self.missed(p99_ms=30.1)) == 6

    def test_a_table_says_so(self) -> None:
        assert Verdict("memory", 12, MOST_MEMORY).cells() == ["memory", "12.0", "≤ 10", "NO"]
