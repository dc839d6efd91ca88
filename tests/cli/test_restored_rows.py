"""What is in the files of a backup, line by line: it comes back as it was, or is refused and nothing changes."""

from __future__ import annotations

import enum
import hashlib
import io
import json
import os
import shutil
import tarfile
import uuid
from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import zstandard

from dservercore import sql_db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris, registration, users
from dservercore.catalog.journal import changes
from dservercore.catalog.scope import OPERATOR
from dservercore.compat.plugin_tables import OWN_MIGRATIONS
from support.world import RED, dataset_info

from .conftest import CommandLine, Installation
from .test_backup import application, application_with_keys_elsewhere

Content = dict[str, bytes]
DESCRIPTIONS = "descriptions.ndjson.zst"


@pytest.fixture(scope="module")
def template(initialised: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of a server with a user, a base URI and two datasets."""
    data = tmp_path_factory.mktemp("filled") / "data"
    shutil.copytree(initialised, data)
    app = application(data)
    with app.app_context():
        users.add_user("alice")
        base_uris.create_base_uri(RED, ["alice"], [])
        for number in range(2):
            info = dataset_info(RED, uuid=uuid.UUID(int=number))
            registration.register_dataset(OPERATOR, operator_scope("register"), info)
        sql_db.session.commit()
        sql_db.session.remove()
    CommandLine(app).succeed("backup", str(data / "filled.tar"))
    with app.app_context():
        sql_db.engine.dispose()
    return data / "filled.tar"


@pytest.fixture
def filled(template: Path, tmp_path: Path) -> Path:
    """That backup, to be changed."""
    return Path(shutil.copy(template, tmp_path))


@pytest.fixture
def there(tmp_path: Path, server: Installation) -> CommandLine:
    """The command line of an empty place."""
    return CommandLine(application_with_keys_elsewhere(tmp_path / "empty", server.data))


def table(name: str) -> str:
    return f"tables/{name}.ndjson.zst"


def packed(*lines: Any) -> bytes:
    text = b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines)
    return zstandard.compress(text)


def unpacked(content: bytes) -> list[dict[str, Any]]:
    text = zstandard.ZstdDecompressor().stream_reader(content).readall()
    return [json.loads(line) for line in text.splitlines()]


def rewrite(file: Path, change: Callable[[Content, dict[str, Any]], None]) -> None:
    """Write a backup anew with other contents, sizes and checksums that fit them, and maybe another manifest."""
    with tarfile.open(file) as tar:
        content: Content = {name: tar.extractfile(name).read() for name in tar.getnames()}  # type: ignore[union-attr]
    manifest = json.loads(content.pop("manifest.json"))
    change(content, manifest)
    manifest["files"] = {
        name: {"size": len(text), "sha256": hashlib.sha256(text).hexdigest()}
        for name, text in content.items()
    }
    with tarfile.open(file, "w") as tar:
        for name, text in {"manifest.json": json.dumps(manifest).encode(), **content}.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))


def changed(name: str, **changes: Any) -> Callable[[Content, dict[str, Any]], None]:
    """Return what changes the first line of a file."""

    def change(content: Content, _manifest: dict[str, Any]) -> None:
        first, *others = unpacked(content[name])
        content[name] = packed({**first, **changes}, *others)

    return change


def replaced(name: str, *lines: Any) -> Callable[[Content, dict[str, Any]], None]:
    def change(content: Content, manifest: dict[str, Any]) -> None:
        content[name] = packed(*lines)
        manifest["rows"][name] = len(lines)

    return change


def counted(name: str, number: int) -> Callable[[Content, dict[str, Any]], None]:
    return lambda _content, manifest: manifest["rows"].update({name: number})


UNFIT = {
    "a text that is a number": (changed(table("user"), username=7), "line 1: username: not of the type"),
    "a number that is a text": (changed(table("user"), id="1"), "line 1: id: not of the type"),
    "a number that is a truth": (changed(table("user"), id=True), "line 1: id: not of the type"),
    "no time": (changed(table("dataset"), frozen_at="yesterday"), "line 1: frozen_at: not of the type"),
    "an object for a text": (changed(table("audit"), details={}), "line 1: details: not of the type"),
    "a huge number": (changed(table("user"), id=10**30), "line 1: this or a later row cannot be stored"),
    "an unknown column": (changed(table("user"), password="x"), "it has no column 'password'"),
    "nothing where something must be": (changed(table("user"), username=None), "cannot be stored here"),
    "the same twice": (
        replaced(table("base_uri"), *[{"id": 1, "base_uri": RED}] * 2),
        "cannot be stored here",
    ),
    "not JSON": (replaced(table("user"), b"DROP TABLE user\n"), "user.ndjson.zst, line 1: "),
    "an array": (replaced(table("user"), [1]), "line 1: it is no JSON object"),
    "nested without end": (replaced(table("user"), b"[" * 200_000 + b"\n"), "line 1: it nests too deeply"),
    "not UTF-8": (replaced(table("user"), b'{"username": "\xff"}\n'), "line 1: "),
    "not compressed": (lambda content, _: content.update({table("user"): b"{}\n"}), "line 1: "),
    "cut off": (lambda content, _: content.update({table("user"): content[table("user")][:-9]}), "line 1: "),
    "without the end of a line": (replaced(table("user"), b"{}"), "line 1: it should not be there"),
    "fewer rows than it says": (counted(table("user"), 2), "line 2: it is missing"),
    "more rows than it says": (counted(DESCRIPTIONS, 1), "line 2: it should not be there"),
    "of no base URI": (changed(table("dataset"), base_uri_id=99), "do not fit together"),
    "described and not registered": (
        changed(DESCRIPTIONS, uri="s3://red/none"),
        "is not in it: s3://red/none",
    ),
    "a description that is none": (changed(DESCRIPTIONS, manifest="[]"), "line 1: no description"),
    "annotations that are none": (changed(DESCRIPTIONS, annotations='"x"'), "line 1: no description"),
    "a README that is none": (changed(DESCRIPTIONS, readme=None), "line 1: no description"),
    "a description that nests": (changed(DESCRIPTIONS, annotations="[" * 10**5), "line 1: no description"),
    "a line for the terminal": (changed(DESCRIPTIONS, uri="\x1b[2J\u202e"), "is not in it: "),
}


@pytest.mark.parametrize(("change", "reason"), UNFIT.values(), ids=UNFIT)
def test_what_does_not_fit_changes_nothing(
    filled: Path, there: CommandLine, tmp_path: Path, change: Callable[..., None], reason: str
) -> None:
    rewrite(filled, change)
    said = there.fail("restore", str(filled))
    assert reason in said
    assert said.isprintable()
    empty = tmp_path / "empty"
    assert not empty.exists() or list(empty.iterdir()) == []


@pytest.mark.parametrize("name", ["fewer rows than it says", "of no base URI", "a README that is none"])
def test_what_does_not_fit_leaves_what_is_there(filled: Path, there: CommandLine, name: str) -> None:
    there.succeed("restore", str(filled))
    before = there.succeed("user", "list"), there.succeed("dataset", "list")
    change, reason = UNFIT[name]
    rewrite(filled, change)
    assert reason in there.fail("restore", "--force", "--yes", str(filled))
    assert (there.succeed("user", "list"), there.succeed("dataset", "list")) == before
    assert "All stores agree" in there("dataset", "check").output


def test_columns_of_later_versions_are_filled(filled: Path, there: CommandLine) -> None:
    """A backup of an earlier version, whose tables lack a column or are not there."""

    def change(content: Content, manifest: dict[str, Any]) -> None:
        rows = unpacked(content[table("user")])
        content[table("user")] = packed(*({"id": row["id"], "username": row["username"]} for row in rows))
        for name in ("registered_name", "audit"):
            del content[table(name)], manifest["rows"][table(name)]

    rewrite(filled, change)
    there.succeed("restore", str(filled))
    assert [(user["username"], user["is_admin"]) for user in there.read("user", "list")] == [("alice", False)]


def test_what_is_pending_comes_back_as_it_was_before(
    server: Installation, mongo_settings: dict[str, str], there: CommandLine, tmp_path: Path
) -> None:
    """A change in MongoDB that nobody has acknowledged is not in a backup."""
    app = application(server.data, **mongo_settings)
    info = dataset_info(RED)
    with app.app_context():
        base_uris.create_base_uri(RED, [], [])
        registration.register_dataset(OPERATOR, operator_scope("register"), info)
        sql_db.session.commit()
        changes.begin_change([changes.Change(info["uri"], "readme")])
        app.retrieve.set_readme(info["uri"], "never acknowledged")  # type: ignore[attr-defined]
        said = CommandLine(app)("backup", str(tmp_path / "pending.tar"))
        assert said.exit_code == 0, said.output
        sql_db.session.rollback()
    there.succeed("restore", str(tmp_path / "pending.tar"))
    with there.runner.app.app_context():
        assert there.runner.app.retrieve.get_readme(info["uri"]) == info["readme"]  # type: ignore[attr-defined]
        sql_db.session.remove()


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"


@pytest.fixture
def things() -> Iterator[sa.Table]:
    """A table that an extension from elsewhere has brought."""
    made = sa.Table(
        "thing",
        sql_db.metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("dataset_id", sa.ForeignKey("dataset.id")),
        sa.Column("amount", sa.Numeric(12, 3)),
        sa.Column("share", sa.Float),
        sa.Column("day", sa.Date),
        sa.Column("at", sa.DateTime),
        sa.Column("hour", sa.Time),
        sa.Column("data", sa.LargeBinary),
        sa.Column("answers", sa.JSON),
        sa.Column("colour", sa.Enum(Colour)),
        sa.Column("key", sa.Uuid),
        sa.Column("is_new", sa.Boolean),
        info={OWN_MIGRATIONS: True},  # or a restore would make it
    )
    yield made
    sql_db.metadata.remove(made)


def test_tables_of_extensions_are_carried(
    things: sa.Table, template: Path, there: CommandLine, tmp_path: Path
) -> None:
    app = application(template.parent)
    filled = tmp_path / "extended.tar"
    row = {
        "id": 7,
        "dataset_id": 1,
        "amount": Decimal("12.345"),
        "share": 0.1,
        "day": date(2026, 11, 27),
        "at": datetime(2026, 11, 27, 1, 2, 3, 4),
        "hour": time(1, 2, 3),
        "data": b"\x00\xff",
        "answers": {"a": [1, None, 2**70]},
        "colour": Colour.BLUE,
        "key": uuid.UUID(int=5),
        "is_new": True,
    }
    with app.app_context():
        things.create(sql_db.engine)
        sql_db.session.execute(things.insert(), [row, {**dict.fromkeys(row), "id": 8}])
        sql_db.session.commit()
        sql_db.session.remove()
    CommandLine(app).succeed("backup", str(filled))
    # Where the extension is not installed, or its table not made, the rest comes back.
    done = there("restore", str(filled))
    assert done.exit_code == 0, done.output
    assert "Left out, because no extension in use here knows them: the table thing" in done.stderr
    with there.runner.app.app_context():
        things.create(sql_db.engine)
        sql_db.session.remove()
    done = there("restore", "--force", "--yes", str(filled))
    assert done.exit_code == 0, done.output
    assert "Left out" not in done.stderr
    with there.runner.app.app_context():
        found = [dict(found) for found in sql_db.session.execute(sa.select(things)).mappings()]
        sql_db.session.remove()
    assert found == [row, {**dict.fromkeys(row), "id": 8}]


def test_what_root_restores_belongs_to_whom_the_directory_belongs(filled: Path, server: Installation) -> None:
    """Where the tests are run by somebody else, all belongs to that one anyway."""
    place = server.home / "service"
    place.mkdir()
    if os.geteuid() == 0:
        os.chown(place, 12345, 12346)
    owner = (place.stat().st_uid, place.stat().st_gid)
    backup = server.home / "keys.tar"
    server.succeed("backup", "--with-keys", str(backup))
    for data in (place, place / "deep" / "data"):
        server.succeed("restore", str(backup), DSERVER_DATA_DIR=str(data))
        server.succeed("user", "add", "bob", DSERVER_DATA_DIR=str(data))
    found = [place, *place.rglob("*")]
    assert {"app.db", "jwt_key", "jwt_key.pub", "secret_key"} <= {path.name for path in found}
    assert {(path.stat().st_uid, path.stat().st_gid) for path in found} == {owner}
    modes = {path.name: path.stat().st_mode & 0o777 for path in found if path.is_file()}
    assert modes.pop("jwt_key.pub") == 0o644
    assert set(modes.values()) == {0o600}
