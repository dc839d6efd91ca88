"""The page with the provenance graph of a dataset, and the same part of it as a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import render_template, request
from markupsafe import Markup

from dservercore.catalog.scope import Actor, Scope
from dservercore.dataset.document import checked_uuid
from dservercore.errors import UnavailableError, ValidationError
from dservercore.plugin_api import PageSection
from dservercore.plugins.graph import formats
from dservercore.plugins.graph.shown import DIRECTIONS, Shown, Wanted, graph_of, shown, wanted_of
from dservercore.web.dataset_pages.views import not_found
from dservercore.web.page_guards import with_scope
from dservercore.web.pages import Pages
from dservercore.web.texts import gettext

pages = Pages("graph_pages", __name__, template_folder="templates")


@pages.route("/provenance/<uuid>")
@with_scope("search", visitors=True)
def provenance(uuid: str, search_scope: Scope, actor: Actor) -> Any:
    """Return the page."""
    seen = _shown(search_scope, uuid)
    if seen is None:
        return not_found()
    return render_template("graph/page.html", seen=seen, forms=formats.FORMATS, directions=DIRECTIONS)


@pages.route("/provenance-file/<name>/<uuid>")
@with_scope("search", visitors=True)
def provenance_file(name: str, uuid: str, search_scope: Scope, actor: Actor) -> Any:
    """Return what the page shows, as a file in one of the forms."""
    seen = _shown(search_scope, uuid)
    if seen is None or name not in formats.FORMATS:
        return not_found()
    return formats.answer(name, seen.graph, is_download=True)


def _shown(scope: Scope, uuid: str) -> Shown | None:
    """Return what is shown of a graph; None: the dataset is not registered, or not the reader's to see."""
    try:
        uuid = checked_uuid(uuid)
    except ValidationError:
        return None
    wanted = wanted_of(request.args)
    graph = graph_of(scope, uuid, wanted)
    centre = graph.nodes.get(graph.centre)
    return None if centre is None or centre.is_placeholder else shown(graph, wanted)


def section(dataset: Mapping[str, Any], base_uris: Mapping[str, int]) -> list[PageSection]:
    """Return the section on the page of a dataset; none where nothing is connected with it."""
    wanted = Wanted()
    try:
        graph = graph_of(Scope("search", base_uris), dataset["uuid"], wanted)
    except UnavailableError as error:  # the rest of the page can be had
        return [PageSection(gettext("Provenance"), Markup('<p class="none">{}</p>').format(error.message))]
    if len(graph.nodes) < 2 or graph.centre not in graph.nodes:
        return []
    html = render_template("graph/section.html", seen=shown(graph, wanted))
    return [PageSection(gettext("Provenance"), Markup(html))]  # of a template, which escapes
