"""What somebody has typed into a form whose session is over: it is shown again, to be sent once they have signed in.

The page that shows it is an answer to the form itself, and nothing is kept on the server. Its button sends the same
fields to the same address. If the session is there by then, what they are about to do is shown once more, with a token
of that session; for it may be somebody else's.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

from flask import Response, current_app, make_response, render_template, request, session

from dservercore.rest.body_limits import limit_of_route
from dservercore.web.forms import Form, refuse_many_fields

#: In the query string of what is sent by the page that is made here.
SENT_AGAIN = "sent-again"

#: Fields that are not given back: tokens, and what nobody should see on a screen.
_NOT_GIVEN_BACK = frozenset({"csrf_token", "old", "new", "code"})

#: Characters of a text that is shown to be read, in an area of its own.
_LONG = 60

#: Fields of a form that is given back: whoever sends it need not be anybody here.
_MOST_FIELDS = 2000


def kept_form() -> Response | None:
    """Return a page with the fields of the form that was sent without a session; None if there is nothing to keep.

    Nor is there where the form may be of a page of another site: somebody would send what they have never typed.
    """
    if request.method != "POST" or not _comes_from_here():
        return None
    fields = _fields()
    return _page(fields, HTTPStatus.UNAUTHORIZED) if fields else None


def is_unconfirmed() -> bool:
    """Return whether a form is sent again by the page that is made here, and lacks a token of its session."""
    if request.method != "POST" or SENT_AGAIN not in request.args or not _comes_from_here():
        return False
    _take_large_forms()
    return not Form().validate_on_submit()


def to_confirm() -> Response:
    """Return the page with the fields of a form and a token of the session at hand."""
    return _page(_fields(), HTTPStatus.OK, Form(formdata=None))


def _comes_from_here() -> bool:
    """Return whether the form is of a page of this server, as far as browsers say so.

    Where they do not, as without TLS, they send the cookie of forms to requests of the same site alone.
    """
    site = request.headers.get("Sec-Fetch-Site")
    return "csrf_token" in session if site is None else site == "same-origin"


def _take_large_forms() -> None:
    """Read as much as the view would that the form is for.

    :raises HTTPException: 413 if there is more, or it has more fields than any page sends
    """
    limit = limit_of_route(current_app, str(request.endpoint), "POST")
    request.max_content_length = request.max_form_memory_size = limit
    refuse_many_fields(_MOST_FIELDS)


def _fields() -> list[dict[str, Any]]:
    """Return ``name`` and ``value`` of what is given back, and whether it ``is_long``."""
    _take_large_forms()
    return [
        {"name": name, "value": value, "is_long": len(value) > _LONG or "\n" in value}
        for name, value in request.form.items(multi=True)
        if name not in _NOT_GIVEN_BACK and "password" not in name
    ]


def _page(fields: list[dict[str, Any]], status: int, form: Form | None = None) -> Response:
    parameters = [*request.args.items(multi=True)]
    if SENT_AGAIN not in request.args:
        parameters.append((SENT_AGAIN, "1"))
    # The path is decoded: a question mark in it, as in the URI of a dataset, would be the end of it.
    address = f"{request.script_root}{quote(request.path)}?{urlencode(parameters)}"
    page = make_response(
        render_template("web/lost_session.html", fields=fields, address=address, form=form), status
    )
    page.headers["Cache-Control"] = "no-store"
    if "HX-Request" in request.headers:  # whatever part of the page the answer was for
        page.headers |= {"HX-Retarget": "#content", "HX-Reswap": "outerHTML", "HX-Reselect": "#content"}
    return page
