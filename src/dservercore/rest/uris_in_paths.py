"""What stands in request paths: converters that hand routes the URI which the path spells in one of several forms."""

from __future__ import annotations

from typing import Any

from werkzeug.routing import PathConverter, UnicodeConverter

from dservercore.dataset.uris import uri_to_url_suffix, url_suffix_to_uri


class URIConverter(PathConverter):
    """``<uri:name>`` in a route: everything up to the next literal part, slashes included."""

    EXAMPLE = "s3/bucket/af6727bf-29c7-43dd-b42f-a5d7ede28337"

    # Anything but NUL, which some databases refuse. Slashes in front and line breaks too, so that the route says what
    # it thinks of them; werkzeug would redirect to another URI.
    regex = r"[^\0]+?"
    part_isolating = False

    def to_python(self, value: str) -> str:
        """Return the URI for ``s3/bucket/x``, ``s3:/bucket/x`` or ``s3://bucket/x``, percent-encoded or not."""
        return url_suffix_to_uri(value)

    def to_url(self, value: str) -> str:
        """Return the short form of the URI."""
        return super().to_url(uri_to_url_suffix(value))

    def documentation(self) -> dict[str, str]:
        """Return the OpenAPI schema of the parameter."""
        return {
            "type": "string",
            "description": "A URI, in full (`s3://bucket/x`) or short (`s3/bucket/x`), percent-encoded or not",
            "example": self.EXAMPLE,
        }


class BaseURIConverter(URIConverter):
    """``<base_uri:name>`` in a route: a URI whose slashes at the end, with which it is often written, do not count."""

    EXAMPLE = "s3/bucket"

    def to_python(self, value: str) -> str:
        """Return the base URI for ``s3/bucket/`` and so on, without a slash at the end."""
        return super().to_python(value).rstrip("/")


class SegmentConverter(UnicodeConverter):
    """``<name>`` in a route: one segment of a path, without NUL."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.regex = self.regex.replace("[^/]", r"[^/\0]")


CONVERTERS = {"uri": URIConverter, "base_uri": BaseURIConverter, "default": SegmentConverter}
