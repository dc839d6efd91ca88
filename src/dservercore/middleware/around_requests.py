"""What is done for every request, and added to every answer, whatever serves it.

This is WSGI, below Flask, where headers are a list of pairs: the same, done by hooks of Flask, took a third of the time
of a lookup (measured).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from dservercore.catalog.metrics import Recorder
from dservercore.middleware import request_log, unread_bodies

Headers = list[tuple[str, str]]


class AroundRequests:
    """WSGI middleware that numbers and logs requests and adds headers to answers.

    :param headers_for: returns the headers of an answer as it is to be sent, from those that the route has set
    :param metrics: counts requests; None: nobody does
    """

    def __init__(
        self,
        application: Callable[..., Any],
        headers_for: Callable[[dict[str, Any], Headers], Headers],
        metrics: Recorder | None = None,
    ):
        self._application = application
        self._headers_for = headers_for
        self._metrics = metrics

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        request_id = request_log.number(environ)
        started = time.perf_counter()

        def start(status: str, headers: Headers, *error: Any) -> Any:
            unread_bodies.discard(environ)
            headers = self._headers_for(environ, headers)
            headers.append((request_log.REQUEST_ID, request_id))
            seconds = time.perf_counter() - started
            request_log.write(environ, status, seconds)
            if self._metrics is not None:
                self._metrics.request(environ["REQUEST_METHOD"], _route(environ), status[:3], seconds)
            return start_response(status, headers, *error)

        answer: Iterable[bytes] = self._application(environ, start)
        return answer


def _route(environ: dict[str, Any]) -> str | None:
    """Return the rule of the route of a request; None: it is to none."""
    # Where werkzeug keeps the request; the proxies of Flask take five times as long.
    rule = getattr(environ.get("werkzeug.request"), "url_rule", None)
    return rule.rule if rule else None
