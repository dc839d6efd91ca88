"""For whom a URL is signed, and whether they still may do what it is for."""

from __future__ import annotations

import time

from flask import g, has_request_context

from dservercore.auth import guards, permissions, personal_tokens, sign_in
from dservercore.catalog import sessions
from dservercore.catalog.scope import Actor, Grant, Scope, acting
from dservercore.errors import AuthenticationError, AuthorizationError
from dservercore.plugins.signed_url.signatures import Claims, Holder


def holder_of_request(actor: Actor) -> Holder:
    """Return for whom URLs are signed in the request of an actor, who has passed a guard."""
    if actor.username is None or guards.authorisation_is_disabled():
        return Holder(actor.username)
    if actor.credential is not None:
        return Holder(actor.username, credential=actor.credential.name)
    return Holder(actor.username, session=_session())


def _session() -> int | None:
    """Return the number of the session that the request depends on: by its token, or by its cookie, if by any."""
    if not has_request_context():
        return None
    try:
        number = guards.get_jwt().get(guards.SESSION_CLAIM)
    except RuntimeError:  # a page, which looks at no token
        session = sign_in.current()
        number = session.id if session else None
    return number if isinstance(number, int) else None


def admit(claims: Claims, grant: Grant) -> tuple[Actor, Scope]:
    """Return the user of a signature, and where that user may search, or register, at this moment.

    No more than with the token or session that the URL was asked for with, which must still be good.

    :raises AuthorizationError: if the user, the token or the session is no more, or was revoked
    """
    holder = claims.holder
    if holder.username is None:
        return acting(), permissions.public_scope() if grant == "search" else Scope(grant)
    _take_credential(claims)
    if holder.session is not None and not _is_good(holder.session):
        raise _refusal()
    try:
        actor, scope = permissions.identify_with_scope(holder.username, grant)
    except AuthenticationError:
        raise _refusal() from None
    if actor.tokens_since is not None and claims.issued_at < actor.tokens_since:
        raise _refusal()
    g.username, g.actor = actor.username, actor
    return actor, scope


def _take_credential(claims: Claims) -> None:
    """Have the request restricted to what the personal token allows that the URL was asked for with, if it was one."""
    g.credential = None
    if claims.holder.credential is None:
        return
    found = personal_tokens.named(claims.holder.credential)
    # The number of a token that was deleted may be given to another one.
    is_it = (
        found is not None
        and found.credential.username == claims.holder.username
        and found.created_at <= claims.issued_at
        and (found.expires_at is None or found.expires_at > time.time())
    )
    if found is None or not is_it:
        raise _refusal()
    g.credential = found.credential


def _is_good(session: int) -> bool:
    return sessions.is_open(session)


def _refusal() -> AuthorizationError:
    return AuthorizationError(
        "The user of this URL, or the token that it was asked for with, is no longer good"
    )
