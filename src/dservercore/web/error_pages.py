"""Errors as pages, for who prefers to read them in a browser; programs get the JSON that the page is made of."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import Response, render_template, request

from dservercore.web.policy import protect


def as_page(response: Response) -> Response:
    """Return a page with the same status for an error in JSON, if the client prefers HTML; else the answer as it is."""
    if response.status_code < HTTPStatus.BAD_REQUEST or response.mimetype != "application/json":
        return response
    if not prefers_html():
        return response
    payload: Any = response.get_json(silent=True)
    if not isinstance(payload, dict):
        return response
    page = render_template(
        "web/error.html",
        status=response.status_code,
        phrase=_phrase(response.status_code),
        message=payload.get("message") or payload.get("msg") or "",
    )
    response.set_data(page)
    response.mimetype = "text/html"
    response.vary.add("Accept")
    return protect(response)


def prefers_html() -> bool:
    """Return whether the client would rather have HTML than JSON: a browser that opens an address, as a rule."""
    accepted = request.accept_mimetypes
    return accepted["text/html"] > accepted["application/json"]


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
