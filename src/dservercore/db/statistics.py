"""What a database does not do by itself, or not soon, after it has taken in much."""

from __future__ import annotations

import logging

from sqlalchemy.exc import DBAPIError

from dservercore import db
from dservercore.db import sql_db

MANY = 1000  # datasets

# The tables that a registration writes, and that are searched or listed.
_TABLES = (
    "dataset",
    "dataset_tag",
    "summary_count",
    "search_index",
    "search_index_part",
    "search_index_weights",
)

logger = logging.getLogger(__name__)


def after_registering(number: int) -> None:
    """Make the database as fast as it can be after a number of datasets were registered, and committed.

    PostgreSQL looks for the fastest way by what it knows of its tables, and can pass over rows in an index alone once
    it has looked through them. It finds out in the background: a minute later, or never where autovacuum is off.
    """
    if number < MANY or db.kind() != "postgresql":
        return
    try:
        with sql_db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for table in _TABLES:
                connection.exec_driver_sql(f"VACUUM (ANALYZE, SKIP_LOCKED) {table}")
    except DBAPIError as error:  # PostgreSQL does it later by itself
        logger.warning("PostgreSQL did not look through its tables: %s", db.reason(error))
