"""What is asked for of an annotation by its name and its value, alike in the query language and in JSON."""

from __future__ import annotations

import json

from dservercore.dataset.analysis import normalized
from dservercore.dataset.query_tree import Annotated, Bounds, Exactly, Node

#: Characters of a text that is asked for.
MAX_TEXT_LENGTH = 1024


def folded_name(name: str) -> str:
    """Return the name of an annotation as it is compared: in whatever case."""
    return normalized(name).casefold()


def annotation_value(name: str, *value: str | bool) -> str:
    """Return the text that stands for an annotation of this name; with a value, for one that has just this.

    :param name: of the annotation, those of nested ones joined by dots, in whatever case
    :param value: nothing, a text or a truth value
    """
    return json.dumps([folded_name(name), *value], ensure_ascii=False)


def has_value(name: str, value: str | bool | float) -> Node:
    """Return the condition that an annotation has a value, or, if it is a list, that this is one of its elements.

    Numbers are compared as numbers, texts letter by letter.
    """
    if isinstance(value, str):
        return Exactly("value", annotation_value(name, value[: MAX_TEXT_LENGTH + 1]))
    if isinstance(value, bool):
        return Exactly("value", annotation_value(name, value))
    return Annotated(folded_name(name), Bounds(value, value))
