"""The text of a dataset's files, whatever encoding somebody's editor has saved it in."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from dservercore.catalog.storage.storage_limits import UnreadableError

#: Called with a line on something that is odd about a dataset, and no reason not to register it.
Warn = Callable[[str], None]

# The longer marks first: that of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32-be", "UTF-32"),
    (codecs.BOM_UTF8, "utf-8", "UTF-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "UTF-16"),
)
_MANY_ZEROS = 0.3  # of every second byte: text in a Latin script, in UTF-16
_FEW_ZEROS = 0.05
_LEAST_ZEROS = 3  # else a text that ends in a zero would be taken for UTF-16


def decoded(content: bytes, path: str, warn: Warn) -> str:
    """Return the text of a file; what is not UTF-8 is decoded as what it looks like.

    :param path: of the file, for the warning
    """
    for mark, encoding, name in _MARKS:
        if content.startswith(mark):
            warn(f"{path} begins with a byte order mark: it is read as {name}, without the mark")
            return content[len(mark) :].decode(encoding, "replace")
    unmarked = _without_mark(content)
    if unmarked:
        warn(f"{path} is not UTF-8: it is read as UTF-16")
        return content.decode(unmarked, "replace")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        warn(f"{path}, line {line}, is not UTF-8: it is read as Latin-1")
    try:
        return content.decode("cp1252")  # what Windows calls by that name: with quotation marks and the euro
    except UnicodeDecodeError:
        return content.decode("latin-1")


def decoded_readme(content: bytes, path: str, warn: Warn) -> str:
    """Return the text of a README, without NUL characters, which not every store can hold.

    :param path: of the file, for the warning
    """
    text = decoded(content, path, warn)
    if "\0" in text:
        warn(f"{path} has NUL characters, which are left out")
        text = text.replace("\0", "")
    return text


def _without_mark(content: bytes) -> str | None:
    """Return the encoding of text in UTF-16 that has no byte order mark; None: it is not in UTF-16."""
    if len(content) % 2 or content.count(0) < _LEAST_ZEROS:
        return None
    first, second = (content[start::2].count(0) * 2 / len(content) for start in (0, 1))
    if second > _MANY_ZEROS and first < _FEW_ZEROS:
        return "utf-16-le"
    return "utf-16-be" if first > _MANY_ZEROS and second < _FEW_ZEROS else None


@contextmanager
def naming(file: str) -> Iterator[None]:
    """Turn an error about the content of a file, raised in the block, into one that names the file.

    :raises UnreadableError: for whatever parsing raises
    """
    try:
        yield
    except UnreadableError:
        raise  # it names the file already
    except RecursionError:
        raise UnreadableError(f"{file} is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise UnreadableError(f"{file} is not JSON: {error}") from None
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _odd(file, f"{type(error).__name__}: {error}") from None


def admin_metadata_of(value: Any, path: str) -> dict[str, Any]:
    """Return *value*, if it is administrative metadata: an object with a ``type`` and a ``name``.

    :param path: of its file, for messages
    :raises UnreadableError: if it is not
    """
    if not isinstance(value, dict):
        raise _odd(path, "it is no object")
    for key in ("type", "name"):  # all else is looked at when it is registered
        if key not in value:
            raise _odd(path, f"it has no {key}")
    return value


def manifest_of(value: Any, path: str) -> dict[str, Any]:
    """Return *value*, if it is a manifest: an object with ``items``, each of which has a ``size_in_bytes``.

    :param path: of its file, for messages
    :raises UnreadableError: if it is not
    """
    if not isinstance(value, dict) or not isinstance(value.get("items"), dict):
        raise _odd(path, "it has no object called items")
    for identifier, item in value["items"].items():
        size = item.get("size_in_bytes") if isinstance(item, Mapping) else None
        if not isinstance(size, (int, float)):
            raise _odd(path, f"its item {identifier[:80]} has no number called size_in_bytes")
    return value


def _odd(path: str, reason: str) -> UnreadableError:
    return UnreadableError(f"{path} is not as dtool writes it: {reason}")
