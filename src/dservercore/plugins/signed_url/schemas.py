"""What the routes below ``/signed-urls`` take and answer."""

from __future__ import annotations

import marshmallow as ma

from dservercore.plugins.signed_url.signatures import MAX_LENGTH


class SignatureSchema(ma.Schema):
    """The query string of a URL that was signed."""

    signature = ma.fields.String(required=True, validate=ma.validate.Length(1, MAX_LENGTH))


class _ExpirySchema(ma.Schema):
    uri = ma.fields.String(required=True)
    expiry_seconds = ma.fields.Integer(required=True, metadata={"description": "For which the URLs work"})
    expiry_timestamp = ma.fields.DateTime(required=True, metadata={"description": "When they cease to, UTC"})


class ItemURLSchema(_ExpirySchema):
    """The URL of one item."""

    identifier = ma.fields.String(required=True)
    url = ma.fields.String(required=True)


class DatasetURLsSchema(_ExpirySchema):
    """The URLs of all files of a dataset."""

    admin_metadata_url = ma.fields.String(required=True)
    manifest_url = ma.fields.String(required=True)
    readme_url = ma.fields.String(required=True)
    item_urls = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.String(),
        required=True,
        metadata={"description": "By identifier"},
    )
    overlay_urls = ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.String(), required=True)
    annotation_urls = ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.String(), required=True)
    tags = ma.fields.List(ma.fields.String(), required=True)
    archive_url = ma.fields.String(
        required=True, metadata={"description": "All of it, as a zip file, from the server"}
    )
