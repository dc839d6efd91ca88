"""Which migrations have run on the database, and which come with this version."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask, current_app
from sqlalchemy import inspect
from sqlalchemy.exc import DBAPIError

from dservercore.db import servers
from dservercore.db.engine import sql_db
from dservercore.db.failures import address, unusable
from dservercore.errors import ConfigurationError

#: A table that is there as long as a database of the original server is being taken over.
UNFINISHED = "unfinished_adoption"


def migrations_directory() -> Path:
    """Return where the migrations are: inside an installed package, at the top of a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parents[1] / "migrations"


def current_revision() -> str | None:
    """Return the revision that the database is at; None if no migration has run on it.

    :raises ConfigurationError: if it cannot be opened
    """
    try:
        with sql_db.engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    except DBAPIError as error:
        raise unusable(error) from None
    except TypeError as error:  # PyMySQL, of a parameter of the address that it does not know
        raise ConfigurationError(
            f"The database {address()} cannot be opened: {error} (SQLALCHEMY_DATABASE_URI)"
        ) from None


def what_is_missing(error: DBAPIError) -> str | None:
    """Return what to do about the missing table that an error is about; None if it has, or may have, another cause."""
    if not servers.lacks_table(error.orig):
        return None
    try:
        require_upgraded()
    except ConfigurationError as cause:
        return cause.message
    except DBAPIError:
        return None
    if "column" in str(error.orig):  # of a statement of a plugin, perhaps
        return None
    return "The database lacks a table that it should have: `flask restore` brings back a backup"


def is_unfinished() -> bool:
    """Return whether the database of an original server has been taken over in part."""
    return inspect(sql_db.engine).has_table(UNFINISHED)


def newest_revision() -> str | None:
    """Return the revision of the last migration that comes with this version."""
    return ScriptDirectory(str(migrations_directory())).get_current_head()


def known_revisions() -> set[str]:
    """Return the revisions of the migrations that come with this version."""
    scripts = ScriptDirectory(str(migrations_directory()))
    return {script.revision for script in scripts.walk_revisions()}


def known_revision() -> str | None:
    """Return the revision that the database is at; None if no migration has run on it.

    :raises ConfigurationError: if it cannot be opened, is not taken over completely, or is at a revision of another
        program or version
    """
    revision = current_revision()
    if is_unfinished():
        raise ConfigurationError("The database is not taken over completely: run `flask adopt` again")
    if revision is not None and revision not in known_revisions():
        raise ConfigurationError(
            f"The database is at revision {revision}, which is none of this version."
            " If the original server made it, `flask adopt` takes it over"
        )
    return revision


def require_upgraded() -> None:
    """Pass if the database has the tables that this version, and the extensions in use, work with.

    :raises ConfigurationError: if it cannot be opened, or ``flask db upgrade`` has to run first
    """
    if known_revision() != newest_revision():
        raise ConfigurationError("The database is not up to date: run `flask db upgrade` first")
    if behind := branches_behind():
        raise ConfigurationError(
            f"The tables of {', '.join(behind)} are not up to date: run `flask db upgrade` first"
        )


# The migrations of extensions. Each has a history, and a table that says how far it has come, of its own: so an
# extension can be removed, and what it did to the database is nothing that the server would have to know.

#: How the names of the tables begin that say how far the migrations of extensions have come.
VERSION_TABLE = "alembic_version"
_BRANCHES = "dservercore-branches"


@dataclass(frozen=True)
class Branch:
    """The migrations of one extension.

    :param name: the key of the extension in ``/config/versions``
    :param directory: where its migrations are
    """

    name: str
    directory: Path

    @property
    def version_table(self) -> str:
        """Name of the table that says which of the migrations have run."""
        return f"{VERSION_TABLE}_{self.name}"

    def script(self) -> ScriptDirectory:
        """Return the migrations, as Alembic reads them from the directory."""
        return ScriptDirectory(str(migrations_directory()), version_locations=[str(self.directory)])

    def current(self) -> set[str]:
        """Return the revisions that the database is at; empty: no migration of the extension has run."""
        with sql_db.engine.connect() as connection:
            options = {"version_table": self.version_table}
            return set(MigrationContext.configure(connection, opts=options).get_current_heads())


def init_branches(app: Flask, of_extensions: Iterable[Branch]) -> None:
    """Have the migrations of extensions run, and checked, together with those of the server.

    :raises ConfigurationError: if one of the directories is not there
    """
    branches = list(of_extensions)
    for branch in branches:
        if not branch.directory.is_dir():
            raise ConfigurationError(f"The migrations of {branch.name} are not in {branch.directory}")
    app.extensions[_BRANCHES] = branches


def branches_behind() -> list[str]:
    """Return the names of the extensions whose tables are not as the extension expects them.

    :raises ConfigurationError: if the tables of an extension are at a revision that its installed release does not have
    """
    behind = []
    for branch in current_app.extensions.get(_BRANCHES, ()):
        script, current = branch.script(), branch.current()
        _require_known(branch, script, current)
        if current != set(script.get_heads()):
            behind.append(branch.name)
    return behind


def _require_known(branch: Branch, script: ScriptDirectory, current: set[str]) -> None:
    unknown = current - {revision.revision for revision in script.walk_revisions()}
    if unknown:
        raise ConfigurationError(
            f"The tables of {branch.name} are at revision {', '.join(sorted(unknown))}, which is none of the release"
            " of it that is installed: install the newer one"
        )


def upgrade_branches(sql: bool = False) -> list[str]:
    """Run the migrations of extensions that have not run yet. Return the names of the extensions that had some.

    :param sql: print what would be executed on a new database instead
    :raises ConfigurationError: if the tables of an extension are at a revision that its installed release does not have
    """
    behind = (
        {branch.name for branch in current_app.extensions.get(_BRANCHES, ())} if sql else branches_behind()
    )
    for branch in current_app.extensions.get(_BRANCHES, ()):
        if branch.name in behind:
            command.upgrade(_config_of(branch), "heads", sql=sql)
    return sorted(behind)


def _config_of(branch: Branch) -> Config:
    config: Config = current_app.extensions["migrate"].migrate.get_config(str(migrations_directory()))
    config.set_main_option("version_path_separator", "os")
    config.set_main_option("version_locations", str(branch.directory).replace("%", "%%"))
    config.attributes["version_table"] = branch.version_table  # for migrations/env.py
    return config
