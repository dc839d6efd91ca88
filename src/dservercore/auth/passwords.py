"""Whose a name and a password are: asked of this server first, then of whoever else keeps passwords."""

from __future__ import annotations

import logging
from typing import Protocol

from flask import Flask, current_app

from dservercore import db
from dservercore.catalog import attempts, metrics, passwords, sessions
from dservercore.catalog.scope import Actor, acting
from dservercore.errors import (
    AuthenticationError,
    ConflictError,
    TooManyAttemptsError,
    UnavailableError,
    UnknownUserError,
    ValidationError,
)

#: What is answered for every reason, so that nobody learns which names there are.
REFUSAL = "The name or the password is not right"


class PasswordChecker(Protocol):
    """Somebody who can say whose a name and a password are."""

    #: How whoever is signed in by it has signed in, such as ``password`` or ``ldap``.
    means: str

    def check(self, username: str, password: str) -> str | None:
        """Return the name of the registered user who has this name and password; None: it knows nobody who does.

        What it writes is committed with the session that begins.

        :raises AuthenticationError: if it knows somebody who may not come
        :raises UnavailableError: if it cannot tell now
        """


class LocalPasswords:
    """Knows the passwords that this server keeps."""

    means = "password"

    def check(self, username: str, password: str) -> str | None:
        """Return the name of the user who has this name and password here; None if nobody does."""
        return passwords.check(username, password)


def password_checkers(app: Flask) -> list[PasswordChecker]:
    """Return those of an application, to which others may be added."""
    checkers: list[PasswordChecker] = app.extensions.setdefault(
        "dservercore-password-checkers", [LocalPasswords()]
    )
    return checkers


def authenticate(username: str, password: str) -> tuple[str, str]:
    """Return the name of the registered user who has a name and a password, and the means of whoever has said so.

    To be committed with the session that begins then: that the attempt has succeeded is part of the transaction.

    :raises AuthenticationError: if nobody does who can sign in; the message is the same for every reason
    :raises TooManyAttemptsError: if there were too many attempts
    :raises UnavailableError: if it cannot be told now
    """
    try:
        attempt = attempts.begin(username, acting().origin.place)
    except TooManyAttemptsError:
        metrics.sign_in("password", "limited")
        raise
    try:
        found, away = _asked_in_turn(username, password)
    except Exception:
        db.rollback()
        attempts.forget(attempt)
        metrics.sign_in("password", "failed")
        raise
    if found is None:
        db.rollback()
        metrics.sign_in("password", "failed" if away else "refused")
        # The attempt counts even if somebody could not be asked: those who were have said no.
        raise away or AuthenticationError(REFUSAL)
    attempts.succeed(attempt)
    return found


def _asked_in_turn(username: str, password: str) -> tuple[tuple[str, str] | None, UnavailableError | None]:
    """Return the name and the means, None if nobody knows them, and the error of whoever could not be asked.

    :raises UnavailableError: if this server cannot check its own passwords now
    """
    away = None
    for checker in password_checkers(current_app._get_current_object()):  # type: ignore[attr-defined]
        try:
            name = checker.check(username, password)
            if name is not None:
                sessions.require_person(name)
                return (name, checker.means), None
        except UnavailableError as error:
            if isinstance(checker, LocalPasswords):
                raise
            db.rollback()
            away = error
        except (AuthenticationError, ConflictError, UnknownUserError) as error:
            logging.getLogger(__name__).info("Refused by %s: %s", checker.means, error.message)
            db.rollback()
    return None, away


def change(actor: Actor, old: str | None, new: str, *, keep: int | None = None) -> None:
    """Set the password of the user who asks, and end that user's sessions. To be committed then.

    To name a wrong old password counts as an attempt to sign in.

    :param old: the password until now; None: there is none
    :param keep: the id of a session that goes on; None: none does
    :raises TooManyAttemptsError: if there were too many attempts
    :raises ConflictError: if the user is a service account, or something else signs the user in
    :raises ValidationError: 422 if the old password is wrong, or missing, or the new one is not good enough
    """
    username = str(actor.username)
    attempt = attempts.begin(username, actor.origin.place)
    try:
        passwords.change_password(username, old, new, actor=actor, keep=keep)
    except Exception as error:
        db.rollback()
        if not (isinstance(error, ValidationError) and "old" in (error.errors or {})):
            attempts.forget(attempt)
        raise
    attempts.succeed(attempt)
