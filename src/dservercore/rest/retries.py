"""A request whose transaction the database gave up in favour of another one is answered by trying once more."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask, request
from flask_smorest import Api
from sqlalchemy.exc import DBAPIError
from werkzeug.exceptions import HTTPException, NotFound

from dservercore import db
from dservercore.db import servers
from dservercore.rest.body_limits import REFUSED, take_small_body

ATTEMPTS = 5
PAUSE_SECONDS = 0.05  # doubled with each attempt, and shortened at random so that two do not meet again

Answer = TypeVar("Answer")

logger = logging.getLogger(__name__)


class RetryingFlask(Flask):
    """A Flask application that repeats a request that was the victim of a deadlock.

    Nothing of it has happened in the SQL database, and what plugins wrote for it they may write again. Requests to the
    blueprints of other packages are not repeated: nobody knows what else those do.

    :ivar repeatable: names of the blueprints whose requests may be repeated
    """

    repeatable: frozenset[str] = frozenset()
    _has_api = False

    def register_error_handler(self, code_or_exception: Any, f: Callable[..., Any]) -> None:
        """Have *f* answer errors of a kind, unless they are HTTP errors and *f* belongs to a second API.

        Each API of flask-smorest takes over all HTTP errors of the application. Ours is the first, and keeps them.
        """
        if code_or_exception is HTTPException and isinstance(getattr(f, "__self__", None), Api):
            if self._has_api:
                return
            self._has_api = True
        super().register_error_handler(code_or_exception, f)

    def dispatch_request(self) -> Any:
        """Return what the view function returns.

        :raises HTTPException: 404 for a path that begins with several slashes, which werkzeug takes for one slash; the
            error that the server has left in the environment, if it found something wrong with the body
        """
        if refused := request.environ.get(REFUSED):
            raise refused
        if request.environ.get("PATH_INFO", "").startswith("//"):
            request.routing_exception = NotFound()
        if request.routing_exception and _is_preflight():
            # So that a page can send the request itself, and read what is wrong with it.
            return self.response_class(status=200)
        if request.routing_exception or request.blueprint not in self.repeatable:
            return super().dispatch_request()
        if request.method not in ("GET", "HEAD"):
            take_small_body()
        return repeated(super().dispatch_request, f"{request.method} {request.path}")


def _is_preflight() -> bool:
    return request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers


def repeated(attempt: Callable[[], Answer], what: str) -> Answer:
    """Return what *attempt* returns, which is called again if it was the victim of a deadlock.

    :param what: what it does, for the log
    :raises DBAPIError: if the last attempt is a victim, too, or one fails for another reason
    """
    for number in range(1, ATTEMPTS):
        try:
            return attempt()
        except DBAPIError as error:
            if not servers.lost_a_race(error):
                raise
            logger.info("Repeating %s: %s", what, error.orig)
            db.rollback()
        time.sleep(random.uniform(0, PAUSE_SECONDS * 2**number))
    return attempt()
