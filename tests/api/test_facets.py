"""``/uris/facets``: what the datasets have in common that a search finds."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from api.conftest import on_every_store, pagination
from dservercore import SearchABC
from dservercore.catalog import facets
from dservercore.compat.completion import completed
from dservercore.dataset.facets import FACETS
from support.world import BLUE, CHAMPION, READER, RED, dataset_info

pytestmark = on_every_store


@pytest.fixture
def beans(register):
    """Three datasets that the champion may search, and one that the reader may search besides."""
    register(
        name="bush",
        tags=["fruit", "pods"],
        creator_username="olga",
        annotations={"type": "a"},
        readme="beans",
    )
    register(name="runner", tags=["pods"], creator_username="anna", size_in_bytes=5000, readme="beans climb")
    register(
        name="rice", tags=["Rice", "grain"], creator_username="anna", frozen_at=1700000000.5, readme="grain"
    )
    register(BLUE, name="hidden", tags=["secret"], creator_username="eve", readme="beans")


def counted(answer):
    """The counts of an answer by value, by facet."""
    assert answer.status_code == 200, answer.json
    return {name: {each["value"]: each["count"] for each in values} for name, values in answer.json.items()}


def test_everything_that_may_be_searched(champion, beans):
    answer = champion.get("/uris/facets")
    assert list(answer.json) == list(FACETS)
    assert answer.json["tags"] == [
        {"value": "pods", "count": 2},
        {"value": "Rice", "count": 1},
        {"value": "fruit", "count": 1},
        {"value": "grain", "count": 1},
    ]
    assert answer.json["creator_usernames"] == [{"value": "anna", "count": 2}, {"value": "olga", "count": 1}]
    assert answer.json["base_uris"] == [{"value": RED, "count": 3}]
    assert answer.json["uploaded_by"] == []
    assert answer.json["frozen"] == [{"value": "2023", "count": 1}, {"value": "2018", "count": 2}]
    assert answer.json["size"] == [{"value": "kB", "count": 1}, {"value": "MB", "count": 2}]
    assert {"value": "type", "count": 1} in answer.json["annotations"]
    assert "X-Search" not in answer.headers
    assert champion.post("/uris/facets", json={}).json == answer.json
    assert champion.post("/uris/facets", json={"free_text": " ", "tags": []}).json == answer.json


def test_a_user_without_permission_learns_nothing(sign_in, nobody, beans):
    assert nobody.get("/uris/facets").json == {name: [] for name in FACETS}
    assert counted(sign_in(READER).get("/uris/facets?facets=tags"))["tags"]["secret"] == 1
    for query in ({"tags": ["secret"]}, {"base_uris": [BLUE]}, {"free_text": "hidden", "base_uris": [BLUE]}):
        found = counted(sign_in(CHAMPION).post("/uris/facets", json=query))
        assert "eve" not in found["creator_usernames"]
        assert found["tags"].get("secret", 0) == found["base_uris"].get(BLUE, 0) == 0


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_same_filters_as_the_search(champion, beans, method):
    query = {"free_text": "beans", "creator_usernames": ["anna"], "tags": ["pods"], "base_uris": [RED]}

    def ask(path, **options):
        if method == "GET":
            return champion.get(path, query_string={**query, **options})
        return champion.post(path, json=query, query_string=options)

    found = counted(ask("/uris/facets"))
    assert found["creator_usernames"] == {"anna": 1, "olga": 1}
    assert found["tags"] == {"pods": 1}
    assert sum(found["frozen"].values()) == pagination(ask("/uris"))["total"] == 1


def test_what_is_filtered_by_is_always_there(champion, beans):
    found = champion.post("/uris/facets?top=1", json={"tags": ["grain", "unheard of"]}).json["tags"]
    assert found == [
        {"value": "pods", "count": 2},
        {"value": "grain", "count": 1},
        {"value": "unheard of", "count": 0},
    ]
    found = counted(champion.post("/uris/facets", json={"free_text": "!?", "creator_usernames": ["olga"]}))
    assert found == {**{name: {} for name in FACETS}, "creator_usernames": {"olga": 0}}


def test_no_base_uri_finds_nothing(champion, beans):
    found = counted(champion.post("/uris/facets", json={"base_uris": []}))
    assert found == {**{name: {} for name in FACETS}, "base_uris": {RED: 3}}


def test_some_of_them(champion, beans):
    answer = champion.get("/uris/facets?facets=tags&facets=size&facets=tags&top=2")
    assert {name: len(values) for name, values in answer.json.items()} == {"tags": 2, "size": 2}
    assert counted(champion.get("/uris/facets?facets=tags&prefix=RI")) == {"tags": {"Rice": 1}}
    assert counted(champion.get("/uris/facets?facets=tags&prefix=xy&tags=pods")) == {"tags": {}}


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ("facets=colour", "facets"),
        ("facets=uuids", "facets"),
        ("top=0", "top"),
        ("top=101", "top"),
        ("top=many", "top"),
        (f"prefix={'x' * 1025}", "prefix"),
        ("page=2", "page"),
        ("sort=colour", "sort"),
        ("sort=relevance", "sort"),
        ("strict=perhaps", "strict"),
    ],
)
def test_what_makes_no_sense(champion, parameters, field):
    for answer in (
        champion.get(f"/uris/facets?{parameters}"),
        champion.post(f"/uris/facets?{parameters}", json={}),
    ):
        assert answer.status_code == 422
        if parameters == "facets=colour":
            assert "facets: Unknown: 'colour'. There are tags, creator_usernames," in answer.json["message"]
        assert list(answer.json["errors"]["query"]) == [field]


def test_what_is_read_into_the_words_is_counted_and_told(champion, beans):
    for parameters in ("", "?sort=-relevance"):
        search = champion.post(f"/uris{parameters}", json={"free_text": "baens climb"})
        answer = champion.post(f"/uris/facets{parameters}", json={"free_text": "baens climb"})
        assert json.loads(answer.headers["X-Search"]) == json.loads(search.headers["X-Search"])
        assert sum(counted(answer)["base_uris"].values()) == pagination(search)["total"] > 0
    answer = champion.post("/uris/facets?strict=true", json={"free_text": "baens climb"})
    assert "X-Search" not in answer.headers
    assert counted(answer) == {name: {} for name in FACETS}


def test_edits_count_at_once(champion, beans, register):
    info = register(name="late", tags=["late"])
    path = info["uri"].replace("://", "/")
    assert champion.put(f"/tags/{path}", json={"tags": ["later"]}).status_code == 200
    assert champion.put(f"/annotations/{path}/colour", json={"value": "red"}).status_code in (200, 201)
    found = counted(champion.get("/uris/facets?top=100"))
    assert "late" not in found["tags"]
    assert found["tags"]["later"] == found["annotations"]["colour"] == 1
    assert champion.delete(f"/uris/{path}").status_code == 200
    found = counted(champion.get("/uris/facets?top=100"))
    assert "later" not in found["tags"]
    assert "colour" not in found["annotations"]


class PlainSearch:
    """What a search plugin was in the original server; finds what the bundled one finds."""

    def __init__(self, bundled):
        self._bundled = bundled

    def init_app(self, app):
        pass

    def register_dataset(self, dataset_info):
        pass

    def get_config(self):
        return {}

    def search(self, query, pagination_parameters=None, sort_parameters=None):
        return self._bundled.search(query, pagination_parameters, sort_parameters)


@pytest.fixture
def plain(make_app, sign_in):
    """The champion on a server with a search plugin that counts no facets."""
    app = make_app()
    plugins = app.extensions["dservercore"]
    app.extensions["dservercore"] = replace(plugins, search=completed(PlainSearch(plugins.search), SearchABC))
    return sign_in(CHAMPION, app)


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"free_text": "beans"},
        {"tags": ["pods"]},
        {"free_text": "beans", "creator_usernames": ["anna"], "tags": ["pods"]},
        {"uploaded_by": ["rita"], "base_uris": [RED]},
        {"base_uris": []},
    ],
)
def test_a_search_plugin_that_counts_none_is_counted_for(champion, beans, plain, query):
    assert plain.post("/uris/facets", json=query).json == champion.post("/uris/facets", json=query).json


def test_of_more_than_can_be_counted_there_is_no_facet(champion, beans, plain, monkeypatch):
    monkeypatch.setattr(facets, "MAX_READ", 1)
    assert list(plain.get("/uris/facets").json) == [name for name in FACETS if name != "annotations"]
    monkeypatch.setattr(facets, "MAX_COUNTED", 2)
    assert plain.get("/uris/facets").json == {}
    # Of what has the tag there is little, but not of what the facet of tags is about.
    assert list(plain.get("/uris/facets?tags=fruit").json) == [name for name in FACETS if name != "tags"]


def test_the_largest_sizes(champion, people):
    info = dataset_info(name="big", size_in_bytes=10**18)
    assert champion.put(f"/uris/{info['uri'].replace('://', '/')}", json=info).status_code == 201
    assert counted(champion.get("/uris/facets?free_text=name:big"))["size"] == {"EB": 1}
