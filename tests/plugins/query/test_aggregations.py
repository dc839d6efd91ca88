"""Aggregations that the server evaluates itself, with MongoDB as the judge of what is right."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pymongo
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo.errors import OperationFailure

from dservercore.errors import InvalidValueError
from dservercore.plugins.query.aggregation import parse_pipeline
from dservercore.plugins.query.time_limit import TimeLimit
from support.mongod import Mongod

Document = dict[str, Any]
Judge = Callable[[list[Document]], Any]

DOCUMENTS: list[Document] = [
    {"uri": "a", "n": 1, "name": "rice", "size": 10, "tags": ["x", "y"], "in": {"a": 1, "b": {"c": "deep"}}},
    {"uri": "b", "n": 1.0, "name": "Rice", "size": None, "tags": [], "in": {"b": 2, "a": 1}},
    {"uri": "c", "n": 2, "name": "", "size": 2.5, "tags": ["y"], "in": {"a": 1}},
    {"uri": "d", "n": "2", "name": "wheat", "tags": "y", "in": []},
    {
        "uri": "e",
        "n": True,
        "name": "éclair",
        "size": -3,
        "tags": [["x"], "y"],
        "in": [{"a": 1}, {"a": 5}, 7],
    },
    {"uri": "f", "n": None, "name": None, "size": 2**40, "tags": None, "in": [[{"a": 9}]]},
    {"uri": "g", "name": "maize", "size": 2**62, "tags": ["x", "x", None, 3], "in": "text"},
    {"uri": "h", "n": [3, 1], "name": "oats", "size": 2**62, "tags": ["z"], "in": {"a": [4, 2], "b": []}},
    {
        "uri": "i",
        "n": [],
        "name": "rye",
        "size": "7",
        "tags": [{"k": 1}],
        "in": {"a": None, "b": {"c": [1, {"d": 2}]}},
    },
    {"uri": "j", "n": {"x": 1}, "name": "barley", "size": False, "in": {"a": {"b": 1}, "b": {"c": "deep"}}},
    {"uri": "k", "n": {"x": 1, "y": 2}, "name": "rice", "size": 0, "tags": ["x", "y"], "in": {"0": "zero"}},
    {"uri": "l", "n": {"y": 2, "x": 1}, "name": "rice", "size": 0.1, "tags": ["x", "Y"], "in": [0, {"0": 1}]},
    {
        "uri": "m",
        "n": -0.5,
        "name": "ÉCLAIR",
        "size": 0.2,
        "tags": ["x", "y", "z"],
        "in": {"a": [[1, 2], [3]]},
    },
    {"uri": "n", "n": [[1, 2], 0], "name": "a.b", "size": 1e300, "in": [{"a": [1, 2]}, {"a": [{"b": 3}]}]},
    {
        "uri": "o",
        "n": False,
        "name": "$rice",
        "size": 3,
        "tags": [1, 1.0, "1", True],
        "in": [{"b": 1}, {"a": None}],
    },
]

SORT = {"$sort": {"uri": 1}}

PIPELINES: list[Any] = [
    [],
    [{"$sort": {"n": 1, "uri": 1}}],
    [{"$sort": {"n": -1, "uri": -1}}],
    [{"$sort": {"tags": 1, "uri": 1}}],
    [{"$sort": {"tags": -1, "uri": 1}}],
    [{"$sort": {"in.a": 1, "uri": 1}}],
    [{"$sort": {"in.a": -1, "uri": 1}}],
    [{"$match": {"uri": {"$ne": "l"}}}, {"$sort": {"in.0": 1, "uri": 1}}],
    [{"$match": {"uri": {"$ne": "l"}}}, {"$sort": {"in.0.a": -1, "uri": 1}}],
    [{"$match": {"in": {"$not": {"$type": "array"}}}}, {"$sort": {"in.b.c": -1, "size": 1, "uri": 1}}],
    [{"$sort": {"size": 1, "uri": 1}}, {"$limit": 4}],
    [{"$sort": {"size": -1, "uri": 1}}, {"$limit": 4}, {"$skip": 2}],
    [{"$sort": {"name": 1, "uri": 1}}, {"$skip": 12}],
    [SORT, {"$skip": 3}, {"$limit": 2.0}],
    [{"$count": "number"}],
    [{"$match": {"name": "nothing"}}, {"$count": "number"}],
    [{"$match": {"n": {"$gt": 1}}}, {"$count": "number"}],
    [SORT, {"$project": {"uri": 1}}],
    [SORT, {"$project": {"uri": 1, "in.a": 1}}],
    [SORT, {"$project": {"uri": 1, "in": {"b": {"c": 1}}}}],
    [SORT, {"$project": {"in": 0, "tags": 0}}],
    [SORT, {"$project": {"in.a": 0}}],
    [SORT, {"$project": {"in": {"b": {"c": 0}}, "n.x": 0}}],
    [SORT, {"$project": {"uri": 1, "size": "$n", "deep": "$in.b.c"}}],
    [SORT, {"$project": {"uri": 1, "in.a": "$n"}}],
    [SORT, {"$project": {"uri": 1, "made": {"x": "$n", "y": ["$size", "$missing", 1]}}}],
    [SORT, {"$project": {"uri": 1, "x": {"$literal": "$n"}, "y": {"$literal": 1}}}],
    [SORT, {"$addFields": {"in.a": "new", "other": "$missing", "tags": "$missing"}}],
    [SORT, {"$set": {"n": {"$ifNull": ["$n", "$size", 0]}}}],
    [SORT, {"$unset": ["in.a", "tags"]}],
    [SORT, {"$unset": "in"}, {"$set": {"_id": "$uri"}}],
    [{"$group": {"_id": "$n", "number": {"$sum": 1}}}, {"$sort": {"_id": 1}}],
    [{"$group": {"_id": "$missing", "number": {"$count": {}}}}],
    [{"$group": {"_id": None, "sum": {"$sum": "$size"}, "avg": {"$avg": "$size"}}}],
    [{"$group": {"_id": "$name", "min": {"$min": "$size"}, "max": {"$max": "$size"}}}, {"$sort": {"_id": 1}}],
    [{"$group": {"_id": None, "min": {"$min": "$n"}, "max": {"$max": "$n"}}}],
    [
        {
            "$group": {
                "_id": None,
                "min": {"$min": "$missing"},
                "avg": {"$avg": "$name"},
                "sum": {"$sum": "$name"},
            }
        }
    ],
    [
        SORT,
        {
            "$group": {
                "_id": None,
                "first": {"$first": "$n"},
                "last": {"$last": "$n"},
                "x": {"$last": "$tags"},
            }
        },
    ],
    [SORT, {"$group": {"_id": None, "all": {"$push": "$n"}}}],
    [
        SORT,
        {"$group": {"_id": None, "all": {"$push": {"n": "$n", "u": "$uri"}}, "lists": {"$push": "$tags"}}},
    ],
    [{"$unwind": "$tags"}, {"$group": {"_id": None, "set": {"$addToSet": "$tags"}}}],
    [{"$group": {"_id": {"a": "$in.a", "x": "$missing"}, "u": {"$sum": 1}}}, {"$sort": {"_id": 1}}],
    [{"$group": {"_id": ["$in.a", "$missing"], "u": {"$sum": "$size"}}}, {"$sort": {"_id": 1}}],
    [{"$group": {"_id": "$tags", "u": {"$sum": 1}}}, {"$sort": {"_id": 1}}],
    [{"$group": {"_id": {"$toLower": "$name"}, "n": {"$sum": 1}}}, {"$sort": {"_id": 1}}],
    [{"$group": {"_id": {"$type": "$size"}, "n": {"$sum": 1}}}, {"$sort": {"_id": 1}}],
    [
        {"$group": {"_id": "$n", "number": {"$sum": 1}}},
        {"$match": {"_id": {"$ne": None}}},
        {"$sort": {"_id": 1}},
    ],
    [{"$group": {"_id": "$n", "u": {"$min": "$uri"}}}, {"$sort": {"_id": 1}}, {"$set": {"n": "$_id"}}],
    [{"$match": {"size": {"$type": "number"}}}, {"$group": {"_id": None, "a": {"$avg": "$size"}}}],
    [SORT, {"$unwind": "$tags"}, {"$project": {"uri": 1, "tags": 1}}],
    [SORT, {"$unwind": {"path": "$tags", "preserveNullAndEmptyArrays": True}}, {"$unset": "in"}],
    [SORT, {"$unwind": {"path": "$tags", "includeArrayIndex": "place"}}, {"$unset": "in"}],
    [
        SORT,
        {"$unwind": {"path": "$in.a", "includeArrayIndex": "in.place", "preserveNullAndEmptyArrays": True}},
    ],
    [SORT, {"$unwind": "$in.b.c"}],
    [{"$unwind": "$tags"}, {"$sortByCount": "$tags"}, {"$sort": {"count": -1, "_id": 1}}],
    [{"$sortByCount": {"$size": {"$ifNull": ["$missing", []]}}}],
    [SORT, {"$project": {"uri": 1, "x": {"$add": ["$size", 1]}}}, {"$limit": 3}],
    [
        SORT,
        {"$limit": 3},
        {"$project": {"uri": 1, "x": {"$subtract": ["$size", 1.5]}, "y": {"$multiply": ["$size", "$n"]}}},
    ],
    [
        SORT,
        {
            "$project": {
                "uri": 1,
                "x": {"$cond": [{"$eq": ["$n", 1]}, "one", {"$cond": {"if": "$n", "then": 2, "else": 3}}]},
            }
        },
    ],
    [
        SORT,
        {"$project": {"x": {"$and": ["$n", "$size"]}, "y": {"$or": ["$n", "$in"]}, "z": {"$not": ["$n"]}}},
    ],
    [
        SORT,
        {
            "$project": {
                "x": {"$lt": ["$n", "$size"]},
                "y": {"$gte": ["$n", "$in"]},
                "z": {"$cmp": ["$tags", "$in"]},
            }
        },
    ],
    [
        SORT,
        {"$project": {"x": {"$isArray": "$in"}, "y": {"$type": "$in.a"}, "z": {"$eq": ["$missing", None]}}},
    ],
    [SORT, {"$match": {"uri": {"$in": ["a", "b", "k"]}}}, {"$project": {"x": {"$objectToArray": "$in"}}}],
    [
        SORT,
        {"$match": {"uri": {"$in": ["a", "c", "h"]}}},
        {"$project": {"x": {"$arrayElemAt": ["$tags", -1]}, "y": {"$in": ["y", "$tags"]}}},
    ],
    [SORT, {"$project": {"x": {"$concat": ["$uri", "-", "$missing"]}, "y": {"$concat": ["$uri", "!"]}}}],
    [
        SORT,
        {"$match": {"uri": {"$in": ["a", "c", "k", "m"]}}},
        {
            "$project": {
                "x": {"$divide": ["$size", 4]},
                "y": {"$mod": ["$size", 3]},
                "z": {"$floor": "$size"},
                "w": {"$ceil": "$size"},
                "v": {"$abs": "$size"},
            }
        },
    ],
    [
        SORT,
        {"$match": {"uri": {"$in": ["g", "h"]}}},
        {"$project": {"x": {"$add": ["$size", "$size"]}, "y": {"$multiply": ["$size", 4]}}},
    ],
    [
        SORT,
        {"$match": {"n": {"$not": {"$type": ["array", "object", "bool"]}}}},
        {"$project": {"x": {"$toLower": "$n"}, "y": {"$toUpper": {"$divide": [1e300, 7]}}}},
    ],
    [
        {"$match": {"uri": {"$in": ["f", "g", "k"]}}},
        SORT,
        {
            "$project": {
                "x": {"$mod": ["$size", 7.0]},
                "y": {"$mod": ["$size", -3e9]},
                "z": {"$mod": [{"$add": ["$size", 0.0]}, 7]},
            }
        },
    ],
    [{"$match": {"uri": {"$in": ["g", "h"]}}}, {"$group": {"_id": 1, "x": {"$sum": "$size"}}}],
    [
        {"$group": {"_id": {"$cond": [{"$gt": ["$size", 1]}, "large", "small"]}, "u": {"$sum": 1}}},
        {"$sort": {"_id": 1}},
    ],
    [SORT, {"$limit": 5}, {"$group": {"_id": "$$ROOT.n", "r": {"$push": "$$ROOT"}}}, {"$sort": {"_id": 1}}],
    # Filters behind another stage
    [SORT, {"$set": {"m": "$n"}}, {"$match": {"m": 1}}],
    [SORT, {"$set": {"m": "$n"}}, {"$match": {"m": {"$in": [None, "2", [3, 1]]}}}],
    [SORT, {"$set": {"m": "$in"}}, {"$match": {"m.a": {"$gt": 1}}}],
    [SORT, {"$set": {"m": "$in"}}, {"$match": {"m.a": None}}],
    [SORT, {"$set": {"m": "$in"}}, {"$match": {"m.a": {"$exists": False}}}],
    [SORT, {"$set": {"m": "$in"}}, {"$match": {"m.0": {"$exists": True}}}],
    [SORT, {"$set": {"m": "$in"}}, {"$match": {"m.0.a": {"$gte": 1}}}],
    [SORT, {"$set": {"m": "$in"}}, {"$match": {"m": {"$elemMatch": {"a": {"$gt": 4}}}}}],
    [SORT, {"$set": {"m": "$tags"}}, {"$match": {"m": {"$elemMatch": {"$gt": "x", "$lt": "z"}}}}],
    [SORT, {"$set": {"m": "$tags"}}, {"$match": {"m": {"$all": ["x", "y"]}}}],
    [SORT, {"$set": {"m": "$tags"}}, {"$match": {"m": {"$size": 2}}}],
    [SORT, {"$set": {"m": "$tags"}}, {"$match": {"m": {"$type": "array"}}}],
    [SORT, {"$set": {"m": "$tags"}}, {"$match": {"m": ["x"]}}],
    [SORT, {"$set": {"m": "$n"}}, {"$match": {"m": {"x": 1, "y": 2}}}],
    [SORT, {"$set": {"m": "$n"}}, {"$match": {"m": {"$not": {"$gte": 1}}}}],
    [SORT, {"$set": {"m": "$n"}}, {"$match": {"$nor": [{"m": 1}, {"m": {"$lte": None}}]}}],
    [SORT, {"$set": {"m": "$size"}}, {"$match": {"m": {"$mod": [3, 0]}}}],
    [SORT, {"$set": {"m": "$name"}}, {"$match": {"m": {"$regex": "^r.c", "$options": "i"}}}],
    [SORT, {"$set": {"m": "$name"}}, {"$match": {"$or": [{"m": {"$lt": "b"}}, {"m": {"$gt": "s"}}]}}],
]


@pytest.fixture(scope="module")
def judge(mongod: Mongod) -> Iterator[Judge]:
    """Gives what MongoDB makes of the documents; None where it refuses."""
    with pymongo.MongoClient(mongod.uri) as client:
        name = f"judge_{uuid.uuid4().hex}"
        client[name].documents.insert_many([dict(document) for document in DOCUMENTS])

        def answer(pipeline: list[Document]) -> Any:
            try:
                found = client[name].documents.aggregate([{"$unset": "_id"}, *pipeline])
                return [without_id(document) for document in found]
            except OperationFailure:
                return None

        yield answer
        client.drop_database(name)


def without_id(document: Document) -> Document:
    return {key: value for key, value in document.items() if key != "_id"}


def ours(pipeline: list[Document]) -> Any:
    """Return what the server makes of the documents; None where it refuses."""
    try:
        return parse_pipeline(pipeline).run(DOCUMENTS, TimeLimit(10), slice(0, 1000))[0]
    except InvalidValueError:
        return None


def alike(value: Any) -> str:
    """Return a text that is the same for the same answers: floats without their last digits, and sets in order."""
    return json.dumps(_rounded(value), sort_keys=True)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(item) if key == "set" else _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    if isinstance(value, float):
        return f"float {value:.14g}" if math.isfinite(value) else repr(value)
    return value


def _sorted(values: list[Any]) -> list[Any]:
    return sorted((_rounded(item) for item in values), key=repr)


@pytest.mark.parametrize("pipeline", PIPELINES, ids=lambda pipeline: json.dumps(pipeline)[:100])
def test_an_aggregation_is_what_mongodb_makes_it(pipeline: list[Document], judge: Judge) -> None:
    expected = judge(pipeline)
    assert expected is not None
    assert alike(ours(pipeline)) == alike(expected)


#: What the server understands, but cannot do with these documents.
IMPOSSIBLE: list[Any] = [
    [{"$sort": {"tags": 1, "n": 1}}],
    [{"$project": {"x": {"$add": ["$size", 1]}}}],
    [{"$project": {"x": {"$divide": ["$missing", 0]}, "y": {"$divide": [1, 0]}}}],
    [{"$project": {"x": {"$mod": [1, 0]}}}],
    [{"$project": {"x": {"$size": "$tags"}}}],
    [{"$project": {"x": {"$concat": ["$uri", "$n"]}}}],
    [{"$project": {"x": {"$in": [1, "$tags"]}}}],
    [{"$project": {"x": {"$arrayElemAt": ["$tags", 1.5]}}}],
    [{"$project": {"x": {"$objectToArray": "$in"}}}],
    [{"$project": {"x": {"$multiply": ["$uri", 2]}}}],
    [{"$project": {"x": {"$subtract": [2, "$uri"]}}}],
    [{"$project": {"x": {"$floor": "$uri"}}}],
    [{"$project": {"x": {"$toLower": "$n"}}}],
    [{"$project": {"x": {"$abs": {"$literal": -(2**63)}}}}],
]


@pytest.mark.parametrize("pipeline", IMPOSSIBLE, ids=lambda pipeline: json.dumps(pipeline)[:100])
def test_what_mongodb_cannot_do_is_refused(pipeline: list[Document], judge: Judge) -> None:
    assert judge(pipeline) is None
    assert ours(pipeline) is None


#: What MongoDB does not take, either.
WRONG: list[Any] = [
    [{}],
    [{"$limit": 0}],
    [{"$limit": -1}],
    [{"$limit": 1.5}],
    [{"$limit": "1"}],
    [{"$skip": -1}],
    [{"$sort": {}}],
    [{"$sort": {"a": 0}}],
    [{"$sort": {"a": "x"}}],
    [{"$sort": {"a..b": 1}}],
    [{"$sort": {"$a": 1}}],
    [{"$project": {}}],
    [{"$project": {"a": 1, "b": 0}}],
    [{"$project": {"a": {}}}],
    [{"$project": {"a": 1, "a.b": 1}}],
    [{"$project": {"a.b": 1, "a": 1}}],
    [{"$project": {"$a": 1}}],
    [{"$project": {"a": "$"}}],
    [{"$project": {"a": "$b..c"}}],
    [{"$project": {"a": "$b.$c"}}],
    [{"$project": {"a": {"$add": 1, "b": 2}}}],
    [{"$project": {"a": {"$eq": 1}}}],
    [{"$project": {"a": {"$cond": [1, 2]}}}],
    [{"$project": {"a": {"$cond": {"if": 1, "then": 2}}}}],
    [{"$project": {"a": {"x": {"$literal": 1}, "b.c": {"$literal": 1}, "b": 1}}}],
    [{"$set": {"a": {"b": 1}, "a.b": 2}}],
    [{"$unset": []}],
    [{"$unset": 1}],
    [{"$unset": ["a", "a"]}],
    [{"$unset": ["a", "a.b"]}],
    [{"$unset": "$a"}],
    [{"$count": ""}],
    [{"$count": "$a"}],
    [{"$count": "a.b"}],
    [{"$count": 1}],
    [{"$unwind": "a"}],
    [{"$unwind": {}}],
    [{"$unwind": {"path": "$a", "other": 1}}],
    [{"$unwind": {"path": "$a", "includeArrayIndex": "$b"}}],
    [{"$unwind": {"path": "$a", "preserveNullAndEmptyArrays": 1}}],
    [{"$unwind": {"path": "$a", "includeArrayIndex": ""}}],
    [{"$group": {}}],
    [{"$group": {"a": {"$sum": 1}}}],
    [{"$group": {"_id": 1, "a": 1}}],
    [{"$group": {"_id": 1, "a": {"$sum": 1, "$avg": 1}}}],
    [{"$group": {"_id": 1, "a.b": {"$sum": 1}}}],
    [{"$group": {"_id": 1, "$a": {"$sum": 1}}}],
    [{"$group": {"_id": 1, "a": {"$count": 1}}}],
    [{"$group": {"_id": 1, "a": {"$sum": ["$n", 1]}}}],
    [{"$group": {"_id": 1, "a": {"$nothing": 1}}}],
    [{"$group": {"_id": {"a.b": 1}}}],
    [{"$sortByCount": "n"}],
    [{"$sortByCount": {"a": 1}}],
    [{"$match": {"a": {"$nothing": 1}}}],
    [{"$match": 1}],
    [{"$limit": 1, "$skip": 1}],
]


@pytest.mark.parametrize("pipeline", WRONG, ids=lambda pipeline: json.dumps(pipeline)[:100])
def test_what_is_no_aggregation_is_refused(pipeline: list[Document], judge: Judge) -> None:
    assert judge(pipeline) is None
    with pytest.raises(InvalidValueError, match=r"^aggregation: "):
        parse_pipeline(pipeline)


@pytest.mark.parametrize(
    "pipeline",
    [
        [{"$sort": {"name": 1, "uri": 1}}, {"$set": {"x": "$n"}}],
        [{"$sort": {"size": -1, "uri": 1}}, {"$limit": 11}, {"$unset": "in"}],
        [{"$group": {"_id": "$uri", "u": {"$first": "$uri"}}}, {"$sort": {"u": -1}}],
        [{"$sort": {"uri": 1}}, {"$unwind": "$tags"}],
    ],
)
def test_pages_are_parts_of_the_whole(pipeline: list[Document]) -> None:
    parsed = parse_pipeline(pipeline)
    whole, total = parsed.run(DOCUMENTS, TimeLimit(10), slice(0, 1000))
    assert total == len(whole)
    pages = [
        parsed.run(DOCUMENTS, TimeLimit(10), slice(start, start + 4)) for start in range(0, total + 4, 4)
    ]
    assert [document for page, _ in pages for document in page] == whole
    assert {number for _, number in pages} == {total}


# Anything that is right

_FIELDS = [
    "n",
    "size",
    "name",
    "tags",
    "in",
    "in.a",
    "in.b",
    "in.b.c",
    "in.0",
    "in.a.0",
    "missing",
    "tags.k",
    "in.a.b",
]
_field = st.sampled_from(_FIELDS)
_path = _field.map(lambda name: f"${name}")
_value = st.sampled_from(
    [
        None,
        0,
        1,
        2,
        3,
        2.5,
        -3,
        1.0,
        True,
        False,
        "",
        "x",
        "y",
        "rice",
        "2",
        [],
        ["x"],
        [3, 1],
        {},
        {"x": 1},
        {"a": 1},
    ]
)
_expression = st.recursive(
    _path | _value.map(lambda value: {"$literal": value}),
    lambda inner: st.one_of(
        st.tuples(
            st.sampled_from(["$eq", "$ne", "$gt", "$lte", "$cmp", "$ifNull"]), st.tuples(inner, inner)
        ).map(lambda pair: {pair[0]: list(pair[1])}),
        st.tuples(st.sampled_from(["$and", "$or"]), st.lists(inner, max_size=3)).map(
            lambda pair: {pair[0]: pair[1]}
        ),
        st.tuples(st.sampled_from(["$not", "$type", "$isArray"]), inner).map(
            lambda pair: {pair[0]: [pair[1]]}
        ),
        st.tuples(inner, inner, inner).map(lambda three: {"$cond": list(three)}),
        st.lists(inner, max_size=2),
        st.dictionaries(st.sampled_from(["p", "q"]), inner, min_size=1, max_size=2),
    ),
    max_leaves=5,
)
_condition = st.one_of(
    st.tuples(st.sampled_from(["$eq", "$ne"]), _value).map(lambda pair: {pair[0]: pair[1]}),
    st.tuples(
        st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), st.sampled_from([None, 0, 1, 2.5, "x", "rice", True])
    ).map(lambda pair: {pair[0]: pair[1]}),
    st.tuples(st.sampled_from(["$in", "$nin", "$all"]), st.lists(_value, max_size=3)).map(
        lambda p: {p[0]: p[1]}
    ),
    st.booleans().map(lambda wanted: {"$exists": wanted}),
    st.integers(0, 3).map(lambda size: {"$size": size}),
    st.sampled_from(["number", "string", "array", "object", "bool", "null", "double", "int", "long"]).map(
        lambda name: {"$type": name}
    ),
    st.sampled_from(["^r", "e$", "[a-z]{2}", "X"]).map(lambda text: {"$regex": text, "$options": "i"}),
    st.tuples(st.integers(1, 3), st.integers(0, 2)).map(lambda pair: {"$mod": list(pair)}),
)
_any_condition = st.one_of(
    _condition,
    _condition.map(lambda condition: {"$not": condition}),
    _condition.map(lambda condition: {"$elemMatch": condition}),
    st.tuples(st.sampled_from(["a", "k", "0", "b"]), _condition).map(
        lambda pair: {"$elemMatch": {pair[0]: pair[1]}}
    ),
)
_filter = st.recursive(
    st.dictionaries(_field.map(lambda name: f"m.{name}"), _any_condition, min_size=1, max_size=2),
    lambda inner: st.tuples(
        st.sampled_from(["$and", "$or", "$nor"]), st.lists(inner, min_size=1, max_size=3)
    ).map(lambda pair: {pair[0]: pair[1]}),
    max_leaves=3,
)
_accumulator = st.tuples(
    st.sampled_from(["$sum", "$avg", "$min", "$max", "$first", "$last", "$push"]),
    _expression.filter(lambda e: not isinstance(e, list)),
).map(lambda pair: {pair[0]: pair[1]})
_stages = st.one_of(
    _filter.map(lambda query: [{"$set": {"m": "$$ROOT"}}, {"$match": query}, {"$unset": "m"}]),
    # Of an array of objects and others, MongoDB may lose the others before it sorts, if only a field is needed.
    st.tuples(st.sampled_from(["n", "size", "name", "tags", "in", "missing"]), st.sampled_from([1, -1])).map(
        lambda pair: [{"$sort": {pair[0]: pair[1], "uri": 1}}]
    ),
    st.dictionaries(_field, st.just(1), min_size=1, max_size=2).map(
        lambda spec: [{"$project": {**spec, "uri": 1}}]
    ),
    st.dictionaries(_field, st.just(0), min_size=1, max_size=2).map(lambda spec: [{"$project": spec}]),
    st.dictionaries(_field, _expression, min_size=1, max_size=2).map(lambda spec: [{"$addFields": spec}]),
    st.dictionaries(_field, _expression, min_size=1, max_size=2).map(
        lambda spec: [{"$project": {**spec, "uri": 1}}]
    ),
    _path.map(lambda path: [{"$unwind": path}]),
    _path.map(
        lambda path: [
            {"$unwind": {"path": path, "preserveNullAndEmptyArrays": True, "includeArrayIndex": "i"}}
        ]
    ),
    st.tuples(_expression, _accumulator, _accumulator).map(
        lambda three: [
            {"$group": {"_id": three[0], "x": three[1], "y": three[2], "uri": {"$min": "$uri"}}},
            {"$sort": {"uri": 1}},
        ]
    ),
)


@given(stages=st.lists(_stages, min_size=1, max_size=3))
@settings(max_examples=150)
def test_any_aggregation_is_what_mongodb_makes_it(judge: Judge, stages: list[list[Document]]) -> None:
    pipeline = [{"$sort": {"uri": 1}}, *(stage for some in stages for stage in some)]
    expected = judge(pipeline)
    assert (ours(pipeline) is None) == (expected is None)
    if expected is not None:
        assert alike(ours(pipeline)) == alike(expected)
