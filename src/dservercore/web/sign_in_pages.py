"""The pages ``/sign-in``, ``/sign-in/link`` and ``/sign-out``."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, current_app, make_response, redirect, render_template, request
from wtforms import PasswordField, StringField, SubmitField
from wtforms.validators import InputRequired

from dservercore import db
from dservercore.auth import passwords, sign_in
from dservercore.catalog import attempts, login_links, metrics
from dservercore.catalog import passwords as stored_passwords
from dservercore.catalog.scope import Actor, acting
from dservercore.errors import AuthenticationError, ConflictError, TooManyAttemptsError, UnavailableError
from dservercore.web.forms import Form
from dservercore.web.page_guards import signed_in
from dservercore.web.texts import gettext, noted

LINK_REFUSAL = noted(
    "This link does not work: it has expired, was used already, or was not copied whole. Ask for another one."
)


class PasswordForm(Form):
    """A name and a password."""

    username = StringField(
        noted("Name"), [InputRequired(noted("Your name is missing."))], render_kw={"autocomplete": "username"}
    )
    password = PasswordField(
        noted("Password"),
        [InputRequired(noted("Your password is missing."))],
        render_kw={"autocomplete": "current-password"},
    )
    send = SubmitField(noted("Sign in"))


class LinkForm(Form):
    """The button that uses a link up."""

    send = SubmitField(noted("Sign in"))


def add_to(pages: Blueprint) -> None:
    """Serve the pages."""
    pages.add_url_rule("/sign-in", "sign_in", show_sign_in)
    pages.add_url_rule("/sign-in", "sign_in_with_password", sign_in_with_password, methods=["POST"])
    pages.add_url_rule("/sign-in/done", "signed_in_again", show_signed_in_again)
    pages.add_url_rule("/sign-in/link", "link", show_link)
    pages.add_url_rule("/sign-in/link", "use_link", use_link, methods=["POST"])
    pages.add_url_rule("/sign-out", "sign_out", sign_out, methods=["POST"])


def show_sign_in() -> Any:
    """Return the page with all ways to sign in; whoever is signed in is led on."""
    if sign_in.current():
        return redirect(request.script_root + sign_in.safe_path(request.args.get("next")), 303)
    return _sign_in_page(PasswordForm(formdata=None))


def sign_in_with_password() -> Any:
    """Sign in by name and password, and lead on; or return the page again, with what is wrong."""
    form = PasswordForm()
    if not form.validate_on_submit():
        return _sign_in_page(form, HTTPStatus.BAD_REQUEST)
    try:
        username, means = passwords.authenticate(form.username.data or "", form.password.data or "")
        answer = sign_in.complete(username, means, next_path=request.args.get("next"))
        db.commit()
    except TooManyAttemptsError as error:
        page = _sign_in_page(form, HTTPStatus.TOO_MANY_REQUESTS, error.message)
        page.headers["Retry-After"] = str(error.seconds)
        return page
    except AuthenticationError as error:
        return _sign_in_page(form, HTTPStatus.UNAUTHORIZED, error.message)
    except UnavailableError as error:
        return _sign_in_page(form, HTTPStatus.SERVICE_UNAVAILABLE, error.message)
    return answer


@signed_in
def show_signed_in_again(actor: Actor) -> Any:
    """Return the page for who has signed in because of a form in another tab (see ``web/lost_sessions``)."""
    return render_template("web/signed_in_again.html")


def _sign_in_page(form: PasswordForm, status: int = HTTPStatus.OK, problem: str = "") -> Response:
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    takes_passwords = len(passwords.password_checkers(app)) > 1 or stored_passwords.anybody_has_one()
    ways = [
        (label, request.script_root + url if url.startswith("/") else url)
        for label, url in sign_in.sign_in_ways(app)
    ]
    next_path = sign_in.safe_path(request.args.get("next"))
    page = render_template(
        "web/sign_in.html",
        form=form,
        ways=ways,
        next_path=next_path,
        takes_passwords=takes_passwords,
        problem=problem,
    )
    return make_response(page, int(status))


def show_link() -> Any:
    """Return the page with the button that uses a link up: opening it, as scanners of mail do, uses nothing up."""
    return render_template("web/link.html", form=LinkForm(formdata=None), code=request.args.get("code", ""))


def use_link() -> Any:
    """Sign in by a link, and lead to the first page; or return the page, with what is wrong."""
    form, code = LinkForm(), request.form.get("code", "")
    if not form.validate_on_submit():
        page = render_template("web/link.html", form=form, code=code)
        return make_response(page, HTTPStatus.BAD_REQUEST)
    username = login_links.use(code)
    if username is None:
        db.rollback()
        return _refused_link()
    attempts.note_success(username, acting().origin.place)
    try:
        answer = sign_in.complete(username, "link")
    except (AuthenticationError, ConflictError):
        db.rollback()
        return _refused_link()
    db.commit()
    return answer


def _refused_link() -> Response:
    metrics.sign_in("link", "refused")
    return make_response(
        render_template("web/link.html", problem=gettext(LINK_REFUSAL)), HTTPStatus.FORBIDDEN
    )


def sign_out() -> Any:
    """End the session of the browser, and lead to the first page, or show where the user may sign out, too."""
    session, form = sign_in.current(), Form()
    if not form.validate_on_submit():
        if session is None:
            return redirect(f"{request.script_root}/", 303)
        return make_response(render_template("web/sign_out.html", ways=[]), HTTPStatus.BAD_REQUEST)
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    ways = [way for function in sign_in.sign_out_ways(app) if session and (way := function(session))]
    answer = redirect(f"{request.script_root}/", 303)
    if ways:
        # A page, because browsers let no form lead to another server.
        answer = make_response(render_template("web/sign_out.html", ways=ways, signed_in_as=None))
    sign_in.end_session(answer)  # type: ignore[arg-type]  # Flask's own, not Werkzeug's
    db.commit()
    return answer
