"""A README that is YAML as JSON: what can be asked for in it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import yaml

from dservercore.dataset.readme_values import LOADER, MAY_BE_YAML

#: Characters of a README that is parsed, levels of it, and values with those that names stand for, at most. What has
#: more is a text.
MOST_CHARACTERS, MOST_LEVELS, MOST_VALUES = 1_000_000, 50, 50_000

_RESOLVER = yaml.resolver.Resolver()
_CONSTRUCTOR = yaml.constructor.SafeConstructor()
_CONSTRUCTED = {
    "tag:yaml.org,2002:null": _CONSTRUCTOR.construct_yaml_null,
    "tag:yaml.org,2002:bool": _CONSTRUCTOR.construct_yaml_bool,
    "tag:yaml.org,2002:int": _CONSTRUCTOR.construct_yaml_int,
    "tag:yaml.org,2002:float": _CONSTRUCTOR.construct_yaml_float,
}
# Of a key that is a list or a mapping; and instead of a value that is not there yet.
_NO_KEY, _NOTHING = "?", object()


def parsed_readme(readme: str) -> Any:
    """Return what a README says, as JSON: an object or a list if it is YAML, otherwise its text.

    Dates, times, and numbers that are not finite, are texts as they are written, and so are keys. A name (``*anchor``)
    is what it stands for, and ``<<`` takes in the entries of another mapping. What repeats itself too often, nests too
    deeply, or is too large, is a text as a whole.
    """
    if LOADER is None or len(readme) > MOST_CHARACTERS or not MAY_BE_YAML.match(readme):
        return readme
    try:
        value = _document(yaml.parse(readme, Loader=LOADER))
    except (yaml.YAMLError, ValueError, RecursionError):
        return readme
    return value if isinstance(value, (dict, list)) else readme


class _Collection:
    """A mapping or a list whose end has not been read yet."""

    def __init__(self, event: yaml.CollectionStartEvent) -> None:
        self.anchor = event.anchor
        self._is_mapping = isinstance(event, yaml.MappingStartEvent)
        self._values: list[Any] = []
        self._entries: dict[str, Any] = {}
        self._merged: dict[str, Any] = {}
        self._key: Any = _NOTHING
        self.size = 1

    def add(self, value: Any, size: int, as_key: str) -> None:
        """Add a value, or the key of the next one."""
        self.size += size
        if not self._is_mapping:
            self._values.append(value)
        elif self._key is _NOTHING:
            self._key = as_key
        else:
            self._enter(self._key, value)
            self._key = _NOTHING

    def _enter(self, key: str, value: Any) -> None:
        mappings = value if isinstance(value, list) else [value]
        if key == "<<" and all(isinstance(mapping, dict) for mapping in mappings):
            for mapping in reversed(mappings):
                self._merged.update(mapping)
        else:
            self._entries[key] = value

    @property
    def value(self) -> Any:
        return {**self._merged, **self._entries} if self._is_mapping else self._values


def _document(events: Iterator[yaml.Event]) -> Any:
    """Return the value of the one document.

    :raises ValueError: if there are several, too many levels or values, or a name that stands for nothing
    """
    named: dict[str, tuple[Any, int]] = {}
    open_: list[_Collection] = []
    whole: Any = _NOTHING
    total = 0
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            if len(open_) == MOST_LEVELS:
                raise ValueError("too many levels")
            open_.append(_Collection(event))
            continue
        as_key = _NO_KEY
        if isinstance(event, yaml.CollectionEndEvent):
            collection = open_.pop()
            value, size, anchor = collection.value, collection.size, collection.anchor
            total += 1
        elif isinstance(event, yaml.ScalarEvent):
            value, size, anchor = scalar(event), 1, event.anchor
            as_key = event.value
            total += 1
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in named:
                raise ValueError("a name that stands for nothing, or for what it is in")
            (value, size), anchor = named[event.anchor], None
            as_key = value if isinstance(value, str) else _NO_KEY
            total += size
        else:
            continue
        if total > MOST_VALUES:
            raise ValueError("too many values")
        if anchor:
            named[anchor] = value, size
        if open_:
            open_[-1].add(value, size, as_key)
        elif whole is not _NOTHING:
            raise ValueError("several documents")
        else:
            whole = value
    return whole


def scalar(event: yaml.ScalarEvent) -> Any:
    """Return a value that is neither a mapping nor a list, as JSON."""
    text: str = event.value
    tag = event.tag
    if tag is None or tag == "!":
        if event.style:
            return text
        tag = _RESOLVER.resolve(yaml.ScalarNode, text, (True, False))
    construct = _CONSTRUCTED.get(tag)
    if construct is None or ":" in text:  # 12:30 is a time, and not 750
        return text
    try:
        value = construct(yaml.ScalarNode(tag, text))
    except (KeyError, ValueError):
        return text
    return text if isinstance(value, float) and not math.isfinite(value) else value
