"""Whoever comes without a token: reads what is in public base URIs, and nothing else."""

from __future__ import annotations

import csv
import io
import json
import logging
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from flask_jwt_extended import create_refresh_token
from flask_jwt_extended.exceptions import NoAuthorizationError

from api.conftest import on_every_store, on_sql_alone, on_usual_stores, pagination, route
from dservercore import utils_auth
from dservercore.auth import guards
from dservercore.auth.personal_tokens import PREFIX
from dservercore.catalog import base_uris
from dservercore.db import sql_db
from support.world import BLUE, NOBODY, READER, RED, STRANGER, dataset_info

pytestmark = [on_every_store, pytest.mark.attack]

#: Resources of one dataset.
ONE = ("uris", "readmes", "manifests", "tags", "annotations")


@pytest.fixture
def shown(register: Callable[..., dict[str, Any]], admin: Any) -> dict[str, Any]:
    """A dataset in RED, which is public."""
    info = register(RED, readme="harvest of common beans", tags=["open"], creator_username="olga")
    assert admin.put("/base-uris/s3/red", json={"public": True}).status_code == 200
    return info


@pytest.fixture
def hidden(register: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """A dataset in BLUE, which is not."""
    return register(BLUE, readme="common zanzibar", tags=["zanzibar"], creator_username="zanzibar")


class TestReading:
    def test_what_is_public(self, anonymous, reader, shown, hidden):
        """As somebody reads it who has a token and permission, tags of the content included."""
        for resource in ONE:
            path = route(resource, shown["uri"])
            answer, expected = anonymous.get(path), reader.get(path)
            assert (answer.status_code, answer.data) == (200, expected.data)
            assert answer.headers.get("ETag") == expected.headers.get("ETag")
            head = anonymous.head(path)
            assert (head.status_code, head.data) == (200, b"")
            assert head.headers.get("ETag") == answer.headers.get("ETag")
            assert head.headers["Content-Length"] == answer.headers["Content-Length"]

    def test_a_value_that_is_known_already(self, anonymous, shown):
        for resource in ("readmes", "manifests", "tags", "annotations"):
            path = route(resource, shown["uri"])
            etag = anonymous.get(path).headers["ETag"]
            assert anonymous.get(path, headers={"If-None-Match": etag}).status_code == 304
            assert anonymous.get(path, headers={"If-Match": '"another"'}).status_code == 412

    def test_what_is_not_is_answered_as_if_it_were_not_there(self, anonymous, shown, hidden, nobody):
        absent = dataset_info(BLUE)["uri"]
        unknown = dataset_info("s3://unknown")["uri"]
        for resource in ONE:
            refusals = [anonymous.get(route(resource, uri)) for uri in (hidden["uri"], absent, unknown)]
            assert {answer.status_code for answer in refusals} == {403}
            assert len({answer.data for answer in refusals}) == 1
            assert refusals[0].data == nobody.get(route(resource, unknown)).data
            conditions = {"If-None-Match": "*"}
            assert anonymous.get(route(resource, hidden["uri"]), headers=conditions).status_code == 403
            assert anonymous.get(route(resource, dataset_info(RED)["uri"])).status_code == 404

    def test_lists_and_searches(self, anonymous, shown, hidden):
        for answer in (
            anonymous.get("/uris"),
            anonymous.post("/uris", json={}),
            anonymous.post("/uris", json={"free_text": "common"}),
            anonymous.get("/uris?free_text=common&sort=relevance"),
            anonymous.post("/uris", json={"base_uris": [BLUE, RED]}),
        ):
            assert [dataset["uri"] for dataset in answer.json] == [shown["uri"]]
            assert pagination(answer)["total"] == 1
        for query in ({"base_uris": [BLUE]}, {"tags": ["zanzibar"]}, {"free_text": "zanzibar"}):
            answer = anonymous.post("/uris", json=query)
            assert (answer.status_code, answer.json, pagination(answer)["total"]) == (200, [], 0)

    def test_copies(self, anonymous, register, shown):
        register(BLUE, uuid=shown["uuid"])
        answer = anonymous.get(f"/uuids/{shown['uuid']}")
        assert [copy["uri"] for copy in answer.json] == [shown["uri"]]
        assert pagination(answer)["total"] == 1
        grouped = anonymous.get("/uris?group=uuid&include=description,tags,matches&free_text=common").json
        assert [[copy["uri"] for copy in found.get("copies", [])] for found in grouped] in (
            [[]],
            [[shown["uri"]]],
        )

    def test_facets_and_suggestions(self, anonymous, shown, hidden):
        for answer in (
            anonymous.get("/uris/facets"),
            anonymous.post("/uris/facets", json={"free_text": "common"}),
        ):
            assert answer.json["base_uris"] == [{"value": RED, "count": 1}]
            assert "zanzibar" not in answer.text
        assert "zanzibar" not in anonymous.get("/suggest?q=zan").text
        assert [each["text"] for each in anonymous.get("/suggest?q=oper").json] == []
        assert "harvest" in anonymous.get("/suggest?q=harv").text

    def test_corrections_come_from_what_is_public(self, anonymous, shown, hidden):
        answer = anonymous.post("/uris", json={"free_text": "harvst"})
        assert [dataset["uri"] for dataset in answer.json] == [shown["uri"]]
        assert json.loads(answer.headers["X-Search"])["corrected"] == {"harvst": ["harvest"]}
        answer = anonymous.post("/uris", json={"free_text": "zanzibr"})
        assert answer.json == []
        assert "zanzibar" not in answer.headers.get("X-Search", "")

    def test_exports(self, anonymous, shown, hidden):
        for answer in (anonymous.get("/uris.csv"), anonymous.post("/uris.csv", json={"free_text": "common"})):
            rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
            assert [row["uri"] for row in rows] == [shown["uri"]]
        for answer in (anonymous.get("/uris.ndjson"), anonymous.post("/uris.ndjson", json={})):
            assert [json.loads(line)["uri"] for line in answer.text.splitlines()] == [shown["uri"]]

    def test_pages(self, anonymous, register, shown):
        for _ in range(4):
            register(RED)
            register(BLUE)
        answer = anonymous.get("/uris?page=2&page_size=2")
        assert len(answer.json) == 2
        assert (pagination(answer)["total"], pagination(answer)["last_page"]) == (5, 3)
        assert anonymous.get("/uris?page=4&page_size=2").status_code == 404

    def test_a_registered_user_without_permission_sees_the_same(self, anonymous, nobody, shown, hidden):
        for path in ("/uris", "/uris/facets", f"/uuids/{shown['uuid']}", "/suggest?q=h", "/uris.csv"):
            assert anonymous.get(path).data == nobody.get(path).data
        for resource in ONE:
            for info in (shown, hidden):
                path = route(resource, info["uri"])
                assert anonymous.get(path).data == nobody.get(path).data

    def test_figures_of_oneself_have_what_is_public(self, nobody, shown, hidden):
        assert nobody.get("/me/summary").json["number_of_datasets"] == 1
        assert nobody.get(f"/users/{NOBODY}/summary").json["base_uris"] == [RED]

    def test_bad_input_is_told(self, anonymous, shown):
        for path in ("/uris?pagesize=3", "/uris?sort=colour", "/uris?page=0", "/suggest?limit=x"):
            assert anonymous.get(path).status_code == 422
        assert anonymous.post("/uris", json={"colour": "red"}).status_code == 422
        assert anonymous.post("/uris", data="{", content_type="application/json").status_code == 400
        assert anonymous.post("/uris", data="{}", content_type="text/plain").status_code == 415


class TestNothingElse:
    @pytest.mark.parametrize("path", ["/me", "/me/summary", "/config/info", "/users", "/base-uris", "/audit"])
    def test_is_answered(self, anonymous, shown, path):
        for asked in (path, f"{path}?page=1&x=y"):
            answer = anonymous.get(asked)
            assert (answer.status_code, answer.json["msg"]) == (401, "Missing Authorization Header")

    def test_is_changed(self, anonymous, admin, shown):
        path = {resource: route(resource, shown["uri"]) for resource in ONE}
        before = {resource: anonymous.get(path[resource]).data for resource in ONE}
        acts = admin.get("/audit").json
        for method, where, body in (
            ("PUT", path["uris"], shown),
            ("DELETE", path["uris"], None),
            ("POST", "/uris/bulk", [shown]),
            ("PUT", path["readmes"], {"readme": "mine"}),
            ("PUT", path["tags"], {"tags": []}),
            ("POST", f"{path['tags']}/mine", {}),
            ("DELETE", f"{path['tags']}/open", None),
            ("PUT", path["annotations"], {"annotations": {}}),
            ("PUT", f"{path['annotations']}/mine", {"value": 1}),
            ("DELETE", f"{path['annotations']}/soil", None),
            ("PUT", "/base-uris/s3/blue", {"public": True}),
            ("POST", "/base-uris/s3/mine", {"public": True}),
            ("DELETE", "/base-uris/s3/red", None),
        ):
            for given in (body, "{"):
                answer = anonymous.open(where, method=method, json=given)
                assert (answer.status_code, answer.json["msg"]) == (401, "Missing Authorization Header")
        assert {resource: anonymous.get(path[resource]).data for resource in ONE} == before
        assert admin.get("/audit").json == acts

    def test_where_nothing_is_public_there_are_no_visitors(self, anonymous, admin, shown, hidden):
        assert anonymous.get("/uris").status_code == 200
        admin.put("/base-uris/s3/red", json={"public": False})
        paths = ["/uris", "/uris/facets", "/uris.csv", "/uris.ndjson", "/suggest", f"/uuids/{shown['uuid']}"]
        for path in paths + [route(resource, shown["uri"]) for resource in ONE]:
            assert anonymous.get(path).status_code == 401
            assert anonymous.get(path).json["msg"] == "Missing Authorization Header"

    def test_a_base_uri_that_is_deleted_is_closed(self, anonymous, admin, shown):
        assert admin.delete("/base-uris/s3/red?with_datasets=true").status_code == 200
        assert anonymous.get("/uris").status_code == 401

    @pytest.mark.parametrize(
        "guard", [utils_auth.jwt_required(), guards.with_scope("search"), guards.signed_in]
    )
    def test_routes_of_extensions(self, app, shown, guard):
        """Whatever they guard themselves with: visitors come only where a route says so."""
        view = guard(lambda **given: "read")
        with app.test_request_context("/"), pytest.raises(NoAuthorizationError):
            view()
        with app.test_request_context("/"):
            assert guards.with_scope("search", visitors=True)(lambda **given: "read")() == "read"


@on_sql_alone
class TestTokens:
    """What is brought along counts, and is refused where it is no good: nobody is quietly taken for a visitor."""

    @pytest.fixture
    def signed(self, config: dict[str, Any]) -> Callable[..., str]:
        """``signed(**claims)`` returns a token of the server's own key."""
        return lambda **claims: jwt.encode(claims, config["JWT_PRIVATE_KEY"], "RS256")

    @pytest.mark.parametrize(
        ("header", "status"),
        [
            ("", 401),
            (" ", 401),
            ("Basic eDp5", 401),
            ("Basic", 401),
            ("Digest username=x", 401),
            ("Bearer", 422),
            ("bearer", 422),
            ("Bearer ", 422),
            ("Bearer x", 422),
            ("bearer x", 422),
            ("Bearer a.b.c", 422),
            ("Bearer a b", 422),
            ("Bearer null", 422),
            ("Bearer undefined", 422),
            (f"Bearer {PREFIX}", 401),
            (f"bearer {PREFIX}0123456789abcdef", 401),
            ("Basic eDp5, Bearer x", 422),
            ("é", 401),
        ],
    )
    def test_a_header_that_is_no_good(self, anonymous, shown, header, status):
        for path in ("/uris", route("readmes", shown["uri"])):
            answer = anonymous.get(path, headers={"Authorization": header})
            assert (answer.status_code, answer.json.get("code", status)) == (status, status)

    def test_tokens_that_are_no_good(self, app, anonymous, admin, tokens, signed, shown):
        now = int(time.time())
        with app.app_context():
            refresh = create_refresh_token(NOBODY)
        for token, status in (
            (signed(sub=NOBODY, exp=now - 1), 401),
            (signed(sub=NOBODY, nbf=now + 600), 422),
            (signed(sub=5), 422),
            (signed(), 422),
            (signed(sub=""), 401),
            (refresh, 422),
            (tokens[STRANGER], 401),
            (jwt.encode({"sub": NOBODY}, "x" * 32, "HS256"), 422),
            (tokens[NOBODY] + "x", 422),
        ):
            for scheme in ("Bearer", "bearer", "BEARER"):
                header = {"Authorization": f"{scheme} {token}"}
                assert anonymous.get("/uris", headers=header).status_code == status
        header = {"Authorization": f"bearer {tokens[NOBODY]}"}
        assert anonymous.get("/uris", headers=header).status_code == 200
        admin.delete(f"/users/{NOBODY}")
        assert anonymous.get("/uris", headers=header).status_code == 401

    def test_a_token_that_lives_too_long(self, make_app, shown, signed):
        client = make_app(DSERVER_MAX_TOKEN_LIFETIME="1h").test_client()
        assert client.get("/uris").status_code == 200
        header = {"Authorization": f"Bearer {signed(sub=READER)}"}
        assert client.get("/uris", headers=header).status_code == 401

    def test_a_good_token_is_that_of_its_user(self, anonymous, tokens, shown, hidden):
        for scheme in ("Bearer", "bearer"):
            header = {"Authorization": f"{scheme} {tokens[READER]}"}
            assert anonymous.get(route("uris", hidden["uri"]), headers=header).status_code == 200

    @pytest.mark.parametrize("locations", ["cookies", "headers,cookies", "headers,cookies,query_string"])
    def test_cookies(self, make_app, tokens, signed, shown, hidden, locations):
        client = make_app(JWT_TOKEN_LOCATION=locations.split(",")).test_client()
        assert client.get("/uris").status_code == 200
        expired = signed(sub=READER, exp=int(time.time()) - 1)
        for cookie, status in (("", 401), ("x", 422), (expired, 401), (tokens[STRANGER], 401)):
            client.set_cookie("access_token_cookie", cookie)
            assert client.get("/uris").status_code == status
        client.set_cookie("access_token_cookie", tokens[READER])
        assert client.get(route("uris", hidden["uri"])).status_code == 200
        client.delete_cookie("access_token_cookie")
        client.set_cookie("another", "x")
        assert client.get(route("uris", shown["uri"])).status_code == 200
        assert client.get("/uris", headers={"Authorization": "Basic eDp5"}).status_code == 401

    @pytest.mark.parametrize("locations", ["query_string", "headers,query_string"])
    def test_the_query_string(self, make_app, tokens, signed, shown, hidden, locations):
        client = make_app(JWT_TOKEN_LOCATION=locations.split(",")).test_client()
        assert client.get("/uris?page_size=1").status_code == 200
        expired = signed(sub=READER, exp=int(time.time()) - 1)
        for token, status in (("", 401), ("x", 422), (expired, 401), (tokens[STRANGER], 401)):
            assert client.get("/uris", query_string={"jwt": token}).status_code == status
        found = client.get(route("uris", hidden["uri"]), query_string={"jwt": tokens[READER]})
        assert found.status_code == 200

    def test_where_no_token_is_looked_for_none_counts(self, anonymous, tokens, hidden, shown):
        anonymous.set_cookie("access_token_cookie", tokens[READER])
        assert anonymous.get(route("uris", hidden["uri"])).status_code == 403
        assert anonymous.get(f"/uris?jwt={tokens[READER]}").status_code == 422

    @pytest.mark.parametrize(("name", "status"), [(NOBODY, 200), (STRANGER, 401), ("", 401)])
    def test_where_tokens_are_disabled_there_are_no_visitors(self, make_app, shown, hidden, name, status):
        client = make_app(DISABLE_JWT_AUTHORISATION=True, DEFAULT_USER=name).test_client()
        assert client.get("/uris").status_code == status
        assert client.get("/me").status_code == status

    def test_where_tokens_are_disabled_everybody_is_that_user(self, make_app, hidden, shown):
        client = make_app(DISABLE_JWT_AUTHORISATION=True, DEFAULT_USER=READER).test_client()
        assert client.get(route("uris", hidden["uri"])).status_code == 200

    def test_a_server_that_can_verify_no_token(self, make_app, shown, hidden, tokens):
        client = make_app(JWT_PRIVATE_KEY=None, JWT_PUBLIC_KEY=None).test_client()
        assert client.get(route("uris", shown["uri"])).status_code == 200
        assert client.get(route("uris", hidden["uri"])).status_code == 403
        header = {"Authorization": f"Bearer {tokens[READER]}"}
        assert client.get("/uris", headers=header).status_code in (401, 422)


@on_usual_stores
class TestRecords:
    def test_a_visitor_is_nobody_in_the_log(self, anonymous, shown, caplog):
        caplog.set_level(logging.INFO)
        for path in ("/uris", route("readmes", shown["uri"])):
            caplog.clear()
            assert anonymous.get(path).status_code == 200
            (record,) = [record for record in caplog.records if record.name == "dservercore.requests"]
            assert " user=- " in record.getMessage()

    def test_a_visit_leaves_no_record(self, anonymous, admin, shown):
        before = admin.get("/audit").json
        anonymous.post("/uris", json={"free_text": "harvst"})
        anonymous.delete(route("uris", shown["uri"]))
        assert admin.get("/audit").json == before


@on_usual_stores
class TestAtOnce:
    def test_it_is_open_and_closed_from_the_next_request_on(self, anonymous, admin, register, app):
        info = register(RED)
        path = route("uris", info["uri"])
        for _ in range(3):
            assert anonymous.get(path).status_code == 401
            admin.put("/base-uris/s3/red", json={"public": True})
            assert anonymous.get(path).status_code == 200
            admin.put("/base-uris/s3/red", json={"public": False})
        with app.app_context():
            base_uris.set_public(BLUE, True)
            sql_db.session.rollback()
        assert anonymous.get(path).status_code == 401

    def test_one_is_closed_while_another_stays_open(self, anonymous, admin, shown, hidden):
        admin.put("/base-uris/s3/blue", json={"public": True})
        assert pagination(anonymous.get("/uris"))["total"] == 2
        admin.put("/base-uris/s3/red", json={"public": False})
        assert [found["uri"] for found in anonymous.get("/uris").json] == [hidden["uri"]]
        assert anonymous.get(route("uris", shown["uri"])).status_code == 403
