"""``flask backup`` and ``flask restore`` on SQLite; tests/test_backup.py has them under load, and on PostgreSQL"""

from __future__ import annotations

import io
import json
import os
import resource
import secrets
import shutil
import sqlite3
import tarfile
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import flask_migrate
import pytest
import zstandard
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from flask import Flask

from dservercore import create_app, sql_db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris, registration
from dservercore.catalog.backup import sqlite
from dservercore.catalog.scope import OPERATOR
from support.old_backups import described, of_sqlite
from support.world import RED, dataset_info

from .conftest import CommandLine, Installation


def application(data: Path, **settings: str) -> Flask:
    """The server of a data directory, in this process."""
    return create_app(
        {
            "SQLALCHEMY_DATABASE_URI": f"sqlite:///{data / 'app.db'}",
            "DSERVER_DATA_DIR": str(data),
            "JWT_PRIVATE_KEY_FILE": str(data / "jwt_key"),
            "JWT_PUBLIC_KEY_FILE": str(data / "jwt_key.pub"),
            "SECRET_KEY": "for tests alone",
            **settings,
        }
    )


@pytest.fixture
def app(server: Installation) -> Flask:
    return application(server.data)


@pytest.fixture
def made(flask: CommandLine, app: Flask, tmp_path: Path) -> Path:
    """A backup, with keys, of a server with a user."""
    flask.succeed("user", "add", "alice")
    file = tmp_path / "made" / "dserver.tar"
    file.parent.mkdir()
    flask.succeed("backup", "--with-keys", str(file))
    return file


@pytest.fixture
def old(made: Path, server: Installation) -> Path:
    """The same as an earlier version made it, with the database itself."""
    return of_sqlite(made, server.data / "app.db")


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A data directory in which there is nothing yet."""
    return tmp_path / "empty"


def test_a_backup_says_what_is_in_it_and_is_for_its_owner_alone(flask: CommandLine, tmp_path: Path) -> None:
    flask.succeed("user", "add", "alice")
    file = tmp_path / "dserver.tar"
    done = flask("backup", str(file))
    assert done.exit_code == 0
    assert done.stdout == ""
    assert done.stderr.startswith(f"Backed up 1 user, 0 base URIs and 0 datasets to {file} (")
    assert file.stat().st_mode & 0o777 == 0o600
    with tarfile.open(file) as tar:
        names = tar.getnames()
        rows = lines_of(tar, "tables/user.ndjson.zst")
    assert names[:2] == ["manifest.json", "descriptions.ndjson.zst"]
    assert all(name.startswith("tables/") for name in names[2:])
    assert [row["username"] for row in rows] == ["alice"]
    assert sorted(path.name for path in tmp_path.glob("*.tar*")) == ["dserver.tar"]


def lines_of(tar: tarfile.TarFile, name: str) -> list[dict[str, Any]]:
    content = tar.extractfile(name).read()  # type: ignore[union-attr]
    return [
        json.loads(line)
        for line in zstandard.ZstdDecompressor().stream_reader(content).readall().splitlines()
    ]


def test_a_file_is_replaced_only_on_purpose(flask: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "dserver.tar"
    file.write_text("mine")
    assert "--force replaces it" in flask.fail("backup", str(file))
    assert file.read_text() == "mine"
    flask.succeed("backup", "--force", str(file))
    assert tarfile.is_tarfile(file)


def test_where_it_cannot_be_written_is_said(flask: CommandLine, tmp_path: Path) -> None:
    assert "is a directory" in flask.fail("backup", str(tmp_path))
    assert f"no directory {tmp_path / 'none'}" in flask.fail("backup", str(tmp_path / "none" / "x.tar"))


def test_a_full_disk_leaves_nothing(server: Installation, app: Flask, tmp_path: Path) -> None:
    with app.app_context():
        base_uris.create_base_uri(RED, [], [])
        info = dataset_info(RED, readme=secrets.token_hex(100_000))
        registration.register_dataset(OPERATOR, operator_scope("register"), info)
        sql_db.session.commit()
        sql_db.session.remove()
        sql_db.engine.dispose()
    whole = tmp_path / "whole.tar"
    server.succeed("backup", str(whole))
    target = tmp_path / "full"
    target.mkdir()
    for limit in (50_000, whole.stat().st_size - 5000):  # in a file of it; in the archive
        process = server.start(
            "backup",
            str(target / "dserver.tar"),
            preexec_fn=lambda limit=limit: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        )
        _, said = process.communicate(timeout=60)
        assert process.returncode == 1
        assert said.startswith(f"Cannot write {target / 'dserver.tar'}: ")
        assert said.count("\n") == 1
        assert list(target.iterdir()) == []


def test_a_damaged_database_is_no_backup(flask: CommandLine, app: Flask, tmp_path: Path) -> None:
    database = tmp_path / "home" / "data" / "app.db"
    with app.app_context():
        sql_db.engine.dispose()
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'dataset_tag'").fetchone()[
            0
        ]
    with database.open("r+b") as stream:
        stream.seek((root - 1) * 4096)
        stream.write(b"\xff" * 4096)
    assert "is damaged" in flask.fail("backup", str(tmp_path / "dserver.tar"))
    assert not (tmp_path / "dserver.tar").exists()


def test_it_can_go_to_another_program(server: Installation, empty: Path, tmp_path: Path) -> None:
    file = tmp_path / "piped.tar"
    with file.open("wb") as stream:
        process = server.start("backup", "-", stdout=stream)
        assert process.wait(timeout=60) == 0
    done = CommandLine(application_with_keys_elsewhere(empty, server.data))("restore", str(file))
    assert done.exit_code == 0, done.stderr
    assert sqlite3.connect(empty / "app.db").execute("SELECT count(*) FROM user").fetchone() == (0,)


def application_with_keys_elsewhere(data: Path, keys: Path) -> Flask:
    """The server of a data directory that has no keys, or is not to use them."""
    app = application(keys)
    return create_app(
        {
            **app.config,
            "SQLALCHEMY_DATABASE_URI": f"sqlite:///{data / 'app.db'}",
            "DSERVER_DATA_DIR": str(data),
        }
    )


@pytest.fixture
def there(empty: Path, server: Installation) -> CommandLine:
    """The command line of the empty place."""
    return CommandLine(application_with_keys_elsewhere(empty, server.data))


def test_everything_comes_back(made: Path, there: CommandLine, empty: Path, server: Installation) -> None:
    done = there("restore", str(made))
    assert done.exit_code == 0, done.stderr
    assert done.stderr.startswith("Restored 1 user, 0 base URIs and 0 datasets, as they were at 2")
    assert [user["username"] for user in there.read("user", "list")] == ["alice"]
    for name in ("jwt_key", "jwt_key.pub", "secret_key"):
        assert (empty / name).read_bytes() == (server.data / name).read_bytes()
    assert (empty / "jwt_key").stat().st_mode & 0o777 == 0o600
    assert {path.name.partition("-")[0] for path in empty.iterdir()} == {
        "app.db",
        "jwt_key",
        "jwt_key.pub",
        "secret_key",
    }


def test_what_is_kept_elsewhere_is_in_it(
    server: Installation, mongo_settings: dict[str, str], there: CommandLine, tmp_path: Path
) -> None:
    app = application(server.data, **mongo_settings)
    info = dataset_info(RED, readme="from MongoDB")
    with app.app_context():
        base_uris.create_base_uri(RED, [], [])
        registration.register_dataset(OPERATOR, operator_scope("register"), info)
        sql_db.session.commit()
        sql_db.session.remove()
    file = tmp_path / "dserver.tar"
    done = CommandLine(app)("backup", str(file))
    assert (done.exit_code, done.stderr.count("\n")) == (0, 1), done.stderr
    done = there("restore", str(file))
    assert (done.exit_code, done.stderr.count("\n")) == (0, 1), done.stderr
    with there.runner.app.app_context():
        assert there.runner.app.retrieve.get_readme(info["uri"]) == "from MongoDB"  # type: ignore[attr-defined]
        sql_db.session.remove()


def test_what_the_store_does_not_have_is_counted(
    server: Installation, mongo_settings: dict[str, str], tmp_path: Path
) -> None:
    app = application(server.data, **mongo_settings)
    info = dataset_info(RED)
    with app.app_context():
        base_uris.create_base_uri(RED, [], [])
        registration.register_dataset(OPERATOR, operator_scope("register"), info)
        sql_db.session.commit()
        app.retrieve.delete_dataset(info["uri"])  # type: ignore[attr-defined]
        sql_db.session.remove()
    done = CommandLine(app)("backup", str(tmp_path / "dserver.tar"))
    assert done.exit_code == 0
    assert "does not have: 1 dataset (see `flask dataset check`)" in done.stderr


def test_keys_are_replaced_only_on_purpose(made: Path, there: CommandLine, empty: Path) -> None:
    empty.mkdir(exist_ok=True)
    (empty / "jwt_key").write_text("another")
    said = there.fail("restore", str(made))
    assert f"{empty / 'jwt_key'} is there and is another key" in said
    assert [path.name for path in empty.iterdir()] == ["jwt_key"]
    there.succeed("restore", "--without-keys", str(made))
    assert (empty / "jwt_key").read_text() == "another"
    there.succeed("restore", "--force", "--yes", str(made))
    assert "PRIVATE KEY" in (empty / "jwt_key").read_text()


def changed(**changes: Any) -> Callable[[Path], None]:
    """Return what changes the manifest of a backup."""

    def change(file: Path) -> None:
        with tarfile.open(file) as tar:
            content = {member.name: tar.extractfile(member).read() for member in tar.getmembers()}  # type: ignore[union-attr]
        manifest = json.loads(content["manifest.json"])
        content["manifest.json"] = json.dumps({**manifest, **changes}).encode()
        with tarfile.open(file, "w") as tar:
            for name, text in content.items():
                member = tarfile.TarInfo(name)
                member.size = len(text)
                tar.addfile(member, io.BytesIO(text))

    return change


def cut(share: float) -> Callable[[Path], None]:
    return lambda file: file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])


def cut_before(name: str) -> Callable[[Path], None]:
    """Return what cuts an archive off where a member of it begins."""
    return lambda file: file.write_bytes(file.read_bytes().rpartition(name.encode() + b"\0")[0])


def cut_within(name: str) -> Callable[[Path], None]:
    """Return what cuts an archive off in the middle of a member of it."""

    def change(file: Path) -> None:
        before, _, after = file.read_bytes().rpartition(name.encode() + b"\0")
        file.write_bytes(before + name.encode() + b"\0" + after[:1000])

    return change


def flipped(file: Path) -> None:
    with tarfile.open(file) as tar:
        place = tar.getmember(MEMBER).offset_data + 20
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


def another_tar(file: Path) -> None:
    with tarfile.open(file, "w") as tar:
        tar.add(__file__, "manifest.json")


MEMBER = "tables/user.ndjson.zst"
INDEX = "tables/search_index.ndjson.zst"
UNFIT = {
    "cut off at the start": (cut(0.001), "no backup made by"),
    "cut off in the middle": (cut_within("keys/jwt_key"), "cut off"),
    "cut off between two files": (cut_before("keys/jwt_key"), "is not complete: keys/jwt_key is missing"),
    "one bit flipped": (flipped, f"is damaged: the checksum of {MEMBER} is wrong"),
    "empty": (lambda file: file.write_bytes(b""), "no backup made by"),
    "a letter": (lambda file: file.write_text("Dear aunt, " * 999), "no backup made by"),
    "another archive": (another_tar, "no backup made by"),
    "of a later format": (changed(format=3, server="9.0"), "made by dservercore 9.0, a later version"),
    "of a later revision": (changed(revision="0999"), "which this version does not know"),
    "without what it names": (
        changed(files={"descriptions.ndjson.zst": {"size": "many", "sha256": "x"}}),
        "no backup made by",
    ),
    "without a table": (changed(files={}, rows={}), "no backup made by"),
    "with a table of the search index": (
        changed(
            files={name: {"size": 9, "sha256": "x"} for name in (INDEX, "descriptions.ndjson.zst")},
            rows={INDEX: 0, "descriptions.ndjson.zst": 0},
        ),
        "it has the table 'search_index'",
    ),
}


@pytest.mark.parametrize(("damage", "reason"), UNFIT.values(), ids=UNFIT)
def test_what_is_no_whole_backup_changes_nothing(
    made: Path, there: CommandLine, empty: Path, damage: Callable[[Path], None], reason: str
) -> None:
    damage(made)
    said = there.fail("restore", str(made))
    assert str(made) in said
    assert reason in said
    assert not empty.exists() or list(empty.iterdir()) == []


def rewritten(make: Callable[[tarfile.TarFile, dict[str, bytes]], None]) -> Callable[[Path], None]:
    """Return what writes a backup anew as *make* does, which gets the contents by name."""

    def change(file: Path) -> None:
        with tarfile.open(file) as tar:
            content = {member.name: tar.extractfile(member).read() for member in tar.getmembers()}  # type: ignore[union-attr]
        with tarfile.open(file, "w") as tar:
            put(tar, "manifest.json", content["manifest.json"])
            make(tar, content)

    return change


def put(tar: tarfile.TarFile, name: str, content: bytes = b"", **properties: Any) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for key, value in properties.items():
        setattr(member, key, value)
    tar.addfile(member, io.BytesIO(content))


def with_another(name: str, **properties: Any) -> Callable[[Path], None]:
    def make(tar: tarfile.TarFile, content: dict[str, bytes]) -> None:
        put(tar, name, **properties)
        for own in list(content)[1:]:
            put(tar, own, content[own])

    return rewritten(make)


def in_place_of_a_table(**properties: Any) -> Callable[[Path], None]:
    def make(tar: tarfile.TarFile, content: dict[str, bytes]) -> None:
        for own in list(content)[1:]:
            if own != MEMBER:
                put(tar, own, content[own])
        put(tar, MEMBER, **properties)

    return rewritten(make)


def larger(tar: tarfile.TarFile, content: dict[str, bytes]) -> None:
    for own in list(content)[1:]:
        put(tar, own, content[own] + (b"\0" * 50_000_000 if own == MEMBER else b""))


def twice(tar: tarfile.TarFile, content: dict[str, bytes]) -> None:
    for name in [*list(content)[1:], MEMBER]:
        put(tar, name, content[name])


HOSTILE: dict[str, Callable[[Path], None]] = {
    "larger than it says": rewritten(larger),
    "a file twice": rewritten(twice),
    "linked to itself": in_place_of_a_table(type=tarfile.LNKTYPE, linkname=MEMBER),
    "a symbolic link to itself": in_place_of_a_table(type=tarfile.SYMTYPE, linkname=MEMBER),
    "linked to a file of the machine": in_place_of_a_table(type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "linked to the manifest": in_place_of_a_table(type=tarfile.LNKTYPE, linkname="manifest.json"),
    "a device": in_place_of_a_table(type=tarfile.CHRTYPE, devmajor=1, devminor=5),
    "a pipe": in_place_of_a_table(type=tarfile.FIFOTYPE),
    "a directory": in_place_of_a_table(type=tarfile.DIRTYPE),
    "full of holes": in_place_of_a_table(
        pax_headers={
            "GNU.sparse.map": "0,0",
            "GNU.sparse.size": str(10**12),
            "GNU.sparse.name": MEMBER,
        }
    ),
    "an absolute path": with_another("/tmp/outside"),
    "a path that leads out": with_another("keys/../../outside"),
    "a name for the terminal": with_another("\x1b[2J\n\x9b\u202eRestored 1 user"),
    "a manifest that links to itself": lambda file: linked_manifest(file),
    "a plugin that is none": changed(search=None),
    "counts that are none": changed(users="\x1b[2J"),
    "a manifest that nests": lambda file: nested_manifest(file),
    "thousands of headers": lambda file: file.write_bytes(b"".join(header() for _ in range(3_000))),
}


def linked_manifest(file: Path) -> None:
    with tarfile.open(file, "w") as tar:
        put(tar, "manifest.json", type=tarfile.LNKTYPE, linkname="manifest.json")


def nested_manifest(file: Path) -> None:
    with tarfile.open(file, "w") as tar:
        put(tar, "manifest.json", b"[" * 500_000)


def header() -> bytes:
    """Return a header that says something of the header that follows it."""
    member = tarfile.TarInfo("x")
    member.type, member.size = tarfile.XHDTYPE, 0
    return member.tobuf(tarfile.USTAR_FORMAT)


@pytest.mark.parametrize("attack", HOSTILE.values(), ids=HOSTILE)
def test_an_archive_that_was_made_to_do_harm_changes_nothing(
    made: Path, there: CommandLine, empty: Path, tmp_path: Path, attack: Callable[[Path], None]
) -> None:
    attack(made)
    before = {path for path in tmp_path.rglob("*") if empty not in path.parents}
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    try:
        said = there.fail("restore", str(made))
    finally:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert str(made) in said
    assert said.isprintable()
    assert not empty.exists() or list(empty.iterdir()) == []
    assert {path for path in tmp_path.rglob("*") if path != empty} == before - {empty}


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_what_is_restored_is_for_its_owner_alone(
    made: Path, there: CommandLine, empty: Path, umask: int
) -> None:
    before = os.umask(umask)
    try:
        there.succeed("restore", str(made))
    finally:
        os.umask(before)
    assert empty.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in empty.iterdir() if path.is_file()}
    assert modes.pop("jwt_key.pub") in (0o644, 0o600)
    assert set(modes.values()) == {0o600}, modes


def tokens_since(data: Path) -> dict[str, int | None]:
    with closing(sqlite3.connect(data / "app.db")) as connection:
        return dict(connection.execute("SELECT username, tokens_since FROM user").fetchall())


def test_names_that_were_registered_since_the_backup_are_not_new(
    made: Path, there: CommandLine, empty: Path
) -> None:
    began = int(time.time())
    there.succeed("restore", str(made))
    there.succeed("user", "add", "bob")
    there.succeed("user", "delete", "alice")
    there.succeed("user", "add", "alice")
    there.succeed("user", "add", "carol")
    since = tokens_since(empty)
    assert all(since[name] > began for name in ("alice", "bob", "carol")), since
    there.succeed("restore", "--force", "--yes", str(made))
    assert tokens_since(empty) == {"alice": None}
    assert [user["username"] for user in there.read("user", "list")] == ["alice"]


@pytest.mark.parametrize("revision", ["0001", "0005"])
def test_an_older_backup_is_to_be_upgraded(
    made: Path, app: Flask, server: Installation, there: CommandLine, empty: Path, revision: str
) -> None:
    with app.app_context():
        flask_migrate.downgrade(revision=revision)
        sql_db.engine.dispose()
    done = there("restore", str(of_sqlite(made, server.data / "app.db")))
    assert done.exit_code == 0, done.stderr
    assert "run `flask db upgrade`" in done.stderr
    with there.runner.app.app_context():
        flask_migrate.upgrade()
    there.succeed("user", "add", "bob")
    since = tokens_since(empty)
    assert since.pop("alice") is None
    assert since["bob"] is not None  # somebody may have had that name


def with_contents(change: Callable[[dict[str, bytes]], None]) -> Callable[[Path], None]:
    """Return what writes a backup anew with other contents, and a manifest that fits them."""

    def attack(file: Path) -> None:
        with tarfile.open(file) as tar:
            content = {member.name: tar.extractfile(member).read() for member in tar.getmembers()}  # type: ignore[union-attr]
        manifest = json.loads(content.pop("manifest.json"))
        change(content)
        manifest["files"] = described(content)
        with tarfile.open(file, "w") as tar:
            put(tar, "manifest.json", json.dumps(manifest).encode())
            for name, text in content.items():
                put(tar, name, text)

    return attack


def with_sql(script: str) -> Callable[[Path], None]:
    """Return what runs SQL in the database of a backup."""

    def change(content: dict[str, bytes]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "database"
            file.write_bytes(content["database.sqlite"])
            with closing(sqlite3.connect(file, isolation_level=None)) as connection:
                connection.executescript(script)
            content["database.sqlite"] = file.read_bytes()

    return with_contents(change)


TRIGGER = "CREATE TRIGGER t AFTER INSERT ON user BEGIN UPDATE user SET is_admin = 1; END;"
DATABASES = {
    "a trigger": (TRIGGER, "has a trigger 't'"),
    "a trigger under another name": (
        f"{TRIGGER} PRAGMA writable_schema = ON; UPDATE sqlite_master SET type = 'table' WHERE name = 't'",
        "",  # SQLite sees it, too, or we do
    ),
    "an endless view": (
        "ALTER TABLE user RENAME TO user2; CREATE VIEW user AS WITH RECURSIVE r (id) AS"
        " (SELECT 1 UNION ALL SELECT id + 1 FROM r) SELECT id, 'u' || id AS username FROM r",
        "has a view 'user'",
    ),
    "another virtual table": ("CREATE VIRTUAL TABLE box USING rtree(id, low, high)", "has a table 'box'"),
    "a table less": ("DROP TABLE audit", "has no table 'audit'"),
    "without a revision": ("DROP TABLE alembic_version", "has no table 'alembic_version'"),
    "of another revision": ("UPDATE alembic_version SET version_num = '\x1b[2J\n'", "is not of revision 0"),
    "of two revisions": ("INSERT INTO alembic_version VALUES ('0001')", "is not of revision 0"),
}


@pytest.mark.parametrize(("script", "reason"), DATABASES.values(), ids=DATABASES)
def test_a_database_that_none_of_ours_is_changes_nothing(
    old: Path, there: CommandLine, empty: Path, script: str, reason: str
) -> None:
    with_sql(script)(old)
    said = there.fail("restore", str(old))
    assert f"The database in {old} {reason}" in said
    assert said.isprintable()
    assert not empty.exists() or list(empty.iterdir()) == []


def test_a_check_ends(old: Path, there: CommandLine, empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("_CHECK_SECONDS", -60), ("_STEPS", 1)):
        monkeypatch.setattr(sqlite, name, value)
    assert f"The database in {old} takes too long to check" in there.fail("restore", str(old))
    assert not empty.exists()


def test_conditions_of_its_own_are_not_run(old: Path, there: CommandLine) -> None:
    with_sql("CREATE TABLE x (a CHECK (a)); PRAGMA ignore_check_constraints = ON; INSERT INTO x VALUES (0)")(
        old
    )
    there.succeed("restore", str(old))


def test_what_is_counted_is_what_is_there(made: Path, there: CommandLine) -> None:
    changed(users=7, datasets=10**6)(made)
    assert "Restored 1 user, 0 base URIs and 0 datasets" in there("restore", str(made)).stderr


ELLIPTIC = ec.generate_private_key(ec.SECP256R1())
BAD_KEYS = {
    "no private key": ("jwt_key", b"\x1b[2J", "jwt_key: not an RSA private key"),
    "no text": ("jwt_key", b"\x00\xff", "jwt_key: not a text file"),
    "another kind of private key": (
        "jwt_key",
        ELLIPTIC.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        "jwt_key: the key is not an RSA key",
    ),
    "no public key": ("jwt_key.pub", b"nokey", "jwt_key.pub: not an RSA public key"),
    "large": ("jwt_key.pub", b"-" * 10**6, "jwt_key.pub: not an RSA public key"),
    "a secret that can be guessed": ("secret_key", b"a" * 64, "secret_key: can be guessed"),
}


@pytest.mark.parametrize(("name", "key", "reason"), BAD_KEYS.values(), ids=BAD_KEYS)
def test_keys_that_no_server_can_use_change_nothing(
    made: Path, there: CommandLine, empty: Path, name: str, key: bytes, reason: str
) -> None:
    with_contents(lambda content: content.update({f"keys/{name}": key}))(made)
    said = there.fail("restore", str(made))
    assert f"The keys in {made}: {reason}" in said
    assert said.endswith("; --without-keys leaves them out")
    assert not empty.exists() or list(empty.iterdir()) == []
    there.succeed("restore", "--without-keys", str(made))


def test_a_secret_key_is_replaced_only_on_purpose(made: Path, there: CommandLine, empty: Path) -> None:
    empty.mkdir(exist_ok=True)
    (empty / "secret_key").write_text("another")
    assert f"{empty / 'secret_key'} is there and is another key" in there.fail("restore", str(made))
    assert [path.name for path in empty.iterdir()] == ["secret_key"]
    there.succeed("restore", "--force", str(made))
    assert len((empty / "secret_key").read_text()) == 64


def test_a_secret_key_that_the_restore_itself_has_made_is_none(
    made: Path, server: Installation, tmp_path: Path
) -> None:
    another = Installation(tmp_path / "another")
    another.home.mkdir()
    another.succeed("restore", str(made))
    assert (another.data / "secret_key").read_text() == (server.data / "secret_key").read_text()


def test_a_pipe_is_not_waited_for(server: Installation, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert f"{tmp_path / 'pipe'} is not a regular file" in server.fail("restore", str(tmp_path / "pipe"))


def test_a_database_in_use_is_left_alone(made: Path, there: CommandLine, empty: Path) -> None:
    there.succeed("restore", str(made))
    there.succeed("user", "add", "bob")
    with sqlite3.connect(empty / "app.db") as connection:
        connection.execute("SELECT * FROM user").fetchall()  # a server that runs
        assert "stop the server first" in there.fail("restore", "--force", "--yes", str(made))
        assert connection.execute("SELECT count(*) FROM user").fetchone() == (2,)
    connection.close()
    assert len(there.read("user", "list")) == 2
    there.succeed("restore", "--force", "--yes", str(made))
    assert len(there.read("user", "list")) == 1


def test_what_lies_in_the_way_is_named(made: Path, there: CommandLine, empty: Path) -> None:
    empty.mkdir(exist_ok=True)
    left = empty / "app.db-wal"
    left.write_bytes(b"of another database")
    assert str(left) in there.fail("restore", str(made))
    left.unlink()
    (empty / "app.db").write_text("a letter, and no database" * 99)
    assert "move it away first" in there.fail("restore", str(made))
    with sqlite3.connect(empty / "other.db") as connection:
        connection.execute("CREATE TABLE bill (amount)")
    connection.close()
    shutil.move(empty / "other.db", empty / "app.db")
    assert "the database of something else" in there.fail("restore", str(made))
