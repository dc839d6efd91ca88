"""Values in JSON, and tests on them, in the words of SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import orjson
import regex

from dservercore.plugins.query.conditions import Order
from dservercore.plugins.query.regular_expressions import Expression
from dservercore.plugins.query.sql.dialect import INT_LEAST, INT_MOST, Kind, Node, Parameters
from dservercore.plugins.query.sql.encoding import (
    decode_text,
    encode,
    encode_key,
    encode_text,
    number_text,
)
from dservercore.plugins.query.time_limit import TimeLimit

_KINDS: dict[Kind, tuple[str, ...]] = {
    "null": ("null",),
    "bool": ("true", "false"),
    "number": ("integer", "real"),
    "string": ("text",),
    "array": ("array",),
    "object": ("object",),
}


def add_functions(connection: sqlite3.Connection, limit: TimeLimit) -> None:
    """Give a connection the functions that statements call, for as long as *limit* says."""
    connection.create_function("query_matches", 2, _matching(limit), deterministic=True)
    connection.create_function("query_same", 2, _is_same, deterministic=True)


def _matching(limit: TimeLimit) -> Callable[[str, Any], bool]:
    compiled = cache(lambda pattern: regex.compile(pattern, regex.DOTALL))

    def matches(pattern: str, text: Any) -> bool:
        # An expression can take longer than the world exists: SQLite cannot end it, but the engine can.
        timeout = limit.seconds_for_one_text()
        try:
            found = compiled(pattern).search(decode_text(text), timeout=timeout, concurrent=True)
        except TimeoutError:
            limit.give_up()
            raise
        return found is not None

    return matches


def _is_same(text: Any, wanted: str) -> bool:
    return isinstance(text, str) and same(orjson.loads(text), orjson.loads(wanted))


def same(one: Any, other: Any) -> bool:
    """Return whether two values of JSON are equal: numbers by their value, and no number is a truth."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    return type(one) in _COMPARABLE.get(type(other), ()) and one == other


_COMPARABLE: dict[type, tuple[type, ...]] = {
    int: (int, float),
    float: (int, float),
    str: (str,),
    type(None): (type(None),),
}


@dataclass(frozen=True)
class SQLiteNode(Node):
    """A value at a path in JSON.

    :ivar json: an expression that is text of a JSON object or list, or NULL
    :ivar element: a row of ``json_each`` whose value it is, where the path is empty
    """

    parameters: Parameters
    json: str
    path: str = "$"
    element: str | None = None

    @property
    def _type(self) -> str:
        if self.element:
            return f"{self.element}.type"
        return f"json_type({self.json}, {self.parameters.add(self.path)})"

    @property
    def _value(self) -> str:
        if self.element:
            return f"{self.element}.value"
        return f"json_extract({self.json}, {self.parameters.add(self.path)})"

    def key(self, key: str) -> SQLiteNode:
        return SQLiteNode(self.parameters, self.json, f'{self.path}."{encode_key(key)}"')

    def position(self, position: int) -> SQLiteNode:
        return SQLiteNode(self.parameters, self.json, f"{self.path}[{position}]")

    def is_missing(self) -> str:
        return f"{self._type} IS NULL"

    def is_kind(self, *kinds: Kind) -> str:
        types = [f"'{type_}'" for kind in kinds for type_ in _KINDS[kind]]
        if len(types) == 1:
            return f"{self._type} = {types[0]}"
        return f"{self._type} IN ({', '.join(types)})"

    def elements(self, alias: str) -> tuple[str, SQLiteNode]:
        return f"json_each(CASE WHEN {self._type} = 'array' THEN {self._value} ELSE '[]' END) AS {alias}", (
            self._row(alias)
        )

    def unwrapped(self, alias: str, else_empty_object: bool) -> tuple[str, SQLiteNode]:
        otherwise = "'[{}]'" if else_empty_object else "'[]'"
        return (
            f"json_each(CASE {self._type} WHEN 'array' THEN {self._value}"
            f" WHEN 'object' THEN '[' || {self._value} || ']' ELSE {otherwise} END) AS {alias}",
            self._row(alias),
        )

    def _row(self, alias: str) -> SQLiteNode:
        # Else SQLite would take a text for JSON, and fail.
        json = f"CASE WHEN {alias}.type IN ('object', 'array') THEN {alias}.value END"
        return SQLiteNode(self.parameters, json, element=alias)

    def equals(self, value: Any) -> str:
        if isinstance(value, bool):
            return f"{self._type} = '{'true' if value else 'false'}'"
        if isinstance(value, str):
            return f"({self.is_kind('string')} AND {self._value} = {self._parameter(value)})"
        if isinstance(value, (int, float)):
            return f"({self.is_kind('number')} AND {self._value} = {self._parameter(value)})"
        kind: Kind = "array" if isinstance(value, list) else "object"
        wanted = self.parameters.add(encode(value))
        return f"({self.is_kind(kind)} AND query_same({self._value}, {wanted}))"

    def _parameter(self, value: Any) -> str:
        if isinstance(value, bool):
            return str(int(value))
        if isinstance(value, str):
            return self.parameters.add(encode_text(value))
        if isinstance(value, float):  # as text: read as those in documents are, which is not exact everywhere
            return f"CAST({self.parameters.add(number_text(value))} AS REAL)"
        return self.parameters.add(value)

    def is_one_of(self, values: Sequence[Any]) -> str:
        texts = [value for value in values if isinstance(value, str)]
        numbers = [value for value in values if not isinstance(value, str)]
        conditions = []
        for kind, some in (("string", texts), ("number", numbers)):
            if some:
                listed = f"(SELECT value FROM json_each({self.parameters.add(encode(some))}))"
                conditions.append(f"({self.is_kind(kind)} AND {self._value} IN {listed})")  # type: ignore[arg-type]
        return f"({' OR '.join(conditions)})"

    def compares(self, order: Order, value: Any) -> str:
        kind: Kind = "string" if isinstance(value, str) else "bool" if isinstance(value, bool) else "number"
        return f"({self.is_kind(kind)} AND {self._value} {order} {self._parameter(value)})"

    def is_type(self, type_: Literal["double", "int", "long"]) -> str:
        if type_ == "double":
            return f"{self._type} = 'real'"
        negation = "NOT " if type_ == "long" else ""
        return f"({self._type} = 'integer' AND {self._value} {negation}BETWEEN {INT_LEAST} AND {INT_MOST})"

    def matches(self, expression: Expression) -> str:
        pattern = self.parameters.add(expression.portable)
        return f"CASE WHEN {self.is_kind('string')} THEN query_matches({pattern}, {self._value}) END"

    def has_size(self, size: int) -> str:
        return (
            f"CASE WHEN {self.is_kind('array')} THEN json_array_length({self._value}) = "
            f"{self.parameters.add(min(size, 2**62))} END"
        )

    def has_remainder(self, divisor: int, remainder: int) -> str:
        whole = f"CAST({self._value} AS INTEGER)"
        return (
            f"({self.is_kind('number')} AND {self._value} >= -9223372036854775808"
            f" AND {self._value} < 9223372036854775808.0"
            f" AND {whole} % {self.parameters.add(divisor)} = {self.parameters.add(remainder)})"
        )


def json_list(values: Sequence[Any]) -> str:
    """Return values as a JSON list, in which texts are as they are in encoded JSON."""
    return orjson.dumps(list(values)).decode()
