"""Expressions of an aggregation: which there are, and what they make of a document.

An expression is parsed once, into a function from a document to a value. Whatever is not in the list of operators is
refused by its name, wherever it stands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson

from dservercore.errors import InvalidValueError, invalid
from dservercore.plugins.query.time_limit import TimeLimit
from dservercore.plugins.query.values import (
    INT_BOUNDS,
    LONG_BOUNDS,
    MISSING,
    compare,
    is_nullish,
    is_number,
    order_key,
    type_name,
    within_64_bits,
)

Document = dict[str, Any]

#: Given a document, returns a value, or :data:`MISSING`.
Evaluate = Callable[[Document], Any]

#: The field of a request that holds an aggregation.
FIELD = "aggregation"

#: Characters of a text that is put together.
MOST_CHARACTERS = 2**20

#: Bytes of JSON that a value, or a document, may have that is put together.
MOST_VALUE_BYTES = 16 * 2**20

#: Parts of a path.
MOST_PARTS = 12

#: How long what is evaluated at the moment may take altogether. A single document may take long: its manifest is large.
time_limit: ContextVar[TimeLimit] = ContextVar("time_limit")


def refused(what: str) -> InvalidValueError:
    """Return the error for something in an aggregation that cannot be done."""
    return invalid(FIELD, what)


@dataclass
class Expression:
    """A parsed expression.

    :ivar evaluate: what it makes of a document
    :ivar fields: the names at the top of a document that it looks at; None: all
    """

    evaluate: Evaluate
    fields: set[str] | None = field(default_factory=set)


def names_of(expressions: Sequence[Expression]) -> set[str] | None:
    """Return the names at the top of a document that some expressions look at; None: all."""
    names: set[str] = set()
    for expression in expressions:
        if expression.fields is None:
            return None
        names |= expression.fields
    return names


# Sizes


def size_of(value: Any) -> int:
    """Return about how many bytes of JSON a value takes."""
    if value is MISSING or isinstance(value, (int, float)) or value is None:
        return 8
    if isinstance(value, str):
        return len(value)
    try:
        return len(orjson.dumps(value))
    except TypeError:  # more than 254 levels
        raise refused("what it makes is nested too deeply.") from None


def bounded(values: Iterable[Any]) -> Iterator[Any]:
    """Yield the parts of a value that is put together, each of which is bounded itself.

    In memory, a value that is used a thousand times is there once. But whoever looks at all of what is made of it sees
    a thousand: a few stages that take a list twice each would make one that nobody ever comes to the end of.

    :raises InvalidValueError: as soon as they are too large together
    :raises OutOfTimeError: if it takes too long
    """
    left = MOST_VALUE_BYTES
    for value in values:
        time_limit.get().seconds_left()
        left -= size_of(value)
        if left < 0:
            raise refused(f"it makes a value of more than {MOST_VALUE_BYTES // 2**20} MB.")
        yield value


# Paths


def parts_of(path: Any, where: str) -> list[str]:
    """Return the parts of a dotted path.

    :param where: what the path belongs to, for the message
    :raises InvalidValueError: if it is not a path
    """
    if not isinstance(path, str) or not path:
        raise refused(f"{where} takes the path of a field, a text.")
    parts = path.split(".")
    if len(parts) > MOST_PARTS:
        raise refused(f"{where}: a path has at most {MOST_PARTS} parts.")
    for part in parts:
        if not part or part.startswith("$") or "\0" in part:
            raise refused(f"{where}: {path!r} is not the path of a field.")
    return parts


def value_at(document: Mapping[str, Any], parts: Sequence[str]) -> Any:
    """Return what an expression sees at a path: of an array of objects, what each of them has there."""
    value: Any = document
    for place, part in enumerate(parts):
        if isinstance(value, list):
            inner = (value_at(item, parts[place:]) for item in value if isinstance(item, dict))
            return [item for item in inner if item is not MISSING]
        if not isinstance(value, Mapping):
            return MISSING
        value = value.get(part, MISSING)
    return value


# Parsing


def parse(given: Any) -> Expression:
    """Return an expression, as an aggregation has it.

    :raises InvalidValueError: if it is none, or has an operator that is not supported
    """
    if isinstance(given, str):
        return _parse_text(given)
    if isinstance(given, list):
        items = [parse(item) for item in given]
        return Expression(
            lambda document: list(bounded(_or_null(item.evaluate(document)) for item in items)),
            names_of(items),
        )
    if isinstance(given, dict):
        return _parse_object(given)
    return Expression(lambda document: given)


def _parse_text(text: str) -> Expression:
    if text == "$$ROOT":
        return Expression(lambda document: document, None)
    if text.startswith("$$ROOT."):
        text = text[len("$$ROOT.") - 1 :].replace(".", "$", 1)
    if text.startswith("$$"):
        raise refused(f"the variable {text.partition('.')[0]} is not supported.")
    if not text.startswith("$"):
        return Expression(lambda document: text)
    parts = parts_of(text[1:], "an expression")
    if len(parts) == 1:
        name = parts[0]
        return Expression(lambda document: document.get(name, MISSING), {name})
    return Expression(lambda document: value_at(document, parts), {parts[0]})


def _parse_object(given: Mapping[str, Any]) -> Expression:
    if len(given) == 1:
        ((name, argument),) = given.items()
        if name.startswith("$"):
            return _parse_operator(name, argument)
    members: dict[str, Expression] = {}
    for name, value in given.items():
        if name.startswith("$"):
            raise refused(f"{name} must stand alone in its object.")
        if not name or "." in name or "\0" in name:
            raise refused(f"{name!r} is not a name for a field of an object.")
        members[name] = parse(value)

    def evaluate(document: Document) -> Document:
        values = bounded(member.evaluate(document) for member in members.values())
        return {name: value for name, value in zip(members, values, strict=True) if value is not MISSING}

    return Expression(evaluate, names_of(list(members.values())))


def _parse_operator(name: str, argument: Any) -> Expression:
    if name == "$literal":
        return Expression(lambda document: argument)
    if name == "$cond" and isinstance(argument, dict):
        argument = _branches(argument)
    if name not in OPERATORS:
        raise refused(
            f"the operator {name} is not supported in expressions; there are {', '.join(SUPPORTED)}."
        )
    operator = OPERATORS[name]
    given = argument if isinstance(argument, list) else [argument]
    if not operator.fewest <= len(given) <= operator.most:
        raise refused(f"{name} takes {operator.arity} values, not {len(given)}.")
    arguments = [parse(value) for value in given]
    apply = operator.apply

    def evaluate(document: Document) -> Any:
        time_limit.get().seconds_left()
        return apply(*[argument.evaluate(document) for argument in arguments])

    def evaluate_lazily(document: Document) -> Any:
        return apply(*[partial(argument.evaluate, document) for argument in arguments])

    return Expression(evaluate_lazily if operator.is_lazy else evaluate, names_of(arguments))


def _branches(given: Mapping[str, Any]) -> list[Any]:
    if given.keys() != {"if", "then", "else"}:
        raise refused("$cond takes if, then and else.")
    return [given["if"], given["then"], given["else"]]


def _or_null(value: Any) -> Any:
    return None if value is MISSING else value


def is_true(value: Any) -> bool:
    """Return whether a value counts as true: all do but false, null, zero and what is not there."""
    return not is_nullish(value) and value is not False and not (is_number(value) and value == 0)


# Operators


@dataclass(frozen=True)
class _Operator:
    """An operator.

    :ivar apply: is called with the values; if it *is_lazy*, with functions that return them
    """

    apply: Callable[..., Any]
    fewest: int = 1
    most: int = 1
    is_lazy: bool = False

    @property
    def arity(self) -> str:
        if self.fewest == self.most:
            return str(self.fewest)
        return f"at least {self.fewest}" if self.most > 100 else f"{self.fewest} to {self.most}"


def _numbers(name: str, values: Sequence[Any]) -> bool:
    """Return whether all values are numbers; False: one is null, and so is what is made of them.

    :raises InvalidValueError: if one is neither
    """
    for value in values:
        if not is_nullish(value) and not is_number(value):
            raise refused(f"{name} takes numbers, and was given a value of the type {type_name(value)}.")
    return not any(map(is_nullish, values))


def _add(*values: Any) -> Any:
    return within_64_bits(sum(values)) if _numbers("$add", values) else None


def _multiply(*values: Any) -> Any:
    if not _numbers("$multiply", values):
        return None
    product: Any = 1
    for value in values:
        product = within_64_bits(product * value)
    return product


def _subtract(one: Any, other: Any) -> Any:
    return within_64_bits(one - other) if _numbers("$subtract", (one, other)) else None


def _divide(one: Any, other: Any) -> Any:
    if not _numbers("$divide", (one, other)):
        return None
    if other == 0:
        raise refused("$divide cannot divide by zero.")
    return float(one) / float(other)


def _mod(one: Any, other: Any) -> Any:
    if not _numbers("$mod", (one, other)):
        return None
    if other == 0:
        raise refused("$mod cannot divide by zero.")
    if isinstance(one, int) and INT_BOUNDS[0] <= other <= INT_BOUNDS[1] and other == int(other):
        other = int(other)  # for which MongoDB takes it
    if isinstance(one, int) and isinstance(other, int):
        return int(math.copysign(abs(one) % abs(other), one))
    return math.nan if math.isinf(one) else math.fmod(one, other)


def _of_number(name: str, of_float: Callable[[float], float], of_int: Callable[[int], Any]) -> _Operator:
    def apply(value: Any) -> Any:
        if not _numbers(name, (value,)):
            return None
        return within_64_bits(of_int(value)) if isinstance(value, int) else of_float(value)

    return _Operator(apply)


def _whole(of: Callable[[float], int]) -> Callable[[float], float]:
    return lambda value: float(of(value)) if math.isfinite(value) else value


def _absolute(value: int) -> int:
    if value == LONG_BOUNDS[0]:
        raise refused("$abs was given the least integer of 64 bits, of which there is no opposite.")
    return abs(value)


def _concat(*values: Any) -> Any:
    for value in values:
        if not is_nullish(value) and not isinstance(value, str):
            raise refused(f"$concat takes texts, and was given a value of the type {type_name(value)}.")
    if any(map(is_nullish, values)):
        return None
    if sum(map(len, values)) > MOST_CHARACTERS:
        raise refused(f"$concat makes texts of at most {MOST_CHARACTERS:,} characters.")
    return "".join(values)


def _cased(name: str, case: Callable[[str], str]) -> _Operator:
    def apply(value: Any) -> str:
        if is_nullish(value):
            return ""
        if is_number(value):  # of which MongoDB makes a text with six digits
            value = str(value) if isinstance(value, int) else f"{value:g}"
        if not isinstance(value, str):
            raise refused(
                f"{name} takes a text or a number, and was given a value of the type {type_name(value)}."
            )
        return "".join(case(character) if character.isascii() else character for character in value)

    return _Operator(apply)


def _size(value: Any) -> int:
    if not isinstance(value, list):
        raise refused(f"$size takes an array, and was given a value of the type {type_name(value)}.")
    return len(value)


def _array_element(array: Any, index: Any) -> Any:
    if is_nullish(array) or is_nullish(index):
        return None
    if not isinstance(array, list):
        raise refused(f"$arrayElemAt takes an array, and was given a value of the type {type_name(array)}.")
    if not is_number(index) or index != math.trunc(index) or type_name(int(index)) != "int":
        raise refused("$arrayElemAt takes an integer of 32 bits as the place.")
    index = int(index)
    return array[index] if -len(array) <= index < len(array) else MISSING


def _in(value: Any, array: Any) -> bool:
    if not isinstance(array, list):
        raise refused(f"$in takes an array, and was given a value of the type {type_name(array)}.")
    key = order_key(value)  # once: it may be large
    return any(order_key(item) == key for item in array)


def _object_to_array(value: Any) -> Any:
    if is_nullish(value):
        return None
    if not isinstance(value, dict):
        raise refused(
            f"$objectToArray takes an object, and was given a value of the type {type_name(value)}."
        )
    return [{"k": name, "v": item} for name, item in value.items()]


def _if_null(*values: Callable[[], Any]) -> Any:
    for value in values[:-1]:
        if not is_nullish(found := value()):
            return found
    return values[-1]()


def _cond(test: Callable[[], Any], then: Callable[[], Any], other: Callable[[], Any]) -> Any:
    return then() if is_true(test()) else other()


_MANY = 1000

OPERATORS: dict[str, _Operator] = {
    "$abs": _of_number("$abs", abs, _absolute),
    "$add": _Operator(_add, 0, _MANY),
    "$and": _Operator(lambda *values: all(is_true(value()) for value in values), 0, _MANY, True),
    "$arrayElemAt": _Operator(_array_element, 2, 2),
    "$ceil": _of_number("$ceil", _whole(math.ceil), int),
    "$cmp": _Operator(compare, 2, 2),
    "$concat": _Operator(_concat, 0, _MANY),
    "$cond": _Operator(_cond, 3, 3, True),
    "$divide": _Operator(_divide, 2, 2),
    "$eq": _Operator(lambda one, other: compare(one, other) == 0, 2, 2),
    "$floor": _of_number("$floor", _whole(math.floor), int),
    "$gt": _Operator(lambda one, other: compare(one, other) > 0, 2, 2),
    "$gte": _Operator(lambda one, other: compare(one, other) >= 0, 2, 2),
    "$ifNull": _Operator(_if_null, 2, _MANY, True),
    "$in": _Operator(_in, 2, 2),
    "$isArray": _Operator(lambda value: isinstance(value, list)),
    "$lt": _Operator(lambda one, other: compare(one, other) < 0, 2, 2),
    "$lte": _Operator(lambda one, other: compare(one, other) <= 0, 2, 2),
    "$mod": _Operator(_mod, 2, 2),
    "$multiply": _Operator(_multiply, 0, _MANY),
    "$ne": _Operator(lambda one, other: compare(one, other) != 0, 2, 2),
    "$not": _Operator(lambda value: not is_true(value)),
    "$objectToArray": _Operator(_object_to_array),
    "$or": _Operator(lambda *values: any(is_true(value()) for value in values), 0, _MANY, True),
    "$size": _Operator(_size),
    "$subtract": _Operator(_subtract, 2, 2),
    "$toLower": _cased("$toLower", str.lower),
    "$toUpper": _cased("$toUpper", str.upper),
    "$type": _Operator(type_name),
}

#: The names of all operators of expressions.
SUPPORTED = sorted([*OPERATORS, "$literal"])
