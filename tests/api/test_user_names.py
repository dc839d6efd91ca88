"""The names that users may have: each can be named in a path, and told from every other one by people."""

from __future__ import annotations

import unicodedata
from functools import partial

import jwt
import pytest
from sqlalchemy import text

from api.conftest import on_every_store, on_sql_alone
from dservercore import utils
from dservercore.cli import user_cli
from dservercore.db import sql_db
from dservercore.errors import ValidationError
from support.racing import at_once
from support.world import ADMIN, CHAMPION

pytestmark = on_every_store

NFC = unicodedata.normalize("NFC", "zo\u00eb")
NFD = unicodedata.normalize("NFD", NFC)

REFUSED = [
    *["lab/anna", "/anna", "anna/", "/", ".", "..", "", " ", " anna", "anna "],
    *[
        "an\u200bna",
        "\u202eanna",
        "an\u00adna",
        "\ufeffanna",
        "anna\u200d",
        "\u2066anna",
        "a\u061cb",
        "a\U000e0041",
        "a\u2065b",
        "a\ufff0b",
        "a\U000e0080b",
        "a\ufdd0b",
        "a\uffffb",
        "a\U0001fffeb",
    ],
    *[
        "a\nb",
        "a\tb",
        "a\x7f",
        "a\x85",
        "a\x9b",
        "a\u2028b",
        "a\u2029b",
        "a\u00a0b",
        "a\u3000b",
        "a\u3164",
        "a\ufe0f",
    ],
    *["a\u034fb", "a\ufffd", "x" * 65],
]


class TestNew:
    @on_sql_alone
    @pytest.mark.parametrize("name", REFUSED, ids=ascii)
    def test_what_is_none_by_the_command_line_and_by_python(self, app, admin, name):
        result = app.test_cli_runner().invoke(user_cli, ["add", "--", name])
        assert (result.exit_code, "username" in result.stderr) == (1, True)
        with app.app_context():
            with pytest.raises(ValidationError):
                utils.register_user(name, {})
            assert len(utils.list_users()) == 4

    @on_sql_alone
    @pytest.mark.parametrize("name", [name for name in REFUSED if name and "/" not in name], ids=ascii)
    def test_what_is_none_by_the_api(self, admin, name):
        answer = admin.put("/users/" + "".join(f"%{byte:02X}" for byte in name.encode()), json={})
        assert answer.status_code == 422
        assert list(answer.json["errors"]["json"]) == ["username"]
        assert len(admin.get("/users").json) == 4

    @pytest.mark.parametrize(
        ("name", "twin"),
        [
            (CHAMPION, "Carl"),
            (CHAMPION, "CARL"),
            ("m\u00fcller", "M\u00dcLLER"),
            ("m\u00fcller", "MU\u0308LLER"),
            ("stra\u00dfe", "STRA\u1e9eE"),
            ("\u03bf\u03b4\u03cc\u03c2", "\u039f\u0394\u038c\u03a3"),
            ("\u0434\u0430\u0448\u0430", "\u0414\u0430\u0448\u0430"),
        ],
        ids=ascii,
    )
    def test_a_second_one_that_differs_in_case_alone(self, admin, name, twin):
        admin.put(f"/users/{name}", json={})
        number = len(admin.get("/users").json)
        answer = admin.put(f"/users/{twin}", json={"is_admin": True})
        assert answer.status_code == 422
        assert name in answer.json["message"]
        assert len(admin.get("/users").json) == number
        assert admin.get(f"/users/{name}").json["is_admin"] is False
        admin.delete(f"/users/{name}")
        assert admin.put(f"/users/{twin}", json={}).status_code == 201

    @pytest.mark.parametrize("twin", ["muller", "mueller", "m\u00fcllers", "m\u00fc\u00dfer"])
    def test_one_that_differs_in_more(self, admin, twin):
        for name in ("m\u00fcller", twin):
            assert admin.put(f"/users/{name}", json={}).status_code == 201
        assert admin.get(f"/users/{twin}").json["username"] == twin

    def test_two_at_the_same_moment(self, admin, sign_in):
        assert admin.get("/users").status_code == 200

        def put(name):
            return sign_in(ADMIN).put(f"/users/{name}", json={}).status_code

        for number in range(5):
            statuses = at_once(partial(put, f"Bob{number}"), partial(put, f"bob{number}"))
            assert sorted(statuses) == [201, 422]


class TestSpelling:
    """An accent may be part of its letter or follow it: the text is the same."""

    def test_a_name_is_stored_in_one_form(self, admin):
        assert admin.put(f"/users/{NFD}", json={}).status_code == 201
        assert admin.put(f"/users/{NFC}", json={"display_name": "Zoe"}).status_code == 200
        assert admin.get(f"/users/{NFD}").json == admin.get(f"/users/{NFC}").json
        assert admin.get(f"/users/{NFD}").json["username"] == NFC
        assert admin.post(f"/users/{NFD}/search/s3/red").status_code == 200
        assert (
            admin.put("/base-uris/s3/blue", json={"users_with_search_permissions": [NFD]}).status_code == 200
        )
        assert admin.get("/base-uris/s3/blue").json["users_with_search_permissions"] == [NFC]
        assert admin.get(f"/users/{NFD}/summary").status_code == 200
        assert admin.patch(f"/users/{NFD}", json={"is_admin": True}).json["is_admin"] is True
        assert admin.delete(f"/users/{NFD}").status_code == 200
        assert admin.get(f"/users/{NFC}").status_code == 404

    @pytest.mark.parametrize("subject", [NFC, NFD], ids=ascii)
    def test_a_token_may_have_either(self, admin, anonymous, config, subject):
        admin.put(f"/users/{NFC}", json={})
        token = jwt.encode({"sub": subject}, config["JWT_PRIVATE_KEY"], "RS256")
        headers = {"Authorization": f"Bearer {token}"}
        for path in ("/me", "/uris", f"/users/{NFD}", f"/users/{NFC}"):
            assert anonymous.get(path, headers=headers).status_code == 200


class TestNamesThatAreThere:
    """Those of the original server, or of an earlier version, go on working."""

    ODD = ["lab/anna", "Carl", "an\u200bna", NFD, " x"]

    @pytest.fixture(autouse=True)
    def odd_names(self, app):
        with app.app_context():
            insert = text('INSERT INTO "user" (username, is_admin) VALUES (:name, :no)')
            if sql_db.engine.dialect.name in ("mysql", "mariadb"):
                insert = text("INSERT INTO `user` (username, is_admin) VALUES (:name, :no)")
            sql_db.session.execute(insert, [{"name": name, "no": False} for name in self.ODD])
            sql_db.session.commit()

    @pytest.mark.parametrize("name", ODD, ids=ascii)
    def test_they_are_changed_and_used(self, app, admin, anonymous, config, name):
        token = jwt.encode({"sub": name}, config["JWT_PRIVATE_KEY"], "RS256")
        answer = anonymous.get("/me", headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.json["username"]) == (200, name)
        with app.app_context():
            utils.register_user(name, {"is_admin": True})
            assert utils.get_user_info(name)["is_admin"] is True
            assert utils.get_user_info(CHAMPION)["is_admin"] is False
        if "/" not in name:
            assert admin.put(f"/users/{name}", json={"display_name": "x"}).status_code == 200
            assert admin.post(f"/users/{name}/search/s3/red").json["username"] == name
        people = [name, CHAMPION]
        assert (
            admin.put("/base-uris/s3/blue", json={"users_with_search_permissions": people}).status_code == 200
        )
        assert set(admin.get("/base-uris/s3/blue").json["users_with_search_permissions"]) == set(people)

    def test_a_third_one_of_the_same_letters_is_refused(self, admin):
        assert admin.put("/users/cARL", json={}).status_code == 422
        assert admin.delete(f"/users/{CHAMPION}").status_code == 200
        assert admin.put("/users/cARL", json={}).status_code == 422


@on_sql_alone
@pytest.mark.parametrize("name", ["a\nb", "\u202eada", "a\x1b[2J", "a\u2028", "\u2067x"], ids=ascii)
def test_a_display_name_does_nothing_where_it_is_shown(admin, name):
    assert admin.patch("/me", json={"display_name": name}).status_code == 422
    assert admin.put("/users/new", json={"display_name": name}).status_code == 422
    answer = admin.patch("/me", json={"display_name": "A\u200dda \u0645\u06cc\u200c\u062e \U0001f600"})
    assert answer.status_code == 200
