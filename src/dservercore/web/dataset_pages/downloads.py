"""What can be downloaded of a dataset: its README, its manifest, and what extensions make of it."""

from __future__ import annotations

from typing import Any

from flask import Response

from dservercore import plugin_host
from dservercore.catalog import lookup, metadata
from dservercore.catalog.files.items import chunks_of
from dservercore.catalog.full_documents import document_of
from dservercore.catalog.scope import Actor, Scope
from dservercore.dataset.readme_text import text_of
from dservercore.errors import AuthorizationError, UnknownURIError
from dservercore.web.dataset_pages.views import not_found
from dservercore.web.page_guards import with_scope


@with_scope("search", visitors=True)
def readme(uri: str, search_scope: Scope, actor: Actor) -> Any:
    """Return the README as it is written."""
    try:
        text = str(text_of(metadata.get_readme(search_scope, uri)))
    except (AuthorizationError, UnknownURIError):
        return not_found()
    return _download(text, "text/plain; charset=utf-8", "README.yml")


@with_scope("search", visitors=True)
def manifest(uri: str, search_scope: Scope, actor: Actor) -> Any:
    """Return the manifest, unpacked while it is being sent."""
    try:
        packed = metadata.get_packed_manifest(search_scope, uri)
        content = metadata.get_manifest(search_scope, uri) if packed is None else chunks_of(packed)
    except (AuthorizationError, UnknownURIError):
        return not_found()
    return _download(content, "application/json", "manifest.json")


@with_scope("search", visitors=True)
def export(name: str, uri: str, search_scope: Scope, actor: Actor) -> Any:
    """Return the description of the dataset in a form of an extension."""
    forms = [form for each in plugin_host.plugins().extensions for form in each.export_formats()]
    form = next((form for form in forms if form.name == name), None)
    try:
        dataset = lookup.find(search_scope, uri)
        if form is None:
            return not_found()
        content = form.export(document_of(uri))
    except (AuthorizationError, UnknownURIError):
        return not_found()
    return _download(content, form.media_type, f"{dataset['uuid']}{form.suffix}")


def _download(content: Any, media_type: str, name: str) -> Response:
    response = Response(content, content_type=media_type)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
