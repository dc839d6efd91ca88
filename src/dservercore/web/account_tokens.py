"""Tokens for programs on the page ``/account``, and the settings that dtool needs to find this server."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, current_app, flash, render_template

from dservercore import db
from dservercore.auth import permissions
from dservercore.catalog import passwords as stored_passwords
from dservercore.catalog import personal_tokens
from dservercore.catalog.personal_tokens import Wish
from dservercore.catalog.scope import GRANTS, Actor
from dservercore.errors import ConflictError, UnknownTokenError, ValidationError
from dservercore.settings.external_url import external_url
from dservercore.web.account import back, note, page, stale
from dservercore.web.account_forms import DtoolForm, TokenForm
from dservercore.web.forms import Form
from dservercore.web.page_guards import signed_in
from dservercore.web.texts import gettext


def add_to(pages: Blueprint) -> None:
    """Take what the forms send, and serve the files."""
    pages.add_url_rule("/account/tokens", "make_token", make, methods=["POST"])
    pages.add_url_rule("/account/tokens/<int:token_id>/end", "end_token", end, methods=["POST"])
    pages.add_url_rule("/account/dtool.json", "dtool_settings", settings)
    pages.add_url_rule(
        "/account/dtool.json", "dtool_settings_with_token", settings_with_token, methods=["POST"]
    )
    pages.add_url_rule("/account/README.yml", "readme_template", readme_template)


@signed_in
def make(actor: Actor) -> Any:
    """Make a token, and return the page with it: it is shown only now, and so no redirect could lead there."""
    form = TokenForm(actor, permissions.usable_base_uris(str(actor.username), GRANTS))
    if not form.validate_on_submit():
        return page(actor, HTTPStatus.BAD_REQUEST, token_form=form)
    try:
        made = _made(
            actor, form.name.data or "", form.seconds, form.may.data or (), form.base_uris.data or None
        )
        db.commit()
    except ConflictError as error:
        return page(actor, HTTPStatus.CONFLICT, error.message, token_form=form)
    except ValidationError as error:
        note(form, error, gettext("This %(problem)s."))
        return page(actor, HTTPStatus.UNPROCESSABLE_ENTITY, token_form=form)
    return page(actor, HTTPStatus.CREATED, new_token=made)


@signed_in
def end(token_id: int, actor: Actor) -> Any:
    """End a token, and lead to the list."""
    if not Form().validate_on_submit():
        return stale(actor)
    try:
        personal_tokens.delete_token(str(actor.username), token_id, actor=actor)
        db.commit()
        flash(gettext("The token has ended."))
    except UnknownTokenError:  # ended in another tab: it is as was wanted
        db.rollback()
    return back("tokens")


@signed_in
def settings(actor: Actor) -> Response:
    """Return the settings by which dtool finds this server, without a token, as a file."""
    username = str(actor.username)
    lines = {"DSERVER_URL": external_url()}
    if stored_passwords.has_password(username):
        lines |= {
            "DSERVER_TOKEN_GENERATOR_URL": external_url("/auth/token"),
            "DSERVER_USERNAME": username,
            # Or else its client never asks for a token.
            "DSERVER_DISABLE_AUTHENTICATION": "false",
        }
    return _as_file(lines | _name_of(actor))


@signed_in
def settings_with_token(actor: Actor) -> Any:
    """Make a token, and return the settings of dtool with it, as a file."""
    form = DtoolForm()
    if not form.validate_on_submit():
        return page(actor, HTTPStatus.BAD_REQUEST, dtool_form=form)
    may = GRANTS if form.register.data else ("search",)
    try:
        made = _made(actor, "dtool", form.seconds, may)
        db.commit()
    except ConflictError as error:
        return page(actor, HTTPStatus.CONFLICT, error.message, dtool_form=form)
    return _as_file({"DSERVER_URL": external_url(), "DSERVER_TOKEN": made["token"]} | _name_of(actor))


@signed_in
def readme_template(actor: Actor) -> Response:
    """Return a template for the READMEs of datasets, as ``dtool readme interactive`` fills it in, as a file."""
    # Of values that are no texts dtool asks in a way that the library it asks with does not take any more.
    text = render_template("web/readme_template.yml", actor=actor, quoted=_quoted)
    return _sent(text, "README.yml", "application/yaml")


def _made(
    actor: Actor,
    name: str,
    seconds: int | None,
    may: Collection[str],
    base_uris: Sequence[str] | None = None,
) -> dict[str, Any]:
    lifetime = personal_tokens.lifetime_of(
        {"expires_in": seconds}, current_app.config["DSERVER_MAX_TOKEN_LIFETIME"]
    )
    usable = permissions.usable_base_uris(str(actor.username), may)
    wish = Wish(name, lifetime, may, base_uris)
    return personal_tokens.create_token(str(actor.username), wish, usable, actor=actor)


def _name_of(actor: Actor) -> dict[str, str]:
    """Return the setting by which dtool knows who writes a README."""
    return {"DTOOL_USER_FULL_NAME": actor.display_name} if actor.display_name else {}


def _as_file(lines: dict[str, str]) -> Response:
    return _sent(json.dumps(lines, indent=2) + "\n", "dtool.json", "application/json")


def _sent(text: str, name: str, mimetype: str) -> Response:
    """Return a text as a file to be saved, which nobody keeps on the way."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Response(text, mimetype=mimetype, headers=headers)


def _quoted(text: str) -> str:
    """Return a text as YAML takes it, and with braces that dtool leaves as they are."""
    return json.dumps(text, ensure_ascii=False).replace("{", "{{").replace("}", "}}")
