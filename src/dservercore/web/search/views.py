"""The page ``/``: a search for who may search, and for others what this server is."""

from __future__ import annotations

import posixpath
from collections.abc import Collection
from dataclasses import replace
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from flask import Blueprint, current_app, make_response, render_template, request
from werkzeug.exceptions import UnprocessableEntity

from dservercore.catalog import result_details
from dservercore.catalog.result_pages import ResultPage, result_page
from dservercore.catalog.scope import Actor, Scope
from dservercore.catalog.structured_search import extension_for, structured_page
from dservercore.errors import UnavailableError, ValidationError
from dservercore.rest.error_messages import message_of
from dservercore.rest.paging import slice_of
from dservercore.web.page_guards import to_sign_in, with_scope
from dservercore.web.search import programs, results
from dservercore.web.search.asked import MAX_PAGE_SIZE, PAGE_SIZE, Asked, asked
from dservercore.web.search.chosen import Choice, choices, without_choices
from dservercore.web.search.facets import Histogram, ShownFacets
from dservercore.web.search.facets import shown as shown_facets
from dservercore.web.texts import gettext, noted

#: Orders that can be chosen, by what the parameter ``sort`` says.
ORDERS = {
    "-relevance": noted("Best match"),
    "-frozen_at": noted("Newest"),
    "frozen_at": noted("Oldest"),
    "name": noted("Name, A to Z"),
    "-name": noted("Name, Z to A"),
    "creator_username": noted("Creator"),
    "base_uri": noted("Base URI"),
}

PAGE_SIZES = (PAGE_SIZE, 25, 50, MAX_PAGE_SIZE)

#: Where nothing is found, it is looked up how much would be without each of so many choices.
MOST_WAYS_OUT = 5


def add_to(pages: Blueprint) -> None:
    """Serve the page."""
    pages.add_url_rule("/", "home", home, strict_slashes=False)


def welcome() -> Any:
    """Return what this server is, for who has not signed in and finds nothing public.

    An address of a search that somebody was sent leads them to where they sign in, and from there back to it.
    """
    if request.args:
        return to_sign_in()
    return render_template("web/welcome.html", version=version("dservercore"), documents=documents_of_api())


@with_scope("search", visitors=True, others=welcome)
def home(actor: Actor, search_scope: Scope) -> Any:
    """Return the page with what the address asks for."""
    try:
        wanted = asked()
        page = _page_of(search_scope, wanted)
        facets = None if wanted.is_structured else shown_facets(search_scope, wanted)
    except UnprocessableEntity as error:
        messages = getattr(error, "data", {}).get("messages")
        return _problem(message_of(messages), HTTPStatus.UNPROCESSABLE_ENTITY)
    except ValidationError as error:
        return _problem(error.message, HTTPStatus.UNPROCESSABLE_ENTITY)
    except UnavailableError as error:
        return _problem(error.message, HTTPStatus.SERVICE_UNAVAILABLE)
    return _rendered(search_scope, wanted, page, facets)


def _page_of(scope: Scope, wanted: Asked, details: Collection[str] = result_details.DETAILS) -> ResultPage:
    if wanted.is_structured and (extension := extension_for(wanted.text)):
        rows = slice_of(wanted.pagination_parameters)
        order = wanted.sort_parameters.order
        return structured_page(extension, scope, wanted.text, wanted.filters, order, rows, details)
    return result_page(
        scope,
        wanted.query,
        wanted.pagination_parameters,
        wanted.sort_parameters,
        is_strict=wanted.is_strict,
        is_grouped=True,
        details=details,
    )


def _problem(message: str, status: int) -> Any:
    """Return the page with what is wrong in place of results."""
    text = request.args.get("free_text", "").replace("\0", "")
    page = render_template(
        "web/search.html", asked=Asked(text), problem=message, documents=documents_of_api(), choices=[]
    )
    return make_response(page, int(status))


def _rendered(scope: Scope, wanted: Asked, page: ResultPage, facets: ShownFacets | None) -> str:
    chosen = choices(wanted)
    return render_template(
        "web/search.html",
        asked=wanted,
        query_string=wanted.query_string,
        total=page.total,
        done=page.done,
        results=results.shown(wanted, page.datasets),
        facets=facets,
        histogram=Histogram,
        choices=chosen,
        without_choices=without_choices(wanted),
        ways_out=_ways_out(scope, wanted, chosen) if not page.total else [],
        page_url=lambda number: replace(wanted, page=number).url(),
        last_page=-(-page.total // wanted.page_size),
        orders=_orders(wanted),
        page_sizes=PAGE_SIZES,
        curl=programs.as_curl(wanted),
        requests=programs.as_requests(wanted),
        lookup_api=programs.as_dtool_lookup_api(wanted),
        has_scope=bool(scope.base_uris),
        documents=documents_of_api(),
    )


def _orders(wanted: Asked) -> list[tuple[str, str, bool]]:
    """Return, for each order, what the parameter says, what it is called, and whether it is the one at hand.

    The one that is taken without a wish says nothing: with other words, it may be another one.
    """
    offered = {name: text for name, text in ORDERS.items() if wanted.has_words or name != "-relevance"}
    default = wanted.changed(sort="").order
    if wanted.order not in offered:
        offered[wanted.order] = wanted.order
    return [
        ("" if name == default else name, gettext(text), name == wanted.order)
        for name, text in offered.items()
    ]


def _ways_out(scope: Scope, wanted: Asked, chosen: list[Choice]) -> list[tuple[Choice, int]]:
    """Return what one could take back, and how many datasets would be found then; those alone that help."""
    ways = chosen[:MOST_WAYS_OUT]
    if len(chosen) > 1:
        ways.append(Choice("", gettext("all filters"), without_choices(wanted)))
    if chosen and wanted.has_words:
        ways.append(Choice("", f"“{wanted.words}”", wanted.reworded(words="")))
    found = []
    for choice in ways:
        number = _page_of(scope, choice.without.changed(page_size=1), details=()).total
        if number:
            found.append((choice, number))
    return found


def documents_of_api() -> dict[str, str]:
    """Return the addresses of the API's documentation: those of ``swagger``, ``redoc`` and ``json`` that there are."""
    config = current_app.config
    prefix = config.get("OPENAPI_URL_PREFIX")
    if prefix is None:
        return {}
    paths = {
        "swagger": config.get("OPENAPI_SWAGGER_UI_PATH"),
        "redoc": config.get("OPENAPI_REDOC_PATH"),
        "json": config.get("OPENAPI_JSON_PATH", "openapi.json"),
    }
    return {
        name: request.script_root + posixpath.join("/", prefix, path.lstrip("/"))
        for name, path in paths.items()
        if path
    }
