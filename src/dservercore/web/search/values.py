"""``/search/values``: the values of one facet of a search, where there are more than fit beside the results."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, render_template, request

from dservercore.catalog.scope import Actor, Scope
from dservercore.errors import invalid
from dservercore.rest.body_limits import MAX_FILTER_VALUE_LENGTH
from dservercore.web.page_guards import with_scope
from dservercore.web.search import facets
from dservercore.web.search.asked import asked, require_words


def add_to(pages: Blueprint) -> None:
    """Serve the page."""
    pages.add_url_rule("/search/values", "search_values", show)


@with_scope("search", visitors=True)
def show(actor: Actor, search_scope: Scope) -> Any:
    """Return the page: the values of ``facet`` that begin with ``prefix``, the commonest first."""
    wanted = asked("facet", "prefix")
    require_words(wanted)
    name, prefix = request.args.get("facet", "tags"), request.args.get("prefix", "")
    if name not in facets.LISTS:
        raise invalid("facet", f"There are {', '.join(facets.LISTS)}.", location="query")
    if len(prefix) > MAX_FILTER_VALUE_LENGTH:
        raise invalid("prefix", f"Longer than {MAX_FILTER_VALUE_LENGTH} characters.", location="query")
    facet = facets.values_of(search_scope, wanted, name, prefix)
    return render_template("web/search_values.html", asked=wanted, facet=facet, prefix=prefix)
