"""Signatures of the server's own URLs: what somebody may do to one file of one dataset, and until when.

Who has such a URL needs no token. So a signature covers all that it allows, and can be moved to nothing else; whether
its user still may do it is for ``holders`` to ask each time that it is used.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import current_app

from dservercore.errors import AuthorizationError, ExpiredError, UnsupportedError

#: Longest signature that is looked at, in characters: of a file with a long path.
MAX_LENGTH = 16_384

# A key for this purpose alone, made of the one that all processes of a server have.
_PURPOSE_OF_KEY = b"dservercore: signed URLs, first form"


@dataclass(frozen=True)
class Holder:
    """For whom a URL is signed, and with what they came.

    :param username: None: a visitor
    :param credential: recorded name of the personal token; None: it was none
    :param session: number of the browser's session; None: it was none
    """

    username: str | None
    credential: str | None = None
    session: int | None = None


@dataclass(frozen=True)
class Claims:
    """What a signature says. Times are whole seconds since the epoch, UTC.

    :param method: of the request: ``GET``, which allows ``HEAD`` too, or ``PUT``
    :param purpose: what the route is for, such as ``read``: no route takes the signature of another one
    :param uri: of the dataset
    :param name: of what in the dataset is meant, such as the path of a file in its directory
    :param extra: anything more that JSON can express and the route depends on, such as a size and a hash
    """

    method: str
    purpose: str
    uri: str
    name: str
    holder: Holder
    issued_at: int
    expires_at: int
    extra: Mapping[str, Any] = field(default_factory=dict)


def sign(claims: Claims) -> str:
    """Return a signature, of letters, digits, ``-``, ``_`` and one dot, for the query string of a URL.

    :raises UnsupportedError: if the server has no ``SECRET_KEY``, of which one is made where none is configured
    """
    holder = claims.holder
    said = [
        claims.method,
        claims.purpose,
        claims.name,
        [holder.username, holder.credential, holder.session],
        claims.issued_at,
        claims.expires_at,
        dict(claims.extra),
    ]
    text = _as_text(json.dumps(said, separators=(",", ":")).encode())
    return f"{text}.{_mac(text, claims.uri)}"


def verify(signature: str, *, method: str, purpose: str, uri: str) -> Claims:
    """Return what a signature says, if it is one of this server for a request of that kind.

    :param method: of the request
    :param uri: of the dataset that the request is about
    :raises AuthorizationError: if it is not, whatever is wrong with it
    :raises UnsupportedError: if the server has no ``SECRET_KEY``
    :raises ExpiredError: if it was, and its time is over
    """
    text, _, mac = signature.partition(".")
    is_whole = len(signature) <= MAX_LENGTH and signature.isascii()
    # Texts are compared, not what they stand for: base64 has several texts for the same bytes.
    if not is_whole or not hmac.compare_digest(mac, _mac(text, uri)):
        raise _refusal()
    claims = _claims(text, uri)
    if claims.method != ("GET" if method == "HEAD" else method) or claims.purpose != purpose:
        raise _refusal()
    if claims.expires_at <= time.time():
        raise ExpiredError("The time of this URL is over: ask for another one")
    return claims


def _refusal() -> AuthorizationError:
    return AuthorizationError("The signature of this URL is not one of this server for this request")


def _claims(text: str, uri: str) -> Claims:
    try:
        said = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        method, purpose, name, holder, issued_at, expires_at, extra = said
        return Claims(method, purpose, uri, name, Holder(*holder), issued_at, expires_at, extra)
    except (binascii.Error, ValueError, TypeError):  # signed by another version of the server
        raise _refusal() from None


def _mac(text: str, uri: str) -> str:
    secret = current_app.secret_key
    if not secret:
        raise UnsupportedError("This server has no SECRET_KEY to sign URLs with")
    key = _key(secret.encode() if isinstance(secret, str) else secret)
    # The text has no line break, so that nothing can be moved from the one to the other.
    return _as_text(hmac.digest(key, f"{text}\n{uri}".encode("utf-8", "surrogatepass"), "sha256"))


@functools.lru_cache(maxsize=4)
def _key(secret: bytes) -> bytes:
    return hmac.digest(secret, _PURPOSE_OF_KEY, "sha256")


def _as_text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
