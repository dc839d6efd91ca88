"""What queries are refused, and what the refusal names."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dservercore.plugins.query.language import InvalidQueryError, UnsupportedQueryError, parse_filter

pytestmark = pytest.mark.attack


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"$where": "1"}, "$where"),
        ({"$expr": {"$eq": ["$a", 1]}}, "$expr"),
        ({"$text": {"$search": "a"}}, "$text"),
        ({"$jsonSchema": {}}, "$jsonSchema"),
        ({"$and": [{"$or": [{"$where": "1"}]}]}, "$where"),
        ({"a": {"$where": "1"}}, "$where"),
        ({"a": {"$not": {"$near": [0, 0]}}}, "$near"),
        ({"a": {"$elemMatch": {"$function": {}}}}, "$function"),
        ({"a": {"$elemMatch": {"b": {"$bitsAllSet": 1}}}}, "$bitsAllSet"),
        ({"a": {"$gt": [1]}}, "$gt"),
        ({"a": {"$lte": {"b": 1}}}, "$lte"),
        ({"a": {"$ref": "x", "$id": 1}}, "$ref"),
        ({"a": {"$gt": 1, "b": 2}}, "b"),
        ({"a": {"$comment": "x"}}, "$comment"),
        ({"$sampleRate": 0.5}, "$sampleRate"),
    ],
)
def test_unsupported_operators_are_named(query: Any, named: str) -> None:
    with pytest.raises(UnsupportedQueryError) as raised:
        parse_filter(query)
    assert raised.value.errors
    assert list(raised.value.errors["query"]) == [named]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"a": {"$where": "1"}}, "query: $where: is not supported in a; supported are $and, "),
        ({"a": {"$gt": 1, "b": 2}}, "query: b: is a field beside operators, in a"),
    ],
)
def test_refusals_can_be_read(query: Any, said: str) -> None:
    with pytest.raises(UnsupportedQueryError) as raised:
        parse_filter(query)
    assert raised.value.message.startswith(said)


DEEP: Any = {"a": 1}
for _ in range(30):
    DEEP = {"$nor": [DEEP]}


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ([], "query: query: must be an object"),
        ("{}", "must be an object"),
        (None, "must be an object"),
        ({"_id": 1}, "documents have none"),
        ({"": 1}, "empty"),
        ({"a..b": 1}, "empty"),
        ({"a.": 1}, "empty"),
        ({"a.$b": 1}, "begin with $"),
        ({"a" * 501: 1}, "characters"),
        ({".".join("abcdefghijklmn"): 1}, "parts"),
        ({"a.1.2.3.4": 1}, "numbers"),
        ({"a\0b": 1}, "NUL"),
        ({"a": "\ud800"}, "surrogates"),
        ({"\ud800": 1}, "surrogates"),
        ({"a": {"$in": 1}}, "must be a list"),
        ({"a": {"$in": [{"$gt": 1}]}}, "no operators among"),
        ({"a": {"$all": {}}}, "must be a list"),
        ({"a": {"$all": [1, {"$elemMatch": {}}]}}, "no operators"),
        ({"a": {"$all": [{"$elemMatch": {}}, 1]}}, "nothing else"),
        ({"a": {"$not": 1}}, "must be an object"),
        ({"a": {"$not": {}}}, "must be an object"),
        ({"a": {"$size": -1}}, "negative"),
        ({"a": {"$size": 2**31}}, "below 2^31"),
        ({"a": {"$size": "1"}}, "numbers"),
        ({"a": {"$size": 1.5}}, "whole"),
        ({"a": {"$size": True}}, "numbers"),
        ({"a": {"$type": []}}, "must name a type"),
        ({"a": {"$type": "foo"}}, "there is no type"),
        ({"a": {"$type": True}}, "there is no type"),
        ({"a": {"$type": {}}}, "there is no type"),
        ({"a": {"$mod": [0, 1]}}, "cannot be 0"),
        ({"a": {"$mod": [1]}}, "divisor and a remainder"),
        ({"a": {"$mod": [1e300, 0]}}, "2^63"),
        ({"a": {"$exists": "yes"}}, "true or false"),
        ({"a": {"$elemMatch": [1]}}, "must be an object"),
        ({"a": {"$options": "i"}}, "needs a $regex"),
        ({"a": {"$regex": 1}}, "must be a text"),
        ({"a": {"$regex": "a", "$options": "g"}}, "i, m, s and x"),
        ({"a": {"$regex": "a", "$options": None}}, "must be a text"),
        ({"a": {"$regex": "a" * 1001}}, "1000 characters"),
        ({"a": {"$regex": "(?=a)"}}, "not supported"),
        ({"a": {"$regex": "(?<!a)b"}}, "not supported"),
        ({"a": {"$regex": "(a)\\1"}}, "reference"),
        ({"a": {"$regex": "\\p{L}"}}, "not supported"),
        ({"a": {"$regex": "(a"}}, "ends within"),
        ({"a": {"$regex": "a)"}}, "without a ("),
        ({"a": {"$regex": "[a"}}, "ends within"),
        ({"a": {"$regex": "[b-a]"}}, "before it begins"),
        ({"a": {"$regex": "a{256}"}}, "255"),
        ({"a": {"$regex": "((a{99}){99}){99}"}}, "too large"),
        ({"a": {"$regex": "(" * 30 + ")" * 30}}, "groups"),
        ({"a": {"$regex": "*"}}, "nothing before"),
        ({"a": {"$regex": "a\0"}}, "NUL"),
        ({"a": {"$regex": "(?x", "$options": "x"}}, "not supported"),
        ({"a": {"$regex": "a  ", "$options": "g"}}, "i, m, s and x"),
        ({"$and": []}, "at least one"),
        ({"$and": {}}, "at least one"),
        ({"$or": [1]}, "list of objects"),
        (DEEP, "levels"),
        ({"a": {"$in": list(range(100_000))}}, "5000 values"),
        ({"a": "x" * 100_001}, "characters"),
        ({f"a{n}": 1 for n in range(101)}, "conditions"),
        ({"a": float("nan")}, "too large, or none"),
        ({"a": float("inf")}, "too large, or none"),
        ({"a": 10**400}, "too large, or none"),
        ({"a": json.loads("[" * 500 + "]" * 500)}, "levels"),
    ],
)
def test_bad_queries_are_told_what_is_wrong(query: Any, words: str) -> None:
    with pytest.raises(InvalidQueryError) as raised:
        parse_filter(query)
    assert words in raised.value.message
    assert raised.value.errors
    assert len(raised.value.message) < 700


def test_lists_of_elements_in_each_other_are_counted() -> None:
    query: Any = {"b": 1}
    for _ in range(4):
        query = {"b": {"$elemMatch": query}}
    assert parse_filter(query)
    with pytest.raises(InvalidQueryError, match=r"\$elemMatch"):
        parse_filter({"b": {"$elemMatch": query}})


def test_blanks_at_the_end_of_an_expression_come_to_an_end() -> None:
    assert parse_filter({"a": {"$regex": "a b # c", "$options": "x"}})
    assert parse_filter({"a": {"$regex": "a* ", "$options": "x"}})


def test_numbers_and_comments_are_as_mongodb_takes_them() -> None:
    query = parse_filter({"a": 2**64, "b": 2**63 - 1, "$comment": "why"}).query
    assert query == {"a": float(2**64), "b": 2**63 - 1}
    assert [type(value) for value in query.values()] == [float, int]
