"""From domain errors to HTTP: every error that a client can meet is JSON of one shape."""

from __future__ import annotations

import logging
from http import HTTPStatus
from itertools import islice
from typing import Any

from flask import Flask, Response, current_app
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as NoConnectionError
from werkzeug.exceptions import HTTPException, default_exceptions

from dservercore import connections, db, errors
from dservercore.api.answers import as_json, json_answer
from dservercore.api.docs import Api
from dservercore.body_limits import too_large

STATUS_OF = {
    errors.AuthenticationError: HTTPStatus.UNAUTHORIZED,
    errors.AuthorizationError: HTTPStatus.FORBIDDEN,
    errors.UnknownBaseURIError: HTTPStatus.NOT_FOUND,
    errors.UnknownURIError: HTTPStatus.NOT_FOUND,
    errors.UnknownUserError: HTTPStatus.NOT_FOUND,
    errors.ConflictError: HTTPStatus.CONFLICT,
    errors.PreconditionError: HTTPStatus.PRECONDITION_FAILED,
    errors.UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
}

#: After so many seconds a client may try again what the database could not do.
RETRY_SECONDS = 1

#: Bytes of the errors of a body, above which it is told of the first fields alone that they have some.
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
        if "errors" in payload:
            payload["errors"] = shortened(payload["errors"])
        kept = {
            name: value for name, value in error.get_headers() if name.lower() in ("allow", "retry-after")
        }
        return json_answer(payload, status, {**kept, **dict(headers or {})})


def init_errors(app: Flask) -> None:
    """Answer domain errors as the table says, and what only the database can know as well."""
    app.register_error_handler(errors.DserverError, _domain_error)
    app.register_error_handler(errors.ValidationError, _validation_error)
    for kind in (OperationalError, NoConnectionError, PendingRollbackError):
        app.register_error_handler(kind, _database_error)
    app.register_error_handler(DBAPIError, _other_database_error)
    app.register_error_handler(IntegrityError, _overtaken)


def status_of(error: Exception) -> int | None:
    """Return the status of the answer to a request that failed with an error; None if that takes more to find out."""
    if isinstance(error, errors.DserverError) and type(error) in STATUS_OF:
        return int(STATUS_OF[type(error)])
    if isinstance(error, errors.ValidationError):
        return error.status
    return error.code if isinstance(error, HTTPException) else None


def payload_of(error: Exception) -> dict[str, Any]:
    """Return what would be answered to a request that failed with an error, for one that goes on nevertheless."""
    if isinstance(error, errors.ValidationError) and type(error) not in STATUS_OF:
        return _payload(error.status, error.message, _details(error))
    try:
        answer = current_app.make_response(current_app.handle_user_exception(error))
    except Exception as unexpected:
        logger.exception("A dataset could not be registered", exc_info=unexpected)
        answer = error_answer(HTTPStatus.INTERNAL_SERVER_ERROR, "")
    payload: dict[str, Any] = answer.get_json()
    return payload


def error_answer(status: int, message: str, details: Any = None) -> Response:
    """Return the answer to a request that failed."""
    return json_answer(_payload(status, message, details), int(status))


def _payload(status: int, message: str, details: Any = None) -> dict[str, Any]:
    payload: dict[str, Any] = {"code": int(status), "status": HTTPStatus(status).phrase}
    if message:
        payload["message"] = message
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
    status = STATUS_OF.get(type(error), HTTPStatus.INTERNAL_SERVER_ERROR)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.exception("A domain error without a status", exc_info=error)
        return error_answer(status, "")
    return error_answer(status, error.message)


def _validation_error(error: errors.ValidationError) -> Response:
    return error_answer(error.status, error.message, _details(error))


def _details(error: errors.ValidationError) -> Any:
    return {error.location: error.errors} if error.errors else None


def _database_error(error: Exception) -> Response:
    # The driver's text may name hosts, files and SQL: it is for the log alone.
    logger.error(
        "The database cannot serve: %s", db.reason(error) if isinstance(error, DBAPIError) else error
    )
    message = "The database cannot serve this request now; try again in a moment"
    if isinstance(error, DBAPIError) and (
        connections.lost_a_race(error) or connections.waited_too_long(error)
    ):
        message = "Other requests change the same things at this moment; try again"
    answer = error_answer(HTTPStatus.SERVICE_UNAVAILABLE, message)
    answer.headers["Retry-After"] = str(RETRY_SECONDS)
    return answer


def _other_database_error(error: DBAPIError) -> Response:
    if error.connection_invalidated:  # how a driver calls a connection that broke depends on the moment
        return _database_error(error)
    logger.exception("The database refused a statement", exc_info=error)
    return error_answer(HTTPStatus.INTERNAL_SERVER_ERROR, "")


def _overtaken(error: IntegrityError) -> Response:
    # What a request found is checked before it writes; what comes in between, only the database sees.
    logger.warning("Overtaken by another request: %s", error.orig)
    return error_answer(
        HTTPStatus.CONFLICT, "Another request changed the same thing at this moment; try again"
    )
