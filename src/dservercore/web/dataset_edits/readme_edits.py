"""The page where a README is edited: it says where it is no YAML, and notices if somebody else was faster."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import yaml
from flask import Blueprint, Response, current_app, flash, redirect, render_template, request

from dservercore import db
from dservercore.catalog import metadata
from dservercore.catalog.scope import Actor, Scope
from dservercore.catalog.storage import access
from dservercore.dataset.times import utcnow
from dservercore.errors import PreconditionError
from dservercore.rest.body_limits import for_readme
from dservercore.web.dataset_edits import writes
from dservercore.web.dataset_edits.differences import differences
from dservercore.web.dataset_edits.writes import Refusal
from dservercore.web.dataset_edits.yaml_checks import MOST_WHILE_TYPING, Verdict, verdict_on
from dservercore.web.forms import Form
from dservercore.web.page_guards import signed_in, with_scope
from dservercore.web.texts import gettext


def add_to(pages: Blueprint) -> None:
    """Serve the page, and take what its form sends."""
    pages.add_url_rule("/edit/readme/<uri:uri>", "edit_readme", show)
    pages.add_url_rule("/edit/readme/<uri:uri>", "change_readme", change, methods=["POST"])
    pages.add_url_rule("/edit/check-readme", "check_readme", check, methods=["POST"])


@with_scope("search", "register")
def show(uri: str, actor: Actor, search_scope: Scope, register_scope: Scope) -> Any:
    """Return the page; with ``start=template`` in the query, with a template instead of a README that is empty."""
    writes.require_editable([search_scope, register_scope], uri)
    readme = metadata.get_readme(search_scope, uri)
    starts = request.args.get("start") == "template" and not readme.strip()
    return _page(actor, search_scope, uri, template_for(actor) if starts else readme, writes.tag_of(readme))


@with_scope("search", "register")
@writes.takes_form(for_readme)
def change(uri: str, actor: Actor, search_scope: Scope, register_scope: Scope) -> Any:
    """Replace the README, and lead to the dataset's page; or return the page with what was typed, and why not.

    The form says what the README was when it was shown: who else has changed it meanwhile is not overruled unseen.
    """
    typed, before = request.form.get("readme", ""), request.form.get("before", "")
    if not Form().validate_on_submit():
        return _page(actor, search_scope, uri, typed, before, writes.stale_form())
    stored = _stored(search_scope, uri)
    readme = writes.as_sent("readme", stored)
    verdict = verdict_on(readme, current_app.config["DSERVER_MAX_README_LENGTH"])
    if (
        not verdict.is_yaml
        and "anyway" not in request.form
        and (stored is None or verdict_on(stored).is_yaml)
    ):
        refusal = Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, verdict.message)
        return _page(actor, search_scope, uri, typed, before, refusal, verdict)
    try:
        metadata.replace_readme([search_scope, register_scope], uri, readme, _unchanged(before))
        db.commit()
    except writes.REFUSALS as error:
        return _page(actor, search_scope, uri, typed, before, writes.refusal_of(error), verdict)
    flash(writes.saved(gettext("The README is saved."), access.bring_edit(uri, "readme", readme)))
    return redirect(writes.dataset_url(uri, "readme"), 303)


@signed_in
@writes.takes_form(for_readme)
def check(actor: Actor) -> Any:
    """Return what there is to be said of the README that somebody is writing."""
    if not Form().validate_on_submit():
        return "", HTTPStatus.NO_CONTENT
    readme = writes.as_sent("readme")
    return render_template("web/dataset/readme_verdict.html", verdict=verdict_on(readme, MOST_WHILE_TYPING))


def template_for(actor: Actor) -> str:
    """Return a README to be filled in: what others want to know of a dataset, in the words of ``dtool``."""
    owner = {"name": actor.display_name or "", "email": "", "orcid": "", "username": actor.username}
    written = yaml.safe_dump({"owners": [owner]}, sort_keys=False, allow_unicode=True).replace(" ''", "")
    return (
        "description:\n"
        "project:\n"
        f"{written}"
        f"creation_date: {utcnow().date().isoformat()}\n"
        "license:\n"
        "keywords: []\n"
    )


def _unchanged(before: str) -> Callable[[Any], None]:
    def check_readme(readme: str) -> None:
        if writes.tag_of(readme) != before:
            raise PreconditionError(gettext("Somebody has changed this README since you began to edit it."))

    return check_readme


def _stored(search_scope: Scope, uri: str) -> str | None:
    try:
        return metadata.get_readme(search_scope, uri)
    except writes.REFUSALS:  # the write will say so
        db.rollback()
        return None


def _page(
    actor: Actor,
    search_scope: Scope,
    uri: str,
    typed: str,
    before: str,
    refusal: Refusal | None = None,
    verdict: Verdict | None = None,
) -> Response:
    """Return the page.

    :param typed: what stands in the form
    :param before: stands for the README that it is meant to replace
    """
    lines, is_cut, has_conflict = None, False, False
    if refusal is not None and refusal.status == HTTPStatus.PRECONDITION_FAILED:
        stored = _stored(search_scope, uri)
        if stored is not None:
            # Sent again, the form is meant for the README that is there now, which is shown beside it.
            has_conflict, before = True, writes.tag_of(stored)
            lines, is_cut = differences(stored, typed)
    page = render_template(
        "web/dataset/edit_readme.html",
        uri=uri,
        place=writes.place_of(search_scope, uri),
        typed=typed,
        before=before,
        form=Form(formdata=None),
        refusal=refusal,
        verdict=verdict or verdict_on(typed, MOST_WHILE_TYPING),
        has_conflict=has_conflict,
        lines=lines,
        is_cut=is_cut,
        template=template_for(actor),
    )
    return writes.answer(page, refusal)
