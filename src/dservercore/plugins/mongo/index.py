"""What is stored of a dataset to find it by its words: the part ``_search`` of its document.

MongoDB's own text index splits, stems and joins words by other rules than the query language has, and there can be
only one in a collection. So the tokens that every search plugin stores are stored here too: ``tokens``, each once, with
a multikey index; ``weights``, how much the first of them count for relevance, in the same order, and ``other``, how
much any other does; ``columns``, the text in which phrases are looked for.

What has more text than a document has room for is stored in parts beside it (:func:`parts_of`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bson import ObjectId
from pymongo import InsertOne
from pymongo.collection import Collection

from dservercore.dataset.analysis import BREAK
from dservercore.dataset.text_query import MAX_QUERY_TOKENS
from dservercore.plugins.mongo.documents import exact_fields
from dservercore.plugins.tokens.index_document import VERSION, annotation_numbers, name_facet, text_columns
from dservercore.plugins.tokens.weights import WEIGHTS, weighed_words

#: The columns that phrases are looked for in; ``lead`` is the beginning of ``readme``.
PHRASES = ("name", "tags", "readme", "annotations", "about", "files")

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
    """Return the field ``_search`` of a dataset's document, and store what is too long for it in parts beside it.

    The parts of the document that is to be replaced stay; :func:`forget_others` removes them afterwards.
    """
    own, rest = _split(text_columns(dataset_info))
    generation = ObjectId() if rest else None
    _store_parts(collection, dataset_info["uri"], generation, rest)
    return {
        **exact_fields(dataset_info),
        **_searchable(own),
        "named": name_facet(dataset_info["name"]),
        "numbers": numbers_of(dataset_info["annotations"]),
        "parts": generation,
        "version": VERSION,
        "revision": ObjectId(),
    }


def numbers_of(annotations: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the numbers in annotations, by which datasets are found with bounds."""
    return [{"name": name, "value": value} for name, value in annotation_numbers(annotations)]


def changes_of(
    collection: Collection[dict[str, Any]], uri: str, current: Mapping[str, Any], changed: Columns
) -> dict[str, Any]:
    """Return what is to be set in the field ``_search`` of a document, and store what is too long for it in parts.

    :param current: the field as it is now
    :param changed: the new text of the columns that change
    """
    own, rest = _split(changed)
    generation = current.get("parts")
    if generation:
        parts_of(collection).delete_many({"uri": uri, "column": {"$in": list(changed)}})
    elif rest:
        generation = ObjectId()
    _store_parts(collection, uri, generation, rest)
    kept = {name: text.strip() for name, text in current.get("columns", {}).items()}
    return {**_searchable({**kept, **own}), "parts": generation}


def index_without_manifest(
    collection: Collection[dict[str, Any]], dataset_info: Mapping[str, Any], current: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the field ``_search`` of a document without a manifest, with the file names that it has had before.

    ``has_old_files`` is true in it, if another version has analysed these.

    :param current: the field as it is now, with ``columns``
    """
    uri, columns = dataset_info["uri"], dict(current["columns"])
    is_old = "files" not in columns
    if is_old:  # version 1 had them together with what the dataset is about
        columns["files"] = columns.pop("rest", "")
        parts_of(collection).update_many({"uri": uri, "column": "rest"}, {"$set": {"column": "files"}})
    known = {name: text for name, text in text_columns(dataset_info).items() if name != "files"}
    return {
        **exact_fields(dataset_info),
        **changes_of(collection, uri, {**current, "columns": columns}, known),
        "named": name_facet(dataset_info["name"]),
        "numbers": numbers_of(dataset_info["annotations"]),
        "version": VERSION,
        "revision": ObjectId(),
        "has_old_files": is_old or current.get("has_old_files", False),
    }


def holds(
    collection: Collection[dict[str, Any]], document: Mapping[str, Any], dataset_info: Mapping[str, Any]
) -> bool:
    """Return whether a document, with its parts, has what :func:`index_of` would store of a dataset."""
    current = document.get("_search", {})
    own, rest = _split(text_columns(dataset_info))
    wanted = _searchable(own)
    if any(current.get(name) != wanted[name] for name in ("tokens", "weights", "columns")) or (
        current.get("numbers") != numbers_of(dataset_info["annotations"])
    ):
        return False
    parts = {(column, f" {part} ") for column, text in rest.items() for part in _parts(text)}
    uri, generation = document["uri"], current.get("parts")
    found = parts_of(collection).find({"uri": uri, "generation": generation}, {"column": True, "text": True})
    return parts == ({(part["column"], part["text"]) for part in found} if generation else set())


def left_over(collection: Collection[dict[str, Any]]) -> list[ObjectId]:
    """Return the generations of parts (the parts of one document share one) that no document refers to."""
    stored = set(parts_of(collection).distinct("generation"))
    return sorted(stored - set(collection.distinct("_search.parts")))


def _split(columns: Columns) -> tuple[Columns, Columns]:
    """Return as much of each column as the dataset's own document has room for, and the rest of those with more."""
    own = {name: text[: _end_of_own_part(text)] for name, text in columns.items()}
    rest = {
        name: text[_before(text, len(own[name])) :]
        for name, text in columns.items()
        if name in PHRASES and len(own[name]) < len(text)
    }
    return own, rest


def _searchable(own: Columns) -> dict[str, Any]:
    ratios = weighed_words({name: own.get(name, "") for name in WEIGHTS})
    other = ratios.pop("")
    rest = dict.fromkeys(word for name in PHRASES for word in own.get(name, "").split())
    rest.pop(BREAK, None)
    tokens = [*ratios, *(word for word in rest if word not in ratios)]
    return {
        "tokens": tokens,
        "weights": list(ratios.values()),
        "other": other,
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
    """Remove the parts that were stored for a document which itself was not stored.

    :param fields: the field ``_search`` that the document would have had
    """
    if fields["parts"] is not None:
        parts_of(collection).delete_many({"generation": fields["parts"]})


def forget(collection: Collection[dict[str, Any]], uri: str) -> None:
    """Remove the parts of a dataset."""
    parts_of(collection).delete_many({"uri": uri})


def forget_others(collection: Collection[dict[str, Any]], stored: Sequence[Mapping[str, Any]]) -> None:
    """Remove the parts that earlier documents of the same datasets had.

    :param stored: the documents, as they are now
    """
    kept = [generation for document in stored if (generation := document["_search"]["parts"])]
    uris = [document["uri"] for document in stored]
    parts_of(collection).delete_many({"uri": {"$in": uris}, "generation": {"$nin": kept}})
