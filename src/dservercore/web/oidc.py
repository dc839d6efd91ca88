"""Signing in with a provider of OpenID Connect, and out there, too: addresses that browsers and providers open."""

from __future__ import annotations

import logging
from http import HTTPStatus
from urllib.parse import urlencode

from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    current_app,
    make_response,
    redirect,
    request,
)

from dservercore import db
from dservercore.auth import authenticators
from dservercore.auth.oidc import sign_in, tokens
from dservercore.auth.oidc.bearer import AccessTokens
from dservercore.auth.oidc.outgoing import ProviderError
from dservercore.auth.oidc.providers import Provider, providers_of
from dservercore.auth.sign_in import Way, complete, safe_path, sign_in_ways, sign_out_ways
from dservercore.catalog import attempts, external_users, metrics, sessions
from dservercore.catalog.scope import acting
from dservercore.catalog.sessions import Session
from dservercore.errors import AuthenticationError, UnavailableError
from dservercore.rest.body_limits import take_small_body
from dservercore.rest.retries import repeated
from dservercore.settings.external_url import external_url
from dservercore.web.policy import protect

#: Cookie of a sign-in that has begun; with this prefix, a browser takes it from this very host alone.
SECURE_COOKIE = "__Host-dserver_oidc"
#: Where the browser does not speak TLS, it drops cookies with that prefix.
PLAIN_COOKIE = "dserver_oidc"

_MAX_NEXT = 1000

logger = logging.getLogger(__name__)

pages = Blueprint("oidc", __name__, template_folder="templates")


def init_oidc(app: Flask) -> None:
    """Serve the addresses of the providers, offer them on the page to sign in, and take their access tokens."""
    authenticators.authenticators(app).append(AccessTokens(app))
    if not app.config["DSERVER_WEB"]:
        return
    app.register_blueprint(pages)
    for provider in providers_of(app).values():
        sign_in_ways(app).append(Way(provider.label, f"/sign-in/{provider.name}"))
    sign_out_ways(app).append(_way_out)


def _provider(name: str) -> Provider:
    provider = providers_of(current_app).get(name)
    return provider or abort(HTTPStatus.NOT_FOUND)


@pages.after_request
def _keep_nowhere(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return protect(response) if response.mimetype == "text/html" else response


@pages.get("/sign-in/<provider_name>")
def begin(provider_name: str) -> Response:
    """Send the browser to the provider; or to the page with the button, if it comes from a page of another site.

    That page may have sent it here without its user's doing, and a provider that knows the user need not ask.

    :raises UnavailableError: if the provider is away, and what it publishes is not known
    """
    provider = _provider(provider_name)
    next_path = safe_path(request.args.get("next"))
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        wanted = urlencode({"next": next_path})
        return make_response(redirect(f"{request.script_root}/sign-in?{wanted}", HTTPStatus.SEE_OTHER))
    try:
        url, begun = sign_in.begin(
            provider,
            external_url(f"/sign-in/{provider.name}/callback"),
            next_path if len(next_path) <= _MAX_NEXT else "/",
        )
    except ProviderError as error:
        raise _unavailable(provider, error) from None
    response = make_response(redirect(url, HTTPStatus.SEE_OTHER))
    _set_cookie(response, sign_in.cookie_of(current_app, begun), sign_in.MAX_SECONDS)
    return response


@pages.get("/sign-in/<provider_name>/callback")
def end(provider_name: str) -> Response:
    """Take the browser back from the provider, and sign in whom that vouches for.

    :raises AuthenticationError: if it vouches for nobody, or for somebody who may not come
    :raises UnavailableError: if the provider does not answer, or not as it should
    """
    provider = _provider(provider_name)
    try:
        response = _signed_in(provider)
    except AuthenticationError:
        metrics.sign_in("oidc", "refused")
        raise
    except UnavailableError:
        metrics.sign_in("oidc", "failed")
        raise
    _set_cookie(response, "", 0)
    return response


def _signed_in(provider: Provider) -> Response:
    """Return the answer that begins a session of whomever a provider vouches for.

    :raises AuthenticationError: if it vouches for nobody, or for somebody who may not come
    :raises UnavailableError: if the provider does not answer, or not as it should
    """
    begun = sign_in.from_cookie(current_app, request.cookies.get(_cookie_name(), ""), provider)
    begun = sign_in.take_up(begun, request.args)
    db.commit()  # before anything comes of it, and before others are waited for
    try:
        signed_in = sign_in.finish(provider, begun, request.args, current_app.config["JWT_DECODE_LEEWAY"])
    except ProviderError as error:
        raise _unavailable(provider, error) from None

    def begin_session() -> Response:
        username = external_users.welcome(signed_in.external, provider.policy)
        attempts.note_success(username, acting().origin.place)
        response = complete(username, provider.source, signed_in.id_token, begun.next_path)
        db.commit()
        return response

    return repeated(begin_session, f"signing in with {provider.name}")


@pages.post("/sign-in/<provider_name>/backchannel-logout")
def end_sessions(provider_name: str) -> Response:
    """End the sessions of a user who has signed out at the provider, which says so itself (Back-Channel Logout 1.0).

    A token that is not good is a 400, and ends nothing.
    """
    provider = _provider(provider_name)
    take_small_body()
    leeway = current_app.config["JWT_DECODE_LEEWAY"]
    try:
        claims = tokens.logout_token_claims(provider, request.form.get("logout_token"), leeway)
    except tokens.RefusedTokenError as error:
        logger.info("A token of %s for signing out is not good: %s", provider.name, error.message)
        abort(HTTPStatus.BAD_REQUEST)
    except ProviderError as error:
        raise _unavailable(provider, error) from None
    subject = claims.get("sub")
    known = external_users.find(provider.source, subject) if isinstance(subject, str) else None
    if known is not None:
        repeated(lambda: _end_all(known[0]), f"signing out by {provider.name}")
    return Response(status=HTTPStatus.OK)


def _end_all(username: str) -> None:
    sessions.end_all_of(username)
    db.commit()


def _way_out(session: Session) -> Way | None:
    """Return where whoever had a session may sign out at the provider, too; None: there is no need."""
    provider = providers_of(current_app).get(session.means.removeprefix("oidc:"))
    if provider is None or session.means != provider.source:
        return None
    url = sign_in.sign_out_address(provider, session.id_token, external_url("/"))
    return Way(provider.label, url) if url else None


def _unavailable(provider: Provider, error: ProviderError) -> UnavailableError:
    logger.warning("Signing in with %s: %s", provider.name, error.message)
    return UnavailableError(f"{provider.label} does not answer as it should: please try again later")


def _cookie_name() -> str:
    return SECURE_COOKIE if request.is_secure else PLAIN_COOKIE


def _set_cookie(response: Response, value: str, seconds: int) -> None:
    response.set_cookie(
        _cookie_name(),
        value,
        max_age=seconds,
        path="/",
        secure=request.is_secure,
        httponly=True,
        samesite="Lax",
    )
