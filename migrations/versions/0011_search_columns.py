"""The search index tells what a dataset is about from its file names, and which version has put a dataset into it.

What an earlier version has put there is found as before, and is put there again by `flask db upgrade` afterwards.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from dservercore.dataset.serialization import pack, unpack
from dservercore.plugins.sql.fts5_relevance import weight_tokens

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

logger = logging.getLogger("dservercore.migrations")

BEFORE = ("name", "tags", "lead", "readme", "annotations", "rest", "facets")
AFTER = ("name", "tags", "lead", "readme", "annotations", "about", "files", "facets")

_CREATE = (
    "CREATE VIRTUAL TABLE search_index USING fts5({}, content='', tokenize=\"ascii tokenchars '_=|'\")",
    "CREATE VIRTUAL TABLE search_index_weights USING fts5("
    "words, content='', detail='none', tokenize=\"ascii tokenchars '='\")",
)

_DOCUMENTS = sa.text(
    "SELECT dataset_id AS id, tokens FROM search_document WHERE dataset_id > :after ORDER BY dataset_id LIMIT 200"
)
_PUT_IN = sa.text(
    f"INSERT INTO search_index (rowid, {', '.join(AFTER)}) VALUES (:id, {', '.join(f':{name}' for name in AFTER)})"
)
_PUT_IN_WEIGHTS = sa.text("INSERT INTO search_index_weights (rowid, words) VALUES (:id, :words)")
_REMEMBER = sa.text("UPDATE search_document SET tokens = :tokens WHERE dataset_id = :id")
_ROWS_BETWEEN_LINES = 50_000

# Of ``texts``, which has a line for each column, with a space in front of each token and behind the last one. A single
# statement writes the table anew and makes its indexes of that, which takes less time than to change each row.
_LINES = {name: rf"split_part(texts, E'\n', {number})" for number, name in enumerate(BEFORE, start=1)}
_TAG_FACETS = rf"regexp_replace({_LINES['facets']}, ' =[^t][^ ]*', '', 'g')"
_LINES_AFTER = {
    **_LINES,
    "tags": f"' ' || trim(rtrim({_LINES['tags']}) || {_TAG_FACETS}) || ' '",
    "about": "'  '",
    "files": _LINES["rest"],
    "facets": rf"regexp_replace({_LINES['facets']}, ' =t[^ ]*', '', 'g')",
}
_IN_POSTGRESQL = (
    "ALTER TABLE search_index ADD COLUMN version smallint NOT NULL DEFAULT 1, ALTER COLUMN texts TYPE text USING "
    + r" || E'\n' || ".join(_LINES_AFTER[name] for name in AFTER)
)


def upgrade() -> None:
    op.add_column(
        "search_document", sa.Column("version", sa.Integer, nullable=False, server_default=sa.text("1"))
    )
    op.create_index("ix_search_document_version", "search_document", ["version"])
    database = op.get_context().dialect.name
    if database == "postgresql":
        if not op.get_context().as_sql:
            number = op.get_bind().execute(sa.text("SELECT count(*) FROM search_index")).scalar_one()
            if number >= _ROWS_BETWEEN_LINES:
                logger.info(
                    "The search index of %d datasets is made anew, which may take some minutes", number
                )
        op.execute(_IN_POSTGRESQL)
    elif database == "sqlite":
        _make_tables(AFTER)
        if op.get_context().as_sql:
            # SQL alone cannot read what is there: `flask dataset check --repair` fills the index then.
            op.execute("DELETE FROM search_document")
        else:
            _fill(op.get_bind())


def _make_tables(columns: tuple[str, ...]) -> None:
    op.execute("DROP TABLE IF EXISTS search_index")
    op.execute("DROP TABLE IF EXISTS search_index_weights")
    for statement in _CREATE:
        op.execute(statement.format(", ".join(columns)))


def _fill(connection: sa.Connection) -> None:
    """Fill the tables of SQLite from what is remembered to have been in them, and remember it in its new form."""
    done = 0
    for rows in _batches(connection):
        documents = [{"id": row.id, **_columns(row.tokens)} for row in rows]
        connection.execute(_PUT_IN, documents)
        connection.execute(
            _PUT_IN_WEIGHTS, [{"id": columns["id"], "words": weight_tokens(columns)} for columns in documents]
        )
        tokens = [
            {"id": columns["id"], "tokens": pack("\n".join(columns[name] for name in AFTER).encode())}
            for columns in documents
        ]
        connection.execute(_REMEMBER, tokens)
        done += len(rows)
        if done % _ROWS_BETWEEN_LINES == 0:
            logger.info("The search index is made anew: %d datasets", done)


def _batches(connection: sa.Connection) -> Iterator[Any]:
    after = -1
    while rows := connection.execute(_DOCUMENTS, {"after": after}).all():
        yield rows
        after = rows[-1].id


def _columns(tokens: bytes) -> dict[str, str]:
    columns = dict(zip(BEFORE, unpack(tokens).decode().split("\n"), strict=True))
    files, facets = columns.pop("rest"), columns["facets"].split()
    of_tags = [facet for facet in facets if facet.startswith("=t")]
    return {
        **columns,
        "tags": " ".join(filter(None, [columns["tags"], *of_tags])),
        "about": "",
        "files": files,
        "facets": " ".join(facet for facet in facets if not facet.startswith("=t")),
    }


def downgrade() -> None:
    """Empty the index, which then is as the earlier version has it: its `flask dataset check --repair` fills it."""
    database = op.get_context().dialect.name
    if database == "postgresql":
        op.execute("TRUNCATE search_index, search_index_part, search_index_weights")
        op.drop_column("search_index", "version")
    elif database == "sqlite":
        _make_tables(BEFORE)
        op.execute("DELETE FROM search_document")
    op.drop_index("ix_search_document_version", "search_document")
    op.drop_column("search_document", "version")
