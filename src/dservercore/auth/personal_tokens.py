"""Personal tokens that come with requests: whose they are, and what they allow."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask_jwt_extended.exceptions import NoAuthorizationError
from sqlalchemy import bindparam, select

from dservercore.catalog.personal_tokens import CHECKSUM_LENGTH, PREFIX, SECRET_LENGTH, checksum, digest_of
from dservercore.catalog.scope import Credential
from dservercore.db.fast_reads import Remembered, Row
from dservercore.models import PersonalToken, User

# Begins what a token is called on record.
_NAME = "token "

_token, _user = PersonalToken.__table__, User.__table__


@dataclass(frozen=True)
class Found:
    """A personal token that is in the database. Times are seconds since the epoch, UTC.

    :param expires_at: None: never
    :param last_used_at: to some minutes; None: it was not used yet
    """

    id: int
    credential: Credential
    created_at: int
    expires_at: int | None
    last_used_at: int | None


def _found(rows: Sequence[Row]) -> Found | None:
    for key, username, may, base_uris, created_at, expires_at, last_used_at in rows:
        where = None if base_uris is None else frozenset(json.loads(base_uris))
        credential = Credential(username, f"{_NAME}{key}", frozenset(may.split()), where)
        return Found(key, credential, created_at, expires_at, last_used_at)
    return None


_TOKENS = select(
    _token.c.id,
    _user.c.username,
    _token.c.may,
    _token.c.base_uris,
    _token.c.created_at,
    _token.c.expires_at,
    _token.c.last_used_at,
).join_from(_token, _user)
_BY_DIGEST = Remembered(_TOKENS.where(_token.c.digest == bindparam("digest")), _found)
_BY_ID = Remembered(_TOKENS.where(_token.c.id == bindparam("id")), _found)


def find(token: str) -> Found:
    """Return the personal token of a text that begins with the prefix.

    :raises NoAuthorizationError: if there is none, or it has expired; answered as for a JSON Web Token that has, by
        which clients know that they need another one
    """
    secret = token[len(PREFIX) : -CHECKSUM_LENGTH]
    is_whole = token.isascii() and len(secret) == SECRET_LENGTH and token.endswith(checksum(secret))
    if not is_whole:
        raise NoAuthorizationError("The personal token is not whole: some of it is missing, or mistyped")
    found = _BY_DIGEST.get({"digest": digest_of(token)})
    if found is None:
        raise NoAuthorizationError("The personal token does not exist, or was revoked")
    if found.expires_at is not None and found.expires_at <= time.time():
        raise NoAuthorizationError("The personal token has expired")
    return found


def named(name: str) -> Found | None:
    """Return the personal token that is called *name* on record, expired or not; None if there is none."""
    number = name.removeprefix(_NAME)
    return _BY_ID.get({"id": int(number)}) if number != name and number.isdecimal() else None


def claims_of(found: Found) -> dict[str, Any]:
    """Return what a JSON Web Token of the same owner and time would say."""
    claims = {"sub": found.credential.username, "iat": found.created_at, "jti": found.credential.name}
    return claims if found.expires_at is None else claims | {"exp": found.expires_at}
