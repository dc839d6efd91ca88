"""Tokens that were verified before: what is in one is remembered, and never whether it may pass.

Verifying a signature takes two thirds of a lookup (measured). It says that a key signed these claims, which stays true:
it is remembered, with the key and the settings. Whether the token is valid at this moment, and what registered
callbacks say of it, such as a list of revoked tokens, is asked with every request.
"""

from __future__ import annotations

import marshal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from threading import Lock
from typing import Any

from flask import Flask, g, has_request_context, jsonify, request
from flask_jwt_extended import JWTManager, default_callbacks, get_jwt_identity
from flask_jwt_extended.config import config as jwt_config

from dservercore.catalog import metrics
from dservercore.errors import AuthenticationError

#: Of all tokens that an application remembers; one of ours takes 2 kB.
MAX_BYTES = 4 * 2**20
#: Longer ones are verified each time.
MAX_LENGTH = 4096  # characters
# Bytes that a token takes in memory beside its text and its content, roughly.
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

# What the library keeps of a token for the request, but for the user, whom a callback looks up.
_PREFIX, _USER = "_jwt_extended_", "_jwt_extended_jwt_user"
_CLAIMS, _HEADER = "_jwt_extended_jwt", "_jwt_extended_jwt_header"


class DecodingManager(JWTManager):
    """A ``JWTManager`` that keeps the callbacks which have a say in each token beside the library."""

    def __init__(self, *args: Any, **kwargs: Any):
        self.find_key: Callable[..., Any] | None = None
        self.is_revoked: Callable[..., Any] | None = None
        self.accepts: Callable[..., Any] | None = None
        self.find_user: Callable[..., Any] | None = None
        super().__init__(*args, **kwargs)
        for set_answer, answer in (
            (self.expired_token_loader, default_callbacks.default_expired_token_callback),
            (self.invalid_token_loader, default_callbacks.default_invalid_token_callback),
            (self.unauthorized_loader, default_callbacks.default_unauthorized_callback),
            (self.needs_fresh_token_loader, default_callbacks.default_needs_fresh_token_callback),
            (self.revoked_token_loader, default_callbacks.default_revoked_token_callback),
            (self.user_lookup_error_loader, default_callbacks.default_user_lookup_error_callback),
            (
                self.token_verification_failed_loader,
                default_callbacks.default_token_verification_failed_callback,
            ),
        ):
            set_answer(_with_message(answer))

    @property
    def has_others(self) -> bool:
        """Whether any such callback is registered."""
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


def _with_message(answer: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that makes the library's answer to a bad token, with the ``message`` that every error has."""
    refused = answer.__name__.removeprefix("default_").removesuffix("_callback")

    @wraps(answer)
    def answer_with_message(*about: Any) -> Any:
        if refused == "unauthorized":
            has_token = jwt_config.header_name in request.headers
            metrics.refusal("invalid_token" if has_token else "missing_token")
        else:
            metrics.refusal(refused)
        response, status = answer(*about)
        reason = response.get_json()[jwt_config.error_msg_key]
        return jsonify({jwt_config.error_msg_key: reason, "message": reason}), status

    return answer_with_message


@dataclass(frozen=True)
class _Decoded:
    """What is in a token.

    :param settings: the settings by which it was verified
    :param key: what a callback chose to verify it with; None: the one in the settings
    :param content: what the library keeps of it in ``flask.g``, marshalled: the size is known and nobody changes it
    """

    settings: tuple[Any, ...]
    key: Any
    content: bytes


class DecodedTokens:
    """What is in the tokens that an application remembers, by the header that had it, within ``MAX_BYTES``."""

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
    """Return the tokens that an application remembers."""
    tokens: DecodedTokens | None = app.extensions.get("dservercore-decoded-tokens")
    return (
        app.extensions.setdefault("dservercore-decoded-tokens", DecodedTokens()) if tokens is None else tokens
    )


def take_decoded(app: Flask) -> dict[str, Any] | None:
    """Let the request have what is remembered of its token, and return the claims.

    Return None if the library must verify the token: it is not remembered, or something is wrong with it, and the
    library says what.
    """
    decoded = decoded_tokens(app).get(_header_with_token(app))
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
    """Return whether the callbacks accept a token; add the user whom they find to its content."""
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
    header = _header_with_token(app)
    if not 0 < len(header) <= MAX_LENGTH or not isinstance(manager, DecodingManager):
        return
    kept = {name: getattr(g, name) for name in g if name.startswith(_PREFIX) and name != _USER}
    if kept.get("_jwt_extended_jwt_location") != "headers":
        return
    key = manager.find_key(kept[_HEADER], kept[_CLAIMS]) if manager.find_key else None
    decoded_tokens(app).add(header, _Decoded(_settings(app), key, marshal.dumps(kept)))


def take_claims(app: Flask, claims: dict[str, Any]) -> None:
    """Let the request have claims for which somebody else vouches, where the library keeps those of its tokens.

    :raises AuthenticationError: if a callback that is registered with the library finds no user for them
    """
    manager = app.extensions.get("flask-jwt-extended")
    content: dict[str, Any] = {
        _CLAIMS: claims | {app.config["JWT_IDENTITY_CLAIM"]: claims["sub"]},
        _HEADER: {},
        "_jwt_extended_jwt_location": "headers",
        _USER: None,
    }
    if isinstance(manager, DecodingManager) and manager.find_user:
        content[_USER] = {"loaded_user": manager.find_user({}, claims)}
        if content[_USER]["loaded_user"] is None:
            raise AuthenticationError(f"User {claims['sub']!r} is not known")
    vars(g._get_current_object()).update(content)


def identity_of_request() -> str | None:
    """Return the identity of the token of the request, whoever has verified it: our guards, or the library's own.

    None where there is no request, no token, or nobody has verified it. Only on our own routes is it certain that the
    user is registered.
    """
    if not has_request_context():
        return None
    if "username" in g:  # a guard has looked, which knows who is registered, and where tokens are disabled
        username: str | None = g.username
        return username
    identity = get_jwt_identity() if g.get(_CLAIMS) else None
    return None if identity is None else str(identity)


def _header_with_token(app: Flask) -> str:
    # Where the settings name another one, what is in `Authorization` may be the same for everybody.
    return request.headers.get(app.config["JWT_HEADER_NAME"], "")


def _settings(app: Flask) -> tuple[Any, ...]:
    return tuple(map(app.config.get, _SETTINGS))


def _is_of_now(claims: Mapping[str, Any], leeway: float) -> bool:
    """Return whether a token has begun, but for the leeway, and not ended."""
    now = time.time()
    return (
        ("exp" not in claims or int(claims["exp"]) > now)
        and ("nbf" not in claims or int(claims["nbf"]) <= now + leeway)
        and ("iat" not in claims or int(claims["iat"]) <= now + leeway)
    )


#: The tokens of the application: callbacks that have a say in them beside the library are registered here.
jwt = DecodingManager()
