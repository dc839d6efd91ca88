"""``/search.csv`` and ``/search.ndjson``: all results of a search, for who has the session of a browser."""

from __future__ import annotations

from flask import Blueprint, Response

from dservercore.api import exports
from dservercore.catalog.scope import Actor, Scope
from dservercore.web.page_guards import with_scope
from dservercore.web.search.asked import asked, require_words


def add_to(pages: Blueprint) -> None:
    """Serve them, as ``/uris.csv`` and ``/uris.ndjson`` do to programs."""
    pages.add_url_rule("/search.csv", "search_csv", table)
    pages.add_url_rule("/search.ndjson", "search_ndjson", lines)


@with_scope("search", visitors=True)
def table(actor: Actor, search_scope: Scope) -> Response:
    """Return all results, each copy on a line of its own, as CSV."""
    return _export(search_scope, exports.CSV)


@with_scope("search", visitors=True)
def lines(actor: Actor, search_scope: Scope) -> Response:
    """Return all results, each copy on a line of its own, as JSON objects."""
    return _export(search_scope, exports.LINES)


def _export(scope: Scope, media_type: str) -> Response:
    wanted = asked()
    require_words(wanted)
    return exports.export(scope, wanted.query, wanted.sort_parameters, media_type, is_strict=wanted.is_strict)
