"""The tags of a dataset: added and removed one by one, so that two people who do so at once lose nothing."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, flash, redirect, render_template, request

from dservercore import db
from dservercore.catalog import metadata, suggestions
from dservercore.catalog.scope import Actor, Scope
from dservercore.catalog.storage import access
from dservercore.rest.responses import json_answer
from dservercore.web.dataset_edits import writes
from dservercore.web.dataset_edits.writes import Refusal
from dservercore.web.forms import Form
from dservercore.web.page_guards import with_scope
from dservercore.web.texts import gettext, ngettext

#: Tags on the page of a dataset, and suggestions.
MOST_SHOWN, MOST_SUGGESTED = 200, 20


def add_to(pages: Blueprint) -> None:
    """Serve the page of the tags, and take what its forms send."""
    pages.add_url_rule("/edit/tags/<uri:uri>", "edit_tags", show)
    pages.add_url_rule("/edit/tags/<uri:uri>", "change_tags", change, methods=["POST"])
    pages.add_url_rule("/edit/known-tags", "known_tags", known)
    pages.add_url_rule("/as-json/tags/<uri:uri>", "tags_as_json", as_json)


def section(search_scope: Scope, uri: str, may_edit: bool, most: int | None = MOST_SHOWN) -> dict[str, Any]:
    """Return what the template of the section needs.

    :param most: how many tags to show; None: all
    """
    tags = metadata.get_tags(search_scope, uri)
    return {
        "tags": tags[:most],
        "more": len(tags) - len(tags[:most]),
        "may_edit": may_edit,
        "typed": "",
        "refusal": None,
        "says": "",
    }


@with_scope("search", "register")
def show(uri: str, actor: Actor, search_scope: Scope, register_scope: Scope) -> Any:
    """Return the page of the tags."""
    writes.require_editable([search_scope, register_scope], uri)
    return _page(search_scope, uri)


@with_scope("search", "register")
def change(uri: str, actor: Actor, search_scope: Scope, register_scope: Scope) -> Any:
    """Add or remove tags, and lead to the section of the dataset's page; or return the section alone to a script."""
    if not Form().validate_on_submit():
        return _page(search_scope, uri, writes.stale_form())
    removed = request.form.get("remove")
    try:
        scopes = [search_scope, register_scope]
        if removed is not None:
            tags = metadata.remove_tag(scopes, uri, removed)
            done = gettext("The tag {tag} is removed.").format(tag=removed)
        else:
            tags, done = _add(scopes, uri, request.form.get("tag", ""))
        db.commit()
    except writes.REFUSALS as error:
        return _page(search_scope, uri, writes.refusal_of(error))
    says = writes.saved(done, access.bring_edit(uri, "tags", tags))
    if writes.wants_part():
        return _page(search_scope, uri, says=says)
    flash(says)
    return redirect(writes.dataset_url(uri, "tags"), 303)


def _add(scopes: list[Scope], uri: str, typed: str) -> tuple[list[str], str]:
    wanted = list(dict.fromkeys(tag.strip() for tag in typed.split(",") if tag.strip())) or [""]
    tags = metadata.add_tags(scopes, uri, wanted)
    done = ngettext("The tag {tags} is added.", "The tags {tags} are added.", len(wanted))
    return tags, done.format(tags=", ".join(wanted))


def _nothing() -> Any:
    """Return nothing: that somebody is no longer signed in is told when the tag is sent, and loses no text."""
    return "", HTTPStatus.NO_CONTENT


@with_scope("search", visitors=True, others=_nothing)
def known(actor: Actor, search_scope: Scope) -> Any:
    """Return tags that begin with what is typed, as the options of a list."""
    begun = request.args.get("tag", "")[:200]
    tags = suggestions.known_tags(search_scope, begun, MOST_SUGGESTED) if "," not in begun else []
    return render_template("web/dataset/known_tags.html", tags=tags)


@with_scope("search", visitors=True)
def as_json(uri: str, actor: Actor, search_scope: Scope) -> Response:
    """Return all tags, for who wants to see more of them than a page shows."""
    return json_answer({"tags": metadata.get_tags(search_scope, uri)})


def _page(search_scope: Scope, uri: str, refusal: Refusal | None = None, says: str = "") -> Response:
    """Return the page of the tags, or the section alone to a script."""
    is_part = writes.wants_part()
    try:
        tags = section(search_scope, uri, may_edit=True, most=MOST_SHOWN if is_part else None)
    except writes.REFUSALS:
        if refusal is None:
            raise
        # What was typed is not lost where the tags cannot be read either.
        tags = {"tags": [], "more": 0, "may_edit": True}
    tags |= {"typed": request.form.get("tag", "") if refusal else "", "refusal": refusal, "says": says}
    edits = {"uri": uri, "tags": tags, "form": Form(formdata=None)}
    if is_part:
        return writes.answer(render_template("web/dataset/tags_now.html", edits=edits, is_part=True), refusal)
    place = writes.place_of(search_scope, uri)
    page = render_template("web/dataset/edit_tags.html", edits=edits, place=place)
    return writes.answer(page, refusal)
