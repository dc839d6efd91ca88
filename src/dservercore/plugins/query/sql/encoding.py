r"""Documents as the JSON that SQLite and PostgreSQL compare as MongoDB does.

* The order of an object's keys counts in MongoDB, and is lost in PostgreSQL. Where it is not the one that PostgreSQL
  gives them, it is kept under the key ``%o``.
* A key has no sign that means something in a path of SQLite: such a sign is ``%`` and its number.
* PostgreSQL has no NUL in a text: NUL is ``\x01\x01``, and ``\x01`` is ``\x01\x02``, which keeps the order of texts.
* A floating-point number that is whole is written with all its digits and ``.0``, which tells it from an integer.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

import orjson

#: The key under which an object has the order of its others: the place of each in their order by length.
ORDER = "%o"
_EMPTY_KEY = "%e"
_SIGNS = re.compile(r'["\\.\[\]$%*#:?@(){}\x00-\x1f\x7f]')
_ENCODED_SIGN = re.compile("%([0-9A-F]{2})")


def encode(value: Any) -> str:
    """Return a value of a document (as ``documents.plain`` makes it) as JSON text."""
    return orjson.dumps(_encoded(value)).decode()


def encode_text(text: str) -> str:
    """Return a text as it is in encoded JSON."""
    if "\x00" not in text and "\x01" not in text:
        return text
    return text.replace("\x01", "\x01\x02").replace("\x00", "\x01\x01")


def decode_text(text: str) -> str:
    """Return the text that :func:`encode_text` has encoded."""
    if "\x01" not in text:
        return text
    return re.sub("\x01(.)", lambda pair: "\x00" if pair[1] == "\x01" else "\x01", text, flags=re.DOTALL)


@functools.lru_cache(maxsize=10_000)
def encode_key(key: str) -> str:
    """Return a key as it is in encoded JSON."""
    if not key:
        return _EMPTY_KEY
    return _SIGNS.sub(lambda sign: f"%{ord(sign[0]):02X}", key)


@functools.lru_cache(maxsize=10_000)
def _decode_key(key: str) -> str:
    if key == _EMPTY_KEY:
        return ""
    return _ENCODED_SIGN.sub(lambda sign: chr(int(sign[1], 16)), key) if "%" in key else key


def number_text(number: float) -> str:
    """Return a number as it is in encoded JSON."""
    if isinstance(number, int):
        return str(number)
    return f"{int(number)}.0" if number.is_integer() else repr(number)


def _encoded(value: Any) -> Any:
    if isinstance(value, str):
        return encode_text(value)
    if isinstance(value, float):
        return orjson.Fragment(number_text(value).encode()) if value.is_integer() else value
    if isinstance(value, Mapping):
        entries = {encode_key(key): _encoded(inner) for key, inner in value.items()}
        order = _order(tuple(entries))
        if order:
            entries[ORDER] = order
        return entries
    if isinstance(value, list):
        return [_encoded(inner) for inner in value]
    return value


@functools.lru_cache(maxsize=1000)
def _order(keys: tuple[str, ...]) -> str:
    by_length = _by_length(keys)
    if by_length == list(keys):
        return ""
    places = {key: place for place, key in enumerate(by_length)}
    return ",".join(str(places[key]) for key in keys)


def _by_length(keys: tuple[str, ...] | list[str]) -> list[str]:
    return sorted(keys, key=lambda key: (len(key.encode()), key.encode()))


def decode(text: str | bytes) -> Any:
    """Return the value that :func:`encode` has made *text* of."""
    return _decoded(orjson.loads(text))


def _decoded(value: Any) -> Any:
    if isinstance(value, str):
        return decode_text(value)
    if isinstance(value, list):
        return [_decoded(inner) for inner in value]
    if isinstance(value, dict):
        order = value.pop(ORDER, "")
        keys = list(value)
        if order:
            by_length = _by_length(keys)
            keys = [by_length[int(place)] for place in order.split(",")]
        else:
            keys = _by_length(keys)
        return {_decode_key(key): _decoded(value[key]) for key in keys}
    return value
