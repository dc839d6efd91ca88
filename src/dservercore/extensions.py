"""The Flask extensions of the server, for plugin authors: the SQL session, tokens, marshmallow."""

from dservercore.db import jwt, ma, sql_db

__all__ = ["jwt", "ma", "sql_db"]
