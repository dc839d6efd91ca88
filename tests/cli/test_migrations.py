"""``flask db``"""

from __future__ import annotations

import subprocess

from .conftest import Installation

OTHER_APPLICATION = """
from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy

app = Flask("other")
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
Migrate(app, SQLAlchemy(app))
"""


def test_upgrade_is_all_that_a_new_database_needs(installation: Installation) -> None:
    done = installation.flask("db", "upgrade")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("Database: new, at revision ")
    assert installation.succeed("user", "list") == "[]\n"
    assert "as before" in installation.flask("db", "upgrade").stderr


def test_the_sequence_of_the_original_works_too(installation: Installation) -> None:
    for command in ("init", "migrate"):
        said = installation.succeed("db", command)
        assert said.count("\n") == 1
        assert "flask db upgrade" in said
    installation.succeed("db", "upgrade")
    assert installation.succeed("user", "list") == "[]\n"
    assert list(installation.home.iterdir()) == [installation.data]


def test_the_models_and_the_migrations_agree(installation: Installation) -> None:
    installation.succeed("db", "upgrade")
    done = installation.flask("db", "check")
    assert done.returncode == 0, done.stderr


def test_a_database_out_of_reach_ends_in_one_line(installation: Installation) -> None:
    installation.data.mkdir()
    (installation.data / "app.db").mkdir()
    said = installation.fail("db", "upgrade")
    address = f"sqlite:///{installation.data / 'app.db'}"
    assert said == (
        f"The database {address} cannot be opened: unable to open database file (SQLALCHEMY_DATABASE_URI)"
    )


def test_an_unknown_revision_ends_in_one_line(installation: Installation) -> None:
    assert "nonsense" in installation.fail("db", "upgrade", "nonsense")


def test_the_sql_can_be_printed_instead(installation: Installation) -> None:
    assert "CREATE TABLE" in installation.succeed("db", "upgrade", "--sql")
    assert "There is no database" in installation.fail("user", "list")


def test_other_applications_keep_the_commands_of_flask_migrate(installation: Installation) -> None:
    (installation.home / "app.py").write_text(OTHER_APPLICATION)
    done: subprocess.CompletedProcess[str] = installation.flask("db", "init", FLASK_APP="app")
    assert done.returncode == 0, done.stderr
    assert (installation.home / "migrations" / "env.py").exists()
