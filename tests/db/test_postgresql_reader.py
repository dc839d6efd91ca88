"""Reading PostgreSQL without a session, through connections that have their statements prepared."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy
from sqlalchemy import bindparam, select
from sqlalchemy.exc import DBAPIError

from dservercore import create_app
from dservercore.auth import permissions
from dservercore.catalog import base_uris, users
from dservercore.db import fast_reads, postgresql_reader, servers, sql_db
from dservercore.db.fast_reads import Prepared, Remembered
from dservercore.models import User
from support.databases import new_database
from support.usernames import USERNAMES, add_users, names_in

_SOME = USERNAMES.where(User.username.in_(bindparam("names", expanding=True)))


@pytest.fixture(scope="module")
def address():
    with new_database("postgresql") as address:
        yield address


@pytest.fixture(params=postgresql_reader.DRIVERS)
def app(address, request):
    url = sqlalchemy.make_url(address).set(drivername=f"postgresql+{request.param}")
    configured = {"SQLALCHEMY_DATABASE_URI": url.render_as_string(hide_password=False), "SECRET_KEY": "x"}
    app = create_app(configured)
    with app.app_context():
        sql_db.create_all()
        add_users("grace", "ada")
        yield app
        sql_db.session.remove()
        fast_reads.close_idle()
        sql_db.drop_all()
        sql_db.engine.dispose()


def reader():
    """The connection that was read through, when it is idle."""
    (idle,) = fast_reads._idle[sql_db.engine]
    return idle


def ask(statement, *values):
    """Ask through the connection that was read through."""
    cursor = reader()._new_cursor()
    cursor.execute(statement, values)
    return cursor.fetchall() if cursor.description else None


def from_elsewhere(statement, **values):
    """Execute a statement in another thread, through a connection of its own, and commit."""
    url = sql_db.engine.url

    def execute():
        engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text(statement), values)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(execute).result()


class TestRemembering:
    def test_asks_once_while_nobody_commits(self, app):
        """Transactions in the server's other databases count as well: none of them ends between some two questions."""
        remembered = Remembered(USERNAMES, names_in)
        assert any(remembered.get({}) is remembered.get({}) for _ in range(1000))

    def test_a_commit_of_the_session_counts_at_once(self, app):
        remembered = Remembered(USERNAMES, names_in)
        assert remembered.get({}) == ["ada", "grace"]
        add_users("mary")
        assert remembered.get({}) == ["ada", "grace", "mary"]

    def test_a_commit_of_another_process_counts_at_once(self, app):
        remembered = Remembered(USERNAMES, names_in)
        for number in range(20):
            assert len(remembered.get({})) == 2 + number
            from_elsewhere('INSERT INTO "user" (username, is_admin) VALUES (:name, false)', name=f"x{number}")

    def test_a_transaction_that_began_before_and_ends_later_counts_when_it_ends(self, app):
        remembered = Remembered(USERNAMES, names_in)
        engine = sqlalchemy.create_engine(sql_db.engine.url, poolclass=sqlalchemy.NullPool)
        with engine.connect() as early:
            early.execute(
                sqlalchemy.text("INSERT INTO \"user\" (username, is_admin) VALUES ('early', false)")
            )
            from_elsewhere("INSERT INTO \"user\" (username, is_admin) VALUES ('late', false)")
            assert remembered.get({}) == ["ada", "grace", "late"]
            early.commit()
        assert remembered.get({}) == ["ada", "early", "grace", "late"]

    def test_what_the_session_has_not_committed_is_seen_by_it_alone(self, app):
        remembered = Remembered(USERNAMES, names_in)
        assert remembered.get({}) == ["ada", "grace"]
        users.add_user("mary")
        sql_db.session.flush()
        assert remembered.get({}) == ["ada", "grace", "mary"]
        sql_db.session.rollback()
        assert remembered.get({}) == ["ada", "grace"]

    def test_a_revoked_permission_counts_at_once(self, app):
        base_uris.create_base_uri("s3://red", ["ada"], [])
        sql_db.session.commit()
        assert permissions.scope_of("ada", "search").base_uris
        users.revoke("search", "ada", "s3://red")
        sql_db.session.commit()
        assert not permissions.scope_of("ada", "search").base_uris

    def test_in_a_block_the_database_is_asked_once(self, app):
        """So another process counts from the next request on, and what the request itself commits at once."""
        remembered = Remembered(USERNAMES, names_in)
        remembered.get({})
        with fast_reads.one_version():
            version = fast_reads._version(reader())
            from_elsewhere("INSERT INTO \"user\" (username, is_admin) VALUES ('mary', false)")
            assert fast_reads._version(reader()) == version
            add_users("nina")
            assert remembered.get({}) == ["ada", "grace", "mary", "nina"]
        from_elsewhere("DELETE FROM \"user\" WHERE username = 'mary'")
        with fast_reads.one_version():
            assert remembered.get({}) == ["ada", "grace", "nina"]


class TestStatements:
    def test_are_prepared_for_lists_of_one_and_of_any_length(self, app):
        for names in (["ada"], [], ["grace", "nobody", "ada"], ["a'b", "%s", "{,}", 'x"y\\z']):
            expected = sorted({"ada", "grace"} & set(names))
            assert names_in(Prepared(_SOME).all({"names": names})) == expected
        prepared = ask("SELECT statement FROM pg_prepared_statements")
        assert len([text for (text,) in prepared if "username" in text]) == 2  # for one, and for any number

    def test_an_answer_is_the_same_the_first_time_and_later(self, app):
        one = Prepared(
            select(User.username, User.is_admin, User.id).where(User.username == bindparam("name"))
        )
        answers = [one.all({"name": "ada"}) for _ in range(10)]
        assert all(list(map(tuple, rows)) == list(map(tuple, answers[0])) for rows in answers)
        assert answers[0][0][:2] == ("ada", False)

    def test_a_connection_that_has_prepared_nothing_answers_nevertheless(self, app):
        """As behind a pool that hands connections on after each transaction."""
        names = Prepared(USERNAMES)
        for _ in range(3):
            assert names_in(names.all({})) == ["ada", "grace"]
            ask("DEALLOCATE ALL")

    def test_a_connection_on_which_somebody_else_has_prepared_it_answers_as_well(self, app):
        names = Prepared(USERNAMES)
        for _ in range(3):
            assert names_in(names.all({})) == ["ada", "grace"]
            reader()._prepared.clear()

    def test_a_column_may_change_its_type(self, app):
        ids = Prepared(select(User.id).where(User.username == bindparam("name")))
        before = ids.all({"name": "ada"})
        assert ids.all({"name": "ada"}) == before
        from_elsewhere(
            'ALTER TABLE "user" ALTER COLUMN username TYPE text, ALTER COLUMN display_name TYPE text'
        )
        from_elsewhere('ALTER TABLE "user" ALTER COLUMN tokens_since TYPE numeric')
        since = Prepared(select(User.tokens_since))
        since.all({})
        from_elsewhere('ALTER TABLE "user" ALTER COLUMN tokens_since TYPE bigint')
        for _ in range(3):
            assert len(since.all({})) == 2
            assert ids.all({"name": "ada"}) == before

    def test_so_many_are_prepared_and_no_more(self, app, monkeypatch):
        monkeypatch.setattr(postgresql_reader, "MAX_PREPARED", 2)
        for number in range(5):
            assert names_in(Prepared(USERNAMES.limit(number)).all({})) == ["ada", "grace"][:number]
            assert len(Prepared(select(User.id).where(User.id > number)).all({})) >= 0
        assert len(ask("SELECT * FROM pg_prepared_statements")) == 2

    def test_an_error_does_not_show_the_values(self, app):
        gone = Prepared(select(sqlalchemy.text("1 FROM nothing WHERE 'x' = :secret")))
        with pytest.raises(DBAPIError) as error:
            gone.all({"secret": "hunter2"})
        assert "hunter2" not in str(error.value)
        assert names_in(Prepared(USERNAMES).all({})) == ["ada", "grace"]


class TestConnections:
    def test_one_serves_all_requests_of_a_thread(self, app):
        for _ in range(3):
            Prepared(USERNAMES).all({})
        assert len(fast_reads._idle[sql_db.engine]) == 1

    def test_no_transaction_is_left_open(self, app):
        Prepared(USERNAMES).all({})
        pid = ask("SELECT pg_backend_pid()")[0][0]
        state = sql_db.session.execute(
            sqlalchemy.text("SELECT state FROM pg_stat_activity WHERE pid = :pid"), {"pid": pid}
        ).scalar()
        assert state == "idle"

    def test_waits_for_a_lock_no_longer_than_a_session(self, app):
        Prepared(USERNAMES).all({})
        assert ask("SHOW lock_timeout") == [(f"{servers.LOCK_SECONDS}s",)]

    def test_one_that_broke_is_made_anew(self, app):
        names = Prepared(USERNAMES)
        names.all({})
        pid = ask("SELECT pg_backend_pid()")[0][0]
        from_elsewhere("SELECT pg_terminate_backend(:pid, 10000)", pid=pid)
        assert names_in(names.all({})) == ["ada", "grace"]
        assert ask("SELECT pg_backend_pid()")[0][0] != pid

    def test_disposing_of_the_engine_closes_them(self, app):
        Prepared(USERNAMES).all({})
        idle = reader()
        sql_db.engine.dispose()
        assert idle.connection.closed
        assert names_in(Prepared(USERNAMES).all({})) == ["ada", "grace"]

    def test_what_is_long_is_not_kept(self, app):
        long = Prepared(select(sqlalchemy.func.repeat(bindparam("x"), postgresql_reader.LONG + 1)))
        long.all({"x": "y"})
        cursor = reader()._cursor
        assert long.all({"x": "y"})[0][0][:3] == "yyy"
        assert reader()._cursor is not cursor
