"""What the routes that edit a dataset's README, tags or annotations have in common."""

from __future__ import annotations

from typing import Any

from flask import Response, current_app

from dservercore import db
from dservercore.api.answers import json_answer
from dservercore.catalog import storage

STORAGE_UPDATED = "X-Storage-Updated"

#: For the documentation of the routes.
STORAGE_HEADERS = {
    STORAGE_UPDATED: {
        "description": "Whether the dataset in its storage was updated too",
        "schema": {"type": "string", "enum": ["true", "false"]},
    }
}


def edit_answer(uri: str, field: storage.Field, value: Any) -> Response:
    """Commit an edit, bring it to the dataset in its storage if that can be, and answer with the full new value.

    The header ``X-Storage-Updated`` says whether the dataset in storage was updated too.
    """
    db.commit()
    updated = current_app.config["DSERVER_UPDATE_STORAGE"] and storage.update_dataset(uri, field, value)
    return json_answer({field: value}, headers={STORAGE_UPDATED: "true" if updated else "false"})
