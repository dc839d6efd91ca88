"""How large the body of a request may be, and of how many elements, on the route that it is for.

A route whose view says nothing takes a small body. Whatever is more is refused by its length before it is read, and by
the number of its elements before anything is made of them: an object of Python takes fifty times the room of the two
characters that ask for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, NoReturn, TypeVar, cast

from flask import current_app, has_request_context, request
from webargs.flaskparser import abort

from dservercore.dataset.values import MAX_ANNOTATION_ELEMENTS

View = TypeVar("View", bound=Callable[..., Any])

#: Bytes, and elements, that hold whatever is said of a user, a tag or a permission.
SMALL_BYTES, SMALL_ELEMENTS = 2**16, 5000

#: Bytes that a character takes in JSON at most: two escapes, where it is beyond the first 65,536.
_BYTES_PER_CHARACTER = 12
_BYTES_PER_ANNOTATION_BYTE = 6

#: Values of all filters of a search together, and characters of each: the longest URI.
MAX_FILTER_VALUES, MAX_FILTER_VALUE_LENGTH = 10_000, 1024

# A file of a manifest has six elements, and more than 150 bytes where identifiers and hashes are those of dtool.
_BYTES_PER_ELEMENT = 24

_ENVIRON, _IS_READ = "dservercore.body_limit", "dservercore.body_is_read"
_LIMIT, _STREAMED = "_dservercore_body_limit", "_dservercore_streams_body"

#: Where the server puts, into the WSGI environment, the error of a body that did not come as it was announced.
REFUSED = "dservercore.refused"


@dataclass(frozen=True)
class BodyLimit:
    """What the body of a request to a route may have at most.

    :param length: bytes
    :param elements: members of objects and elements of lists, however deep
    :param setting: name of the setting that decides how much it is; None: no setting does
    :param bytes_per_element: for each so many bytes of the body, one more element than *elements*; None: no more
    :param text: bytes of a single text; None: as many as the body
    """

    length: int
    elements: int
    setting: str | None = None
    bytes_per_element: int | None = None
    text: int | None = None

    def most_elements(self, length: int) -> int:
        """Return how many elements a body with so many bytes may have."""
        return self.elements + (length // self.bytes_per_element if self.bytes_per_element else 0)


_SMALL = BodyLimit(SMALL_BYTES, SMALL_ELEMENTS)


def for_readme(config: Mapping[str, Any]) -> BodyLimit:
    """Return the limit of a body that holds a README."""
    setting = "DSERVER_MAX_README_LENGTH"
    return BodyLimit(SMALL_BYTES + _BYTES_PER_CHARACTER * config[setting], SMALL_ELEMENTS, setting)


def for_annotations(config: Mapping[str, Any]) -> BodyLimit:
    """Return the limit of a body that holds annotations."""
    setting = "DSERVER_MAX_ANNOTATIONS_LENGTH"
    length = SMALL_BYTES + _BYTES_PER_ANNOTATION_BYTE * config[setting]
    return BodyLimit(length, SMALL_ELEMENTS + MAX_ANNOTATION_ELEMENTS, setting)


def for_tags(config: Mapping[str, Any]) -> BodyLimit:
    """Return the limit of a body that holds tags, each of which may be there twice."""
    setting = "DSERVER_MAX_TAGS"
    return BodyLimit(SMALL_BYTES + 200 * config[setting], SMALL_ELEMENTS + 2 * config[setting], setting)


def for_users(_config: Mapping[str, Any]) -> BodyLimit:
    """Return the limit of a body that holds the names of all who may do something in a base URI."""
    return BodyLimit(2**20, 25_000)


def for_search(_config: Mapping[str, Any]) -> BodyLimit:
    """Return the limit of a body that holds filters."""
    return BodyLimit(2 * 2**20, MAX_FILTER_VALUES + 100)


def for_datasets(config: Mapping[str, Any]) -> BodyLimit:
    """Return the limit of a body that holds datasets."""
    described = MAX_ANNOTATION_ELEMENTS + 2 * int(config["DSERVER_MAX_TAGS"])
    text = max(for_readme(config).length, for_annotations(config).length)
    return BodyLimit(config["MAX_CONTENT_LENGTH"], described, "MAX_CONTENT_LENGTH", _BYTES_PER_ELEMENT, text)


def takes_body(limit: Callable[[Mapping[str, Any]], BodyLimit]) -> Callable[[View], View]:
    """Return a decorator for a view that takes more than a small body; it goes below the guard.

    :param limit: given the configuration of the application, returns the limit
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def limited(*args: Any, **kwargs: Any) -> Any:
            _limit_request(limit(current_app.config))
            return view(*args, **kwargs)

        vars(limited)[_LIMIT] = limit  # decorators above this one take it over
        return cast(View, limited)

    return decorate


def streams_body(view: View) -> View:
    """Let a view read a file that is the body of a request while it comes; the decorator goes below the guard.

    It may be of any size, and so nothing of it is read before the view has called :func:`allow_body`.
    """

    @wraps(view)
    def streaming(*args: Any, **kwargs: Any) -> Any:
        allow_body(0)
        return view(*args, **kwargs)

    vars(streaming)[_STREAMED] = True  # decorators above this one take it over
    return cast(View, streaming)


def allow_body(length: int) -> None:
    """Let a view that streams the body of the current request read so many bytes of it."""
    request.environ[_ENVIRON] = BodyLimit(length, 0)
    request.max_content_length = length


def is_streamed(app: Any, endpoint: str, method: str) -> bool:
    """Return whether a route reads the bodies of its requests while they come.

    :param app: the Flask application
    """
    return bool(getattr(_view_of(app, endpoint, method), _STREAMED, False))


def _view_of(app: Any, endpoint: str, method: str) -> Any:
    view = app.view_functions.get(endpoint)
    return getattr(getattr(view, "view_class", None), method.lower(), view)


def limit_of_route(app: Any, endpoint: str, method: str) -> int | None:
    """Return how many bytes the body of a request to a route may have, as far as that is known without a request.

    :param app: the Flask application
    :returns: None if there is no limit; for a route of another package ``MAX_CONTENT_LENGTH``
    """
    most: int | None = app.config["MAX_CONTENT_LENGTH"]
    limit = getattr(_view_of(app, endpoint, method), _LIMIT, None)
    if limit is not None:
        length = limit(app.config).length
    elif endpoint.partition(".")[0] in app.repeatable:
        length = SMALL_BYTES
    else:
        return most
    return length if most is None else min(length, most)


def take_small_body() -> None:
    """Limit the body of the current request to what a route takes whose view says nothing of it."""
    _limit_request(_SMALL)


def _limit_request(limit: BodyLimit) -> None:
    most = current_app.config["MAX_CONTENT_LENGTH"]
    if most is not None and most <= limit.length:
        limit = replace(limit, length=most, setting="MAX_CONTENT_LENGTH")
    request.environ[_ENVIRON] = limit
    request.max_content_length = limit.length


def limit_of_request() -> BodyLimit | None:
    """Return the limit of the current request; None on a route of another package, which sets its own."""
    return request.environ.get(_ENVIRON) if has_request_context() else None


def is_unread(environ: Mapping[str, Any]) -> bool:
    """Return whether a request is to a route of ours, and nobody has begun to read its body."""
    return _ENVIRON in environ and _IS_READ not in environ


def note_reading(environ: dict[str, Any]) -> None:
    """Take note that the body of a request is read."""
    environ[_IS_READ] = True


def too_large() -> str | None:
    """Return the message for a body of the current request that is larger than its limit; None if it has none."""
    most = request.max_content_length
    if most is None:
        return None
    limit = limit_of_request()
    who, setting = ("server", "MAX_CONTENT_LENGTH") if limit is None else ("route", limit.setting)
    if setting == "MAX_CONTENT_LENGTH":
        who = "server"
    return f"The body is larger than {most:,} bytes, the most that this {who} takes" + (
        f" ({setting})" if setting else ""
    )


# -- Texts -----------------------------------------------------------------------------------------------------------

_NAME_BEFORE_TEXT = re.compile(rb'"([^"\\]{1,100})"\s*:\s*"?\Z')


def check_texts(body: bytes, most: int) -> None:
    """Pass if no text in a JSON document has more than *most* bytes. Call this before the document is decoded.

    One character beyond the first 65,536 makes four bytes of each character of a text, and of its copies.

    :raises HTTPException: 422 naming a text that has more; also if more is between two texts
    """
    if len(body) <= most:
        return
    start = 0  # where there is a quote, or the document begins
    find_end = _last_quote if b'\\"' not in body else _last_quote_but_escaped
    while len(body) - start > most:
        end = find_end(body, start, most)
        if end is None:
            refuse_text(body[max(0, start - 200) : start + 1], most)
        start = end


def refuse_text(before: bytes, most: int) -> NoReturn:
    """Answer that a text in a JSON document is too long.

    :param before: the part of the document before the text, in which its name stands
    :param most: bytes that it may have
    :raises HTTPException: 422, always
    """
    name = _NAME_BEFORE_TEXT.search(before)
    what = f'The text "{name[1].decode(errors="replace")}"' if name else "A text, or what is between two,"
    message = f"{what} is longer than {most:,} bytes of JSON, the most that any may have."
    abort(422, messages={"json": {"_schema": [message]}})


def _last_quote(body: bytes, start: int, most: int) -> int | None:
    end = body.rfind(b'"', start + 1, start + most + 2)
    return None if end < 0 else end


def _last_quote_but_escaped(body: bytes, start: int, most: int) -> int | None:
    """Return the place of the last unescaped quote in the *most* + 1 bytes after *start*; None if there is none."""
    at, stop = start + 1, min(len(body), start + most + 2)
    last = None
    while at < stop:
        end = min(at + _SLICE, stop)
        escapes = end - at - len(body[at:end].rstrip(b"\\"))
        end += escapes % 2  # what is escaped belongs to the same slice
        quote = body[at:end].replace(b"\\\\", b"__").replace(b'\\"', b"__").rfind(b'"')
        last = last if quote < 0 else at + quote
        at = end
    return last


# -- Elements --------------------------------------------------------------------------------------------------------

_STRUCTURE = ("[", "{", ",")
_SLICE = 2**18  # characters that are looked at together, of which each may be a quote


def check_elements(text: str, most: int) -> None:
    """Pass if a JSON document has no more members and elements than *most*. Call this before it is decoded.

    :raises HTTPException: 422 if it has more
    """
    # What stands in texts is counted, too, where that is few enough; looking for where texts end takes longer.
    if sum(map(text.count, _STRUCTURE)) <= most:
        return
    number, start, in_text = 0, 0, False
    while start < len(text):
        end = start + _SLICE
        escapes = len(text[start:end]) - len(text[start:end].rstrip("\\"))
        end += escapes % 2  # what is escaped belongs to the same slice
        parts = text[start:end].replace("\\\\", "").replace('\\"', "").split('"')
        number += sum(part.count(character) for part in parts[in_text::2] for character in _STRUCTURE)
        if number > most:
            abort(422, messages={"json": {"_schema": [f"Must have at most {most:,} members and elements."]}})
        in_text ^= len(parts) % 2 == 0
        start = end
