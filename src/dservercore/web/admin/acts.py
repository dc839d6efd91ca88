"""What the forms of the administration do: one act for each, named by the button that sends it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any

from flask import flash, redirect, request

from dservercore import db
from dservercore.catalog.scope import GRANTS, Grant
from dservercore.errors import DserverError, ValidationError, invalid
from dservercore.rest.errors import status_of
from dservercore.web.forms import Form
from dservercore.web.texts import gettext, noted

# Between these, the direction of a text is its own affair.
_ISOLATE, _END = "\u2068", "\u2069"

#: Does what a form asks for, in the transaction that is open. Returns what to say about it, or the page to show.
Act = Callable[[], Any]

#: Shows the page of the form again, with a status and what was wrong.
Page = Callable[[int, str], Any]


def take(acts: Mapping[str, Act], show: Page, back: str | Callable[[], str]) -> Any:
    """Do what the form that was sent asks for, and lead to a page that says so; or show what is wrong.

    :param acts: by the value of ``act``, the name of the buttons
    :param show: shows the page with what was typed
    :param back: the address to lead to
    """
    if not Form().validate_on_submit():
        return show(
            HTTPStatus.BAD_REQUEST,
            gettext("This form was open for too long, or cookies are off: send it again."),
        )
    act = acts.get(request.form.get("act", ""))
    if act is None:
        return show(HTTPStatus.BAD_REQUEST, gettext("There is no such button on this page."))
    try:
        result = act()
        db.commit()
    except DserverError as error:
        db.rollback()
        return show(status_of(error) or HTTPStatus.BAD_REQUEST, reason(error))
    if not isinstance(result, str):
        return result
    flash(result)
    return redirect(back if isinstance(back, str) else back(), 303)


def bound(acts: Mapping[str, Callable[..., Any]], *given: Any) -> dict[str, Act]:
    """Return acts as :func:`take` takes them, from functions that are given what a page is about and who acts."""
    return {name: partial(act, *given) for name, act in acts.items()}


def asked_act() -> str | None:
    """Return the act whose effect the address asks about: ``grant`` or ``revoke``; None: about none."""
    return next((act for act in ("grant", "revoke") if act in request.args), None)


def previewed(
    preview: Callable[[], dict[str, Any] | None], status: int, problem: str
) -> tuple[dict[str, Any] | None, int, str]:
    """Return what an act would change, and the status and the problem of the page that shows it.

    :param preview: returns what would change, and is not asked where there is a problem; what it raises is one
    """
    if problem:
        return None, status, problem
    try:
        return preview(), status, problem
    except DserverError as error:
        return None, HTTPStatus.UNPROCESSABLE_ENTITY, reason(error)


def said(text: str, **names: str) -> str:
    """Return a text with names in it, which may be of a script that is written from right to left.

    :param text: in the language of the reader, with a place such as ``%(name)s`` for each
    """
    return text % {key: f"{_ISOLATE}{name}{_END}" for key, name in names.items()}


#: What a message of the catalog is about, by the field that it names.
_SUBJECTS = {
    "username": noted("The name"),
    "group": noted("The name"),
    "name": noted("The name"),
    "display_name": noted("The display name"),
    "base_uri": noted("The base URI"),
}


def reason(error: DserverError) -> str:
    """Return what is wrong, as a sentence for people: without the names that fields have in requests."""
    if not isinstance(error, ValidationError) or not error.errors:
        return error.message
    return " ".join(
        _sentence(field, message)
        for field, messages in error.errors.items()
        for message in (messages if isinstance(messages, list) else [])
    )


def _sentence(field: str, message: str) -> str:
    subject = _SUBJECTS.get(field)
    text = f"{gettext(subject)} {message}" if subject and message[:1].islower() else message
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def sent(name: str) -> str:
    """Return what was typed into a field of the form; the text of none is empty."""
    return request.form.get(name, "")


def sent_grant() -> Grant:
    """Return the permission that was chosen.

    :raises ValidationError: if it is none
    """
    return checked_grant(sent("kind"))


def checked_grant(kind: str) -> Grant:
    """Return a permission.

    :raises ValidationError: if it is none
    """
    if kind not in GRANTS:
        raise invalid("kind", "must be search or register", "query")
    return kind
