"""The fields of a dataset object: one list, of which every shape is derived that a dataset takes.

The row (but for its column in ``models`` and the migration that makes it), the document that is registered, the object
that listings and searches return, on every backend, its schemas and the OpenAPI document.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Field:
    """One field of a dataset object.

    :param kind: ``count`` is a number of things or bytes; ``time`` is in seconds since the epoch, UTC
    :param length: least and most characters of a ``text``
    :param help: for the OpenAPI document
    :param is_given: whether it is part of the document that is registered; otherwise the server sets it
    :param is_required: whether a dataset cannot be registered without it; otherwise it may be null
    :param default: the field whose value it gets where the document lacks it; None: there is no such field
    :param is_sortable: whether lists can be sorted by it
    """

    name: str
    kind: Literal["uri", "uuid", "text", "count", "time"]
    length: tuple[int, int] = (1, 255)
    help: str = ""
    is_given: bool = True
    is_required: bool = True
    default: str | None = None
    is_sortable: bool = True

    @property
    def may_be_null(self) -> bool:
        """Whether it may be null in a dataset object."""
        return not self.is_required and self.default is None


#: In the order of their names, in which a dataset object has them.
FIELDS = (
    Field("base_uri", "uri"),
    Field("created_at", "time", is_required=False, default="frozen_at"),
    Field("creator_username", "text"),
    Field("frozen_at", "time"),
    Field("name", "text", length=(1, 80)),
    Field("number_of_items", "count", is_required=False, is_sortable=False),
    Field("size_in_bytes", "count", is_required=False, is_sortable=False),
    Field("uploaded_at", "time", is_given=False, is_required=False, is_sortable=False),
    Field(
        "uploaded_by",
        "text",
        help="Who registered it; null: the command line",
        is_given=False,
        is_required=False,
        is_sortable=False,
    ),
    Field("uri", "uri"),
    Field("uuid", "uuid"),
)

#: Keys of a dataset object, as every listing and search returns it.
DATASET_KEYS = tuple(field.name for field in FIELDS)

#: Keys of a dataset object whose values are seconds since the epoch, UTC.
TIMES = tuple(field.name for field in FIELDS if field.kind == "time")

#: Keys of a dataset object by which lists can be sorted.
DATASET_SORT_FIELDS = [field.name for field in FIELDS if field.is_sortable]

#: What a document has beside the fields; none of it may be missing.
PARTS = ("type", "readme", "manifest", "annotations", "tags")

#: Keys that the document of a dataset must have.
DATASET_INFO_REQUIRED_KEYS = (
    *(field.name for field in FIELDS if field.is_given and field.is_required),
    *PARTS,
)
