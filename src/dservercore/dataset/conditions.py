"""The conditions of a search as JSON, for programs: ``{"size": {"gt": 1000000000}, "any": [{"tag": "rice"}, ...]}``.

They become the same tree as what people type, in which they are meant as they are: nothing in them is corrected, none
of them may be left out, and none makes a dataset more relevant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, Literal
from uuid import UUID

from dservercore.dataset import query_bounds
from dservercore.dataset.analysis import fold
from dservercore.dataset.annotation_nodes import MAX_TEXT_LENGTH, annotation_value, folded_name, has_value
from dservercore.dataset.query_bounds import Stretch
from dservercore.dataset.query_tree import (
    All,
    Annotated,
    AnyOf,
    Bounds,
    Column,
    Exactly,
    InBaseURI,
    Node,
    Not,
    Text,
    Within,
    all_of,
    any_of,
)
from dservercore.dataset.text_query import (
    MAX_QUERY_PREFIXES,
    MAX_QUERY_WORDS,
    MISSING,
    phrase_of,
)
from dservercore.dataset.times import datetime_to_timestamp, parse_moment
from dservercore.errors import InvalidValueError

#: So many conditions a search may have, and so deep ``any``, ``all`` and ``not`` may be nested.
MAX_CONDITIONS, MAX_DEPTH = 200, 10

#: What is compared with a bound, and how.
OPERATORS = ("gt", "gte", "lt", "lte")

_TEXTS: dict[str, Column | None] = {
    "text": None,
    "name": "name",
    "readme": "readme",
    "tag": "tags",
    "annotation": "annotations",
    "file": "files",
    "uri": "about",
}
_RANGES: dict[str, Any] = {
    "size": "size_in_bytes",
    "items": "number_of_items",
    "created": "created_at",
    "frozen": "frozen_at",
    "uploaded": "uploaded_at",
}
_LISTS: dict[str, Literal["creator", "uuid", "tag", "uploader"]] = {
    "creator_usernames": "creator",
    "uuids": "uuid",
    "tags": "tag",
    "uploaded_by": "uploader",
}

#: The keys of a query that are conditions.
CONDITIONS = frozenset({*_TEXTS, *_RANGES, "base", "annotations", "missing", "any", "all", "not"})


class ConditionError(ValueError):
    """A condition makes no sense.

    :ivar path: keys and positions that lead to it
    """

    def __init__(self, message: str, path: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.path = path

    @property
    def errors(self) -> dict[Any, Any]:
        """The message by where it belongs: ``{"any": {0: {"size": ["Not a number."]}}}``."""
        found: Any = [str(self)]
        for step in reversed(self.path):
            found = {step: found}
        return dict(found)


def nodes_of(query: Mapping[str, Any]) -> tuple[Node, ...]:
    """Return the conditions of a query, all of which a dataset must fulfil; its other keys are ignored.

    :param query: a JSON object
    :raises ValidationError: 422 naming the condition that makes no sense, or is one too many
    """
    try:
        return _Conditions().of({key: query[key] for key in query if key in CONDITIONS})
    except ConditionError as error:
        path = ".".join(map(str, error.path))
        raise InvalidValueError(f"{path}: {error}", error.errors) from None


def check(query: Mapping[str, Any]) -> None:
    """Pass if the conditions of a query make sense; its other keys are ignored.

    :param query: a JSON object
    :raises ConditionError: if they do not, or are too many
    """
    _Conditions().of({key: query[key] for key in query if key in CONDITIONS})


@contextmanager
def _at(step: str | int) -> Iterator[None]:
    """Say of errors in a ``with`` block where they are."""
    try:
        yield
    except ConditionError as error:
        raise ConditionError(str(error), (step, *error.path)) from None


class _Conditions:
    """Makes nodes of conditions, and counts what they cost."""

    def __init__(self) -> None:
        self._number = self._words = self._prefixes = 0

    def of(self, conditions: Any, depth: int = 0) -> tuple[Node, ...]:
        """Return the nodes of a JSON object, all of which must hold."""
        if not isinstance(conditions, Mapping):
            raise ConditionError("Not an object with conditions.")
        if depth > MAX_DEPTH:
            raise ConditionError(f"Nested more than {MAX_DEPTH} levels deep.")
        nodes: list[Node] = []
        for key, value in conditions.items():
            with _at(key):
                nodes += self._of_key(key, value, depth)
        return tuple(nodes)

    def _of_key(self, key: str, value: Any, depth: int) -> Iterator[Node]:
        if key in ("any", "all"):
            if not isinstance(value, list) or not value:
                raise ConditionError("Not a list of one object or more, each with conditions.")
            groups = []
            for place, each in enumerate(value):
                with _at(place):
                    groups.append(self._group(each, depth))
            yield AnyOf(tuple(groups)) if key == "any" else All(tuple(groups))
        elif key == "not":
            yield Not(self._group(value, depth))
        elif key in _LISTS:
            nodes: list[Node] = [Exactly(_LISTS[key], _exact(key, each)) for each in self._list(value)]
            if nodes:
                yield all_of(nodes) if key == "tags" else any_of(nodes)
        elif key == "missing":
            for each in self._list(value):
                if each not in MISSING:
                    raise ConditionError(f"Not one of {', '.join(MISSING)}.")
                yield Exactly("missing", each)
        elif key == "annotations":
            yield from self._annotations(value)
        else:
            self._count()
            yield self._single(key, value)

    def _group(self, conditions: Any, depth: int) -> Node:
        nodes = self.of(conditions, depth + 1)
        if not nodes:
            raise ConditionError("There must be at least one condition.")
        return all_of(nodes)

    def _single(self, key: str, value: Any) -> Node:
        if key in _TEXTS:
            return self._text(_TEXTS[key], _text(value))
        if key == "base":
            return InBaseURI(_text(value).lower())
        if key in _RANGES:
            return Within(_RANGES[key], _bounds(value, _READ.get(key, _moment)))
        raise ConditionError("Unknown field.")

    def _text(self, column: Column | None, text: str) -> Node:
        self._words += len(fold(text))
        self._prefixes += text.endswith("*")
        if self._words > MAX_QUERY_WORDS:
            raise ConditionError(f"With this, there are more than {MAX_QUERY_WORDS} words in all conditions.")
        if self._prefixes > MAX_QUERY_PREFIXES:
            raise ConditionError(f"With this, more than {MAX_QUERY_PREFIXES} texts end in '*'.")
        node = phrase_of(text, column)
        if node is None:
            raise ConditionError("Has no letter and no digit.")
        return _unranked(node)

    def _annotations(self, value: Any) -> Iterator[Node]:
        if not isinstance(value, Mapping):
            raise ConditionError("Not an object with conditions by the names of annotations.")
        for name, condition in value.items():
            with _at(name):
                self._count()
                yield from self._annotation(_text(name), condition)

    def _annotation(self, name: str, condition: Any) -> Iterator[Node]:
        if isinstance(condition, Mapping):
            bounds = {key: condition[key] for key in condition if key != "exists"}
            if "exists" in condition:
                with _at("exists"):
                    yield _if(condition["exists"], Exactly("value", annotation_value(name)))
            if bounds or not condition:
                yield Annotated(folded_name(name), _bounds(bounds, _number, "exists"))
            return
        values = self._list(condition) if isinstance(condition, list) else [condition]
        if not values:
            raise ConditionError("There must be at least one value.")
        yield any_of([_annotated(name, each) for each in values])

    def _list(self, value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise ConditionError("Not a list.")
        self._count(len(value))
        return value

    def _count(self, more: int = 1) -> None:
        self._number += more
        if self._number > MAX_CONDITIONS:
            raise ConditionError(f"With this, there are more than {MAX_CONDITIONS} conditions.")


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ConditionError("Not a text of one character or more.")
    if len(value) > MAX_TEXT_LENGTH:
        raise ConditionError(f"Longer than {MAX_TEXT_LENGTH:,} characters.")
    return value


def _exact(key: str, value: Any) -> str:
    text = _text(value)
    if key != "uuids":
        return text
    try:
        return str(UUID(text))
    except ValueError:
        raise ConditionError("Not a valid UUID.") from None


def _if(wanted: Any, node: Node) -> Node:
    if not isinstance(wanted, bool):
        raise ConditionError("Not true or false.")
    return node if wanted else Not(node)


def _annotated(name: str, value: Any) -> Node:
    """Return the condition that an annotation has a value, or, if it is a list, that this is one of its elements."""
    if isinstance(value, (bool, int, float, str)):
        return has_value(name, value)
    raise ConditionError(f"Not a text, a number, true, false, or an object with {_choice('exists')}.")


def _unranked(node: Node) -> Node:
    """Return a node of texts that make no dataset more relevant."""
    if isinstance(node, AnyOf):
        return AnyOf(tuple(map(_unranked, node.nodes)))
    return replace(node, is_ranked=False) if isinstance(node, Text) else node


# -- Bounds ----------------------------------------------------------------------------------------------------------


def _number(value: Any) -> Stretch:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConditionError("Not a number.")
    return Stretch(value)


def _quantity(value: Any) -> Stretch:
    found = query_bounds.quantity(value) if isinstance(value, str) and len(value) <= 100 else None
    if found is None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise ConditionError("Not a number of bytes, such as 1500000 or 1.5MB.")
    return found or Stretch(value)


# Whole numbers that are years, and no seconds of the first hours of 1970.
_FIRST_YEAR, _LAST_YEAR = 1000, 9999


def _moment(value: Any) -> Stretch:
    if isinstance(value, str) and len(value) <= 100:
        found = query_bounds.moment(value)
        if found is not None:
            return found
        with suppress(ValueError):
            if "T" in value:
                return Stretch(datetime_to_timestamp(parse_moment(value)))
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConditionError(
            "Not a time: seconds since the epoch, a year, or one such as 2024-05-31 or 2024-05-31T10:30:00Z."
        )
    if _FIRST_YEAR <= value <= _LAST_YEAR and value == int(value):
        return query_bounds.moment(str(int(value))) or Stretch(value)
    return Stretch(value)


_READ = {"size": _quantity, "items": _number}


def _bounds(value: Any, read: Callable[[Any], Stretch], *others: str) -> Bounds:
    """Return the bounds that a value says alone, or an object with operators.

    :param others: what the object may have besides, for the error
    """
    if not isinstance(value, Mapping):
        return query_bounds.bounds_of("=", read(value))
    sides: dict[str, Bounds] = {}
    for name, bound in value.items():
        with _at(name):
            if name not in OPERATORS:
                raise ConditionError(f"Unknown operator. There are {_choice(*others)}.")
            if name[:2] in sides:
                raise ConditionError(f"There is another {name[:2]} or {name[:2]}e.")
            sides[name[:2]] = query_bounds.bounds_of(_SIGNS[name], read(bound))
    if not sides:
        raise ConditionError(f"There must be at least one of {_choice(*others)}.")
    least, most = sides.get("gt", Bounds()), sides.get("lt", Bounds())
    return Bounds(least.least, most.most, least.without_least, most.without_most)


_SIGNS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def _choice(*others: str) -> str:
    return ", ".join([*OPERATORS, *others])
