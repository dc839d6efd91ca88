"""Users whom a provider or a directory vouches for: who becomes whom, and who never does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from dservercore import db, sql_db
from dservercore.catalog import audit, external_users, groups, sessions, users
from dservercore.catalog.external_users import External, Policy
from dservercore.errors import (
    AuthenticationError,
    ConflictError,
    UnknownUserError,
    ValidationError,
)
from dservercore.models import User, group_members
from dservercore.rest.retries import repeated
from support.databases import new_database, on_other_stores
from support.racing import at_once

ANYONE, KNOWN = Policy(admits="anyone"), Policy(admits="known")
LAB = "oidc:lab"


@pytest.fixture(autouse=True)
def context(app: Flask) -> Iterator[None]:
    with app.app_context():
        yield
        sql_db.session.remove()


def somebody(username: str = "olga", key: str = "1", **more: Any) -> External:
    return External(more.pop("source", LAB), key, username, **more)


def names() -> list[str]:
    return [user["username"] for user in users.list_users({"username": 1})[0]]


def acts(prefix: str = "") -> list[str]:
    return [act["action"] for act in audit.list_records()[0] if act["action"].startswith(prefix)]


class TestWhoComes:
    @pytest.mark.parametrize("other", [None, "ldap"])
    def test_whoever_came_by_a_source_is_out_when_it_counts_no_more(self, other: str | None) -> None:
        external_users.welcome(somebody(), ANYONE)
        secret = sessions.begin("olga", LAB, sessions.Client("", ""))
        db.commit()
        if other is None:
            external_users.unlink("olga", LAB)
        else:
            external_users.link("olga", other)
        db.commit()
        assert sessions.find(secret) is None

    def test_somebody_new_is_registered_and_stays_who_they_are(self) -> None:
        assert external_users.welcome(somebody(display_name="Olga O."), ANYONE) == "olga"
        assert external_users.welcome(somebody("another name"), ANYONE) == "olga"
        assert external_users.find(LAB, "1") == ("olga", False)
        assert names() == ["olga"]
        assert acts("user.") == ["user.update", "user.link", "user.create"]

    @pytest.mark.parametrize(
        "name", ["", " olga", "a/b", "..", "ol\u202ega", "x" * 65, "ol\nga", "OLGA", "anna"]
    )
    def test_whoever_would_have_a_name_that_cannot_be_or_is_somebody_elses(self, name: str) -> None:
        users.add_user("olga")
        users.add_user("anna", is_admin=True)
        db.commit()
        with pytest.raises(AuthenticationError) as refusal:
            external_users.welcome(somebody(name), ANYONE)
        db.rollback()
        assert refusal.value.message.startswith("You may not use this server")
        assert names() == ["anna", "olga"]
        assert "user.link" not in acts()

    def test_whoever_was_named_beforehand_where_that_is_asked_for(self) -> None:
        with pytest.raises(AuthenticationError):
            external_users.welcome(somebody(), KNOWN)
        users.add_user("olga")
        assert external_users.welcome(somebody(), KNOWN) == "olga"
        with pytest.raises(AuthenticationError):
            external_users.welcome(somebody(key="2"), KNOWN)
        with pytest.raises(AuthenticationError):
            external_users.welcome(somebody(source="ldap"), KNOWN)

    @pytest.mark.parametrize(
        "what", [{"is_admin": True}, {"password_hash": "$argon2id$..."}, {"is_service": True}], ids=str
    )
    @pytest.mark.parametrize("admits", ["anyone", "known", "group"])
    def test_nobody_becomes_by_name_who_has_more_to_lose(self, what: dict[str, Any], admits: Any) -> None:
        users.add_user("olga")
        sql_db.session.execute(update(User).values(**what))
        db.commit()
        policy = Policy(admits=admits, admitted=frozenset({"lab"}))
        with pytest.raises(AuthenticationError):
            external_users.welcome(somebody(groups=frozenset({"lab"})), policy)

    def test_a_service_account_signs_in_by_no_source(self) -> None:
        users.add_user("robot")
        sql_db.session.execute(update(User).values(is_service=True))
        with pytest.raises(ConflictError):
            external_users.link("robot", LAB)
        external_users.link("robot", LAB, "1")
        assert external_users.find(LAB, "1") == ("robot", True)
        with pytest.raises(AuthenticationError):
            external_users.welcome(somebody("robot"), ANYONE)

    def test_a_display_name_that_cannot_be_shown_or_was_changed_here_stays(self) -> None:
        external_users.welcome(somebody(display_name="\u202egro.live"), ANYONE)
        assert users.get_user("olga")["display_name"] is None
        users.update_user("olga", {"display_name": "Me"})
        external_users.welcome(somebody(display_name="Olga O."), ANYONE)
        assert users.get_user("olga")["display_name"] == "Me"


class TestGroups:
    def test_whoever_is_signed_in_by_another_source_leaves_those_of_the_first(self) -> None:
        groups.add_group("lab")
        external_users.welcome(somebody(groups=frozenset({"lab"})), ANYONE)
        external_users.link("olga", LAB)
        assert users.groups_of(users.key_of_user("olga")) == ["lab"]
        external_users.link("olga", "ldap", "uid=olga")
        assert not sql_db.session.execute(select(group_members)).all()

    def test_administrators_by_group(self) -> None:
        policy = Policy(admits="anyone", admin_groups=frozenset({"admins"}))
        external_users.welcome(somebody(groups=frozenset({"admins"})), policy)
        assert users.get_user("olga")["is_admin"]
        external_users.welcome(somebody(groups=frozenset({"admins"})), ANYONE)
        assert users.get_user("olga")["is_admin"]
        for none in (frozenset({"ADMINS"}), None):
            users.update_user("olga", {"is_admin": True})
            external_users.welcome(somebody(groups=none), policy)
            assert not users.get_user("olga")["is_admin"]


class TestLinking:
    def test_an_administrator_whom_somebody_may_say_who_it_is(self) -> None:
        users.add_user("olga", is_admin=True)
        external_users.link("olga", LAB)
        with pytest.raises(AuthenticationError):
            external_users.welcome(somebody(source="ldap"), ANYONE)
        assert external_users.welcome(somebody(), ANYONE) == "olga"
        with pytest.raises(AuthenticationError):
            external_users.welcome(somebody(key="2"), ANYONE)

    def test_by_key_whatever_the_name(self) -> None:
        users.add_user("olga")
        external_users.link("olga", LAB, "1")
        assert external_users.welcome(somebody("whatever"), KNOWN) == "olga"

    def test_it_ends(self) -> None:
        users.add_user("olga")
        external_users.link("olga", LAB, "1")
        assert not external_users.unlink("olga", "ldap")
        assert external_users.unlink("olga", LAB)
        assert not external_users.unlink("olga", LAB)
        assert external_users.find(LAB, "1") is None
        with pytest.raises(AuthenticationError):
            external_users.welcome(somebody(), ANYONE)

    @pytest.mark.parametrize(
        ("source", "key"),
        [
            ("", None),
            ("oidc", None),
            ("oidc:", None),
            ("OIDC:lab", None),
            ("x" * 99, None),
            ("oidc:a b", "1"),
            (LAB, ""),
            (LAB, "x" * 256),
            (LAB, "a\x00b"),
            (LAB, "a\nb"),
        ],
    )
    def test_what_no_source_is_called(self, source: str, key: str | None) -> None:
        users.add_user("olga")
        with pytest.raises(ValidationError):
            external_users.link("olga", source, key)

    def test_nobody(self) -> None:
        for change in (external_users.link, external_users.unlink):
            with pytest.raises(UnknownUserError):
                change("nobody", LAB)


class TestOnEveryDatabase:
    @pytest.fixture(params=["sqlite", *on_other_stores("postgresql", "mariadb")])
    def config(self, request: pytest.FixtureRequest, config: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if request.param == "sqlite":
            yield config
            return
        plugins = request.getfixturevalue("mongo_settings") if request.param == "mariadb" else {}
        with new_database(request.param) as address:
            yield {**config, **plugins, "SQLALCHEMY_DATABASE_URI": address}

    def test_keys_differ_by_case_and_by_blanks_and_by_source(self) -> None:
        for number, (source, key) in enumerate(
            [(LAB, "a"), (LAB, "A"), (LAB, "a "), (LAB, "á"), ("oidc:other", "a"), ("ldap", "a")]
        ):
            name = f"user-{number}"
            assert external_users.welcome(somebody(name, key, source=source), ANYONE) == name

    def test_a_namesake_of_a_user_who_was_deleted_is_another(self) -> None:
        external_users.welcome(somebody(), ANYONE)
        users.delete_user("olga")
        db.commit()
        assert external_users.find(LAB, "1") is None
        assert external_users.welcome(somebody(key="2"), ANYONE) == "olga"
        assert external_users.find(LAB, "1") is None

    def test_the_same_somebody_in_several_windows_is_one_user(self, app: Flask) -> None:
        def come() -> str:
            with app.app_context():

                def welcome() -> str:
                    name = external_users.welcome(somebody(), ANYONE)
                    db.commit()
                    return name

                try:
                    return repeated(welcome, "signing in")
                finally:
                    sql_db.session.remove()

        db.commit()
        assert at_once(*[come] * 6) == ["olga"] * 6
        assert names() == ["olga"]

    def test_those_of_the_source_come_and_go_and_those_given_here_stay(self) -> None:
        for name in ("lab", "kitchen", "given"):
            groups.add_group(name)
        lab = frozenset({"lab", "nowhere", "LAB"})
        external_users.welcome(somebody(groups=lab), ANYONE)
        groups.add_member("given", "olga")
        key = users.key_of_user("olga")
        assert users.groups_of(key) == ["given", "lab"]
        external_users.welcome(somebody(groups=frozenset({"kitchen", "given"})), ANYONE)
        assert users.groups_of(key) == ["given", "kitchen"]
        external_users.welcome(somebody(groups=None), ANYONE)
        assert users.groups_of(key) == ["given", "kitchen"]
        external_users.welcome(somebody(groups=frozenset()), ANYONE)
        assert users.groups_of(key) == ["given"]
        assert acts("group.remove_member") == ["group.remove_member"] * 2

    def test_a_key_is_of_one_user(self) -> None:
        users.add_user("olga")
        users.add_user("anna")
        external_users.link("olga", LAB, "1")
        with pytest.raises(ConflictError):
            external_users.link("anna", LAB, "1")
        external_users.link("anna", "oidc:other", "1")
