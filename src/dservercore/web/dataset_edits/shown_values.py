"""A value of JSON as a tree to be read by people, no larger than a page can bear."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: Nodes of all annotations of a page together; levels; characters of a text.
MOST_NODES, MOST_LEVELS, MOST_CHARACTERS = 500, 8, 2000

#: Characters of a list that stands in one line.
MOST_IN_LINE = 70

#: Annotations of a dataset's page.
MOST_ANNOTATIONS = 200

_LINK = re.compile(r"https?://[^\s<>\"]{1,500}")


@dataclass
class Shown:
    """A value, or a part of one.

    :param kind: ``text``, ``number``, ``word`` (true, false, null), ``list`` or ``object``
    :param text: of what has no parts; of an empty list or object, and of one that is too deep, its JSON
    :param is_cut: whether there is more of the text
    :param is_ambiguous: whether a text reads as if it were a number or a word
    :param link: where a text leads that is an address
    :param parts: of a list or an object: name, None in a list, and value
    :param more: how many parts there are beside
    :param is_line: whether the parts of a list are short enough to stand in one line
    """

    kind: str
    text: str = ""
    is_cut: bool = False
    is_ambiguous: bool = False
    link: str | None = None
    parts: list[tuple[str | None, Shown]] = field(default_factory=list)
    more: int = 0
    is_line: bool = False


class _Room:
    def __init__(self, nodes: int):
        self.nodes = nodes


def shown_annotations(
    annotations: Mapping[str, Any], most: int = MOST_ANNOTATIONS, nodes: int = MOST_NODES
) -> list[tuple[str, Shown]]:
    """Return names and values of annotations, by their names.

    :param most: annotations
    :param nodes: of them together; each has one at least
    """
    room = _Room(nodes)
    return [(name, _shown(annotations[name], room, 0)) for name in sorted(annotations)[:most]]


def _shown(value: Any, room: _Room, level: int) -> Shown:
    room.nodes -= 1
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool):
        return Shown("word", json.dumps(value))
    if isinstance(value, (int, float)):
        return Shown("number", json.dumps(value))
    kind = "object" if isinstance(value, Mapping) else "list"
    if not value or level >= MOST_LEVELS:
        text = json.dumps(value, ensure_ascii=False)
        return Shown(kind, text[:MOST_CHARACTERS], len(text) > MOST_CHARACTERS)
    members: Iterable[tuple[str | None, Any]] = (
        value.items() if isinstance(value, Mapping) else ((None, member) for member in value)
    )
    shown = Shown(kind)
    for name, member in members:
        if room.nodes <= 0:
            break
        shown.parts.append((name and name[:MOST_CHARACTERS], _shown(member, room, level + 1)))
    shown.more = len(value) - len(shown.parts)
    shown.is_line = kind == "list" and not shown.more and _is_line([part for _, part in shown.parts])
    return shown


def _is_line(parts: list[Shown]) -> bool:
    texts = [part.text for part in parts]
    return (
        all(
            part.kind in ("text", "number", "word") and part.text and not part.is_ambiguous and not part.link
            for part in parts
        )
        and sum(len(text) + 2 for text in texts) <= MOST_IN_LINE
        and not any("," in text or "\n" in text for text in texts)
    )


def _text(value: str) -> Shown:
    return Shown(
        "text",
        value[:MOST_CHARACTERS],
        len(value) > MOST_CHARACTERS,
        is_ambiguous=_is_ambiguous(value),
        link=value if _LINK.fullmatch(value) else None,
    )


def _is_ambiguous(value: str) -> bool:
    if not value.strip() or len(value) > 100:
        return len(value) <= 100
    try:
        return not isinstance(json.loads(value), str)
    except (ValueError, RecursionError):
        return False
