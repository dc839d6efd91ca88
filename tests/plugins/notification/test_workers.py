"""Events that come while others are worked on, by several workers, on every database; and a worker that is killed."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask

from dservercore import create_app, sql_db
from dservercore.catalog import base_uris, job_runs, jobs
from dservercore.dataset.times import utcnow
from dservercore.models import Job
from dservercore.plugins.notification import inbox, looking
from support.databases import new_database, on_other_stores
from support.live_server import LiveServer, environment
from support.mongod import mongo_plugins
from support.world import RED

from .bodies import aws, of_aws
from .conftest import PATH, SETTINGS

UUIDS = [f"3bb16afc-3f5c-4d16-9b12-0d8d7a1f6c2{n}" for n in range(3)]


@pytest.fixture(params=["sqlite", *on_other_stores("postgresql", "mariadb")])
def app(request: pytest.FixtureRequest, tmp_path: Path, key_pair: tuple[Path, Path]) -> Iterator[Flask]:
    private, public = (path.read_text() for path in key_pair)

    def make(address: str, more: Mapping[str, str] = {}) -> Flask:
        app = create_app(
            {
                **SETTINGS,
                **more,
                "SQLALCHEMY_DATABASE_URI": address,
                "JWT_PRIVATE_KEY": private,
                "JWT_PUBLIC_KEY": public,
                "DSERVER_LOG_LEVEL": "ERROR",
            }
        )
        with app.app_context():
            sql_db.create_all()
            base_uris.create_base_uri(RED, [], [])
            sql_db.session.commit()
        return app

    def close(app: Flask) -> None:
        with app.app_context():
            sql_db.engine.dispose()

    if request.param == "sqlite":
        app = make(f"sqlite:///{tmp_path / 'a.db'}")
        yield app
        close(app)
        return
    more = {}
    if request.param == "mariadb":
        mongod = request.getfixturevalue("mongod")
        more = mongo_plugins(mongod.uri, f"workers_{uuid.uuid4().hex}")
    with new_database(request.param) as address:
        app = make(address, more)
        yield app
        close(app)


def test_two_workers_never_look_at_the_same_dataset_and_miss_no_event(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(job_runs, "LOOK_SECONDS", 0.01)
    lock = threading.Lock()
    open_now: Counter[str] = Counter()
    most: Counter[str] = Counter()
    begun: dict[str, float] = {}
    answered: dict[str, float] = {}

    def look(seen: inbox.Noted) -> None:
        with lock:
            open_now[seen.uri] += 1
            most[seen.uri] = max(most[seen.uri], open_now[seen.uri])
            begun[seen.uri] = time.monotonic()
        time.sleep(0.01)
        with lock:
            open_now[seen.uri] -= 1

    monkeypatch.setattr(looking, "_settle", look)

    def send(number: int) -> int:
        identifier = UUIDS[number % len(UUIDS)]
        sent = time.monotonic()
        others = [aws(f"{other}/dtool") for other in UUIDS if number % 2]
        answer = app.test_client().post(PATH, json=of_aws(aws(f"{identifier}/dtool"), *others))
        with lock:
            answered[f"{RED}/{identifier}"] = max(sent, answered.get(f"{RED}/{identifier}", 0.0))
        return answer.status_code

    is_over = threading.Event()

    def work() -> None:
        with app.app_context():
            job_runs.work(is_over)

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    with ThreadPoolExecutor(4) as senders:
        statuses = Counter(senders.map(send, range(60)))
    deadline = time.monotonic() + 60

    def left() -> int:
        with app.app_context():
            return len(inbox.list_datasets()) + len(jobs.list_jobs())

    while left():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    is_over.set()
    for worker in workers:
        worker.join()
    assert statuses == {200: 60}
    assert set(most.values()) == {1}
    assert all(begun[uri] > moment for uri, moment in answered.items())


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.long
def test_the_look_of_a_worker_that_is_killed_is_done_by_another(tmp_path: Path) -> None:
    """It is killed while it waits for storage, which a socket that takes no part in anything stands for."""
    silent = socket.create_server(("127.0.0.1", 0))
    settings = {
        "DSERVER_EXTENSIONS": "notification",
        "DSERVER_NOTIFY_BUCKET_TO_BASE_URI": f'{{"red": "{RED}"}}',
        "DTOOL_S3_ENDPOINT_red": f"http://127.0.0.1:{silent.getsockname()[1]}",
        "DTOOL_S3_ACCESS_KEY_ID_red": "test",
        "DTOOL_S3_SECRET_ACCESS_KEY_red": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
        "DSERVER_SERVE_JOBS": "false",
    }
    server = LiveServer(tmp_path, settings=settings)
    server.add_people()
    assert server.app.test_client().post(PATH, json=of_aws(aws())).status_code == 200
    own = environment(tmp_path, **settings)
    worker = subprocess.Popen([sys.executable, "-m", "flask", "worker"], cwd=tmp_path, env=own)
    wait_for(lambda: "running" in server.flask("jobs", "list").stdout)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    silent.close()
    assert "1 dataset waiting" in server.flask("notification", "status").stderr
    with server.app.app_context():  # a minute passes
        sql_db.session.query(Job).update({"due_at": utcnow() - timedelta(seconds=1)})
        sql_db.session.commit()
    assert server.flask("worker", "--once").returncode == 0
    status = server.flask("notification", "status").stdout
    assert "trying" in status
    assert "attempts 2" in status
