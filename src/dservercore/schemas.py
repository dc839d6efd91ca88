"""The JSON that goes in and out: request bodies, responses, and how the API documentation shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import marshmallow as ma
from marshmallow import fields
from marshmallow.validate import Length

from dservercore.body_limits import MAX_FILTER_VALUE_LENGTH, MAX_FILTER_VALUES
from dservercore.schema_fields import (
    INTEGER_MAX,
    Count,
    JSONObject,
    JSONValue,
    Moment,
    StringList,
    Timestamp,
    UUIDString,
    refuse_many_unknown,
)

USERNAME_LENGTH = 64
DISPLAY_NAME_LENGTH = 255
MAX_REPORTED_ITEMS = 20


def _described(text: str) -> dict[str, Any]:
    return {"description": text}


# The server


class ErrorSchema(ma.Schema):
    """What went wrong."""

    code = fields.Integer(required=True, metadata=_described("HTTP status code"))
    status = fields.String(required=True, metadata=_described("Name of the HTTP status"))
    message = fields.String(metadata=_described("What was wrong, and what would be right"))
    errors = fields.Dict(
        keys=fields.String(),
        metadata=_described("Messages by place (`json` or `query`) and field, where fields are to blame"),
    )


class TokenErrorSchema(ma.Schema):
    """What is wrong with the token."""

    msg = fields.String(required=True, metadata=_described("Why the token is missing or no good"))


class HealthSchema(ma.Schema):
    """That the process is up."""

    status = fields.String(required=True, metadata=_described("`healthy`"))


class ReadySchema(ma.Schema):
    """Whether what the server depends on can be reached: `ok`, or what is wrong."""

    sql = fields.String(required=True, metadata=_described("The database"))
    search = fields.String(required=True, metadata=_described("The search plugin"))
    retrieve = fields.String(required=True, metadata=_described("The retrieve plugin"))


class ConfigSchema(ma.Schema):
    """The configuration, without its secrets."""

    config = fields.Dict(
        keys=fields.String(), required=True, metadata=_described("Values by the setting's name in lower case")
    )


class VersionSchema(ma.Schema):
    """What is installed."""

    versions = fields.Dict(
        keys=fields.String(),
        values=fields.String(allow_none=True),
        required=True,
        metadata=_described("Version of the server and of each plugin; null where a plugin has none"),
    )


# Datasets


class DatasetObjectSchema(ma.Schema):
    """One dataset, in one base URI."""

    base_uri = fields.String(required=True)
    uri = fields.String(required=True)
    uuid = UUIDString(required=True)
    name = fields.String(required=True)
    creator_username = fields.String(required=True)
    created_at = fields.Float(required=True, metadata=_described("Seconds since the epoch, UTC"))
    frozen_at = fields.Float(required=True, metadata=_described("Seconds since the epoch, UTC"))
    number_of_items = fields.Integer(required=True, allow_none=True)
    size_in_bytes = fields.Integer(required=True, allow_none=True)
    uploaded_by = fields.String(
        required=True, allow_none=True, metadata=_described("Who registered it; null: the command line")
    )
    uploaded_at = fields.Float(
        required=True, allow_none=True, metadata=_described("Seconds since the epoch, UTC")
    )


class ItemSchema(ma.Schema):
    """One file of a dataset."""

    hash = fields.String()
    relpath = fields.String(metadata=_described("Path of the file within the dataset"))
    size_in_bytes = Count()
    utc_timestamp = fields.Float(metadata=_described("Last modification, seconds since the epoch, UTC"))


class ManifestSchema(ma.Schema):
    """The files of a dataset."""

    items = fields.Dict(
        keys=fields.String(),
        values=fields.Nested(ItemSchema),
        metadata=_described("The files by their identifier, the SHA-1 of `relpath`"),
    )
    hash_function = fields.String(metadata=_described("What made the hashes, such as `md5sum_hexdigest`"))
    dtoolcore_version = fields.String(metadata=_described("Version of dtoolcore that made the manifest"))


class ManifestField(fields.Nested):
    """A :class:`ManifestSchema` that a manifest of a million items goes through in a second or two.

    It checks what the schema says, and gives errors of the same shape, but of items only the first
    ``MAX_REPORTED_ITEMS`` bad ones.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(ManifestSchema, **kwargs)
        self._item_schema = ItemSchema()
        self._envelope = ManifestSchema(exclude=["items"])

    def _deserialize(
        self, value: Any, attr: str | None, data: Any, partial: Any = None, **kwargs: Any
    ) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise self.make_error("type", input=value, type=type(value).__name__)
        envelope = {key: member for key, member in value.items() if key != "items"}
        errors: dict[str, Any] = self._envelope.validate(envelope)
        if "items" not in value:
            items = None
        elif isinstance(value["items"], Mapping):
            items, item_errors = self._checked_items(value["items"])
            errors |= {"items": item_errors} if item_errors else {}
        else:
            errors["items"] = ["Not a valid mapping type."]
        if errors:
            raise ma.ValidationError(errors)
        return envelope if items is None else {**envelope, "items": items}

    def _checked_items(self, items: Mapping[str, Any]) -> tuple[Mapping[str, Any], dict[str, Any]]:
        """Return the items, and the errors by item.

        Items as dtoolcore writes them are handed on as they are; others take the slow way through the schema.
        """
        others: dict[str, Any] = {}
        errors: dict[str, Any] = {}
        for identifier, item in items.items():
            if _is_plain_item(item):
                continue
            try:
                others[identifier] = self._item_schema.load(item)
            except ma.ValidationError as error:
                errors[identifier] = error.messages
                if len(errors) == MAX_REPORTED_ITEMS:
                    errors["_schema"] = [f"Only the first {MAX_REPORTED_ITEMS} items with errors are listed."]
                    break
        return ({**items, **others} if others else items), errors


def _is_plain_item(item: Any) -> bool:
    """Whether each member of *item* has the type that it is stored in, and is known."""
    try:
        size, timestamp = item.get("size_in_bytes", 0), item.get("utc_timestamp", 0)
        return (
            item.keys() <= _ITEM_MEMBERS
            and type(item.get("hash", "")) is str
            and type(item.get("relpath", "")) is str
            and type(size) is int
            and 0 <= size <= INTEGER_MAX
            and type(timestamp) in (float, int)
            and timestamp - timestamp == 0.0  # neither infinite nor NaN
        )
    except AttributeError:
        return False


_ITEM_MEMBERS = {"hash", "relpath", "size_in_bytes", "utc_timestamp"}


def _annotations(**kwargs: Any) -> JSONObject:
    return JSONObject(metadata=_described("Values, of any JSON type, by the annotation's name"), **kwargs)


def _strings(text: str, **kwargs: Any) -> StringList:
    return StringList(metadata=_described(text), **kwargs)


class RegisterDatasetSchema(ma.Schema):
    """What there is to know about a dataset.

    `created_at`, `number_of_items`, `size_in_bytes` and `dtoolcore_version` may be left out. What
    `dservercore.utils.generate_dataset_info` returns can be sent as it is.
    """

    # None is required here: what is missing is a 400, which dataset_info.py gives.
    uuid = UUIDString()
    base_uri = fields.String()
    uri = fields.String(metadata=_described("`base_uri`, a slash, and one more segment"))
    name = fields.String()
    type = fields.String(metadata=_described("`dataset`"))
    readme = fields.String(metadata=_described("Usually YAML"))
    manifest = ManifestField()
    creator_username = fields.String()
    frozen_at = Timestamp(metadata=_described("Seconds since the epoch, UTC; a numeric string will do"))
    created_at = Timestamp(metadata=_described("The same; `frozen_at` if it is missing"))
    annotations = _annotations()
    tags = StringList()
    number_of_items = Count()
    size_in_bytes = Count()
    dtoolcore_version = fields.String(metadata=_described("Version of dtoolcore that made the dataset"))

    @ma.pre_load
    def _refuse_many_unknown(self, document: Any, **_options: Any) -> Any:
        return refuse_many_unknown(self, document)


class BulkResultSchema(ma.Schema):
    """What became of one dataset of many that were to be registered."""

    uri = fields.String(
        required=True,
        allow_none=True,
        metadata=_described("As it was given; null where there is none to read"),
    )
    status = fields.Integer(
        required=True, metadata=_described("201: it is new; 200: it was replaced; otherwise nothing was done")
    )
    line = fields.Integer(metadata=_described("Its number, from 1 on, where datasets come on lines"))
    error = fields.Nested(ErrorSchema, metadata=_described("Why nothing was done"))


def _filter(text: str) -> StringList:
    return StringList(longest=MAX_FILTER_VALUE_LENGTH, metadata=_described(text))


class SearchDatasetSchema(ma.Schema):
    """Which datasets to find: those that every filter lets through.

    An empty list is no filter, except for `base_uris`, where it lets nothing through. All lists together have at most
    10,000 values, of at most 1,024 characters each.
    """

    free_text = fields.String(metadata=_described("Words, all of which must occur; see the query language"))
    creator_usernames = _filter("Created by any of these")
    base_uris = _filter("In any of these; an empty list finds nothing")
    uuids = fields.List(UUIDString(), metadata=_described("Any of these"))
    tags = _filter("Having all of these")
    uploaded_by = _filter("Registered by any of these users")

    @ma.pre_load
    def _refuse_many_values(self, query: Any, **_options: Any) -> Any:
        if not isinstance(query, Mapping):
            return query
        number = 0
        for name in self.fields:
            values = query.get(name)
            number += len(values) if isinstance(values, list) else 0
            if number > MAX_FILTER_VALUES:
                raise ma.ValidationError(
                    f"All filters together take at most {MAX_FILTER_VALUES} values.", name
                )
        return query


class SummarySchema(ma.Schema):
    """Figures about all datasets that a user may search."""

    number_of_datasets = fields.Integer(required=True)
    total_size_in_bytes = fields.Integer(required=True)
    creator_usernames = _strings("Sorted", required=True)
    base_uris = _strings("Sorted", required=True)
    tags = _strings("Sorted", required=True)
    uploaders = _strings("Sorted", required=True)
    datasets_per_creator = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    datasets_per_base_uri = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    datasets_per_tag = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    datasets_per_uploader = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    size_in_bytes_per_creator = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    size_in_bytes_per_base_uri = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    size_in_bytes_per_tag = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    size_in_bytes_per_uploader = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)


# What describes a dataset


class ReadmeSchema(ma.Schema):
    """The README of a dataset, as it was registered or last edited."""

    readme = fields.String(required=True)


class ReadmeRequestSchema(ma.Schema):
    """The new README of a dataset."""

    readme = fields.String(required=True)


class TagSchema(ma.Schema):
    """All tags of a dataset."""

    tags = StringList(load_default=list)


class AnnotationSchema(ma.Schema):
    """All annotations of a dataset."""

    annotations = _annotations()


class SingleAnnotationSchema(ma.Schema):
    """The value of one annotation."""

    # A missing value is stored as null, while a null that was sent is refused.
    value = JSONValue(load_default=None, allow_none=False, metadata=_described("Any JSON value but null"))


# Users


class UserObjectSchema(ma.Schema):
    """A user, and where the user may search and register datasets."""

    username = fields.String(required=True)
    display_name = fields.String(required=True, allow_none=True)
    is_admin = fields.Boolean(required=True)
    search_permissions_on_base_uris = fields.List(fields.String(), required=True)
    register_permissions_on_base_uris = fields.List(fields.String(), required=True)


class UserPutSchema(ma.Schema):
    """A user to register or to overwrite. A `display_name` that is left out stays as it is."""

    username = fields.String(
        validate=Length(max=USERNAME_LENGTH), metadata=_described("Ignored: the name in the path counts")
    )
    is_admin = fields.Boolean(load_default=False)
    display_name = fields.String(validate=Length(max=DISPLAY_NAME_LENGTH), allow_none=True)


class UserPatchSchema(ma.Schema):
    """What to change about a user. What is left out stays as it is."""

    is_admin = fields.Boolean(allow_none=True, metadata=_described("null: unchanged"))
    display_name = fields.String(
        validate=Length(max=DISPLAY_NAME_LENGTH), allow_none=True, metadata=_described("null: none")
    )


class MeUpdateSchema(ma.Schema):
    """What to change about yourself. What is left out stays as it is."""

    display_name = fields.String(
        validate=Length(max=DISPLAY_NAME_LENGTH), allow_none=True, metadata=_described("null: none")
    )


# Base URIs


class BaseURIItemSchema(ma.Schema):
    """A base URI in a list."""

    base_uri = fields.String(required=True)


class BaseURIObjectSchema(ma.Schema):
    """A base URI, and who may search and register datasets in it."""

    base_uri = fields.String(required=True)
    users_with_search_permissions = fields.List(fields.String(), required=True)
    users_with_register_permissions = fields.List(fields.String(), required=True)


class BaseURIPutSchema(ma.Schema):
    """Who may search and register datasets in a base URI. A list that is left out is empty."""

    base_uri = fields.String(metadata=_described("Ignored: the base URI in the path counts"))
    users_with_search_permissions = _strings("User names", load_default=list)
    users_with_register_permissions = _strings("User names", load_default=list)


# The audit


class AuditRecordSchema(ma.Schema):
    """One administrative act."""

    id = fields.Integer(required=True, metadata=_described("Grows with time, though not without gaps"))
    at = fields.Float(required=True, metadata=_described("When: seconds since the epoch, UTC"))
    actor = fields.String(
        required=True,
        allow_none=True,
        metadata=_described(
            "Who: a user, or `operator:` and the name of an operating system user; null: nobody with a token"
        ),
    )
    action = fields.String(required=True, metadata=_described("What, such as `user.create`"))
    subject = fields.String(
        required=True,
        allow_none=True,
        metadata=_described(
            "To whom or what: a user name, a base URI, the URI of a dataset; null: the server"
        ),
    )
    base_uri = fields.String(
        required=True, allow_none=True, metadata=_described("The base URI that it has to do with, if any")
    )
    details = fields.Dict(
        keys=fields.String(),
        required=True,
        metadata=_described("What changed, as `[old, new]`, and what was lost"),
    )
    origin = fields.String(
        required=True, metadata=_described("From where: a client's address, `command line` or `python`")
    )
    request_id = fields.String(
        required=True,
        allow_none=True,
        metadata=_described("The `X-Request-ID` of the request, if it was one"),
    )


class AuditFilterSchema(ma.Schema):
    """Which records are wanted."""

    actor = fields.String(metadata=_described("Acts of this user"))
    action = fields.String(
        metadata=_described("Acts of this kind; with a dot at its end, all that begin so: `user.`")
    )
    subject = fields.String(metadata=_described("Acts on this user, base URI or dataset"))
    base_uri = fields.String(metadata=_described("Acts that have to do with this base URI"))
    since = Moment(metadata=_described("Acts at this time or later: seconds since the epoch, or ISO 8601"))
    until = Moment(metadata=_described("Acts before this time"))
