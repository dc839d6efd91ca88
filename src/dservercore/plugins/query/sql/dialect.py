"""What SQLite and PostgreSQL write differently: values in JSON, and tests on them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from dservercore.plugins.query.conditions import Order
from dservercore.plugins.query.regular_expressions import Expression

#: The types that JSON tells apart.
Kind: TypeAlias = Literal["null", "bool", "number", "string", "array", "object"]

INT_LEAST, INT_MOST = -(2**31), 2**31 - 1


class Parameters:
    """The values of a statement: whatever comes from a query is one of these, and never part of the text."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self._names: dict[Any, str] = {}

    def add(self, value: Any) -> str:
        """Return what stands for a value in the statement."""
        key = type(value), value
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = f"p{len(self.values)}"
            self.values[name] = value
        return f":{name}"


class Node(ABC):
    """A value in a document, or none, as an expression of SQL."""

    @abstractmethod
    def key(self, key: str) -> Node:
        """Return what an object has under a key; of anything else there is none."""

    @abstractmethod
    def position(self, position: int) -> Node:
        """Return what a list has at a position; of anything else there is none."""

    @abstractmethod
    def is_missing(self) -> str:
        """Return the condition that there is no value."""

    @abstractmethod
    def is_kind(self, *kinds: Kind) -> str:
        """Return the condition that the value is of one of the kinds."""

    @abstractmethod
    def elements(self, alias: str) -> tuple[str, Node]:
        """Return a table of the elements of a list, none of anything else, and the element in a row of it."""

    @abstractmethod
    def unwrapped(self, alias: str, else_empty_object: bool) -> tuple[str, Node]:
        """Return a table of the elements of a list, of an object alone, and the value in a row of it.

        :param else_empty_object: whether there is an empty object instead of anything else, and of a missing value
        """

    @abstractmethod
    def equals(self, value: Any) -> str:
        """Return the condition that the value is this one, which is not null."""

    @abstractmethod
    def is_one_of(self, values: Sequence[Any]) -> str:
        """Return the condition that the value is one of several, which are texts or numbers."""

    @abstractmethod
    def compares(self, order: Order, value: Any) -> str:
        """Return the condition that the value is of the kind of another one, and before or behind it."""

    @abstractmethod
    def is_type(self, type_: Literal["double", "int", "long"]) -> str:
        """Return the condition that the value is a number of a type."""

    @abstractmethod
    def matches(self, expression: Expression) -> str:
        """Return the condition that the value is a text in which an expression is found."""

    @abstractmethod
    def has_size(self, size: int) -> str:
        """Return the condition that the value is a list of so many elements."""

    @abstractmethod
    def has_remainder(self, divisor: int, remainder: int) -> str:
        """Return the condition that the value is a number that leaves a remainder."""
