"""What the forms that edit a dataset have in common: who may, what is sent, what became of it, and refusals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, NamedTuple, TypeVar, cast

from flask import Response, make_response, request, url_for
from sqlalchemy.exc import DBAPIError, OperationalError

from dservercore import db
from dservercore.auth import permissions
from dservercore.catalog import lookup
from dservercore.catalog.scope import Actor, Scope
from dservercore.db import servers
from dservercore.errors import AuthorizationError, DserverError, UnknownURIError, ValidationError
from dservercore.rest.body_limits import BodyLimit, takes_body
from dservercore.rest.errors import payload_of
from dservercore.rest.etags import etag_of
from dservercore.web.forms import refuse_many_fields
from dservercore.web.texts import gettext

View = TypeVar("View", bound=Callable[..., Any])

#: What can keep an edit from being made, of which the page tells who made it.
REFUSALS = (DserverError, OperationalError)

_MOST_FIELDS = 100


@dataclass(frozen=True)
class Refusal:
    """Why an edit was not made.

    :param status: of the answer
    :param message: for who wanted to make it
    """

    status: int
    message: str


class Place(NamedTuple):
    """The dataset that is edited, as far as its reader may know it: its URI, and its name or what the URI ends in."""

    uri: str
    name: str


def takes_form(limit: Callable[[Mapping[str, Any]], BodyLimit]) -> Callable[[View], View]:
    """Return a decorator for a view that takes a form with a long text; it goes below the guard.

    :param limit: given the configuration of the application, returns the limit
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def bounded(*args: Any, **kwargs: Any) -> Any:
            refuse_many_fields(_MOST_FIELDS)
            return view(*args, **kwargs)

        return cast(View, takes_body(limit)(bounded))

    return decorate


def may_edit(actor: Actor, uri: str) -> bool:
    """Return whether somebody who may read a dataset may edit it, too."""
    if actor.username is None:
        return False
    return lookup.may_access(permissions.identify_with_scope(actor.username, "register")[1], uri)


def place_of(scope: Scope, uri: str) -> Place:
    """Return the dataset of a page, also for who may not see its name."""
    try:
        return Place(uri, lookup.find(scope, uri)["name"])
    except (AuthorizationError, UnknownURIError):
        return Place(uri, uri.rpartition("/")[2])


def require_editable(scopes: list[Scope], uri: str) -> None:
    """Pass if a dataset is registered in all scopes.

    :raises AuthorizationError: if it is in some only, or the base URI that it would be in is missing from one
    :raises UnknownURIError: if it is not registered
    """
    for scope in scopes:
        lookup.find(scope, uri)


def refusal_of(error: Exception) -> Refusal:
    """Return why an edit was not made, and take back what has been made of it.

    :raises DBAPIError: if the request is to be tried once more
    """
    db.rollback()
    if isinstance(error, DBAPIError) and servers.lost_a_race(error):
        raise error
    payload = payload_of(error)
    message = payload["message"]
    if isinstance(error, ValidationError) and error.errors:
        [reasons, *_] = error.errors.values()
        message = str(reasons[0]) if isinstance(reasons, list) else message
    return Refusal(int(payload["code"]), message)


def stale_form() -> Refusal:
    """Return the refusal of a form that no page of this session can have sent."""
    return Refusal(400, gettext("This form was open for too long, or cookies are off: send it again."))


def saved(done: str, updated: bool | None) -> str:
    """Return what became of an edit, in words.

    :param done: what was done, a sentence
    :param updated: whether the dataset in storage was updated, too; None: it was not tried
    """
    if updated:
        return done
    if updated is None:
        why = gettext("This server leaves datasets in storage as they are.")
    else:
        why = gettext("The storage could not be updated: the dataset itself still has what it had before.")
    return f"{done} {why}"


def as_sent(field: str, before: str | None = None) -> str:
    r"""Return the text of a field with the line ends that it had before: browsers send ``\r\n`` for all.

    :param before: the text that was edited
    """
    text = request.form.get(field, "").replace("\r\n", "\n")
    return text.replace("\n", "\r\n") if before is not None and _has_crlf(before) else text


def _has_crlf(text: str) -> bool:
    return "\r\n" in text and text.count("\n") == text.count("\r\n")


def tag_of(value: Any) -> str:
    """Return what stands for a value in a form, so that it is noticed if somebody changes the value meanwhile."""
    return etag_of({"value": value})


def wants_part() -> bool:
    """Return whether a script asks, which puts what has changed into the page, and no more."""
    return request.headers.get("HX-Request") == "true"


def answer(page: str, refusal: Refusal | None = None) -> Response:
    """Return a page, with the status of a refusal if there is one."""
    response = make_response(page, refusal.status if refusal else 200)
    response.vary.add("HX-Request")
    return response


def dataset_url(uri: str, section: str) -> str:
    """Return the address of a section of the dataset's page."""
    return url_for("web.dataset", uri=uri, _anchor=section)
