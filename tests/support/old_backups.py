"""Backups as earlier versions made them, which had the database itself: made of those that this version makes."""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
import subprocess
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy


def of_sqlite(file: Path, database: Path) -> Path:
    """Return a backup beside the backup *file*, with the same keys, and the database in a file of SQLite."""
    copy = file.with_name("copy.sqlite")
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
        target.execute("PRAGMA journal_mode = DELETE")
        revision = target.execute("SELECT version_num FROM alembic_version").fetchone()[0]
    content = copy.read_bytes()
    copy.unlink()
    return _written(file, {"database": "sqlite", "revision": revision}, "database.sqlite", content)


def of_postgresql(file: Path, address: str) -> Path:
    """Return a backup beside the backup *file*, with the same keys, and what ``pg_dump`` makes of a database."""
    url = sqlalchemy.make_url(address).set(drivername="postgresql")
    dump = ["pg_dump", "--format=custom", url.render_as_string(hide_password=False)]
    content = subprocess.run(dump, check=True, capture_output=True).stdout
    return _written(file, {"database": "postgresql"}, "database.pgdump", content)


def _written(file: Path, changes: dict[str, Any], name: str, database: bytes) -> Path:
    with tarfile.open(file) as tar:
        old = {member: tar.extractfile(member).read() for member in tar.getnames()}  # type: ignore[union-attr]
    manifest = json.loads(old.pop("manifest.json"))
    content = {name: database, **{member: old[member] for member in old if member.startswith("keys/")}}
    manifest |= {"format": 1, "files": described(content), **changes}
    del manifest["rows"], manifest["undescribed"]
    made = file.with_name("old.tar")
    with tarfile.open(made, "w") as tar:
        for member, text in {"manifest.json": json.dumps(manifest).encode(), **content}.items():
            info = tarfile.TarInfo(member)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))
    return made


def described(content: dict[str, bytes]) -> dict[str, dict[str, Any]]:
    """Return size and checksum of each file, as a manifest has them."""
    return {
        name: {"size": len(text), "sha256": hashlib.sha256(text).hexdigest()}
        for name, text in content.items()
    }
