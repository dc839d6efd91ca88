"""``flask init``: from nothing to a server"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from .conftest import Installation


def test_one_command_makes_everything(installation: Installation) -> None:
    said = installation.succeed("init", "--admin", "alice")
    assert {path.name for path in installation.data.iterdir()} >= {
        "app.db",
        "jwt_key",
        "jwt_key.pub",
        "secret_key",
    }
    assert (installation.data / "jwt_key").stat().st_mode & 0o777 == 0o600
    assert "flask serve" in said
    assert "flask user token alice" in said
    (user,) = json.loads(installation.succeed("user", "list"))
    assert (user["username"], user["is_admin"]) == ("alice", True)
    assert installation.succeed("user", "token", "alice").startswith("ey")


def test_running_it_again_changes_nothing_and_says_so(installation: Installation) -> None:
    installation.succeed("init", "--admin", "alice")
    installation.succeed("user", "add", "bob")
    keys = (installation.data / "jwt_key").read_text()
    users = installation.succeed("user", "list")
    said = installation.succeed("init", "--admin", "alice")
    assert "(kept)" in said
    assert "as before" in said
    assert "is one already" in said
    assert (installation.data / "jwt_key").read_text() == keys
    assert installation.succeed("user", "list") == users


def test_without_an_admin_it_says_how_to_add_one(installation: Installation) -> None:
    assert "flask user add --is_admin" in installation.succeed("init")
    installation.succeed("user", "add", "alice", "--display-name", "Alice")
    assert "flask user add" not in installation.succeed("init")
    assert "was an ordinary user" in installation.succeed("init", "--admin", "alice")
    (user,) = json.loads(installation.succeed("user", "list"))
    assert (user["is_admin"], user["display_name"]) == (True, "Alice")


def test_a_name_that_cannot_be_one_is_refused_before_anything_is_made(installation: Installation) -> None:
    assert "1 to 64 characters" in installation.fail("init", "--admin", "x" * 65)
    assert not (installation.data / "jwt_key").exists()


def test_a_directory_that_cannot_be_made_is_named(installation: Installation, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = installation.fail("init", DSERVER_DATA_DIR=str(tmp_path / "file" / "data"))
    assert f"is below {tmp_path / 'file'}, which is not a directory" in said


def test_a_database_that_is_none_is_said_to_be(installation: Installation) -> None:
    installation.data.mkdir()
    (installation.data / "app.db").write_text("a letter to my aunt, long enough to have a header\n" * 4)
    done = installation.flask("init")
    assert done.returncode == 1
    address = f"sqlite:///{installation.data / 'app.db'}"
    assert (
        done.stderr
        == f"The database {address} cannot be opened: file is not a database (SQLALCHEMY_DATABASE_URI)\n"
    )


def test_without_flask_app_the_next_commands_begin_with_it(installation: Installation) -> None:
    del installation.environment["FLASK_APP"]
    said = installation.succeed("--app", "dservercore", "init")
    assert "export FLASK_APP=dservercore" in said


def test_another_application_is_left_alone(installation: Installation) -> None:
    (installation.home / "app.py").write_text("from flask import Flask\napp = Flask('other')\n")
    assert "export FLASK_APP=dservercore" in installation.fail("init", FLASK_APP="app")
    assert not installation.data.exists()


def test_the_home_directory_is_the_default(installation: Installation) -> None:
    del installation.environment["DSERVER_DATA_DIR"]
    installation.succeed("init")
    (database,) = installation.home.rglob("app.db")
    with sqlite3.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM user").fetchone() == (0,)
