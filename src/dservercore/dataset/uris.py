"""URIs of datasets and base URIs: how they appear in request paths, and what they may look like."""

from __future__ import annotations

import os
import re
import socket
from urllib.parse import urlparse

from dtoolcore.utils import sanitise_uri

from dservercore.errors import invalid

MAX_LENGTH = 1024
#: In UTF-8: as many have room in an index of every database.
MAX_BYTES = 2560

_HAS_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# What is left of ``s3://`` when a proxy has merged the slashes.
_MERGED = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/(?!/)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# dtool looks for a dataset at the path of its URI: these would make it look elsewhere than the URI reads.
_NOT_OF_PATH = re.compile(r"[?#]")
_DOTS = {".", ".."}
_EMPTY_PART = re.compile(r"\?(?=#|\Z)|#\Z")


def url_suffix_to_uri(url_suffix: str) -> str:
    """Return the URI that the (percent-decoded) end of a request path stands for.

    ``s3/bucket/x``, ``s3:/bucket/x`` and ``s3://bucket/x`` are all ``s3://bucket/x``.
    What has no scheme in any of these forms comes back as it is, and names nothing.
    """
    if "://" not in url_suffix:
        merged = _MERGED.match(url_suffix)
        url_suffix = (
            _MERGED.sub(r"\1://", url_suffix, count=1) if merged else url_suffix.replace("/", "://", 1)
        )
    return _sanitise(url_suffix)


def uri_to_url_suffix(uri: str) -> str:
    """Return the short form of a URI for request paths: ``s3/bucket/x`` for ``s3://bucket/x``."""
    return uri.replace("://", "/", 1)


def _sanitise(uri: str) -> str:
    # As dtoolcore does it (lower-case scheme, no empty query or fragment), but never completing a path without a
    # scheme from the host name and working directory of the server, nor putting the URI together from its parts again:
    # the standard library then drops line breaks, and the slashes of symlink:///a.
    scheme = _SCHEME.match(uri)
    return scheme.group().lower() + _EMPTY_PART.sub("", uri[scheme.end() :]) if scheme else uri


def uri_of_location(text: str) -> str:
    """Return the URI, without a slash at its end, of a base URI or dataset that is given by its URI or by its path.

    A path stands for ``file://<host name><absolute path>``, as dtool writes it.

    :raises ValueError: for what is neither
    """
    if not text.strip() or _CONTROL.search(text):  # urllib drops some of them without a word
        raise ValueError(f"{text!a} is empty or has control characters.")
    if _HAS_SCHEME.match(text):
        return sanitise_uri(text).rstrip("/")
    # dtool takes what follows one of these characters for another part of the URI.
    if set("?#") & set(text):
        raise ValueError("dtool cannot address a directory with ? or # in its path.")
    return f"file://{socket.gethostname()}{os.path.abspath(text)}".rstrip("/")


def parent(uri: str) -> str:
    """Return the base URI of a dataset URI: everything before its last ``/``."""
    return uri.rsplit("/", 1)[0]


def last_segment(uri: str) -> str:
    """Return what follows the last ``/`` of a URI."""
    return uri.rsplit("/", 1)[-1]


def check_base_uri(text: str, field: str = "base_uri") -> str:
    """Return a base URI in the one form in which it is stored: with a scheme and without a slash at the end.

    :raises ValidationError: 422 naming *field*
    """
    uri = _sanitise(text).rstrip("/")
    scheme = _SCHEME.match(text)
    if not scheme or len(uri) <= len(scheme.group().rstrip("/")):
        raise invalid(field, f"{text!r} is not a base URI; write a scheme and a place, such as s3://bucket")
    _check(uri, field)
    return uri


def check_dataset_uri(uri: str, base_uri: str, field: str = "uri") -> str:
    """Return the last segment of a dataset URI that is *base_uri* plus ``/`` plus exactly one segment.

    :raises ValidationError: 422 naming *field*
    """
    _check(uri, field)
    if parent(uri) != base_uri:
        raise invalid(field, "must be base_uri, a slash and one more segment")
    segment = last_segment(uri)
    if not segment:
        raise invalid(field, "must not end in a slash")
    return segment


def _check(uri: str, field: str) -> None:
    if len(uri) > MAX_LENGTH:
        raise invalid(field, f"longer than {MAX_LENGTH} characters")
    if len(uri.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise invalid(field, f"longer than {MAX_BYTES} bytes in UTF-8")
    if _CONTROL.search(uri):
        raise invalid(field, "contains a control character")
    if _NOT_OF_PATH.search(uri):
        raise invalid(field, "must have neither a query (?) nor a fragment (#)")
    if not _DOTS.isdisjoint(uri.split("/")):
        raise invalid(field, "must not have . or .. as a segment")


def is_out_of_reach(uri: str) -> bool:
    """Return whether a ``file://`` URI lies on another host, so that its path means nothing here."""
    return urlparse(uri).scheme in ("file", "symlink") and not is_of_this_host(uri)


def is_of_this_host(uri: str) -> bool:
    """Return whether a URI names this host, or none."""
    return urlparse(uri).netloc in ("", "localhost", socket.gethostname())
