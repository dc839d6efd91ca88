"""Tokens that were verified before: what is in one is remembered, and never whether it may pass.

Verifying a signature takes two thirds of a lookup (measured). It says that a key signed these claims, which stays true:
it is remembered, with the key and the settings. Whether the token is of now, and what those who have a say in it think
of it, such as a list of revoked tokens, is asked with every request.
"""

from __future__ import annotations

import marshal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

from flask import Flask, g, request
from flask_jwt_extended import JWTManager

#: Of all tokens that an application remembers; one of ours takes 2 kB.
MAX_BYTES = 4 * 2**20
#: Longer ones are verified each time.
MAX_LENGTH = 4096  # characters
# What one takes in memory beside its text and its content, roughly.
_OVERHEAD = 1000

# What a token is verified by. Whatever else the library reads is about making tokens, or about errors.
_SETTINGS = (
    "JWT_ALGORITHM",
    "JWT_DECODE_ALGORITHMS",
    "JWT_DECODE_AUDIENCE",
    "JWT_DECODE_ISSUER",
    "JWT_DECODE_LEEWAY",
    "JWT_HEADER_NAME",
    "JWT_HEADER_TYPE",
    "JWT_IDENTITY_CLAIM",
    "JWT_PUBLIC_KEY",
    "JWT_SECRET_KEY",
    "JWT_TOKEN_LOCATION",
    "JWT_VERIFY_SUB",
    "SECRET_KEY",
)

# What the library keeps of a token for the request, all but the user whom somebody has looked up.
_PREFIX, _USER = "_jwt_extended_", "_jwt_extended_jwt_user"
_CLAIMS, _HEADER = "_jwt_extended_jwt", "_jwt_extended_jwt_header"


class DecodingManager(JWTManager):
    """A ``JWTManager`` that knows who has a say in each token beside the library."""

    def __init__(self, *args: Any, **kwargs: Any):
        self.find_key: Callable[..., Any] | None = None
        self.is_revoked: Callable[..., Any] | None = None
        self.accepts: Callable[..., Any] | None = None
        self.find_user: Callable[..., Any] | None = None
        super().__init__(*args, **kwargs)

    @property
    def has_others(self) -> bool:
        """Whether there is anybody."""
        return bool(self.find_key or self.is_revoked or self.accepts or self.find_user)

    def decode_key_loader(self, callback: Callable[..., Any]) -> Callable[..., Any]:
        """Have *callback* choose the key."""
        self.find_key = callback
        return super().decode_key_loader(callback)

    def token_in_blocklist_loader(self, callback: Callable[..., Any]) -> Callable[..., Any]:
        """Have *callback* say which tokens are revoked."""
        self.is_revoked = callback
        return super().token_in_blocklist_loader(callback)

    def token_verification_loader(self, callback: Callable[..., Any]) -> Callable[..., Any]:
        """Have *callback* say which claims are acceptable."""
        self.accepts = callback
        return super().token_verification_loader(callback)

    def user_lookup_loader(self, callback: Callable[..., Any]) -> Callable[..., Any]:
        """Have *callback* find the user of a token."""
        self.find_user = callback
        return super().user_lookup_loader(callback)


@dataclass(frozen=True)
class _Decoded:
    """What is in a token.

    :param settings: those by which it was verified
    :param key: what a callback chose to verify it with; None: the one in the settings
    :param content: what the library keeps of it; as bytes, because their size is known and nobody changes them
    """

    settings: tuple[Any, ...]
    key: Any
    content: bytes


class DecodedTokens:
    """What an application remembers, by ``Authorization`` header, within ``MAX_BYTES``."""

    def __init__(self) -> None:
        self._decoded: dict[str, _Decoded] = {}
        self._lock = Lock()
        self.size = 0

    def __len__(self) -> int:
        return len(self._decoded)

    def get(self, header: str) -> _Decoded | None:
        """Return what is in the token of a header; None if that is not known."""
        return self._decoded.get(header)

    def add(self, header: str, decoded: _Decoded) -> None:
        """Remember what is in the token of a header, and forget all others if there is no room for it."""
        size = len(header) + len(decoded.content) + _OVERHEAD
        with self._lock:
            if header in self._decoded or self.size + size > MAX_BYTES:
                self._decoded, self.size = {}, 0
            self._decoded[header] = decoded
            self.size += size


def decoded_tokens(app: Flask) -> DecodedTokens:
    """Return what an application remembers."""
    tokens: DecodedTokens | None = app.extensions.get("dservercore-decoded-tokens")
    return (
        app.extensions.setdefault("dservercore-decoded-tokens", DecodedTokens()) if tokens is None else tokens
    )


def take_decoded(app: Flask) -> dict[str, Any] | None:
    """Let the request have what is remembered of its token, and return the claims.

    None if the library must verify the token: it is not known, or anything about it is not as it should be, and the
    library says what.
    """
    decoded = decoded_tokens(app).get(request.headers.get("Authorization", ""))
    manager = app.extensions.get("flask-jwt-extended")
    if decoded is None or not isinstance(manager, DecodingManager) or decoded.settings != _settings(app):
        return None
    content = marshal.loads(decoded.content)
    claims: dict[str, Any] = content[_CLAIMS]
    if not _is_of_now(claims, app.config["JWT_DECODE_LEEWAY"]):
        return None
    content[_USER] = None
    if manager.has_others and not _is_acceptable(manager, content, decoded.key):
        return None
    vars(g._get_current_object()).update(content)
    return claims


def _is_acceptable(manager: DecodingManager, content: dict[str, Any], key: Any) -> bool:
    """Return whether those who have a say in each token accept one; add the user whom they find to its content."""
    about = content[_HEADER], content[_CLAIMS]
    if (
        (manager.find_key and manager.find_key(*about) != key)
        or (manager.is_revoked and manager.is_revoked(*about))
        or (manager.accepts and not manager.accepts(*about))
    ):
        return False
    if manager.find_user:
        user = manager.find_user(*about)
        content[_USER] = {"loaded_user": user}
        return user is not None
    return True


def remember_decoded(app: Flask) -> None:
    """Remember what is in the token of the request, which the library has verified just now."""
    manager = app.extensions.get("flask-jwt-extended")
    authorization = request.headers.get("Authorization", "")
    if not 0 < len(authorization) <= MAX_LENGTH or not isinstance(manager, DecodingManager):
        return
    kept = {name: getattr(g, name) for name in g if name.startswith(_PREFIX) and name != _USER}
    if kept.get("_jwt_extended_jwt_location") != "headers":
        return
    key = manager.find_key(kept[_HEADER], kept[_CLAIMS]) if manager.find_key else None
    decoded_tokens(app).add(authorization, _Decoded(_settings(app), key, marshal.dumps(kept)))


def _settings(app: Flask) -> tuple[Any, ...]:
    return tuple(map(app.config.get, _SETTINGS))


def _is_of_now(claims: Mapping[str, Any], leeway: float) -> bool:
    """Return whether a token has begun and not ended."""
    now = time.time()
    return (
        ("exp" not in claims or int(claims["exp"]) > now - leeway)
        and ("nbf" not in claims or int(claims["nbf"]) <= now + leeway)
        and ("iat" not in claims or int(claims["iat"]) <= now + leeway)
    )
