"""Reading without a session, through connections of SQLite that remember what hardly changes."""

from __future__ import annotations

import pytest
from sqlalchemy import bindparam
from sqlalchemy.exc import DBAPIError

from dservercore import create_app
from dservercore.auth import permissions
from dservercore.catalog import base_uris, users
from dservercore.db import fast_reads, readers, sql_db, sqlite_reader
from dservercore.db.fast_reads import Prepared, Remembered
from dservercore.models import User
from support.counting import noted_in
from support.usernames import USERNAMES, add_users, names_in


@pytest.fixture
def app(tmp_path, monkeypatch):
    monkeypatch.delenv("SQLALCHEMY_DATABASE_URI", raising=False)
    app = create_app({"SQLALCHEMY_DATABASE_URI": f"sqlite:///{tmp_path / 'test.db'}", "SECRET_KEY": "x"})
    with app.app_context():
        sql_db.create_all()
        add_users("grace", "ada")
        yield app
        sql_db.session.remove()
        sql_db.engine.dispose()


@pytest.fixture
def remembered():
    return Remembered(USERNAMES, names_in)


class TestRemembering:
    def test_asks_once(self, app, remembered):
        first = remembered.get({})
        with_memory = []
        reader = next(iter(fast_reads._idle[sql_db.engine]))
        reader.connection.set_trace_callback(with_memory.append)
        assert remembered.get({}) == first
        assert not [statement for statement in with_memory if statement.startswith("SELECT")]

    def test_other_values_are_other_rows(self, app):
        one = Remembered(USERNAMES.where(User.username == bindparam("name")), names_in)
        assert (one.get({"name": "ada"})) == ["ada"]
        assert (one.get({"name": "grace"})) == ["grace"]
        assert one.get({"name": "nobody"}) == []

    def test_lists_of_the_same_length_are_other_rows(self, app):
        some = Remembered(USERNAMES.where(User.username.in_(bindparam("names", expanding=True))), names_in)
        assert (some.get({"names": ["ada"]})) == ["ada"]
        assert (some.get({"names": ["grace"]})) == ["grace"]
        assert (some.get({"names": []})) == []
        assert (some.get({"names": ["grace", "ada"]})) == ["ada", "grace"]

    def test_of_what_is_not_there_no_more_is_remembered_than_of_what_is(self, app, monkeypatch):
        monkeypatch.setattr(readers, "MAX_REMEMBERED_ROWS", 10)
        one = Remembered(USERNAMES.where(User.username == bindparam("name")), names_in)
        for number in range(100):
            assert one.get({"name": f"nobody-{number}"}) == []
        (reader,) = fast_reads._idle[sql_db.engine]
        assert len(reader._found) <= 10
        assert one.get({"name": "x" * (fast_reads.MAX_REMEMBERED_LENGTH + 1)}) == []
        assert max(len(str(key)) for key in reader._found) < 1000

    def test_a_commit_of_the_session_counts_at_once(self, app, remembered):
        assert (remembered.get({})) == ["ada", "grace"]
        add_users("mary")
        assert (remembered.get({})) == ["ada", "grace", "mary"]

    def test_a_commit_of_another_application_counts_at_once(self, app, remembered):
        """As that of another process: it has connections of its own."""
        assert (remembered.get({})) == ["ada", "grace"]
        other = create_app({**app.config})
        with other.app_context():
            add_users("mary")
            sql_db.engine.dispose()
        assert (remembered.get({})) == ["ada", "grace", "mary"]

    def test_what_the_session_has_not_committed_is_seen_by_it_alone(self, app, remembered):
        assert (remembered.get({})) == ["ada", "grace"]
        users.add_user("mary")
        sql_db.session.flush()
        assert (remembered.get({})) == ["ada", "grace", "mary"]
        sql_db.session.rollback()
        assert (remembered.get({})) == ["ada", "grace"]

    def test_a_revoked_permission_counts_at_once(self, app):
        base_uris.create_base_uri("s3://red", ["ada"], [])
        sql_db.session.commit()
        assert permissions.scope_of("ada", "search").base_uris
        users.revoke("search", "ada", "s3://red")
        sql_db.session.commit()
        assert not permissions.scope_of("ada", "search").base_uris

    def test_remembers_so_many_rows_and_no_more(self, app, monkeypatch):
        monkeypatch.setattr(readers, "MAX_REMEMBERED_ROWS", 3)
        one = Remembered(USERNAMES.where(User.username == bindparam("name")), names_in)
        both = Remembered(USERNAMES, names_in)
        reader_found = []
        for name in ["ada", "grace"] * 5:
            assert (one.get({"name": name})) == [name]
            assert (both.get({})) == ["ada", "grace"]
            reader_found.append(sum(map(len, next(iter(fast_reads._idle[sql_db.engine]))._found.values())))
        assert max(reader_found) == 3

    def test_what_is_more_than_that_is_not_remembered(self, app, monkeypatch, remembered):
        monkeypatch.setattr(readers, "MAX_REMEMBERED_ROWS", 1)
        for _ in range(2):
            assert (remembered.get({})) == ["ada", "grace"]
        assert not next(iter(fast_reads._idle[sql_db.engine]))._found


class TestLists:
    def test_each_length_has_a_text_of_its_own(self, app, monkeypatch):
        monkeypatch.setattr(sqlite_reader, "MAX_LENGTHS", 2)
        some = Prepared(USERNAMES.where(User.username.in_(bindparam("names", expanding=True))))
        for length in range(6):
            assert names_in(some.all({"names": ["ada"] * length})) == ["ada"][:length]
            assert len(some._texts["sqlite"]) <= 2


class TestOneMoment:
    def test_later_commits_are_not_seen_inside(self, app):
        names = Prepared(USERNAMES)
        with fast_reads.one_moment():
            assert names_in(names.all({})) == ["ada", "grace"]
            add_users("mary")
            assert names_in(names.all({})) == ["ada", "grace"]
        assert names_in(names.all({})) == ["ada", "grace", "mary"]

    def test_what_is_remembered_holds_until_somebody_commits(self, app):
        with fast_reads.one_moment():
            assert fast_reads.remembered("what") is None
            fast_reads.remember("what", 1)
            assert fast_reads.remembered("what") == 1
        with fast_reads.one_moment():
            assert fast_reads.remembered("what") == 1
        add_users("mary")
        with fast_reads.one_moment():
            assert fast_reads.remembered("what") is None

    def test_nothing_is_remembered_of_what_is_not_committed(self, app):
        users.add_user("mary")
        sql_db.session.flush()
        with fast_reads.one_moment():
            fast_reads.remember("what", 1)
            assert fast_reads.remembered("what") is None
        sql_db.session.rollback()

    def test_an_error_ends_it(self, app):
        with pytest.raises(DBAPIError), fast_reads.one_moment():
            fast_reads.rows_of("SELECT * FROM nothing", {})
        assert names_in(Prepared(USERNAMES).all({})) == ["ada", "grace"]
        add_users("mary")  # nothing holds a lock


class TestConnections:
    def test_one_serves_all_requests_of_a_thread(self, app):
        opened = []
        with noted_in(opened):
            for _ in range(3):
                names_in(Prepared(USERNAMES).all({}))
            assert len(fast_reads._idle[sql_db.engine]) == 1
        assert len(opened) == 3

    def test_disposing_of_the_engine_closes_them(self, app):
        Prepared(USERNAMES).all({})
        (reader,) = fast_reads._idle[sql_db.engine]
        sql_db.engine.dispose()
        with pytest.raises(Exception, match="closed"):
            reader.connection.execute("SELECT 1")
        assert names_in(Prepared(USERNAMES).all({})) == ["ada", "grace"]

    def test_of_many_applications_in_a_process_each_engine_is_watched_once(self, app):
        create_app({**app.config})
        dispatch = sql_db.engine.dispatch
        assert list(dispatch.engine_disposed).count(fast_reads._close_idle_of) == 1
        assert list(dispatch.commit).count(fast_reads._ask_again) == 1

    def test_one_to_a_file_that_may_not_be_written_is_not_kept(self, app, monkeypatch):
        monkeypatch.setattr("dservercore.db.sqlite_files.os.access", lambda *_arguments: False)
        sql_db.engine.dispose()
        assert names_in(Prepared(USERNAMES).all({})) == ["ada", "grace"]
        assert not fast_reads._idle[sql_db.engine]

    def test_an_error_does_not_show_the_values(self, app):
        with pytest.raises(DBAPIError) as error:
            fast_reads.rows_of("SELECT * FROM nothing WHERE x = :secret", {"secret": "hunter2"})
        assert "hunter2" not in str(error.value)
