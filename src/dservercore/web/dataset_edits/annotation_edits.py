"""The annotations of a dataset: shown by their types, added, changed and deleted one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, flash, redirect, render_template, request

from dservercore import db
from dservercore.catalog import metadata
from dservercore.catalog.scope import Actor, Scope
from dservercore.catalog.storage import access
from dservercore.errors import PreconditionError
from dservercore.rest.body_limits import for_annotations
from dservercore.rest.responses import json_answer
from dservercore.web.dataset_edits import typed_values, writes
from dservercore.web.dataset_edits.shown_values import MOST_ANNOTATIONS, MOST_NODES, shown_annotations
from dservercore.web.dataset_edits.writes import Refusal
from dservercore.web.forms import Form
from dservercore.web.page_guards import with_scope
from dservercore.web.texts import gettext

#: What stands, in a form, for the value of an annotation that is not there.
ABSENT = ""

# Annotations of their own page: all of what one dataset has, as a rule.
_MOST_ON_PAGE, _MOST_NODES_ON_PAGE = 2000, 5000


def add_to(pages: Blueprint) -> None:
    """Serve the page of the annotations, and take what its forms send."""
    pages.add_url_rule("/edit/annotations/<uri:uri>", "edit_annotations", show)
    pages.add_url_rule("/edit/annotations/<uri:uri>", "change_annotations", change, methods=["POST"])
    pages.add_url_rule("/as-json/annotations/<uri:uri>", "annotations_as_json", as_json)


def section(
    search_scope: Scope, uri: str, may_edit: bool, most: int = MOST_ANNOTATIONS, nodes: int = MOST_NODES
) -> dict[str, Any]:
    """Return what the template of the section needs.

    :param most: how many annotations to show
    :param nodes: of their values, taken together
    """
    annotations = metadata.get_annotations(search_scope, uri)
    return _section(annotations, may_edit, most, nodes)


def _section(annotations: Mapping[str, Any], may_edit: bool, most: int, nodes: int) -> dict[str, Any]:
    shown = shown_annotations(annotations, most, nodes)
    return {
        "shown": shown,
        "names_shown": {name for name, _ in shown},
        "more": len(annotations) - len(shown),
        "may_edit": may_edit,
        "types": typed_values.TYPES,
        "changed": None,
        "typed": {"name": "", "type": "text", "value": "", "before": ABSENT},
        "refusal": None,
        "says": "",
        "theirs": None,
    }


@with_scope("search", "register")
def show(uri: str, actor: Actor, search_scope: Scope, register_scope: Scope) -> Any:
    """Return the page of the annotations; with ``name`` in the query, with the form that changes one."""
    writes.require_editable([search_scope, register_scope], uri)
    name = request.args.get("name")
    annotations = metadata.get_annotations(search_scope, uri)
    if name is None or name not in annotations:
        return _page(search_scope, uri)
    kind, text = typed_values.typed(annotations[name])
    before = writes.tag_of(annotations[name])
    return _page(search_scope, uri, {"name": name, "type": kind, "value": text, "before": before})


@with_scope("search", "register")
@writes.takes_form(for_annotations)
def change(uri: str, actor: Actor, search_scope: Scope, register_scope: Scope) -> Any:
    """Set or delete an annotation, and lead to the section of the dataset's page; or return the section to a script.

    The form says what the value was when it was shown: who else has changed it meanwhile is not overruled unseen.
    """
    typed = {field: request.form.get(field, "") for field in ("name", "type", "value", "before")}
    typed["name"] = typed["name"].strip()
    if not Form().validate_on_submit():
        return _page(search_scope, uri, typed, writes.stale_form())
    scopes = [search_scope, register_scope]
    name, check = typed["name"], _unchanged(typed["name"], typed["before"])
    try:
        if "delete" in request.form:
            annotations = metadata.delete_annotation(scopes, uri, name, check)
            done = gettext("The annotation {name} is deleted.").format(name=name)
        else:
            value = typed_values.value_of(typed["type"], _text(typed["type"]))
            annotations = metadata.set_annotation(scopes, uri, name, value, check)
            done = gettext("The annotation {name} is saved.").format(name=name)
            if typed_values.is_rounded(typed["type"], typed["value"], value):
                done += " " + gettext(
                    "Numbers have 16 digits here: it is {value}. As a text, all digits are kept."
                ).format(value=repr(value))
        db.commit()
    except typed_values.UnreadableError as error:
        db.rollback()
        return _page(search_scope, uri, typed, Refusal(422, str(error)))
    except writes.REFUSALS as error:
        return _page(search_scope, uri, typed, writes.refusal_of(error))
    says = writes.saved(done, access.bring_edit(uri, "annotations", annotations))
    if writes.wants_part():
        return _page(search_scope, uri, says=says)
    flash(says)
    return redirect(writes.dataset_url(uri, "annotations"), 303)


def _text(kind: str) -> str:
    return writes.as_sent("value", "\r\n" if kind == "text" and "crlf" in request.form else None)


def _unchanged(name: str, before: str) -> Callable[[Any], None]:
    """Return the check that an annotation has the value that was shown to who changes it.

    :param before: stands for that value; ``ABSENT``: there was none
    """

    def check(annotations: Mapping[str, Any]) -> None:
        if name not in annotations:
            if before != ABSENT:
                raise PreconditionError(
                    gettext(
                        "Somebody has deleted this annotation meanwhile. If you save it again, it is back."
                    )
                )
        elif before == ABSENT:
            raise PreconditionError(
                gettext(
                    "There is an annotation of this name already. If you save again, yours takes its place."
                )
            )
        elif writes.tag_of(annotations[name]) != before:
            raise PreconditionError(
                gettext(
                    "Somebody has changed this annotation meanwhile. If you save again, yours takes its place."
                )
            )

    return check


@with_scope("search", visitors=True)
def as_json(uri: str, actor: Actor, search_scope: Scope) -> Response:
    """Return all annotations, for who wants to see more of them than a page shows."""
    return json_answer({"annotations": metadata.get_annotations(search_scope, uri)})


def _page(
    search_scope: Scope,
    uri: str,
    typed: dict[str, str] | None = None,
    refusal: Refusal | None = None,
    says: str = "",
) -> Response:
    """Return the page of the annotations, or the section alone to a script.

    :param typed: what stands in the form; None: it is empty
    """
    is_part = writes.wants_part()
    bounds = (MOST_ANNOTATIONS, MOST_NODES) if is_part else (_MOST_ON_PAGE, _MOST_NODES_ON_PAGE)
    try:
        annotations = metadata.get_annotations(search_scope, uri)
    except writes.REFUSALS:
        if refusal is None:
            raise
        # What was typed is not lost where the annotations cannot be read either.
        annotations = {}
    section = _section(annotations, True, *bounds) | {"refusal": refusal, "says": says}
    if typed is not None:
        section |= _form(annotations, typed, refusal)
    edits = {"uri": uri, "annotations": section, "form": Form(formdata=None)}
    if is_part:
        page = render_template("web/dataset/annotations_now.html", edits=edits, is_part=True)
        return writes.answer(page, refusal)
    place = writes.place_of(search_scope, uri)
    page = render_template("web/dataset/edit_annotations.html", edits=edits, place=place)
    return writes.answer(page, refusal)


def _form(annotations: Mapping[str, Any], typed: dict[str, str], refusal: Refusal | None) -> dict[str, Any]:
    """Return what stands in the form, where that is, and what somebody else has made of the annotation meanwhile."""
    name = typed["name"]
    if refusal is None or refusal.status != HTTPStatus.PRECONDITION_FAILED:
        is_change = name in annotations and typed["before"] != ABSENT
        return {"typed": typed, "changed": name if is_change else None}
    # Sent again, the form is meant for what is there now, which is shown beside it.
    if name not in annotations:
        return {"typed": {**typed, "before": ABSENT}}
    return {
        "typed": {**typed, "before": writes.tag_of(annotations[name])},
        "changed": name,
        "theirs": dict(shown_annotations({name: annotations[name]})),
    }
