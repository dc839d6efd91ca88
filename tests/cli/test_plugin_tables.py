"""Tables of an extension that has no migrations: ``flask db`` makes them and leaves them alone."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.databases import new_database, on_other_stores
from support.extension_package import write_package
from support.live_server import flask

SOURCE = """
from dservercore import Blueprint, ExtensionABC, sql_db


class Note(sql_db.Model):
    __tablename__ = "garden_note"
    id = sql_db.Column(sql_db.Integer, primary_key=True)
    user_id = sql_db.Column(sql_db.ForeignKey("user.id", ondelete="CASCADE"), index=True)
    text = sql_db.Column(sql_db.String(80), nullable=False)
{more}


class Garden(ExtensionABC):
    def register_dataset(self, dataset_info):
        sql_db.session.add(Note(text=dataset_info["name"]))

    def get_blueprint(self):
        return Blueprint("garden", __name__, url_prefix="/garden")
"""


class Garden:
    """A server with the extension, on a database of its own."""

    def __init__(self, place: Path, settings: dict[str, str]):
        self.place, self.packages, self.settings = place, place / "packages", settings
        self.write()

    def write(self, more: str = "") -> None:
        write_package(self.packages, "garden", SOURCE.format(more=more), extension="Garden")

    def flask(self, *arguments: str, installed: bool = True) -> subprocess.CompletedProcess[str]:
        path = {"PYTHONPATH": str(self.packages), "PYTHONDONTWRITEBYTECODE": "1"} if installed else {}
        return flask(self.place, *arguments, **self.settings, **path)

    def succeed(self, *arguments: str, installed: bool = True) -> str:
        done = self.flask(*arguments, installed=installed)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(params=["sqlite", *on_other_stores("postgresql", "mariadb")])
def garden(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Garden]:
    if request.param == "sqlite":
        yield Garden(tmp_path, {})
        return
    mongo = {f"DSERVER_{kind}_PLUGIN": "mongo" for kind in ("SEARCH", "RETRIEVE")}
    with new_database(request.param) as address:
        more = mongo if request.param == "mariadb" else {}
        yield Garden(tmp_path, {"SQLALCHEMY_DATABASE_URI": address, **more})


@pytest.mark.timeout(600)
def test_an_upgrade_makes_it_and_a_check_is_content(garden: Garden) -> None:
    garden.succeed("db", "upgrade", installed=False)
    check = garden.flask("db", "check")
    assert (check.returncode, "garden_note" in check.stderr) == (1, True)
    assert "new tables of extensions: garden_note" in garden.succeed("db", "upgrade")
    assert "garden_note" not in garden.succeed("db", "upgrade")
    assert "garden_note" not in garden.succeed("db", "check")
    # It stays where the extension goes.
    assert "garden_note" not in garden.succeed("db", "check", installed=False)
    assert "garden_note" not in garden.succeed("db", "upgrade", installed=False)
    assert "garden_note" not in garden.succeed("db", "upgrade")


def test_init_makes_it_and_the_sql_can_be_printed(tmp_path: Path) -> None:
    garden = Garden(tmp_path, {})
    assert "garden_note" in garden.succeed("init")
    assert "CREATE TABLE IF NOT EXISTS garden_note" in garden.succeed("db", "upgrade", "--sql")


def test_a_later_column_is_told_with_what_to_do(tmp_path: Path) -> None:
    garden = Garden(tmp_path, {})
    garden.succeed("db", "upgrade")
    garden.write("    colour = sql_db.Column(sql_db.String(9))\n    size = sql_db.Column(sql_db.Integer)")
    for command in ("upgrade", "check"):
        said = garden.succeed("db", command)
        assert "Warning: The table garden_note of an extension lacks the column colour, size." in said
        assert "ALTER TABLE" in said


def test_a_table_that_the_extension_makes_itself_is_left_to_it(tmp_path: Path) -> None:
    garden = Garden(tmp_path, {})
    garden.write('    __table_args__ = {"info": {"own_migrations": True}}')
    assert "garden_note" not in garden.succeed("db", "upgrade")
    assert "garden_note" not in garden.succeed("db", "check")
