"""A search index that an older version has made: brought up to date while everything in it is found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import flask_migrate
import pytest
from flask import Flask
from flask_migrate.cli import db as db_cli

from cli.conftest import CommandLine
from dservercore import create_app, sql_db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris, metadata, registration, reindexing
from dservercore.catalog.scope import Actor
from dservercore.db import newest_revision
from dservercore.errors import ValidationError
from dservercore.plugin_host import plugins
from support.databases import new_database
from support.old_backups import of_sqlite
from support.old_index import BASE_URI, DATASETS, put_back
from support.world import dataset_info

URIS = [info["uri"] for info in DATASETS]


@pytest.fixture(params=["sqlite", "postgresql"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Flask]:
    """A server with three datasets, with its tables and its index as they were at revision 0010."""
    with ExitStack() as stack:
        address = f"sqlite:///{tmp_path / 'app.db'}"
        if request.param == "postgresql":
            address = stack.enter_context(new_database("postgresql"))
        app = create_app({"SQLALCHEMY_DATABASE_URI": address})
        with app.app_context():
            flask_migrate.upgrade()
            base_uris.create_base_uri(BASE_URI, [], [])
            for info in DATASETS:  # in this order
                register(info)
            sql_db.session.remove()
            put_back()
            yield app
            sql_db.session.remove()
            sql_db.engine.dispose()


def register(info: dict[str, Any]) -> None:
    registration.register_dataset(Actor("ada"), operator_scope("register"), info)
    sql_db.session.commit()


@pytest.fixture
def flask(app: Flask) -> CommandLine:
    command_line = CommandLine(app)
    command_line.commands.add_command(db_cli)
    return command_line


def find(free_text: str | None = None, **filters: Any) -> list[str]:
    query = {"base_uris": [BASE_URI], **({} if free_text is None else {"free_text": free_text}), **filters}
    found = plugins().search.search(query)
    sql_db.session.rollback()
    return [dataset["name"] for dataset in found]


def documents() -> list[dict[str, Any]]:
    """What the datasets should be found by."""
    scope = operator_scope("search")
    return [
        {
            **info,
            "readme": metadata.get_readme(scope, info["uri"]),
            "annotations": metadata.get_annotations(scope, info["uri"]),
            "tags": metadata.get_tags(scope, info["uri"]),
        }
        for info in DATASETS
    ]


def is_up_to_date() -> bool:
    holds = all(plugins().search.holds(document) for document in documents())
    sound = plugins().search.faults() == []
    sql_db.session.rollback()
    return holds and sound and reindexing.outdated() == []


FOUND_BEFORE = [
    ("bean harvest", {}, ["bean-harvest"]),
    ("measured", {}, ["bean-harvest"]),
    ('"lung cancer"', {}, ["SalesRegion"]),
    ('"cancer descript*"', {}, ["SalesRegion"]),
    ("notes.txt", {}, ["bean-harvest"]),
    ("note*", {}, ["bean-harvest"]),
    ("loam -cancer", {}, ["bean-harvest"]),
    ("olga", {}, ["bean-harvest", "empty", "SalesRegion"]),
    ("beans OR cancer", {}, ["bean-harvest", "SalesRegion"]),
    (None, {}, ["bean-harvest", "empty", "SalesRegion"]),
    (None, {"tags": ["field_7"]}, ["bean-harvest"]),
    (None, {"tags": ["Beans", "field_7"]}, ["bean-harvest"]),
    (None, {"tags": ["mice"], "creator_usernames": ["olga"]}, ["SalesRegion"]),
    (None, {"uuids": [DATASETS[1]["uuid"]]}, ["empty"]),
]

#: What is found only in what this version has analysed.
FOUND_AFTERWARDS = [
    ("SP 500", ["bean-harvest"]),
    ("sp500", ["bean-harvest"]),
    ("U00096", ["bean-harvest"]),
    ("Müller mouse", ["SalesRegion"]),
    ("sales region", ["SalesRegion"]),
    ("cancer1", ["SalesRegion"]),
]


def test_after_the_migration_everything_is_found_that_was_found_before(app: Flask) -> None:
    flask_migrate.upgrade()
    for free_text, filters, names in FOUND_BEFORE:
        assert find(free_text, **filters) == names, (free_text, filters)
    assert plugins().search.faults() == []
    sql_db.session.rollback()
    assert sorted(reindexing.outdated()) == sorted(URIS)
    assert not is_up_to_date()


def test_indexed_again_datasets_are_found_by_what_people_type(app: Flask, flask: CommandLine) -> None:
    flask_migrate.upgrade()
    for free_text, _ in FOUND_AFTERWARDS:
        assert find(free_text) == [], free_text
    said = flask("db", "upgrade")
    assert said.exit_code == 0
    assert said.stderr.splitlines() == [
        f"Database: at revision {newest_revision()}, as before",
        "Search index: 3 datasets indexed again",
        "Descriptions: 3 datasets looked through for what is lacking",
    ]
    for free_text, names in FOUND_AFTERWARDS:
        assert find(free_text) == names, free_text
    for free_text, filters, names in FOUND_BEFORE:
        assert find(free_text, **filters) == names, (free_text, filters)
    assert is_up_to_date()
    assert "indexed again" not in flask("db", "upgrade").stderr


def test_one_command_does_both(app: Flask, flask: CommandLine) -> None:
    said = flask("db", "upgrade")
    assert "Search index: 3 datasets indexed again" in said.stderr
    assert is_up_to_date()


def test_what_was_interrupted_goes_on(
    app: Flask, flask: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reindexing, "_BATCH", 1)
    index_batch = reindexing._index_batch
    batches = []

    def interrupted(uris: Any) -> Any:
        batches.append(uris)
        done = index_batch(uris)
        if len(batches) == 2:
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(reindexing, "_index_batch", interrupted)
    said = flask("db", "upgrade")
    assert said.exit_code == 130
    assert said.stderr.splitlines()[-1] == (
        "Interrupted, with 2 datasets in the search index to be indexed again: `flask db upgrade` goes on with it"
    )
    assert len(reindexing.outdated()) == 2
    assert "Search index: 2 datasets indexed again" in flask("db", "upgrade").stderr
    assert is_up_to_date()


def test_an_edit_in_between_is_kept_and_makes_nothing_new_of_what_is_old(app: Flask) -> None:
    flask_migrate.upgrade()
    metadata.replace_tags([operator_scope("register")], URIS[0], ["peas"])
    sql_db.session.commit()
    assert find(tags=["peas"]) == find("peas harvest") == ["bean-harvest"]
    assert find(tags=["Beans"]) == find("SP 500") == []
    assert URIS[0] in reindexing.outdated()
    assert reindexing.index_again(reindexing.outdated()) == []
    assert find("SP 500", tags=["peas"]) == ["bean-harvest"]
    assert is_up_to_date()


def test_registered_again_a_dataset_is_up_to_date(app: Flask) -> None:
    flask_migrate.upgrade()
    register(DATASETS[0])
    assert sorted(reindexing.outdated()) == sorted(URIS[1:])
    assert plugins().search.holds(documents()[0])


def test_a_dataset_without_a_description_is_left_and_named(app: Flask, flask: CommandLine) -> None:
    flask_migrate.upgrade()
    plugins().retrieve.delete_dataset(URIS[2])
    sql_db.session.commit()
    said = flask("db", "upgrade")
    assert said.exit_code == 0
    assert said.stderr.splitlines()[1:] == [
        "Search index: 2 datasets indexed again",
        "1 dataset left as indexed before, without a description to index:",
        f"  {URIS[2]}",
        "Descriptions: 2 datasets looked through for what is lacking",
    ]
    assert find("lung") == ["SalesRegion"]


def test_a_dataset_that_the_index_cannot_hold_is_left_alone(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    flask_migrate.upgrade()
    search = plugins().search
    register = search.register_datasets

    def refusing(documents: Any) -> None:
        if any(document["uri"] == URIS[1] for document in documents):
            raise ValidationError("too large")
        register(documents)

    monkeypatch.setattr(search, "register_datasets", refusing)
    told: list[int] = []
    assert reindexing.index_again(URIS, told.append) == [URIS[1]]
    assert sum(told) == 3
    assert reindexing.outdated() == [URIS[1]]


def test_check_names_what_is_outdated_once_and_repair_indexes_it(app: Flask, flask: CommandLine) -> None:
    flask_migrate.upgrade()
    said = flask("dataset", "check")
    assert said.exit_code == 1
    assert said.stdout.splitlines() == [
        *(f"summaries: {uri} is noted to lack something else" for uri in URIS),  # nobody has looked yet
        "search: the index has 3 datasets that an older version has indexed",
    ]
    mended = flask("dataset", "check", "--repair")
    assert mended.exit_code == 0
    assert mended.stdout.endswith("that an older version has indexed: indexed again\n")
    assert is_up_to_date()
    assert "All stores agree" in flask("dataset", "check").stderr


def test_a_new_index_has_nothing_that_is_outdated(app: Flask, flask: CommandLine) -> None:
    flask("db", "upgrade")
    register(dataset_info(BASE_URI, readme="SP500"))
    assert reindexing.outdated() == []
    assert "indexed again" not in flask("db", "upgrade").stderr


def test_a_backup_with_an_old_index_is_restored_and_brought_up_to_date(tmp_path: Path) -> None:
    """Of format 1, which had the database itself."""
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    app = create_app({"SQLALCHEMY_DATABASE_URI": f"sqlite:///{old}"})
    with app.app_context():
        flask_migrate.upgrade()
        base_uris.create_base_uri(BASE_URI, [], [])
        for info in DATASETS:
            register(info)
        made = CommandLine(app)("backup", str(tmp_path / "backup.tar"))
        assert made.exit_code == 0, made.output
        sql_db.session.remove()
        put_back()
        sql_db.session.remove()
        sql_db.engine.dispose()
    backup = of_sqlite(tmp_path / "backup.tar", old)
    app = create_app({"SQLALCHEMY_DATABASE_URI": f"sqlite:///{new}"})
    with app.app_context():
        commands = CommandLine(app)
        commands.commands.add_command(db_cli)
        restored = commands("restore", str(backup))
        assert restored.exit_code == 0, restored.output
        assert "The tables are those of an earlier version: run `flask db upgrade`" in restored.stderr
        assert "Search index: 3 datasets indexed again" in commands("db", "upgrade").stderr
        assert find("SP 500") == ["bean-harvest"]
        assert is_up_to_date()
        sql_db.session.remove()
        sql_db.engine.dispose()
