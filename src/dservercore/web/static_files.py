"""Static files, whose addresses change with their content, so that a browser may keep them for ever."""

from __future__ import annotations

import hashlib
from pathlib import Path

from flask import Blueprint, Response, send_from_directory, url_for

DIRECTORY = Path(__file__).parent / "static"

#: ``Cache-Control`` of a file that may be kept for a year without asking whether there is a new one.
FOR_EVER = "public, max-age=31536000, immutable"

_DIGEST_LENGTH = 12


def add_to(pages: Blueprint) -> None:
    """Serve the static files, and give templates ``static_url(name)``, which returns the address of one."""
    digests = {
        file.relative_to(DIRECTORY).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()[:_DIGEST_LENGTH]
        for file in DIRECTORY.rglob("*")
        if file.is_file()
    }

    def static_file(digest: str, file: str) -> Response:
        response = send_from_directory(DIRECTORY, file)
        # While a server is replaced, a page of the old one may ask the new one for a file that differs.
        response.headers["Cache-Control"] = FOR_EVER if digest == digests[file] else "no-cache"
        return response

    def static_url(name: str) -> str:
        return url_for("web.static_file", digest=digests[name], file=name)

    pages.add_url_rule("/static/<digest>/<path:file>", "static_file", static_file)
    # For the templates of extensions and for errors, too, which are of no blueprint.
    pages.app_context_processor(lambda: {"static_url": static_url})
