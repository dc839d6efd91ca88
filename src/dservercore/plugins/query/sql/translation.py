"""From the condition of a filter to one of SQL.

A path leads to several values where there are lists on it. MongoDB goes on in each element that is an object, and,
where the next part of the path is a number, in the element at that position; in no list that is an element itself,
unless by its position. At the end of a path, the elements of a list count beside the list, but not if it was found by
its position. A value that is not there is like null, except where the path has ended in a list.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from dservercore.plugins.query.conditions import (
    AllOf,
    AnyElement,
    AnyOf,
    Compared,
    Condition,
    Equal,
    Exists,
    HasRemainder,
    HasSize,
    HasType,
    Matches,
    Not,
    OneOf,
    Path,
    Test,
)
from dservercore.plugins.query.language import is_position
from dservercore.plugins.query.sql.dialect import Kind, Node

_TRUE, _FALSE = "(1 = 1)", "(1 = 0)"
_KINDS: dict[str, Kind] = {
    "string": "string",
    "object": "object",
    "array": "array",
    "bool": "bool",
    "null": "null",
}


@dataclass(frozen=True)
class Root:
    """What paths begin at: an object, or a list that is looked at as an object with positions for keys."""

    child: Callable[[str], Node]
    is_list: bool = False


#: Given a path and a test, returns a condition that holds wherever a value at the path passes the test, if there is one
#: that is found faster.
Hint = Callable[[Path, Test], "str | None"]


class Translation:
    """Translates the conditions of one filter.

    :param columns: by the first part of a path, the JSON that is apart from the others
    """

    def __init__(self, document: Node, columns: Mapping[str, Node], hint: Hint) -> None:
        self._document = document
        self._columns = columns
        self._hint = hint
        self._aliases = itertools.count()

    def condition(self, condition: Condition) -> str:
        """Return the condition of SQL, which is true for the documents that the filter matches."""
        return self._condition(condition, Root(self._child), self._hint)

    def _child(self, key: str) -> Node:
        return self._columns.get(key) or self._document.key(key)

    def _condition(self, condition: Condition, root: Root, hint: Hint | None = None) -> str:
        if isinstance(condition, AllOf):
            return all_of(self._condition(part, root, hint) for part in condition.conditions)
        if isinstance(condition, AnyOf):
            return any_of(self._condition(part, root, hint) for part in condition.conditions)
        if isinstance(condition, Not):
            # What is unknown to SQL does not hold, and so its negation does.
            return f"(({self._condition(condition.condition, root, hint)}) IS NOT TRUE)"
        exact = self._on_value(condition.path, condition.test, root)
        superset = hint and hint(condition.path, condition.test)
        return all_of([superset, exact]) if superset else exact

    def _on_value(self, path: Path, test: Test, root: Root) -> str:
        if root.is_list and not is_position(path[0]):
            return _TRUE if holds_for_missing(test) else _FALSE
        if len(path) == 1:
            return self._straight(path, test, root)
        lists = self._lists_on(path, root)
        around = all_of([any_of(lists), any_of(self._around(path, test, root))])
        return any_of([self._straight(path, test, root, any_of(lists)), around])

    # Through objects alone

    def _straight(self, path: Path, test: Test, root: Root, ends_before: str = _FALSE) -> str:
        """Return the condition for a path on which there are no lists but at its end."""
        node = self._walked(path, root)
        if not holds_for_missing(test):
            return self._at_end(node, test)
        is_missing = node.is_missing()
        if ends_before != _FALSE:
            is_missing = f"({is_missing} AND (({ends_before}) IS NOT TRUE))"
        return any_of([self._at_end(node, test), is_missing])

    def _walked(self, path: Path, root: Root) -> Node:
        node = root.child(path[0])
        for key in path[1:]:
            node = node.key(key)
        return node

    def _lists_on(self, path: Path, root: Root) -> list[str]:
        return [self._walked(path[:end], root).is_kind("array") for end in range(1, len(path))]

    # Through lists

    def _around(self, path: Path, test: Test, root: Root) -> Iterator[str]:
        """Yield conditions for a path on which there may be lists, one for each way to read the numbers in it."""
        ways = [("key", "position") if is_position(part) else ("key",) for part in path[1:]]
        for way in itertools.product(*ways):
            yield self._chained(path, way, test, root)  # type: ignore[arg-type]

    def _chained(self, path: Path, way: Sequence[Literal["key", "position"]], test: Test, root: Root) -> str:
        may_be_missing = holds_for_missing(test)
        node = root.child(path[0])
        tables: list[str] = []
        conditions: list[str] = []
        is_at_position = False
        for part, reading in zip(path[1:], way, strict=True):
            if reading == "position":
                node = node.position(int(part))
                is_at_position = True
                continue
            alias = f"e{next(self._aliases)}"
            table, element = node.unwrapped(alias, may_be_missing and not is_at_position)
            tables.append(table)
            conditions.append(element.is_kind("object"))
            node = element.key(part)
            is_at_position = False
        if is_at_position:
            end = self._direct(node, test)
        elif may_be_missing:
            end = any_of([self._at_end(node, test), node.is_missing()])
        else:
            end = self._at_end(node, test)
        if not tables:
            return end
        return f"EXISTS (SELECT 1 FROM {', '.join(tables)} WHERE {all_of([*conditions, end])})"

    # At the end

    def _at_end(self, node: Node, test: Test) -> str:
        """Return the condition that a value, or an element of it, passes a test."""
        if isinstance(test, (Exists, HasSize, AnyElement)):
            return self._direct(node, test)
        table, element = node.elements(f"e{next(self._aliases)}")
        in_list = f"EXISTS (SELECT 1 FROM {table} WHERE {self._direct(element, test)})"
        return any_of([self._direct(node, test), f"({node.is_kind('array')} AND {in_list})"])

    def _direct(self, node: Node, test: Test) -> str:
        """Return the condition that a value itself passes a test."""
        if isinstance(test, Equal):
            return node.is_kind("null") if test.value is None else node.equals(test.value)
        if isinstance(test, OneOf):
            return self._one_of(node, test)
        if isinstance(test, Compared):
            return node.compares(test.order, test.value)
        if isinstance(test, Exists):
            return f"(({node.is_missing()}) IS NOT TRUE)"
        if isinstance(test, HasType):
            return self._has_type(node, test)
        if isinstance(test, Matches):
            return node.matches(test.expression)
        if isinstance(test, HasSize):
            return node.has_size(test.size)
        if isinstance(test, HasRemainder):
            return node.has_remainder(test.divisor, test.remainder)
        return self._any_element(node, test)

    def _one_of(self, node: Node, test: OneOf) -> str:
        listed = [
            value for value in test.values if isinstance(value, (str, int, float)) and not _is_bool(value)
        ]
        others = [value for value in test.values if _is_bool(value) or isinstance(value, (list, dict))]
        parts = [node.equals(value) for value in others]
        if listed:
            parts.append(node.is_one_of(listed))
        if None in test.values:
            parts.append(node.is_kind("null"))
        return any_of(parts)

    def _has_type(self, node: Node, test: HasType) -> str:
        parts = []
        if test.types >= {"double", "int", "long"}:
            parts.append(node.is_kind("number"))
        else:
            numbers: tuple[Literal["double", "int", "long"], ...] = ("double", "int", "long")
            parts += [node.is_type(type_) for type_ in numbers if type_ in test.types]
        kinds = [_KINDS[type_] for type_ in sorted(test.types & _KINDS.keys())]
        if kinds:
            parts.append(node.is_kind(*kinds))
        return any_of(parts)

    def _any_element(self, node: Node, test: AnyElement) -> str:
        table, element = node.elements(f"e{next(self._aliases)}")
        if test.of_objects:
            as_object = self._condition(test.condition, Root(element.key))
            as_list = self._condition(
                test.condition, Root(lambda key: element.position(int(key)), is_list=True)
            )
            condition = any_of(
                [
                    all_of([element.is_kind("object"), as_object]),
                    all_of([element.is_kind("array"), as_list]),
                ]
            )
        else:
            condition = self._on_element(element, test.condition)
        return f"({node.is_kind('array')} AND EXISTS (SELECT 1 FROM {table} WHERE {condition}))"

    def _on_element(self, element: Node, condition: Condition) -> str:
        if isinstance(condition, AllOf):
            return all_of(self._on_element(element, part) for part in condition.conditions)
        if isinstance(condition, AnyOf):
            return any_of(self._on_element(element, part) for part in condition.conditions)
        if isinstance(condition, Not):
            return f"(({self._on_element(element, condition.condition)}) IS NOT TRUE)"
        return self._direct(element, condition.test)


def holds_for_missing(test: Test) -> bool:
    """Return whether a value that is not there passes a test."""
    return (isinstance(test, Equal) and test.value is None) or (
        isinstance(test, OneOf) and any(value is None for value in test.values)
    )


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def all_of(conditions: Iterable[str]) -> str:
    """Return the condition that each of several holds."""
    wanted = [condition for condition in conditions if condition != _TRUE]
    if _FALSE in wanted:
        return _FALSE
    return _joined(" AND ", wanted) or _TRUE


def any_of(conditions: Iterable[str]) -> str:
    """Return the condition that one of several holds."""
    wanted = [condition for condition in conditions if condition != _FALSE]
    if _TRUE in wanted:
        return _TRUE
    return _joined(" OR ", wanted) or _FALSE


def _joined(operator: str, conditions: Sequence[str]) -> str:
    """Return conditions joined in pairs of pairs: a database has a limit to how deep expressions are."""
    if len(conditions) <= 8:
        return f"({operator.join(conditions)})" if len(conditions) > 1 else "".join(conditions)
    middle = len(conditions) // 2
    return f"({_joined(operator, conditions[:middle])}{operator}{_joined(operator, conditions[middle:])})"
