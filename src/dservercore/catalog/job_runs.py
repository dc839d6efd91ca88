"""Doing what is in the queue, one job after the other."""

from __future__ import annotations

import logging
import threading
from typing import Any

from flask import Flask, current_app
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from dservercore import db
from dservercore.catalog import jobs
from dservercore.errors import UnavailableError

#: Seconds between two looks at a queue in which nothing is due.
LOOK_SECONDS = 2.0

logger = logging.getLogger(__name__)


def work(is_over: threading.Event, once: bool = False) -> int:
    """Do jobs until *is_over* is set, and the one in hand is done. Return how many were tried.

    :param once: end as soon as nothing is due
    :raises sqlalchemy.exc.SQLAlchemyError: if the database is away, with *once*; else it is waited for
    """
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    number = 0
    while not is_over.is_set():
        try:
            # A context, and so a session, of its own for each job.
            with app.app_context():
                is_done = do_next()
        except SQLAlchemyError:
            if once:
                raise
            logger.warning("The queue cannot be read or written at the moment", exc_info=True)
            is_done = False
        number += is_done
        if is_done:
            continue
        if once:
            break
        is_over.wait(LOOK_SECONDS)
    return number


def do_next(lease_seconds: float = jobs.LEASE_SECONDS) -> bool:
    """Do the job that is due for the longest time. Return whether there was one.

    :param lease_seconds: how long nobody else takes the job; the lease is renewed while the job goes on
    """
    claimed = jobs.claim(lease_seconds)
    if claimed is None:
        return False
    try:
        with _Renewal(claimed, lease_seconds):
            jobs.handlers()[claimed.kind](claimed.payload)
        if not jobs.finish(claimed):
            db.rollback()
            logger.warning("Somebody else does, or has removed, job %d (%s)", claimed.id, claimed.kind)
            return True
        db.commit()
    except Exception as error:
        db.rollback()
        is_tried_again = jobs.fail(claimed, error)
        db.commit()
        then = "it will be tried again" if is_tried_again else "see `flask jobs list`"
        told = (claimed.id, claimed.kind, claimed.attempts, then)
        if isinstance(error, UnavailableError):  # which says what is away: where in the code adds nothing
            logger.warning("Job %d (%s) failed, attempt %d: %s. %s", *told, error.message)
        else:
            logger.exception("Job %d (%s) failed, attempt %d: %s", *told)
    return True


class _Renewal:
    """Renews the lease of a job for as long as it is done."""

    def __init__(self, claimed: jobs.Claim, lease_seconds: float):
        self._claimed, self._lease_seconds = claimed, lease_seconds
        self._app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
        self._is_over = threading.Event()

    def __enter__(self) -> None:
        threading.Thread(target=self._renew, daemon=True).start()

    def __exit__(self, *_: Any) -> None:
        # Not waited for: on SQLite it may itself wait for the transaction of the job.
        self._is_over.set()

    def _renew(self) -> None:
        while not self._is_over.wait(self._lease_seconds / 3):
            try:
                with self._app.app_context(), db.connection_beside() as connection:
                    jobs.renew(connection, self._claimed, self._lease_seconds)
            except DBAPIError:
                logger.info("The lease of job %d could not be renewed", self._claimed.id, exc_info=True)
