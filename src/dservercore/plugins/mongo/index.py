"""What is stored of a dataset to find it by its words: the part ``_search`` of its document.

MongoDB's own text index splits, stems and joins words by other rules than the query language has, and there can be
only one in a collection. So the tokens that every search plugin stores are stored here too: ``tokens``, each once, with
a multikey index; ``weights``, how much each counts for relevance, in the same order; ``columns``, the text in which
phrases are looked for; ``length``, the number of all tokens.

What has more text than a document has room for is stored in parts beside it (:func:`parts_of`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bson import ObjectId
from pymongo import InsertOne
from pymongo.collection import Collection

from dservercore.plugins.index_document import text_columns
from dservercore.plugins.mongo.documents import exact_fields
from dservercore.text_query import BREAK, MAX_QUERY_TOKENS

#: Another version of what is stored. Documents with another one are indexed anew.
VERSION = 1

#: How much a word counts for relevance, by where it stands.
WEIGHTS = {"name": 12.0, "tags": 9.0, "lead": 7.0, "readme": 1.0, "annotations": 1.0, "rest": 0.5}

#: The columns that phrases are looked for in; ``lead`` is the beginning of ``readme``.
PHRASES = ("name", "tags", "readme", "annotations", "rest")

#: Characters of a column that the dataset's own document has room for, and characters of a part.
COLUMN_CHARACTERS = 300_000
PART_CHARACTERS = 1_000_000

# Parts that go to the server at once.
_BATCH = 4

Columns = Mapping[str, str]


def parts_of(collection: Collection[dict[str, Any]]) -> Collection[dict[str, Any]]:
    """Return the collection that holds what is too long for the documents of a collection of datasets."""
    return collection.database[f"{collection.name}.words"]


def index_of(collection: Collection[dict[str, Any]], dataset_info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part ``_search`` of a dataset's document, and store what is too long for it.

    Until the document is replaced, the parts that the old one has stay; :func:`forget_others` removes them then.
    """
    own, rest = _split(text_columns(dataset_info))
    generation = ObjectId() if rest else None
    _store_parts(collection, dataset_info["uri"], generation, rest)
    return {
        **exact_fields(dataset_info),
        **_searchable(own),
        "parts": generation,
        "version": VERSION,
        "revision": ObjectId(),
    }


def changes_of(
    collection: Collection[dict[str, Any]], uri: str, current: Mapping[str, Any], changed: Columns
) -> dict[str, Any]:
    """Return what changes in the part ``_search`` of a document with some of its columns."""
    own, rest = _split(changed)
    generation = current.get("parts")
    if generation:
        parts_of(collection).delete_many({"uri": uri, "column": {"$in": list(changed)}})
    elif rest:
        generation = ObjectId()
    _store_parts(collection, uri, generation, rest)
    kept = {name: text.strip() for name, text in current.get("columns", {}).items()}
    return {**_searchable({**kept, **own}), "parts": generation}


def holds(
    collection: Collection[dict[str, Any]], document: Mapping[str, Any], dataset_info: Mapping[str, Any]
) -> bool:
    """Return whether a document, with its parts, has what :func:`index_of` would store of a dataset."""
    current = document.get("_search", {})
    own, rest = _split(text_columns(dataset_info))
    wanted = _searchable(own)
    if any(current.get(name) != wanted[name] for name in ("tokens", "weights", "columns")):
        return False
    parts = {(column, f" {part} ") for column, text in rest.items() for part in _parts(text)}
    uri, generation = document["uri"], current.get("parts")
    found = parts_of(collection).find({"uri": uri, "generation": generation}, {"column": True, "text": True})
    return parts == ({(part["column"], part["text"]) for part in found} if generation else set())


def left_over(collection: Collection[dict[str, Any]]) -> list[ObjectId]:
    """Return the generations of parts that no document has."""
    stored = set(parts_of(collection).distinct("generation"))
    return sorted(stored - set(collection.distinct("_search.parts")))


def _split(columns: Columns) -> tuple[Columns, Columns]:
    """Return the columns as far as the dataset's own document has room for them, and the rest of those with more."""
    own = {name: text[: _end_of_own_part(text)] for name, text in columns.items()}
    rest = {
        name: text[_before(text, len(own[name])) :]
        for name, text in columns.items()
        if name in PHRASES and len(own[name]) < len(text)
    }
    return own, rest


def _searchable(own: Columns) -> dict[str, Any]:
    weights: dict[str, float] = defaultdict(float)
    length = 0
    for name, text in own.items():
        words = text.split()
        length += len(words)
        for word in words:
            weights[word] += WEIGHTS[name]
    weights.pop(BREAK, None)
    return {
        "tokens": list(weights),
        "weights": list(weights.values()),
        "length": length,
        "columns": {name: f" {text} " for name, text in own.items()},
    }


def _end_of_own_part(text: str) -> int:
    return len(text) if len(text) <= COLUMN_CHARACTERS else text.rindex(" ", 0, COLUMN_CHARACTERS)


def _store_parts(
    collection: Collection[dict[str, Any]], uri: str, generation: ObjectId | None, columns: Columns
) -> None:
    batch = []
    for column, text in columns.items():
        for part in _parts(text):
            tokens = list(dict.fromkeys(part.split()))
            document = {"uri": uri, "generation": generation, "column": column, "tokens": tokens}
            batch.append(InsertOne({**document, "text": f" {part} "}))
            if len(batch) == _BATCH:
                parts_of(collection).bulk_write(batch, ordered=False)
                batch = []
    if batch:
        parts_of(collection).bulk_write(batch, ordered=False)


def _parts(text: str) -> Iterator[str]:
    """Cut a text into parts that overlap by as many tokens as a query may have, so that no phrase is cut."""
    start = 0
    while start < len(text):
        end = start + PART_CHARACTERS
        if end >= len(text):
            yield text[start:]
            return
        end = text.rindex(" ", start, end)
        yield text[start:end]
        start = _before(text, end)


def _before(text: str, position: int) -> int:
    """Return where as many tokens begin before *position* as a query may have."""
    for _ in range(MAX_QUERY_TOKENS):
        position = text.rindex(" ", 0, position)
    return position


def forget_new(collection: Collection[dict[str, Any]], fields: Mapping[str, Any]) -> None:
    """Remove the parts that were stored for a document which then was not."""
    if fields["parts"] is not None:
        parts_of(collection).delete_many({"generation": fields["parts"]})


def forget(collection: Collection[dict[str, Any]], uri: str) -> None:
    """Remove the parts of a dataset."""
    parts_of(collection).delete_many({"uri": uri})


def forget_others(collection: Collection[dict[str, Any]], stored: Sequence[Mapping[str, Any]]) -> None:
    """Remove the parts that documents had before.

    :param stored: the documents, as they are now
    """
    kept = [generation for document in stored if (generation := document["_search"]["parts"])]
    uris = [document["uri"] for document in stored]
    parts_of(collection).delete_many({"uri": {"$in": uris}, "generation": {"$nin": kept}})
