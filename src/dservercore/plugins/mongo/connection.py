"""The connection of a plugin to its collection: made when it is first needed, in each process anew."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pymongo
from bson.errors import BSONError
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import (
    ConfigurationError as AddressError,
)
from pymongo.errors import (
    ConnectionFailure,
    DocumentTooLarge,
    InvalidName,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)
from pymongo.uri_parser import parse_uri

from dservercore.errors import ConfigurationError, OutOfTimeError, UnavailableError, ValidationError
from dservercore.plugins.mongo.defaults import DEFAULTS

if TYPE_CHECKING:
    from flask import Flask

logger = logging.getLogger(__name__)

Document = dict[str, Any]

# Options of the driver, unless the address says otherwise. Nobody is kept waiting for a server that is away
# or hangs, and a write that was acknowledged has reached the disk: of most members, in a replica set.
CLIENT_OPTIONS: dict[str, Any] = {
    "serverSelectionTimeoutMS": 3_000,
    "connectTimeoutMS": 3_000,
    # Not timeoutMS, which makes the driver try again until it is over, although nobody is there.
    "socketTimeoutMS": 8_000,
    "w": "majority",
    "journal": True,
    "appname": "dservercore",
}

PING_SECONDS = 3.0

#: Seconds that the driver waits for the answer to a search, beyond those that the server is given for it.
ON_TOP_OF_A_SEARCH_SECONDS = 2.0

# Error codes of the server, https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml
_NOT_AUTHORISED = {13, 18, 8000}
_OUT_OF_SPACE = {14031}
_TOO_LARGE = {10334, 17419, 17420}
_NO_SUCH_MAJORITY = {64, 79, 100}  # a write concern that the server cannot fulfil
_TOO_LONG = {50, 262}  # MaxTimeMSExpired, ExceededTimeLimit


class MissingSettingError(ConfigurationError, RuntimeError):
    """A setting of the plugin is not in the configuration of the application."""


class Connection:
    """The collection that ``<prefix>_URI``, ``<prefix>_DB`` and ``<prefix>_COLLECTION`` name.

    :param prefix: ``SEARCH_MONGO``, ``RETRIEVE_MONGO`` or ``DSERVER_MONGO``
    :param prepare: called with the collection before its first use in a process
    :param kind: what the store is called in messages; None: as the prefix begins
    """

    def __init__(self, prefix: str, prepare: Callable[[Collection[Document]], None], kind: str | None = None):
        self.prefix = prefix
        self._kind = kind or prefix.partition("_")[0].lower()
        self._prepare = prepare
        self._settings: Mapping[str, str] = {}
        self._options: Mapping[str, Any] = CLIENT_OPTIONS
        self._lock = threading.RLock()
        self._client: MongoClient[Document] | None = None
        self._process: int | None = None
        self._is_prepared = False
        self._prepares = True

    def settings_from(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the plugin's three settings by name, as *environ* has them, or else their defaults."""
        return {
            f"{self.prefix}_{name}": environ.get(f"{self.prefix}_{name}") or DEFAULTS[name]
            for name in DEFAULTS
        }

    @property
    def secrets(self) -> list[str]:
        """The names of the settings that must not be shown."""
        return [f"{self.prefix}_{name}" for name in DEFAULTS]

    def configure(self, config: Mapping[str, Any], longest_seconds: float = 0.0) -> None:
        """Take the settings from the configuration of an application, without connecting to anything.

        :param longest_seconds: how long the longest operation, a search, may take; 0: none takes longer than others
        :raises MissingSettingError: if a setting is missing
        :raises ConfigurationError: if the address is not one of a MongoDB server, or a name cannot be one there
        """
        for setting in self.secrets:
            if not config.get(setting):
                raise MissingSettingError(f"{setting}: missing; the mongo plugin needs it")
        address = config[f"{self.prefix}_URI"]
        if not isinstance(address, str) or not address.startswith(("mongodb://", "mongodb+srv://")):
            raise ConfigurationError(
                f"{self.prefix}_URI: not the address of a MongoDB server (mongodb://host:port/)"
            )
        try:
            if address.startswith("mongodb://"):  # of mongodb+srv:// a name server alone knows more
                parse_uri(address)
        except (PyMongoError, ValueError):  # whose text may show the password
            raise ConfigurationError(
                f"{self.prefix}_URI: not the address of a MongoDB server"
                " (mongodb://user:password@host:port/?option=value, with escapes where a part has : / ? # [ ] @)"
            ) from None
        self.close()
        self._settings = {name: config[f"{self.prefix}_{name}"] for name in DEFAULTS}
        patience = int(1000 * (longest_seconds + ON_TOP_OF_A_SEARCH_SECONDS))
        self._options = {
            **CLIENT_OPTIONS,
            "socketTimeoutMS": max(CLIENT_OPTIONS["socketTimeoutMS"], patience),
        }
        if address.startswith("mongodb://"):
            self._check()

    def _check(self) -> None:
        # Finds what the driver refuses: an unknown option of the address, a certificate that is not there.
        try:
            client = self._connect()
        except (PyMongoError, ValueError, OSError) as error:
            reason = (
                "an option of the address is not valid" if not isinstance(error, OSError) else error.strerror
            )
            raise ConfigurationError(f"{self.prefix}_URI: {reason}") from error
        try:
            name = client[self._settings["DB"]][self._settings["COLLECTION"]].full_name
            # The server refuses these, the driver does not. Some letters are left for collections beside it.
            if len(self._settings["DB"].encode()) > 63 or len(name.encode()) > 200 or "$" in name:
                raise InvalidName
        except (InvalidName, TypeError):
            raise ConfigurationError(
                f"{self.prefix}_DB and {self.prefix}_COLLECTION: not the names of a database and a collection"
            ) from None
        finally:
            client.close()

    # -- Access ------------------------------------------------------------------------------------------------------

    @property
    def client(self) -> MongoClient[Document]:
        """The client of this process; a client that was made before the process forked must not be used in it."""
        if self._client is None or self._process != os.getpid():
            with self._lock:
                if self._client is None or self._process != os.getpid():
                    self._client, self._process, self._is_prepared = self._connect(), os.getpid(), False
        return self._client

    def _connect(self) -> MongoClient[Document]:
        address = self._settings["URI"]
        given = {option.lower() for option in _options_of(address)}
        options = {name: value for name, value in self._options.items() if name.lower() not in given}
        return MongoClient(address, connect=False, uuidRepresentation="standard", tz_aware=False, **options)

    @property
    def db(self) -> Database[Document]:
        """The database."""
        return self.client[self._settings["DB"]]

    @property
    def collection(self) -> Collection[Document]:
        """The collection, whether or not it is prepared."""
        return self.db[self._settings["COLLECTION"]]

    def leave_as_it_is(self) -> None:
        """Have the collection not prepared before its first use, because it is only read from."""
        self._prepares = False

    def close(self) -> None:
        """End the connections of this process; the next use makes new ones."""
        with self._lock:
            if self._client is not None and self._process == os.getpid():
                self._client.close()
            self._client = None

    @contextmanager
    def open(self) -> Iterator[Collection[Document]]:
        """Yield the collection, prepared. Errors of the driver in the ``with`` block become domain errors.

        :raises UnavailableError: if the server is away, hangs or refuses
        :raises ValidationError: if MongoDB cannot hold what is written in the block
        """
        with self._domain_errors():
            collection = self.collection
            if self._prepares and not self._is_prepared:
                with self._lock:  # other threads wait: they cannot use it before it is prepared
                    if not self._is_prepared:
                        self._prepare(collection)
                        self._is_prepared = True
            yield collection

    def ping(self) -> None:
        """Pass if the server answers.

        :raises UnavailableError: if it does not
        """
        with self._domain_errors(), pymongo.timeout(PING_SECONDS):
            self.db.command("ping")

    @contextmanager
    def _domain_errors(self) -> Iterator[None]:
        try:
            yield
        except DocumentTooLarge:
            raise _too_large() from None
        except OperationFailure as error:
            if is_too_large(error):
                raise _too_large() from None
            if error.timeout or error.code in _NOT_AUTHORISED | _OUT_OF_SPACE | _TOO_LONG | _NO_SUCH_MAJORITY:
                raise self._unavailable(error) from error
            raise
        except ConnectionFailure as error:
            raise self._unavailable(error) from error
        except AddressError as error:  # such as a replica set of another name
            raise self._unavailable(error) from error
        except PyMongoError as error:
            if error.timeout:
                raise self._unavailable(error) from error
            raise
        except (BSONError, OverflowError, UnicodeEncodeError) as error:
            raise ValidationError(f"MongoDB cannot hold the dataset: {error}") from error

    def _unavailable(self, error: PyMongoError) -> UnavailableError:
        # The driver's text names hosts: it is for the log alone.
        logger.error("%s: MongoDB cannot serve: %s", self.prefix, error)
        kind = self._kind
        if isinstance(error, OperationFailure):
            if error.code in _NOT_AUTHORISED:
                return UnavailableError(f"The {kind} store (MongoDB) does not let the server in")
            if error.code in _OUT_OF_SPACE:
                return UnavailableError(f"The {kind} store (MongoDB) has no space left")
            if error.code in _NO_SUCH_MAJORITY:
                return UnavailableError(
                    f"The {kind} store (MongoDB) cannot write to as many members as it should"
                )
        elif isinstance(error, ServerSelectionTimeoutError) or not error.timeout:
            return UnavailableError(f"The {kind} store (MongoDB) cannot be reached; try again in a moment")
        return OutOfTimeError(f"The {kind} store (MongoDB) took too long; try again in a moment")


def have_one_collection(app: Flask) -> bool:
    """Return whether the bundled search and retrieve plugins are both in use, and have the same collection.

    :raises ConfigurationError: if a retrieve plugin of somebody else would overwrite what the search plugin stores
    """
    pairs = [
        (app.config.get(f"SEARCH_MONGO_{name}"), app.config.get(f"RETRIEVE_MONGO_{name}"))
        for name in DEFAULTS
    ]
    used = [getattr(getattr(app, kind, None), "connection", None) for kind in ("search", "retrieve")]
    if any(one != other for one, other in pairs) or not isinstance(used[0], Connection):
        return False
    if not isinstance(used[1], Connection):
        raise ConfigurationError(
            "SEARCH_MONGO_COLLECTION: the retrieve plugin writes to the same collection; name another one"
        )
    return True


def _options_of(address: str) -> list[str]:
    """Return the names of the options in an address."""
    query = address.partition("?")[2]
    return [part.partition("=")[0] for part in query.replace(";", "&").split("&") if part]


def is_too_large(error: PyMongoError) -> bool:
    """Return whether a document was refused because it has more than 16 MB."""
    return isinstance(error, DocumentTooLarge) or (
        isinstance(error, OperationFailure) and error.code in _TOO_LARGE
    )


def _too_large() -> ValidationError:
    return ValidationError(
        "The dataset has too much metadata: README, annotations and tags take more than 16 MB"
    )
