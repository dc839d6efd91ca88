"""From the query language to what MongoDB understands."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pymongo.collection import Collection

from dservercore.dataset.analysis import BREAK
from dservercore.dataset.fields import TIMES
from dservercore.dataset.file_names import Pattern, pattern_of
from dservercore.dataset.query_tree import (
    All,
    Annotated,
    AnyOf,
    Bounds,
    Column,
    Exactly,
    FileName,
    InBaseURI,
    Node,
    Not,
    Query,
    Term,
    Text,
    Within,
)
from dservercore.plugins.mongo.documents import is_text
from dservercore.plugins.mongo.index import PHRASES, parts_of
from dservercore.plugins.tokens.index import Part
from dservercore.plugins.tokens.index_document import FORM, facet_of

Filter = dict[str, Any]

TOKENS = "_search.tokens"

_ANY_OF = {
    "base_uris": "base_uri",
    "creator_usernames": "creator_username",
    "uuids": "_search.uuid",
    "uploaded_by": "uploaded_by",
}

_EXACTLY = {"creator": "creator_username", "uuid": "_search.uuid", "tag": "tags", "uploader": "uploaded_by"}

_LOOKED_UP = 4

# -- Which datasets match --------------------------------------------------------------------------------------------


def filters_of(query: Mapping[str, Any]) -> list[Filter]:
    """Return the conditions that a dataset must fulfil, all of them, for the filters of a query.

    :param query: lists of str under any of the keys of ``_ANY_OF``, and ``tags``; words are ignored
    """
    conditions: list[Filter] = []
    for name, field in _ANY_OF.items():
        if query.get(name):
            values = [value.lower() if name == "uuids" else value for value in query[name] if is_text(value)]
            conditions.append({field: values[0] if len(values) == 1 else {"$in": values}})
    tags = query.get("tags") or []
    if not all(map(is_text, tags)):
        return [{"uri": {"$in": []}}]  # no dataset has a tag that BSON cannot encode
    return [*conditions, *([{"tags": {"$all": list(tags)}}] if tags else [])]


def words_of(collection: Collection[dict[str, Any]], query: Query) -> list[Filter]:
    """Return the conditions that a dataset must fulfil, all of them, for what a query asks.

    :param collection: of the datasets; the parts beside their documents are looked into at once
    """
    conditions = _Conditions(collection)
    return _few_to_choose_from([conditions.of(node) for node in query.nodes])


class _Conditions:
    """Makes conditions of nodes, looking into the parts beside the documents where there are any."""

    def __init__(self, collection: Collection[dict[str, Any]]) -> None:
        self._parts = parts_of(collection)
        # Few datasets have parts. Any URI is greater than an empty one: so the index answers this.
        self._has_parts = self._parts.find_one({"uri": {"$gt": ""}}, {"_id": False, "uri": True}) is not None

    def of(self, node: Node) -> Filter:
        """Return the condition of a node."""
        if isinstance(node, AnyOf):
            return _any([self.of(each) for each in node.nodes])
        if isinstance(node, All):
            return {"$and": [self.of(each) for each in node.nodes]}
        if isinstance(node, Not):
            return {"$nor": [self.of(node.node)]}
        if isinstance(node, Text):
            columns = (node.column,) if node.column else PHRASES
            own = _has(node.term, TOKENS, [f"$_search.columns.{column}" for column in columns], node.column)
            return self._or_in_parts(own, _has(node.term, "tokens", ["$text"]), node.column)
        if isinstance(node, FileName):
            pattern = pattern_of(node)
            own = _fits(pattern, TOKENS, "$_search.columns.files")
            return self._or_in_parts(own, _fits(pattern, "tokens", "$text"), "files")
        if isinstance(node, Exactly) and node.kind == "value":
            value = facet_of(node)
            return self._or_in_parts({TOKENS: value}, {"tokens": value}, "annotations")
        return _condition_of(node)

    def _or_in_parts(self, own: Filter, part: Filter, column: Column | None) -> Filter:
        if not self._has_parts:
            return own
        elsewhere = self._parts.distinct("generation", {**part, **({"column": column} if column else {})})
        return _any([own, {"_search.parts": {"$in": elsewhere}}]) if elsewhere else own


def _condition_of(node: Exactly | Within | Annotated | InBaseURI) -> Filter:
    if isinstance(node, Exactly):
        if node.kind in ("missing", "name"):
            return {TOKENS if node.kind == "missing" else "_search.named": facet_of(node)}
        if not is_text(node.value):
            return {"uri": {"$in": []}}
        return {_EXACTLY[node.kind]: node.value}
    if isinstance(node, InBaseURI):
        if not is_text(node.text):
            return {"uri": {"$in": []}}
        return {"base_uri": re.compile(re.escape(node.text), re.IGNORECASE)}
    if isinstance(node, Annotated):
        return {"_search.numbers": {"$elemMatch": {"name": node.name, "value": _within(node.bounds)}}}
    is_time = node.field in TIMES
    return {f"_search.{node.field}" if is_time else node.field: _within(node.bounds)}


def _within(bounds: Bounds) -> Filter:
    found: Filter = {}
    if bounds.least is not None:
        found["$gt" if bounds.without_least else "$gte"] = bounds.least
    if bounds.most is not None:
        found["$lt" if bounds.without_most else "$lte"] = bounds.most
    return found


def _fits(pattern: Pattern, tokens: str, text: str) -> Filter:
    """Return the condition that a name of a file fits.

    :param tokens: name of the field with the tokens
    :param text: expression of the text of all names
    """
    words = list(dict.fromkeys(token for phrase in pattern.phrases for token in phrase if token != BREAK))
    fits = {"$regexMatch": {"input": {"$ifNull": [text, ""]}, "regex": {"$literal": pattern.expression}}}
    return {"$expr": fits, **({tokens: {"$all": words}} if words else {})}


def _few_to_choose_from(conditions: list[Filter]) -> list[Filter]:
    """Return equivalent conditions, of which only the longest words can be looked up in the index.

    The server tries with which word to begin, which takes seconds where it can choose among a hundred.
    """
    words = sorted((c[TOKENS] for c in conditions if isinstance(c.get(TOKENS), str)), key=len, reverse=True)
    if len(words) <= _LOOKED_UP:
        return conditions
    others = [condition for condition in conditions if not isinstance(condition.get(TOKENS), str)]
    checked = {"$setIsSubset": [{"$literal": words[_LOOKED_UP:]}, {"$ifNull": [f"${TOKENS}", []]}]}
    return [*({TOKENS: word} for word in words[:_LOOKED_UP]), {"$expr": checked}, *others]


def _any(alternatives: Sequence[Filter]) -> Filter:
    words = [part.get(TOKENS) for part in alternatives]
    if all(isinstance(word, str) for word in words):
        return {TOKENS: {"$in": words}}
    return {"$or": list(alternatives)}


def _has(term: Term, tokens: str, texts: Iterable[str], column: Column | None = None) -> Filter:
    """Return the condition that a term occurs in a document.

    :param tokens: name of the field with the tokens
    :param texts: expressions of the texts, in one of which the tokens of a phrase follow each other
    :param column: where the term must occur; *texts* has this alone then
    """
    if not term.tokens:
        begin = re.escape(term.prefix or "")
        begins = {tokens: {"$in": [re.compile(f"^{begin}"), re.compile(f"^{FORM}{begin}")]}}
        if column is None:
            return begins
        phrases = [f" {term.prefix}", f" {FORM}{term.prefix}"]
        return {**begins, "$expr": _occurs(phrases, texts)}
    if term.prefix is None and len(term.tokens) == 1 and column is None:
        return {tokens: term.tokens[0]}
    phrases = [f" {' '.join(term.tokens)} "]
    if term.prefix is not None:
        phrases = [f"{phrases[0]}{term.prefix}", f"{phrases[0]}{term.whole} "]
    return {tokens: {"$all": list(dict.fromkeys(term.tokens))}, "$expr": _occurs(phrases, texts)}


def _occurs(phrases: Iterable[str], texts: Iterable[str]) -> Any:
    # Not by a regular expression: their length is limited, and this is as fast.
    return {
        "$or": [
            {"$gte": [{"$indexOfBytes": [text, {"$literal": phrase}]}, 0]}
            for text in texts
            for phrase in phrases
        ]
    }


# -- How well they match ---------------------------------------------------------------------------------------------


def relevance_of(query: Query, count: Callable[[Filter], int]) -> Any:
    """Return the expression of how relevant a dataset is: BM25, each word weighted by where it stands.

    :param count: returns how many of the datasets that the asker may search fulfil a condition; if other datasets were
        counted, the order of an answer would tell of them
    """
    terms = query.terms
    # The rarity of a single term changes no order.
    rarities = _rarities(terms, count) if len(terms) > 1 else [1.0 for _ in terms]
    return {"$add": [_share(term, rarity) for term, rarity in zip(terms, rarities, strict=True)] or [0]}


def relevance_of_parts(parts: Sequence[Part]) -> Any:
    """Return the expression of how relevant a dataset is that need not have every part.

    It is what the parts add, each as the best of its ways, times the share of all parts that the dataset has.
    """
    shares = []
    for part in parts:
        ways = []
        for way in part.ways:
            tokens = list(dict.fromkeys(token for term in way.terms for token in term.tokens))
            share = _share(Term(tuple(tokens)), part.rarity * way.worth)
            has = {"$setIsSubset": [{"$literal": tokens}, {"$ifNull": [f"${TOKENS}", []]}]}
            ways.append({"$cond": [has, share, 0]})
        shares.append({"$max": ways})
    covered = [
        {"$cond": [{"$gt": [{"$arrayElemAt": ["$$shares", place]}, 0]}, 1 / len(parts), 0]}
        for place in range(len(parts))
    ]
    return {
        "$let": {"vars": {"shares": shares}, "in": {"$multiply": [{"$sum": "$$shares"}, {"$add": covered}]}}
    }


def _rarities(terms: Sequence[Term], count: Callable[[Filter], int]) -> list[float]:
    """Return the inverse document frequency of each term; that of its rarest token, for a phrase."""
    number = count({})
    rarities = []
    for term in terms:
        conditions: list[Filter] = [{TOKENS: token} for token in dict.fromkeys(term.tokens)]
        having = min(map(count, conditions or [_has(term, TOKENS, [])]))
        rarities.append(
            max(math.log((number - having + 0.5) / (having + 0.5)) if having <= number else 0, 1e-6)
        )
    return rarities


def _share(term: Term, rarity: float) -> Any:
    """Return the expression of what a term adds to the relevance of a dataset: as much as its lightest word."""
    other = {"$ifNull": ["$_search.other", 0]}
    ratios = [_ratio(token, other) for token in dict.fromkeys(term.tokens)]
    # The words that a prefix stands for weigh as little as any: looking for them would take milliseconds.
    ratio = {"$min": ratios} if len(ratios) > 1 else ratios[0] if ratios else other
    saturated = {"$divide": [{"$multiply": [rarity, "$$ratio"]}, {"$add": ["$$ratio", 1]}]}
    return {"$let": {"vars": {"ratio": ratio}, "in": saturated}}


def _ratio(token: str, other: Any) -> Any:
    place = {"$indexOfArray": [{"$ifNull": ["$_search.tokens", []]}, {"$literal": token}]}
    # Beyond the end of the array there is nothing, as for words that are not among those that count most.
    found = {"$ifNull": [{"$arrayElemAt": ["$_search.weights", "$$place"]}, other]}
    return {"$let": {"vars": {"place": place}, "in": {"$cond": [{"$lt": ["$$place", 0]}, other, found]}}}
