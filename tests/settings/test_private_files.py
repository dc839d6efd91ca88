"""What the server makes in the file system is for its owner alone, whatever the umask."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask_migrate import upgrade

from dservercore import create_app, db, sql_db
from dservercore.catalog import users
from dservercore.settings import keys

pytestmark = pytest.mark.attack


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def modes(place: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in place.iterdir()}


@pytest.mark.usefixtures("umask")
def test_a_new_database_with_what_lies_beside_it(tmp_path: Path) -> None:
    place = tmp_path / "new" / "deep" / "dir"
    app = create_app({"SQLALCHEMY_DATABASE_URI": f"sqlite:///{place / 'app.db'}"})
    with app.app_context():
        upgrade()
        users.add_user("alice")
        db.hold_file_lock()
        sql_db.session.flush()
        found = modes(place)
        assert {"app.db", "app.db-wal", "app.db-shm", "app.db.lock"} <= found.keys()
        assert set(found.values()) == {0o600}, found
        sql_db.session.commit()
        sql_db.session.remove()
        db.release_file_lock()
        sql_db.engine.dispose()
    assert [directory.stat().st_mode & 0o777 for directory in (place, *place.parents[:2])] == [0o700] * 3


@pytest.mark.usefixtures("umask")
def test_a_database_whose_place_is_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flask.Flask.auto_find_instance_path", lambda _app: str(tmp_path / "instance"))
    app = create_app({"SQLALCHEMY_DATABASE_URI": "sqlite:///sub/app.db"})
    with app.app_context():
        upgrade()
        sql_db.engine.dispose()
    assert (tmp_path / "instance").stat().st_mode & 0o777 == 0o700
    assert modes(tmp_path / "instance") == {"sub": 0o700}
    assert set(modes(tmp_path / "instance" / "sub").values()) == {0o600}


@pytest.mark.usefixtures("umask")
def test_keys(tmp_path: Path) -> None:
    keys.generate_key_pair(tmp_path / "new" / "keys")
    keys.kept_secret_key(tmp_path / "new" / "keys")
    found = modes(tmp_path / "new" / "keys")
    assert found["jwt_key"] == found["secret_key"] == 0o600
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "new", tmp_path / "new" / "keys")] == [
        0o700
    ] * 2


@pytest.mark.usefixtures("umask")
def test_what_is_there_keeps_its_permissions(tmp_path: Path) -> None:
    """Administrators who share a database among a group know why."""
    tmp_path.chmod(0o750)
    file = tmp_path / "app.db"
    file.touch()
    file.chmod(0o640)
    app = create_app({"SQLALCHEMY_DATABASE_URI": f"sqlite:///{file}"})
    with app.app_context():
        sql_db.create_all()
        sql_db.engine.dispose()
    assert (file.stat().st_mode & 0o777, tmp_path.stat().st_mode & 0o777) == (0o640, 0o750)
