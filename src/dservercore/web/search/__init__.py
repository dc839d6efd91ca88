"""The page that people search with, at ``/``, and what belongs to it.

Its address says all about a search, in the parameters of ``GET /uris``: what is found here is what that finds.
"""

from __future__ import annotations

from flask import Blueprint

from dservercore.web.search import downloads, suggestions, values, views


def add_to(pages: Blueprint) -> None:
    """Serve the page, suggestions, lists of the values of a facet, and downloads of all results."""
    for module in (views, suggestions, values, downloads):
        module.add_to(pages)
