"""Headers that tell browsers what not to do with an answer, and which sites may read it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from flask import Flask, Response, current_app, request
from flask_cors import CORS

#: What every answer gets, unless the route has said otherwise or ``DSERVER_SECURITY_HEADERS`` does.
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    # What one user may see is not for a cache that others share; one's own may keep it, but has to ask (ETag, 304).
    "Cache-Control": "private, no-cache",
}

#: What an answer in JSON gets too: nothing in it is to be shown, run or framed. Pages have policies of their own.
FOR_JSON = {"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}

ANY_ORIGIN = "*"


def init_security_headers(app: Flask, exposed: Iterable[str]) -> None:
    """Let the configured origins read answers, and add the headers.

    :param exposed: response headers that pages of other sites may read
    """
    origins = app.config["DSERVER_CORS_ORIGINS"]
    if origins:
        # Never with credentials: tokens are sent by programs, not by browsers on their own.
        CORS(app, origins=_patterns(origins), expose_headers=list(exposed), supports_credentials=False)
    app.after_request(_add_headers)


def _patterns(origins: list[str]) -> str | list[str | re.Pattern[str]]:
    if ANY_ORIGIN in origins:
        return ANY_ORIGIN
    # As patterns, because flask-cors would take the brackets of an IPv6 address for one.
    return [re.compile(re.escape(origin) + r"\Z", re.IGNORECASE) for origin in origins]


def _add_headers(response: Response) -> Response:
    config = current_app.config
    headers: dict[str, str | None] = {**ALWAYS}
    if response.is_json:
        headers |= FOR_JSON
    if config["DSERVER_HSTS_SECONDS"] and request.is_secure:
        headers["Strict-Transport-Security"] = f"max-age={config['DSERVER_HSTS_SECONDS']}"
    for name, value in headers.items():
        if value is not None and name not in response.headers:
            response.headers[name] = value
    for name, value in config["DSERVER_SECURITY_HEADERS"].items():
        if value is None:
            response.headers.pop(name, None)
        else:
            response.headers[name] = value
    return response
