"""Tokens of a provider: whether it has signed them, for whom, and when. What is in one is believed after that alone."""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Mapping
from typing import Any

from authlib.oidc.core import CodeIDToken
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry
from joserfc.jwt import JWTClaimsRegistry

from dservercore.auth.oidc.providers import Provider
from dservercore.errors import AuthenticationError

#: By which a token may be signed: with a key that the provider alone has.
ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
)
#: Characters of the longest token that is looked at.
MAX_LENGTH = 2**16
_MAX_HEADER = 2**13


class _Registry(JWSRegistry):
    """The library's rules of signatures, with room for a certificate in the header."""

    max_header_length = _MAX_HEADER


class RefusedTokenError(AuthenticationError):
    """A token is not what it should be. The message is for the log; whoever sent it learns only that it is not good."""


def unverified(token: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return header and claims of what looks like a token, of which nothing is to be believed; None if it does not."""
    parts = token.split(".")
    if len(token) > MAX_LENGTH or len(parts) != 3:  # header, claims, signature
        return None
    header, claims = _object_in(parts[0]), _object_in(parts[1])
    return None if header is None or claims is None else (header, claims)


def _object_in(part: str) -> dict[str, Any] | None:
    try:
        found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError, binascii.Error):
        return None
    return found if isinstance(found, dict) else None


def _verified(provider: Provider, token: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims of a token that the provider has signed.

    :raises RefusedTokenError: if it has not
    :raises ProviderError: if the provider's keys are not known, and cannot be fetched
    """
    looks_like = unverified(token) if isinstance(token, str) else None
    if looks_like is None:
        raise RefusedTokenError("it is no JSON Web Token")
    header, claims = looks_like
    algorithm = header.get("alg")
    if algorithm not in ALGORITHMS or "crit" in header or "b64" in header:
        raise RefusedTokenError("it is not signed by an algorithm that is accepted")
    key = provider.published.key(header)
    if key is None:
        raise RefusedTokenError("the provider has no such key")
    if key.get("alg", algorithm) != algorithm:
        raise RefusedTokenError("its key is for another algorithm")
    try:
        rules = _Registry(algorithms=[str(algorithm)], strict_check_header=False)
        jws.deserialize_compact(token, key, registry=rules)
    except (JoseError, ValueError, TypeError) as error:  # of the library, for a key of another kind
        raise RefusedTokenError(f"its signature is not good ({type(error).__name__})") from error
    return header, claims


def _require(claims: dict[str, Any], leeway: float, issuer: str, audience: str) -> None:
    """Pass if a token is of an issuer, for an audience, and of now.

    :raises RefusedTokenError: if not
    """
    rules = JWTClaimsRegistry(
        leeway=int(leeway),
        iss={"essential": True, "value": issuer},
        aud={"essential": True, "value": audience},
        exp={"essential": True},
        iat={"essential": True},
    )
    try:
        rules.validate(claims)
    except (JoseError, ValueError, TypeError) as error:
        raise RefusedTokenError(str(error)) from error


def id_token_claims(
    provider: Provider, token: Any, nonce: str, access_token: Any, leeway: float
) -> dict[str, Any]:
    """Return the claims of the ID token that ends a sign-in (OpenID Connect Core 1.0, section 3.1.3.7).

    :param nonce: what the provider was given when the sign-in began
    :param access_token: what came with it, of which the ID token may tell a hash
    :param leeway: seconds by which the provider's clock may differ from this one's
    :raises RefusedTokenError: if it is not good
    :raises ProviderError: if the provider's keys are not known, and cannot be fetched
    """
    header, claims = _verified(provider, token)
    rules = {
        "iss": {"essential": True, "value": provider.issuer},
        "aud": {"essential": True, "value": provider.client_id},
        "sub": {"essential": True},
    }
    said = {"nonce": nonce, "client_id": provider.client_id, "access_token": access_token}
    try:
        CodeIDToken(claims, header, rules, said).validate(leeway=leeway)
    except (JoseError, ValueError, TypeError) as error:
        raise RefusedTokenError(str(error)) from error
    return claims


# What tells that a token is for something else than access.
_OF_ID_TOKENS = ("nonce", "at_hash", "c_hash", "s_hash")
_TYPES_OF_ACCESS = {"jwt", "at+jwt", "application/at+jwt"}
_TYPES_OF_OTHERS = {"id", "refresh", "offline", "logout"}


def access_token_claims(provider: Provider, token: str, leeway: float) -> dict[str, Any]:
    """Return the claims of an access token that the provider has made for this server (RFC 9068, section 4).

    Providers that made such tokens before that was written call them ``JWT``. An expired one is one, whatever *leeway*.

    :param leeway: seconds by which the provider's clock may be ahead of this one's
    :raises RefusedTokenError: if it is not good, or is another kind of token
    :raises ProviderError: if the provider's keys are not known, and cannot be fetched
    """
    header, claims = _verified(provider, token)
    if str(header.get("typ", "JWT")).lower() not in _TYPES_OF_ACCESS:
        raise RefusedTokenError("it is another kind of token")
    if any(name in claims for name in (*_OF_ID_TOKENS, "events")) or _says_it_is_another(claims):
        raise RefusedTokenError("it is an ID token, or for signing out")
    _require(claims, leeway, provider.issuer, provider.audience)
    if not isinstance(claims.get("sub"), str):
        raise RefusedTokenError("it names nobody")
    if claims["exp"] <= time.time():
        raise RefusedTokenError("it has expired")
    audiences = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    if provider.client_id in audiences:
        raise RefusedTokenError("it is for signing in")
    return claims


def _says_it_is_another(claims: Mapping[str, Any]) -> bool:
    kind = claims.get("typ")  # of Keycloak
    return isinstance(kind, str) and kind.lower() in _TYPES_OF_OTHERS


_LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"


def logout_token_claims(provider: Provider, token: Any, leeway: float) -> dict[str, Any]:
    """Return the claims of a token by which the provider ends sessions (Back-Channel Logout 1.0, section 2.6).

    :param leeway: seconds by which the provider's clock may differ from this one's
    :raises RefusedTokenError: if it is not good, or is another kind of token
    :raises ProviderError: if the provider's keys are not known, and cannot be fetched
    """
    header, claims = _verified(provider, token)
    events = claims.get("events")
    is_one = isinstance(events, dict) and isinstance(events.get(_LOGOUT_EVENT), dict)
    if str(header.get("typ", "JWT")).lower() not in ("jwt", "logout+jwt") or not is_one or "nonce" in claims:
        raise RefusedTokenError("it is no token for signing out")
    _require(claims, leeway, provider.issuer, provider.client_id)
    return claims
