"""The users, base URIs and datasets that tests speak of."""

from __future__ import annotations

import uuid
from typing import Any

ADMIN = "ada"  # administrator without any permission on base URIs
CHAMPION = "carl"  # may search and register in RED
READER = "rita"  # may search RED and BLUE
NOBODY = "nora"  # registered, no permission at all
STRANGER = "sam"  # has a valid token, is not registered

RED = "s3://red"
BLUE = "s3://blue"


def dataset_info(base_uri: str = RED, **changes: Any) -> dict[str, Any]:
    """A dataset's document, ready for ``PUT /uris/<uri>``."""
    identifier = str(changes.pop("uuid", None) or uuid.uuid4())
    return {
        "uuid": identifier,
        "base_uri": base_uri,
        "uri": f"{base_uri}/{identifier}",
        "name": "bean-harvest",
        "type": "dataset",
        "readme": "description: Beans from the greenhouse\n",
        "manifest": {
            "dtoolcore_version": "3.19.0",
            "hash_function": "md5sum_hexdigest",
            "items": {
                "e4cc3a7dc281c3d89ed4553293c4b4b110dc9bf3": {
                    "hash": "d89117c9da2cc34586e183017cb14851",
                    "relpath": "pods/U00096.3.rev.1.bt2",
                    "size_in_bytes": 5741810,
                    "utc_timestamp": 1536832115.0,
                }
            },
        },
        "creator_username": "olga",
        "frozen_at": 1536238185.881941,
        "created_at": 1536236399.19497,
        "annotations": {"soil": "loam"},
        "tags": ["beans", "2026"],
        "number_of_items": 1,
        "size_in_bytes": 5741810,
        **changes,
    }
