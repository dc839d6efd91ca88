"""The address of the SQL database: what people write, and the driver that it is opened with."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from dservercore.errors import ConfigurationError

SETTING = "SQLALCHEMY_DATABASE_URI"

# What other programs, and providers of databases, call them.
_OTHER_NAMES = {"postgres": "postgresql", "pgsql": "postgresql", "sqlite3": "sqlite"}
# Parameters for an encoding to talk to the server in: all text is Unicode, and not all of it would go through another.
_ENCODINGS = {"postgresql": ("client_encoding",), "mysql": ("charset",), "mariadb": ("charset",)}


@dataclass(frozen=True)
class Driver:
    """A package that speaks with a kind of server.

    :param name: what SQLAlchemy calls it, behind the ``+`` of an address
    :param module: what is imported
    """

    name: str
    module: str

    def is_installed(self) -> bool:
        """Return whether the module can be found."""
        return find_spec(self.module) is not None


_MYSQL = (
    Driver("pymysql", "pymysql"),
    Driver("mysqldb", "MySQLdb"),
    Driver("mysqlconnector", "mysql.connector"),
)

#: The drivers that the server works with, the preferred one first: it is what the extra installs.
DRIVERS = {
    "postgresql": (Driver("psycopg", "psycopg"), Driver("psycopg2", "psycopg2")),
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
}

#: The extra of this package with the preferred driver.
EXTRAS = {"postgresql": "postgresql", "mysql": "mysql", "mariadb": "mysql"}


def with_driver(address: str | URL) -> str:
    """Return an address of a database with the driver to use.

    The kind of database suffices; one that is called otherwise elsewhere (``postgres://``) gets its own name. A driver
    that is named, but not installed, gives way to another one that is.

    :raises ConfigurationError: if it is no address, or no driver for it is installed
    """
    try:
        url = make_url(address.strip() if isinstance(address, str) else address)
    except (ArgumentError, ValueError):  # ValueError: the port is no number
        raise ConfigurationError(
            f"{SETTING}: not a database address (dialect://user:password@host/name)"
        ) from None
    name, _, driver = url.drivername.lower().partition("+")
    name = _OTHER_NAMES.get(name, name)
    if "@" in (url.host or ""):  # of a password, then, which would be shown as a part of the host
        raise ConfigurationError(f"{SETTING}: an @ in the user name or password has to be written as %40")
    if name in DRIVERS:
        driver = _driver_for(name, driver)
        url = url.difference_update_query(_ENCODINGS[name])
    changed = url.set(drivername=f"{name}+{driver}" if driver else name)
    _require_synchronous(changed)
    if changed == url and isinstance(address, str):
        return address.strip()
    return changed.render_as_string(hide_password=False)


def of_file(file: Path) -> str:
    """Return the address of an SQLite file."""
    return URL.create("sqlite", database=str(file)).render_as_string()


def file_of(address: str | URL) -> str | None:
    """Return the path of an SQLite file as an address has it; None if that is no path, or of another database."""
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        return None
    is_file = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
    return url.database if is_file and not str(url.database).startswith("file:") else None


def _driver_for(kind: str, wanted: str) -> str:
    known = DRIVERS[kind]
    if wanted and wanted not in [driver.name for driver in known]:
        return wanted  # at one's own risk
    installed = [driver.name for driver in known if _is_installed(driver)]
    if wanted in installed:
        return wanted
    if installed:
        return installed[0]
    modules = " or ".join(driver.module for driver in known)
    raise ConfigurationError(
        f"{SETTING}: no driver for {kind} is installed ({modules}): pip install 'dservercore[{EXTRAS[kind]}]'"
    )


def _is_installed(driver: Driver) -> bool:
    try:
        return driver.is_installed()
    except ImportError:  # a package inside of another one, which is not there
        return False


def _require_synchronous(url: URL) -> None:
    """Pass if SQLAlchemy has a dialect for an address, and the server can use it.

    :raises ConfigurationError: otherwise
    """
    kind = url.get_backend_name()
    try:
        is_async = url.get_dialect().is_async
    except NoSuchModuleError:
        if kind in DRIVERS:
            raise ConfigurationError(
                f"{SETTING}: no driver is called {url.drivername!r}; {kind}:// takes the one that is installed"
            ) from None
        raise ConfigurationError(
            f"{SETTING}: no database is called {kind!r}; known are sqlite, postgresql, mysql and mariadb"
        ) from None
    if is_async:
        raise ConfigurationError(
            f"{SETTING}: {url.drivername} is a driver for asyncio, which the server cannot use;"
            f" {kind}:// takes the one that is installed"
        )
