"""What the routes take and answer by which datasets are uploaded."""

from __future__ import annotations

from typing import Any

import marshmallow as ma

from dservercore.dataset.values import INTEGER_MAX
from dservercore.rest.fields import JSONObject, StringList, Timestamp, UUIDString, refuse_many_unknown

MAX_REPORTED_ITEMS = 20


class UploadItemSchema(ma.Schema):
    """A file that is to be uploaded."""

    relpath = ma.fields.String(required=True, metadata={"description": "Path of the file in the dataset"})
    size_in_bytes = ma.fields.Integer(
        required=True, strict=True, validate=ma.validate.Range(min=0, max=INTEGER_MAX)
    )
    hash = ma.fields.String(required=True, metadata={"description": "MD5 sum, in hexadecimal digits"})
    utc_timestamp = Timestamp(required=True, metadata={"description": "Seconds since the epoch"})


_TYPES = {"relpath": (str,), "size_in_bytes": (int,), "hash": (str,), "utc_timestamp": (int, float)}
_ITEM = UploadItemSchema()


class _Items(ma.fields.List):
    """The files of a dataset. Those that are as dtool has them are taken as they are, which is quicker by far."""

    def __init__(self, **kwargs: Any):
        super().__init__(ma.fields.Nested(UploadItemSchema), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        if not isinstance(value, list):
            raise self.make_error("invalid")
        items, errors = [], {}
        for number, item in enumerate(value):
            if _is_plain(item):
                items.append(item)
                continue
            try:
                items.append(_ITEM.load(item))
            except ma.ValidationError as error:
                errors[number] = error.messages
                if len(errors) == MAX_REPORTED_ITEMS:
                    break
        if errors:
            raise ma.ValidationError(errors)
        return items


def _is_plain(item: Any) -> bool:
    return (
        isinstance(item, dict)
        and item.keys() == _TYPES.keys()
        and all(type(item[name]) in kinds for name, kinds in _TYPES.items())
        and 0 <= item["size_in_bytes"] <= INTEGER_MAX
        and 0 <= item["utc_timestamp"] < 2**33
    )


class BeginUploadSchema(ma.Schema):
    """A dataset that is to be uploaded."""

    uuid = UUIDString(required=True)
    name = ma.fields.String(required=True)
    creator_username = ma.fields.String(required=True, validate=ma.validate.Length(1, 255))
    frozen_at = Timestamp(required=True, metadata={"description": "Seconds since the epoch, UTC"})
    hash_function = ma.fields.String(metadata={"description": "`md5sum_hexdigest`, which it is anyway"})
    items = _Items(metadata={"description": "All files of the dataset"})
    tags = StringList()
    annotations = JSONObject(metadata={"description": "Values, of any JSON type, by name"})
    overlays = JSONObject(metadata={"description": "By name, an object: values by the identifiers of items"})

    @ma.pre_load
    def _refuse_many_unknown(self, document: Any, **_options: Any) -> Any:
        return refuse_many_unknown(self, document)


class _ItemURLSchema(ma.Schema):
    url = ma.fields.String(required=True)
    relpath = ma.fields.String(required=True)
    headers = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.String(),
        required=True,
        metadata={"description": "To be sent with the file, as they are"},
    )


class _URLsSchema(ma.Schema):
    readme = ma.fields.String(required=True)
    items = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.Nested(_ItemURLSchema),
        required=True,
        metadata={"description": "By identifier"},
    )


class BegunUploadSchema(ma.Schema):
    """Where the files of a dataset are to be sent, each by a PUT."""

    uuid = ma.fields.String(required=True)
    uri = ma.fields.String(required=True, metadata={"description": "That the dataset will have"})
    base_uri = ma.fields.String(required=True)
    expiry_seconds = ma.fields.Integer(required=True, metadata={"description": "For which the URLs work"})
    expiry_timestamp = ma.fields.DateTime(required=True, metadata={"description": "When they cease to, UTC"})
    upload_urls = ma.fields.Nested(_URLsSchema, required=True)


class CompleteUploadSchema(ma.Schema):
    """A dataset of which all files are uploaded."""

    uri = ma.fields.String(required=True, validate=ma.validate.Length(1, 1024))

    @ma.pre_load
    def _refuse_many_unknown(self, document: Any, **_options: Any) -> Any:
        return refuse_many_unknown(self, document)


class CompletedUploadSchema(ma.Schema):
    """A dataset that is uploaded and registered."""

    uri = ma.fields.String(required=True)
    status = ma.fields.String(required=True, metadata={"description": "`registered`"})
    name = ma.fields.String(required=True)
    uuid = ma.fields.String(required=True)
