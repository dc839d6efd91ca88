"""Schemas of users, base URIs and datasets that take the models as well as the objects of the REST API."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import marshmallow
from flask_marshmallow import Marshmallow
from marshmallow import fields
from marshmallow.validate import Length

from dservercore.dataset.document import dataset_object
from dservercore.dataset.fields import FIELDS
from dservercore.dataset.times import datetime_to_timestamp, timestamp_to_datetime
from dservercore.models import (
    DISPLAY_NAME_LENGTH,
    URI_LENGTH,
    USERNAME_LENGTH,
    BaseURI,
    Dataset,
    User,
)
from dservercore.rest.schemas import DatasetObjectSchema

#: For plugin authors; nothing of ours is made with it.
ma = Marshmallow()


class FloatDateTimeField(fields.Float):
    """A naive UTC datetime, as seconds since the epoch in JSON.

    Dumps numbers as they are; loads numbers and numeric strings.
    """

    default_error_messages = {"invalid_time": "Not a number of seconds between the years 1 and 9999."}

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        if isinstance(value, datetime):
            value = datetime_to_timestamp(value)
        return super()._serialize(value, attr, obj, **kwargs)

    # A datetime, not the number that marshmallow promises of a Float.
    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        seconds = super()._deserialize(value, attr, data, **kwargs)
        try:
            return None if seconds is None else timestamp_to_datetime(seconds)
        except ValueError:
            raise self.make_error("invalid_time") from None


class _ModelSchema(marshmallow.Schema):
    """Dumps a model by way of its ``as_dict``, and a dictionary as it is."""

    @marshmallow.pre_dump
    def _as_dict(self, found: Any, **_options: Any) -> Any:
        return found.as_dict() if isinstance(found, (User, BaseURI, Dataset)) else found


_TIMES = {
    field.name: FloatDateTimeField(required=True, allow_none=field.may_be_null)
    for field in FIELDS
    if field.kind == "time"
}


class DatasetSchema(marshmallow.Schema.from_dict(_TIMES), DatasetObjectSchema, _ModelSchema):  # type: ignore[misc]
    """One dataset, in one base URI. Dumps to exactly the dataset object of the REST API."""

    @marshmallow.pre_dump
    def _as_dict(self, found: Any, **_options: Any) -> Any:
        return dataset_object(super()._as_dict(found))


class UserSchema(_ModelSchema):
    """A user, without permissions."""

    username = fields.String(validate=Length(max=USERNAME_LENGTH))
    is_admin = fields.Boolean()
    display_name = fields.String(validate=Length(max=DISPLAY_NAME_LENGTH), allow_none=True)


class UserWithPermissionsSchema(UserSchema):
    """A user, and where the user may search and register datasets."""

    search_permissions_on_base_uris = fields.List(fields.String())
    register_permissions_on_base_uris = fields.List(fields.String())


class BaseURISchema(_ModelSchema):
    """A base URI, without permissions."""

    base_uri = fields.String(validate=Length(max=URI_LENGTH))


class BaseURIWithPermissionsSchema(BaseURISchema):
    """A base URI, and who may search and register datasets in it."""

    users_with_search_permissions = fields.List(fields.String())
    users_with_register_permissions = fields.List(fields.String())
