"""What extensions are told of registrations, edits and deletions: each once, when it is committed, and nothing else."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import delete

from dservercore import Blueprint, ExtensionABC, plugin_host, sql_db, utils
from dservercore.errors import ConfigurationError
from dservercore.models import BaseURI, Dataset
from dservercore.plugin_api import DatasetEvent
from support.world import CHAMPION, RED, dataset_info


class Listener(ExtensionABC):
    """Writes down what it is told, and whether that counts for others by then."""

    def __init__(self):
        self.events: list[DatasetEvent] = []
        self.seen: list[bool] = []
        self.then = lambda event: None

    def get_blueprint(self):
        return Blueprint("listener", __name__)

    def after_commit(self, event):
        self.events.append(event)
        with sql_db.engine.connect() as connection:
            uris = connection.exec_driver_sql("SELECT uri FROM dataset").scalars().all()
        self.seen.append(event.uri in uris)
        self.then(event)

    @property
    def told(self) -> list[tuple[str, str, str | None]]:
        told = [(event.kind, event.uri, event.field) for event in self.events]
        self.events.clear()
        return told


def install(app: Flask, *extensions: ExtensionABC) -> None:
    plugins = app.extensions[plugin_host.DISTRIBUTION]
    app.extensions[plugin_host.DISTRIBUTION] = dataclasses.replace(plugins, extensions=extensions)


@pytest.fixture
def listener(app, people) -> Listener:
    listener = Listener()
    install(app, listener)
    return listener


@pytest.fixture
def carl(client, bearer):
    """``carl(method, path, json)`` sends a request."""

    def send(method, path, json=None, status=200):
        answer = client.open(path, method=method, json=json, headers=bearer(CHAMPION))
        assert answer.status_code == status, answer.text
        return answer

    return send


def registered(app: Flask) -> dict[str, Any]:
    """A dataset that is registered: its document."""
    info = dataset_info()
    with app.app_context():
        utils.register_dataset(info)
    return info


def base_uris(app: Flask) -> list[str]:
    with app.app_context():
        return [one["base_uri"] for one in utils.list_base_uris()]


def path(kind: str, uri: str, *more: str) -> str:
    return "/".join([f"/{kind}", uri.replace("://", "/"), *more])


class TestRequests:
    def test_a_registration_edits_and_a_deletion_are_told_once_each(self, carl, listener):
        info = dataset_info()
        uri = info["uri"]
        carl("PUT", path("uris", uri), info, 201)
        assert listener.events == [DatasetEvent("registered", uri, info["uuid"], None, CHAMPION)]
        listener.events.clear()
        carl("PUT", path("uris", uri), info)
        assert listener.told == [("registered", uri, None)]
        carl("PUT", path("tags", uri), {"tags": ["a"]})
        carl("POST", path("tags", uri, "b"))
        carl("DELETE", path("tags", uri, "b"))
        assert listener.told == [("edited", uri, "tags")] * 3
        carl("PUT", path("readmes", uri), {"readme": "new"})
        assert listener.told == [("edited", uri, "readme")]
        carl("PUT", path("annotations", uri), {"annotations": {"a": 1}})
        carl("PUT", path("annotations", uri, "a"), {"value": 2})
        carl("DELETE", path("annotations", uri, "a"))
        assert listener.told == [("edited", uri, "annotations")] * 3
        assert all(listener.seen)
        carl("DELETE", path("uris", uri))
        assert listener.told == [("deleted", uri, None)]
        assert listener.seen[-1] is False
        carl("DELETE", path("uris", uri))  # which is not there
        assert listener.told == []

    def test_of_many_those_are_told_that_were_accepted(self, carl, listener):
        infos = [dataset_info() for _ in range(5)]
        refused = infos[2]["uri"]
        infos[2]["readme"] = "x" * (2**20 + 1)
        carl("POST", "/uris/bulk", infos)
        expected = [("registered", info["uri"], None) for info in infos if info["uri"] != refused]
        assert listener.told == expected

    def test_what_is_refused_is_not_told(self, carl, listener):
        carl("PUT", path("uris", dataset_info()["uri"]), dataset_info(), 400)
        carl("PUT", path("tags", f"{RED}/none"), {"tags": ["a"]}, 404)
        assert listener.told == []


class TestOtherEdges:
    def test_code_of_plugins(self, app, listener):
        info = dataset_info()
        with app.app_context():
            utils.register_dataset(info)
            assert listener.told == [("registered", info["uri"], None)]
            utils.delete_dataset(info["uri"])
            assert listener.told == [("deleted", info["uri"], None)]

    @pytest.mark.parametrize("by", ["query", "statement", "object"])
    def test_deletions_by_the_model_are_told_when_the_request_ends(self, app, listener, by):
        info = registered(app)
        listener.events.clear()
        with app.app_context():
            if by == "query":
                sql_db.session.query(Dataset).filter(Dataset.uri == info["uri"]).delete()
            elif by == "statement":
                sql_db.session.execute(delete(Dataset).where(Dataset.uri == info["uri"]))
            else:
                sql_db.session.delete(sql_db.session.query(Dataset).filter_by(uri=info["uri"]).one())
            sql_db.session.commit()
        assert listener.told == [("deleted", info["uri"], None)]

    @pytest.mark.parametrize("ends", ["rollback", "teardown"])
    def test_deletions_that_are_rolled_back_are_not(self, app, listener, ends):
        info = registered(app)
        listener.events.clear()
        with app.app_context():
            sql_db.session.execute(delete(Dataset).where(Dataset.uri == info["uri"]))
            if ends == "rollback":
                sql_db.session.rollback()
                sql_db.session.commit()
        assert listener.told == []

    def test_rows_that_are_added(self, app, listener):
        with app.app_context():
            red = sql_db.session.query(BaseURI).filter_by(base_uri=RED).one()
            row = dataset_info()
            keys = ("uri", "uuid", "name", "creator_username")
            times = {"frozen_at": datetime(2026, 1, 1), "created_at": datetime(2026, 1, 1)}
            sql_db.session.add(Dataset(base_uri_id=red.id, **{key: row[key] for key in keys}, **times))
            sql_db.session.commit()
        assert listener.told == [("registered", row["uri"], None)]


class TestSavepoints:
    def test_what_is_rolled_back_to_a_savepoint_is_not_told(self, app, listener):
        kept, lost = registered(app), registered(app)
        listener.events.clear()
        with app.app_context():
            sql_db.session.execute(delete(Dataset).where(Dataset.uri == kept["uri"]))
            savepoint = sql_db.session.begin_nested()
            sql_db.session.execute(delete(Dataset).where(Dataset.uri == lost["uri"]))
            savepoint.rollback()
            with sql_db.session.begin_nested():
                pass
            sql_db.session.commit()
        assert listener.told == [("deleted", kept["uri"], None)]


class TestAListener:
    def test_that_fails_costs_nothing(self, app, carl, listener, caplog):
        class Broken(Listener):
            def after_commit(self, event):
                sql_db.session.add(BaseURI(base_uri="s3://half-done"))
                raise RuntimeError("no")

        install(app, Broken(), listener)
        info = dataset_info()
        carl("PUT", path("uris", info["uri"]), info, 201)
        assert listener.told == [("registered", info["uri"], None)]
        assert "Broken failed after a dataset was registered" in caplog.text
        assert "s3://half-done" not in base_uris(app)

    def test_may_write_and_is_told_of_that_too(self, app, carl, listener):
        other = dataset_info()

        def follow(event):
            if event.kind == "deleted":
                sql_db.session.add(BaseURI(base_uri="s3://of-the-last"))
            elif event.uri != other["uri"]:
                sql_db.session.add(BaseURI(base_uri="s3://of-the-first"))
                utils.register_dataset(other)
                utils.delete_dataset(other["uri"])

        listener.then = follow
        info = dataset_info()
        carl("PUT", path("uris", info["uri"]), info, 201)
        assert [(kind, uri) for kind, uri, _ in listener.told] == [
            ("registered", info["uri"]),
            ("registered", other["uri"]),
            ("deleted", other["uri"]),
        ]
        assert {"s3://of-the-first", "s3://of-the-last"} <= set(base_uris(app))


class TestNamesakes:
    def test_a_bundled_extension_and_the_published_one_are_not_used_together(self):
        class Graph(Listener):
            version_key = "graph_plugin"

        bundled = SimpleNamespace(name="graph", dist=SimpleNamespace(name="dservercore"))
        published = SimpleNamespace(name="graph2", dist=SimpleNamespace(name="graph-plugin"))
        with pytest.raises(
            ConfigurationError, match=r"take graph out of DSERVER_EXTENSIONS, or uninstall graph-plugin"
        ):
            plugin_host._require_no_namesakes([bundled, published], [Graph(), Graph()])
        plugin_host._require_no_namesakes([bundled], [Graph()])
