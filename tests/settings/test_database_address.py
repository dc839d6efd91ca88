"""The addresses of databases that people have, with whichever driver is installed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import sqlalchemy

from dservercore import create_app, sql_db
from dservercore.catalog import users
from dservercore.errors import ConfigurationError
from dservercore.settings import database_address
from dservercore.settings.database_address import with_driver
from support import forking
from support.databases import new_database
from support.live_server import environment, flask
from support.mongod import mongo_plugins

REST = "user:p%40ss%2Fw%3Ard@[::1]:5433/name?application_name=x&sslmode=require"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of the drivers that are taken to be installed, to be filled."""
    names: set[str] = set()
    monkeypatch.setattr(database_address.Driver, "is_installed", lambda driver: driver.name in names)
    return names


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
@pytest.mark.parametrize(
    "given",
    [
        "postgresql",
        "postgres",
        "POSTGRES",
        "pgsql",
        "postgresql+psycopg",
        "postgresql+psycopg2",
        "postgres+psycopg2",
    ],
)
def test_postgresql(installed: set[str], given: str, driver: str) -> None:
    installed.add(driver)
    address = with_driver(f" {given}://{REST}\n")
    assert address == f"postgresql+{driver}://{REST}"
    url = sqlalchemy.make_url(address)
    assert (url.password, url.host, url.port) == ("p@ss/w:rd", "::1", 5433)


def test_the_driver_of_the_extra_comes_first_and_one_that_is_named_before_it(installed: set[str]) -> None:
    installed |= {"psycopg", "psycopg2", "pymysql", "mysqldb"}
    assert with_driver("postgres://h/d") == "postgresql+psycopg://h/d"
    assert with_driver("postgresql+psycopg2://h/d") == "postgresql+psycopg2://h/d"
    assert with_driver("mysql://h/d") == "mysql+pymysql://h/d"
    assert with_driver("mariadb+mysqldb://h/d") == "mariadb+mysqldb://h/d"


@pytest.mark.parametrize("driver", ["pymysql", "mysqldb"])
@pytest.mark.parametrize("kind", ["mysql", "mariadb"])
@pytest.mark.parametrize("named", ["", "+pymysql", "+mysqldb"])
def test_mysql(installed: set[str], kind: str, named: str, driver: str) -> None:
    installed.add(driver)
    given = f"{kind}{named}://u:p@h/d?unix_socket=%2Frun%2Fmysqld%2Fmysqld.sock"
    assert with_driver(given) == f"{kind}+{driver}://u:p@h/d?unix_socket=%2Frun%2Fmysqld%2Fmysqld.sock"


@pytest.mark.parametrize("query", ["charset=utf8", "charset=latin1", "charset=utf8mb4"])
def test_text_is_always_unicode(query: str) -> None:
    assert with_driver(f"mysql://h/d?{query}") == "mysql+pymysql://h/d"
    assert with_driver("postgres://h/d?client_encoding=latin1") == "postgresql+psycopg://h/d"


@pytest.mark.parametrize(
    ("kind", "extra"),
    [
        ("postgres", "postgresql"),
        ("postgresql+psycopg2", "postgresql"),
        ("mysql", "mysql"),
        ("mariadb", "mysql"),
    ],
)
def test_no_driver(installed: set[str], kind: str, extra: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        with_driver(f"{kind}://u:secret@h/d")
    assert raised.value.message.endswith(f": pip install 'dservercore[{extra}]'")
    assert "secret" not in raised.value.message


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("postgresql+asyncpg://h/d", "asyncio"),
        ("mysql+aiomysql://h/d", "asyncio"),
        ("postgres+nonsense://h/d", "no driver is called 'postgresql+nonsense'"),
        ("postgre://h/d", "no database is called 'postgre'"),
        ("postgresql:/h/d", "not a database address"),
        ("http://h/d", "no database is called 'http'"),
    ],
)
def test_what_cannot_be_used(address: str, expected: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(expected)):
        with_driver(address)


@pytest.mark.parametrize(
    "address",
    ["sqlite://", "sqlite:///:memory:", "sqlite:////srv/a b.db", "sqlite:///file:x?mode=ro&uri=true"],
)
def test_sqlite_stays_as_it_is(address: str) -> None:
    assert with_driver(address) == address


def test_a_data_directory_with_letters_that_mean_something_in_an_address(tmp_path: Path) -> None:
    folder = tmp_path / "what?is%20this#"
    done = flask(tmp_path, "init", "--admin", "anna", DSERVER_DATA_DIR=str(folder))
    assert done.returncode == 0, done.stderr
    assert (folder / "app.db").exists()


@pytest.mark.parametrize("kind", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2"])
def test_a_server_on_postgresql(tmp_path: Path, kind: str) -> None:
    with new_database("postgresql") as address:
        given = f"{kind}://{address.partition('://')[2]}"
        assert flask(tmp_path, "init", SQLALCHEMY_DATABASE_URI=given).returncode == 0
        done = flask(tmp_path, "user", "add", "müller😀", SQLALCHEMY_DATABASE_URI=given)
        assert done.returncode == 0, done.stderr
        assert "müller😀" in flask(tmp_path, "user", "list", SQLALCHEMY_DATABASE_URI=given).stdout


@pytest.mark.parametrize("kind", ["mysql", "mariadb"])
def test_a_server_on_mariadb_whatever_the_database_is_encoded_in(tmp_path: Path, kind: str) -> None:
    with new_database("mariadb", options="CHARACTER SET latin1") as address:
        settings = mongo_plugins("mongodb://127.0.0.1:1/", "none") | {
            "SQLALCHEMY_DATABASE_URI": f"{kind}://{address.partition('://')[2]}?charset=latin1"
        }
        assert flask(tmp_path, "init", **settings).returncode == 0
        with create_app(settings).app_context():
            users.add_user("müller😀")
            sql_db.session.commit()
            engine = sqlalchemy.create_engine(address)
            with engine.connect() as connection:
                assert "müller😀" in connection.exec_driver_sql("SELECT username FROM user").scalars().all()
            sql_db.session.remove()
            sql_db.engine.dispose()


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1", "WIN1252", "EUC_JP"])
@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_a_postgresql_database_that_cannot_hold_every_text(
    tmp_path: Path, encoding: str, driver: str
) -> None:
    options = f"ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    with new_database("postgresql", options=options) as address:
        given = f"postgresql+{driver}://{address.partition('://')[2]}"
        done = flask(tmp_path, "db", "upgrade", SQLALCHEMY_DATABASE_URI=given)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1, done.stderr
        for expected in ("SQLALCHEMY_DATABASE_URI: ", f" is in {encoding}", "createdb", "UTF8"):
            assert expected in done.stderr
        # psycopg has bytes instead of text there, of which SQLAlchemy can make nothing.
        engine = sqlalchemy.create_engine(given.replace("+psycopg:", "+psycopg2:"))
        assert sqlalchemy.inspect(engine).get_table_names() == []
        engine.dispose()


def test_gunicorn_refuses_such_a_database(tmp_path: Path) -> None:
    options = "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    with new_database("postgresql", options=options) as address:
        gunicorn = forking.run(
            ["gunicorn", "--bind", "127.0.0.1:0", "dservercore:create_app()"],
            cwd=tmp_path,
            env=environment(tmp_path, SQLALCHEMY_DATABASE_URI=address),
            timeout=60,
        )
    assert gunicorn.returncode == 4
    assert "is in LATIN1, which cannot hold every text" in gunicorn.stderr
    assert "Traceback" not in gunicorn.stderr


def test_mariadb_tables_that_cannot_hold_every_text(tmp_path: Path) -> None:
    with new_database("mariadb") as address:
        engine = sqlalchemy.create_engine(address)
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE user (username VARCHAR(64)) CHARACTER SET latin1")
        engine.dispose()
        settings = mongo_plugins("mongodb://127.0.0.1:1/", "none") | {"SQLALCHEMY_DATABASE_URI": address}
        done = flask(tmp_path, "user", "list", **settings)
    assert done.returncode == 1
    assert "is in latin1, which cannot hold every text: ALTER TABLE `user` CONVERT TO" in done.stderr
    assert done.stderr.count("\n") == 1
