"""The extension of docs/how-to/write-an-extension.rst, beside a server: all that one may bring, in one folder."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import requests

from dservercore import sql_db
from dservercore.dataset.times import utcnow
from dservercore.models import Job
from support.databases import new_database
from support.extension_package import write_package
from support.live_server import LiveServer, environment, flask
from support.world import CHAMPION, dataset_info

SOURCE = Path(__file__).parent / "toy_plugins" / "bookmarks" / "bookmarks"
WAIT_SECONDS = 60

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def packages(tmp_path: Path) -> str:
    """A folder for PYTHONPATH with the extension in it."""
    folder = tmp_path / "packages"
    write_package(folder, "bookmarks", "", extension="Bookmarks")
    (folder / "bookmarks.py").unlink()
    shutil.copytree(SOURCE, folder / "bookmarks", ignore=shutil.ignore_patterns("__pycache__"))
    return str(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path, packages: str) -> Iterator[dict[str, str]]:
    """Settings of a server that has the extension."""
    own = {
        "PYTHONPATH": packages,
        "PYTHONDONTWRITEBYTECODE": "1",
        "BOOKMARKS_OUTBOX": str(tmp_path / "outbox"),
    }
    if request.param == "sqlite":
        yield own
        return
    with new_database(request.param) as address:
        yield {**own, "SQLALCHEMY_DATABASE_URI": address}


@pytest.fixture
def run(tmp_path: Path, settings: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``run(*arguments, **more)`` runs ``flask`` with these settings and *more*; None takes a setting away."""

    def run(*arguments: str, **more: str | None) -> subprocess.CompletedProcess[str]:
        wanted = {**settings, **more}
        return flask(
            tmp_path, *arguments, **{name: text for name, text in wanted.items() if text is not None}
        )

    return run


def test_migrations_run_with_those_of_the_server_and_are_asked_for(run) -> None:
    without = {"PYTHONPATH": None}
    assert run("init", **without).returncode == 0
    for command in (["db", "check"], ["worker", "--once"]):
        refused = run(*command)
        assert refused.returncode == 1
        assert "The tables of bookmarks are not up to date: run `flask db upgrade`" in refused.stderr
    assert "with migrations of bookmarks" in run("db", "upgrade").stderr
    assert "bookmarks" not in run("db", "upgrade").stderr
    assert run("db", "check").returncode == 0
    assert "CREATE TABLE bookmark " in run("db", "upgrade", "--sql").stdout
    # Where the extension goes, the server goes on.
    for command in (["db", "check"], ["db", "upgrade"], ["user", "add", "alice"]):
        assert run(*command, **without).returncode == 0


def test_a_newer_release_was_there_before(run, packages: str) -> None:
    assert run("init").returncode == 0
    newer = Path(packages) / "bookmarks" / "migrations" / "0002_more.py"
    newer.write_text('revision = "0002"\ndown_revision = "0001"\n\n\ndef upgrade():\n    pass\n')
    assert run("db", "upgrade").returncode == 0
    newer.unlink()
    refused = run("db", "upgrade")
    assert refused.returncode == 1
    assert "The tables of bookmarks are at revision 0002" in refused.stderr


def test_a_backup_is_restored_with_its_tables(run, tmp_path: Path) -> None:
    assert run("init").returncode == 0
    backup = str(tmp_path / "backup.tar")
    assert run("backup", backup).returncode == 0
    restored = run("restore", "--force", backup)
    assert restored.returncode == 0, restored.stderr
    assert run("db", "check").returncode == 0


def test_settings_are_read_checked_and_guessed(run) -> None:
    assert run("init").returncode == 0
    assert '"BOOKMARKS_MOST": 7' in run("config", "show", BOOKMARKS_MOST="7").stdout
    wrong = run("config", "show", BOOKMARKS_MOST="many")
    assert (wrong.returncode, "BOOKMARKS_MOST='many': expected a number" in wrong.stderr) == (1, True)
    assert "did you mean BOOKMARKS_MOST?" in run("config", "show", BOOKMARK_MOST="x").stderr


@pytest.fixture
def live(tmp_path: Path, settings: dict[str, str]) -> Iterator[LiveServer]:
    """``flask serve`` with the extension, and a dataset that CHAMPION has bookmarked."""
    server = LiveServer(tmp_path, workers=1, settings=settings, program="serve")
    server.add_people()
    server.start()
    yield server
    server.stop()


def bookmark(server: LiveServer) -> str:
    info = dataset_info()
    path = info["uri"].replace("://", "/")
    assert server.request("PUT", f"/uris/{path}", CHAMPION, json=info).status_code == 201
    assert server.request("PUT", f"/bookmarks/{path}", CHAMPION).json() == {"uris": [info["uri"]]}
    assert server.request("PUT", f"/readmes/{path}", CHAMPION, json={"readme": "new"}).status_code == 200
    return str(info["uri"])


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_server_does_its_jobs_and_shows_its_page(live: LiveServer, tmp_path: Path) -> None:
    outbox = tmp_path / "outbox"
    uri = bookmark(live)
    wait_for(lambda: outbox.exists() and bool(outbox.read_text()))
    assert outbox.read_text() == f"{CHAMPION}: {uri} has changed\n"
    page = requests.get(f"{live.address}/suggest-a-bookmark", timeout=60)
    assert (page.status_code, "default-src 'none'" in page.headers["Content-Security-Policy"]) == (200, True)
    assert {"HttpOnly", "SameSite=Lax"} <= set(page.headers["Set-Cookie"].split("; "))


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
def test_the_job_of_a_worker_that_is_killed_is_done_by_another(
    tmp_path: Path, settings: dict[str, str], packages: str
) -> None:
    server = LiveServer(
        tmp_path, workers=1, settings={**settings, "DSERVER_SERVE_JOBS": "false"}, program="serve"
    )
    server.add_people()
    server.start()
    try:
        uri = bookmark(server)
    finally:
        server.stop()
    outbox = tmp_path / "outbox"
    assert not outbox.exists()  # the server was told not to
    os.mkfifo(outbox)  # whoever opens it waits
    own = environment(tmp_path, **settings)
    worker = subprocess.Popen([sys.executable, "-m", "flask", "worker"], cwd=tmp_path, env=own)
    wait_for(lambda: "running" in flask(tmp_path, "jobs", "list", **settings).stdout)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    outbox.unlink()
    assert flask(tmp_path, "worker", "--once", **settings).returncode == 0
    assert not outbox.exists()  # the lease has not ended
    with server.app.app_context():  # a minute passes
        sql_db.session.query(Job).update({"due_at": utcnow() - timedelta(seconds=1)})
        sql_db.session.commit()
    second = subprocess.Popen([sys.executable, "-m", "flask", "worker"], cwd=tmp_path, env=own)
    wait_for(outbox.exists)
    wait_for(lambda: outbox.read_text() == f"{CHAMPION}: {uri} has changed\n")
    second.send_signal(signal.SIGTERM)
    assert second.wait(60) == 0
    assert flask(tmp_path, "jobs", "list", **settings).stdout == ""
