"""From domain errors to HTTP: every error that a client can meet is JSON of one shape."""

from __future__ import annotations

import logging
from http import HTTPStatus
from itertools import islice
from typing import Any

from flask import Flask, Response, current_app, request
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as NoConnectionError
from werkzeug.exceptions import HTTPException, default_exceptions

from dservercore import db, errors
from dservercore.catalog import metrics
from dservercore.db import servers
from dservercore.rest.body_limits import too_large
from dservercore.rest.documentation import Api, for_visitors
from dservercore.rest.error_messages import message_of, message_of_status
from dservercore.rest.responses import as_json, json_answer

STATUS_OF = {
    errors.AuthenticationError: HTTPStatus.UNAUTHORIZED,
    errors.AuthorizationError: HTTPStatus.FORBIDDEN,
    errors.UnknownBaseURIError: HTTPStatus.NOT_FOUND,
    errors.UnknownURIError: HTTPStatus.NOT_FOUND,
    errors.UnknownDirectoryError: HTTPStatus.NOT_FOUND,
    errors.UnknownFileError: HTTPStatus.NOT_FOUND,
    errors.UnknownGroupError: HTTPStatus.NOT_FOUND,
    errors.UnknownTokenError: HTTPStatus.NOT_FOUND,
    errors.UnknownKeptSearchError: HTTPStatus.NOT_FOUND,
    errors.UnknownUploadError: HTTPStatus.NOT_FOUND,
    errors.UnknownUserError: HTTPStatus.NOT_FOUND,
    errors.ConflictError: HTTPStatus.CONFLICT,
    errors.PreconditionError: HTTPStatus.PRECONDITION_FAILED,
    errors.TooManyAttemptsError: HTTPStatus.TOO_MANY_REQUESTS,
    errors.ExpiredError: HTTPStatus.GONE,
    errors.UnsupportedError: HTTPStatus.NOT_IMPLEMENTED,
    errors.StorageError: HTTPStatus.BAD_GATEWAY,
    errors.FullStorageError: HTTPStatus.INSUFFICIENT_STORAGE,
    errors.UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.UnregisteredBaseURIError: HTTPStatus.BAD_REQUEST,
    errors.InvalidValueError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.ValidationError: HTTPStatus.BAD_REQUEST,
}

#: After so many seconds a client may try again what the database could not do.
RETRY_SECONDS = 1

#: Bytes of the errors of a body; above them, the answer only says which are the first fields with errors.
MAX_ERRORS_BYTES = 2**16
MAX_REPORTED, MAX_NAME = 20, 200

logger = logging.getLogger(__name__)


class JSONErrorApi(Api):
    """The ``flask_smorest`` API, with the reason given to ``abort`` and the headers of an error (``Allow``) kept."""

    def handle_http_exception(self, error: HTTPException) -> Any:
        """Return the JSON of an HTTP error raised by a route, by Flask or by ``abort``."""
        payload, status, headers = super().handle_http_exception(error)
        plain = default_exceptions.get(status)
        if "message" not in payload and plain and error.description != plain.description:
            payload["message"] = error.description
        if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and (message := too_large()):
            payload["message"] = message
        if status == HTTPStatus.NOT_FOUND and request.path == "/":
            payload["message"] = for_visitors(current_app)
        payload.setdefault("message", message_of(payload.get("errors")) or message_of_status(status))
        if "errors" in payload:
            payload["errors"] = shortened(payload["errors"])
        kept = {
            name: value
            for name, value in error.get_headers()
            if name.lower() in ("allow", "retry-after", "accept-encoding", "content-range")
        }
        return json_answer(payload, status, {**kept, **dict(headers or {})})


def init_errors(app: Flask) -> None:
    """Have domain errors answered as the table says, and errors of the database with 409, 500 or 503."""
    app.register_error_handler(errors.DserverError, _domain_error)
    for kind in (OperationalError, NoConnectionError, PendingRollbackError):
        app.register_error_handler(kind, _database_error)
    app.register_error_handler(DBAPIError, _other_database_error)
    app.register_error_handler(IntegrityError, _overtaken)


def status_of(error: Exception) -> int | None:
    """Return the HTTP status that answers a domain or HTTP error; None for any other, see :func:`payload_of`."""
    if isinstance(error, errors.DserverError):
        return next((int(STATUS_OF[kind]) for kind in type(error).__mro__ if kind in STATUS_OF), None)
    return error.code if isinstance(error, HTTPException) else None


def payload_of(error: Exception) -> dict[str, Any]:
    """Return the JSON that answers an error, for a request that goes on: one part of it has failed."""
    status = status_of(error)
    if isinstance(error, errors.ValidationError) and status:
        return _payload(status, error.message, _details(error))
    try:
        answer = current_app.make_response(current_app.handle_user_exception(error))
    except Exception as unexpected:
        logger.exception("A dataset could not be registered", exc_info=unexpected)
        answer = error_answer(HTTPStatus.INTERNAL_SERVER_ERROR, "")
    payload: dict[str, Any] = answer.get_json()
    return payload


def error_answer(status: int, message: str, details: Any = None) -> Response:
    """Return the answer to a request that failed.

    :param message: ``""``: made of *details*, or else of the status
    :param details: errors by place and field, if there are any
    """
    return json_answer(_payload(status, message, details), int(status))


def _payload(status: int, message: str, details: Any = None) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "code": int(status),
        "status": HTTPStatus(status).phrase,
        "message": message or message_of(details) or message_of_status(status),
    }
    if details:
        payload["errors"] = details
    return payload


def shortened(details: Any) -> Any:
    """Return errors by place and field as they are; if they take too much room, the first fields of each place."""
    if not isinstance(details, dict) or len(as_json(details)) <= MAX_ERRORS_BYTES:
        return details
    return {
        place: {str(field)[:MAX_NAME]: ["Has errors."] for field in islice(fields, MAX_REPORTED)}
        if isinstance(fields, dict)
        else [str(message)[:MAX_NAME] for message in fields[:MAX_REPORTED]]
        for place, fields in details.items()
    }


def _domain_error(error: errors.DserverError) -> Response:
    status = status_of(error)
    if status is None:
        logger.exception("A domain error without a status", exc_info=error)
        return error_answer(HTTPStatus.INTERNAL_SERVER_ERROR, "")
    if isinstance(error, (errors.AuthenticationError, errors.AuthorizationError)):
        metrics.refusal("not_accepted" if status == HTTPStatus.UNAUTHORIZED else "forbidden")
    answer = error_answer(status, error.message, _details(error))
    if isinstance(error, errors.TooManyAttemptsError):
        answer.headers["Retry-After"] = str(error.seconds)
    return answer


def _details(error: errors.DserverError) -> Any:
    if not isinstance(error, errors.ValidationError) or not error.errors:
        return None
    # Deep down nobody knows where a value came from. What a GET says is in the query string.
    return {"query" if request.method in ("GET", "HEAD") else error.location: error.errors}


def _database_error(error: Exception) -> Response:
    # The driver's text may name hosts, files and SQL: it is for the log alone.
    logger.error(
        "The database cannot serve: %s", db.reason(error) if isinstance(error, DBAPIError) else error
    )
    message = "The database cannot serve this request now; try again in a moment"
    if isinstance(error, DBAPIError) and (servers.lost_a_race(error) or servers.waited_too_long(error)):
        message = "Other requests change the same things at this moment; try again"
    elif isinstance(error, DBAPIError) and (missing := _what_is_missing(error)):
        return error_answer(HTTPStatus.SERVICE_UNAVAILABLE, missing)
    answer = error_answer(HTTPStatus.SERVICE_UNAVAILABLE, message)
    answer.headers["Retry-After"] = str(RETRY_SECONDS)
    return answer


def _other_database_error(error: DBAPIError) -> Response:
    if error.connection_invalidated:  # how a driver calls a connection that broke depends on the moment
        return _database_error(error)
    if missing := _what_is_missing(error):
        return error_answer(HTTPStatus.SERVICE_UNAVAILABLE, missing)
    logger.exception("The database refused a statement", exc_info=error)
    return error_answer(HTTPStatus.INTERNAL_SERVER_ERROR, "")


def _what_is_missing(error: DBAPIError) -> str | None:
    """Return what the administrator is to do about a table that is missing, and log it; None if none is."""
    db.rollback()
    missing = db.what_is_missing(error)
    if missing:
        logger.error("%s (%s)", missing, db.reason(error))
    return missing


def _overtaken(error: IntegrityError) -> Response:
    # A request checks before it writes; what another one writes in between, only the database sees.
    logger.warning("Overtaken by another request: %s", error.orig)
    return error_answer(
        HTTPStatus.CONFLICT, "Another request changed the same thing at this moment; try again"
    )
