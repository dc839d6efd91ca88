"""A README that is YAML as keys and values to show, as they are written: no date, number or truth is made of a text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import yaml

from dservercore.dataset.readme_values import LOADER, MAY_BE_YAML

#: Characters of a README that is shown as a tree, levels of it and values in it, at most. What has more is a text.
MOST_CHARACTERS, MOST_LEVELS, MOST_VALUES = 200_000, 25, 5000

#: Characters of all texts together that stand where a README has their names.
MOST_REPEATED = 20_000


@dataclass
class Entries:
    """A mapping: keys and values, in the order in which they are written."""

    entries: list[tuple[str, Tree]] = field(default_factory=list)


@dataclass
class Values:
    """A list."""

    values: list[Tree] = field(default_factory=list)


Tree: TypeAlias = "str | Entries | Values"


def tree_of(readme: str) -> Entries | Values | None:
    """Return what a README says; None if it is no YAML, neither a mapping nor a list, or too large for a tree.

    A value that stands for another one by its name (``*anchor``) is that value where it is a text, up to
    ``MOST_REPEATED`` characters in all, else the name: what refers to itself, or repeats itself many times, is hardly
    larger than it is written.
    """
    if LOADER is None or len(readme) > MOST_CHARACTERS or not MAY_BE_YAML.match(readme):
        return None
    try:
        documents = list(_documents(yaml.parse(readme, Loader=LOADER)))
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    whole = documents[0] if len(documents) == 1 else Values(documents)
    return None if isinstance(whole, str) or not documents else whole


def _documents(events: Iterator[yaml.Event]) -> Iterator[Tree]:
    """Yield the value of each document.

    :raises ValueError: if there are too many levels or values
    """
    texts: dict[str, str] = {}
    open_: list[_Collection] = []
    room = MOST_REPEATED
    for number, event in enumerate(events):
        if number > 2 * MOST_VALUES:
            raise ValueError("too many values")
        if isinstance(event, yaml.CollectionStartEvent):
            if len(open_) == MOST_LEVELS:
                raise ValueError("too many levels")
            open_.append(_Collection(isinstance(event, yaml.MappingStartEvent)))
            continue
        value: Tree
        if isinstance(event, yaml.CollectionEndEvent):
            value = open_.pop().tree
        elif isinstance(event, yaml.ScalarEvent):
            value = _text(event)
            if event.anchor:
                texts[event.anchor] = value
        elif isinstance(event, yaml.AliasEvent):
            value = texts.get(str(event.anchor), "")
            if not value or len(value) > room:
                value = f"*{event.anchor}"
            room -= len(value)
        else:
            continue
        if open_:
            open_[-1].add(value)
        else:
            yield value


def _text(event: yaml.ScalarEvent) -> str:
    text: str = event.value
    if not event.style and text.lower() in ("~", "null"):
        return ""
    # Somebody may have meant a word: "note: !important wash them".
    is_word = event.tag and event.tag.startswith("!") and event.tag != "!"
    return f"{event.tag} {text}" if is_word else text


class _Collection:
    """A mapping or a list whose end has not been read yet."""

    def __init__(self, is_mapping: bool):
        self.tree: Entries | Values = Entries() if is_mapping else Values()
        self._key: str | None = None

    def add(self, value: Tree) -> None:
        """Add a value, or the key of the next one."""
        if isinstance(self.tree, Values):
            self.tree.values.append(value)
        elif self._key is None:
            self._key = value if isinstance(value, str) else "…"
        else:
            self.tree.entries.append((self._key, value))
            self._key = None
