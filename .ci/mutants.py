"""Mutation testing: do the tests notice when a rule is broken?

``record`` runs the tests of ``make test`` and notes which of them run which line of the modules that hold the rules.
``run`` breaks one place after the other, seeded, in a copy of the checkout, and runs the tests of that line there, the
fastest first, until one fails: the mutant is killed. What survives all of them is printed, with its line.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGE = CHECKOUT / "src" / "dservercore"

#: Permissions, guards, scopes, the journal, URIs, documents and the query language.
RULES = [
    "auth/permissions.py",
    "auth/guards.py",
    "catalog/scope.py",
    "catalog/journal/*.py",
    "dataset/uris.py",
    "dataset/document.py",
    "dataset/text_query.py",
]

#: How many tests of one line are tried at most, and for how many seconds.
TESTS, SECONDS = 400, 300

COMPARED = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
CALCULATED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd}


@dataclass(frozen=True)
class Mutant:
    """A place that is broken: what stands there, and what stands there instead.

    :ivar file: below the package
    :ivar line: the first line of the statement
    :ivar start: where in the text of the file it begins, in characters
    """

    file: str
    line: int
    start: int
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.old!r} -> {self.new!r}"


# -- Mutants ---------------------------------------------------------------------------------------------------------


def mutants_of(file: Path) -> Iterator[Mutant]:
    """Yield every mutant of a module."""
    source = file.read_text()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line.encode()))
    content = source.encode()
    name = str(file.relative_to(PACKAGE))
    for statement in _statements(ast.parse(source)):
        for node, new in _changes_of(statement):
            start = starts[node.lineno - 1] + node.col_offset
            end = starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
            old = content[start:end].decode()
            yield Mutant(name, statement.lineno, len(content[:start].decode()), old, new)


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield the statements within functions, which are what requests run."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.stmt) and node is not function and not _is_text(node):
                    yield node


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _changes_of(statement: ast.stmt) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    """Yield nodes of a statement (not of those within it), and what they become."""
    if isinstance(statement, ast.Raise) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)
    ):
        yield statement, "pass"
    if isinstance(statement, ast.Return) and statement.value is not None:
        yield statement.value, "None"
    if isinstance(statement, ast.If | ast.While):
        yield statement.test, f"(not ({ast.unparse(statement.test)}))"
    for child in ast.iter_child_nodes(statement):
        if not isinstance(child, ast.stmt | ast.excepthandler):
            yield from _changes_within(child)


def _changes_within(tree: ast.AST) -> Iterator[tuple[ast.expr, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr | ast.arg):
            continue
        if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARED:
            ops = [COMPARED[type(node.ops[0])](), *node.ops[1:]]
            yield node, f"({ast.unparse(ast.Compare(node.left, ops, node.comparators))})"
        elif isinstance(node, ast.BoolOp):
            for left_out in range(len(node.values)):
                rest = [value for number, value in enumerate(node.values) if number != left_out]
                joined = " or ".join if isinstance(node.op, ast.Or) else " and ".join
                yield node, f"({joined(f'({ast.unparse(value)})' for value in rest)})"
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield node, f"({ast.unparse(node.operand)})"
        elif isinstance(node, ast.BinOp) and type(node.op) in CALCULATED:
            yield node, f"({ast.unparse(ast.BinOp(node.left, CALCULATED[type(node.op)](), node.right))})"
        elif isinstance(node, ast.Constant) and type(node.value) is bool:
            yield node, str(not node.value)
        elif isinstance(node, ast.Constant) and type(node.value) is int:
            yield node, str(node.value + 1)


def chosen(number: int, seed: int) -> list[Mutant]:
    """Return so many mutants, of each module in proportion to what can be broken in it."""
    every = [
        mutant
        for pattern in RULES
        for file in sorted(PACKAGE.glob(pattern))
        for mutant in dict.fromkeys(mutants_of(file))
    ]
    return sorted(random.Random(seed).sample(every, min(number, len(every))), key=str)


# -- Tests of a line -------------------------------------------------------------------------------------------------


def record(folder: Path, arguments: list[str]) -> None:
    """Run tests; keep which of them run which line, and how long each takes, in seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    data, report = folder / "coverage", folder / "junit.xml"
    settings = folder / "coveragerc"
    included = "\n    ".join(str(PACKAGE / pattern) for pattern in RULES)
    settings.write_text(f"[run]\ndata_file = {data}\ninclude =\n    {included}\n")
    command = [sys.executable, "-m", "pytest", "-q", "-m", "not long", f"--cov-config={settings}", "--cov"]
    command += ["--cov-context=test", "--cov-report=", f"--junitxml={report}", *arguments]
    done = subprocess.run(command, cwd=CHECKOUT)
    if done.returncode:
        sys.exit(f"The tests must pass before any is broken; pytest ended with {done.returncode}")
    (folder / "tests.json").write_text(json.dumps(_tests_by_line(data, _durations(report))))


def _durations(report: Path) -> dict[str, float]:
    """Return the seconds of each test, by its id without the path of the module."""
    return {
        f"{case.get('classname', '').replace('.', '/')}::{case.get('name')}": float(case.get("time", 0))
        for case in ElementTree.parse(report).iter("testcase")
    }


def _tests_by_line(data: Path, durations: dict[str, float]) -> dict[str, dict[int, list[str]]]:
    """Return ``{module: {line: ids of tests, the fastest first}}``."""
    from coverage import CoverageData

    coverage = CoverageData(str(data))
    coverage.read()

    def seconds(test: str) -> float:
        return durations.get(test.replace(".py::", "::", 1).replace("::", "/", test.count("::") - 1), 0.0)

    found: dict[str, dict[int, list[str]]] = {}
    for file in coverage.measured_files():
        lines = coverage.contexts_by_lineno(file)
        found[str(Path(file).relative_to(PACKAGE))] = {
            line: sorted({context.partition("|")[0] for context in contexts if context}, key=seconds)
            for line, contexts in lines.items()
        }
    return found


def tests_of(mutant: Mutant, recorded: dict[str, dict[str, list[str]]]) -> list[str]:
    """Return the ids of the tests that run its line; of many, those of each module in turn."""
    by_module: dict[str, list[str]] = {}
    for test in recorded.get(mutant.file, {}).get(str(mutant.line), []):
        by_module.setdefault(test.partition("::")[0], []).append(test)
    tests: list[str] = []
    while any(by_module.values()):
        tests += [module.pop(0) for module in by_module.values() if module]
    return tests[:TESTS]


# -- Running ---------------------------------------------------------------------------------------------------------


def copy_of_the_checkout(folder: Path) -> Path:
    """Copy what git knows of into a new folder below *folder*, and return that."""
    place = Path(tempfile.mkdtemp(dir=folder))
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / name, place / name)
    return place


def outcome(mutant: Mutant, tests: list[str], place: Path) -> str:
    """Return ``killed``, ``survived``, ``out of time``, or ``not tested`` where no test runs the line."""
    if not tests:
        return "not tested"
    file = place / "src" / "dservercore" / mutant.file
    original = file.read_text()
    end = mutant.start + len(mutant.old)
    assert original[mutant.start : end] == mutant.old
    file.write_text(original[: mutant.start] + mutant.new + original[end:])
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider", *tests]
    # Before the installed package; nothing compiled is kept, as a mutant may be made in the same second.
    environment = {**os.environ, "PYTHONPATH": str(place / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(command, cwd=place, env=environment, capture_output=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return "out of time"
    finally:
        file.write_text(original)
    return "survived" if done.returncode == 0 else "killed"


def run(folder: Path, number: int, seed: int, jobs: int) -> None:
    """Try so many mutants, print those that survive and how many were killed; keep the outcomes as JSON."""
    recorded = json.loads((folder / "tests.json").read_text())
    places: SimpleQueue[Path] = SimpleQueue()
    for _ in range(jobs):
        places.put(copy_of_the_checkout(folder))

    def try_one(mutant: Mutant) -> dict[str, object]:
        place = places.get()
        tests = tests_of(mutant, recorded)
        begin = time.monotonic()
        try:
            result = outcome(mutant, tests, place)
        finally:
            places.put(place)
        took = round(time.monotonic() - begin, 1)
        if result != "killed":
            print(f"{result} ({len(tests)} tests, {took} s): {mutant}", flush=True)
        return {**asdict(mutant), "outcome": result, "tests": len(tests), "seconds": took}

    with ThreadPoolExecutor(jobs) as pool:
        outcomes = list(pool.map(try_one, chosen(number, seed)))
    (folder / "mutants.json").write_text(json.dumps(outcomes, indent=1))
    killed = sum(entry["outcome"] == "killed" for entry in outcomes)
    print(f"{killed} of {len(outcomes)} mutants killed")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=CHECKOUT / ".mutants", help="where records are kept")
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser(
        "record", help="note which tests run which line; further options are pytest's"
    )
    recording.set_defaults(call=lambda options, rest: record(options.folder, rest))
    running = commands.add_parser("run", help="break one place after the other")
    running.add_argument("--number", type=int, default=200)
    running.add_argument("--seed", type=int, default=1)
    running.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    running.set_defaults(
        call=lambda options, _: run(options.folder, options.number, options.seed, options.jobs)
    )
    options, rest = parser.parse_known_args()
    options.call(options, rest)


if __name__ == "__main__":
    main()
