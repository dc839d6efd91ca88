"""``/tags``: the tags of a dataset."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from sqlalchemy import text

from api.conftest import on_every_store, on_sql_alone, on_usual_stores, route
from dservercore.db import sql_db
from support.world import BLUE

pytestmark = on_every_store

BAD_TAGS = ["bad tag!", "a/b", "ü", "a" * 81, "a\n", "a,b", "%", "\x1b", "😀"]


@pytest.fixture
def uri(register):
    return register(tags=["beans", "2026"])["uri"]


def found_by(client, *tags):
    return len(client.post("/uris", json={"tags": list(tags)}).json)


class TestReading:
    def test_in_the_order_in_which_they_were_given(self, champion, uri):
        answer = champion.get(route("tags", uri))
        assert (answer.status_code, answer.json) == (200, {"tags": ["beans", "2026"]})

    def test_none(self, champion, register):
        assert champion.get(route("tags", register(tags=[])["uri"])).json == {"tags": []}

    def test_needs_search_permission(self, champion, nobody, admin, uri, register):
        for client in (nobody, admin):
            assert client.get(route("tags", uri)).status_code == 403
        assert champion.get(route("tags", register(BLUE)["uri"])).status_code == 403

    def test_what_is_not_registered(self, champion):
        assert champion.get("/tags/s3/red/missing").status_code == 404
        assert champion.get("/tags/s3/unknown/missing").status_code == 403


class TestReplacing:
    @pytest.mark.parametrize("tags", [["peas"], [], ["b", "a"], ["A-_.9", "a" * 80]])
    def test_all(self, champion, uri, tags):
        answer = champion.put(route("tags", uri), json={"tags": tags})
        assert (answer.status_code, answer.json) == (200, {"tags": tags})
        assert champion.get(route("tags", uri)).json == {"tags": tags}

    def test_a_tag_given_twice_is_there_once(self, champion, uri):
        assert champion.put(route("tags", uri), json={"tags": ["b", "a", "b"]}).json == {"tags": ["b", "a"]}
        assert champion.get(route("tags", uri)).json == {"tags": ["b", "a"]}

    def test_search_and_summary_follow(self, champion, uri):
        champion.put(route("tags", uri), json={"tags": ["peas", "2026"]})
        assert (found_by(champion, "beans"), found_by(champion, "peas", "2026")) == (0, 1)
        assert len(champion.get("/uris?free_text=peas").json) == 1
        assert champion.get("/me/summary").json["datasets_per_tag"] == {"peas": 1, "2026": 1}

    def test_needs_register_permission_alone(self, admin, champion, reader, nobody, uri, register):
        for client in (reader, nobody, admin):
            assert client.put(route("tags", uri), json={"tags": []}).status_code == 403
        assert champion.put(route("tags", register(BLUE)["uri"]), json={"tags": []}).status_code == 403
        admin.post("/users/nora/register/s3/red")
        assert nobody.put(route("tags", uri), json={"tags": ["x"]}).json == {"tags": ["x"]}

    def test_what_is_not_registered(self, champion):
        assert champion.put("/tags/s3/red/missing", json={"tags": []}).status_code == 404
        assert champion.put("/tags/s3/unknown/missing", json={"tags": []}).status_code == 403

    @pytest.mark.parametrize("request_", [{"json": {}}, {}], ids=["empty object", "no body"])
    def test_without_tags_nothing_is_replaced(self, champion, uri, request_):
        answer = champion.put(route("tags", uri), **request_)
        assert answer.status_code == 422
        assert list(answer.json["errors"]["json"]) == ["tags"]
        assert champion.get(route("tags", uri)).json == {"tags": ["beans", "2026"]}

    @on_usual_stores
    @pytest.mark.parametrize(
        "body",
        [{"tags": None}, {"tags": "x"}, {"tags": {"a": 1}}, {"tags": [1]}, {"tags": [None]}, {"colour": []}],
        ids=str,
    )
    def test_what_is_no_list_of_tags(self, champion, uri, body):
        assert champion.put(route("tags", uri), json=body).status_code == 422
        assert champion.get(route("tags", uri)).json == {"tags": ["beans", "2026"]}

    @on_usual_stores
    @pytest.mark.parametrize("tag", [*BAD_TAGS, ""])
    def test_what_dtool_would_not_take(self, champion, uri, tag):
        answer = champion.put(route("tags", uri), json={"tags": ["fine", tag]})
        assert answer.status_code == 422
        assert list(answer.json["errors"]["json"]) == ["tags"]
        assert champion.get(route("tags", uri)).json == {"tags": ["beans", "2026"]}


class TestOne:
    def test_is_added_and_removed(self, champion, uri):
        answer = champion.post(route("tags", uri, "peas"))
        assert (answer.status_code, answer.json) == (200, {"tags": ["beans", "2026", "peas"]})
        assert champion.get(route("tags", uri)).json == answer.json
        assert found_by(champion, "peas") == 1
        answer = champion.delete(route("tags", uri, "beans"))
        assert (answer.status_code, answer.json) == (200, {"tags": ["2026", "peas"]})
        assert champion.get(route("tags", uri)).json == answer.json
        assert found_by(champion, "beans") == 0
        assert champion.get("/me/summary").json["datasets_per_tag"] == {"peas": 1, "2026": 1}

    def test_again_changes_nothing(self, champion, uri):
        for _ in range(2):
            assert champion.post(route("tags", uri, "beans")).json == {"tags": ["beans", "2026"]}
        for _ in range(2):
            answer = champion.delete(route("tags", uri, "beans"))
            assert (answer.status_code, answer.json) == (200, {"tags": ["2026"]})

    @pytest.mark.parametrize("method", ["POST", "DELETE"])
    def test_needs_search_and_register_permission(
        self, admin, champion, reader, nobody, uri, register, method
    ):
        path = route("tags", uri, "beans")
        for client in (reader, nobody, admin):
            assert client.open(path, method=method).status_code == 403
        assert champion.open(route("tags", register(BLUE)["uri"], "x"), method=method).status_code == 403
        admin.post("/users/nora/register/s3/red")
        assert nobody.open(path, method=method).status_code == 403
        admin.post("/users/nora/search/s3/red")
        assert nobody.open(path, method=method).status_code == 200

    @pytest.mark.parametrize("method", ["POST", "DELETE"])
    def test_of_what_is_not_registered(self, champion, method):
        assert champion.open("/tags/s3/red/missing/x", method=method).status_code == 404
        assert champion.open("/tags/s3/unknown/missing/x", method=method).status_code == 403

    @on_usual_stores
    @pytest.mark.parametrize("tag", BAD_TAGS)
    def test_what_dtool_would_not_take_is_not_added(self, champion, uri, tag):
        answer = champion.post(route("tags", uri, quote(tag, safe="")))
        assert answer.status_code == 422
        assert list(answer.json["errors"]["json"]) == ["tag"]
        assert champion.get(route("tags", uri)).json == {"tags": ["beans", "2026"]}

    @pytest.mark.parametrize("tag", BAD_TAGS)
    def test_what_dtool_would_not_take_can_be_removed(self, champion, uri, tag):
        assert champion.delete(route("tags", uri, quote(tag, safe=""))).json == {"tags": ["beans", "2026"]}

    @on_sql_alone
    @pytest.mark.parametrize("tag", ["bad tag!", "a/b", "100%", "größe"])
    def test_one_from_an_older_database_is_removed_by_its_name(self, app, champion, uri, tag):
        with app.app_context():
            insert = text("INSERT INTO dataset_tag SELECT id, :tag, 9 FROM dataset WHERE uri = :uri")
            sql_db.session.execute(insert, {"tag": tag, "uri": uri})
            sql_db.session.commit()
        assert tag in champion.get(route("tags", uri)).json["tags"]
        assert champion.delete(route("tags", uri, quote(tag, safe=""))).json == {"tags": ["beans", "2026"]}

    def test_percent_encoding_is_no_part_of_it(self, champion, uri):
        assert champion.post(route("tags", uri, "%70eas%2Dand%2e")).json == {
            "tags": ["beans", "2026", "peas-and."]
        }

    def test_a_dataset_may_be_called_like_a_tag(self, champion, register):
        """The URI ends where a registered one does."""
        outer = register(uri="s3://red/peas", tags=[])["uri"]
        assert champion.post(route("tags", outer, "peas")).json == {"tags": ["peas"]}
