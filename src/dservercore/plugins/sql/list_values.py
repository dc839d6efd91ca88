"""Reading with lists in the conditions, however long they are, in one statement for each kind of SQL database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import text

from dservercore import db
from dservercore.db import sql_db
from dservercore.db.fast_reads import rows_of


def rows_with_lists(statement: str, **values: Any) -> Sequence[Any]:
    """Return the rows of a statement, in which ``{in_NAME}`` stands for being in the list NAME, however long that is.

    :raises sqlalchemy.exc.DBAPIError: if the database cannot answer
    """
    lists = [name for name, value in values.items() if isinstance(value, list)]
    if db.kind() == "sqlite":
        places = {f"in_{name}": f"IN (SELECT value FROM json_each(:{name}))" for name in lists}
        return rows_of(
            statement.format(**places),
            {name: json.dumps(value) if name in lists else value for name, value in values.items()},
        )
    # Not ANY: of a table that has just been filled, each row would be compared with each value.
    types = {name: "int" if isinstance(values[name][0], int) else "text" for name in lists if values[name]}
    places = {
        f"in_{name}": f"IN (SELECT unnest(CAST(:{name} AS {type_}[])))" for name, type_ in types.items()
    }
    # What an empty list has nobody can tell, and the database compares with nothing but its own type.
    places |= {f"in_{name}": "= ANY ('{}')" for name in lists if name not in types}
    return sql_db.session.connection().execute(text(statement.format(**places)), values).all()
