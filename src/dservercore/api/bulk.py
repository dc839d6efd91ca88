"""``/uris/bulk``: registering many datasets with one request."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing
from tempfile import SpooledTemporaryFile
from typing import Any

from flask import Response, current_app, request
from flask.views import MethodView
from webargs.flaskparser import abort, is_json_request

from dservercore import guards
from dservercore.api import json_lists, registering
from dservercore.api.answers import also_in_lines, answers, as_json, json_answer
from dservercore.api.lines import body_of, discard_rest, lines_of
from dservercore.api.registering import Given
from dservercore.blueprint import Blueprint
from dservercore.body_limits import for_datasets, takes_body
from dservercore.errors import ValidationError
from dservercore.schemas import BulkResultSchema, RegisterDatasetSchema
from dservercore.scope import Actor, Scope

LINES = "application/x-ndjson"

#: Datasets of a list, all of which is in memory.
MAX_LISTED = 10_000
#: Lines of a body. Of what comes after them nothing is done, and nothing said: results take more room than short lines.
MAX_LINES = 1_000_000
TOO_MANY_LINES = ValidationError(
    f"A body has at most {MAX_LINES:,} lines: send the rest with another request", status=422
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
        if is_json_request(request):
            with closing(json_lists.spooled(request.environ, request.max_content_length)) as body:
                json_lists.check_list(body, MAX_LISTED)
                given = (Given.of_element(element) for element in json_lists.elements(body, MAX_LISTED))
                return json_answer(list(registering.register(actor, given)))
        if request.mimetype == LINES:
            unread = body_of(request.environ)
            answer = _answer_in_lines(registering.register(actor, _on_lines(unread)))
            discard_rest(unread, current_app.config["MAX_CONTENT_LENGTH"])
            return answer
        abort(415, message=f"The body must be application/json or {LINES}")


def _on_lines(body: io.RawIOBase) -> Iterator[Given]:
    for number, line in lines_of(body, current_app.config["MAX_CONTENT_LENGTH"]):
        if number == MAX_LINES + 1:
            yield Given(error=TOO_MANY_LINES, line=number)
            return
        if line is None or line.strip():
            yield Given.of_line(number, line)


def _answer_in_lines(results: Iterator[dict[str, Any]]) -> Response:
    """Return the answer when the whole body has been read.

    Many clients and proxies send all of a body before they read anything, and would wait for ever for a server that
    waits for them to read.
    """
    spool = SpooledTemporaryFile(_SPOOLED_BYTES)  # noqa: SIM115 closed with the answer
    try:
        for result in results:
            spool.write(as_json(result) + b"\n")
        length = spool.tell()
        spool.seek(0)
    except BaseException:
        spool.close()
        raise
    answer = current_app.response_class(iter(lambda: spool.read(2**16), b""), mimetype=LINES)
    answer.content_length = length
    answer.call_on_close(spool.close)
    return answer
