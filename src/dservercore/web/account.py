"""The page ``/account``: who somebody is here, in which browsers, and with which password."""

from __future__ import annotations

from datetime import datetime, timezone
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, flash, make_response, redirect, render_template, request
from wtforms import PasswordField, SubmitField
from wtforms.validators import InputRequired

from dservercore import db
from dservercore.auth import passwords, sign_in
from dservercore.catalog import passwords as stored_passwords
from dservercore.catalog import sessions
from dservercore.catalog.scope import Actor
from dservercore.errors import ConflictError, TooManyAttemptsError, UnavailableError, ValidationError
from dservercore.web.browsers import name_of
from dservercore.web.forms import Form
from dservercore.web.page_guards import signed_in

_MEANS = {"password": "with a password", "link": "with a link", "ldap": "with the directory"}


class FirstPasswordForm(Form):
    """A password, for who has none."""

    new = PasswordField(
        "New password",
        [InputRequired("The new password is missing.")],
        description="At least 12 characters: for example several words that have nothing to do with each other.",
        render_kw={"autocomplete": "new-password"},
    )
    send = SubmitField("Set the password")


class PasswordChangeForm(FirstPasswordForm):
    """A new password, and the one until now."""

    old = PasswordField(
        "Password until now",
        [InputRequired("The password until now is missing.")],
        render_kw={"autocomplete": "current-password"},
    )
    # Fields come in the order in which they are made.
    new = PasswordField(
        "New password",
        [InputRequired("The new password is missing.")],
        description="At least 12 characters: for example several words that have nothing to do with each other.",
        render_kw={"autocomplete": "new-password"},
    )
    send = SubmitField("Change the password")


def add_to(pages: Blueprint) -> None:
    """Serve the page, and take what its forms send."""
    pages.add_url_rule("/account", "account", show)
    pages.add_url_rule("/account/password", "change_password", change_password, methods=["POST"])
    pages.add_url_rule("/account/sessions/<int:session_id>/end", "end_session", end_session, methods=["POST"])


@signed_in
def show(actor: Actor) -> Any:
    """Return the page."""
    return _page(actor, _password_form(actor, sent=False))


@signed_in
def change_password(actor: Actor) -> Any:
    """Set the user's password, and lead to the page; or return it with what is wrong."""
    form = _password_form(actor, sent=True)
    if not form.validate_on_submit():
        return _page(actor, form, HTTPStatus.BAD_REQUEST)
    session = sign_in.current()
    old = form.old.data if isinstance(form, PasswordChangeForm) else None
    try:
        passwords.change(actor, old, form.new.data or "", keep=session.id if session else None)
        db.commit()
    except ValidationError as error:
        for name, messages in (error.errors or {}).items():
            form[name].errors = [f"The password {message}." for message in messages]
        return _page(actor, form, HTTPStatus.UNPROCESSABLE_ENTITY)
    except TooManyAttemptsError as error:
        page = _page(actor, form, HTTPStatus.TOO_MANY_REQUESTS, error.message)
        page.headers["Retry-After"] = str(error.seconds)
        return page
    except UnavailableError as error:
        return _page(actor, form, HTTPStatus.SERVICE_UNAVAILABLE, error.message)
    except ConflictError as error:
        return _page(actor, form, HTTPStatus.CONFLICT, error.message)
    flash("Your password is set. Your sessions in other browsers have ended.")
    return _back()


@signed_in
def end_session(session_id: int, actor: Actor) -> Any:
    """End a session of the user, and lead to the page."""
    if not Form().validate_on_submit():
        problem = "This form was open for too long, or cookies are off: try again."
        return _page(actor, _password_form(actor, sent=False), HTTPStatus.BAD_REQUEST, problem)
    if sessions.end_of(str(actor.username), session_id, actor=actor):
        flash("The session has ended.")
    db.commit()
    return _back()


def _back() -> Any:
    return redirect(f"{request.script_root}/account", 303)


def _password_form(actor: Actor, sent: bool) -> FirstPasswordForm:
    kind = PasswordChangeForm if stored_passwords.has_password(str(actor.username)) else FirstPasswordForm
    return kind() if sent else kind(formdata=None)


def _page(actor: Actor, form: FirstPasswordForm, status: int = HTTPStatus.OK, problem: str = "") -> Response:
    current = sign_in.current()
    page = render_template(
        "web/account.html",
        actor=actor,
        sessions=[_shown(row) for row in sessions.list_of(str(actor.username), sign_in.limits())],
        current=current.id if current else None,
        form=form,
        end_form=Form(formdata=None),
        problem=problem,
    )
    return make_response(page, int(status))


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    means = _MEANS.get(row["means"], f"at {row['means'].partition(':')[2] or row['means']}")
    return (
        row
        | {name: _moment(row[name]) for name in ("created_at", "last_used_at")}
        | {
            "means": means,
            "browser": name_of(row["agent"]),
        }
    )


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)
