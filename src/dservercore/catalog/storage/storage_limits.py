"""How much is read of what is stored: sizes and numbers of a dataset's files, and what their JSON may hold."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dservercore.catalog.storage import json_budget

MAX_ADMIN_BYTES = 2**20  # of administrative metadata, of which dtool writes some hundred
MAX_FILES = 100_000  # tags or annotations that are listed; more tags if the setting allows them
MAX_FILES_OF_EDITS = (
    10_000  # tags or annotations of a dataset that is edited; more tags if the setting allows them
)
#: Commas and opening brackets in one JSON file: each stands for a value, which takes up to 200 bytes of memory.
#: A manifest of a million items has five million.
MAX_JSON_VALUES = 8_000_000
MAX_JSON_CONTAINERS = (
    2_000_000  # objects and arrays among them, which take most: 240 bytes with a single member
)
#: Levels of objects and arrays inside each other in one JSON file, more than any store takes: later code
#: descends into values recursively, and json itself stops only at Python's own limit.
MAX_JSON_LEVELS = 100


class UnreadableError(ValueError):
    """A file of a dataset must not be, or cannot be, read or written; the message names the file and says why."""


@dataclass(frozen=True)
class Limit:
    """How large a file may be, in bytes, and the setting that says so."""

    size: int
    setting: str = ""

    def error(self, path: str) -> UnreadableError:
        """Return the error for a file at *path* that is larger than the limit."""
        setting = f" ({self.setting})" if self.setting else ""
        return UnreadableError(f"{path} is larger than the {self.size:,} bytes that are read of it{setting}")


@dataclass(frozen=True)
class Limits:
    """How large the files of a dataset may be, and how many there may be of some.

    :param annotation: for one annotation, and for all of a dataset together
    :param tags: most tags
    :param annotations: most annotations
    """

    readme: Limit
    manifest: Limit
    annotation: Limit
    tags: int
    admin: Limit = Limit(MAX_ADMIN_BYTES)
    annotations: int = MAX_FILES

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Limits:
        """Return the limits that follow from the settings."""
        return cls(
            # A character takes up to 4 bytes in UTF-8.
            readme=Limit(4 * config["DSERVER_MAX_README_LENGTH"], "DSERVER_MAX_README_LENGTH"),
            manifest=Limit(config["DSERVER_MAX_MANIFEST_BYTES"], "DSERVER_MAX_MANIFEST_BYTES"),
            # dtool writes JSON with indents and escapes, which takes a multiple of what the setting counts.
            annotation=Limit(8 * config["DSERVER_MAX_ANNOTATIONS_LENGTH"], "DSERVER_MAX_ANNOTATIONS_LENGTH"),
            # More tags than the setting allows can be listed, so that some of them can be removed.
            tags=max(config["DSERVER_MAX_TAGS"], MAX_FILES),
        )

    @classmethod
    def of_edits(cls, config: Mapping[str, Any]) -> Limits:
        """Return the limits for a dataset that an edit is brought to, while a client waits."""
        tags = max(config["DSERVER_MAX_TAGS"], MAX_FILES_OF_EDITS)
        return replace(cls.of(config), tags=tags, annotations=MAX_FILES_OF_EDITS)


def parsed(text: str, path: str) -> Any:
    """Return the value of a JSON text.

    :param path: of the file that it comes from, for messages
    :raises UnreadableError: if it is not JSON, nested too deeply, or has too many values or digits
    :raises InterruptedError: if it waits for memory, and the run that reads it is over
    """
    if len(text) > MAX_JSON_VALUES and sum(map(text.count, ",[{")) > MAX_JSON_VALUES:
        raise UnreadableError(f"{path} has more than {MAX_JSON_VALUES:,} values")
    containers = text.count("[") + text.count("{")
    if containers > MAX_JSON_CONTAINERS:
        raise UnreadableError(f"{path} has more than {MAX_JSON_CONTAINERS:,} objects and arrays")
    json_budget.wait_for(len(text))
    try:
        value = json.loads(text)
    except RecursionError:
        raise UnreadableError(f"{path} is nested too deeply") from None
    except ValueError as error:
        raise UnreadableError(f"{path} is not JSON: {error}") from None
    if containers > MAX_JSON_LEVELS and _levels(value) > MAX_JSON_LEVELS:
        raise UnreadableError(f"{path} is nested too deeply")
    return value


def annotations_within(
    limit: Limit, names: Iterable[str], read: Callable[[str, Limit], str], path_of: Callable[[str], str]
) -> dict[str, Any]:
    """Return annotations by name, whose texts together are no larger than *limit*.

    :param read: given a name and a limit, returns the text of an annotation that is no larger
    :param path_of: given a name, returns where the annotation comes from, for messages
    :raises UnreadableError: if one of them is no JSON, or they are too large
    """
    left, annotations = limit, {}
    for name in names:
        text = read(name, left)
        left = Limit(left.size - len(text), left.setting)
        annotations[name] = parsed(text, path_of(name))
    return annotations


def _levels(value: Any) -> int:
    """Return how many objects and arrays are inside each other; counted level by level, without recursion."""
    levels, level = 0, _nesting([value])
    while level:
        levels += 1
        level = [inner for outer in level for inner in _nesting(outer)]
    return levels


def _nesting(outer: Any) -> list[Any]:
    members = outer.values() if isinstance(outer, dict) else outer
    return [member for member in members if isinstance(member, (dict, list))]
