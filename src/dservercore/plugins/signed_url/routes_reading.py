"""The routes below ``/signed-urls`` by which datasets are read."""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime, timezone
from http import HTTPStatus
from itertools import chain

from flask import Response, current_app, request
from flask.views import MethodView
from werkzeug.exceptions import RequestedRangeNotSatisfiable

from dservercore.auth import guards
from dservercore.catalog.scope import Actor, Scope
from dservercore.plugins.signed_url import archives, reading
from dservercore.plugins.signed_url.file_names import as_attachment
from dservercore.plugins.signed_url.holders import holder_of_request
from dservercore.plugins.signed_url.routes import blueprint
from dservercore.plugins.signed_url.schemas import DatasetURLsSchema, ItemURLSchema, SignatureSchema
from dservercore.plugins.signed_url.storages.file_system import OpenFile
from dservercore.rest.paced import Paced
from dservercore.rest.responses import answers, json_answer

_BINARY = {"type": "string", "format": "binary"}
_SIGNED_ERRORS = (403, 404, 410, 422, 501)
_BYTES = "application/octet-stream"
_KEPT_NOWHERE = {"Cache-Control": "no-store"}

#: Of what datasets hold, which anybody may have written: nothing in it is to be shown or run as if it were ours.
_HOSTILE = {
    "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, no-cache",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "cross-origin",
}


@blueprint.route("/dataset/<uri:uri>")
class DatasetURLs(MethodView):
    """The URLs by which all files of a dataset are read."""

    @guards.with_scope("search", visitors=True)
    @answers(blueprint, 200, DatasetURLsSchema, errors=(401, 403, 404, 422, 501))
    def get(self, uri: str, search_scope: Scope, actor: Actor) -> Response:
        """Get URLs by which the files of a dataset are read, without a token, until they expire.

        Datasets in S3 are read from there. Those in a directory of the server are read from the server, which asks each
        time whether you still may search the dataset. `archive_url` leads to all of it as a zip file.
        """
        return json_answer(
            reading.dataset_urls(search_scope, uri, holder_of_request(actor)), headers=_KEPT_NOWHERE
        )


@blueprint.route("/item/<uri:uri>/<identifier>")
class ItemURL(MethodView):
    """The URL by which one item of a dataset is read."""

    @guards.with_scope("search", visitors=True)
    @answers(blueprint, 200, ItemURLSchema, errors=(401, 403, 404, 422, 501))
    def get(self, uri: str, identifier: str, search_scope: Scope, actor: Actor) -> Response:
        """Get a URL by which one item of a dataset is read, without a token, until it expires.

        The identifier is that of the manifest.
        """
        url = reading.item_url(search_scope, uri, identifier, holder_of_request(actor))
        return json_answer(url, headers=_KEPT_NOWHERE)


@blueprint.route("/files/<uri:uri>")
class SignedFile(MethodView):
    """One file of a dataset in a directory of the server."""

    @guards.open_to_all
    @answers(blueprint, 200, _BINARY, errors=(*_SIGNED_ERRORS, 416), public=True, content_type="*/*")
    @blueprint.arguments(SignatureSchema, location="query")
    def get(self, query: dict[str, str], uri: str) -> Response:
        """Read a file by a URL that was signed; its signature is all that is needed.

        One `Range` at a time can be asked for. The answer ends before its `Content-Length` if the file changes
        meanwhile, or if the permission ends.
        """
        file, allowed = reading.open_signed(query["signature"], request.method, uri)
        return _file_answer(file, allowed)


@blueprint.route("/archive/<uri:uri>")
class SignedArchive(MethodView):
    """All files of a dataset."""

    @guards.open_to_all
    @answers(blueprint, 200, _BINARY, errors=_SIGNED_ERRORS, public=True, content_type="application/zip")
    @blueprint.arguments(SignatureSchema, location="query")
    def get(self, query: dict[str, str], uri: str) -> Response:
        """Read a whole dataset, as a zip file, by a URL that was signed; its signature is all that is needed.

        Unpacked, it is a dataset in a directory. The answer breaks off, without its end, if a file is missing or
        changes meanwhile, or if the permission ends.
        """
        name, content, allowed = archives.open_archive(query["signature"], request.method, uri)
        return _archive_answer(name, content, allowed)


def _file_answer(file: OpenFile, allowed: reading.Permit) -> Response:
    answer = current_app.response_class(headers=_headers(allowed.claims.name), content_type=_BYTES)
    answer.content_length = file.size
    answer.set_etag(file.tag)
    answer.last_modified = datetime.fromtimestamp(max(0, int(file.changed_at)), timezone.utc)
    try:
        answer.make_conditional(request.environ, accept_ranges=True, complete_length=file.size)
    except RequestedRangeNotSatisfiable:
        file.close()
        raise
    if answer.status_code not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT) or request.method == "HEAD":
        file.close()
        return answer
    start, length = 0, file.size
    if answer.status_code == HTTPStatus.PARTIAL_CONTENT:
        start, length = answer.content_range.start or 0, answer.content_length or 0
    answer.response = Paced(allowed.watched(file.pieces(start, length)), file.close)
    answer.direct_passthrough = True
    return answer


def _archive_answer(name: str, content: Generator[bytes, None, None], allowed: reading.Permit) -> Response:
    answer = current_app.response_class(headers=_headers(name), content_type="application/zip")
    if request.method == "HEAD":
        return answer
    first = next(content)  # until then, errors are answered like any others
    answer.response = Paced(allowed.watched(chain([first], content)), content.close)
    answer.direct_passthrough = True
    return answer


def _headers(path: str) -> dict[str, str]:
    return _HOSTILE | {"Content-Disposition": as_attachment(path)}
