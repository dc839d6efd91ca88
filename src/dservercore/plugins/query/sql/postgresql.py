"""Values in JSON, and tests on them, in the words of PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dservercore.plugins.query.conditions import Order
from dservercore.plugins.query.regular_expressions import Expression
from dservercore.plugins.query.sql.dialect import INT_LEAST, INT_MOST, Kind, Node, Parameters
from dservercore.plugins.query.sql.encoding import encode, encode_key, encode_text

_KINDS: dict[Kind, str] = {"bool": "boolean"}


@dataclass(frozen=True)
class PostgreSQLNode(Node):
    """An expression of type ``jsonb``; NULL is a missing value."""

    parameters: Parameters
    value: str

    @property
    def _text(self) -> str:
        return f"({self.value} #>> '{{}}')"

    def key(self, key: str) -> PostgreSQLNode:
        name = self.parameters.add(encode_key(key))
        return PostgreSQLNode(self.parameters, f"({self.value} -> CAST({name} AS text))")

    def position(self, position: int) -> PostgreSQLNode:
        # PostgreSQL takes a single value for a list of one.
        element = f"(CASE WHEN jsonb_typeof({self.value}) = 'array' THEN {self.value} -> {int(position)} END)"
        return PostgreSQLNode(self.parameters, element)

    def is_missing(self) -> str:
        return f"{self.value} IS NULL"

    def is_kind(self, *kinds: Kind) -> str:
        names = [f"'{_KINDS.get(kind, kind)}'" for kind in kinds]
        return f"jsonb_typeof({self.value}) IN ({', '.join(names)})"

    def elements(self, alias: str) -> tuple[str, PostgreSQLNode]:
        value = f"CASE WHEN jsonb_typeof({self.value}) = 'array' THEN {self.value} ELSE '[]' END"
        return self._table(value, alias)

    def unwrapped(self, alias: str, else_empty_object: bool) -> tuple[str, PostgreSQLNode]:
        otherwise = "'[{}]'" if else_empty_object else "'[]'"
        return self._table(
            f"CASE jsonb_typeof({self.value}) WHEN 'array' THEN {self.value}"
            f" WHEN 'object' THEN jsonb_build_array({self.value}) ELSE {otherwise} END",
            alias,
        )

    def _table(self, value: str, alias: str) -> tuple[str, PostgreSQLNode]:
        return f"jsonb_array_elements({value}) AS {alias}(value)", PostgreSQLNode(
            self.parameters, f"{alias}.value"
        )

    def _json(self, value: Any) -> str:
        return f"CAST({self.parameters.add(encode(value))} AS jsonb)"

    def equals(self, value: Any) -> str:
        return f"{self.value} = {self._json(value)}"

    def is_one_of(self, values: Sequence[Any]) -> str:
        return f"{self.value} IN (SELECT jsonb_array_elements({self._json(list(values))}))"

    def compares(self, order: Order, value: Any) -> str:
        if isinstance(value, str):
            text = f'CAST({self.parameters.add(encode_text(value))} AS text) COLLATE "C"'
            return f'({self.is_kind("string")} AND {self._text} COLLATE "C" {order} {text})'
        kind: Kind = "bool" if isinstance(value, bool) else "number"
        return f"({self.is_kind(kind)} AND {self.value} {order} {self._json(value)})"

    def is_type(self, type_: Literal["double", "int", "long"]) -> str:
        is_double = f"{self._text} LIKE '%.%'"
        if type_ == "double":
            return f"({self.is_kind('number')} AND {is_double})"
        negation = "NOT " if type_ == "long" else ""
        return (
            f"(CASE WHEN {self.is_kind('number')} THEN NOT {is_double} AND"
            f" CAST({self.value} AS numeric) {negation}BETWEEN {INT_LEAST} AND {INT_MOST} END)"
        )

    def matches(self, expression: Expression) -> str:
        # In no language but that of the expression itself: which letters and digits there are is written out in it.
        pattern = f'CAST({self.parameters.add(expression.portable)} AS text) COLLATE "C"'
        return f'(CASE WHEN {self.is_kind("string")} THEN {self._text} COLLATE "C" ~ {pattern} END)'

    def has_size(self, size: int) -> str:
        size_ = self.parameters.add(min(size, 2**62))
        return f"(CASE WHEN {self.is_kind('array')} THEN jsonb_array_length({self.value}) = {size_} END)"

    def has_remainder(self, divisor: int, remainder: int) -> str:
        number = f"CAST({self.value} AS numeric)"
        return (
            f"(CASE WHEN {self.is_kind('number')} THEN"
            f" {number} >= -9223372036854775808 AND {number} < 9223372036854775808 AND"
            f" mod(trunc({number}), CAST({self.parameters.add(divisor)} AS numeric))"
            f" = CAST({self.parameters.add(remainder)} AS numeric) END)"
        )
