"""The Flask extensions of the server, for plugin authors: the SQL session, tokens, marshmallow."""

from dservercore.auth.decoded_tokens import jwt
from dservercore.db import sql_db
from dservercore.rest.model_schemas import ma

__all__ = ["jwt", "ma", "sql_db"]
