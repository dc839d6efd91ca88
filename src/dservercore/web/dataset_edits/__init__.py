"""A dataset's README, tags and annotations, shown and edited in place by those who may.

``sections`` gives the page of a dataset what the templates ``web/dataset/tags.html``, ``annotations.html`` and
``readme_edit.html`` need.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from dservercore.catalog.scope import Actor, Scope
from dservercore.web.dataset_edits import annotation_edits, readme_edits, tag_edits, writes
from dservercore.web.forms import Form


def add_to(pages: Blueprint) -> None:
    """Serve the pages where a dataset is edited, and take what their forms send."""
    for part in (tag_edits, annotation_edits, readme_edits):
        part.add_to(pages)


def sections(actor: Actor, search_scope: Scope, uri: str) -> dict[str, Any]:
    """Return the context of the templates, in one name: ``edits``. ``edits.may_edit`` says whether the reader may edit.

    :raises AuthorizationError: if the base URI that the dataset would be in is not in *search_scope*
    :raises UnknownURIError: if it is, and no dataset of the scope is registered as *uri*
    """
    may_edit = writes.may_edit(actor, uri)
    return {
        "edits": {
            "uri": uri,
            "may_edit": may_edit,
            "form": Form(formdata=None) if may_edit else None,
            "tags": tag_edits.section(search_scope, uri, may_edit),
            "annotations": annotation_edits.section(search_scope, uri, may_edit),
        }
    }
