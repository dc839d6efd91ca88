"""The query language: what of MongoDB's is understood, and from a query, as it came, to a checked filter.

Whatever is not named here is refused, so that nothing reaches a database that nobody has thought of. Bounds are looked
at before anything else: the deepest and longest query that passes is a small one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from dservercore.errors import InvalidValueError
from dservercore.plugins.query import regular_expressions
from dservercore.plugins.query.conditions import (
    AllOf,
    AnyElement,
    AnyOf,
    Compared,
    Condition,
    Equal,
    Exists,
    Filter,
    HasRemainder,
    HasSize,
    HasType,
    Matches,
    Not,
    OneOf,
    OnValue,
    Order,
    Path,
)

#: Objects and lists in each other, values in all, conditions in all, and lists of elements in each other, at most.
MOST_LEVELS, MOST_VALUES, MOST_CONDITIONS, MOST_ELEM_MATCHES = 20, 5000, 100, 4
#: Parts of a path at most, and of these numbers, each of which can be a position or a name.
MOST_PARTS, MOST_NUMBERS = 12, 3
#: Characters of a path, and of all texts together, at most.
MOST_PATH_CHARACTERS, MOST_CHARACTERS = 500, 100_000

#: The types of MongoDB that JSON has, by number; and the others, which no value here has.
TYPES = {1: "double", 2: "string", 3: "object", 4: "array", 8: "bool", 10: "null", 16: "int", 18: "long"}
_OTHER_TYPES = {
    **{
        5: "binData",
        6: "undefined",
        7: "objectId",
        9: "date",
        11: "regex",
        12: "dbPointer",
        13: "javascript",
    },
    **{14: "symbol", 15: "javascriptWithScope", 17: "timestamp", 19: "decimal", -1: "minKey", 127: "maxKey"},
}
_NUMBERS = {"double", "int", "long", "decimal"}

_LEAST_INTEGER, _MOST_INTEGER = -(2**63), 2**63 - 1


class InvalidQueryError(InvalidValueError):
    """A query is not written as the language wants it."""

    def __init__(self, name: str, reason: str):
        super().__init__(f"query: {name}: {reason}", {"query": {name: [reason]}})


class UnsupportedQueryError(InvalidQueryError):
    """A query has an operator that is not supported."""


def parse_filter(query: object, takes_ids: bool = False) -> Filter:
    """Return a query (the JSON of a filter) as a checked filter.

    :param takes_ids: whether it may ask for ``_id``, which what a stage of an aggregation makes can have
    :raises UnsupportedQueryError: if it has an operator that is not supported, which the error names
    :raises InvalidQueryError: if it is not written as it should be, or too large; the error names where
    """
    checked = checked_value("query", query)
    if not isinstance(checked, dict):
        raise InvalidQueryError("query", "must be an object")
    checked.pop("$comment", None)
    return Filter(_Parser(takes_ids).filter(checked), checked)


# Values


def checked_value(name: str, value: object) -> Any:
    """Return a copy of a JSON value as MongoDB can hold it: an integer beyond 64 bits is a floating-point number.

    :param name: what the value is, for the error
    :raises InvalidQueryError: if it is too large, or has what MongoDB cannot hold
    """
    return _Checker(name).value(value, 0)


class _Checker:
    def __init__(self, name: str) -> None:
        self._name = name
        self._values = 0
        self._characters = 0

    def value(self, value: object, level: int) -> Any:
        self._values += 1
        if self._values > MOST_VALUES:
            raise InvalidQueryError(self._name, f"has more than {MOST_VALUES} values")
        if level > MOST_LEVELS:
            raise InvalidQueryError(self._name, f"has more than {MOST_LEVELS} levels")
        if isinstance(value, Mapping):
            return {self._key(key): self.value(inner, level + 1) for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(inner, level + 1) for inner in value]
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return self._number(value)
        if value is None or isinstance(value, bool):
            return value
        raise InvalidQueryError(self._name, f"a value of type {type(value).__name__} is no JSON")

    def _key(self, key: object) -> str:
        text = self._text(str(key))
        if "\0" in text:
            raise InvalidQueryError(self._name, "no name has a NUL character")
        return text

    def _text(self, text: str) -> str:
        self._characters += len(text)
        if self._characters > MOST_CHARACTERS:
            raise InvalidQueryError(self._name, f"has more than {MOST_CHARACTERS} characters")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidQueryError(self._name, "has characters (surrogates) that are no text") from None
        return text

    def _number(self, number: float) -> float:
        if isinstance(number, int) and _LEAST_INTEGER <= number <= _MOST_INTEGER:
            return number
        try:
            number = float(number)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise InvalidQueryError(self._name, "a number is too large, or none")
        return number


# Conditions


class _Parser:
    def __init__(self, takes_ids: bool = False) -> None:
        self._takes_ids = takes_ids
        self._conditions = 0
        self._elem_matches = 0

    def filter(self, query: Mapping[str, Any]) -> Condition:
        return AllOf(tuple(self._entry(key, value) for key, value in query.items() if key != "$comment"))

    def _entry(self, key: str, value: Any) -> Condition:
        if not key.startswith("$"):
            return self._on_field(_path(key, self._takes_ids), key, value)
        if key not in ("$and", "$or", "$nor"):
            raise _unsupported(key, "at this place" if key in _OPERATORS else "")
        if not isinstance(value, list) or not value:
            raise InvalidQueryError(key, "must be a list with at least one filter")
        if not all(isinstance(part, dict) for part in value):
            raise InvalidQueryError(key, "must be a list of objects")
        parts = tuple(self.filter(part) for part in value)
        self._count(len(parts))
        if key == "$and":
            return AllOf(parts)
        return AnyOf(parts) if key == "$or" else Not(AnyOf(parts))

    def _on_field(self, path: Path, name: str, value: Any) -> Condition:
        if _is_expression(value):
            return self.expression(path, name, value)
        return self._test(path, Equal(value))

    def expression(self, path: Path, name: str, operators: Mapping[str, Any]) -> Condition:
        """Return the condition of an object whose keys are operators."""
        parts = []
        for operator, operand in operators.items():
            if operator == "$options":
                if "$regex" not in operators:
                    raise InvalidQueryError("$options", f"needs a $regex beside it, in {name}")
                continue
            if operator not in _OPERATORS:
                if not operator.startswith("$"):
                    raise UnsupportedQueryError(operator, f"is a field beside operators, in {name}")
                raise _unsupported(operator, f"in {name}")
            if operator == "$regex":
                operand = (operand, operators.get("$options", ""))
            parts.append(_OPERATORS[operator](self, path, name, operand))
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _test(self, path: Path, test: Any) -> Condition:
        self._count(1)
        return OnValue(path, test)

    def _count(self, number: int) -> None:
        self._conditions += number
        if self._conditions > MOST_CONDITIONS:
            raise InvalidQueryError("query", f"has more than {MOST_CONDITIONS} conditions")

    # Operators: each is given the path, its name for errors, and the operand

    def equal(self, path: Path, _name: str, operand: Any) -> Condition:
        return self._test(path, Equal(operand))

    def not_equal(self, path: Path, _name: str, operand: Any) -> Condition:
        return Not(self._test(path, Equal(operand)))

    def compared(self, operator: str, order: Order, path: Path, name: str, operand: Any) -> Condition:
        if isinstance(operand, (list, dict)):
            raise UnsupportedQueryError(operator, f"compares numbers, texts and truths only, in {name}")
        if operand is None:
            return self._test(path, Equal(None)) if "=" in order else AnyOf(())
        return self._test(path, Compared(order, operand))

    def one_of(self, path: Path, name: str, operand: Any) -> Condition:
        return self._test(path, OneOf(_values("$in", name, operand)))

    def none_of(self, path: Path, name: str, operand: Any) -> Condition:
        return Not(self._test(path, OneOf(_values("$nin", name, operand))))

    def exists(self, path: Path, _name: str, operand: Any) -> Condition:
        if operand is not None and not isinstance(operand, (bool, int, float)):
            raise InvalidQueryError("$exists", "must be true or false")
        test = self._test(path, Exists())
        return test if operand else Not(test)

    def matches(self, path: Path, name: str, operand: tuple[Any, Any]) -> Condition:
        pattern, options = operand
        if not isinstance(pattern, str):
            raise InvalidQueryError("$regex", f"must be a text, in {name}")
        if not isinstance(options, str):
            raise InvalidQueryError("$options", f"must be a text, in {name}")
        try:
            expression = regular_expressions.parse(pattern, options)
        except regular_expressions.InvalidOptionsError as error:
            raise InvalidQueryError("$options", f"{error}, in {name}") from None
        except regular_expressions.InvalidExpressionError as error:
            raise InvalidQueryError("$regex", f"{error}, in {name}") from None
        return self._test(path, Matches(expression))

    def negation(self, path: Path, name: str, operand: Any) -> Condition:
        if not isinstance(operand, dict) or not operand:
            raise InvalidQueryError("$not", f"must be an object with operators, in {name}")
        return Not(self.expression(path, name, operand))

    def all_of(self, path: Path, name: str, operand: Any) -> Condition:
        if not isinstance(operand, list):
            raise InvalidQueryError("$all", f"must be a list, in {name}")
        if not operand:
            return AnyOf(())
        are_matches = [isinstance(value, dict) and list(value)[:1] == ["$elemMatch"] for value in operand]
        if are_matches[0]:
            if not all(are_matches) or any(len(value) > 1 for value in operand):
                raise InvalidQueryError("$all", f"beside $elemMatch there can be nothing else, in {name}")
            return AllOf(tuple(self.any_element(path, name, value["$elemMatch"]) for value in operand))
        if any(map(_is_expression, operand)):
            raise InvalidQueryError("$all", f"can have no operators among its values, in {name}")
        return AllOf(tuple(self._test(path, Equal(value)) for value in operand))

    def any_element(self, path: Path, name: str, operand: Any) -> Condition:
        if not isinstance(operand, dict):
            raise InvalidQueryError("$elemMatch", f"must be an object, in {name}")
        self._elem_matches += 1
        if self._elem_matches > MOST_ELEM_MATCHES:
            raise InvalidQueryError("$elemMatch", f"there are more than {MOST_ELEM_MATCHES} in each other")
        if _is_expression(operand) and next(iter(operand)) not in ("$and", "$or", "$nor"):
            test = AnyElement(self.expression((), name, operand), of_objects=False)
        else:
            test = AnyElement(self.filter(operand), of_objects=True)
        self._elem_matches -= 1
        return self._test(path, test)

    def has_size(self, path: Path, name: str, operand: Any) -> Condition:
        size = _whole("$size", name, operand)
        if size != operand or size < 0:
            raise InvalidQueryError("$size", f"must be a whole number that is not negative, in {name}")
        if size >= 2**31:
            raise InvalidQueryError("$size", f"must be below 2^31, in {name}")
        return self._test(path, HasSize(size))

    def has_type(self, path: Path, name: str, operand: Any) -> Condition:
        wanted = operand if isinstance(operand, list) else [operand]
        if not wanted:
            raise InvalidQueryError("$type", f"must name a type, in {name}")
        types: set[str] = set()
        for type_ in wanted:
            types |= _types(name, type_)
        return self._test(path, HasType(frozenset(types)))

    def has_remainder(self, path: Path, name: str, operand: Any) -> Condition:
        if not isinstance(operand, list) or len(operand) != 2:
            raise InvalidQueryError("$mod", f"must be a list of a divisor and a remainder, in {name}")
        divisor, remainder = (_whole("$mod", name, number) for number in operand)
        if not divisor:
            raise InvalidQueryError("$mod", f"the divisor cannot be 0, in {name}")
        return self._test(path, HasRemainder(divisor, remainder))


def _compares(operator: str, order: Order) -> Callable[..., Condition]:
    return lambda parser, path, name, operand: parser.compared(operator, order, path, name, operand)


_OPERATORS: dict[str, Callable[[_Parser, Path, str, Any], Condition]] = {
    "$eq": _Parser.equal,
    "$ne": _Parser.not_equal,
    "$lt": _compares("$lt", "<"),
    "$lte": _compares("$lte", "<="),
    "$gt": _compares("$gt", ">"),
    "$gte": _compares("$gte", ">="),
    "$in": _Parser.one_of,
    "$nin": _Parser.none_of,
    "$exists": _Parser.exists,
    "$regex": _Parser.matches,
    "$not": _Parser.negation,
    "$all": _Parser.all_of,
    "$elemMatch": _Parser.any_element,
    "$size": _Parser.has_size,
    "$type": _Parser.has_type,
    "$mod": _Parser.has_remainder,
}

#: All operators that a filter can have.
OPERATORS = ("$and", "$or", "$nor", "$options", *_OPERATORS)


def _unsupported(operator: str, where: str = "") -> UnsupportedQueryError:
    supported = ", ".join(OPERATORS)
    return UnsupportedQueryError(
        operator, f"is not supported {where}".strip() + f"; supported are {supported}"
    )


def _is_expression(value: Any) -> bool:
    return isinstance(value, dict) and next(iter(value), "").startswith("$")


def parse_path(name: str) -> Path:
    """Return the parts of a dotted path.

    :raises InvalidQueryError: if it is none, or too long
    """
    return _path(name)


def _path(name: str, takes_ids: bool = False) -> Path:
    if len(name) > MOST_PATH_CHARACTERS:
        raise InvalidQueryError(f"{name[:40]}...", f"has more than {MOST_PATH_CHARACTERS} characters")
    parts = tuple(name.split("."))
    if not all(parts):
        raise InvalidQueryError(name, "a part of the path is empty")
    if any(part.startswith("$") for part in parts):
        raise InvalidQueryError(name, "no part of a path can begin with $")
    if len(parts) > MOST_PARTS:
        raise InvalidQueryError(name, f"has more than {MOST_PARTS} parts")
    if sum(map(is_position, parts)) > MOST_NUMBERS:
        raise InvalidQueryError(name, f"has more than {MOST_NUMBERS} parts that are numbers")
    if parts[0] == "_id" and not takes_ids:
        raise InvalidQueryError("_id", "documents have none; they are told apart by uri")
    return parts


def is_position(part: str) -> bool:
    """Return whether a part of a path can be the position of an element in a list."""
    return part.isascii() and part.isdigit() and (part == "0" or part[0] != "0") and len(part) < 10


def _values(operator: str, name: str, operand: Any) -> tuple[Any, ...]:
    if not isinstance(operand, list):
        raise InvalidQueryError(operator, f"must be a list, in {name}")
    if any(map(_is_expression, operand)):
        raise InvalidQueryError(operator, f"can have no operators among its values, in {name}")
    return tuple(operand)


def _whole(operator: str, name: str, number: Any) -> int:
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not abs(number) < 2**63:
        raise InvalidQueryError(operator, f"takes numbers below 2^63, in {name}")
    return int(number)


def _types(name: str, wanted: Any) -> set[str]:
    if wanted == "number":
        return set(_NUMBERS)
    numbers: dict[Any, str] = {**TYPES, **_OTHER_TYPES}
    if isinstance(wanted, str) and wanted in numbers.values():
        return {wanted}
    if isinstance(wanted, (int, float)) and not isinstance(wanted, bool) and wanted in numbers:
        return {numbers[wanted]}
    raise InvalidQueryError("$type", f"there is no type {wanted!r}, in {name}"[:200])
