"""What the routes that edit a dataset's README, tags or annotations have in common."""

from __future__ import annotations

from typing import Any

from flask import Response

from dservercore import db
from dservercore.catalog.storage import access
from dservercore.rest.etags import EDIT_PARAMETERS, ETAG_HEADERS, etag_of, tagged
from dservercore.rest.responses import json_answer

STORAGE_UPDATED = "X-Storage-Updated"

_HEADERS = {
    STORAGE_UPDATED: {
        "description": "Whether the dataset in its storage was updated too",
        "schema": {"type": "string", "enum": ["true", "false"]},
    },
    **ETAG_HEADERS,
}

#: For the documentation of the routes: those without a body, and those with one.
EDITING: dict[str, Any] = {
    "errors": (401, 403, 404, 412, 422),
    "headers": _HEADERS,
    "parameters": EDIT_PARAMETERS,
}
EDITING_BY_BODY: dict[str, Any] = {**EDITING, "errors": (400, 401, 403, 404, 412, 413, 415, 422)}


def edit_answer(uri: str, field: access.Field, value: Any) -> Response:
    """Commit an edit, bring it to the dataset in its storage if that can be, and answer with the full new value.

    The header ``X-Storage-Updated`` says whether the dataset in storage was updated too, and ``ETag`` stands for the
    new value.
    """
    db.commit()
    updated = access.bring_edit(uri, field, value)
    answer: dict[str, Any] = {field: value}
    headers = {STORAGE_UPDATED: "true" if updated else "false", **tagged(etag_of(answer))}
    return json_answer(answer, headers=headers)
