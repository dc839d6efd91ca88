"""A request whose transaction the database gave up in favour of another one is answered by trying once more."""

from __future__ import annotations

import functools
import inspect
import logging
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask, Request, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from sqlalchemy.exc import DBAPIError

from dservercore import connections, db
from dservercore.body_limits import take_small_body

ATTEMPTS = 5
PAUSE_SECONDS = 0.05  # doubled with each attempt, and shortened at random so that two do not meet again

Answer = TypeVar("Answer")

logger = logging.getLogger(__name__)


@functools.lru_cache(maxsize=1024)
def _is_synchronous(func: Callable[..., Any]) -> bool:
    return not inspect.iscoroutinefunction(func)


class SessionOfCookie(SecureCookieSessionInterface):
    """Reads the session of a request only where it has the cookie of one: making what checks a signature takes long."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Return the session of a request: an empty one if it has no cookie, None if there is no secret key."""
        if app.secret_key and "HTTP_COOKIE" not in request.environ:
            return self.session_class()
        return super().open_session(app, request)


class RetryingFlask(Flask):
    """A Flask application that repeats a request that was the victim of a deadlock.

    Nothing of it has happened in the SQL database, and what plugins wrote for it they may write again. Requests to the
    blueprints of other packages are not repeated: nobody knows what else those do.

    :ivar repeatable: names of the blueprints whose requests may be repeated
    """

    repeatable: frozenset[str] = frozenset()
    session_interface = SessionOfCookie()

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return *func*, or what waits for its result if it is a coroutine function.

        Finding out takes three microseconds, several times in every request, and comes out the same each time.
        """
        return func if _is_synchronous(getattr(func, "__func__", func)) else super().ensure_sync(func)

    def dispatch_request(self) -> Any:
        """Return what the view function returns."""
        if request.blueprint not in self.repeatable:
            return super().dispatch_request()
        if request.method not in ("GET", "HEAD"):
            take_small_body()
        return repeated(super().dispatch_request, f"{request.method} {request.path}")


def repeated(attempt: Callable[[], Answer], what: str) -> Answer:
    """Return what *attempt* returns, which is called again if it was the victim of a deadlock.

    :param what: it does, for the log
    """
    for number in range(1, ATTEMPTS):
        try:
            return attempt()
        except DBAPIError as error:
            if not connections.lost_a_race(error):
                raise
            logger.info("Repeating %s: %s", what, error.orig)
            db.rollback()
        time.sleep(random.uniform(0, PAUSE_SECONDS * 2**number))
    return attempt()
