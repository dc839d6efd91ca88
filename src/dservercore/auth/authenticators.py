"""Who vouches for the bearer of a request, beside the library of JSON Web Tokens: asked in turn, before it."""

from __future__ import annotations

from typing import Any, Protocol

from flask import Flask, g, request

from dservercore.auth import personal_tokens
from dservercore.auth.decoded_tokens import take_claims
from dservercore.catalog import last_use
from dservercore.errors import AuthenticationError
from dservercore.models import PersonalToken


class Authenticator(Protocol):
    """Somebody who can say whose a bearer token is."""

    def claims_of(self, token: str) -> dict[str, Any] | None:
        """Return what a token says, with the name of a registered user as ``sub``; None: it is for others to judge.

        :raises NoAuthorizationError: if the token is for this authenticator to judge, and is not good
        """


class PersonalTokens:
    """Knows the tokens that users have made for their programs."""

    def claims_of(self, token: str) -> dict[str, Any] | None:
        """Return what a personal token says, and have the request restricted to what it allows."""
        if not token.startswith(personal_tokens.PREFIX):
            return None
        found = personal_tokens.find(token)
        g.credential = found.credential
        last_use.note(PersonalToken.__table__, found.id, found.last_used_at)
        return personal_tokens.claims_of(found)


def authenticators(app: Flask) -> list[Authenticator]:
    """Return those of an application, to which others may be added."""
    key = "dservercore-authenticators"
    found: list[Authenticator] | None = app.extensions.get(key)
    return app.extensions.setdefault(key, [PersonalTokens()]) if found is None else found


def take_other_token(app: Flask, options: dict[str, Any]) -> bool:
    """Let the request have the claims of its bearer token, if an authenticator judges it. Return whether one did.

    :param options: of the guard, as the library of JSON Web Tokens knows them
    :raises NoAuthorizationError: if the token is not good
    :raises AuthenticationError: if it is not of the kind that the guard asks for
    """
    token = bearer_token(app)
    if token is None or "headers" not in (options.get("locations") or "headers"):
        return False
    for authenticator in authenticators(app):
        claims = authenticator.claims_of(token)
        if claims is not None:
            if options.get("fresh") or options.get("refresh"):
                raise AuthenticationError("This needs a token of another kind")
            take_claims(app, claims)
            return True
    return False


def bearer_token(app: Flask) -> str | None:
    """Return the bearer token in the header of the request; None if there is none."""
    header = request.headers.get(app.config["JWT_HEADER_NAME"], "")
    scheme = f"{app.config['JWT_HEADER_TYPE']} ".lstrip()
    return header[len(scheme) :].strip() if header.startswith(scheme) else None
