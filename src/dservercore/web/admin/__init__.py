"""Administration: pages on users, groups, base URIs and the record of acts; a module for each."""

from __future__ import annotations

from flask import Blueprint

from dservercore.web.admin import audit, base_uri, base_uris, groups, overview, user, users


def add_to(pages: Blueprint) -> None:
    """Serve the pages."""
    for page in (overview, users, user, groups, base_uris, base_uri, audit):
        page.add_to(pages)
