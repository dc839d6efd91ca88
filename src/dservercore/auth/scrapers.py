"""Who may read the metrics: programs that come from a network, or have a token, that the server is configured with."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Iterable

from flask import current_app, request

from dservercore.errors import AuthorizationError

#: Set in the WSGI environment of a request that came through somebody who hides from whom.
CLIENT_UNKNOWN = "dservercore.client_unknown"


def require_scraper() -> None:
    """Pass if the request comes from a configured network, or carries the configured token.

    :raises AuthorizationError: for any other, whatever is wrong with it
    """
    config = current_app.config
    if not (
        _has_token(config.get("DSERVER_METRICS_TOKEN") or "")
        or comes_from(config["DSERVER_METRICS_NETWORKS"])
    ):
        raise AuthorizationError(
            "The metrics are for the networks, and for who has the token, that this server is configured with"
        )


def _has_token(token: str) -> bool:
    """Return whether the request carries the token, if there is one, in a time that does not tell how much is right."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    is_right = hmac.compare_digest(given.strip().encode(), token.encode())
    return is_right and bool(token) and scheme.lower() == "bearer"


def comes_from(networks: Iterable[str]) -> bool:
    """Return whether the request comes from one of the networks: from there itself, and through nobody there.

    A proxy that is not trusted hides who asks. So does a browser, which a page from anywhere can have ask.
    """
    if request.environ.get(CLIENT_UNKNOWN) or "Origin" in request.headers:
        return False
    text = request.environ.get("REMOTE_ADDR")
    if not text:
        return "unix" in networks
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped  # as a server that listens on both protocols sees IPv4
    return any(address in ipaddress.ip_network(network) for network in networks if network != "unix")
