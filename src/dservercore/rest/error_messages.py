"""The one sentence that every error has: which field is to blame, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

MAX_LENGTH = 500  # characters
_MAX_DEPTH = 100

# Messages of errors that have none of their own.
_BY_STATUS = {
    400: "The request cannot be understood",
    401: "This needs a valid token of a registered user",
    403: "You may not do this",
    404: "There is nothing at this address",
    405: "This cannot be done here: the header Allow lists the methods that can be used",
    409: "It contradicts what is stored",
    413: "The body is too large",
    415: "The body is of a type that is not read here",
    422: "Something in the request is not acceptable",
    500: "The server failed; its log says why, under the X-Request-ID of this answer",
    503: "The server cannot do this now; try again in a moment",
}


def message_of(errors: Any) -> str:
    """Return a sentence about the first field of errors by place and field, such as marshmallow gives.

    :param errors: ``{"json" | "query": {field: [message]}}``, where fields may have fields of their own
    :returns: ``""`` if there is no message in them
    """
    path: list[str] = []
    while isinstance(errors, Mapping) and errors and len(path) < _MAX_DEPTH:
        name, errors = next(iter(errors.items()))
        path.append(str(name))
    if isinstance(errors, (list, tuple)):
        errors = next(iter(errors), "")
    if not isinstance(errors, str) or not errors:
        return ""
    field = ".".join(name for name in path[1:] if name != "_schema")  # without the place
    return shortened(f"{field}: {errors}" if field else errors)


def message_of_status(status: int) -> str:
    """Return a message for an error of which nothing but its HTTP status is known."""
    try:
        return _BY_STATUS.get(status) or HTTPStatus(status).phrase
    except ValueError:
        return "The request failed"


def shortened(message: str) -> str:
    """Return a message; of one with more than ``MAX_LENGTH`` characters, the beginning."""
    return message if len(message) <= MAX_LENGTH else f"{message[: MAX_LENGTH - 1]}…"
