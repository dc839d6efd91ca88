"""``/uris/bulk``: registering many datasets with one request."""

from __future__ import annotations

import io
from codecs import BOM_UTF8
from collections.abc import Iterator
from contextlib import closing
from tempfile import SpooledTemporaryFile
from typing import NoReturn

from flask import Response, current_app, request
from flask.views import MethodView
from webargs.flaskparser import abort
from werkzeug.exceptions import HTTPException

from dservercore.api import bulk_registration
from dservercore.api.bulk_registration import Given
from dservercore.auth import guards
from dservercore.catalog.scope import Actor, Scope
from dservercore.errors import InvalidValueError
from dservercore.rest import json_lists
from dservercore.rest.blueprint import Blueprint
from dservercore.rest.body_limits import for_datasets, takes_body
from dservercore.rest.body_lines import body_of, discard_rest, lines_of
from dservercore.rest.media_types import JSON, require_media_type
from dservercore.rest.responses import also_in_lines, answers, as_json, json_answer
from dservercore.rest.schemas import BulkResultSchema, RegisterDatasetSchema

LINES = "application/x-ndjson"

#: Datasets of a list, all of which is in memory.
MAX_LISTED = 10_000
#: Lines of a body. Of what comes after them nothing is done, and nothing said: results take more room than short lines.
MAX_LINES = 1_000_000
TOO_MANY_LINES = InvalidValueError(
    f"A body has at most {MAX_LINES:,} lines: send the rest with another request"
)

_SPOOLED_BYTES = 2**20  # of results, above which they wait in a file

blp = Blueprint("bulk", __name__, url_prefix="/uris", description="Many datasets at once")


@blp.route("/bulk")
class Bulk(MethodView):
    """Many datasets."""

    @guards.with_scope("register")
    @takes_body(for_datasets)
    @also_in_lines(blp, LINES, RegisterDatasetSchema, BulkResultSchema)
    @answers(blp, 200, BulkResultSchema, many=True, errors=(400, 401, 403, 413, 415, 422))
    def post(self, actor: Actor, register_scope: Scope) -> Response:
        """Register datasets, or replace what is registered, and tell what became of each.

        The body is a list of up to 10,000 datasets; or, as `application/x-ndjson`, one dataset on each of up to a
        million lines.
        Each counts on its own, with the status and the error that a `PUT` of it would have. What is answered is stored
        for good. The results come in the order of the datasets. After 1,000 datasets that were refused, results have
        no more `error`; after 100,000, the next result says that nothing was done with its dataset and those after it.

        Whoever may not register anything at all gets a 403.
        """
        if require_media_type(request, JSON, LINES) == JSON:
            with closing(json_lists.spooled(request.environ, request.max_content_length)) as body:
                json_lists.check_list(body, MAX_LISTED)
                given = (Given.of_element(element) for element in json_lists.elements(body, MAX_LISTED))
                return json_answer(list(bulk_registration.register(actor, given)))
        unread = body_of(request.environ)
        answer = _answer_in_lines(actor, _Lines(unread))
        discard_rest(unread, current_app.config["MAX_CONTENT_LENGTH"])
        return answer


class _Lines:
    """The datasets on the lines of a body, up to where it ends, or breaks off.

    :ivar number: how many lines have been read
    :ivar broken: the error if the body did not arrive as it was announced; None: it did, so far
    """

    def __init__(self, body: io.RawIOBase) -> None:
        self._body = body
        self.number = 0
        self.broken: HTTPException | None = None

    def __iter__(self) -> Iterator[Given]:
        try:
            for number, line in lines_of(self._body, current_app.config["MAX_CONTENT_LENGTH"]):
                if number == MAX_LINES + 1:
                    yield Given(error=TOO_MANY_LINES, line=number)
                    return
                self.number = number
                if line is None or line.removeprefix(BOM_UTF8).strip():
                    yield Given.of_line(number, line)
        except HTTPException as error:  # what has arrived is registered like any other
            self.broken = error


def _answer_in_lines(actor: Actor, lines: _Lines) -> Response:
    """Return the answer when the whole body has been read.

    Many clients and proxies send all of a body before they read anything, and would wait for ever for a server that
    waits for them to read.

    :raises HTTPException: 400 that says how many datasets are stored, if the body broke off
    """
    stored = refused = 0
    spool = SpooledTemporaryFile(_SPOOLED_BYTES)  # noqa: SIM115 closed with the answer
    try:
        for result in bulk_registration.register(actor, lines):
            spool.write(as_json(result) + b"\n")
            refused += result["status"] >= 400
            stored += result["status"] < 400
        if lines.broken:
            _refuse_broken(lines, stored, refused)
        length = spool.tell()
        spool.seek(0)
    except BaseException:
        spool.close()
        raise
    answer = current_app.response_class(iter(lambda: spool.read(2**16), b""), mimetype=LINES)
    answer.content_length = length
    answer.call_on_close(spool.close)
    return answer


def _refuse_broken(lines: _Lines, stored: int, refused: int) -> NoReturn:
    """Answer that a body broke off, and what has become of the datasets before that.

    :param stored: how many of them are stored
    :param refused: how many of them were refused
    :raises HTTPException: 400, always
    """
    reason = getattr(lines.broken, "data", {}).get("messages", {}).get("json", [])
    message = (
        f"The body broke off after {lines.number:,} complete {'line' if lines.number == 1 else 'lines'}:"
        f" {stored:,} {'dataset is' if stored == 1 else 'datasets are'} stored, {refused:,} refused."
        f" Send what follows line {lines.number:,} again"
    )
    abort(400, message=message, messages={"json": reason})
