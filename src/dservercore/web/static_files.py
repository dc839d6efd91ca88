"""Static files, whose addresses change with their content, so that a browser may keep them for ever.

``site.css`` and ``site.js`` are made of all files in ``static/css`` and ``static/js``, so that a page needs one of
each: ``base`` comes first, the others by their names, then those of extensions.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import mimetypes
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from flask import Blueprint, Response, abort, request, send_file, url_for

DIRECTORY = Path(__file__).parent / "static"

#: ``Cache-Control`` of a file that may be kept for a year without asking whether there is a new one.
FOR_EVER = "public, max-age=31536000, immutable"

_DIGEST_LENGTH = 12


@dataclass(frozen=True)
class StaticFile:
    """A file that is served: its name, and its content."""

    name: str
    content: bytes = field(repr=False)

    @cached_property
    def digest(self) -> str:
        """What its address has of its content."""
        return hashlib.sha256(self.content).hexdigest()[:_DIGEST_LENGTH]

    @cached_property
    def media_type(self) -> str:
        """Its media type, by the end of its name."""
        return mimetypes.guess_type(self.name)[0] or "application/octet-stream"

    @cached_property
    def packed(self) -> bytes:
        """Its content, packed by gzip."""
        return gzip.compress(self.content, 9, mtime=0)


def served_files(of_extensions: Sequence[Path] = ()) -> dict[str, StaticFile]:
    """Return by their names all files that are served.

    :param of_extensions: directories with more parts of the style sheet and the script
    """
    files = [
        StaticFile(path.relative_to(DIRECTORY).as_posix(), path.read_bytes())
        for path in DIRECTORY.rglob("*")
        if path.is_file() and path.parent.name not in ("css", "js")
    ]
    directories = [DIRECTORY, *of_extensions]
    files += [StaticFile(f"site.{kind}", _joined(kind, directories)) for kind in ("css", "js")]
    return {file.name: file for file in files}


def _joined(kind: str, directories: Sequence[Path]) -> bytes:
    parts = [
        path
        for directory in directories
        for path in sorted(
            (directory / kind).glob(f"*.{kind}"), key=lambda path: (path.stem != "base", path.name)
        )
    ]
    return b"\n".join(path.read_bytes() for path in parts)


def add_to(pages: Blueprint, of_extensions: Sequence[Path] = ()) -> None:
    """Serve the static files, and give templates ``static_url(name)``, which returns the address of one.

    :param of_extensions: directories with more parts of the style sheet and the script
    """
    files = served_files(of_extensions)

    def static_file(digest: str, file: str) -> Response:
        wanted = files.get(file) or abort(404)
        is_packed = request.accept_encodings["gzip"] > 0 and wanted.media_type.startswith(
            ("text/", "image/svg")
        )
        content = wanted.packed if is_packed else wanted.content
        response = send_file(io.BytesIO(content), mimetype=wanted.media_type, etag=False)
        response.set_etag(wanted.digest + ("-gzip" if is_packed else ""))
        response.vary.add("Accept-Encoding")
        if is_packed:
            response.headers["Content-Encoding"] = "gzip"
        # While a server is replaced, a page of the old one may ask the new one for a file that differs.
        response.headers["Cache-Control"] = FOR_EVER if digest == wanted.digest else "no-cache"
        response.make_conditional(request)
        return response

    def static_url(name: str) -> str:
        return url_for("web.static_file", digest=files[name].digest, file=name)

    pages.add_url_rule("/static/<digest>/<path:file>", "static_file", static_file)
    # For the templates of extensions and for errors, too, which are of no blueprint.
    pages.app_context_processor(lambda: {"static_url": static_url})
