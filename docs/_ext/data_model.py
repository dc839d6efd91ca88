"""The directive ``data-model``: the tables and their columns, from the models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from generated import GeneratedDirective, bundled_extensions, table, title
from sphinx.application import Sphinx
from sqlalchemy import Column, Table

from dservercore.db import sql_db


class DataModel(GeneratedDirective):
    """Describes each table."""

    def lines(self) -> Iterator[str]:
        bundled_extensions()
        described = {model.__table__.name: model.__doc__ for model in _models()}
        for sql_table in sql_db.metadata.sorted_tables:
            yield from title(sql_table.name, "-")
            yield from (
                (described.get(sql_table.name) or "Who has the permission, and where.").split("\n\n")[0],
                "",
            )
            rows = [(f"``{c.name}``", str(c.type), _properties(sql_table, c)) for c in sql_table.columns]
            yield from table(("Column", "Type", "Properties"), rows, (30, 25, 45))


def _models() -> list[Any]:
    return [mapper.class_ for mapper in sql_db.Model.registry.mappers]


def _properties(sql_table: Table, column: Column[Any]) -> str:
    indexes = [index for index in sql_table.indexes if list(index.columns) == [column]]
    said = [
        "primary key" if column.primary_key else "",
        *(f"refers to ``{key.target_fullname}``" for key in column.foreign_keys),
        *("unique" if index.unique else "indexed" for index in indexes),
        "may be NULL" if column.nullable else "",
    ]
    return ", ".join(filter(None, said))


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("data-model", DataModel)
    return {"parallel_read_safe": True}
