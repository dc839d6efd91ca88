"""``flask dataset check``: on installations that somebody has damaged."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dtoolcore
import pymongo
import pytest
from flask import Flask
from sqlalchemy import text

from dservercore import create_app, sql_db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris, job_runs, metadata, registration
from dservercore.catalog.scope import OPERATOR
from dservercore.plugins.query.store import store
from support.databases import new_database
from support.mongod import Mongod, mongo_plugins
from support.world import RED, dataset_info

from .conftest import CommandLine


@pytest.fixture(params=["sql", "sql on PostgreSQL", "mongo", "mongo, apart"])
def app(request: pytest.FixtureRequest, config: dict[str, Any]) -> Iterator[Flask]:
    with ExitStack() as stack:
        if "PostgreSQL" in request.param:
            config["SQLALCHEMY_DATABASE_URI"] = stack.enter_context(new_database("postgresql"))
        yield from serving(request, config)


def serving(request: pytest.FixtureRequest, config: dict[str, Any]) -> Iterator[Flask]:
    if "mongo" in request.param:
        mongod: Mongod = request.getfixturevalue("mongod")
        config |= mongo_plugins(mongod.uri, f"check_{uuid.uuid4().hex}")
    if request.param == "mongo, apart":
        config["RETRIEVE_MONGO_COLLECTION"] = "descriptions"
    app = create_app(config)
    with app.app_context():
        sql_db.create_all()
    yield app
    with app.app_context():
        sql_db.engine.dispose()
    if "mongo" in request.param:
        with pymongo.MongoClient(mongod.uri) as client:  # type: pymongo.MongoClient[Any]
            client.drop_database(config["SEARCH_MONGO_DB"])


@pytest.fixture
def infos(app: Flask) -> list[dict[str, Any]]:
    """Three registered datasets, larger together than 32 bits can say."""
    infos = [
        dataset_info(name=f"harvest-{n}", readme=f"number{n} of three\n", size_in_bytes=3 * 10**9)
        for n in range(3)
    ]
    with app.app_context():
        base_uris.add_base_uri(RED)
        for info in infos:
            registration.register_dataset(OPERATOR, operator_scope("register"), info)
        sql_db.session.commit()
    return infos


def execute(app: Flask, *statements: str, **values: Any) -> None:
    with app.app_context():
        for statement in statements:
            sql_db.session.execute(text(statement), values)
        sql_db.session.commit()


def collections(app: Flask) -> dict[str, Any]:
    """The collections of the search and the retrieve plugin."""
    return {name: plugin.collection for name, plugin in (("search", app.search), ("retrieve", app.retrieve))}  # type: ignore[attr-defined]


def uses_sql(app: Flask) -> bool:
    return bool(app.search.shares_sql_session)  # type: ignore[attr-defined]


def is_on_postgresql(app: Flask) -> bool:
    return app.config["SQLALCHEMY_DATABASE_URI"].startswith("postgresql")


def are_apart(app: Flask) -> bool:
    return not uses_sql(app) and collections(app)["search"].name != collections(app)["retrieve"].name


def differences(flask: CommandLine, *options: str) -> list[str]:
    """Return the lines that tell of differences; the exit code has to be that of any."""
    result = flask("dataset", "check", *options)
    lines = result.stdout.splitlines()
    assert result.exit_code == (1 if lines else 0), result.output
    assert ("differences" in result.stderr or "1 difference:" in result.stderr) is bool(lines), result.stderr
    return lines


def mended(flask: CommandLine, *options: str) -> list[str]:
    """Return what --repair says, and make sure that nothing is left."""
    result = flask("dataset", "check", "--repair", *options)
    assert result.exit_code == 0, result.output
    assert flask.succeed("dataset", "check", *options) == ""
    return result.stdout.splitlines()


def test_nothing_differs(flask: CommandLine, infos: list[dict[str, Any]]) -> None:
    result = flask("dataset", "check")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "All stores agree\n")
    assert flask("dataset", "check", "--repair").stderr == "All stores agree\n"


def test_a_dataset_that_the_search_store_lacks(
    app: Flask, flask: CommandLine, infos: list[dict[str, Any]]
) -> None:
    uri = infos[1]["uri"]
    with app.app_context():
        app.search.delete_dataset(uri)  # type: ignore[attr-defined]
        sql_db.session.commit()
    if uses_sql(app) or are_apart(app):
        assert differences(flask) == [f"search: {uri} is missing"]
        assert mended(flask) == [f"search: {uri} is missing: stored again"]
        with app.app_context():
            assert [d["uri"] for d in app.search.search({"base_uris": [RED], "free_text": "number1"})] == [
                uri
            ]  # type: ignore[attr-defined]
    else:
        assert differences(flask) == [f"retrieve: {uri} is missing"]


def test_a_dataset_that_the_retrieve_store_lacks(
    app: Flask, flask: CommandLine, infos: list[dict[str, Any]]
) -> None:
    """Nobody else has its README; it comes back where its storage can be read."""
    uri = infos[1]["uri"]
    with app.app_context():
        app.retrieve.delete_dataset(uri)  # type: ignore[attr-defined]
        sql_db.session.commit()
    assert differences(flask) == [f"retrieve: {uri} is missing"]
    result = flask("dataset", "check", "--repair")
    assert result.exit_code == 1
    assert f"retrieve: {uri} is missing: NOT MENDED, it cannot be read from its storage" in result.stdout


def test_a_dataset_that_comes_back_from_its_storage(
    app: Flask, flask: CommandLine, base: Path, package: Callable[..., Path]
) -> None:
    package("beans", tags=("legume",))
    flask.succeed("base_uri", "add", str(base))
    flask.succeed("base_uri", "index", str(base))
    [found] = flask.read("dataset", "list")
    with app.app_context():
        app.retrieve.delete_dataset(found["uri"])  # type: ignore[attr-defined]
        sql_db.session.commit()
    assert mended(flask) == [f"retrieve: {found['uri']} is missing: read from its storage"]
    with app.app_context():
        assert metadata.get_readme(operator_scope("search"), found["uri"]) == "description: beans\n"


def test_a_dataset_whose_row_is_gone(app: Flask, flask: CommandLine, infos: list[dict[str, Any]]) -> None:
    uri = infos[1]["uri"]
    if is_on_postgresql(app):  # what hangs on the row goes with it
        execute(app, "DELETE FROM dataset WHERE uri = :uri", uri=uri)
        assert differences(flask) == [
            "search: the index has other numbers of datasets than facets are counted from",
            "summaries: the counts are not those of the datasets",
        ]
        mended(flask)
        return
    if uses_sql(app):
        execute(app, "PRAGMA foreign_keys = OFF", "DELETE FROM dataset WHERE uri = :uri", uri=uri)
        assert "search: the index has 1 datasets that are not registered" in differences(flask)
        mended(flask)
        return
    execute(app, "DELETE FROM dataset WHERE uri = :uri", uri=uri)
    found = differences(flask)
    assert f"search: {uri} is left over" in found
    assert f"retrieve: {uri} is left over" in found
    assert "summaries: the counts are not those of the datasets" in found
    mended(flask)
    for collection in collections(app).values():
        assert collection.count_documents({"uri": uri}) == 0


def test_words_that_are_not_those_of_the_dataset(
    app: Flask, flask: CommandLine, infos: list[dict[str, Any]]
) -> None:
    uri = infos[1]["uri"]
    if uses_sql(app):
        execute(app, "UPDATE dataset_document SET readme = 'something else' WHERE dataset_id = 2")
    else:
        collections(app)["search"].update_one({"uri": uri}, {"$set": {"_search.tokens": ["something"]}})
    assert differences(flask) == [f"search: {uri} is found by something else"]
    assert mended(flask) == [f"search: {uri} is found by something else: stored again"]
    word = "something" if uses_sql(app) else "number1"
    with app.app_context():
        assert [d["uri"] for d in app.search.search({"base_uris": [RED], "free_text": word})] == [uri]  # type: ignore[attr-defined]


def test_figures_that_are_not_those_of_the_dataset(
    app: Flask, flask: CommandLine, infos: list[dict[str, Any]]
) -> None:
    uri = infos[1]["uri"]
    if uses_sql(app):
        execute(app, "UPDATE dataset SET creator_username = 'nobody' WHERE uri = :uri", uri=uri)
    else:
        collections(app)["search"].update_one({"uri": uri}, {"$set": {"creator_username": "nobody"}})
    assert f"search: {uri} is found by something else" in differences(flask)
    mended(flask)


def test_tags_that_the_stores_do_not_have_alike(
    app: Flask, flask: CommandLine, infos: list[dict[str, Any]]
) -> None:
    uri = infos[1]["uri"]
    execute(app, "DELETE FROM dataset_tag WHERE tag = 'beans' AND dataset_id = 2")
    found = differences(flask)
    assert (f"search: {uri} is found by something else" in found) or (
        f"retrieve: {uri} has other tags" in found
    )
    assert "summaries: the counts are not those of the datasets" in found
    mended(flask)
    with app.app_context():
        assert metadata.get_tags(operator_scope("search"), uri) == ["2026"]
        assert app.search.search({"base_uris": [RED], "tags": ["beans"], "uuids": [infos[1]["uuid"]]}) == []  # type: ignore[attr-defined]


def test_wrong_summaries(app: Flask, flask: CommandLine, infos: list[dict[str, Any]]) -> None:
    execute(app, "UPDATE summary_count SET datasets = 7 WHERE kind = 'creator'")
    assert differences(flask) == ["summaries: the counts are not those of the datasets"]
    assert mended(flask) == ["summaries: the counts are not those of the datasets: counted anew"]


def test_an_index_that_has_lost_its_words(
    app: Flask, flask: CommandLine, infos: list[dict[str, Any]]
) -> None:
    if is_on_postgresql(app):
        execute(app, "DELETE FROM search_index_weights", "DELETE FROM search_index")
    elif uses_sql(app):
        execute(app, "INSERT INTO search_index (search_index) VALUES ('delete-all')")
    else:
        collections(app)["search"].update_many({}, {"$unset": {"_search": True}})
    found = differences(flask)
    assert found
    assert all(line.startswith("search: ") for line in found)
    mended(flask)
    with app.app_context():
        assert len(app.search.search({"base_uris": [RED], "free_text": "three"})) == 3  # type: ignore[attr-defined]


def test_one_base_uri(app: Flask, flask: CommandLine, infos: list[dict[str, Any]]) -> None:
    flask.succeed("base_uri", "add", "s3://other")
    execute(app, "UPDATE summary_count SET datasets = 7 WHERE kind = 'creator'")
    with app.app_context():
        app.search.delete_dataset(infos[1]["uri"])  # type: ignore[attr-defined]
        sql_db.session.commit()
    assert [line.split(":")[0] for line in differences(flask, "--base-uri", "s3://other")] == ["summaries"]
    assert (
        flask.fail("dataset", "check", "--base-uri", "s3://nowhere")
        == "Base URI 's3://nowhere' not registered"
    )


# -- Storage ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def stored(flask: CommandLine, base: Path, package: Callable[..., Path]) -> dict[str, str]:
    """Datasets in storage that are registered: their URIs by name."""
    for name in ("beans", "peas", "lentils"):
        package(name, tags=("legume",))
    flask.succeed("base_uri", "add", str(base))
    flask.succeed("base_uri", "index", str(base))
    return {dataset["name"]: dataset["uri"] for dataset in flask.read("dataset", "list")}


def test_storage_that_is_as_it_was_indexed(flask: CommandLine, stored: dict[str, str]) -> None:
    assert differences(flask, "--storage") == []


def test_storage_that_has_changed(
    flask: CommandLine, stored: dict[str, str], base: Path, package: Callable[..., Path]
) -> None:
    shutil.rmtree(base / "beans")
    dtoolcore.DataSet.from_uri(stored["peas"]).put_tag("new")
    package("soy")
    soy = stored["peas"].replace("peas", "soy")
    wanted = [
        f"storage: {stored['beans']} is missing there",
        f"storage: {stored['peas']} has changed there: tags",
        f"storage: {soy} is not registered",
    ]
    assert differences(flask, "--storage") == wanted
    assert differences(flask) == []
    assert [line.rpartition(": ")[2] for line in mended(flask, "--storage")] == [
        "registration removed",
        "read from its storage",
        "read from its storage",
    ]
    assert sorted(dataset["name"] for dataset in flask.read("dataset", "list")) == ["lentils", "peas", "soy"]
    assert flask.read("dataset", "show", "--json", stored["peas"])["tags"] == ["legume", "new"]


def test_storage_that_cannot_be_looked_at(flask: CommandLine, infos: list[dict[str, Any]]) -> None:
    [found] = differences(flask, "--storage")
    assert found.startswith(f"storage: {RED} cannot be looked at: ")
    result = flask("dataset", "check", "--storage", "--repair")
    assert (result.exit_code, "NOT MENDED" in result.stdout) == (1, True)
    assert len(flask.read("dataset", "list")) == 3


def test_a_dataset_in_storage_that_is_broken(flask: CommandLine, stored: dict[str, str], base: Path) -> None:
    (base / "peas" / ".dtool" / "manifest.json").write_text("{")
    [found] = differences(flask, "--storage")
    assert found.startswith(f"storage: {stored['peas']} cannot be read: ")


def test_an_emptied_storage_is_not_repaired_by_forgetting_everything(
    flask: CommandLine, stored: dict[str, str], base: Path, package: Callable[..., Path]
) -> None:
    base.rename(base.parent / "share")
    base.mkdir()
    package("soy")
    result = flask("dataset", "check", "--storage", "--repair")
    assert result.exit_code == 1
    base_uri = stored["peas"].removesuffix("/peas")
    assert sorted(result.stdout.splitlines()) == [
        *(
            f"storage: {base_uri}/{name} is missing there: NOT MENDED, too many are missing"
            for name in ("beans", "lentils", "peas")
        ),
        f"storage: {base_uri}/soy is not registered: read from its storage",
    ]
    assert result.stderr.splitlines() == [
        "4 differences, 1 mended",
        f"Nothing removed: 3 of the 3 datasets registered in {base_uri} are not in its storage, more than 50 %"
        " (DSERVER_PRUNE_LIMIT). Is it mounted, and whole? --prune-all removes them",
    ]
    assert len(flask.read("dataset", "list")) == 4
    # Of the four, three are still more than half.
    assert flask("dataset", "check", "--storage", "--repair").exit_code == 1
    result = flask("dataset", "check", "--storage", "--repair", "--prune-all")
    assert (result.exit_code, result.stderr) == (0, "3 differences, 3 mended\n")
    assert [dataset["name"] for dataset in flask.read("dataset", "list")] == ["soy"]


def do_jobs(app: Flask) -> None:
    with app.app_context():
        while job_runs.do_next():
            pass


class TestExtensions:
    @pytest.fixture(params=["sql", "sql on PostgreSQL", "mongo"])
    def app(self, request: pytest.FixtureRequest, config: dict[str, Any]) -> Iterator[Flask]:
        config["DSERVER_EXTENSIONS"] = ["graph", "query"]
        with ExitStack() as stack:
            if "PostgreSQL" in request.param:
                config["SQLALCHEMY_DATABASE_URI"] = stack.enter_context(new_database("postgresql"))
            yield from serving(request, config)

    @pytest.fixture
    def infos(self, app: Flask) -> list[dict[str, Any]]:
        readme = f"derived_from:\n  uuid: {uuid.uuid4()}\nyear: 2026.0\ntext: 'grüße'\n"
        annotations = {"big": 1e300, "a.b": [1, None, {"$x": -0.0}], "large": 2**53 + 1}
        infos = [dataset_info(readme=readme, annotations=annotations) for _ in range(2)]
        with app.app_context():
            base_uris.add_base_uri(RED)
            for info in infos:
                registration.register_dataset(OPERATOR, operator_scope("register"), info)
            sql_db.session.commit()
        return infos

    def test_what_they_keep_is_compared_and_mended(
        self, app: Flask, flask: CommandLine, infos: list[dict[str, Any]]
    ) -> None:
        assert differences(flask) == []  # also where documents are still to be brought to MongoDB
        do_jobs(app)
        assert differences(flask) == []
        uri, other = infos[0]["uri"], infos[1]["uri"]
        of_dataset = "WHERE dataset_id = (SELECT id FROM dataset WHERE uri = :uri)"
        execute(app, f"UPDATE graph_edge SET parent = uuid {of_dataset}", uri=uri)
        assert differences(flask) == [
            f"extensions: {uri} is kept otherwise by dserver_dependency_graph_plugin"
        ]
        assert mended(flask)[0].endswith(": stored again")
        do_jobs(app)
        if uses_sql(app):
            execute(app, f"DELETE FROM query_document {of_dataset}", uri=other)
        else:
            with app.app_context():
                store().write([], [other])  # type: ignore[attr-defined]
        assert differences(flask) == [f"extensions: {other} is kept otherwise by dserver_direct_mongo_plugin"]
        assert len(mended(flask)) == 1
