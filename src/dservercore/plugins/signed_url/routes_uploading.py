"""The routes below ``/signed-urls`` by which datasets are uploaded."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from flask import Response, current_app, request
from flask.views import MethodView
from werkzeug.exceptions import RequestTimeout

from dservercore import db
from dservercore.auth import guards
from dservercore.catalog.scope import Actor, Scope
from dservercore.dataset import uris
from dservercore.errors import ValidationError
from dservercore.plugins.signed_url import holders, signatures, uploading
from dservercore.plugins.signed_url.announced import announced
from dservercore.plugins.signed_url.routes import blueprint
from dservercore.plugins.signed_url.schemas import SignatureSchema
from dservercore.plugins.signed_url.storages.interface import Validity
from dservercore.plugins.signed_url.storages.uploads import UPLOAD
from dservercore.plugins.signed_url.upload_schemas import (
    BeginUploadSchema,
    BegunUploadSchema,
    CompletedUploadSchema,
    CompleteUploadSchema,
)
from dservercore.rest.body_limits import (
    BodyLimit,
    allow_body,
    for_annotations,
    for_tags,
    note_reading,
    streams_body,
    takes_body,
)
from dservercore.rest.responses import NOTHING, answers, json_answer

_SETTING = "SIGNED_URL_MAX_UPLOAD_ITEMS"
# Bytes of an item, of which the path is the most, and its members and values in overlays.
_BYTES_PER_ITEM, _ELEMENTS_PER_ITEM = 512, 16


def _for_announcement(config: Mapping[str, Any]) -> BodyLimit:
    annotations, tags, items = for_annotations(config), for_tags(config), config[_SETTING]
    return BodyLimit(
        annotations.length + tags.length + _BYTES_PER_ITEM * items,
        annotations.elements + tags.elements + _ELEMENTS_PER_ITEM * items,
        _SETTING,
    )


@blueprint.route("/upload/<base_uri:base_uri>")
class Upload(MethodView):
    """An upload that begins."""

    @guards.with_scope("register")
    @takes_body(_for_announcement)
    @answers(blueprint, 200, BegunUploadSchema, errors=(400, 401, 403, 409, 413, 415, 422, 501, 502, 507))
    @blueprint.arguments(BeginUploadSchema)
    def post(self, given: dict[str, Any], base_uri: str, register_scope: Scope, actor: Actor) -> Response:
        """Begin to upload a dataset, and get the URLs to which its README and its items are sent, each by a PUT.

        You need the register permission. What a file is, is announced here, and no other one is taken. Begin again
        with the same `uuid` to go on with an upload that was broken off, or whose URLs have expired. Send the headers
        of an item as they are.
        """
        register_scope.require(base_uri)
        upload, storage = uploading.begin(
            actor, register_scope, announced(base_uri, given, current_app.config[_SETTING])
        )
        now = int(time.time())
        until = now + current_app.config["SIGNED_URL_WRITE_EXPIRY_SECONDS"]
        validity = Validity(holders.holder_of_request(actor), now, until)
        answer = {
            "uuid": upload.uuid,
            "uri": upload.uri,
            "base_uri": upload.base_uri,
            "expiry_seconds": validity.seconds,
            "expiry_timestamp": datetime.fromtimestamp(until, timezone.utc).isoformat(),
            "upload_urls": storage.urls(upload, validity),
        }
        return json_answer(answer, headers={"Cache-Control": "no-store"})


@blueprint.route("/upload-complete")
class UploadComplete(MethodView):
    """An upload that ends."""

    @guards.with_scope("register")
    @takes_body(lambda _config: BodyLimit(2**16, 1000))
    @answers(blueprint, 200, CompletedUploadSchema, errors=(400, 401, 403, 409, 413, 415, 422, 501, 502, 507))
    @blueprint.arguments(CompleteUploadSchema)
    def post(self, given: dict[str, Any], register_scope: Scope, actor: Actor) -> Response:
        """Have a dataset frozen and registered, once its README and all of its items are uploaded.

        You need the register permission, and count as who registers it. If it is broken off, do it again.
        """
        uri = uris.url_suffix_to_uri(given["uri"])
        upload = uploading.complete(actor, register_scope, uri)
        db.commit()
        return json_answer({"uri": uri, "status": "registered", "name": upload.name, "uuid": upload.uuid})


@blueprint.route("/uploads/<uri:uri>")
class UploadedFile(MethodView):
    """One file of a dataset that is uploaded into a directory of the server."""

    @guards.open_to_all
    @streams_body
    @answers(
        blueprint,
        200,
        NOTHING,
        errors=(400, 403, 404, 408, 409, 410, 413, 422, 501, 502, 503, 507),
        public=True,
    )
    @blueprint.arguments(SignatureSchema, location="query")
    def put(self, query: dict[str, str], uri: str) -> Response:
        """Upload a file by a URL that was signed; its signature is all that is needed.

        The body is the file itself, of any media type. Its length and its MD5 sum must be those that were announced.
        What is broken off leaves nothing: send it again.
        """
        claims = signatures.verify(query["signature"], method="PUT", purpose=UPLOAD, uri=uri)
        most = claims.extra.get("size")
        if most is None:
            most = 4 * current_app.config["DSERVER_MAX_README_LENGTH"]
        uploading.receive(
            claims, lambda: holders.admit(claims, "register")[1], _body_up_to(most, claims.extra)
        )
        return json_answer("")


def _body_up_to(most: int, announced_extra: Mapping[str, Any]) -> Callable[[int], bytes]:
    """Return what reads the body of the request, of which the length is known to be right, or is not told.

    :raises ValidationError: 400 if it is announced with another length
    """
    length = request.content_length
    size = announced_extra.get("size")
    if length is not None and (length > most or (size is not None and length != size)):
        wanted = f"{size:,}" if size is not None else f"at most {most:,}"
        raise ValidationError(f"Content-Length: the file has {length:,} bytes, and must have {wanted}")
    # One more than there may be, so that its end is seen.
    allow_body(most + 1)
    deadline = time.monotonic() + current_app.config["SIGNED_URL_WRITE_EXPIRY_SECONDS"]

    def read(size: int) -> bytes:
        if time.monotonic() > deadline:
            raise RequestTimeout("The file has taken longer to come than its URL would have worked")
        note_reading(request.environ)
        return request.stream.read(size)

    return read
