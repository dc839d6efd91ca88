"""The page ``/account``: who somebody is here, what they may see, and what is theirs.

Searches that are kept, settings for dtool and tokens have forms of their own on it, in modules beside this one.
"""

from __future__ import annotations

from datetime import datetime, timezone
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, flash, make_response, redirect, render_template, request

from dservercore import db
from dservercore.auth import passwords, permissions, sign_in
from dservercore.catalog import audience, kept_searches, personal_tokens, sessions, users
from dservercore.catalog import passwords as stored_passwords
from dservercore.catalog.scope import GRANTS, Actor
from dservercore.errors import (
    ConflictError,
    TooManyAttemptsError,
    UnavailableError,
    ValidationError,
)
from dservercore.settings.external_url import external_url
from dservercore.web.account_forms import (
    DtoolForm,
    FirstPasswordForm,
    NameForm,
    PasswordChangeForm,
    TokenForm,
)
from dservercore.web.browsers import name_of
from dservercore.web.forms import Form
from dservercore.web.kept_queries import in_words
from dservercore.web.page_guards import signed_in
from dservercore.web.texts import gettext, noted

_MEANS = {
    "password": noted("with a password"),
    "link": noted("with a link"),
    "ldap": noted("with the directory"),
}
#: The section of the page that has a form.
_SECTIONS = {
    "search_form": "searches",
    "rename_form": "searches",
    "dtool_form": "dtool",
    "token_form": "tokens",
    "name_form": "name",
    "form": "password",
}
#: Base URIs that the page lists.
MAX_PLACES = 1000


def add_to(pages: Blueprint) -> None:
    """Serve the page, and take what its forms send that is about the user."""
    pages.add_url_rule("/account", "account", show)
    pages.add_url_rule("/account/name", "change_name", change_name, methods=["POST"])
    pages.add_url_rule("/account/password", "change_password", change_password, methods=["POST"])
    pages.add_url_rule("/account/sessions/<int:session_id>/end", "end_session", end_session, methods=["POST"])


@signed_in
def show(actor: Actor) -> Any:
    """Return the page."""
    return page(actor)


@signed_in
def change_name(actor: Actor) -> Any:
    """Set the name that the user is shown under, and lead to the page; or return it with what is wrong."""
    form = NameForm()
    if not form.validate_on_submit():
        return page(actor, HTTPStatus.BAD_REQUEST, name_form=form)
    try:
        name = (form.display_name.data or "").strip()
        users.update_user(str(actor.username), {"display_name": name or None}, actor=actor)
        db.commit()
    except ValidationError as error:
        note(form, error, gettext("The name %(problem)s."))
        return page(actor, HTTPStatus.UNPROCESSABLE_ENTITY, name_form=form)
    flash(gettext("Your name is saved."))
    return back("name")


@signed_in
def change_password(actor: Actor) -> Any:
    """Set the user's password, and lead to the page; or return it with what is wrong."""
    form = _password_form(actor, sent=True)
    if not form.validate_on_submit():
        return page(actor, HTTPStatus.BAD_REQUEST, form=form)
    session = sign_in.current()
    old = form.old.data if isinstance(form, PasswordChangeForm) else None
    try:
        passwords.change(actor, old, form.new.data or "", keep=session.id if session else None)
        db.commit()
    except ValidationError as error:
        note(form, error, gettext("The password %(problem)s."))
        return page(actor, HTTPStatus.UNPROCESSABLE_ENTITY, form=form)
    except TooManyAttemptsError as error:
        answer = page(actor, HTTPStatus.TOO_MANY_REQUESTS, error.message, form=form)
        answer.headers["Retry-After"] = str(error.seconds)
        return answer
    except UnavailableError as error:
        return page(actor, HTTPStatus.SERVICE_UNAVAILABLE, error.message, form=form)
    except ConflictError as error:
        return page(actor, HTTPStatus.CONFLICT, error.message, form=form)
    flash(gettext("Your password is set. Your sessions in other browsers have ended."))
    return back("password")


@signed_in
def end_session(session_id: int, actor: Actor) -> Any:
    """End a session of the user, and lead to the page."""
    if not Form().validate_on_submit():
        return stale(actor)
    if sessions.end_of(str(actor.username), session_id, actor=actor):
        flash(gettext("The session has ended."))
    db.commit()
    return back("sessions")


# What the modules of the page's other forms share


def back(section: str) -> Any:
    """Return the redirect to a section of the page."""
    return redirect(f"{request.script_root}/account#{section}", 303)


def stale(actor: Actor) -> Response:
    """Return the page for a form that is nothing but a button, and came without a token that is good."""
    problem = gettext("This form was open for too long, or cookies are off: try again.")
    return page(actor, HTTPStatus.BAD_REQUEST, problem)


def note(form: Form, error: ValidationError, sentence: str) -> None:
    """Have a form show what the server finds wrong with its fields.

    :param sentence: with ``%(problem)s`` where the server's words go, which are what follows the name of the field
    """
    for name, messages in (error.errors or {}).items():
        form[name].errors = [sentence % {"problem": message} for message in messages]


def page(actor: Actor, status: int = HTTPStatus.OK, problem: str = "", **shown: Any) -> Response:
    """Return the page.

    :param problem: what is wrong, where no field of a form is to blame
    :param shown: what else the template shows, such as a form that was sent, instead of an empty one
    """
    username, current = str(actor.username), sign_in.current()
    wrong = next(
        (section for name, section in _SECTIONS.items() if name in shown and shown[name].errors), None
    )
    user = users.get_user(username)
    places, usable = _places(username), permissions.usable_base_uris(username, GRANTS)
    return make_response(
        render_template(
            "web/account.html",
            **{
                "user": user,
                "actor": actor,
                "address": external_url(),
                "has_password": stored_passwords.has_password(username),
                "groups": users.groups_of(users.key_of_user(username)),
                "base_uris": places[:MAX_PLACES],
                "number_of_base_uris": len(places),
                "searches": [
                    kept | {"words": in_words(kept["query"])}
                    for kept in kept_searches.list_searches(username)
                ],
                "tokens": personal_tokens.list_tokens(username),
                "now": datetime.now(timezone.utc).timestamp(),
                "sessions": [_shown(row) for row in sessions.list_of(username, sign_in.limits())],
                "current": current.id if current else None,
                "problem": problem,
                "wrong": wrong,
                "name_form": NameForm(formdata=None, display_name=user["display_name"]),
                "form": _password_form(actor, sent=False),
                "token_form": TokenForm(actor, usable, formdata=None),
                "dtool_form": DtoolForm(formdata=None),
                "button_form": Form(formdata=None),
                "may_register": any(place["register"] for place in places),
                **shown,
            },
        ),
        int(status),
    )


def _places(username: str) -> list[dict[str, Any]]:
    """Return, of each base URI that a user may do something in, ``base_uri`` and why, by permission: None if not."""
    found = audience.permissions_of(username)
    why = {kind: {each["base_uri"]: each for each in found[kind]} for kind in GRANTS}
    return [
        {"base_uri": base_uri, **{kind: why[kind].get(base_uri) for kind in GRANTS}}
        for base_uri in sorted({*why["search"], *why["register"]})
    ]


def _password_form(actor: Actor, sent: bool) -> FirstPasswordForm:
    kind = PasswordChangeForm if stored_passwords.has_password(str(actor.username)) else FirstPasswordForm
    return kind() if sent else kind(formdata=None)


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    if row["means"] in _MEANS:
        means = gettext(_MEANS[row["means"]])
    else:
        means = gettext("at %(provider)s") % {"provider": row["means"].partition(":")[2] or row["means"]}
    return row | {"means": means, "browser": name_of(row["agent"])}
