"""What the routes below ``/mongo`` take and answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import marshmallow as ma
from marshmallow import fields

from dservercore.plugins.query.store import Restrictions
from dservercore.rest.body_limits import BodyLimit
from dservercore.rest.condition_schemas import FILTERS, filter_values
from dservercore.rest.schemas import DatasetObjectSchema

RESTRICTIONS = ("creator_usernames", "base_uris", "uuids", "tags")


def for_queries(_config: Mapping[str, Any]) -> BodyLimit:
    """Return the limit of a body that holds a structured query."""
    return BodyLimit(2**19, 10_000)


class QuerySchema(
    ma.Schema.from_dict(  # type: ignore[misc]
        {
            "base_uris": filter_values("In any of these; an empty list finds nothing"),
            **{name: FILTERS[name] for name in RESTRICTIONS if name in FILTERS},
        }
    )
):
    """Which datasets to find: those that match `query`, and that every filter lets through.

    An empty list is no filter, except for `base_uris`, where it lets nothing through.
    """

    query = fields.Dict(
        keys=fields.String(),
        load_default=dict,
        metadata={
            "description": "A filter in the language of MongoDB, on the whole document of a dataset",
            "example": {"readme.project": "rice", "size_in_bytes": {"$gt": 1000000}},
        },
    )


class AggregationSchema(QuerySchema):
    """Which datasets to find, and what to make of them."""

    aggregation = fields.List(
        fields.Dict(keys=fields.String()),
        load_default=list,
        metadata={
            "description": "Stages of an aggregation of MongoDB",
            "example": [{"$group": {"_id": "$creator_username", "size": {"$sum": "$size_in_bytes"}}}],
        },
    )


class StoredDatasetSchema(DatasetObjectSchema):
    """A dataset that a structured query has found."""

    type = fields.String(required=True, metadata={"description": "`dataset`"})
    tags = fields.List(fields.String(), required=True)


class ResultSchema(ma.Schema):
    """Whatever an aggregation makes of the datasets."""

    class Meta:
        unknown = ma.INCLUDE


def restrictions_of(given: Mapping[str, Any]) -> Restrictions:
    """Return what a request is restricted to. Empty lists do not count, but for ``base_uris``."""
    named = [name for name in RESTRICTIONS if given.get(name) or (name == "base_uris" and name in given)]
    wanted = {name: tuple(given[name]) for name in named}
    return Restrictions(**wanted)
