"""What a checked filter is made of: conditions on a document, and tests on the values that a path leads to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from dservercore.plugins.query.regular_expressions import Expression

#: From a document, or an element of a list, to a value in it; () is the element itself.
Path: TypeAlias = tuple[str, ...]

Order = Literal["<", "<=", ">", ">="]


@dataclass(frozen=True)
class Equal:
    """The value is this one; null: or it is missing."""

    value: Any


@dataclass(frozen=True)
class OneOf:
    """The value is one of these; with null among them: or it is missing."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Compared:
    """The value is of the type of *value* (a number, a text or a truth), and before or behind it."""

    order: Order
    value: Any


@dataclass(frozen=True)
class Exists:
    """There is a value, be it null."""


@dataclass(frozen=True)
class HasType:
    """The value is of one of the types, by their names in MongoDB."""

    types: frozenset[str]


@dataclass(frozen=True)
class Matches:
    """The value is a text in which the expression is found."""

    expression: Expression


@dataclass(frozen=True)
class HasSize:
    """The value is a list of so many elements."""

    size: int


@dataclass(frozen=True)
class HasRemainder:
    """The value is a number, which without its fraction leaves this remainder."""

    divisor: int
    remainder: int


@dataclass(frozen=True)
class AnyElement:
    """The value is a list, of which one element fulfils a condition.

    :param of_objects: whether the condition is on what is in the element, which must be an object or a list then;
        otherwise it is on the element itself
    """

    condition: Condition
    of_objects: bool


Test: TypeAlias = Equal | OneOf | Compared | Exists | HasType | Matches | HasSize | HasRemainder | AnyElement


@dataclass(frozen=True)
class OnValue:
    """One of the values that a path leads to passes a test."""

    path: Path
    test: Test


@dataclass(frozen=True)
class AllOf:
    """Each of the conditions holds; it does if there are none."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class AnyOf:
    """One of the conditions holds; it does not if there are none."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class Not:
    """The condition does not hold."""

    condition: Condition


Condition: TypeAlias = OnValue | AllOf | AnyOf | Not


@dataclass(frozen=True)
class Filter:
    """A filter in the language of MongoDB of which everything is known to be allowed.

    :ivar condition: what it means
    :ivar query: the filter as MongoDB takes it
    """

    condition: Condition
    query: dict[str, Any] = field(hash=False)
