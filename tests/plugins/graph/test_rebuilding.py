"""Deriving edges again, and what says that it is needed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from dservercore import sql_db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import job_runs, jobs, registration
from dservercore.catalog.datasets import Document
from dservercore.catalog.scope import OPERATOR
from dservercore.models import Dataset
from dservercore.plugins.graph import edges as edges_table
from dservercore.plugins.graph import rebuilding
from dservercore.plugins.graph.models import GraphDataset, GraphEdge
from support.live_server import LiveServer
from support.waiting import wait_until
from support.world import CHAMPION, RED, dataset_info

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
    assert caplog.text.count("lacks 3 dataset(s)") == 1
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


def test_one_document_of_many_whose_edges_fail_keeps_no_other_from_having_them(
    here, monkeypatch, caplog
) -> None:
    write, bad = edges_table.write, uuid_of(11)

    def fail_with_one(documents: Sequence[Mapping[str, Any]]) -> None:
        write(documents)
        if any(document["uuid"] == bad for document in documents):
            raise RuntimeError("not this one")

    monkeypatch.setattr(edges_table, "write", fail_with_one)
    infos = [
        dataset_info(uuid=uuid_of(number), readme=f"derived_from: {{uuid: {uuid_of(1)}}}")
        for number in (10, 11, 12)
    ]
    outcomes = registration.register_batch(
        OPERATOR, operator_scope("register"), [Document(info) for info in infos]
    )
    sql_db.session.commit()
    assert outcomes == ["created"] * 3
    assert [edge.uuid for edge in edges() if edge.parent == uuid_of(1)] == [uuid_of(n) for n in (2, 10, 12)]
    assert "The extension Graph failed" in caplog.text
    assert rebuilding.number_left() == 1
    monkeypatch.undo()
    assert rebuilding.rebuild() == 0
    assert here.connected(11)[11] == [1]


@pytest.mark.long
def test_a_server_that_begins_to_serve_adds_what_is_missing(tmp_path) -> None:
    """From no extension to having it: nothing but ``flask db upgrade`` and a start, on which the job is done."""
    live = LiveServer(tmp_path, program="serve")
    live.add_people(RED)
    parent, child = uuid_of(1), uuid_of(2)
    readme = f"derived_from:\n  - uuid: {parent}\n"
    live.start()
    for info in (dataset_info(uuid=parent), dataset_info(uuid=child, readme=readme)):
        assert live.request("PUT", f"/uris/{info['uri']}", CHAMPION, json=info).status_code == 201
    assert live.request("GET", f"/graph/uuids/{child}", CHAMPION).status_code == 404
    live.stop()
    live.settings["DSERVER_EXTENSIONS"] = "graph"
    assert live.flask("db", "upgrade").returncode == 0
    live.start()
    try:
        assert "The provenance graph lacks 2 dataset(s)" in live.log.read_text()
        wait_until(lambda: len(live.request("GET", f"/graph/uuids/{child}", CHAMPION).json()) == 2)
    finally:
        live.stop()
    assert live.flask("graph", "status").stdout == "2 datasets in the graph, 0 to be added\n"
