"""Signing in over HTTP with the password of a directory: who becomes a user, with which groups, and who does not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import update

from dservercore import create_app, sql_db
from dservercore.catalog import audit, base_uris, groups, passwords, users
from dservercore.models import User
from dservercore.settings.configuration import read_environment
from support.databases import new_database, on_other_stores
from support.directories import (
    GROUPS,
    PASSWORDS,
    PEOPLE,
    READER_DN,
    READER_PASSWORD,
    WRONG,
    dn_of,
    new_directory,
    searching,
)
from support.slapd import Authority, Slapd
from support.waiting import free_port
from support.world import RED

pytestmark = pytest.mark.attack

LOCAL_PASSWORD = "kept by this server alone"
MEMBER = f"dn: cn=imaging,{GROUPS}\nchangetype: modify\n{{}}: member\nmember: {{}}\n"

NewApp = Callable[..., Flask]


@pytest.fixture(params=["sqlite", *on_other_stores("postgresql", "mariadb")])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """The settings of an empty database, and of what is to be beside it."""
    if request.param == "sqlite":
        yield {"SQLALCHEMY_DATABASE_URI": f"sqlite:///{tmp_path / 'users.db'}"}
        return
    beside = request.getfixturevalue("mongo_settings") if request.param == "mariadb" else {}
    with new_database(request.param) as address:
        yield {"SQLALCHEMY_DATABASE_URI": address, **beside}


@pytest.fixture
def new_app(
    config: dict[str, Any], stores: dict[str, Any], directory: Slapd, authority: Authority
) -> Iterator[NewApp]:
    """``new_app(**changes)`` gives an application with the directory and the one database."""
    apps: list[Flask] = []

    def make(at: Slapd = directory, **changes: Any) -> Flask:
        settings = searching(at, authority, **changes)
        app = create_app({**config, **stores, **settings})
        with app.app_context():
            sql_db.create_all()
        apps.append(app)
        return app

    yield make
    for app in apps:
        with app.app_context():
            sql_db.engine.dispose()


def sign_in(app: Flask, name: str, password: str | None = None) -> Any:
    """Return the answer to somebody who signs in; with their own password, unless another one is given."""
    given = {"username": name, "password": PASSWORDS[name] if password is None else password}
    return app.test_client().post("/auth/token", json=given)


def me(app: Flask, answer: Any) -> dict[str, Any]:
    """Return what the server knows of whoever has signed in."""
    headers = {"Authorization": f"Bearer {answer.json['token']}"}
    found: dict[str, Any] = app.test_client().get("/me", headers=headers).json
    return found


def rows(app: Flask, statement: str) -> list[tuple[Any, ...]]:
    with app.app_context():
        return [tuple(row) for row in sql_db.session.execute(sql_db.text(statement))]


def with_user(app: Flask, name: str, **options: Any) -> None:
    with app.app_context():
        users.add_user(name, **options)
        sql_db.session.commit()


# Who becomes a user


def test_anyone(new_app: NewApp) -> None:
    app = new_app()
    for typed in ("alice", "ALICE", "alice"):
        answer = sign_in(app, typed, PASSWORDS["alice"])
        assert answer.status_code == 200
        found = me(app, answer)
        assert (found["username"], found["display_name"]) == ("alice", "alice of the directory")
        assert found["is_admin"] is False
    assert rows(app, "SELECT username, source FROM " + quoted_user(app)) == [("alice", "ldap")]
    assert {means for (means,) in rows(app, "SELECT means FROM browser_session")} == {"ldap"}


def quoted_user(app: Flask) -> str:
    with app.app_context():
        return sql_db.engine.dialect.identifier_preparer.quote("user")


@pytest.mark.parametrize("name", ["höhne", "#hash", "star*", "a(b)c", "{dn}", 'a+b;c<d>e"f'])
def test_names_with_every_character(new_app: NewApp, name: str) -> None:
    app = new_app()
    assert me(app, sign_in(app, name))["username"] == name


def test_a_refusal_says_nothing(new_app: NewApp) -> None:
    app = new_app(admits="known")
    answers = [
        sign_in(app, name, password)
        for name, password in [
            ("alice", PASSWORDS["alice"]),  # right, and may not come
            ("alice", WRONG),
            ("nobody", WRONG),
            ("*", PASSWORDS["alice"]),
            ("twin", "first of two"),
            ("nopassword", WRONG),
            ("afar", WRONG),
            ("alice", "\u00ad"),
        ]
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.data for answer in answers}) == 1
    assert not rows(app, "SELECT id FROM browser_session")
    assert not rows(app, "SELECT id FROM " + quoted_user(app))


def test_known_users_alone(new_app: NewApp) -> None:
    app = new_app(admits="known")
    assert sign_in(app, "alice").status_code == 401
    with_user(app, "alice")
    assert me(app, sign_in(app, "alice"))["username"] == "alice"


def test_members_of_a_group_alone(new_app: NewApp) -> None:
    app = new_app(admits="group", group_base_dn=GROUPS, admitted_groups="imaging, others")
    assert sign_in(app, "alice").status_code == 200
    assert sign_in(app, "Carol").status_code == 401


@pytest.mark.parametrize("change", ["is_admin", "password", "service", "upper case"])
def test_who_is_here_already_is_not_taken_over(new_app: NewApp, change: str) -> None:
    app = new_app(admits="known")
    with_user(app, "ALICE" if change == "upper case" else "alice", is_admin=change == "is_admin")
    with app.app_context():
        if change == "password":
            passwords.set_password("alice", LOCAL_PASSWORD)
        if change == "service":
            sql_db.session.execute(update(User).values(is_service=True))
        sql_db.session.commit()
    assert sign_in(app, "alice").status_code == 401
    assert [source for (source,) in rows(app, f"SELECT source FROM {quoted_user(app)}")] == [None]
    if change == "password":
        assert sign_in(app, "alice", LOCAL_PASSWORD).status_code == 200


def test_a_user_outlives_the_name(new_app: NewApp, directory: Slapd) -> None:
    app = new_app()
    assert sign_in(app, "{dn}").status_code == 200
    rename = "dn: {}\nchangetype: modrdn\nnewrdn: uid={}\ndeleteoldrdn: 1\n"
    directory.modify(rename.format(dn_of("{dn}"), "renamed"))
    try:
        assert me(app, sign_in(app, "renamed", PASSWORDS["{dn}"]))["username"] == "{dn}"
        assert sign_in(app, "{dn}").status_code == 401
    finally:
        directory.modify(rename.format(dn_of("renamed"), "{dn}"))


def test_somebody_else_of_the_same_name_is_nobody(new_app: NewApp, directory: Slapd) -> None:
    app = new_app()
    assert sign_in(app, "{dn}").status_code == 200
    remove = f"dn: {dn_of('{dn}')}\nchangetype: delete\n"
    add = "dn: {}\nchangetype: add\nobjectClass: inetOrgPerson\ncn: x\nsn: x\nuid: {}\nuserPassword: {}\n"
    directory.modify(remove)
    try:
        assert sign_in(app, "{dn}").status_code == 401
        directory.modify(add.format(dn_of("{dn}"), "{dn}", "of a namesake"))
        assert sign_in(app, "{dn}", "of a namesake").status_code == 401
    finally:
        directory.modify(remove)
        directory.modify(
            add.format(dn_of("{dn}"), "{dn}", PASSWORDS["{dn}"]).replace("cn: x", "cn: {dn} of the directory")
        )


# Groups and administrators


def test_groups_are_those_of_the_directory(new_app: NewApp, directory: Slapd) -> None:
    app = new_app(group_base_dn=GROUPS)
    with app.app_context():
        for group in ("imaging", "local"):
            groups.add_group(group)
        base_uris.create_base_uri(RED, [], [])
        groups.grant("search", "imaging", RED)
        sql_db.session.commit()
    assert me(app, sign_in(app, "höhne"))["search_permissions_on_base_uris"] == []
    assert me(app, sign_in(app, "alice"))["search_permissions_on_base_uris"] == [RED]
    with app.app_context():
        groups.add_member("local", "alice")
        sql_db.session.commit()
    directory.modify(MEMBER.format("delete", dn_of("alice")))
    try:
        assert me(app, sign_in(app, "alice"))["search_permissions_on_base_uris"] == []
    finally:
        directory.modify(MEMBER.format("add", dn_of("alice")))
    with app.app_context():
        assert groups.get_group("local")["members"] == ["alice"]
        assert groups.get_group("imaging")["members"] == []


def test_administrators_are_those_of_a_group(new_app: NewApp) -> None:
    with_admins = {"group_base_dn": GROUPS, "admin_groups": "imaging"}
    app = new_app(**with_admins)
    assert me(app, sign_in(app, "alice"))["is_admin"] is True
    assert me(app, sign_in(app, "Carol"))["is_admin"] is False
    other = new_app(group_base_dn=GROUPS, admin_groups="others")
    assert me(other, sign_in(other, "alice"))["is_admin"] is False


# A directory that is away


def test_passwords_of_this_server_work_without_the_directory(new_app: NewApp) -> None:
    app = new_app(url=f"ldap://127.0.0.1:{free_port()}")
    with_user(app, "bob")
    with app.app_context():
        passwords.set_password("bob", LOCAL_PASSWORD)
        sql_db.session.commit()
    assert sign_in(app, "bob", LOCAL_PASSWORD).status_code == 200
    answer = sign_in(app, "alice")
    assert answer.status_code == 503
    assert "127.0.0.1" not in answer.text


def test_who_guesses_while_the_directory_is_away_is_stopped(new_app: NewApp) -> None:
    app = new_app(url=f"ldap://127.0.0.1:{free_port()}")
    with_user(app, "bob")
    with app.app_context():
        passwords.set_password("bob", LOCAL_PASSWORD)
        sql_db.session.commit()
    answers = [sign_in(app, "bob", f"guess {number}").status_code for number in range(11)]
    assert answers == [503] * 10 + [429]


def test_it_is_asked_again_once_it_is_back(new_app: NewApp, authority: Authority, tmp_path: Path) -> None:
    server = new_directory(tmp_path / "directory", authority)
    app = new_app(server)
    assert sign_in(app, "alice").status_code == 503
    server.start()
    try:
        assert sign_in(app, "alice").status_code == 200
        assert sign_in(app, "alice", WRONG).status_code == 401
    finally:
        server.stop()


# Secrets


def test_no_password_is_on_record(new_app: NewApp, caplog: pytest.LogCaptureFixture) -> None:
    secret = [PASSWORDS["alice"], WRONG, READER_PASSWORD]
    with caplog.at_level(logging.DEBUG):
        app = new_app(group_base_dn=GROUPS, admin_groups="imaging")
        answer = sign_in(app, "alice")
        assert sign_in(app, "alice", WRONG).status_code == 401
        broken = new_app(base_dn=f"ou=nowhere,{PEOPLE}")
        assert sign_in(broken, "alice").status_code == 503
        misled = new_app(bind_password=WRONG)
        assert sign_in(misled, "alice").status_code == 503
    headers = {"Authorization": f"Bearer {answer.json['token']}"}
    shown = app.test_client().get("/config/info", headers=headers)
    assert shown.json["config"]["dserver_ldap_bind_dn"] == READER_DN
    assert shown.json["config"]["dserver_ldap_bind_password"] == "***"
    with app.app_context():
        events = str(audit.list_records()[0])
    assert "user.link" in events
    assert "noSuchObject" in caplog.text
    for text in (shown.text, events, caplog.text):
        assert not [password for password in secret if password in text]


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_the_password_of_the_account_from_a_file(tmp_path: Path, ending: str) -> None:
    file = tmp_path / "password"
    file.write_bytes(f" {READER_PASSWORD} {ending}".encode())
    config = read_environment(
        {"DSERVER_DATA_DIR": str(tmp_path), "DSERVER_LDAP_BIND_PASSWORD_FILE": str(file)}
    )
    assert config["DSERVER_LDAP_BIND_PASSWORD"] == f" {READER_PASSWORD} "
