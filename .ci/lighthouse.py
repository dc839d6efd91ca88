"""Have Lighthouse look at the main pages of a server with 10,000 datasets, and print what it says.

Run by ``make lighthouse``; it fails below the scores in ``LEAST``. Lighthouse comes from the npm registry at a pinned
release, and looks at this machine alone, as a phone on a slow line. How fast pages are depends on what else the machine
does: of several runs the median counts, and only figures of an idle machine are worth keeping.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from showing import COOKIE, Page, application, served, session_of

from dservercore import sql_db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris, registration
from dservercore.catalog.scope import OPERATOR

LIGHTHOUSE = "lighthouse@12.2.3"
LEAST = {"performance": 95, "accessibility": 100, "best-practices": 100}
PAGES = [
    Page("search", "web.home"),
    Page("search for a word", "web.home", query={"free_text": "data"}),
    Page("dataset", "web.dataset", ("uri",)),
    Page("dashboard", "web.dashboard"),
    Page("account", "web.account"),
]
FLAGS = "--headless=new --no-sandbox --disable-gpu --disable-background-networking --disable-component-update"
_RUN = 500


def main() -> int:
    """Print the table; return 1 if a score is too low."""
    options = _options()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium or not shutil.which("npx"):
        sys.exit("make lighthouse takes Chromium and npx")
    directory = options.directory or _filled(Path(".lighthouse"), options.datasets)
    app = application(directory)
    is_good = True
    print(
        f"{'page':20} {'performance':>15} {'accessibility':>15} {'best-practices':>15}   LCP      CLS   bytes"
    )
    with session_of(app, options.user) as secret, served(directory, options.port) as address:
        for page in PAGES:
            path = page.path(app)
            if path is None:
                print(f"{page.name:20} there is no such page")
                continue
            reports = [_report(address + path, f"{COOKIE}={secret}", chromium) for _ in range(options.runs)]
            is_good &= _tell(page.name, reports)
    return 0 if is_good else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, help="data of a server [one is filled in .lighthouse]")
    parser.add_argument("--user", default="alice", help="who looks at the pages [alice]")
    parser.add_argument("--datasets", type=int, default=10_000, help="to fill a server with [10000]")
    parser.add_argument("--runs", type=int, default=3, help="for each page, of which the median counts [3]")
    parser.add_argument("--port", type=int, default=5099, help="to serve on [5099]")
    return parser.parse_args()


def _filled(directory: Path, number: int) -> Path:
    """Return a directory with a server's data: so many datasets, which alice may see."""
    from benchmarks.workload import BASE_URIS, Workload

    mark = directory / f"filled-with-{number}"
    if mark.exists():
        return directory
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    environment = {**os.environ, "DSERVER_DATA_DIR": str(directory.absolute()), "FLASK_APP": "dservercore"}
    for command in (["init", "--admin", "admin"], ["user", "add", "alice", "--display-name", "Alice"]):
        subprocess.run(
            [sys.executable, "-m", "flask", *command], env=environment, check=True, capture_output=True
        )
    documents = Workload(number).documents()
    with application(directory).app_context():
        for base_uri in BASE_URIS:
            base_uris.create_base_uri(base_uri, ["alice"], [])
        sql_db.session.commit()
        for _ in range(0, number, _RUN):
            run = [document for document, _ in zip(documents, range(_RUN), strict=False)]
            registration.register_batch(OPERATOR, operator_scope("register"), run)
            sql_db.session.commit()
            print(".", end="", flush=True)
    print()
    mark.touch()
    return directory


def _report(url: str, cookie: str, chromium: str) -> dict[str, Any]:
    command = [
        *["npx", "--yes", LIGHTHOUSE, url, "--output=json", "--quiet", f"--chrome-flags={FLAGS}"],
        *[f"--only-categories={','.join(LEAST)}", f"--extra-headers={json.dumps({'Cookie': cookie})}"],
    ]
    # Where Lighthouse sends reports about its own errors is asked for otherwise.
    environment = {**os.environ, "CHROME_PATH": chromium, "CI": "1"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"{LIGHTHOUSE} failed at {url}:\n{run.stderr}")
    report: dict[str, Any] = json.loads(run.stdout)
    return report


def _tell(name: str, reports: list[dict[str, Any]]) -> bool:
    """Print a line about a page, and one about each thing that costs it points; return whether it is good enough."""

    def value(audit: str) -> float:
        return statistics.median(report["audits"][audit]["numericValue"] for report in reports)

    scores = {
        category: statistics.median(
            round(100 * report["categories"][category]["score"]) for report in reports
        )
        for category in LEAST
    }
    shown = " ".join(f"{scores[category]:15.0f}" for category in LEAST)
    print(
        f"{name:20} {shown}   {value('largest-contentful-paint') / 1000:.2f} s"
        f"  {value('cumulative-layout-shift'):.3f}  {value('total-byte-weight'):.0f}",
        flush=True,
    )
    for audit in reports[-1]["audits"].values():
        is_weighty = audit.get("scoreDisplayMode") in ("binary", "metricSavings", "numeric")
        if is_weighty and audit["score"] is not None and audit["score"] < 0.9:
            print(f"    {audit['score']:.2f} {audit['id']}: {audit['title']} {audit.get('displayValue', '')}")
            for item in audit.get("details", {}).get("items", [])[:3]:
                print(f"         {json.dumps(item)[:220]}")
    return all(scores[category] >= least for category, least in LEAST.items())


if __name__ == "__main__":
    sys.exit(main())
