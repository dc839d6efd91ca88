"""URIs in request paths: a converter that hands routes the URI which the path spells in one of several forms."""

from __future__ import annotations

from werkzeug.routing import PathConverter

from dservercore.uris import uri_to_url_suffix, url_suffix_to_uri


class URIConverter(PathConverter):
    """``<uri:name>`` in a route: everything up to the next literal part, slashes included."""

    def to_python(self, value: str) -> str:
        """Return the URI for ``s3/bucket/x``, ``s3:/bucket/x`` or ``s3://bucket/x``, percent-encoded or not."""
        return url_suffix_to_uri(value)

    def to_url(self, value: str) -> str:
        """Return the short form of the URI."""
        return super().to_url(uri_to_url_suffix(value))
