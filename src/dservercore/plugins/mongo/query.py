"""From the query language to what MongoDB understands."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pymongo.collection import Collection

from dservercore.plugins.index_document import FORM
from dservercore.plugins.mongo.documents import is_text
from dservercore.plugins.mongo.index import PHRASES, parts_of
from dservercore.text_query import Query, Term, stem

Filter = dict[str, Any]

TOKENS = "_search.tokens"

_ANY_OF = {
    "base_uris": "base_uri",
    "creator_usernames": "creator_username",
    "uuids": "_search.uuid",
    "uploaded_by": "uploaded_by",
}

_LOOKED_UP = 4

# The parameters of BM25, and about how many tokens a dataset has.
_K1, _B, _AVERAGE_LENGTH = 1.2, 0.75, 400


# -- Which datasets match --------------------------------------------------------------------------------------------


def filters_of(query: Mapping[str, Any]) -> list[Filter]:
    """Return the conditions that all must hold, apart from those on words."""
    conditions: list[Filter] = []
    for name, field in _ANY_OF.items():
        if query.get(name):
            values = [value.lower() if name == "uuids" else value for value in query[name] if is_text(value)]
            conditions.append({field: values[0] if len(values) == 1 else {"$in": values}})
    tags = query.get("tags") or []
    if not all(map(is_text, tags)):
        return [{"uri": {"$in": []}}]  # such a tag is nowhere, and cannot even be asked for
    return [*conditions, *([{"tags": {"$all": list(tags)}}] if tags else [])]


def words_of(collection: Collection[dict[str, Any]], query: Query) -> list[Filter]:
    """Return the conditions on words, that all must hold.

    :param collection: asked for datasets that have a word in a part of their own
    """
    # Few have any. Any URI is greater than an empty one: so the index answers, and not the collection.
    has_parts = parts_of(collection).find_one({"uri": {"$gt": ""}}, {"_id": False, "uri": True}) is not None

    def condition(term: Term) -> list[Filter]:
        """Return what a dataset with the term fulfils one of."""
        alternatives = [_has(term, TOKENS, [f"$_search.columns.{column}" for column in PHRASES])]
        if has_parts:
            elsewhere = parts_of(collection).distinct("generation", _has(term, "tokens", ["$text"]))
            alternatives += [{"_search.parts": {"$in": elsewhere}}] if elsewhere else []
        return alternatives

    conditions = []
    for any_of in query.all_of:
        alternatives = [part for term in any_of.terms for part in condition(term)]
        conditions.append(alternatives[0] if len(alternatives) == 1 else _any(alternatives))
    conditions = _few_to_choose_from(conditions)
    unwanted = [part for term in query.none_of for part in condition(term)]
    return [*conditions, *([{"$nor": unwanted}] if unwanted else [])]


def _few_to_choose_from(conditions: list[Filter]) -> list[Filter]:
    """Return the conditions, of which the server looks only the longest words up in the index.

    It tries every word that it could begin with, which takes seconds for a hundred of them.
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


def _has(term: Term, tokens: str, texts: Iterable[str]) -> Filter:
    """Return the condition that a term occurs.

    :param tokens: the field with the tokens
    :param texts: expressions of the texts, in one of which the tokens of a phrase follow each other
    """
    if term.prefix is None and len(term.tokens) == 1:
        return {tokens: term.tokens[0]}
    if not term.tokens:
        begin = re.escape(term.prefix or "")
        return {tokens: {"$in": [re.compile(f"^{begin}"), re.compile(f"^{FORM}{begin}")]}}
    phrases = [f" {' '.join(term.tokens)} "]
    if term.prefix is not None:
        phrases = [f"{phrases[0]}{term.prefix}", f"{phrases[0]}{stem(term.prefix)} "]
    # Not by a regular expression: their length is limited, and this is as fast.
    found = [
        {"$gte": [{"$indexOfBytes": [text, {"$literal": phrase}]}, 0]} for text in texts for phrase in phrases
    ]
    return {tokens: {"$all": list(dict.fromkeys(term.tokens))}, "$expr": {"$or": found}}


# -- How well they match ---------------------------------------------------------------------------------------------


def relevance_of(query: Query, count: Callable[[Filter], int]) -> Any:
    """Return the expression of how relevant a dataset is: BM25, each word weighted by where it stands.

    :param count: returns how many of the datasets that the asker may search fulfil a condition; of others nothing is
        counted, because the order of an answer would tell of it
    """
    terms = query.terms
    # Of a single one it changes no order.
    rarities = _rarities(terms, count) if len(terms) > 1 else [1.0 for _ in terms]
    shares = [_share(term, rarity) for term, rarity in zip(terms, rarities, strict=True)]
    norm = {
        "$add": [
            _K1 * (1 - _B),
            {"$multiply": [_K1 * _B / _AVERAGE_LENGTH, {"$ifNull": ["$_search.length", 0]}]},
        ]
    }
    return {"$let": {"vars": {"norm": norm}, "in": {"$add": shares or [0]}}}


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
    """Return the expression of what a term adds to the relevance of a dataset."""
    weights = [_weight(token) for token in dict.fromkeys(term.tokens)]
    # A word that begins so weighs as one in the README: going through all words of a dataset takes milliseconds.
    weight = {"$min": weights} if len(weights) > 1 else weights[0] if weights else 1
    saturated = {
        "$divide": [{"$multiply": [rarity * (_K1 + 1), "$$weight"]}, {"$add": ["$$weight", "$$norm"]}]
    }
    return {"$let": {"vars": {"weight": weight}, "in": saturated}}


def _weight(token: str) -> Any:
    place = {"$indexOfArray": [{"$ifNull": ["$_search.tokens", []]}, {"$literal": token}]}
    weight = {"$arrayElemAt": ["$_search.weights", "$$place"]}
    return {"$let": {"vars": {"place": place}, "in": {"$cond": [{"$lt": ["$$place", 0]}, 0, weight]}}}
