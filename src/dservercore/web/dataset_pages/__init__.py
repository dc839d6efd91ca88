"""The page of a dataset."""

from __future__ import annotations

from flask import Blueprint, render_template

from dservercore.catalog import lookup, metadata
from dservercore.catalog.scope import Actor, Scope
from dservercore.web import dataset_edits
from dservercore.web.page_guards import with_scope


def add_to(pages: Blueprint) -> None:
    """Serve the page."""
    pages.add_url_rule("/datasets/<uri:uri>", "dataset", dataset)


@with_scope("search", visitors=True)
def dataset(uri: str, actor: Actor, search_scope: Scope) -> str:
    """Return the page of a dataset."""
    found = lookup.find(search_scope, uri)
    readme = metadata.get_readme(search_scope, uri)
    sections = dataset_edits.sections(actor, search_scope, uri)
    return render_template("web/dataset.html", dataset=found, readme=readme, **sections)
