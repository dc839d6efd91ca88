"""Searches that users keep: the form on the page where one searches, and the list on ``/account``."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlencode

from flask import Blueprint, flash

from dservercore import db
from dservercore.catalog import kept_searches
from dservercore.catalog.scope import Actor
from dservercore.errors import ConflictError, UnknownKeptSearchError, ValidationError
from dservercore.rest.schemas import SEARCH_PARAMETERS
from dservercore.web.account import back, note, page, stale
from dservercore.web.account_forms import SearchForm
from dservercore.web.forms import Form
from dservercore.web.page_guards import signed_in
from dservercore.web.texts import gettext


def add_to(pages: Blueprint) -> None:
    """Take what the forms send, and give templates ``keep_search_form()``."""
    pages.add_url_rule("/searches", "keep_search", keep, methods=["POST"])
    pages.add_url_rule("/searches/<int:search_id>/name", "rename_search", rename, methods=["POST"])
    pages.add_url_rule("/searches/<int:search_id>/delete", "forget_search", forget, methods=["POST"])
    pages.app_context_processor(lambda: {"keep_search_form": lambda: SearchForm(formdata=None)})


@signed_in
def keep(actor: Actor) -> Any:
    """Keep a search, and lead to the list; or show the list with what was sent and what is wrong."""
    form = SearchForm()
    if not form.validate_on_submit():
        return page(actor, HTTPStatus.BAD_REQUEST, search_form=form)
    # A page may have in its address what is about itself alone.
    asked = [pair for pair in parse_qsl(form.query.data or "") if pair[0] in SEARCH_PARAMETERS]
    try:
        kept = kept_searches.keep(str(actor.username), form.name.data or "", urlencode(asked))
        db.commit()
    except ConflictError as error:
        return page(actor, HTTPStatus.CONFLICT, error.message, search_form=form)
    except ValidationError as error:
        if "query" in (error.errors or {}):
            return page(actor, HTTPStatus.UNPROCESSABLE_ENTITY, error.message, search_form=form)
        note(form, error, gettext("The name %(problem)s."))
        return page(actor, HTTPStatus.UNPROCESSABLE_ENTITY, search_form=form)
    flash(gettext("The search “%(name)s” is kept.") % {"name": kept["name"]})
    return back("searches")


@signed_in
def rename(search_id: int, actor: Actor) -> Any:
    """Rename a search that is kept, and lead to the list; or show it with what is wrong."""
    form = SearchForm()
    if not form.validate_on_submit():
        return page(actor, HTTPStatus.BAD_REQUEST, renamed=search_id, rename_form=form)
    try:
        kept_searches.change(str(actor.username), search_id, {"name": form.name.data or ""})
        db.commit()
    except ConflictError as error:
        form.name.errors = [f"{error.message}."]
        return page(actor, HTTPStatus.CONFLICT, renamed=search_id, rename_form=form)
    except ValidationError as error:
        note(form, error, gettext("The name %(problem)s."))
        return page(actor, HTTPStatus.UNPROCESSABLE_ENTITY, renamed=search_id, rename_form=form)
    except UnknownKeptSearchError as error:
        return page(actor, HTTPStatus.NOT_FOUND, error.message)
    flash(gettext("The search has its new name."))
    return back("searches")


@signed_in
def forget(search_id: int, actor: Actor) -> Any:
    """Keep a search no longer, and lead to the list."""
    if not Form().validate_on_submit():
        return stale(actor)
    try:
        kept_searches.forget(str(actor.username), search_id)
        db.commit()
        flash(gettext("The search is deleted."))
    except UnknownKeptSearchError:  # deleted in another tab: it is as was wanted
        db.rollback()
    return back("searches")
