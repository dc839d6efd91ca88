"""Access tokens of providers as bearer tokens: those that are made for this server, of users whom it knows or may."""

from __future__ import annotations

import logging
import math
from typing import Any

from flask import Flask, current_app, g
from flask_jwt_extended.exceptions import NoAuthorizationError

from dservercore import db
from dservercore.auth.oidc import tokens
from dservercore.auth.oidc.outgoing import ProviderError
from dservercore.auth.oidc.providers import Provider, providers_of, subject_of
from dservercore.catalog import external_users
from dservercore.errors import UnavailableError

logger = logging.getLogger(__name__)


class AccessTokens:
    """Knows the access tokens of the providers that have an audience.

    A token that names none of them as its issuer is for others to judge.
    """

    def __init__(self, app: Flask):
        self._providers = {p.issuer: p for p in providers_of(app).values() if p.audience}

    def claims_of(self, token: str) -> dict[str, Any] | None:
        """Return what an access token says, with the name of a registered user as ``sub``; None: it is of nobody's.

        Somebody whom the provider vouches for the first time is registered first, if its policy admits them.

        :raises NoAuthorizationError: if the token is not good
        :raises AuthenticationError: if its user may not come
        :raises UnavailableError: if the provider's keys are not known, and cannot be fetched
        """
        looks_like = tokens.unverified(token) if self._providers else None
        issuer = looks_like[1].get("iss") if looks_like else None
        provider = self._providers.get(issuer) if isinstance(issuer, str) else None
        if provider is None:
            return None
        try:
            claims = tokens.access_token_claims(provider, token, current_app.config["JWT_DECODE_LEEWAY"])
        except tokens.RefusedTokenError as error:
            logger.info("An access token of %s is not good: %s", provider.name, error.message)
            raise NoAuthorizationError("The access token is not good, or has expired") from None
        except ProviderError as error:
            logger.warning("Access tokens of %s cannot be verified: %s", provider.name, error.message)
            raise UnavailableError(
                f"The provider of the token, {provider.label}, cannot be reached"
            ) from None
        _require_short_life(claims)
        g.token_of_provider = provider.name
        return _as_ours(claims, _username(provider, claims))


def _username(provider: Provider, claims: dict[str, Any]) -> str:
    """Return the name of the user whom a token is for, who is registered if that need be.

    Groups, and who is an administrator, are set when people sign in, or come first: not by every token. Whether they
    are in a group that may come is asked each time; service accounts, which an administrator has linked, are in none.
    """
    known = external_users.find(provider.source, subject_of(claims))
    if known is not None and (known[1] or provider.policy.admits != "group"):
        return known[0]
    external = provider.external(claims)
    if known is not None:
        external_users.require_admitted(external, provider.policy)
        return known[0]
    try:
        username = external_users.welcome(external, provider.policy)
        # Before the request begins, which may read alone, and of which nothing is to be undone with this.
        db.commit()
    except BaseException:
        db.rollback()
        raise
    return username


def _require_short_life(claims: dict[str, Any]) -> None:
    longest = current_app.config["DSERVER_MAX_TOKEN_LIFETIME"]
    if longest and math.floor(claims["exp"]) - math.floor(claims["iat"]) > longest:
        raise NoAuthorizationError(
            f"This server accepts no tokens that work for longer than {longest} seconds"
        )


def _as_ours(claims: dict[str, Any], username: str) -> dict[str, Any]:
    """Return what one of this server's own tokens would say, and nothing else that a provider may say of somebody."""
    times = {name: math.floor(claims[name]) for name in ("iat", "exp")}
    return {"sub": username, **times, "iss": claims["iss"]}
