"""Datasets on web servers, as ``dtool-http`` reads them, fetched within limits.

Whoever writes to the web server says which addresses are fetched: by redirects, and by those that a dataset's
``http_manifest.json`` lists. Its storage broker follows all of them, waits for ever, and takes what it gets. Here the
server of the base URI may be anywhere, for an administrator has registered it; every other one must have a public
address, and what was connected to counts, not what a name led to before.
"""

from __future__ import annotations

import functools
import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

from dservercore.catalog.storage import dtool_names, time_limits
from dservercore.catalog.storage.storage_limits import (
    Limit,
    Limits,
    UnreadableError,
    annotations_within,
    parsed,
)
from dservercore.catalog.storage.stored_text import Warn, decoded, decoded_readme, manifest_of

MAX_REDIRECTS = 5
_PORTS = {"http": 80, "https": 443}
_REDIRECTS = (301, 302, 303, 307, 308)
NOT_LISTED = "a web server does not list datasets; `flask dataset register` takes one by its URI"
_CHUNK = 2**16
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def knows(broker: Any) -> bool:
    """Return whether this is a storage broker of ``dtool-http``, and not another one for web servers."""
    return all(hasattr(broker, name) for name in ("_get_base_uri", "_get_json_from_url"))


def limited(broker: type[Any], base_uri: str, limits: Limits) -> type[Any]:
    """Return a storage broker that fetches within *limits*, from public addresses and from the server of *base_uri*."""
    home = _host_and_port(urlsplit(base_uri))

    class Limited(broker):
        @functools.cached_property
        def warnings(self) -> list[str]:
            return []

        def _get_base_uri(self, parse_result: Any) -> str:
            return fetch(parse_result._replace(query="").geturl(), home, None).url

        def _text(self, url: Any, limit: Limit, decode: Callable[[bytes, str, Warn], str] = decoded) -> str:
            return decode(_content(url, home, limit), str(url), self.warnings.append)

        def _get_text_from_url(self, url: str) -> str:
            return self._text(url, limits.manifest)

        def _get_json_from_url(self, url: str) -> Any:
            return parsed(self._get_text_from_url(url), url)

        def _url_of(self, key: str) -> Any:
            if key not in self.http_manifest:
                raise UnreadableError(f"http_manifest.json has no {key}")
            return self.http_manifest[key]

        def get_manifest(self) -> Any:
            url = self._url_of("manifest_url")
            return manifest_of(self._get_json_from_url(url), str(url))

        def get_readme_content(self) -> str:
            return self._text(self._url_of("readme_url"), limits.readme, decoded_readme)

        def get_annotations(self) -> dict[str, Any]:
            urls = self.http_manifest.get("annotations", {})
            return annotations_within(
                limits.annotation,
                self.list_annotation_names(),
                read=lambda name, limit: self._text(urls[name], limit),
                path_of=lambda name: str(urls[name]),
            )

        def list_annotation_names(self) -> list[str]:
            names = super().list_annotation_names()
            counted = _counted(names, limits.annotations, "annotations", base_uri)
            return self._own("annotations", counted, dtool_names.is_annotation)

        def list_tags(self) -> list[str]:
            counted = _counted(super().list_tags(), limits.tags, "tags", base_uri)
            return self._own("tags", counted, dtool_names.is_tag)

        def _own(self, folder: str, names: list[str], is_own: Callable[[str], bool]) -> list[str]:
            foreign = [str(name) for name in names if not is_own(name)]
            self.warnings.extend(dtool_names.foreign_files(folder, foreign))
            return [name for name in names if is_own(name)]

        @classmethod
        def list_dataset_uris(cls, base_uri: str, config_path: str | None = None) -> list[str]:
            raise OSError(NOT_LISTED)

    return Limited


def _counted(names: Collection[str], most: int, what: str, base_uri: str) -> list[str]:
    if len(names) > most:
        raise UnreadableError(f"a dataset in {base_uri} has more than the {most:,} {what} that are read")
    return list(names)


@dataclass(frozen=True)
class Answer:
    """What a web server answers: the address that it came from in the end, the status, and the body if it was read."""

    url: str
    status: int
    body: bytes


def fetch(url: str, home: tuple[str, int], limit: Limit | None) -> Answer:
    """Return what is at *url*, to which up to five redirects may lead.

    :param home: host and port that may have a private address
    :param limit: on the size of the body; None: the body is not read
    :raises UnreadableError: if it is larger or compressed, or an address on the way is malformed, or private and not
        *home*, or there are more redirects
    :raises TimeoutError: if the time that this thread has is over
    :raises OSError: if the server cannot be reached, or does not speak HTTP
    """
    for _ in range(MAX_REDIRECTS + 1):
        parts = _checked(url)
        with _connection(parts, home) as connection:
            status, location, body = _asked(connection, parts, limit, url)
        if status not in _REDIRECTS or not location:
            return Answer(url, status, body)
        url = _joined(url, location)
    raise UnreadableError(f"{url} is one redirect too many: at most {MAX_REDIRECTS} are followed")


def _content(url: Any, home: tuple[str, int], limit: Limit) -> bytes:
    answer = fetch(url, home, limit)
    if answer.status != 200:
        raise OSError(f"{url} is answered with the status {answer.status}")
    return answer.body


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        raise UnreadableError(f"{location!r} is no address of a file on a web server") from None


def _checked(url: Any) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _PORTS and parts.hostname and _host_and_port(parts)
    except (ValueError, TypeError, AttributeError):
        usable = None
    if not usable or not url.isascii() or any(character <= " " for character in url):
        raise UnreadableError(f"{url!r} is no address of a file on a web server")
    return parts


def _host_and_port(parts: SplitResult) -> tuple[str, int]:
    return (parts.hostname or "").rstrip("."), parts.port or _PORTS.get(parts.scheme, 0)


def _is_home(parts: SplitResult, home: tuple[str, int]) -> bool:
    host, port = _host_and_port(parts)
    # A server may send one from http to https.
    return host == home[0] and (port == home[1] or {port, home[1]} == set(_PORTS.values()))


@contextmanager
def _connection(parts: SplitResult, home: tuple[str, int]) -> Iterator[http.client.HTTPConnection]:
    """Open a connection that is cut when the time of this thread is over, in whatever it is waiting for."""
    host, port = _host_and_port(parts)
    is_cut = threading.Event()
    plain = _connected(host, port, anywhere=_is_home(parts, home))
    sock = plain
    if parts.scheme == "https":
        context = ssl.create_default_context()
        sock = context.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)

    def cut() -> None:
        is_cut.set()
        with suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    watch = threading.Timer(time_limits.left(), cut)
    watch.daemon = True
    watch.start()
    try:
        if isinstance(sock, ssl.SSLSocket):
            sock.do_handshake()
        connection = http.client.HTTPConnection(host, port)
        connection.sock = sock
        yield connection
    except (http.client.HTTPException, OSError, ValueError) as error:
        if is_cut.is_set():
            time_limits.left()  # says which setting cut it
        if isinstance(error, http.client.HTTPException):
            raise OSError(f"{host} does not answer as a web server does: {type(error).__name__}") from None
        raise
    finally:
        watch.cancel()
        sock.close()


def _connected(host: str, port: int, anywhere: bool) -> socket.socket:
    """Return a socket that is connected to a host, at an address that was checked.

    :param anywhere: allow private addresses
    :raises UnreadableError: if the host has only addresses that are not allowed
    :raises OSError: if it cannot be reached
    """
    error: Exception = OSError(f"{host} is not known")
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        if not anywhere and not is_public(str(address[0])):
            error = UnreadableError(f"{host} is at a private address, and not the server of the base URI")
            continue
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(time_limits.left(30))
            sock.connect(address)
            sock.settimeout(None)  # it is cut when the time is over
            return sock
        except OSError as failure:
            sock.close()
            error = failure
    raise error


def is_public(address: str) -> bool:
    """Return whether an IP address is public: of an IPv4 address in an IPv6 address, the IPv4 address counts."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


def _asked(
    connection: http.client.HTTPConnection, parts: SplitResult, limit: Limit | None, url: str
) -> tuple[int, str | None, bytes]:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    host = parts.netloc.rpartition("@")[2]
    connection.putrequest("GET", target, skip_host=True, skip_accept_encoding=True)
    for header, value in (("Host", host), ("Accept-Encoding", "identity"), ("Connection", "close")):
        connection.putheader(header, value)
    connection.endheaders()
    response = connection.getresponse()
    body = b""
    if limit is not None and response.status == 200:
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise UnreadableError(f"{url} comes packed, though it was asked for as it is")
        body = _body(response, limit, url)
    return response.status, response.headers.get("Location"), body


def _body(response: http.client.HTTPResponse, limit: Limit, url: str) -> bytes:
    if response.length is not None and response.length > limit.size:
        raise limit.error(url)
    body = bytearray()
    while chunk := response.read1(_CHUNK):
        body += chunk
        if len(body) > limit.size:
            raise limit.error(url)
        time_limits.left()
    if response.length:
        raise OSError(f"{url} ends too early")
    return bytes(body)
