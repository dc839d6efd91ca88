"""Backups of format 1, of a server on PostgreSQL: restored by PostgreSQL's own programs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import IO

from sqlalchemy import Connection, inspect, text

from dservercore.catalog.backup.archive import BackupError
from dservercore.db import UNFINISHED, close_connections, registered_names, sql_db
from dservercore.models import SEARCH_INDEX

_LOCK_SECONDS = 10

# A setting that the programs of version 17 write into every script, and that older servers do not know.
_NEW_SETTING, _NEW_SETTING_SINCE = b"SET transaction_timeout = 0;", 17
_HEADER_LINES = 60

# What a dump shall not ask of the role that restores it.
_PORTABLE = ["--no-owner", "--no-privileges", "--no-comments"]


def put(dump: Path) -> None:
    """Replace the server's tables by those of a dump, and note that it was restored, in one transaction.

    :raises BackupError: if that fails; the database is as it was then
    """
    with sql_db.engine.connect() as connection:
        version = _server_version(connection)
        ours = {*sql_db.metadata.tables, "alembic_version", UNFINISHED}
        # No model describes the search index, and a backup from before it was there does not replace it.
        tables = {
            table
            for table in inspect(connection).get_table_names()
            if table in ours or table.startswith(SEARCH_INDEX)
        }
    for program in ("pg_restore", "psql"):
        _require_version(program, version)
    close_connections()
    unpack = ["pg_restore", "--file=-", "--clean", "--if-exists", *_PORTABLE, str(dump)]
    load = ["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null", "--file=-"]
    with tempfile.TemporaryFile() as unpacking_errors, tempfile.TemporaryFile() as errors:
        unpacking = _started(unpack, errors=unpacking_errors, output=subprocess.PIPE)
        loading = _started([*load, *_connection_options()], errors=errors, source=subprocess.PIPE)
        assert unpacking.stdout
        assert loading.stdin
        try:
            loading.stdin.write(_beginning(tables))
            _pass_on(unpacking.stdout, loading.stdin, version)
            if unpacking.wait() == 0:
                loading.stdin.write(_end())
            loading.stdin.close()
        except BrokenPipeError:  # psql has refused, and says why
            unpacking.kill()
            unpacking.wait()
        if loading.wait():
            _require_success(loading, errors, "psql")
        _require_success(unpacking, unpacking_errors, "pg_restore")


def _beginning(tables: set[str]) -> bytes:
    """Return how the transaction begins; it ends by a word of its own, and never because its text was cut off."""
    lines = ["BEGIN;", f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s';"]
    # Tables of a later version may refer to tables that the dump has.
    lines += [f'DROP TABLE IF EXISTS "{table}" CASCADE;' for table in sorted(tables)]
    return "\n".join([*lines, ""]).encode()


def _end() -> bytes:
    # A dump names the schema of each table, and leaves none to be looked in.
    statements = ["RESET search_path", *registered_names.restoration(), "COMMIT"]
    return "".join(f"\n{statement};" for statement in statements).encode() + b"\n"


def _pass_on(source: IO[bytes], target: IO[bytes], version: int) -> None:
    for _ in range(_HEADER_LINES):
        line = source.readline()
        if version >= _NEW_SETTING_SINCE or line.strip() != _NEW_SETTING:
            target.write(line)
    shutil.copyfileobj(source, target, 2**20)


# -- PostgreSQL's programs -------------------------------------------------------------------------------------------


def _server_version(connection: Connection) -> int:
    return int(connection.execute(text("SHOW server_version_num")).scalar_one()) // 10000


def _require_version(program: str, wanted: int) -> None:
    if shutil.which(program) is None:
        raise BackupError(
            f"{program} is not installed: it comes with PostgreSQL's client programs"
            f" (on Debian and Ubuntu: apt install postgresql-client), version {wanted} or later"
        )
    said = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    found = re.search(r"\d+", said)
    if not found or int(found[0]) < wanted:
        raise BackupError(
            f"{program} is of version {found[0] if found else 'unknown'}, and the PostgreSQL server of {wanted}:"
            f" install client programs of version {wanted} or later"
        )


def _arguments() -> dict[str, str]:
    """Return how the database is connected to, in the words of PostgreSQL's library."""
    engine = sql_db.engine
    given = engine.dialect.create_connect_args(engine.url)[1]
    given = {{"database": "dbname"}.get(name, name): str(value) for name, value in given.items()}
    return {name: value for name, value in given.items() if name not in ("client_encoding", "context")}


def _connection_options() -> list[str]:
    quoted = {
        name: re.sub(r"(['\\])", r"\\\1", value) for name, value in _arguments().items() if name != "password"
    }
    return ["--no-password", "--dbname=" + " ".join(f"{name}='{value}'" for name, value in quoted.items())]


def _started(
    command: list[str], errors: IO[bytes], output: int = subprocess.DEVNULL, source: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    # Not among the arguments, which every user of the machine can see.
    secret = {"PGPASSWORD": _arguments()["password"]} if "password" in _arguments() else {}
    environment = {**os.environ, **secret, "LC_ALL": "C.UTF-8"}
    return subprocess.Popen(command, stdin=source, stdout=output, stderr=errors, env=environment)


def _require_success(process: subprocess.Popen[bytes], errors: IO[bytes], program: str) -> None:
    if process.returncode == 0:
        return
    errors.seek(0)
    lines = [line for line in errors.read().decode(errors="replace").splitlines() if line.strip()]
    named = next((line for line in lines if "error:" in line.lower()), lines[-1] if lines else "")
    reason = re.sub(r"^.*?(?:error|fatal):\s*", "", named, flags=re.IGNORECASE)
    if "lock timeout" in reason:
        raise BackupError("The database is in use: stop the server first")
    raise BackupError(f"{program} failed: {reason or f'status {process.returncode}'}")
