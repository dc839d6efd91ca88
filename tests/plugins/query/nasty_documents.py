"""Documents with every shape of values, and queries about them, written down and made up."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 5, 1.0, 1.5, -0.0, 2**31, 2**31 - 1, 2**53, 2**53 + 1),
    *(float(2**53), 2**62, float(2**62), 1e300, 1e-7, 0.1, 0.30000000000000004),
    *("", "a", "b", "A", "é", "É", "a.b", "abc", "abc\n", "a\nb", "x" * 150, "1", "null", "[1]", '{"x":1}'),
    *("\x00", "a\x00b", "\x01", "ß", "ς", "İ", "K", "ſ"),
    *([], [1], [1, 2], [[1, 2]], [1, [2, 3]], ["a", "b"], [None], [{"b": 1}], [{"b": 1}, {"b": 2}]),
    *([{"b": None}], [{}], [{"c": 1}], [[{"b": 1}]], [[[{"b": 1}]]], [[[1, 2]]], [5, {"b": [1, 2]}]),
    *(
        [{"b": [{"c": 1}]}],
        [{"b": [{"c": 1}, {"c": [2, 3]}]}],
        [{"0": 5}],
        [{"0": {"b": 1}}],
        [[5], {"0": 7}],
    ),
    *([1, 2, 3, "a", None, True], [{"b": 1, "c": 2}, {"b": 2, "c": 1}], [{"b": [1, 2]}, {"b": [3]}], [True]),
    *({}, {"b": 1}, {"b": None}, {"b": []}, {"b": [1, 2]}, {"b": {"c": 1}}, {"b": {"c": [1, 2]}}, {"b": 1.0}),
    *({"b": [{"c": 1}]}, {"b": "a"}, {"x": 1, "y": 2}, {"y": 2, "x": 1}, {"0": 1}, {"b": {"0": {"c": 1}}}),
    *({"b": [[{"c": 1}]]}, {"c": {"b": 1}}, {"b": True}),
    {'b"c': 1, "b$": 2, "b[0]": 3, "b%": 4, "": 5, "ü": 6, "b*": 7, "b'": 8, "b:c": 9, "%o": "1,0", "%e": 1},
]

#: ``n`` tells them apart.
DOCUMENTS: list[dict[str, Any]] = [{"n": 0}, *({"n": n, "a": value} for n, value in enumerate(VALUES, 1))]

_SCALARS = [value for value in VALUES if not isinstance(value, (list, dict))]
_PATHS = [
    *(
        "a",
        "a.b",
        "a.0",
        "a.b.c",
        "a.b.0",
        "a.0.b",
        "a.0.0",
        "a.1",
        "a.b.0.c",
        "a.0.0.b",
        "a.x",
        'a.b"c',
        "a.b$",
    ),
    *(
        "a.b[0]",
        "a.b%",
        "a.ü",
        "a.b*",
        "a.b'",
        "a.b:c",
        "a.%o",
        "a.%e",
        "n",
        "zz",
        "zz.b",
        "a.0.b.c",
        "a.b.c.0",
    ),
    *("a.c.b", "a.0.0.0", "a.00", "a.-1"),
]
_EXPRESSIONS = [
    *(
        "a",
        "^a",
        "b$",
        "^$",
        "A",
        "é",
        "^.$",
        "a.b",
        "[a-c]+",
        "[^a]",
        "\\d",
        "\\w",
        "\\s",
        "a|b",
        "(a|b)c",
        "x{3,}",
    ),
    *(
        "\\ba",
        "^abc$",
        "\n",
        "^b",
        "a\\.b",
        "\\W",
        "[[:alpha:]]",
        "c\\n?$",
        "(?i)É",
        "(?:b)*",
        ".",
        "\\Aa",
        "c\\Z",
    ),
    *("c\\z", "ẞ", "Σ", "k", "[à-ÿ]", "a{,2}", "{", "(?s)a.b", "(?i:A)b", "[]1]", "x{150}", "x{151}", ""),
    *("[[:lower:]]", "^[^[:upper:]]$", "[[:print:]]", "[^[:print:]]", "^[[:graph:]s]$", "[^[:alpha:]]"),
]
_TYPES = [
    "double",
    "string",
    "object",
    "array",
    "bool",
    "null",
    "int",
    "long",
    "number",
    1,
    2,
    3,
    4,
    8,
    10,
    16,
    18,
]


def written_down() -> Iterator[dict[str, Any]]:
    """Yield queries with each operator and each kind of value."""
    for value in VALUES:
        yield {"a": value}
        yield {"a.b": {"$ne": value}}
        yield {"a": {"$in": [value, 5]}}
        yield {"a.b": {"$nin": [value]}}
        yield {"a": {"$elemMatch": {"$eq": value}}}
    for value in _SCALARS:
        for order in ("$lt", "$lte", "$gt", "$gte"):
            yield {"a": {order: value}}
            yield {"a.b": {order: value}}
    for path in _PATHS:
        yield {path: None}
        yield {path: 1}
        yield {path: {"$exists": True}}
        yield {path: {"$exists": False}}
        yield {path: {"$not": {"$gt": 0}}}
        yield {path: {"$type": "array"}}
        yield {path: {"$size": 2}}
        yield {path: {"$elemMatch": {"b": None}}}
    for expression in _EXPRESSIONS:
        for options in ("", "i", "m", "sx"):
            yield {"a": {"$regex": expression, "$options": options}}
    for type_ in _TYPES:
        yield {"a": {"$type": type_}}
        yield {"a.b": {"$type": [type_, "string"]}}
    yield from (
        {"a": {"$mod": [2, 1]}},
        {"a": {"$mod": [-2.5, -1]}},
        {"a": {"$all": []}},
        {"a": {"$all": [1, 2]}},
        {"a": {"$all": [[1, 2]]}},
        {"a": {"$all": [None]}},
        {"a": {"$all": [{"$elemMatch": {"b": 1}}, {"$elemMatch": {"c": 1}}]}},
        {"a": {"$elemMatch": {}}},
        {"a": {"$elemMatch": {"$gt": 1, "$lt": 3}}},
        {"a": {"$elemMatch": {"$elemMatch": {"$gt": 1}}}},
        {"a": {"$elemMatch": {"0": 1}}},
        {"a": {"$elemMatch": {"$or": [{"b": 1}, {"c": 1}]}}},
        {"a": {"$not": {"$elemMatch": {"b": {"$not": {"$eq": 1}}}}}},
        {"$and": [{"a": {"$exists": True}}, {"$or": [{"a": 1}, {"a.b": 1}]}]},
        {"$nor": [{"a": None}, {"n": {"$gt": 20}}]},
        {"$or": [{}, {"zz": 1}]},
        {"$comment": "nothing", "n": 3},
        {
            "$or": [
                {"$comment": "nothing", "n": 3},
                {"a": {"$elemMatch": {"b": 1, "$comment": {"$where": 1}}}},
            ]
        },
        {"a": {"x": 1, "$gt": 2}},
        {"a": {"$eq": {"$gt": 1}}},
        {},
    )


class Maker:
    """Makes up queries."""

    def __init__(self, by: random.Random) -> None:
        self._by = by

    def query(self, level: int = 0) -> dict[str, Any]:
        """Return a query."""
        if level < 3 and self._by.random() < 0.2:
            parts = [self.query(level + 1) for _ in range(self._by.randint(1, 3))]
            return {self._by.choice(["$and", "$or", "$nor"]): parts}
        return {self._by.choice(_PATHS): self._wanted() for _ in range(self._by.choice([1, 1, 1, 2]))}

    def _wanted(self, level: int = 0) -> Any:
        return self._by.choice(VALUES) if self._by.random() < 0.15 else self._operators(level)

    def _operators(self, level: int) -> dict[str, Any]:
        name = self._by.choice(
            [
                "$eq",
                "$ne",
                "$<",
                "$<",
                "$in",
                "$nin",
                "$exists",
                "$regex",
                "$all",
                "$elemMatch",
                "$size",
                "$type",
                "$mod",
                "$not",
                "both",
            ]
        )
        if name in ("$eq", "$ne"):
            return {name: self._by.choice(VALUES)}
        if name == "$<":
            return {self._by.choice(["$lt", "$lte", "$gt", "$gte"]): self._by.choice(_SCALARS)}
        if name in ("$in", "$nin"):
            return {name: self._by.sample(VALUES, self._by.randint(0, 4))}
        if name == "$exists":
            return {name: self._by.random() < 0.5}
        if name == "$regex":
            options = "".join(option for option in "imsx" if self._by.random() < 0.3)
            return {name: self._by.choice(_EXPRESSIONS), "$options": options}
        if name == "$all":
            if self._by.random() < 0.3:
                return {name: [{"$elemMatch": self._inner(level)}]}
            return {name: self._by.sample(VALUES, self._by.randint(0, 2))}
        if name == "$elemMatch":
            return {name: self._inner(level)}
        if name == "$size":
            return {name: self._by.randint(0, 3)}
        if name == "$type":
            return {name: self._by.choice(_TYPES)}
        if name == "$mod":
            return {name: [self._by.choice([1, 2, 3, -2, 2.5]), self._by.choice([0, 1, -1])]}
        if name == "$not":
            return {name: self._operators(level + 1)}
        one, other = self._operators(level + 1), self._operators(level + 1)
        return one if "$regex" in other else {**one, **other}

    def _inner(self, level: int) -> dict[str, Any]:
        if level > 1:
            return {"$gt": 0}
        if self._by.random() < 0.5:
            return self._operators(level + 1)
        names = ["b", "c", "0", "b.c", "0.b", "b.0", "1", "x"]
        query = {self._by.choice(names): self._wanted(level + 1) for _ in range(self._by.randint(0, 2))}
        return {"$or": [query, {"b": self._wanted(level + 1)}]} if self._by.random() < 0.2 else query
