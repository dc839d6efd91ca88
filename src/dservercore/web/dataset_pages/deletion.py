"""The page that asks before the registration of a dataset is deleted: it says what depends on the dataset."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import flash, make_response, redirect, render_template, request, url_for

from dservercore import db
from dservercore.catalog import deletion, lookup
from dservercore.catalog.scope import Actor, Scope
from dservercore.errors import AuthorizationError, UnknownURIError
from dservercore.web.dataset_edits import writes
from dservercore.web.dataset_edits.writes import Refusal
from dservercore.web.dataset_pages.views import not_found
from dservercore.web.forms import Form
from dservercore.web.page_guards import with_scope
from dservercore.web.texts import gettext

_MOST_NAMED = 20


@with_scope("search", "register")
def show(uri: str, actor: Actor, search_scope: Scope, register_scope: Scope) -> Any:
    """Return the page."""
    writes.require_editable([search_scope, register_scope], uri)
    return _page(search_scope, uri)


@with_scope("search", "register")
def delete(uri: str, actor: Actor, search_scope: Scope, register_scope: Scope) -> Any:
    """Delete the registration, and lead to the first page; or show why that was not done."""
    writes.require_editable([search_scope, register_scope], uri)
    if not Form().validate_on_submit():
        return _page(search_scope, uri, writes.stale_form())
    dataset = lookup.find(search_scope, uri)
    if request.form.get("seen") != _seen(dataset):
        other = gettext("Meanwhile the dataset was registered anew: look at it again before you delete it.")
        return _page(search_scope, uri, Refusal(HTTPStatus.CONFLICT, other))
    try:
        deletion.delete_dataset(register_scope, uri, actor=actor)
        db.commit()
    except writes.REFUSALS as error:
        return _page(search_scope, uri, writes.refusal_of(error))
    done = gettext("{name} is no longer registered. Its files are where they were.")
    flash(done.format(name=dataset["name"]))
    return redirect(url_for("web.home"), 303)


def _seen(dataset: dict[str, Any]) -> str:
    """Return what stands for the dataset that the page was about, which another one may have taken the place of."""
    return writes.tag_of([dataset["uuid"], dataset["frozen_at"], dataset["uploaded_at"]])


def _page(scope: Scope, uri: str, refusal: Refusal | None = None) -> Any:
    try:
        dataset = lookup.find(scope, uri)
    except (AuthorizationError, UnknownURIError):
        return not_found()  # somebody else was faster
    copies = lookup.copies_of(scope, [dataset["uuid"]]).get(dataset["uuid"], [])
    page = render_template(
        "web/dataset/delete.html",
        dataset=dataset,
        dependents=deletion.dependents_of(scope, dataset),
        most=_MOST_NAMED,
        copies=[copy["uri"] for copy in copies if copy["uri"] != uri],
        seen=_seen(dataset),
        form=Form(formdata=None),
        refusal=refusal,
    )
    return make_response(page, refusal.status if refusal else HTTPStatus.OK)
