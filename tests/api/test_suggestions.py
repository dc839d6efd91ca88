"""``/suggest``: completing what somebody types into a search box."""

from __future__ import annotations

import itertools

import pytest

from api.conftest import on_every_store
from support.world import BLUE, RED

pytestmark = on_every_store


def suggested(client, q, **query):
    answer = client.get("/suggest", query_string={"q": q, **query})
    assert answer.status_code == 200, answer.json
    return [(each["kind"], each["text"]) for each in answer.json]


@pytest.fixture
def library(register):
    register(
        RED,
        name="Rice-Genome_07",
        readme="rice, sequenced in Rostock",
        tags=["rice", "Ruben"],
        creator_username="Rita",
    )
    register(RED, name="rice-leaves", readme="ripe ricefield", tags=["rice"], creator_username="rita b")
    register(BLUE, name="richness", readme="ricin", tags=["rich-soil"], creator_username="richard")


@pytest.mark.parametrize("q", ["", " ", "***", "\n"])
def test_nothing_is_suggested_for_nothing(reader, library, q):
    assert suggested(reader, q) == []
    assert reader.get("/suggest").json == []


@pytest.mark.parametrize(
    ("q", "found"),
    [
        (
            "ric",
            {
                ("word", "rice"), ("word", "ricin"), ("word", "ricefield"), ("word", "rich"), ("word", "richard"),
                ("word", "richness"), ("name", 'name:"Rice-Genome_07"'), ("name", 'name:"rice-leaves"'),
                ("name", 'name:"richness"'), ("tag", 'tag:"rice"'), ("tag", 'tag:"rich-soil"'),
                ("creator", 'creator:"richard"'),
            },
        ),
        ("RICE GEN", {("word", "RICE genome"), ("name", 'name:"Rice-Genome_07"')}),
        ("ricegenome7", set()),
        ("rice_genome0", {("name", 'name:"Rice-Genome_07"')}),
        ("rub", {("word", "ruben"), ("tag", 'tag:"Ruben"')}),
        ("Rita B", {("creator", 'creator:"rita b"')}),
        ("rita", {("creator", 'creator:"Rita"'), ("creator", 'creator:"rita b"')}),
        ("ricin se", set()),
        ("rice seq", {("word", "rice sequenced")}),
    ],
)  # fmt: skip
def test_what_begins_so(reader, library, q, found):
    assert set(suggested(reader, q, limit=50)) == found


def test_everything_that_is_suggested_finds_something(reader, library):
    for q in map("".join, itertools.product("rs", "iueo")):
        for _, text in suggested(reader, q, limit=50):
            answer = reader.get("/uris", query_string={"free_text": text, "strict": "true"})
            assert answer.json, text


def test_kinds_come_in_turn_and_common_tags_first(reader, library):
    assert [kind for kind, _ in suggested(reader, "ric", limit=4)] == ["word", "name", "tag", "creator"]
    assert next(text for kind, text in suggested(reader, "ri", limit=50) if kind == "tag") == 'tag:"rice"'


def test_names_and_creators_with_signs_in_them(champion, register):
    register(name="quoted-name", creator_username='o"quote')
    register(name="other", creator_username="o (quiet) OR -x:y")
    found = suggested(champion, "o qu") + suggested(champion, "oqu")
    assert {text for kind, text in found if kind == "creator"} == {'creator:"o (quiet) OR -x:y"'}
    answer = champion.get("/uris", query_string={"free_text": 'creator:"o (quiet) OR -x:y"'})
    assert [dataset["name"] for dataset in answer.json] == ["other"]


@pytest.mark.parametrize(
    ("query", "field"),
    [({"limit": 51}, "limit"), ({"limit": 0}, "limit"), ({"limit": "x"}, "limit"), ({"q": "x" * 1001}, "q")],
)
def test_what_is_out_of_bounds_is_named(reader, query, field):
    answer = reader.get("/suggest", query_string={"q": "ric", **query})
    assert answer.status_code == 422
    assert answer.json["message"].startswith(f"{field}: ")


def test_as_many_as_asked_for(reader, library):
    for limit in (1, 3, 10):
        assert len(suggested(reader, "ric", limit=limit)) == limit
    assert len(suggested(reader, "ric")) == 10


def test_edits_and_deletions_count_at_once(champion, register):
    info = register(name="gravel", tags=["granite"], readme="grain", creator_username="greta")
    assert len(suggested(champion, "gr")) == 7
    path = info["uri"].replace("://", "/")
    assert champion.put(f"/tags/{path}", json={"tags": ["basalt"]}).status_code == 200
    assert ("tag", 'tag:"granite"') not in suggested(champion, "gra")
    assert ("tag", 'tag:"basalt"') in suggested(champion, "bas")
    renamed = {**info, "name": "sand", "creator_username": "sam", "tags": []}
    assert champion.put(f"/uris/{path}", json=renamed).status_code == 200
    assert suggested(champion, "gr") == [("word", "grain")]
    assert {kind for kind, _ in suggested(champion, "sa")} == {"word", "name", "creator"}
    assert champion.delete(f"/uris/{path}").status_code == 200
    assert suggested(champion, "sa") == suggested(champion, "gr") == []


def test_nobody_sees_a_hint_of_what_others_have(champion, nobody, library, register):
    """Neither a word, nor a name, nor how many there are, nor their order."""
    questions = ["r", "ri", "ric", "rich", "rice", "rice s", "se"]
    before = [suggested(champion, q, limit=limit) for q in questions for limit in (1, 10, 50)]
    assert not any("rich" in text or "ricin" in text for found in before for _, text in found)
    for n in range(12):
        word = "ric" + "abcdefghijkl"[n] * 3
        register(BLUE, name=word, readme=f"rice {word} se{word}", tags=[word, "rice"], creator_username=word)
    assert [suggested(champion, q, limit=limit) for q in questions for limit in (1, 10, 50)] == before
    assert suggested(nobody, "ric") == []
