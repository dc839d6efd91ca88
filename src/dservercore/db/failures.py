"""What the SQL database says when it fails, as it may be shown to others."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError

from dservercore.db import servers
from dservercore.db.engine import sql_db
from dservercore.errors import ConfigurationError
from dservercore.settings import secrecy


class DatabaseAwayError(ConfigurationError):
    """The database server does not answer now. When the server starts, that is no reason to end."""


def unusable(error: DBAPIError) -> ConfigurationError:
    """Return the error, in one line, for a database that cannot be opened."""
    kind = DatabaseAwayError if servers.is_away(error) else ConfigurationError
    return kind(f"The database {address()} cannot be opened: {reason(error)} (SQLALCHEMY_DATABASE_URI)")


def reason(error: DBAPIError) -> str:
    """Return the first line of what the database said, without the statement, its parameters and any secret."""
    line = str(error.orig).strip().partition("\n")[0]
    for secret in secrecy.secrets_of({"": sql_db.engine.url.render_as_string(hide_password=False)}):
        line = line.replace(secret, secrecy.HIDDEN)
    return secrecy.masked(line)


def is_in_use(error: DBAPIError) -> bool:
    """Return whether the statement waited too long for a lock that another transaction has."""
    return "locked" in reason(error) or servers.waited_too_long(error)


def address() -> str:
    """Return where the SQL database is, without password and options."""
    url = sql_db.engine.url
    return url.set(query={}).render_as_string(hide_password=True)
