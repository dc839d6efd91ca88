"""Lists of administrators, searched by a part of a name; how much is in base URIs; how a user signs in."""

from __future__ import annotations

from typing import Any

import pytest

from api.conftest import on_every_store, pagination
from dservercore import sql_db
from dservercore.catalog import groups, passwords, users
from dservercore.catalog.storage.index_runs import IndexRun
from dservercore.models import User
from support.world import ADMIN, BLUE, CHAMPION, NOBODY, READER, RED

pytestmark = on_every_store


@pytest.fixture
def listed(admin: Any) -> Any:
    """``listed(path)`` returns what a list has, as an administrator sees it."""

    def get(path: str) -> Any:
        answer = admin.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json

    return get


class TestUsers:
    def names(self, found: Any) -> list[str]:
        return [user["username"] for user in found]

    def test_by_either_name_in_upper_or_lower_case(self, app: Any, listed: Any) -> None:
        with app.app_context():
            users.add_user("Zoë", display_name="Z. Angstrom")
            users.add_user("x_y")
            sql_db.session.commit()
        assert self.names(listed(f"/users?containing={CHAMPION[1:].upper()}")) == [CHAMPION]
        assert self.names(listed("/users?containing=ZO%C3%8B")) == ["Zoë"]
        assert self.names(listed("/users?containing=angst")) == ["Zoë"]
        assert self.names(listed("/users?containing=_")) == ["x_y"]
        assert listed("/users?containing=%25") == []
        assert len(listed("/users?containing=")) == 6

    def test_the_number_of_all_is_that_of_those(self, admin: Any) -> None:
        answer = admin.get("/users?containing=R&page_size=1&sort=-username")
        assert pagination(answer)["total"] == len([CHAMPION, NOBODY, READER])
        assert self.names(answer.json) == [READER]

    def test_a_name_of_the_parameter_that_others_have_is_pointed_out(self, admin: Any) -> None:
        assert "Did you mean containing?" in admin.get("/users?search=x").text


def test_groups(app: Any, listed: Any) -> None:
    with app.app_context():
        for name in ("Imaging", "lab"):
            groups.add_group(name)
        sql_db.session.commit()
    assert [group["group"] for group in listed("/groups?containing=IMAG")] == ["Imaging"]
    assert listed("/groups?containing=%25") == []


class TestBaseURIs:
    def test_by_a_part(self, listed: Any) -> None:
        assert listed("/base-uris?containing=S3://R") == [{"base_uri": RED}]
        assert listed("/base-uris?containing=_") == []

    def test_with_figures_and_sorted_by_them(self, listed: Any, register: Any) -> None:
        large = 2**62
        for size in (large, large, None):
            register(base_uri=BLUE, size_in_bytes=size)
        register(base_uri=RED, size_in_bytes=5)
        blue = {"base_uri": BLUE, "number_of_datasets": 3, "size_in_bytes": 2 * large}
        red = {"base_uri": RED, "number_of_datasets": 1, "size_in_bytes": 5}
        for field in ("number_of_datasets", "size_in_bytes"):
            assert listed(f"/base-uris?figures=true&sort={field}") == [red, blue]
            assert listed(f"/base-uris?figures=true&sort=-{field}") == [blue, red]
        assert listed("/base-uris?sort=-size_in_bytes") == [{"base_uri": BLUE}, {"base_uri": RED}]

    def test_sorted_by_the_last_run(self, app: Any, listed: Any) -> None:
        with app.app_context():
            IndexRun(BLUE).end(None)
        assert [one["base_uri"] for one in listed("/base-uris?sort=last_indexed")] == [RED, BLUE]
        assert [one["base_uri"] for one in listed("/base-uris?sort=-last_indexed")] == [BLUE, RED]


class TestIdentity:
    def test_of_who_signs_in_here(self, app: Any, listed: Any) -> None:
        identity = {"username": READER, "is_service": False, "source": None, "source_key": None}
        assert listed(f"/users/{READER}/identity") == {**identity, "has_password": False}
        with app.app_context():
            passwords.set_password(READER, "five tall ships at sea")
            sql_db.session.commit()
        assert listed(f"/users/{READER}/identity") == {**identity, "has_password": True}

    def test_of_who_comes_from_elsewhere(self, app: Any, listed: Any) -> None:
        with app.app_context():
            user = sql_db.session.query(User).filter_by(username=READER).one()
            user.source, user.source_key = "oidc:keycloak", "0a1b"
            sql_db.session.commit()
        found = listed(f"/users/{READER}/identity")
        assert (found["source"], found["source_key"]) == ("oidc:keycloak", "0a1b")

    def test_is_for_administrators(self, admin: Any, champion: Any) -> None:
        assert champion.get(f"/users/{CHAMPION}/identity").status_code == 403
        assert admin.get("/users/ghost/identity").status_code == 404
        assert admin.get(f"/users/{ADMIN}/identity").status_code == 200
