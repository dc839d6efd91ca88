"""The vocabulary of the index in an SQL database: three tables, written in the transaction that writes the index."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import text

from dservercore import db
from dservercore.db import sql_db
from dservercore.models import SearchDeletion, SearchWord, SearchWordPlace
from dservercore.plugins.sql.list_values import rows_with_lists
from dservercore.plugins.tokens.vocabulary import Vocabulary, deletions

_word, _place, _deletion = SearchWord.__table__, SearchWordPlace.__table__, SearchDeletion.__table__

_IDS = "SELECT w.word, w.id FROM search_word w WHERE w.word {in_words}"
_NEW = """
SELECT wanted.value FROM {wanted} WHERE NOT EXISTS
(SELECT 1 FROM search_word_place p WHERE p.base_uri_id = :base_uri_id AND p.word = wanted.value)
"""

_IN_SCOPE = """
EXISTS (SELECT 1 FROM search_word_place p JOIN base_uri b ON b.id = p.base_uri_id
        WHERE p.word_id = w.id AND b.base_uri {in_base_uris})
"""
_NEAR = f"""
SELECT d.deletion, w.word FROM search_deletion d JOIN search_word w ON w.id = d.word_id
WHERE d.deletion {{in_deletions}} AND {_IN_SCOPE}
"""
_KNOWN = f"SELECT w.word FROM search_word w WHERE w.word {{in_words}} AND {_IN_SCOPE}"
# Along the words of these base URIs alone: how long it takes tells nothing of others.
_BEGINNING = """
SELECT DISTINCT word, length(word) FROM (
  SELECT p.word FROM search_word_place p WHERE p.base_uri_id IN (SELECT id FROM base_uri WHERE base_uri {in_base_uris})
  AND p.word >= :prefix AND p.word < :end LIMIT :looked_at
) AS words ORDER BY length(word), word LIMIT :most
"""
_LOOKED_AT = 5000
_LAST = chr(0x10FFFF)

_BASE_URIS = """
SELECT base_uri FROM base_uri b WHERE EXISTS (SELECT 1 FROM search_word_place p WHERE p.base_uri_id = b.id)
ORDER BY base_uri
"""
_BATCH = """
SELECT w.id, w.word FROM search_word_place p JOIN search_word w ON w.id = p.word_id
WHERE p.base_uri_id = (SELECT id FROM base_uri WHERE base_uri = :base_uri) AND p.word_id > :after
ORDER BY p.word_id LIMIT :most
"""
_FORGET = """
DELETE FROM search_word_place WHERE word_id = (SELECT id FROM search_word WHERE word = :word)
AND base_uri_id = (SELECT id FROM base_uri WHERE base_uri = :base_uri)
"""
_WITHOUT_PLACE = """
SELECT w.id, w.word FROM search_word w
WHERE NOT EXISTS (SELECT 1 FROM search_word_place p WHERE p.word_id = w.id) ORDER BY w.id LIMIT :most
"""
_FORGET_DELETION = "DELETE FROM search_deletion WHERE deletion = :deletion AND word_id = :id"
_FORGET_WORD = "DELETE FROM search_word WHERE id = :id"

# Each has up to 29 rows, which would take 10 kB of memory.
_WORDS_AT_ONCE = 500


class SqlVocabulary(Vocabulary):
    """The vocabulary in the database of the current application."""

    def by_deletion(self, wanted: Sequence[int], base_uris: Sequence[str]) -> Mapping[int, list[str]]:
        """Return the words of datasets in the base URIs of which one of these is left, by what is left."""
        found = defaultdict(list)
        for deletion, word in rows_with_lists(_NEAR, base_uris=list(base_uris), deletions=list(wanted)):
            found[deletion].append(word)
        return found

    def known(self, words: Iterable[str], base_uris: Sequence[str]) -> set[str]:
        """Return those of the words that datasets in the base URIs have, or have had."""
        wanted = list(words)
        return (
            {row[0] for row in rows_with_lists(_KNOWN, base_uris=list(base_uris), words=wanted)}
            if wanted
            else set()
        )

    def beginning(self, prefix: str, base_uris: Sequence[str], most: int) -> list[str]:
        """Return words of datasets in the base URIs that begin so, the shortest first."""
        rows = rows_with_lists(
            _BEGINNING,
            base_uris=list(base_uris),
            prefix=prefix,
            end=prefix + _LAST,
            most=most,
            looked_at=_LOOKED_AT,
        )
        return [row[0] for row in rows]

    def base_uris(self) -> list[str]:
        """Return the base URIs whose datasets have words, or have had them."""
        return [row[0] for row in _execute(_BASE_URIS)]

    def batches(self, base_uri: str) -> Iterator[list[str]]:
        """Yield the words that datasets in a base URI have, or have had, some at a time.

        Those that were yielded may be forgotten meanwhile.
        """
        after = 0
        while rows := _execute(_BATCH, base_uri=base_uri, after=after, most=_WORDS_AT_ONCE).all():
            yield [row.word for row in rows]
            after = rows[-1].id

    def forget(self, words: Sequence[str], base_uri: str) -> None:
        """Take words out that no dataset in a base URI has any more."""
        connection = sql_db.session.connection()
        values = [{"word": word, "base_uri": base_uri} for word in words]
        if values:
            connection.execute(text(_FORGET), values)

    def sweep(self) -> None:
        """Remove the words that are in no base URI."""
        connection = sql_db.session.connection()
        while rows := _execute(_WITHOUT_PLACE, most=_WORDS_AT_ONCE).all():
            left = [{"id": row.id, "deletion": each} for row in rows for each in deletions(row.word)]
            if left:
                connection.execute(text(_FORGET_DELETION), left)
            connection.execute(text(_FORGET_WORD), [{"id": row.id} for row in rows])


def _execute(statement: str, **values: Any) -> Any:
    return sql_db.session.connection().execute(text(statement), values)


def learn(wanted: Mapping[int, Iterable[str]]) -> None:
    """Add words of datasets to the vocabulary.

    :param wanted: words by the primary key of the base URI
    """
    # In one order, or two transactions could wait for each other.
    places = [
        (base_uri_id, word)
        for base_uri_id, words in sorted(wanted.items())
        for word in sorted(_new_in(base_uri_id, list(words)))
    ]
    words = sorted({word for _, word in places})
    ids = _ids_of(words)
    new = [word for word in words if word not in ids]
    if new:
        _insert(_word, ("word",), [(word,) for word in new])
        ids |= _ids_of(new)
        for some in db.batched(new, _WORDS_AT_ONCE):
            rows = [(left, ids[word]) for word in some for left in deletions(word)]
            _insert(_deletion, ("deletion", "word_id"), rows)
    _insert(_place, ("base_uri_id", "word", "word_id"), [(*place, ids[place[1]]) for place in places])


def _new_in(base_uri_id: int, words: Sequence[str]) -> list[str]:
    """Return those of the words that are not recorded for a base URI, where they stay when its datasets go."""
    values = {"base_uri_id": base_uri_id}
    if db.kind() == "postgresql":
        found = _execute(
            _NEW.format(wanted="unnest(CAST(:words AS text[])) AS wanted(value)"), words=list(words), **values
        )
    else:
        found = _execute(_NEW.format(wanted="json_each(:words) AS wanted"), words=json.dumps(words), **values)
    return list(found.scalars())


def _insert(table: Any, names: Sequence[str], rows: Sequence[tuple[int | str, ...]]) -> None:
    """Insert rows of numbers and words, but for those that are there."""
    if not rows:
        return
    connection = sql_db.session.connection()
    into = f"INSERT INTO {table.name} ({', '.join(names)})"
    if db.kind() == "postgresql":  # one by one they would take ten times as long
        types = ("text" if name == "word" else "int" for name in names)
        given = ", ".join(f"CAST(:{name} AS {type_}[])" for name, type_ in zip(names, types, strict=True))
        values = {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
        connection.execute(text(f"{into} SELECT * FROM unnest({given}) ON CONFLICT DO NOTHING"), values)
    else:  # SQLAlchemy's own statements would take three times as long
        places = ", ".join("?" * len(names))
        connection.exec_driver_sql(f"{into} VALUES ({places}) ON CONFLICT DO NOTHING", list(rows))


def _ids_of(words: Sequence[str]) -> dict[str, int]:
    return dict(rows_with_lists(_IDS, words=list(words))) if words else {}
