"""Whether somebody may know of a dataset is one question with one answer, which the dataset's row gives.

A database that the original server made may have datasets deeper than their base URIs, or registered in another base
URI than the one that their URI lies in. What is not in the asker's base URIs is answered as if it were not registered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest
from sqlalchemy import update

from dservercore import sql_db, utils, utils_auth
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris, deletion, registration, store_writes, summary, users
from dservercore.catalog.full_documents import document_of
from dservercore.catalog.scope import OPERATOR
from dservercore.errors import DserverError
from dservercore.models import Dataset
from support.mongod import Mongod, mongo_plugins
from support.world import dataset_info
from support.worlds import World, world

pytestmark = pytest.mark.attack

OUTER, INNER, DEEP = "s3://a", "s3://a/b", "s3://a/b/c"

#: ``inner`` may do everything in INNER alone, and so on.
GRANTS = {"outer": [OUTER], "inner": [INNER], "deep": [DEEP], "both": [INNER, OUTER]}

#: Registered in OUTER: at the address of INNER, and where a dataset of DEEP would be.
AT_INNER = dataset_info(OUTER, uri=INNER, name="hidden-at-inner")
BELOW_DEEP = dataset_info(DEEP, name="hidden-below-deep", uuid="22222222-2222-4222-8222-222222222222")


@pytest.fixture(scope="module", params=["sql", "mongo"])
def here(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, key_pair: tuple[Path, Path]
) -> Iterator[World]:
    settings: dict[str, str] = {}
    if request.param == "mongo":
        mongod: Mongod = request.getfixturevalue("mongod")
        settings = mongo_plugins(mongod.uri, "one_answer")
    with world(tmp_path_factory.mktemp("answers"), key_pair, **settings) as here:
        with here.app.app_context():
            for name in GRANTS:
                users.add_user(name)
            for base_uri in (OUTER, INNER, DEEP):
                granted = [name for name, places in GRANTS.items() if base_uri in places]
                base_uris.create_base_uri(base_uri, granted, granted)
            sql_db.session.commit()
        yield here
    if settings:
        with pymongo.MongoClient(settings["SEARCH_MONGO_URI"]) as client:
            client.drop_database("one_answer")


@pytest.fixture
def hide(here: World) -> Iterator[Callable[[], None]]:
    """``hide()`` registers AT_INNER and BELOW_DEEP in OUTER; afterwards they are gone."""

    def register() -> None:
        with here.app.app_context():
            scope = operator_scope("register")
            for info in (AT_INNER, BELOW_DEEP):
                registration.register_dataset(OPERATOR, scope, info)
            outer = base_uris.get_id(OUTER)
            here_only = update(Dataset.__table__).where(Dataset.__table__.c.uri == BELOW_DEEP["uri"])
            sql_db.session.execute(here_only.values(base_uri_id=outer))
            store_writes.register(document_of(BELOW_DEEP["uri"]))  # as `flask adopt` does
            summary.recount()
            sql_db.session.commit()

    def remove() -> None:
        with here.app.app_context():
            for info in (AT_INNER, BELOW_DEEP):
                deletion.delete_dataset(operator_scope("register"), info["uri"])
            sql_db.session.commit()

    yield register
    remove()


def requests(uri: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield every request about a dataset, and about tags and annotations whose names may begin at several places."""
    for resource in ("uris", "readmes", "manifests", "tags", "annotations"):
        yield "GET", f"/{resource}/{uri}", {}
        yield "HEAD", f"/{resource}/{uri}", {}
    yield "GET", f"/manifests/{uri}", {"headers": {"Accept-Encoding": "zstd"}}
    conditions: list[dict[str, Any]] = [{}, {"headers": {"If-Match": '"x"'}}]
    for options in conditions:
        yield "PUT", f"/readmes/{uri}", {"json": {"readme": "mine"}, **options}
        yield "PUT", f"/tags/{uri}", {"json": {"tags": ["mine"]}, **options}
        yield "PUT", f"/annotations/{uri}", {"json": {"annotations": {}}, **options}
    for name in ("n", "n/m", "n//m", "%2F"):
        yield "POST", f"/tags/{uri}/{name}", {}
        yield "DELETE", f"/tags/{uri}/{name}", {}
        yield "PUT", f"/annotations/{uri}/{name}", {"json": {"value": 1}}
        yield "PUT", f"/annotations/{uri}/{name}", {"json": {}}
        yield "PUT", f"/annotations/{uri}/{name}", {"json": {"annotations": {}}}
        yield "DELETE", f"/annotations/{uri}/{name}", {}
    yield "DELETE", f"/uris/{uri}", {}


def answers(here: World, username: str, uri: str) -> list[tuple[str, str, int, str]]:
    found = []
    for method, path, options in requests(uri):
        answer = here.send(method, path, username, **options)
        found.append((method, path, answer.status_code, answer.text))
    for query in ({"base_uris": [DEEP, INNER]}, {"free_text": "hidden"}, {"uuids": [BELOW_DEEP["uuid"]]}):
        answer = here.send("POST", "/uris", username, json=query)
        found.append(("POST", "/uris", answer.status_code, answer.text))
    answer = here.send("GET", f"/uuids/{BELOW_DEEP['uuid']}", username)
    return [*found, ("GET", "/uuids", answer.status_code, answer.text)]


PLACES = [INNER, AT_INNER["uri"] + "/n1", BELOW_DEEP["uri"]]


@pytest.mark.parametrize("uri", PLACES)
@pytest.mark.parametrize("username", ["inner", "deep"])
def test_what_is_elsewhere_is_answered_as_if_it_were_not_there(
    here: World, hide: Callable[[], None], username: str, uri: str
) -> None:
    before = answers(here, username, uri)
    hide()
    assert answers(here, username, uri) == before
    assert {status for method, path, status, _ in before if path.endswith(uri) and method == "GET"} <= {
        403,
        404,
    }
    assert here.send("GET", f"/uris/{BELOW_DEEP['uri']}", "outer").json["name"] == "hidden-below-deep"


def test_nobody_else_takes_its_place_or_learns_where_it_is(here: World, hide: Callable[[], None]) -> None:
    hide()
    mine = {**BELOW_DEEP, "readme": "mine"}
    answer = here.send("PUT", f"/uris/{mine['uri']}", "deep", json=mine)
    elsewhere = here.send(
        "PUT", "/uris/s3://x/y", "deep", json={**mine, "base_uri": "s3://x", "uri": "s3://x/y"}
    )
    assert (answer.status_code, answer.json) == (elsewhere.status_code, elsewhere.json)
    [result] = here.send("POST", "/uris/bulk", "deep", json=[mine]).json
    assert (result["status"], result["error"]["message"]) == (403, answer.json["message"])
    assert here.send("GET", f"/readmes/{mine['uri']}", "outer").json["readme"] == BELOW_DEEP["readme"]


@pytest.mark.parametrize("username", ["outer", "both"])
def test_who_may_see_the_base_uri_of_the_row_sees_everything_of_it(
    here: World, hide: Callable[[], None], username: str
) -> None:
    hide()
    uri = BELOW_DEEP["uri"]
    for resource in ("uris", "readmes", "manifests", "tags", "annotations"):
        assert here.send("GET", f"/{resource}/{uri}", username).status_code == 200
    assert here.send("POST", f"/tags/{uri}/n/m", username).status_code == 422  # the name has a slash
    assert here.send("POST", f"/tags/{uri}/n", username).json["tags"] == [*BELOW_DEEP["tags"], "n"]
    assert here.send("DELETE", f"/uris/{uri}", username).status_code == 200
    assert here.send("GET", f"/uris/{uri}", username).status_code in (403, 404)


def test_python_asks_the_same_question(here: World, hide: Callable[[], None]) -> None:
    uri = BELOW_DEEP["uri"]
    calls: list[Callable[[str], Any]] = [
        lambda name: utils.get_readme_from_uri_by_user(name, uri),
        lambda name: utils.get_manifest_from_uri_by_user(name, uri),
        lambda name: utils.get_tags_from_uri_by_user(name, uri),
        lambda name: utils.get_annotations_from_uri_by_user(name, uri),
        lambda name: utils.get_dataset_by_user_and_uri(name, uri),
        lambda name: utils.lookup_datasets_by_user_and_uuid(name, BELOW_DEEP["uuid"]),
        lambda name: utils.search_datasets_by_user(name, {"uuids": [BELOW_DEEP["uuid"]]}),
        lambda name: utils.set_tags_for_uri_by_user(name, uri, ["mine"]),
        lambda name: utils.set_annotation_for_uri_by_user(name, uri, "mine", 1),
    ]

    def outcomes(username: str) -> list[Any]:
        found = []
        for call in calls:
            try:
                found.append(call(username))
            except DserverError as error:
                found.append((type(error), error.message))
        return found

    with here.app.app_context():
        before = outcomes("deep")
        assert utils_auth.may_access("deep", uri)
        hide()
        assert outcomes("deep") == before
        assert not utils_auth.may_access("deep", uri)
        assert utils_auth.may_access("outer", uri)
        assert not any(isinstance(outcome, tuple) for outcome in outcomes("outer"))
