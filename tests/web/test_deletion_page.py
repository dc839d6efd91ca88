"""Deleting the registration of a dataset on a page: who may, what is said before, and what cannot be deleted so."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from dservercore import ExtensionABC, plugin_host, sql_db
from dservercore.catalog import audit
from dservercore.plugin_api import Dependents
from support.world import BLUE, CHAMPION, NOBODY, READER, RED
from web.browser import client_of
from web.inspection import faults
from web.test_dataset_edits import fields_of, path, send

pytestmark = pytest.mark.attack


@pytest.fixture
def browse(app: Flask) -> Callable[[str | None], FlaskClient]:
    return partial(client_of, app)


@pytest.fixture
def uri(register: Callable[..., dict[str, Any]]) -> str:
    """A dataset that CHAMPION may delete and READER may see."""
    return str(register()["uri"])


def is_registered(app: Flask, uri: str) -> bool:
    with app.app_context():
        return bool(
            sql_db.session.scalar(sql_db.text("SELECT count(*) FROM dataset WHERE uri = :uri"), {"uri": uri})
        )


def test_a_dataset_is_deleted_as_by_the_api(app, browse, uri, register):
    copy = register(uri=f"{RED}/copy", uuid=uri.rpartition("/")[2])["uri"]
    champion = browse(CHAMPION)
    assert path("delete", uri) in champion.get(path("datasets", uri)).text
    page = champion.get(path("delete", uri)).text
    assert "1 other copy of it stays registered." in page
    assert faults(page) == []
    answer = send(champion, "delete", uri)
    assert (answer.status_code, answer.location) == (303, "/")
    assert "is no longer registered. Its files are where they were." in champion.get("/").text
    assert [is_registered(app, one) for one in (uri, copy)] == [False, True]
    with app.app_context():
        (record, *_), _ = audit.list_records(audit.Filter(subject=uri), slice(0, 1))
    assert (record["action"], record["actor"]) == ("dataset.delete", CHAMPION)


@pytest.mark.parametrize("reader", [None, NOBODY, READER])
def test_nobody_else_may(app, browse, uri, reader):
    token = fields_of(browse(CHAMPION).get(path("delete", uri)))
    client = browse(reader)
    assert client.get(path("delete", uri)).status_code in (303, 403)
    assert client.post(path("delete", uri), data=token).status_code in (303, 401, 403)
    assert "Delete the registration" not in client.get(path("datasets", uri)).text
    assert is_registered(app, uri)


def test_what_one_may_not_see_is_answered_as_what_is_not_there(browse, register):
    hidden = register(BLUE)["uri"]
    champion = browse(CHAMPION)
    answers = [champion.get(path("delete", uri)) for uri in (hidden, f"{hidden[:-1]}x")]
    assert {answer.status_code for answer in answers} == {403}
    assert champion.get(path("delete", f"{RED}/none")).status_code == 404


def test_a_form_of_nobody_deletes_nothing(app, browse, uri):
    champion = browse(CHAMPION)
    seen = fields_of(champion.get(path("delete", uri)))
    for fields in ({}, {**seen, "csrf_token": "x"}, {"seen": seen["seen"]}):
        assert champion.post(path("delete", uri), data=fields).status_code == 400
    crossed = champion.post(path("delete", uri), data=seen, headers={"Sec-Fetch-Site": "cross-site"})
    assert crossed.status_code == 400
    assert is_registered(app, uri)


def test_another_dataset_that_has_come_to_the_address_is_not_deleted(app, browse, register):
    champion, uri = browse(CHAMPION), f"{RED}/beans"
    register(uri=uri)
    seen = fields_of(champion.get(path("delete", uri)))
    register(uri=uri)
    answer = champion.post(path("delete", uri), data=seen)
    assert answer.status_code == 409
    assert "was registered anew" in answer.text
    assert is_registered(app, uri)
    assert send(champion, "delete", uri).status_code == 303


def test_one_that_somebody_else_has_deleted_is_gone(browse, uri):
    champion, other = browse(CHAMPION), browse(CHAMPION)
    seen = fields_of(champion.get(path("delete", uri)))
    send(other, "delete", uri)
    assert champion.post(path("delete", uri), data=seen).status_code == 404


class Makes(ExtensionABC):
    """An extension that knows what depends on a dataset, and what it was asked."""

    get_blueprint = None
    number: int | None = 30

    def dependents(self, dataset: Any, base_uris: Any) -> list[Dependents]:
        self.asked = dataset["uri"], sorted(base_uris)
        datasets = [{"uri": f"s3://red/{number}", "name": f"<b>{number}"} for number in range(25)]
        return [Dependents("were made from it", datasets, self.number), Dependents("cite it", [], 0)]


@pytest.fixture
def makes(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Makes:
    extension = Makes()
    with app.app_context():
        plugins = dataclasses.replace(plugin_host.plugins(), extensions=(extension,))
    monkeypatch.setattr(plugin_host, "plugins", lambda: plugins)
    return extension


def test_what_depends_on_it_is_said_before(browse, uri, makes):
    page = browse(CHAMPION).get(path("delete", uri)).text
    assert "Datasets that were made from it" in page
    assert "cite it" not in page
    assert "&lt;b&gt;19<" in page
    assert "&lt;b&gt;20<" not in page
    assert "and 10 more" in page
    assert makes.asked == (uri, [RED])


def test_what_nobody_has_counted_is_more(browse, uri, makes):
    makes.number = None
    assert "and more" in browse(CHAMPION).get(path("delete", uri)).text
