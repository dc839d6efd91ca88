"""``/search/suggestions``: what somebody may be about to type into the box, for the script of the page."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from dservercore.catalog import suggestions
from dservercore.catalog.scope import Actor, Scope
from dservercore.rest.request_parser import RequestParser
from dservercore.rest.responses import json_answer
from dservercore.rest.schemas import SuggestQuerySchema
from dservercore.web.page_guards import with_scope

_PARSER = RequestParser()


def add_to(pages: Blueprint) -> None:
    """Serve them, as ``/suggest`` does to programs."""
    pages.add_url_rule("/search/suggestions", "search_suggestions", suggest)


@with_scope("search", visitors=True)
def suggest(actor: Actor, search_scope: Scope) -> Response:
    """Return ``[{"text": str, "kind": "word" | "name" | "tag" | "creator"}]`` as JSON."""
    query: dict[str, Any] = _PARSER.parse(SuggestQuerySchema, request, location="query")
    return json_answer(suggestions.suggest(search_scope, query.get("q", ""), query["limit"]))
