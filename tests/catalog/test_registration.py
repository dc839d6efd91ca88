"""Datasets that are registered together: each counts, or leaves nothing behind, as if it were alone."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from dservercore import sql_db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import lookup, metadata, registration, summary
from dservercore.catalog.datasets import Document
from dservercore.catalog.registration import register_batch
from dservercore.catalog.scope import OPERATOR, Actor, Scope
from dservercore.errors import (
    AuthorizationError,
    InvalidValueError,
    UnavailableError,
    UnregisteredBaseURIError,
    ValidationError,
)
from dservercore.plugin_host import PluginSet
from dservercore.plugins.sql.retrieve import SqlRetrieve
from dservercore.plugins.sql.search import SqlSearch
from support.counting import noted_in
from support.stores import database_file, disagreements
from support.world import BLUE, RED, dataset_info


@pytest.fixture(autouse=True)
def _in_app(app: Flask, people: None) -> Any:
    with app.app_context():
        yield


def register(*documents: dict[str, Any], actor: Actor = OPERATOR, scope: Scope | None = None) -> list[Any]:
    scope = scope or operator_scope("register")
    done = register_batch(actor, scope, [Document(document) for document in documents])
    sql_db.session.commit()
    return [type(outcome) if isinstance(outcome, Exception) else outcome for outcome in done]


def registered() -> set[str]:
    return {found["uri"] for found in lookup.iterate(operator_scope("search"))}


def agrees(app: Flask) -> bool:
    return disagreements(database_file(app)) == [] and not summary.is_miscounted()


def test_new_ones_and_those_that_are_registered_go_together(app):
    old = [dataset_info(tags=["a", "b"], size_in_bytes=2**40), dataset_info(BLUE, tags=[])]
    assert register(*old) == ["created", "created"]
    changed = [
        {**old[0], "name": "other", "tags": ["b", "c"], "readme": "peas", "size_in_bytes": None},
        dataset_info(BLUE, tags=["c"]),
        {**old[1], "tags": ["d"], "creator_username": "pim"},
    ]
    assert register(*changed, actor=Actor("carl")) == ["replaced", "created", "replaced"]
    assert registered() == {document["uri"] for document in changed}
    for document in changed:
        described = metadata.get_readme(operator_scope("search"), document["uri"])
        assert described == document["readme"]
        found = lookup.find(operator_scope("search"), document["uri"])
        assert (found["name"], found["uploaded_by"]) == (document["name"], "carl")
    assert lookup.tags_of_uris([old[0]["uri"]]) == {old[0]["uri"]: {"b", "c"}}
    assert agrees(app)


def test_what_is_not_acceptable_does_not_keep_the_others_out(app):
    good, bad, foreign = dataset_info(), dataset_info(name="no/name\0"), dataset_info("s3://unknown")
    last = dataset_info(BLUE)
    assert register(good, bad, foreign, last) == [
        "created",
        InvalidValueError,
        UnregisteredBaseURIError,
        "created",
    ]
    assert registered() == {good["uri"], last["uri"]}
    assert agrees(app)


def test_nobody_learns_what_is_wrong_with_a_document_of_others():
    scope = Scope("register", {RED: operator_scope("register").base_uris[RED]})
    assert register({**dataset_info(BLUE), "name": ""}, actor=Actor("carl"), scope=scope) == [
        AuthorizationError
    ]


def test_a_dataset_that_comes_twice_is_what_came_last(app):
    first, other = dataset_info(tags=["a"], readme="first"), dataset_info()
    second = {**first, "tags": ["b"], "readme": "second"}
    assert register(first, other, second) == ["created", "created", "replaced"]
    assert metadata.get_readme(operator_scope("search"), first["uri"]) == "second"
    assert lookup.tags_of_uris([first["uri"]]) == {first["uri"]: {"b"}}
    assert agrees(app)


def test_more_than_fit_into_one_statement(app):
    documents = [dataset_info(tags=[f"t{number % 7}"]) for number in range(2 * registration.RUN + 3)]
    assert set(register(*documents)) == {"created"}
    assert set(register(*documents)) == {"replaced"}
    assert registered() == {document["uri"] for document in documents}
    assert agrees(app)


def test_an_empty_batch_is_one():
    assert register() == []


# What a store refuses


def refuses(document: dict[str, Any]) -> bool:
    return document["readme"].startswith("refuse me")


class RefusingOne:
    """Knows what it has inherited for one dataset, as plugins did before there was a method for many."""

    def register_dataset(self, dataset_info: dict[str, Any]) -> None:
        super().register_dataset(dataset_info)  # type: ignore[misc]
        if refuses(dataset_info):
            raise ValidationError("refused")


class RefusingMany(RefusingOne):
    def register_datasets(self, dataset_infos: list[dict[str, Any]]) -> None:
        super().register_datasets(dataset_infos)  # type: ignore[misc]
        if any(map(refuses, dataset_infos)):
            raise ValidationError("refused")


class SearchOfOne(RefusingOne, SqlSearch):
    pass


class SearchOfMany(RefusingMany, SqlSearch):
    pass


class RetrieveOfOne(RefusingOne, SqlRetrieve):
    pass


class RetrieveOfMany(RefusingMany, SqlRetrieve):
    pass


@pytest.fixture
def use(app):
    """``use(plugin)`` puts a plugin in the place of the one that it is made of."""
    plugins = app.extensions["dservercore"]

    def put(plugin: Any) -> None:
        kept = {"search": plugins.search, "retrieve": plugins.retrieve}
        kept["search" if isinstance(plugin, SqlSearch) else "retrieve"] = plugin
        app.extensions["dservercore"] = PluginSet(**kept, extensions=())

    yield put
    app.extensions["dservercore"] = plugins


@pytest.mark.parametrize("plugin", [SearchOfOne, SearchOfMany, RetrieveOfOne, RetrieveOfMany])
@pytest.mark.parametrize("refused", [{0}, {3}, {6}, {0, 1}, {2, 5}, set(range(7))])
def test_what_a_store_refuses_leaves_nothing_and_the_rest_counts(app, use, plugin, refused):
    use(plugin())
    before = dataset_info(tags=["kept"], readme="as it was")
    assert register(before) == ["created"]
    documents = [dataset_info(readme="refuse me" if n in refused else "x") for n in range(6)]
    documents.append({**before, "readme": "refuse me" if 6 in refused else "x", "tags": ["new"]})
    done = register(*documents)
    expected: list[Any] = ["created"] * 6 + ["replaced"]
    assert done == [ValidationError if n in refused else expected[n] for n in range(7)]
    stored = {documents[n]["uri"] for n in range(6) if n not in refused}
    assert registered() == stored | {before["uri"]}
    tags = lookup.tags_of_uris([before["uri"]])[before["uri"]]
    assert tags == ({"kept"} if 6 in refused else {"new"})
    assert agrees(app)


def test_a_store_that_is_away_is_no_fault_of_a_dataset(app, use):
    class Away(SqlSearch):
        def register_dataset(self, dataset_info: dict[str, Any]) -> None:
            raise UnavailableError("away")

    use(Away())
    with pytest.raises(UnavailableError):
        register(dataset_info(), dataset_info())
    sql_db.session.rollback()
    assert registered() == set()
    assert agrees(app)


def test_a_plugin_that_changes_what_is_done_for_one_dataset_is_asked_for_each(use):
    told = []

    class Listening(SqlSearch):
        def register_dataset(self, dataset_info: dict[str, Any]) -> None:
            told.append(dataset_info["uri"])
            super().register_dataset(dataset_info)

    use(Listening())
    documents = [dataset_info() for _ in range(3)]
    register(*documents)
    assert told == [document["uri"] for document in documents]


def test_it_takes_as_many_statements_for_many_as_for_a_few():
    few = [dataset_info(tags=["a"]) for _ in range(2)]
    many = [dataset_info(tags=["a", f"t{number}"]) for number in range(200)]
    counts = []
    for documents in (few, few, many, many):
        executed: list[str] = []
        with noted_in(executed):
            register(*documents)
        counts.append(len(executed))
    assert counts[:2] == counts[2:]
    first, again = counts[:2]  # the first time, words and facets are new
    assert first <= 31
    assert again <= 22
