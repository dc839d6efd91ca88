"""The SQL database: its session, and what is particular about each kind of database behind it.

Most rooms import what they need from here. Reading without a session (``fast_reads``, all but its wiring), user names
(``usernames``, ``registered_names``) and ``statistics`` are imported by their own names. Nothing here imports
``models``.
"""

from dservercore.db.engine import close_connections, connection_beside, kind, locks_rows, sql_db
from dservercore.db.failures import DatabaseAwayError, address, is_in_use, reason
from dservercore.db.fast_reads import watch_engines
from dservercore.db.opening import init_databases, migrate
from dservercore.db.revisions import (
    UNFINISHED,
    VERSION_TABLE,
    Branch,
    branches_behind,
    current_revision,
    init_branches,
    is_unfinished,
    known_revision,
    known_revisions,
    migrations_directory,
    newest_revision,
    require_upgraded,
    upgrade_branches,
    what_is_missing,
)
from dservercore.db.sqlite_files import (
    READ_ONLY,
    SQLITE_BUSY_SECONDS,
    hold_file_lock,
    release_file_lock,
    require_there,
)
from dservercore.db.statements import (
    BYTES_AT_ONCE,
    batched,
    changed_rows,
    execute_many,
    insert_if_new,
    upsert,
)
from dservercore.db.transactions import (
    at_end_of_transaction,
    begin_write,
    commit,
    forget_unfinished,
    rollback,
)

__all__ = [
    "BYTES_AT_ONCE",
    "READ_ONLY",
    "SQLITE_BUSY_SECONDS",
    "UNFINISHED",
    "VERSION_TABLE",
    "Branch",
    "DatabaseAwayError",
    "address",
    "at_end_of_transaction",
    "batched",
    "begin_write",
    "branches_behind",
    "changed_rows",
    "close_connections",
    "commit",
    "connection_beside",
    "current_revision",
    "execute_many",
    "forget_unfinished",
    "hold_file_lock",
    "init_branches",
    "init_databases",
    "insert_if_new",
    "is_in_use",
    "is_unfinished",
    "kind",
    "known_revision",
    "known_revisions",
    "locks_rows",
    "migrate",
    "migrations_directory",
    "newest_revision",
    "reason",
    "release_file_lock",
    "require_there",
    "require_upgraded",
    "rollback",
    "sql_db",
    "upgrade_branches",
    "upsert",
    "watch_engines",
    "what_is_missing",
]
