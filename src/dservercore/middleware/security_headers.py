"""Headers that tell browsers what not to do with an answer, and which sites may read it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from flask import Flask, Response, request
from flask_cors import cross_origin

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

#: How the paths begin that take cookies from pages of sites that are listed.
WITH_COOKIES = "/auth/"

#: Seconds for which a browser may keep what it was told before a request (a preflight): the most that Chromium does.
PREFLIGHT_SECONDS = 7200

_JSON = re.compile(r"application/(?:[^;]*\+)?json\s*(?:;|$)", re.IGNORECASE)


def init_cors(app: Flask, exposed: Iterable[str]) -> None:
    """Let pages from the configured origins read answers.

    :param exposed: response headers that they may read
    """
    origins = app.config["DSERVER_CORS_ORIGINS"]
    if not origins:
        return
    options: dict[str, Any] = {
        "expose_headers": list(exposed),
        "max_age": PREFLIGHT_SECONDS,
        "automatic_options": False,
    }
    # Never with credentials: tokens are sent by programs, not by browsers on their own.
    add = cross_origin(origins=_patterns(origins), supports_credentials=False, **options)(_unchanged)
    # But for the sites that are listed, where a cookie is what a browser gets its token with.
    listed = {origin.lower() for origin in origins} - {ANY_ORIGIN}
    add_with_cookies = cross_origin(origins=_patterns(sorted(listed)), supports_credentials=True, **options)(
        _unchanged
    )

    def add_headers(response: Response) -> Response:
        origin = request.headers.get("Origin")
        if origin is None:
            return response
        takes_cookies = request.path.startswith(WITH_COOKIES) and origin.lower() in listed
        return add_with_cookies(response) if takes_cookies else add(response)

    app.after_request(add_headers)


def _unchanged(response: Response) -> Response:
    return response


def _patterns(origins: list[str]) -> str | list[str | re.Pattern[str]]:
    if ANY_ORIGIN in origins:
        return ANY_ORIGIN
    # As patterns, because flask-cors would take the brackets of an IPv6 address for one.
    return [re.compile(re.escape(origin) + r"\Z", re.IGNORECASE) for origin in origins]


class Headers:
    """Adds to the headers of an answer what the configuration wants.

    :param exposed: response headers that pages of other sites may read
    """

    def __init__(self, config: Mapping[str, Any], exposed: Iterable[str]):
        configured = config["DSERVER_SECURITY_HEADERS"]
        self._decided = frozenset(name.lower() for name in configured)
        self._configured = [(name, value) for name, value in configured.items() if value is not None]
        always = dict(ALWAYS)
        if ANY_ORIGIN in (config["DSERVER_CORS_ORIGINS"] or ()):
            always |= {
                "Access-Control-Allow-Origin": "*",
                "Access-Control-Expose-Headers": ", ".join(exposed),
            }
        for_https = {}
        if config["DSERVER_HSTS_SECONDS"]:
            for_https["Strict-Transport-Security"] = f"max-age={config['DSERVER_HSTS_SECONDS']}"
        self._added = {
            (False, False): self._by_name(always),
            (False, True): self._by_name(always | for_https),
            (True, False): self._by_name(always | FOR_JSON),
            (True, True): self._by_name(always | FOR_JSON | for_https),
        }

    def _by_name(self, headers: Mapping[str, str]) -> dict[str, tuple[str, str]]:
        return {
            name.lower(): (name, value)
            for name, value in headers.items()
            if name.lower() not in self._decided
        }

    def __call__(self, environ: Mapping[str, Any], given: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return the headers of an answer: those of the route, unless the configuration decides, and ours.

        :param given: the headers that the route has set
        """
        by_name = {name.lower(): value for name, value in given}
        is_json = _JSON.match(by_name.get("content-type", "")) is not None
        added = self._added[is_json, environ["wsgi.url_scheme"] == "https"]
        if self._decided:
            given = [pair for pair in given if pair[0].lower() not in self._decided] + self._configured
        return given + [pair for name, pair in added.items() if name not in by_name]
