"""The first page: what this server is, its version, and where the documentation of its API is."""

from __future__ import annotations

import posixpath
from importlib.metadata import version

from flask import Blueprint, current_app, render_template, request


def add_to(pages: Blueprint) -> None:
    """Serve the page at ``/``."""
    pages.add_url_rule("/", "home", home, strict_slashes=False)


def home() -> str:
    """Return the first page as HTML."""
    return render_template("web/home.html", version=version("dservercore"), documents=_documents())


def _documents() -> dict[str, str]:
    """Return the addresses of the API's documentation: those of ``swagger``, ``redoc`` and ``json`` that there are."""
    config = current_app.config
    prefix = config.get("OPENAPI_URL_PREFIX")
    if prefix is None:
        return {}
    paths = {
        "swagger": config.get("OPENAPI_SWAGGER_UI_PATH"),
        "redoc": config.get("OPENAPI_REDOC_PATH"),
        "json": config.get("OPENAPI_JSON_PATH", "openapi.json"),
    }
    return {
        name: request.script_root + posixpath.join("/", prefix, path.lstrip("/"))
        for name, path in paths.items()
        if path
    }
