"""What can go wrong in the domain. ``rest/errors.py`` has the one table that maps these to HTTP.

The names and their bases are part of the interface for plugin authors, who catch and raise them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class DserverError(Exception):
    """Base of every error that this package raises on purpose."""

    @property
    def message(self) -> str:
        """The reason, in a form that may be shown to a client."""
        return str(self.args[0]) if self.args else ""


class ValidationError(DserverError, ValueError):
    """A value is not acceptable.

    :param message: what is wrong, and what would be right
    :param errors: ``{field: [message]}``, nested as the fields are; None: the fields are not known
    :param location: where the fields are: ``json`` (the body) or ``query``
    """

    def __init__(self, message: str = "", errors: Mapping[str, Any] | None = None, location: str = "json"):
        super().__init__(message)
        self.errors = dict(errors) if errors else None
        self.location = location


class InvalidValueError(ValidationError):
    """The request can be understood, but the server does not take one of the values in it."""


def invalid(field: str, reason: str, location: str = "json") -> InvalidValueError:
    """Return the error that says what is wrong with *field* of a request."""
    return InvalidValueError(f"{field}: {reason}", {field: [reason]}, location)


class AuthenticationError(DserverError, ValueError):
    """Nobody is registered under the user name that the token carries."""


class AuthorizationError(DserverError, ValueError):
    """The user is registered, but lacks the permission."""


class ConflictError(DserverError):
    """The request contradicts what is stored (a grant that exists already, a base URI in use)."""


class PreconditionError(DserverError):
    """The value to change is not the one that the request is meant for: somebody else was faster."""


class _NotFoundError(DserverError, KeyError):
    # KeyError's own __str__ puts quotes round the message.
    def __str__(self) -> str:
        return self.message


class UnknownBaseURIError(_NotFoundError):
    """The base URI is not registered."""


class UnregisteredBaseURIError(UnknownBaseURIError, ValidationError):
    """A document to register names a base URI that is not registered, and so is not acceptable."""


class UnknownURIError(_NotFoundError):
    """No dataset is registered under the URI."""


class UnknownDirectoryError(_NotFoundError):
    """The dataset has no such directory."""


class UnknownFileError(_NotFoundError):
    """The dataset has no such file."""


class UnknownGroupError(_NotFoundError):
    """There is no such group."""


class UnknownTokenError(_NotFoundError):
    """The user has no such token."""


class UnknownKeptSearchError(_NotFoundError):
    """The user keeps no such search."""


class UnknownUploadError(_NotFoundError):
    """Nobody is uploading such a dataset, or such a file of it."""


class UnknownUserError(_NotFoundError):
    """No user is registered under the name."""


class TooManyAttemptsError(DserverError):
    """Somebody has tried too often to guess a secret.

    :param message: what was tried, and when it may be tried again
    :param seconds: after which it may
    """

    def __init__(self, message: str = "", seconds: int = 1):
        super().__init__(message)
        self.seconds = seconds


class ExpiredError(DserverError):
    """What the request is made with was good for a time that is over."""


class UnsupportedError(DserverError):
    """The server cannot do this here: not with this storage, or not with what it says at the moment."""


class StorageError(DserverError):
    """A storage that datasets are written to has refused, or is out of reach."""


class FullStorageError(StorageError):
    """There is no room where a dataset is to be stored."""


class ConfigurationError(DserverError):
    """The server cannot start as it is configured. The message is one line for the administrator."""


class UnavailableError(DserverError):
    """Something the server depends on is out of reach for now."""


class OutOfTimeError(UnavailableError):
    """A search would take longer than it may, and was ended."""
