"""Which client a request comes from, and which address it asked for, where proxies stand in between.

Anybody can send ``X-Forwarded-*`` headers, so they count only from the proxies that the administrator has named. What a
proxy said is then in the request itself (``request.remote_addr``, ``request.scheme``, ``request.host``,
``request.script_root``), and the headers are gone, whoever sent them: no plugin can believe them by mistake. Four are
believed, ``X-Forwarded-For``, ``-Proto``, ``-Host`` and ``-Prefix``; others of the kind are dropped unread.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote

from dservercore.auth.scrapers import CLIENT_UNKNOWN

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Stands for a proxy that speaks through a Unix socket, and so has no address.
UNIX_SOCKET = "unix"

# How the names of headers begin in which proxies, and whoever plays one, say who asks for which address.
_FORWARDED = (
    "HTTP_X_FORWARDED",
    "HTTP_FORWARDED",
    "HTTP_X_REAL_IP",
    "HTTP_X_CLIENT_IP",
    "HTTP_X_CLUSTER_CLIENT_IP",
    "HTTP_CLIENT_IP",
    "HTTP_TRUE_CLIENT_IP",
    "HTTP_CF_CONNECTING_IP",
    "HTTP_X_ORIGINAL_",
    "HTTP_X_REWRITE_URL",
    "HTTP_X_HOST",
    "HTTP_X_SCHEME",
    "HTTP_X_URL_SCHEME",
    "HTTP_FRONT_END_HTTPS",
    "HTTP_X_SCRIPT_NAME",
    "HTTP_SCRIPT_NAME",
    "HTTP_PATH_INFO",
    "HTTP_PROXY",
)
_WITH_PORT = re.compile(r"\[([^\]]+)\](?::\d+)?|([\d.]+):\d+")
_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?")
_PREFIX = re.compile(r"(/[A-Za-z0-9._~%!$&'()*+,;=:@-]+)+/?")


class TrustedProxies:
    """WSGI middleware that takes over what trusted proxies say about the client.

    :param trusted: addresses and networks of the proxies, and ``unix`` for those at a Unix socket
    """

    def __init__(self, application: Callable[..., Any], trusted: Iterable[str]):
        self._application = application
        self._networks = [ipaddress.ip_network(item) for item in trusted if item != UNIX_SOCKET]
        self._trusts_socket = UNIX_SOCKET in trusted

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        """Answer one request."""
        _undo_beliefs_of_gunicorn(environ)
        said = {name: environ.pop(name) for name in list(environ) if name.startswith(_FORWARDED)}
        peer = environ.get("REMOTE_ADDR") or ""
        if said and self._trusts(peer):
            environ["REMOTE_ADDR"], proxies, is_known = self._client(peer, _items(said, "FOR"))
            _take_over(environ, said, proxies)
        else:
            is_known = not said
        if not is_known:
            environ[CLIENT_UNKNOWN] = True
        return self._application(environ, start_response)

    def _trusts(self, peer: str) -> bool:
        if not peer:
            return self._trusts_socket
        address = _parsed(peer)
        return address is not None and any(address in network for network in self._networks)

    def _client(self, peer: str, forwarded_for: list[str]) -> tuple[str, int, bool]:
        """Return the address of the client, how many trusted proxies stand before it, and whether it is none itself.

        Each proxy adds, at the right, the address that it was asked from. So the right-most address that is no
        trusted proxy is the last one that somebody trustworthy has seen; the client may have made up those left of it.
        """
        client, proxies = peer, 0
        while self._trusts(client):
            proxies += 1
            address = _parsed(forwarded_for.pop()) if forwarded_for else None
            if address is None:
                return client, proxies, False
            client = str(address)
        return client, proxies, True


def _undo_beliefs_of_gunicorn(environ: dict[str, Any]) -> None:
    """Set scheme, prefix and path to those of the connection and the request line.

    gunicorn trusts proxies by a list of its own (``FORWARDED_ALLOW_IPS``), which has this machine in it unless it is
    told otherwise, and everybody at a Unix socket. From them it takes the scheme from ``X-Forwarded-Proto``,
    ``-Protocol`` or ``-Ssl`` and the prefix from ``SCRIPT_NAME``, which many a proxy passes on as the client wrote it.
    """
    if "gunicorn.socket" not in environ:
        return
    encrypted = hasattr(environ["gunicorn.socket"], "getpeercert")
    environ["wsgi.url_scheme"] = "https" if encrypted else "http"
    prefix = environ["SCRIPT_NAME"]
    if "HTTP_SCRIPT_NAME" in environ and prefix != os.environ.get("SCRIPT_NAME", ""):
        # WSGI has the bytes of a path disguised as latin-1.
        environ["PATH_INFO"] = unquote(prefix, "latin-1") + environ["PATH_INFO"]
        environ["SCRIPT_NAME"] = ""


def _take_over(environ: dict[str, Any], said: dict[str, str], proxies: int) -> None:
    """Set scheme, host and prefix to what the outermost of so many trusted proxies was asked for."""
    scheme = _said(said, "PROTO", proxies).lower()
    if scheme in ("http", "https"):
        environ["wsgi.url_scheme"] = scheme
    host = _said(said, "HOST", proxies)
    if _HOST.fullmatch(host):
        environ["HTTP_HOST"] = host
    prefix = _said(said, "PREFIX", proxies)
    if _PREFIX.fullmatch(prefix) and not {".", ".."} & set(prefix.split("/")):
        environ["SCRIPT_NAME"] = prefix.rstrip("/")


def _said(said: dict[str, str], what: str, proxies: int) -> str:
    """Return what the outermost of *proxies* trusted ones said; ``""``: nothing.

    Each proxy adds its own value at the right, or there is one value for all.

    :param said: values of the headers by their names
    :param what: name of the header
    """
    items = _items(said, what)
    return items[-min(proxies, len(items))] if items else ""


def _items(said: dict[str, str], what: str) -> list[str]:
    return [item.strip() for item in said.get(f"HTTP_X_FORWARDED_{what}", "").split(",") if item.strip()]


def _parsed(text: str) -> Address | None:
    """Return an address, which may have a port; None if it is none (``unknown``, a host name, garbage)."""
    with_port = _WITH_PORT.fullmatch(text)
    try:
        address = ipaddress.ip_address((with_port[1] or with_port[2]) if with_port else text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return address
    # A server that listens on both protocols sees IPv4 in this form.
    return address.ipv4_mapped or ipaddress.IPv6Address(int(address))
