"""Which values the stores can hold, and which of them say nothing."""

from __future__ import annotations

from typing import Any

# MongoDB refuses documents with more than 100 levels, and there are a few above an annotation's value.
MAX_JSON_DEPTH = 64
INTEGER_MAX = 2**63 - 1
#: Members and elements in all annotations of a dataset together.
MAX_ANNOTATION_ELEMENTS = 100_000


def is_blank(text: str) -> bool:
    """Return whether *text* has no character that anybody sees: it is empty, or all of it spaces and the like."""
    return all(character == " " or not character.isprintable() for character in text)


def deeper_than(value: Any, levels: int) -> bool:
    """Return whether *value* has objects or arrays inside each other on more than *levels* levels."""
    if not isinstance(value, (dict, list)):
        return False
    members = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(deeper_than(member, levels - 1) for member in members)


def number_of_elements(value: Any) -> int:
    """Return how many members of objects and elements of arrays are in *value*, on all levels."""
    number, waiting = 0, [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, (dict, list)):
            number += len(value)
            members = value.values() if isinstance(value, dict) else value
            waiting += [member for member in members if isinstance(member, (dict, list))]
    return number
