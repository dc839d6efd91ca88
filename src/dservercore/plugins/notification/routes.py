"""The routes below ``/webhook``, to which object stores send what happens in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from flask import Response, request
from flask.views import MethodView
from webargs.flaskparser import abort
from werkzeug.exceptions import HTTPException

from dservercore import db
from dservercore.auth import guards
from dservercore.plugins.notification import access, inbox, messages, sns
from dservercore.rest.blueprint import Blueprint
from dservercore.rest.body_limits import BodyLimit, limit_of_request, takes_body
from dservercore.rest.media_types import JSON, refuse_media_type, require_media_type
from dservercore.rest.request_parser import parse_json, read_body
from dservercore.rest.responses import answers, documented_as, json_answer

blueprint = Blueprint("notification", __name__, url_prefix="/webhook", description="Notifications by storage")
# Also where the method or the rest of the path is wrong, and so no route is found.
blueprint.before_app_request(access.hide_secret)

FORM, TEXT = "application/x-www-form-urlencoded", "text/plain"

#: Bytes of a body: a message of SNS has 2**18, of which a form or a text within JSON may escape each.
MAX_BYTES = 3 * 2**18
#: Members and elements: forty in a record.
MAX_ELEMENTS = 60 * messages.MAX_RECORDS
#: Fields of a form.
MAX_FIELDS = 20


def _limit(_config: Mapping[str, Any]) -> BodyLimit:
    return BodyLimit(MAX_BYTES, MAX_ELEMENTS)


_NAMED = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
_KEYED = {"type": "object", "required": ["key"], "properties": {"key": {"type": "string"}}}
_RECORD = {
    "type": "object",
    "required": ["eventName", "s3"],
    "properties": {
        "eventName": {"type": "string", "example": "ObjectCreated:Put"},
        "s3": {
            "type": "object",
            "required": ["bucket", "object"],
            "properties": {"bucket": _NAMED, "object": _KEYED},
        },
    },
}
_RECORDS = {"type": "array", "maxItems": messages.MAX_RECORDS, "items": _RECORD}
_BODY = {
    JSON: {"schema": {"type": "object", "required": ["Records"], "properties": {"Records": _RECORDS}}},
    FORM: {
        "schema": {
            "type": "object",
            "required": ["Message"],
            "properties": {"Message": {"type": "string"}},
        }
    },
}


def _for_stores(view: Callable[..., Any]) -> Callable[..., Any]:
    """Let everybody come as far as the view, which takes the body of a message; and document that."""
    errors = (400, 403, 413, 415, 422, 503)
    nothing = {"type": "object", "nullable": True, "enum": [None]}
    described = answers(blueprint, 200, nothing, errors=errors, public=True)(view)
    takes = blueprint.doc(requestBody={"required": True, "content": _BODY})
    return guards.open_to_all(takes_body(_limit)(documented_as(takes(described), described)))


@blueprint.route("/notify")
class Notify(MethodView):
    """Where object stores send their events."""

    @_for_stores
    def post(self) -> Response:
        """Take note of events of S3: datasets that come are registered soon, those that go are removed.

        For object stores, not for users: who may is a matter of the configuration, and no token counts. The body is
        JSON as AWS, MinIO and Ceph send it, a signed message of SNS, or the form of StorageGRID. Whether a dataset has
        come or gone is looked up in its storage, whatever the event says.
        """
        return _noted("")


@blueprint.route("/notify/<path:path>")
class NotifyBelow(MethodView):
    """The same, for object stores that add something to the address."""

    @_for_stores
    def post(self, path: str) -> Response:
        """Take note of events of S3, as `/webhook/notify` does. The end of the path may be the secret."""
        return _noted(path)


def _noted(path: str) -> Response:
    is_admitted = access.require_a_chance(path)
    message = _message()
    if sns.is_envelope(message):
        sns.require_signed(message)
        if message["Type"] == sns.SUBSCRIPTION:
            inbox.note_subscription(message["TopicArn"], sns.confirmation_path(message))
        elif message["Type"] == sns.NOTIFICATION:
            _note(_inner(message["Message"]))
    elif is_admitted:
        _note(message)
    else:
        raise access.refusal()
    db.commit()
    return json_answer(None)


def _note(message: Any) -> None:
    if message is not _UNREADABLE:
        inbox.note(messages.events_of(message))


#: In the place of a message that is no JSON, as that by which a store tries whether somebody answers.
_UNREADABLE = object()


def _message() -> Any:
    """Return what the body says.

    :raises HTTPException: 400 if it cannot be read, 413 or 422 if it is too large, 415 if it is none of what is read
    """
    if not request.headers.get("Content-Type", "").strip():
        abort(400, message=f"The header Content-Type is missing; expected {JSON}")
    declared = require_media_type(request, JSON, FORM, TEXT)
    body = read_body(request)
    if declared == FORM:
        return _message_of_form(body)
    if declared == JSON:
        message, problems = parse_json(body, limit_of_request())
        if problems:
            abort(422, messages={"json": problems})
        return message
    # SNS declares its JSON as a text.
    message = _inner(body)
    if not sns.is_envelope(message):
        refuse_media_type(request, JSON, FORM)
    return message


def _message_of_form(body: bytes) -> Any:
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        abort(400, message=f"The body is no form of at most {MAX_FIELDS} fields in UTF-8")
    if "Message" not in fields:
        abort(400, message="Message: the form lacks this field")
    return _inner(fields["Message"][0])


def _inner(text: str | bytes) -> Any:
    """Return the message that is a text within another one.

    :raises HTTPException: 422 if it is too large
    """
    body = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    try:
        message, problems = parse_json(body, limit_of_request())
    except HTTPException as error:
        if error.code == 400:
            return _UNREADABLE
        raise
    return _UNREADABLE if problems else message
