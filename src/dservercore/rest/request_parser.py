"""Reads request bodies and query strings into what the schemas expect, and stops what no store can hold.

A client can put things into valid JSON that a database refuses: NUL characters and halves of surrogate
pairs in text, integers beyond 64 bits, numbers too large for a double. They are answered here, once, with the
place where they stand, so that no route has to think of them.
"""

from __future__ import annotations

import functools
import json
import math
import re
import threading
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn
from urllib.parse import unquote_to_bytes

import marshmallow as ma
from flask import Request
from webargs.core import missing
from webargs.flaskparser import FlaskParser, abort, is_json_request
from werkzeug.exceptions import BadRequest, HTTPException

from dservercore.rest.body_limits import (
    BodyLimit,
    check_elements,
    check_texts,
    limit_of_request,
    note_reading,
)
from dservercore.rest.media_types import has_json

MAX_REPORTED_PROBLEMS = 20
MAX_REPORTED_LENGTH = 200  # characters of a key that a problem is reported of

_INTEGER_MIN, _INTEGER_MAX = -(2**63), 2**63 - 1
# Up to 18 digits and a sign always fit into 64 bits.
_DIGITS_THAT_FIT = 18
_TEXT_ESCAPE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
_UNFIT_CHARACTER = re.compile("[\0\ud800-\udfff]")
_UNUSUAL_QUERY = re.compile(rb"%00|%[89a-fA-F]|[\x80-\xff]")

BAD_TEXT = "Text must not contain NUL characters or unpaired surrogates."
BAD_NUMBER = "Number out of range: integers have 64 bits, other numbers are IEEE 754 doubles."
BAD_QUERY_TEXT = "Not valid UTF-8, or contains a NUL character."

#: Takes the place of a number that does not fit, until its path is known.
_OUT_OF_RANGE: Any = object()


class RequestParser(FlaskParser):
    """The parser behind ``Blueprint.arguments``.

    JSON: no body counts as ``{}``, and on routes of other packages one that is not declared as JSON does, too; on ours
    that is a 415. 400 for what is not JSON; 422 for text and numbers that cannot be stored, keyed by their path in the
    document. Unknown keys are an error.
    Query string: 422 for parameters that are not UTF-8 or contain NUL. Unknown ones are ignored: where they are an
    error, that has been found before (:mod:`dservercore.rest.query_parameters`).
    """

    def parse(self, argmap: Any, req: Request | None = None, **options: Any) -> Any:
        """Return the arguments that *argmap*, a schema, loads from the request.

        :raises HTTPException: 400 or 422, with the errors under the location and the field
        """
        if isinstance(argmap, type) and issubclass(argmap, ma.Schema):
            argmap = shared_instance(argmap)
        return super().parse(argmap, req, **options)

    def load_json(self, req: Request, schema: ma.Schema) -> Any:
        """Return the JSON body, or ``missing``.

        :raises HTTPException: 415 if there is a body on a route of ours that is not declared as JSON, or is compressed
        """
        is_ours = limit_of_request() is not None
        if not (has_json(req) if is_ours else is_json_request(req)):
            return missing
        body = read_body(req)
        return parse_json_body(body) if body else missing

    def load_querystring(self, req: Request, schema: ma.Schema) -> Any:
        """Return the parameters; those that the schema declares as lists may be repeated."""
        check_query_string(req.query_string)
        return super().load_querystring(req, schema)


@functools.cache
def shared_instance(schema_class: type[ma.Schema]) -> ma.Schema:
    """Return an instance of a schema whose errors say what is expected."""
    # Loading changes nothing in a schema, so one does for all requests; making one copies every field.
    schema = schema_class()
    if (
        schema.error_messages["type"] == ma.Schema().error_messages["type"]
    ):  # which does not say what is right
        schema.error_messages["type"] = "Not a JSON object."
    return schema


def read_body(req: Request) -> bytes:
    """Return the body of a request.

    :raises HTTPException: 400 if it does not arrive as it was announced, 413 if it is too large
    """
    try:
        body = req.get_data(cache=True)
        goes_on = _goes_on(req, len(body))
    except HTTPException:
        raise
    except Exception:  # each server has errors of its own for a body in chunks that are none
        abort(400, messages={"json": ["The body could not be read."]})
    if goes_on:
        abort(413)
    note_reading(req.environ)
    if req.content_length is not None and len(body) < req.content_length:
        abort(400, messages={"json": ["The body is shorter than its Content-Length."]})
    return body


def _goes_on(req: Request, length: int) -> bool:
    # Of a body in chunks, werkzeug reads as much as is allowed, and does not say that there was more.
    most = req.max_content_length
    return (
        req.content_length is None
        and most is not None
        and length >= most
        and bool(req.environ["wsgi.input"].read(1))
    )


def parse_json_body(body: bytes) -> Any:
    """Return the document in the body of the current request.

    :raises HTTPException: 400 if it is not JSON in UTF-8, 422 if it has more elements, or a longer text, than the
        route takes
    :raises marshmallow.ValidationError: if it holds text or numbers that cannot be stored
    """
    document, problems = parse_json(body, limit_of_request())
    if problems:
        raise ma.ValidationError(problems)
    return document


def parse_json(body: bytes, limit: BodyLimit | None = None) -> tuple[Any, dict[Any, Any]]:
    """Return a document, and the errors of text and numbers in it that cannot be stored, in its own shape.

    :param limit: how many elements, and how long a text, it may have; None: any
    :raises HTTPException: 400 if it is not JSON in UTF-8, 422 if it has more than *limit* allows
    """
    try:
        return read_json(body, limit)
    except (ValueError, RecursionError):
        refuse_json()


def read_json(body: bytes, limit: BodyLimit | None = None) -> tuple[Any, dict[Any, Any]]:
    """Return a document, and the errors of text and numbers in it that cannot be stored, in its own shape.

    A byte order mark in front, which some programs of Windows write, is skipped.

    :param limit: how many elements, and how long a text, it may have; None: any
    :raises ValueError, RecursionError: if it is not JSON in UTF-8
    :raises HTTPException: 422 if it has more than *limit* allows
    """
    body = body.removeprefix(BOM_UTF8)
    if limit and limit.text is not None:
        check_texts(body, limit.text)
    text = body.decode("utf-8")
    if limit:
        check_elements(text, limit.most_elements(len(body)))
    decoder = _decoders.own
    document = decoder.decode(text)
    return document, decoder.unfit_values(document, text)


class NotJSON(BadRequest):
    """A body is not JSON in UTF-8."""

    data = {"messages": {"json": ["Invalid JSON body."]}}  # where webargs puts it


def refuse_json() -> NoReturn:
    """Answer that a body is not JSON in UTF-8.

    :raises NotJSON: always
    """
    raise NotJSON


def load_document(schema: ma.Schema, document: Any, problems: dict[Any, Any] | None) -> Any:
    """Return what *schema* loads from a document that is a part of a body.

    :param problems: errors of text and numbers in it that cannot be stored, in its own shape, if there are any
    :raises HTTPException: 422, with the errors that a request with the document as its body would get
    """
    try:
        if problems:
            raise ma.ValidationError(problems)
        return schema.load(document)
    except ma.ValidationError as error:
        abort(422, messages={"json": error.messages})


class DocumentDecoder(json.JSONDecoder):
    """Reads JSON documents, and knows of the last one whether it may hold values that no store can."""

    def __init__(self) -> None:
        self._numbers = _Numbers()
        super().__init__(
            parse_int=self._numbers.integer,
            parse_float=self._numbers.fraction,
            parse_constant=_refuse_constant,
        )

    def raw_decode(self, s: str, idx: int = 0) -> tuple[Any, int]:
        """Return the document that begins at a place of a text, and where it ends.

        :raises ValueError: if there is none
        """
        self._numbers.out_of_range = False
        return super().raw_decode(s, idx)

    def unfit_values(self, document: Any, text: str) -> dict[Any, Any]:
        """Return the errors of the document that was read last, in its own shape.

        :param text: the JSON that it was read from
        """
        is_unusual = self._numbers.out_of_range or _TEXT_ESCAPE.search(text)
        return _unfit_values(document) if is_unusual else {}


class _Numbers:
    """Converts the numbers of one document and remembers whether one did not fit."""

    def __init__(self) -> None:
        self.out_of_range = False

    def integer(self, text: str) -> int:
        if len(text) <= _DIGITS_THAT_FIT:
            return int(text)
        # 20 characters hold every 64-bit integer; longer text may exceed what int() is willing to read.
        if len(text) <= 20 and _INTEGER_MIN <= (number := int(text)) <= _INTEGER_MAX:
            return number
        self.out_of_range = True
        return _OUT_OF_RANGE

    def fraction(self, text: str) -> float:
        number = float(text)
        if math.isinf(number):
            self.out_of_range = True
            return _OUT_OF_RANGE
        return number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


class _Decoders(threading.local):
    """A decoder for each thread, as making one takes longer than reading a line with it."""

    def __init__(self) -> None:
        self.own = DocumentDecoder()


_decoders = _Decoders()


def _unfit_values(document: Any) -> dict[Any, Any]:
    """Return the errors of *document* in its own shape, at most ``MAX_REPORTED_PROBLEMS``."""
    problems: dict[Any, Any] = {}
    number = 0
    # The path to the present value alone: a document has as many paths as elements.
    path: list[Any] = ["_schema"]
    levels = [iter([("_schema", document)])]
    while levels and number < MAX_REPORTED_PROBLEMS:
        member = next(levels[-1], None)
        if member is None:
            levels.pop()
            path.pop()
            continue
        path[-1], value = member
        message = _unfit(value)
        if message:
            _place(problems, path[1:] or path, message)
            number += 1
        elif isinstance(value, (list, dict)):
            levels.append(_members(value))
            path.append(None)
    return problems


def _members(value: list[Any] | dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, list):
        return iter(enumerate(value))
    # A key that is unfit stands for everything below it.
    return (
        (_printable(key), key if _UNFIT_CHARACTER.search(key) else member) for key, member in value.items()
    )


def _unfit(value: Any) -> str | None:
    if value is _OUT_OF_RANGE:
        return BAD_NUMBER
    if isinstance(value, str) and _UNFIT_CHARACTER.search(value):
        return BAD_TEXT
    return None


def _place(problems: dict[Any, Any], path: Sequence[Any], message: str) -> None:
    """Put *message* at *path* of the nested *problems*."""
    *parents, last = path
    for parent in parents:
        problems = problems.setdefault(parent, {})
        if not isinstance(problems, dict):  # two names that look the same when they are printed
            return
    problems[last] = [message]


def _printable(key: str) -> str:
    return _UNFIT_CHARACTER.sub(lambda match: f"\\u{ord(match[0]):04x}", key[:MAX_REPORTED_LENGTH])


def check_query_string(query_string: bytes) -> None:
    """Pass if every parameter is UTF-8 without NUL.

    :raises marshmallow.ValidationError: ``{parameter: [message]}``
    """
    if not _UNUSUAL_QUERY.search(query_string):
        return
    problems = {}
    for parameter in query_string.split(b"&"):
        decoded = unquote_to_bytes(parameter.replace(b"+", b" "))
        try:
            fit = "\0" not in decoded.decode("utf-8")
        except UnicodeDecodeError:
            fit = False
        if not fit:
            name = decoded.partition(b"=")[0].decode("utf-8", "backslashreplace")
            problems[name.replace("\0", "\\x00")] = [BAD_QUERY_TEXT]
    if problems:
        raise ma.ValidationError(problems)
