"""The queue: jobs count with the write, are done by one worker at a time, and again after an error or a kill."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from dservercore import create_app, sql_db, utils
from dservercore.catalog import job_runs, jobs
from dservercore.dataset.times import utcnow
from dservercore.errors import ConfigurationError, UnavailableError
from dservercore.models import BaseURI, Job
from support.databases import new_database


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def config(request: pytest.FixtureRequest, config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if request.param == "sqlite":
        yield config
        return
    # On MariaDB, descriptions are kept elsewhere.
    more = request.getfixturevalue("mongo_settings") if request.param == "mariadb" else {}
    with new_database(request.param) as address:
        yield {**config, **more, "SQLALCHEMY_DATABASE_URI": address}


@pytest.fixture
def handle(app: Flask) -> Callable[..., None]:
    """``handle(kind=handler)`` has jobs done by these handlers."""
    return lambda **handlers: jobs.init_jobs(app, [handlers])


def enqueue(*payloads: Any, kind: str = "note") -> None:
    for payload in payloads:
        jobs.enqueue(kind, payload)
    sql_db.session.commit()


def run() -> int:
    return job_runs.work(threading.Event(), once=True)


def make_due() -> None:
    """Let time pass until every pause and every lease has ended."""
    sql_db.session.query(Job).update({"due_at": utcnow() - timedelta(seconds=1)})
    sql_db.session.commit()


@pytest.fixture
def within(app: Flask) -> Iterator[None]:
    with app.app_context():
        yield


pytestmark = pytest.mark.usefixtures("within")


def test_jobs_are_done_in_their_order_with_what_they_were_given(handle):
    done: list[Any] = []
    handle(note=done.append)
    enqueue({"a": [1, None, "ü"]}, "b", None)
    assert [job["state"] for job in jobs.list_jobs()] == ["waiting"] * 3
    assert run() == 3
    assert done == [{"a": [1, None, "ü"]}, "b", None]
    assert jobs.list_jobs() == []
    assert run() == 0


def test_a_job_counts_if_the_write_counts(handle):
    done: list[Any] = []
    handle(note=done.append)
    jobs.enqueue("note", "lost")
    sql_db.session.rollback()
    enqueue("kept")
    run()
    assert done == ["kept"]


def test_what_a_job_writes_counts_with_its_end(app, handle):
    def half(payload):
        sql_db.session.add(BaseURI(base_uri="s3://half"))
        sql_db.session.flush()
        raise RuntimeError("broken")

    handle(whole=lambda payload: sql_db.session.add(BaseURI(base_uri="s3://whole")), half=half)
    jobs.enqueue("whole")
    jobs.enqueue("half")
    sql_db.session.commit()
    run()
    assert [one["base_uri"] for one in utils.list_base_uris()] == ["s3://whole"]


def test_a_job_may_wait(handle):
    handle(note=print)
    jobs.enqueue("note", delay=3600)
    sql_db.session.commit()
    assert run() == 0
    make_due()
    assert run() == 1


def test_a_job_that_waits_is_hurried_and_one_that_pauses_only_on_purpose(handle):
    def fail(payload: Any) -> None:
        raise ValueError(payload)

    handle(note=fail)
    number = jobs.enqueue("note", 1, delay=60)
    sql_db.session.commit()
    assert run() == 0
    assert jobs.hurry(number)
    sql_db.session.commit()
    assert run() == 1
    assert jobs.hurry(number)
    sql_db.session.commit()
    assert run() == 0  # it pauses
    assert jobs.hurry(number, after_failures=True)
    sql_db.session.commit()
    assert run() == 1
    assert (jobs.exists(number), jobs.exists(number + 1), jobs.hurry(number + 1)) == (True, False, False)


def test_what_fails_is_tried_again_after_growing_pauses_and_then_left(handle, caplog):
    def fail(payload):
        raise RuntimeError("the mail server is away")

    handle(note=fail)
    enqueue("x")
    pauses = []
    for attempt in range(1, jobs.MAX_ATTEMPTS + 1):
        assert run() == 1
        (job,) = jobs.list_jobs()
        assert (job["attempts"], job["error"]) == (attempt, "RuntimeError: the mail server is away")
        pauses.append(job["due_at"] - time.time())
        assert run() == 0  # not before then
        make_due()
    assert pauses[:-1] == sorted(pauses[:-1])
    assert pauses[0] > 5
    assert job["state"] == "failed"
    assert run() == 0
    assert "attempt 1: it will be tried again" in caplog.text
    done: list[Any] = []
    handle(note=done.append)
    assert jobs.retry() == 1
    sql_db.session.commit()
    run()
    assert done == ["x"]


def test_a_store_that_is_away_takes_one_line_of_the_log(handle, caplog):
    def fail(payload):
        raise UnavailableError("s3://red is away")

    handle(note=fail)
    enqueue("x")
    assert run() == 1
    assert caplog.text.endswith("attempt 1: it will be tried again. s3://red is away\n")
    assert "Traceback" not in caplog.text


def test_the_job_of_a_worker_that_was_killed_is_done_by_another(handle):
    done: list[Any] = []
    handle(note=done.append)
    enqueue("x")
    assert jobs.claim() is not None  # and this one is never heard of again
    assert jobs.list_jobs()[0]["state"] == "running"
    assert run() == 0
    make_due()
    assert run() == 1
    assert done == ["x"]


def test_a_job_that_kills_its_workers_is_left_at_last(handle):
    handle(note=print)
    enqueue("x")
    for _ in range(jobs.MAX_ATTEMPTS):
        assert jobs.claim() is not None
        make_due()
    assert jobs.claim() is None
    assert jobs.list_jobs(only_failed=True)[0]["error"] == "the process that did it ended before it was done"


def test_who_has_lost_a_job_changes_nothing(handle):
    def slow(payload):
        sql_db.session.commit()  # or SQLite lets nobody else write
        make_due()
        assert jobs.claim() is not None  # by another worker
        sql_db.session.add(BaseURI(base_uri="s3://late"))

    handle(note=slow)
    enqueue("x")
    assert job_runs.do_next()
    assert utils.list_base_uris() == []
    assert jobs.list_jobs()[0]["state"] == "running"


def test_a_lease_is_renewed_for_as_long_as_the_job_goes_on(handle):
    others, ends = [], set()

    def slow(payload):
        sql_db.session.commit()
        deadline = time.monotonic() + 60
        while len(ends) < 3 and time.monotonic() < deadline:
            time.sleep(0.2)
            others.append(jobs.claim(lease_seconds=6))
            ends.add(jobs.list_jobs()[0]["due_at"])
            sql_db.session.commit()

    handle(note=slow)
    enqueue("x")
    assert job_runs.do_next(lease_seconds=6)
    assert len(ends) == 3
    assert set(others) == {None}
    assert jobs.list_jobs() == []


def test_many_workers_do_each_job_once(app, handle):
    done: list[int] = []
    handle(note=done.append)
    enqueue(*range(40))

    def work():
        with app.app_context():
            job_runs.work(is_over)

    is_over = threading.Event()
    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    deadline = time.monotonic() + 60
    while len(done) < 40 and time.monotonic() < deadline:
        time.sleep(0.05)
    is_over.set()
    for worker in workers:
        worker.join()
    assert Counter(done) == Counter(range(40))


def test_jobs_of_extensions_that_are_gone_stay(handle):
    handle(note=print, other=print)
    enqueue("x", kind="other")
    handle(note=print)
    assert run() == 0
    assert [job["kind"] for job in jobs.list_jobs()] == ["other"]
    assert jobs.remove([jobs.list_jobs()[0]["id"]]) == 1


def test_what_cannot_be_done_is_not_entered(handle):
    handle(note=print)
    with pytest.raises(LookupError, match="'nonsense'"):
        jobs.enqueue("nonsense")
    with pytest.raises(TypeError):
        jobs.enqueue("note", object())


def test_two_extensions_cannot_do_the_same_kind(app):
    with pytest.raises(ConfigurationError, match="'note'"):
        jobs.init_jobs(app, [{"note": print}, {"note": print}])


def test_an_application_has_a_queue(config):
    with create_app(config).app_context():
        assert jobs.handlers() == {}
