"""What the forms of the administration do: one act for each, named by the button that sends it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from flask import flash, redirect, request

from dservercore import db
from dservercore.catalog.scope import GRANTS, Grant
from dservercore.errors import DserverError, TooManyAttemptsError, ValidationError, invalid
from dservercore.rest.errors import status_of
from dservercore.web.forms import Form
from dservercore.web.texts import gettext

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
        answer = show(status_of(error) or HTTPStatus.BAD_REQUEST, reason(error))
        if isinstance(error, TooManyAttemptsError):
            answer.headers["Retry-After"] = str(error.seconds)
        return answer
    if not isinstance(result, str):
        return result
    flash(result)
    return redirect(back if isinstance(back, str) else back(), 303)


def reason(error: DserverError) -> str:
    """Return what is wrong, for people: without the name of a field, which they see beside their text."""
    if isinstance(error, ValidationError) and error.errors:
        messages = [text for texts in error.errors.values() if isinstance(texts, list) for text in texts]
        if messages:
            return (
                gettext("The name %(reasons)s") % {"reasons": "; ".join(messages)}
                if _is_name(error)
                else ("; ".join(text[:1].upper() + text[1:] for text in messages))
            )
    return error.message


def _is_name(error: ValidationError) -> bool:
    return set(error.errors or {}) <= {"username", "group"}


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
