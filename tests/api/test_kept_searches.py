"""``/me/searches``: searches that users name, and what is kept of them."""

from __future__ import annotations

import threading
import time

import pytest

from api.conftest import on_every_store, on_usual_stores
from dservercore import sql_db
from dservercore.catalog import users
from dservercore.models import KeptSearch
from support.world import CHAMPION, RED, dataset_info

pytestmark = on_every_store

PATH = "/me/searches"
QUERY = "free_text=spring+barley&tags=field&tags=2024&sort=-frozen_at"


@pytest.fixture
def keep(champion):
    """``keep(name, query)`` has CHAMPION keep a search; returns it."""

    def kept(name, query=QUERY):
        answer = champion.post(PATH, json={"name": name, "query": query})
        assert answer.status_code == 201, answer.json
        return answer.json

    return kept


class TestKeeping:
    def test_it_is_listed_by_name_and_to_nobody_else(self, keep, champion, reader):
        before = int(time.time())
        kept = [keep("barley"), keep("Apples", "tags=apple"), keep("ähren", "")]
        assert kept[0] == {
            "id": kept[0]["id"],
            "name": "barley",
            "query": QUERY,
            "created_at": kept[0]["created_at"],
        }
        assert 0 <= kept[0]["created_at"] - before <= 2
        assert champion.get(PATH).json == [kept[1], kept[0], kept[2]]
        assert reader.get(PATH).json == []

    def test_it_asks_again(self, keep, champion):
        for name in ("barley", "beans"):
            info = dataset_info(RED, name=name, tags=[name])
            assert champion.put(f"/uris/{info['uri'].replace('://', '/')}", json=info).status_code == 201
        kept = keep("of the field", "tags=barley&sort=name&page=3&page_size=5&creator_usernames=")
        assert kept["query"] == "tags=barley&sort=name&page_size=5"
        assert [found["name"] for found in champion.get(f"/uris?{kept['query']}").json] == ["barley"]

    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            ("?free_text=a", "free_text=a"),
            ("free_text=größe 50%", "free_text=gr%C3%B6%C3%9Fe+50%25"),
            ("free_text=%22a%20b%22", "free_text=%22a+b%22"),
            ("free_text=a%26tags%3Db", "free_text=a%26tags%3Db"),
            ("free_text=\U0001f331&strict=true", "free_text=%F0%9F%8C%B1&strict=true"),
            ("page=2", ""),
            ("tags=a&" * 700, "&".join(["tags=a"] * 700)),
        ],
    )
    def test_queries_are_written_in_one_way(self, keep, champion, given, kept):
        assert keep("x", given)["query"] == kept
        assert champion.get(f"/uris?{kept}").status_code == 200

    @on_usual_stores
    @pytest.mark.parametrize(
        ("search", "field"),
        [
            ({"query": ""}, "name"),
            ({"name": "x"}, "query"),
            ({"name": "", "query": ""}, "name"),
            ({"name": "  ", "query": ""}, "name"),
            ({"name": "x" * 81, "query": ""}, "name"),
            ({"name": "x\u202ey", "query": ""}, "name"),
            ({"name": "x\0", "query": ""}, "name"),
            ({"name": 1, "query": ""}, "name"),
            ({"name": "x", "query": None}, "query"),
            ({"name": "x", "query": {"tags": ["a"]}}, "query"),
            ({"name": "x", "query": "tag=a"}, "query"),
            ({"name": "x", "query": "free_text=a%00"}, "query"),
            ({"name": "x", "query": "free_text=\ud800"}, "query"),
            ({"name": "x", "query": "free_text=" + "a" * 6000}, "query"),
            ({"name": "x", "query": "free_text=" + "ä" * 2000}, "query"),
            ({"name": "x", "query": "", "owner": "rita"}, "owner"),
        ],
    )
    def test_what_cannot_be_kept(self, champion, search, field):
        answer = champion.post(PATH, json=search)
        assert (answer.status_code, list(answer.json["errors"]["json"])) == (422, [field])
        assert champion.get(PATH).json == []

    def test_names_are_of_one_search_each(self, keep, champion, reader):
        keep("barley")
        refused = champion.post(PATH, json={"name": " barley ", "query": ""})
        assert (refused.status_code, refused.json["message"]) == (
            409,
            "You keep a search of the name 'barley' already",
        )
        for name in ("Barley", "bärley", "barley 2"):
            keep(name)
        assert reader.post(PATH, json={"name": "barley", "query": ""}).status_code == 201
        assert len(champion.get(PATH).json) == 4

    def test_a_hundred_and_no_more(self, keep, champion, reader):
        kept = [keep(f"search {n}", "") for n in range(100)]
        refused = champion.post(PATH, json={"name": "x", "query": ""})
        assert (refused.status_code, refused.json["message"]) == (
            409,
            "You keep 100 searches: delete some first",
        )
        assert reader.post(PATH, json={"name": "x", "query": ""}).status_code == 201
        champion.delete(f"{PATH}/{kept[0]['id']}")
        keep("x", "")

    def test_at_the_same_moment_one_name_is_given_once(self, app, champion, sign_in):
        statuses = []
        clients = [sign_in(CHAMPION) for _ in range(4)]

        def send(client):
            statuses.append(client.post(PATH, json={"name": "same", "query": ""}).status_code)

        threads = [threading.Thread(target=send, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(statuses) == [201, 409, 409, 409]


class TestChanging:
    def test_what_is_left_out_stays(self, keep, champion):
        kept = keep("barley")
        path = f"{PATH}/{kept['id']}"
        assert champion.patch(path, json={"name": "Barley"}).json == kept | {"name": "Barley"}
        assert champion.patch(path, json={"query": "tags=x&page=2"}).json["query"] == "tags=x"
        assert champion.patch(path, json={}).status_code == 200
        assert champion.get(PATH).json == [kept | {"name": "Barley", "query": "tags=x"}]

    def test_to_a_name_of_another_one(self, keep, champion):
        kept, other = keep("a"), keep("b")
        path = f"{PATH}/{kept['id']}"
        assert champion.patch(path, json={"name": "b"}).status_code == 409
        assert champion.patch(path, json={"name": "a"}).status_code == 200
        assert champion.patch(path, json={"name": " "}).status_code == 422
        assert champion.patch(path, json={"query": "tag=x"}).status_code == 422
        assert champion.get(PATH).json == [kept, other]

    def test_of_somebody_else_there_are_none(self, keep, champion, reader):
        kept = keep("mine")
        for path in (f"{PATH}/{kept['id']}", f"{PATH}/{2**70}", f"{PATH}/0"):
            assert reader.patch(path, json={"name": "theirs"}).status_code == 404
            assert reader.delete(path).status_code == 404
        assert champion.get(PATH).json == [kept]

    def test_forgotten(self, keep, champion):
        kept, other = keep("a"), keep("b")
        assert champion.delete(f"{PATH}/{kept['id']}").status_code == 200
        assert champion.delete(f"{PATH}/{kept['id']}").status_code == 404
        assert champion.get(PATH).json == [other]


def test_they_go_with_their_user(app, keep):
    keep("a")
    with app.app_context():
        users.delete_user(CHAMPION)
        sql_db.session.commit()
        assert sql_db.session.query(KeptSearch).count() == 0


def test_a_personal_token_does_not_reach_them(app, keep, champion):
    """One that is for some base URIs alone would learn of others."""
    kept = keep("mine", "base_uris=s3%3A%2F%2Fsecret")
    token = champion.post("/me/tokens", json={"name": "x", "may": ["search", "register"]}).json["token"]
    program = app.test_client()
    program.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    path = f"{PATH}/{kept['id']}"
    answers = [
        program.get(PATH),
        program.post(PATH, json={"name": "y", "query": ""}),
        program.patch(path, json={"name": "y"}),
        program.delete(path),
    ]
    assert [answer.status_code for answer in answers] == [403] * 4
