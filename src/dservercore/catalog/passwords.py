"""Passwords that this server keeps: which there may be, how they are stored, and whose one is.

What is stored is an Argon2id hash, which takes memory and time to make. To find out that a password is wrong takes as
long for a name that nobody has, for users without a password and for service accounts as for anybody else.
"""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import select, update

from dservercore import db
from dservercore.catalog import audit, sessions, users
from dservercore.catalog.scope import Actor
from dservercore.dataset.document import check_text
from dservercore.db import sql_db
from dservercore.db.usernames import canonical
from dservercore.errors import ConflictError, UnavailableError, ValidationError, invalid
from dservercore.models import User

MIN_CHARACTERS = 12
MAX_BYTES = 1024  # in UTF-8
#: A password that a program which knows what people choose finds with fewer guesses is refused.
LEAST_GUESSES = 10**8
_ESTIMATED_CHARACTERS = (
    24  # what comes after them only makes it better; for 72, somebody can make it take seconds
)

#: Hashes that a process makes at the same time: each takes the memory below.
HASHES_AT_ONCE = 2
_MAX_WAIT = 20.0  # seconds

# 46 MiB and one pass: what OWASP's cheat sheet on storing passwords recommends. Changed, hashes follow at the next
# sign-in.
_hasher = PasswordHasher(time_cost=1, memory_cost=47104, parallelism=1)
_turns = threading.BoundedSemaphore(HASHES_AT_ONCE)
_user = User.__table__


# Checking


def check(username: str, password: str) -> str | None:
    """Return the name of the user who has a name and this password; None if nobody does.

    Nobody changes it until the transaction at hand ends, in which a hash of other parameters is made anew.

    :raises UnavailableError: if too many others are being checked
    """
    name, stored = _stored_for(username)
    is_right = _verify(stored or _hash_of_nobody(), password)
    if not is_right or stored is None:
        return None
    if not _hold(name, stored):
        return None
    if _hasher.check_needs_rehash(stored):
        _store(name, _hash(password))
    return name


def _stored_for(username: str) -> tuple[str, str | None]:
    """Return the name of a user as it is stored, and the hash of a password with which that user can sign in."""
    _hash_of_nobody()  # made by whoever comes first, known or not
    try:
        check_text(username, "username")
    except ValidationError:
        return "", None
    name = canonical(username)
    statement = select(_user.c.username, _user.c.password_hash).where(
        _user.c.username == name, ~_user.c.is_service
    )
    for row in sql_db.session.execute(statement):
        if row.username == name:  # some databases find names that differ in spaces at the end
            return name, row.password_hash
    return "", None


def _hold(username: str, stored: str | None) -> bool:
    """Return whether a user still has the password of a hash, which nobody changes until this transaction ends.

    To check a password takes long enough for it to be changed meanwhile, which ends the sessions that there are: one
    that began after that, with the password from before, would stay.
    """
    db.begin_write()
    statement = select(_user.c.username, _user.c.password_hash).where(_user.c.username == username)
    rows = sql_db.session.execute(statement.with_for_update()).all()
    return any((row.username, row.password_hash) == (username, stored) for row in rows)


@cache
def _hash_of_nobody() -> str:
    return _hash("nobody has this password")


def _verify(stored: str, password: str) -> bool:
    try:
        prepared = _prepared(password)
    except ValidationError:
        return False
    with _turn():
        try:
            return _hasher.verify(stored, prepared)
        except (VerificationError, InvalidHashError):
            return False


def _hash(password: str) -> str:
    with _turn():
        return _hasher.hash(_prepared(password))


@contextmanager
def _turn() -> Iterator[None]:
    if not _turns.acquire(timeout=_MAX_WAIT):
        raise UnavailableError("Too many people sign in at this moment: try again")
    try:
        yield
    finally:
        _turns.release()


def _prepared(password: str, field: str = "password") -> bytes:
    """Return the bytes of a password, which are the same however a keyboard makes its characters.

    As RFC 8265 has it (OpaqueString): blanks of every kind are one, and an accent is part of its letter (NFC). No
    character is refused, and nothing cut off.

    :raises ValidationError: 422 if it is too long, or no text
    """
    spaced = "".join(
        " " if unicodedata.category(char) == "Zs" else char for char in password[: MAX_BYTES + 1]
    )
    try:
        prepared = unicodedata.normalize("NFC", spaced).encode()
    except UnicodeEncodeError:
        raise invalid(field, "has half of a surrogate pair in it, which is no text") from None
    if len(prepared) > MAX_BYTES or len(password) > MAX_BYTES:
        raise invalid(field, f"must have at most {MAX_BYTES} bytes in UTF-8")
    return prepared


# Changing


def set_password(
    username: str, password: str, *, actor: Actor | None = None, field: str = "password"
) -> None:
    """Set the password of a user, and end the sessions of that user.

    :param field: what a message calls it
    :raises UnknownUserError: if nobody is registered under the name
    :raises ConflictError: if the user is a service account
    :raises ValidationError: 422 for a password that is too short, too long or easy to guess
    """
    display_name = users.get_user(username)["display_name"]
    checked_password(password, [username, display_name or ""], field)
    stored = _hash(password)
    db.begin_write()
    users.hold(username)
    sessions.require_person(username)
    _store(canonical(username), stored)
    sessions.end_all_of(username, actor=actor)
    audit.record(actor, "user.set_password", canonical(username))


def change_password(
    username: str, old: str | None, new: str, *, actor: Actor, keep: int | None = None
) -> None:
    """Set a user's own password, and end the user's sessions.

    :param old: the password until now; None: there is none
    :param keep: the id of a session that goes on; None: none does
    :raises ConflictError: if the user is a service account, or something else signs the user in
    :raises ValidationError: 422 if the old password is wrong, or missing, or the new one is not good enough
    """
    statement = select(_user.c.password_hash, _user.c.source, _user.c.display_name).where(
        _user.c.username == username
    )
    row = sql_db.session.execute(statement).one()
    sessions.require_person(username)
    if row.source is not None and row.password_hash is None:
        raise ConflictError("Your password is not kept here: change it where you sign in")
    if row.password_hash is not None and old is None:
        raise invalid("old", "is missing: you have a password")
    if row.password_hash is not None and not _verify(row.password_hash, old or ""):
        raise invalid("old", "is not your password")
    checked_password(new, [username, row.display_name or ""], "new")
    stored = _hash(new)
    if not _hold(username, row.password_hash):
        raise invalid("old", "is not your password any more: it was changed at this moment")
    _store(username, stored)
    sessions.end_all_of(username, but=keep, actor=actor)
    audit.record(actor, "user.set_password", username)


def remove_password(username: str, *, actor: Actor | None = None) -> bool:
    """Take the password of a user away, and end the sessions of that user. Return whether there was one.

    :raises UnknownUserError: if nobody is registered under the name
    """
    db.begin_write()
    users.hold(username)
    if not has_password(username):
        return False
    _store(canonical(username), None)
    sessions.end_all_of(username, actor=actor)
    audit.record(actor, "user.remove_password", canonical(username))
    return True


def has_password(username: str) -> bool:
    """Return whether a user has a password here.

    :raises UnknownUserError: if nobody is registered under the name
    """
    statement = select(_user.c.password_hash).where(_user.c.id == users.key_of_user(username))
    return sql_db.session.execute(statement).scalar() is not None


def anybody_has_one() -> bool:
    """Return whether there is a user with a password here."""
    statement = select(_user.c.id).where(_user.c.password_hash.is_not(None)).limit(1)
    return sql_db.session.execute(statement).first() is not None


def _store(username: str, stored: str | None) -> None:
    sql_db.session.execute(update(_user).where(_user.c.username == username).values(password_hash=stored))


def checked_password(password: str, about: list[str], field: str = "password") -> None:
    """Pass if a password is good enough: long, and not what people choose.

    :param about: words that whoever guesses will try first, such as the user's names
    :param field: what a message calls it
    :raises ValidationError: 422 that says what is wrong
    """
    if len(unicodedata.normalize("NFC", password[: MAX_BYTES + 1])) < MIN_CHARACTERS:
        raise invalid(field, f"must have at least {MIN_CHARACTERS} characters")
    text = _prepared(password, field).decode()
    from zxcvbn import zxcvbn  # with its lists of words, which take a tenth of a second

    words = [word for name in about for word in (name, *name.split()) if word]
    estimate = zxcvbn(text[:_ESTIMATED_CHARACTERS], user_inputs=[*words, "dserver", "dservercore", "dtool"])
    if estimate["guesses"] < LEAST_GUESSES:
        raise invalid(field, "is easy to guess: take several words that have nothing to do with each other")
