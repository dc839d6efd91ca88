"""``/me/tokens`` and ``/users/<u>/tokens``: tokens for programs, what each of them may do, and their end."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest
from flask_jwt_extended import create_access_token
from sqlalchemy import update

from api.conftest import on_every_store, on_usual_stores, pagination, route
from dservercore import sql_db
from dservercore.auth import permissions
from dservercore.catalog import last_use, personal_tokens
from dservercore.errors import AuthenticationError
from dservercore.models import BaseURI, PersonalToken
from support.world import ADMIN, BLUE, CHAMPION, READER, RED, dataset_info

pytestmark = on_every_store

DAY = 24 * 3600
OTHER = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@pytest.fixture
def program(app, people):
    """``program(token)`` returns a client that sends that token."""

    def client_of(token):
        client = app.test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
        return client

    return client_of


@pytest.fixture
def make(program):
    """``make(owner, may=..., ...)`` has a client's user make a token; returns a client that sends it, and its id."""

    def made(owner, path="/me/tokens", **wish):
        answer = owner.post(path, json={"name": "robot", **wish})
        assert answer.status_code == 201, answer.json
        return program(answer.json["token"]), answer.json["id"]

    return made


@pytest.fixture
def datasets(app, admin, champion):
    """One dataset in RED and one in BLUE, both of which CHAMPION may search and edit."""
    for kind in ("search", "register"):
        assert admin.post(f"/users/{CHAMPION}/{kind}/{BLUE}").status_code == 200
    infos = {
        base_uri: dataset_info(base_uri, name=f"barley in {base_uri[5:]}", tags=[base_uri[5:]])
        for base_uri in (RED, BLUE)
    }
    for info in infos.values():
        assert champion.put(route("uris", info["uri"]), json=info).status_code == 201
    return infos


class TestMaking:
    def test_it_is_told_once(self, champion):
        before = int(time.time())
        wish = {"name": "nightly", "expires_in": "30d", "may": ["register", "search"], "base_uris": [RED]}
        answer = champion.post("/me/tokens", json=wish)
        assert answer.status_code == 201
        made = answer.json
        token = made.pop("token")
        assert token.startswith("dserver_")
        assert 0 <= made["created_at"] - before <= 2
        assert made == {
            "id": made["id"],
            "name": "nightly",
            "may": ["search", "register"],
            "base_uris": [RED],
            "created_at": made["created_at"],
            "expires_at": made["created_at"] + 30 * DAY,
            "last_used_at": None,
        }
        listed = champion.get("/me/tokens")
        assert listed.json == [made]
        assert token not in listed.text

    def test_what_is_not_told(self, champion):
        made = champion.post("/me/tokens", json={"name": "x"}).json
        assert (made["may"], made["base_uris"]) == (["search"], None)
        assert made["expires_at"] - made["created_at"] == 90 * DAY

    def test_each_is_another_one(self, champion, reader):
        made = [
            owner.post("/me/tokens", json={"name": "same"}).json for owner in (champion, champion, reader)
        ]
        assert len({each["token"] for each in made}) == len({each["id"] for each in made}) == 3
        assert [each["id"] for each in champion.get("/me/tokens").json] == [each["id"] for each in made[:2]]

    @on_usual_stores
    @pytest.mark.parametrize(
        ("expires_in", "seconds"),
        [(1, 1), (3600, 3600), ("90s", 90), ("2w", 14 * DAY), (10**10 - 1, 10**10 - 1)],
    )
    def test_lifetimes(self, champion, expires_in, seconds):
        made = champion.post("/me/tokens", json={"name": "x", "expires_in": expires_in}).json
        assert made["expires_at"] - made["created_at"] == seconds

    def test_for_ever(self, champion):
        made = champion.post("/me/tokens", json={"name": "x", "expires_in": None}).json
        assert made["expires_at"] is None

    @on_usual_stores
    @pytest.mark.parametrize(
        ("wish", "field"),
        [
            ({}, "name"),
            ({"name": ""}, "name"),
            ({"name": "  "}, "name"),
            ({"name": "x" * 81}, "name"),
            ({"name": "a\0b"}, "name"),
            ({"name": "a\u202eb"}, "name"),
            ({"name": "a\nb"}, "name"),
            ({"name": None}, "name"),
            ({"name": ["x"]}, "name"),
            ({"expires_in": 0}, "expires_in"),
            ({"expires_in": -1}, "expires_in"),
            ({"expires_in": 1.5}, "expires_in"),
            ({"expires_in": True}, "expires_in"),
            ({"expires_in": "3600"}, "expires_in"),
            ({"expires_in": "0d"}, "expires_in"),
            ({"expires_in": "a month"}, "expires_in"),
            ({"expires_in": "1e3s"}, "expires_in"),
            ({"expires_in": "-1d"}, "expires_in"),
            ({"expires_in": "9" * 400 + "w"}, "expires_in"),
            ({"expires_in": 10**10}, "expires_in"),
            ({"expires_in": 10**400}, "expires_in"),
            ({"expires_in": {"days": 1}}, "expires_in"),
            ({"may": []}, "may"),
            ({"may": ["write"]}, "may"),
            ({"may": ["search", "Search"]}, "may"),
            ({"may": ["search register"]}, "may"),
            ({"may": "search"}, "may"),
            ({"may": None}, "may"),
            ({"may": [None]}, "may"),
            ({"may": ["admin"]}, "may"),
            ({"may": ["search", "admin"], "base_uris": [RED]}, "base_uris"),
            ({"base_uris": []}, "base_uris"),
            ({"base_uris": [BLUE]}, "base_uris"),
            ({"base_uris": [RED, "s3://unknown"]}, "base_uris"),
            ({"base_uris": [RED + "/"]}, "base_uris"),
            ({"base_uris": ["\0"]}, "base_uris"),
            ({"base_uris": ["*"]}, "base_uris"),
            ({"base_uris": [""]}, "base_uris"),
            ({"base_uris": RED}, "base_uris"),
            ({"base_uris": [f"s3://{n}" for n in range(1001)]}, "base_uris"),
            ({"token": "dserver_mine"}, "token"),
            ({"user": ADMIN}, "user"),
        ],
    )
    def test_what_is_refused(self, champion, wish, field):
        answer = champion.post("/me/tokens", json={"name": "x", **wish} if wish else {})
        assert answer.status_code == 422, answer.json
        assert answer.json["message"].startswith(f"{field}")
        assert list(answer.json["errors"]["json"]) == [field]
        assert champion.get("/me/tokens").json == []

    @on_usual_stores
    def test_which_base_uris_there_are_is_not_told(self, champion):
        there, not_there = (
            champion.post("/me/tokens", json={"name": "x", "base_uris": [each]}).json
            for each in (BLUE, "s3://unknown")
        )
        assert there == not_there

    def test_where_one_may_only_register(self, app, champion, admin):
        admin.post(f"/users/{CHAMPION}/register/{BLUE}")
        for may, status in ((["search"], 422), (["register"], 201), (["search", "register"], 201)):
            wish = {"name": "x", "may": may, "base_uris": [BLUE]}
            assert champion.post("/me/tokens", json=wish).status_code == status

    def test_admin_is_for_administrators(self, admin, champion, make):
        assert champion.post("/me/tokens", json={"name": "x", "may": ["admin"]}).status_code == 422
        token, _ = make(admin, may=["admin"])
        assert token.get("/users").status_code == 200

    @on_usual_stores
    def test_how_many(self, app, champion, reader, monkeypatch):
        monkeypatch.setattr(personal_tokens, "MAX_TOKENS", 3)
        ids = [champion.post("/me/tokens", json={"name": "x"}).json["id"] for _ in range(3)]
        refused = champion.post("/me/tokens", json={"name": "x"})
        assert (refused.status_code, refused.json["message"]) == (
            409,
            f"User '{CHAMPION}' has 3 tokens: delete some first",
        )
        assert reader.post("/me/tokens", json={"name": "x"}).status_code == 201
        champion.delete(f"/me/tokens/{ids[1]}")
        assert champion.post("/me/tokens", json={"name": "x"}).status_code == 201

    def test_how_many_at_the_same_moment(self, app, sign_in, people, monkeypatch):
        monkeypatch.setattr(personal_tokens, "MAX_TOKENS", 3)
        statuses = []

        def ask():
            statuses.append(sign_in(CHAMPION).post("/me/tokens", json={"name": "x"}).status_code)

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert Counter(statuses) == {201: 3, 409: 3}

    @on_usual_stores
    @pytest.mark.parametrize(
        ("wish", "status"),
        [({}, 201), ({"expires_in": "2h"}, 201), ({"expires_in": 7201}, 422), ({"expires_in": None}, 422)],
    )
    def test_no_longer_than_the_server_allows(self, make_app, sign_in, wish, status):
        app = make_app(DSERVER_MAX_TOKEN_LIFETIME="2h")
        answer = sign_in(CHAMPION, app).post("/me/tokens", json={"name": "x", **wish})
        assert answer.status_code == status, answer.json
        if status == 201:
            assert answer.json["expires_at"] - answer.json["created_at"] == 7200
        else:
            assert answer.json["errors"]["json"] == {
                "expires_in": ["must be at most 7200 seconds on this server"]
            }


class TestUsing:
    def test_it_may_search_by_itself(self, make, champion, datasets):
        token, _ = make(champion)
        assert {each["base_uri"] for each in token.get("/uris").json} == {RED, BLUE}
        uri = datasets[RED]["uri"]
        assert token.get(route("readmes", uri)).status_code == 200
        assert token.put(route("readmes", uri), json={"readme": "x"}).status_code == 403
        assert token.put(route("uris", uri), json=datasets[RED]).status_code == 403
        assert token.delete(route("uris", uri)).status_code == 403
        assert token.post("/uris/bulk", json=[]).status_code == 403
        me = token.get("/me").json
        assert me["username"] == CHAMPION
        assert me["register_permissions_on_base_uris"] == []

    def test_it_may_register_by_itself(self, make, champion, datasets):
        token, _ = make(champion, may=["register"])
        assert token.get("/uris").json == []
        assert token.get(route("readmes", datasets[RED]["uri"])).status_code == 403
        assert token.put(route("uris", datasets[RED]["uri"]), json=datasets[RED]).status_code == 200
        new = dataset_info(RED)
        [result] = token.post("/uris/bulk", json=[new]).json
        assert result["status"] == 201
        assert champion.get(route("uris", new["uri"])).json["uploaded_by"] == CHAMPION
        assert token.put(route("readmes", new["uri"]), json={"readme": "x"}).status_code == 403

    def test_both_edit(self, make, champion, datasets):
        token, _ = make(champion, may=["search", "register"])
        assert token.put(route("readmes", datasets[RED]["uri"]), json={"readme": "x"}).status_code == 200

    def test_admin_alone_sees_no_dataset(self, make, admin, datasets):
        admin.post(f"/users/{ADMIN}/search/{RED}")
        token, _ = make(admin, may=["admin"])
        assert token.get("/uris").json == []
        assert token.put("/users/new", json={}).status_code == 201
        assert token.get("/audit").status_code == 200

    def test_an_administrators_token_is_none_of_an_administrator(self, make, admin):
        token, _ = make(admin)
        for method, path in (
            ("GET", "/users"),
            ("GET", f"/users/{READER}"),
            ("PUT", "/users/new"),
            ("PATCH", f"/users/{ADMIN}"),
            ("DELETE", f"/users/{READER}"),
            ("GET", "/base-uris"),
            ("GET", "/audit"),
            ("GET", "/groups"),
            ("PUT", "/groups/new"),
            ("POST", f"/users/{ADMIN}/search/{RED}"),
            ("GET", f"/users/{READER}/summary"),
            ("GET", f"/users/{READER}/tokens"),
        ):
            assert token.open(path, method=method).status_code == 403, path
        assert token.get("/me").json["is_admin"] is False
        assert token.get(f"/users/{ADMIN}").json["is_admin"] is False
        assert token.get(f"/users/{ADMIN}/permissions").json["is_admin"] is False

    def test_only_some_base_uris_are_found(self, make, champion, datasets):
        token, _ = make(champion, base_uris=[BLUE])
        red, blue = datasets[RED], datasets[BLUE]
        for answer in (token.get("/uris"), token.post("/uris", json={"free_text": "barley"})):
            assert [each["uri"] for each in answer.json] == [blue["uri"]]
            assert pagination(answer)["total"] == 1
        asked = token.post("/uris", json={"base_uris": [RED]})
        assert (asked.json, pagination(asked)["total"]) == ([], 0)
        assert [each["uri"] for each in token.get(f"/uuids/{blue['uuid']}").json] == [blue["uri"]]
        assert token.get(f"/uuids/{red['uuid']}").json == []
        facets = token.get("/uris/facets").json
        assert {each["value"] for each in facets["tags"]} == {BLUE[5:]}
        assert token.get("/suggest?q=barl").json != []
        assert [each for each in token.get(f"/suggest?q={RED[5:]}").json if RED[5:] in each["text"]] == []
        summary = token.get("/me/summary").json
        assert (summary["number_of_datasets"], summary["base_uris"]) == (1, [BLUE])
        assert token.get(f"/users/{CHAMPION}/summary").json == summary
        assert red["uri"] not in token.get("/uris.ndjson").text
        for kind in ("uris", "readmes", "manifests", "tags", "annotations"):
            assert token.get(route(kind, blue["uri"])).status_code == 200
            assert token.get(route(kind, red["uri"])).status_code == 403
        for path in ("/me", f"/users/{CHAMPION}"):
            assert token.get(path).json["search_permissions_on_base_uris"] == [BLUE]
            assert RED not in token.get(path).text
        assert RED not in token.get(f"/users/{CHAMPION}/permissions").text

    def test_only_in_some_base_uris_it_registers(self, make, champion, datasets):
        token, _ = make(champion, may=["register"], base_uris=[RED])
        infos = [dataset_info(base_uri) for base_uri in (RED, BLUE)]
        assert [token.put(route("uris", info["uri"]), json=info).status_code for info in infos] == [201, 403]
        results = token.post("/uris/bulk", json=infos).json
        assert [result["status"] for result in results] == [200, 403]

    def test_what_its_owner_loses_it_loses(self, make, champion, admin, datasets):
        token, _ = make(champion, may=["search", "register"], base_uris=[RED])
        uri = datasets[RED]["uri"]
        assert token.get(route("uris", uri)).status_code == 200
        admin.delete(f"/users/{CHAMPION}/search/{RED}")
        assert token.get(route("uris", uri)).status_code == 403
        assert token.get("/uris").json == []
        admin.delete(f"/users/{CHAMPION}/register/{RED}")
        assert token.put(route("uris", uri), json=datasets[RED]).status_code == 403

    def test_what_its_owner_gets_it_has_only_where_it_may(self, make, reader, admin, datasets):
        everywhere, _ = make(reader, may=["search", "register"])
        here, _ = make(reader, may=["search", "register"], base_uris=[RED])
        admin.post(f"/users/{READER}/register/{BLUE}")
        info = datasets[BLUE]
        assert everywhere.put(route("uris", info["uri"]), json=info).status_code == 200
        assert here.put(route("uris", info["uri"]), json=info).status_code == 403

    def test_an_administrator_no_longer(self, make, admin, app):
        token, _ = make(admin, may=["admin"])
        admin.put("/users/second", json={"is_admin": True})
        assert token.get("/users").status_code == 200
        admin.patch(f"/users/{ADMIN}", json={"is_admin": False})
        assert token.get("/users").status_code == 403

    def test_what_only_people_may(self, make, admin):
        token, key = make(admin, may=["search", "register", "admin"])
        for method, path in (
            ("GET", "/me/tokens"),
            ("POST", "/me/tokens"),
            ("DELETE", "/me/tokens"),
            ("DELETE", f"/me/tokens/{key}"),
            ("PATCH", "/me"),
            ("GET", f"/users/{READER}/tokens"),
            ("POST", f"/users/{READER}/tokens"),
            ("DELETE", f"/users/{READER}/tokens"),
            ("DELETE", f"/users/{READER}/tokens/1"),
        ):
            answer = token.open(path, method=method, json={} if method in ("POST", "PATCH") else None)
            assert answer.status_code == 403, path
            assert "personal token" in answer.json["message"]

    def test_last_use(self, make, champion, app):
        token, _ = make(champion)
        [unused] = champion.get("/me/tokens").json
        assert unused["last_used_at"] is None
        before = int(time.time())
        token.get("/me")
        [used] = champion.get("/me/tokens").json
        assert 0 <= used["last_used_at"] - before <= 2
        with app.app_context():
            sql_db.session.execute(update(PersonalToken).values(last_used_at=before - last_use.PRECISION - 5))
            sql_db.session.commit()
        token.get("/me")
        assert champion.get("/me/tokens").json[0]["last_used_at"] >= before

    def test_between_uses_nothing_is_written(self, make, champion, statements):
        token, _ = make(champion)
        token.get("/me")
        token.get("/me")
        with statements() as executed:
            token.get("/me")
        assert [
            each for each in executed.executed if "personal_token" in str(each) and "UPDATE" in str(each)
        ] == []

    def test_audit_says_which(self, make, admin):
        token, key = make(admin, may=["admin"])
        token.put("/users/new", json={})
        admin.put("/users/newer", json={})
        newer, new, created = admin.get("/audit").json[:3]
        assert [each["credential"] for each in (newer, new, created)] == [None, f"token {key}", None]
        assert (created["action"], created["subject"]) == ("token.create", ADMIN)
        assert created["details"] == {
            "id": key,
            "name": "robot",
            "may": ["admin"],
            "base_uris": None,
            "expires_at": created["details"]["expires_at"],
        }


class TestRefused:
    """Nothing is accepted but the token that was made, as it was made, as long as it lives."""

    @on_usual_stores
    @pytest.mark.parametrize(
        "change",
        [
            lambda token: token[:-1],
            lambda token: token + "0",
            lambda token: token[:-1] + OTHER[OTHER.index(token[-1]) - 1],
            lambda token: token[:20] + OTHER[OTHER.index(token[20]) - 1] + token[21:],
            lambda token: token.swapcase(),
            lambda token: "dserver_" + token[8:].swapcase(),
            lambda token: (
                token[:9] + token[10] + token[9] + token[11:] if token[9] != token[10] else token[:-1]
            ),
            lambda token: "dserver_",
            lambda token: "dserver_" + "0" * 36,
            lambda token: "dserver_" + "x" * 100_000,
            lambda token: token + "\0",
            lambda token: token[:20] + "\0" + token[21:],
            lambda token: token[:20] + "é" + token[21:],
            lambda token: f"{token} {token}",
            lambda token: f"{token},Bearer {token}",
            lambda token: f'"{token}"',
            lambda token: f"{token}.",
            lambda token: f"{token}' OR '1'='1",
            lambda token: "dserver_" + personal_tokens.digest_of(token),
            lambda token: personal_tokens.digest_of(token),
        ],
    )
    def test_every_other_one(self, app, champion, program, change):
        token = champion.post("/me/tokens", json={"name": "x"}).json["token"]
        assert program(token).get("/me").status_code == 200
        changed = program(change(token).encode().decode("latin-1"))
        answers = [changed.get(path) for path in ("/me", "/uris", "/users")]
        assert {answer.status_code for answer in answers} <= {401, 422}
        assert len({answer.status_code for answer in answers}) == 1
        assert token not in answers[0].text

    def test_one_that_has_expired(self, champion, make):
        token, key = make(champion, expires_in=2)
        [made] = champion.get("/me/tokens").json
        assert token.get("/me").status_code == 200
        time.sleep(made["expires_at"] - time.time() + 0.05)
        answer = token.get("/me")
        assert (answer.status_code, answer.json["message"]) == (401, "The personal token has expired")
        assert [each["id"] for each in champion.get("/me/tokens").json] == [key]

    def test_one_that_was_ended(self, champion, reader, make):
        token, key = make(champion)
        other, _ = make(champion)
        assert token.get("/me").status_code == 200
        assert reader.delete(f"/me/tokens/{key}").status_code == 404
        assert token.get("/me").status_code == 200
        ended = champion.delete(f"/me/tokens/{key}")
        assert (ended.status_code, ended.json) == (200, "")
        assert token.get("/me").status_code == 401
        assert other.get("/me").status_code == 200
        assert champion.delete(f"/me/tokens/{key}").status_code == 404

    @on_usual_stores
    @pytest.mark.parametrize("key", ["0", "999999", "9" * 30, str(2**63 - 1), str(2**63)])
    def test_one_that_is_not_there(self, champion, admin, key):
        assert champion.delete(f"/me/tokens/{key}").status_code == 404
        assert admin.delete(f"/users/{CHAMPION}/tokens/{key}").status_code == 404

    def test_one_of_a_deleted_user_and_of_a_namesake(self, champion, admin, make):
        token, key = make(champion)
        assert token.get("/me").status_code == 200
        admin.delete(f"/users/{CHAMPION}")
        assert token.get("/me").status_code == 401
        admin.put(f"/users/{CHAMPION}", json={})
        assert token.get("/me").status_code == 401
        assert admin.get(f"/users/{CHAMPION}/tokens").json == []
        assert admin.delete(f"/users/{CHAMPION}/tokens/{key}").status_code == 404

    @on_usual_stores
    def test_one_that_lives_longer_than_the_server_allows_now(self, make_app, champion):
        tokens = [
            champion.post("/me/tokens", json={"name": "x", "expires_in": expires_in}).json["token"]
            for expires_in in ("1h", "2h", "3h", None)
        ]
        client = make_app(DSERVER_MAX_TOKEN_LIFETIME="2h").test_client()

        def status(token):
            return client.get("/me", headers={"Authorization": f"Bearer {token}"}).status_code

        assert [status(token) for token in tokens] == [200, 200, 401, 401]

    def test_a_bad_one_is_no_visitor(self, app, anonymous, program):
        with app.app_context():
            sql_db.session.execute(update(BaseURI).where(BaseURI.base_uri == RED).values(public=True))
            sql_db.session.commit()
        assert anonymous.get("/uris").status_code == 200
        assert program("dserver_" + "0" * 36).get("/uris").status_code == 401

    @on_usual_stores
    def test_a_claim_with_another_name(self, make_app, champion):
        token = champion.post("/me/tokens", json={"name": "x"}).json["token"]
        app = make_app(JWT_IDENTITY_CLAIM="preferred_username")
        answer = app.test_client().get("/me", headers={"Authorization": f"bearer {token}"})
        assert (answer.status_code, answer.json["username"]) == (200, CHAMPION)


class TestServiceAccounts:
    @pytest.fixture
    def robot(self, admin):
        assert admin.put("/users/robot", json={"is_service": True}).status_code == 201
        for kind in ("search", "register"):
            assert admin.post(f"/users/robot/{kind}/{RED}").status_code == 200
        return "/users/robot/tokens"

    def test_an_administrator_makes_their_tokens(self, admin, robot, make):
        token, key = make(admin, robot, may=["search", "register"], base_uris=[RED])
        info = dataset_info(RED)
        assert token.put(route("uris", info["uri"]), json=info).status_code == 201
        assert token.get(route("uris", info["uri"])).json["uploaded_by"] == "robot"
        assert [each["id"] for each in admin.get(robot).json] == [key]
        assert admin.delete(f"{robot}/{key}").status_code == 200
        assert token.get("/me").status_code == 401

    def test_with_no_more_than_they_may(self, admin, robot):
        for wish, field in (({"may": ["admin"]}, "may"), ({"base_uris": [BLUE]}, "base_uris")):
            answer = admin.post(robot, json={"name": "x", **wish})
            assert (answer.status_code, list(answer.json["errors"]["json"])) == (422, [field])

    def test_people_make_their_own(self, admin, champion, reader, make):
        answer = admin.post(f"/users/{CHAMPION}/tokens", json={"name": "x"})
        assert (answer.status_code, answer.json["message"]) == (
            409,
            f"User '{CHAMPION}' is no service account: only a person makes their own tokens",
        )
        assert reader.post(f"/users/{CHAMPION}/tokens", json={"name": "x"}).status_code == 403
        assert admin.post("/users/stranger/tokens", json={"name": "x"}).status_code == 404
        assert champion.get("/me/tokens").json == []
        assert admin.post(f"/users/{ADMIN}/tokens", json={"name": "x"}).status_code == 201

    def test_an_administrator_lists_and_ends_anybodys(self, admin, champion, reader, make):
        token, key = make(champion)
        [listed] = admin.get(f"/users/{CHAMPION}/tokens").json
        assert listed["id"] == key
        for method, path in (
            ("GET", f"/users/{CHAMPION}/tokens"),
            ("DELETE", f"/users/{CHAMPION}/tokens/{key}"),
            ("DELETE", f"/users/{CHAMPION}/tokens"),
        ):
            assert reader.open(path, method=method).status_code == 403
        assert admin.delete(f"/users/{READER}/tokens/{key}").status_code == 404
        assert token.get("/me").status_code == 200
        assert admin.delete(f"/users/{CHAMPION}/tokens/{key}").status_code == 200
        assert token.get("/me").status_code == 401
        assert admin.get("/audit").json[0]["details"] == {"id": key, "name": "robot"}

    def test_what_one_is_stays(self, admin, robot):
        user = admin.get("/users/robot").json
        assert "is_service" not in user
        assert admin.get("/users/robot/permissions").json["is_service"] is True
        assert admin.get(f"/users/{READER}/permissions").json["is_service"] is False
        for name, is_service, status in (
            ("robot", False, 409),
            ("robot", True, 200),
            (READER, True, 409),
            (READER, False, 200),
        ):
            assert admin.put(f"/users/{name}", json={"is_service": is_service}).status_code == status
        assert admin.put("/users/robot", json={"display_name": "Robbie"}).status_code == 200
        assert admin.get("/users/robot/permissions").json["is_service"] is True

    @on_usual_stores
    @pytest.mark.parametrize("value", [None, "perhaps", 2, []])
    def test_what_is_refused(self, admin, value):
        assert admin.put("/users/robot", json={"is_service": value}).status_code == 422
        assert admin.get("/users/robot").status_code == 404


class TestEndingEverything:
    def test_mine(self, app, champion, reader, make, sign_in, program):
        tokens = [make(champion)[0] for _ in range(3)]
        other, _ = make(reader)
        assert [token.get("/me").status_code for token in tokens] == [200] * 3
        answer = champion.delete("/me/tokens")
        assert (answer.status_code, answer.json) == (200, {"tokens": 3, "sessions": 0, "links": 0})
        assert [client.get("/me").status_code for client in (*tokens, champion)] == [401] * 4
        assert [client.get("/me").status_code for client in (other, reader)] == [200] * 2
        fresh = _fresh(app, program, CHAMPION)
        assert fresh.get("/me").status_code == 200
        assert fresh.get("/me/tokens").json == []
        new, _ = make(fresh)
        assert new.get("/me").status_code == 200

    def test_somebody_elses(self, app, admin, reader, champion, make, program):
        token, _ = make(champion)
        assert reader.delete(f"/users/{CHAMPION}/tokens").status_code == 403
        assert admin.delete("/users/stranger/tokens").status_code == 404
        answer = admin.delete(f"/users/{CHAMPION}/tokens")
        assert answer.json == {"tokens": 1, "sessions": 0, "links": 0}
        assert [client.get("/me").status_code for client in (token, champion, admin)] == [401, 401, 200]
        record = admin.get("/audit").json[0]
        assert (record["action"], record["subject"], record["details"]) == (
            "user.revoke_tokens",
            CHAMPION,
            {"tokens": 1, "sessions": 0, "links": 0},
        )
        assert _fresh(app, program, CHAMPION).get("/me").status_code == 200

    def test_one_made_in_the_same_second(self, app, admin, champion, make, program):
        time.sleep(1 - time.time() % 1)
        just_now = _fresh(app, program, CHAMPION)
        personal, _ = make(just_now)
        assert admin.delete(f"/users/{CHAMPION}/tokens").status_code == 200
        assert [client.get("/me").status_code for client in (just_now, personal)] == [401] * 2
        assert _fresh(app, program, CHAMPION).get("/me").status_code == 200

    def test_who_is_revoked_meanwhile_makes_none(self, app, people):
        """A request that was let in before everything ended, and comes to the database after it."""
        with app.app_context():
            actor = permissions.identify(CHAMPION)
            personal_tokens.revoke_all(CHAMPION)
            sql_db.session.commit()
            wish = personal_tokens.Wish("late", None)
            with pytest.raises(AuthenticationError):
                personal_tokens.create_token(CHAMPION, wish, (), actor=actor)
            sql_db.session.rollback()
            assert personal_tokens.list_tokens(CHAMPION) == []

    def test_while_tokens_are_being_made(self, app, people, sign_in, admin):
        """Whatever is answered: what was made before the end is refused, and nothing that was works."""
        owner, made = sign_in(READER), []

        def keep_making():
            for _ in range(20):
                answer = owner.post("/me/tokens", json={"name": "x"})
                made.append(answer)

        thread = threading.Thread(target=keep_making)
        thread.start()
        while len(made) < 3:
            time.sleep(0.005)
        assert admin.delete(f"/users/{READER}/tokens").status_code == 200
        thread.join()
        statuses = Counter(answer.status_code for answer in made)
        assert set(statuses) <= {201, 401}
        tokens = [answer.json["token"] for answer in made if answer.status_code == 201]
        assert len(tokens) >= 3
        client = app.test_client()
        answers = [client.get("/me", headers={"Authorization": f"Bearer {token}"}) for token in tokens]
        assert {answer.status_code for answer in answers} == {401}
        assert admin.get(f"/users/{READER}/tokens").json == []


def _fresh(app, program, username):
    with app.app_context():
        return program(create_access_token(username))
