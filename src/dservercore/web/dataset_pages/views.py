"""The views of the page of a dataset, and of that of its copies."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from flask import Response, make_response, redirect, render_template, request, url_for

from dservercore import plugin_host
from dservercore.catalog import audit, lookup, metadata
from dservercore.catalog.copies import compare_copies
from dservercore.catalog.scope import Actor, Scope
from dservercore.errors import AuthorizationError, UnknownURIError
from dservercore.web import dataset_edits
from dservercore.web.dataset_pages import commands, files, readme
from dservercore.web.page_guards import with_scope

_MOST_OF_HISTORY = 50
_FILES = ("files", "file-list")  # ids of the parts of the section with the files that htmx replaces


@with_scope("search", visitors=True)
def show(uri: str, search_scope: Scope, actor: Actor) -> Any:
    """Return the page of a dataset, or the section with its files alone."""
    try:
        dataset = lookup.find(search_scope, uri)
        if request.headers.get("HX-Target") in _FILES:
            page = make_response(_files_alone(search_scope, dataset))
        else:
            page = make_response(_page(search_scope, actor, dataset))
    except (AuthorizationError, UnknownURIError):
        return not_found()
    page.vary.add("HX-Target")
    return page


def not_found() -> Response:
    """Return the page that says that there is no such dataset, the same where there is one that one may not see."""
    return make_response(render_template("web/dataset/none.html"), HTTPStatus.NOT_FOUND)


def _files_alone(scope: Scope, dataset: Mapping[str, Any]) -> str:
    shown = files.shown(scope, dataset, files.wanted_of(request.args))
    return render_template("web/dataset/files_alone.html", dataset=dataset, files=shown)


def _page(scope: Scope, actor: Actor, dataset: Mapping[str, Any]) -> str:
    uri = dataset["uri"]
    shown_files = files.shown(scope, dataset, files.wanted_of(request.args))
    return render_template(
        "web/dataset/page.html",
        dataset=dataset,
        readme=readme.shown(scope, dataset, metadata.get_readme(scope, uri)),
        files=shown_files,
        copies=compare_copies(scope, dataset),
        commands=commands.for_dataset(dataset, shown_files.listing.example if shown_files.listing else None),
        history=_history(uri) if actor.is_admin else None,
        sections=[
            section for each in _extensions() for section in each.dataset_sections(dataset, scope.base_uris)
        ],
        exports=[form for each in _extensions() for form in each.export_formats()],
        **dataset_edits.sections(actor, scope, uri),
    )


def _extensions() -> list[Any]:
    return list(plugin_host.plugins().extensions)


def _history(uri: str) -> tuple[list[dict[str, Any]], int]:
    return audit.list_records(audit.Filter(subject=uri), slice(0, _MOST_OF_HISTORY))


@with_scope("search", visitors=True)
def show_copies(uuid: str, search_scope: Scope, actor: Actor) -> Any:
    """Return the page with all copies of a dataset; lead to the page of the only one."""
    copies, number = lookup.find_copies(search_scope, uuid, {"uri": 1}, slice(0, lookup.MOST_COPIES))
    if not copies:
        return not_found()
    if number == 1:
        return redirect(url_for("web.dataset", uri=copies[0]["uri"]), 303)
    first, *_ = copies
    others = compare_copies(search_scope, first)
    return render_template("web/dataset/copies.html", first=first, others=others, number=number)
