"""Deriving edges again, and what says that it is needed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from dservercore import sql_db
from dservercore.catalog import job_runs, jobs
from dservercore.models import Dataset
from dservercore.plugins.graph import rebuilding
from dservercore.plugins.graph.models import GraphDataset, GraphEdge

from .conftest import Family, graph_app, uuid_of

OTHER_KEY = ["annotations.parent"]


@pytest.fixture
def here(tmp_path) -> Iterator[Family]:
    with graph_app(tmp_path, is_migrated=True) as app:
        family = Family(app)
        family.add(1)
        family.add(2, 1)
        family.add(3, annotations={"parent": uuid_of(2)})
        yield family


def edges() -> list[Any]:
    return sql_db.session.execute(select(GraphEdge.uuid, GraphEdge.parent).order_by(GraphEdge.uuid)).all()


def forget() -> None:
    sql_db.session.execute(delete(GraphEdge))
    sql_db.session.execute(delete(GraphDataset))
    sql_db.session.commit()


def test_nothing_is_to_be_done_where_everything_was_registered_with_it(here, caplog) -> None:
    assert rebuilding.number_left() == 0
    rebuilding.begin_if_needed()
    assert jobs.list_jobs() == []
    assert "graph" not in caplog.text


def test_the_command_derives_what_was_registered_without(here, monkeypatch) -> None:
    before = edges()
    assert len(before) == 2
    forget()
    monkeypatch.setattr(rebuilding, "_BATCH", 2)
    runner = here.app.test_cli_runner()
    assert runner.invoke(args=["graph", "status"]).output == "0 datasets in the graph, 3 to be added\n"
    done = runner.invoke(args=["graph", "rebuild"])
    assert (done.exit_code, done.output) == (0, "Edges derived of 3 datasets\n")
    assert edges() == before
    assert "Edges derived of 0 datasets" in runner.invoke(args=["graph", "rebuild"]).output
    sql_db.session.execute(update(GraphEdge).values(parent=uuid_of(9)))
    sql_db.session.commit()
    assert "Edges derived of 3 datasets" in runner.invoke(args=["graph", "rebuild", "--all"]).output
    assert edges() == before


def test_a_rebuild_goes_on_where_it_was_interrupted(here, monkeypatch) -> None:
    before = edges()
    forget()
    monkeypatch.setattr(rebuilding, "_BATCH", 1)

    def interrupt(_number: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuilding.rebuild(told=interrupt)
    sql_db.session.rollback()
    assert rebuilding.number_left() == 2
    assert rebuilding.rebuild() == 0
    assert edges() == before


def test_other_keys_are_derived_by_a_job(here, caplog, monkeypatch) -> None:
    here.app.config |= {"DSERVER_DYNAMIC_DEPENDENCY_KEYS": False, "DSERVER_DEPENDENCY_KEYS": OTHER_KEY}
    assert rebuilding.number_left() == 0  # what stands under any key was kept
    assert here.connected(2) == {2: [], 3: [2]}
    rebuilding.rebuild(everything=True)
    assert edges() == [(uuid_of(3), uuid_of(2))]
    here.app.config["DSERVER_DEPENDENCY_KEYS"] = ["readme.derived_from.uuid"]
    assert rebuilding.number_left() == 3
    monkeypatch.setattr(rebuilding, "_BATCH", 2)
    with caplog.at_level(logging.WARNING):
        rebuilding.begin_if_needed()
        rebuilding.begin_if_needed()
    assert "lacks 3 dataset(s)" in caplog.text
    assert [job["kind"] for job in jobs.list_jobs()] == [rebuilding.JOB]
    sql_db.session.rollback()
    assert job_runs.work(threading.Event(), once=True) == 3
    assert (rebuilding.number_left(), edges()) == (0, [(uuid_of(2), uuid_of(1))])


def test_edges_go_with_their_dataset(here) -> None:
    sql_db.session.execute(delete(Dataset).where(Dataset.uuid == uuid_of(2)))
    sql_db.session.commit()
    assert edges() == [(uuid_of(3), uuid_of(2))]
    assert rebuilding.number_left() == 0


def test_a_description_that_is_gone_is_left(here) -> None:
    forget()
    uri = here.add(4)
    here.app.retrieve.delete_dataset(uri)
    sql_db.session.commit()
    sql_db.session.execute(delete(GraphDataset))
    sql_db.session.commit()
    done = here.app.test_cli_runner().invoke(args=["graph", "rebuild"])
    assert done.output.splitlines() == [
        "Edges derived of 3 datasets",
        "1 dataset left, without a description: see `flask dataset check`",
    ]
    rebuilding.rebuild_batch(None)
