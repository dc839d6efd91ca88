"""What every connection has that does nothing but read: a memory of what hardly changes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Generic, TypeVar

Row = Sequence[Any]
Text = TypeVar("Text")

#: How many rows a connection remembers at most. The longest, of two URIs, take 4 kB: 80 MB.
MAX_REMEMBERED_ROWS = 20_000


class Reader(Generic[Text]):
    """A connection that reads, and what it remembers.

    Each kind of database has a subclass of its own.

    :param connection: of the driver
    :ivar is_kept: whether it may serve other requests afterwards
    """

    #: Whether two connections name the same version by the same name.
    SHARES_VERSIONS = False

    def __init__(self, connection: Any, is_kept: bool = True) -> None:
        self.connection: Any = connection
        self.is_kept = is_kept
        self._version: Hashable = None  # of the database, when what follows was read
        self._found: dict[Hashable, Any] = {}
        self._room = MAX_REMEMBERED_ROWS

    def rows_of(self, text: Text, parameters: Mapping[str, Any]) -> Sequence[Row]:
        """Return all rows of a statement.

        :param text: the statement as this kind of database takes it
        :raises sqlalchemy.exc.DBAPIError: as a session would, but without the values, which are not for the log
        """
        raise NotImplementedError

    def version(self) -> Hashable:
        """Return a value that is the same until somebody commits something, and different then; None: there is none.

        :raises sqlalchemy.exc.DBAPIError: if the database cannot answer
        """
        raise NotImplementedError

    def remembered(self, key: Hashable, version: Hashable) -> Any:
        """Return what is remembered under *key*; None if nothing is, or it is of another version.

        :param version: what :meth:`version` has returned
        """
        if version != self._version:
            self._forget(version)
        return self._found.get(key)

    def remember(self, key: Hashable, value: Any, rows: int) -> None:
        """Remember what was read after :meth:`remembered` did not know it.

        :param rows: how many rows were read; none counts as one, because the key takes room
        """
        if self._version is None:
            return
        rows = max(rows, 1)
        if rows > self._room:
            self._forget(self._version)
        if rows <= self._room:
            self._room -= rows
            self._found[key] = value

    def _forget(self, version: Hashable) -> None:
        self._version, self._found, self._room = version, {}, MAX_REMEMBERED_ROWS

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()
