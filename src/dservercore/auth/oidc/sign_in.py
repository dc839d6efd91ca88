"""Signing in with a provider: where the browser is sent, and who it is when it comes back.

The authorization code flow, with PKCE, state and nonce. What begins one is kept by the browser, in a cookie that this
server has signed, and is good once, for ``MAX_SECONDS``.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import asdict, dataclass
from typing import Any

import requests
from authlib.common.urls import add_params_to_uri
from authlib.integrations.base_client import OAuthError
from flask import Flask
from itsdangerous import BadData, URLSafeTimedSerializer
from werkzeug.datastructures import MultiDict

from dservercore.auth.oidc import tokens
from dservercore.auth.oidc.outgoing import Outgoing, ProviderError
from dservercore.auth.oidc.providers import Provider
from dservercore.catalog import spent_sign_ins
from dservercore.catalog.external_users import External
from dservercore.errors import AuthenticationError

#: Seconds that somebody has to sign in at the provider.
MAX_SECONDS = 600
_MAX_COOKIE = 4000
_MAX_CODE = 8192
#: Characters of the longest ID token that is kept for signing out: it becomes part of an address.
_MAX_HINT = 4096

_NOT_SIGNED_IN = "The provider has not signed you in: please try again"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Begun:
    """A sign-in that a browser has begun, and not ended.

    :param provider: its name
    :param redirect_uri: where the provider sends the browser back to
    :param next_path: where the user wanted to go
    """

    provider: str
    state: str
    nonce: str
    verifier: str
    redirect_uri: str
    next_path: str


@dataclass(frozen=True)
class SignedIn:
    """Who has signed in, and what the provider wants to see when they sign out; None: nothing."""

    external: External
    id_token: str | None


def begin(provider: Provider, redirect_uri: str, next_path: str) -> tuple[str, Begun]:
    """Return the address at the provider that a browser is to be sent to, and what it has to bring back.

    :raises ProviderError: if the provider's document is not known, and cannot be fetched
    """
    document = provider.published.document()
    begun = Begun(
        provider=provider.name,
        state=secrets.token_urlsafe(32),
        nonce=secrets.token_urlsafe(32),
        verifier=secrets.token_urlsafe(48),
        redirect_uri=redirect_uri,
        next_path=next_path,
    )
    with _client(provider, redirect_uri) as client:
        url, _ = client.create_authorization_url(
            document["authorization_endpoint"],
            state=begun.state,
            nonce=begun.nonce,
            code_verifier=begun.verifier,
        )
    return url, begun


def cookie_of(app: Flask, begun: Begun) -> str:
    """Return the text that the browser keeps."""
    return str(_signer(app).dumps(asdict(begun)))


def from_cookie(app: Flask, cookie: str, provider: Provider) -> Begun | None:
    """Return the sign-in that a cookie is about; None if it is not ours, too old, or with another provider."""
    if not 0 < len(cookie) <= _MAX_COOKIE:
        return None
    try:
        begun = Begun(**_signer(app).loads(cookie, max_age=MAX_SECONDS))
    except (BadData, TypeError):
        return None
    return begun if begun.provider == provider.name else None


def _signer(app: Flask) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(app.secret_key or secrets.token_bytes(32), salt="dservercore-oidc-sign-in")


def take_up(begun: Begun | None, answer: MultiDict[str, str]) -> Begun:
    """Return the sign-in that an answer of the provider is to, from now on spent. To be committed before it goes on.

    :param begun: what the browser has kept; None: nothing that is good
    :param answer: the parameters of the query
    :raises AuthenticationError: if the answer is to another one, or a second one
    """
    state = _only(answer, "state") or ""
    if begun is None or not secrets.compare_digest(state.encode(), begun.state.encode()):
        raise AuthenticationError("This browser has not begun to sign in, or long ago: please try again")
    if not spent_sign_ins.spend(state, MAX_SECONDS):
        raise AuthenticationError("This has been used before: please sign in again")
    return begun


def finish(provider: Provider, begun: Begun, answer: MultiDict[str, str], leeway: float) -> SignedIn:
    """Return who has signed in, by the answer of the provider that a browser has brought.

    :param begun: what it is the answer to
    :param leeway: seconds by which the provider's clock may differ from this one's
    :raises AuthenticationError: if nobody has; the message says no more than whoever asks may know
    :raises ProviderError: if the provider does not answer, or not as it should
    """
    token = _exchanged(provider, begun, _code(provider, answer))
    try:
        claims = tokens.id_token_claims(
            provider, token.get("id_token"), begun.nonce, token.get("access_token"), leeway
        )
    except tokens.RefusedTokenError as error:
        raise ProviderError(f"The ID token of {provider.name} is not good: {error.message}") from error
    claims = _completed(provider, claims, token.get("access_token"))
    id_token = token["id_token"]
    return SignedIn(provider.external(claims), id_token if len(id_token) <= _MAX_HINT else None)


def _only(answer: MultiDict[str, str], name: str) -> str | None:
    values = answer.getlist(name)
    return values[0] if len(values) == 1 else None


def _code(provider: Provider, answer: MultiDict[str, str]) -> str:
    """Return the code in an answer.

    :raises AuthenticationError: if there is none, or it is not from this provider
    """
    # RFC 9207: or else the code could be that of another provider, for somebody else to have.
    says_who = provider.published.document().get("authorization_response_iss_parameter_supported") is True
    if ("iss" in answer or says_who) and _only(answer, "iss") != provider.issuer:
        logger.warning("An answer to a sign-in with %s is that of another provider", provider.name)
        raise AuthenticationError(_NOT_SIGNED_IN)
    code = _only(answer, "code") or ""
    if "error" in answer or not 0 < len(code) <= _MAX_CODE:
        logger.info("The provider %s has not signed somebody in: %.100r", provider.name, answer.get("error"))
        raise AuthenticationError(_NOT_SIGNED_IN)
    return code


def _exchanged(provider: Provider, begun: Begun, code: str) -> dict[str, Any]:
    address = provider.published.document()["token_endpoint"]
    try:
        with _client(provider, begun.redirect_uri) as client:
            token = client.fetch_token(
                address, grant_type="authorization_code", code=code, code_verifier=begun.verifier
            )
    except OAuthError as error:
        logger.warning("The provider %s takes no code: %.100r", provider.name, str(error.error))
        raise AuthenticationError(_NOT_SIGNED_IN) from None
    except (
        requests.RequestException,  # for a status of 500 or more
        ValueError,
        TypeError,
        RecursionError,
    ) as error:
        raise ProviderError(f"{address} answers no token") from error
    if not isinstance(token, dict):
        raise ProviderError(f"{address} answers no token")
    return token


def _completed(provider: Provider, claims: dict[str, Any], access_token: Any) -> dict[str, Any]:
    """Return the claims with those that the provider tells at another place alone, if it has one."""
    address = provider.published.address("userinfo_endpoint")
    if not address or not isinstance(access_token, str) or not provider.lacks(claims):
        return claims
    with _client(provider, "") as client:
        client.token = {"access_token": access_token, "token_type": "Bearer"}
        more = client.json_of(address)
    if more.get("sub") != claims["sub"]:
        raise ProviderError(f"{address} speaks of somebody else")
    return {**more, **claims}


def _client(provider: Provider, redirect_uri: str) -> Outgoing:
    return Outgoing(
        client_id=provider.client_id,
        client_secret=provider.client_secret or None,
        token_endpoint_auth_method=_authentication(provider),
        scope=provider.scopes,
        redirect_uri=redirect_uri,
        code_challenge_method="S256",
    )


def _authentication(provider: Provider) -> str:
    """Return how the client authenticates: in the header, unless the provider says otherwise."""
    if not provider.client_secret:
        return "none"
    offered = provider.published.document().get("token_endpoint_auth_methods_supported")
    if isinstance(offered, list) and "client_secret_basic" not in offered and "client_secret_post" in offered:
        return "client_secret_post"
    return "client_secret_basic"


def sign_out_address(provider: Provider, id_token: str | None, return_to: str) -> str | None:
    """Return the address at the provider that signs a browser out there, too; None if it has none, or is away.

    :param id_token: of the session that ends
    :param return_to: the address of this server that the provider is to lead back to
    """
    try:
        address = provider.published.address("end_session_endpoint")
    except ProviderError:
        return None
    if address is None:
        return None
    parameters = {"client_id": provider.client_id, "post_logout_redirect_uri": return_to}
    if id_token:
        parameters["id_token_hint"] = id_token
    return add_params_to_uri(address, parameters)
