"""What leads a browser from the page of a dataset to its files: with its session, to a URL that is signed for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import redirect

from dservercore.catalog.scope import Actor, Scope
from dservercore.errors import AuthorizationError, UnknownFileError, UnknownURIError
from dservercore.plugins.signed_url import reading
from dservercore.plugins.signed_url.holders import holder_of_request
from dservercore.web.dataset_pages.views import not_found
from dservercore.web.page_guards import with_scope
from dservercore.web.pages import Pages

pages = Pages("signed_url_pages", __name__)


# What is done with a dataset stands in front of its URI, in which anything may stand.
@pages.get("/dataset-file/<identifier>/<uri:uri>")
@with_scope("search", visitors=True)
def item(identifier: str, uri: str, search_scope: Scope, actor: Actor) -> Any:
    """Lead to the URL of one item."""
    holder = holder_of_request(actor)
    return _led_to(lambda: reading.item_url(search_scope, uri, identifier, holder)["url"])


@pages.get("/dataset-archive/<uri:uri>")
@with_scope("search", visitors=True)
def archive(uri: str, search_scope: Scope, actor: Actor) -> Any:
    """Lead to the URL of all files of a dataset."""
    return _led_to(lambda: reading.archive_url(search_scope, uri, holder_of_request(actor)))


def _led_to(url: Callable[[], str]) -> Any:
    try:
        answer = redirect(url(), 303)
    except (AuthorizationError, UnknownURIError, UnknownFileError):
        return not_found()
    answer.headers["Cache-Control"] = "no-store"
    return answer
