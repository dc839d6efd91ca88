"""A server that makes dtool datasets findable.

This module is the face for plugin authors and for ``FLASK_APP=dservercore``; inside the package, import from the rooms.
"""

from importlib.metadata import version as _version

from flask_smorest.pagination import PaginationParameters

from dservercore.app import create_app
from dservercore.blueprint import Blueprint
from dservercore.db import jwt, ma, sql_db
from dservercore.errors import (
    AuthenticationError,
    AuthorizationError,
    UnknownBaseURIError,
    UnknownURIError,
    ValidationError,
)
from dservercore.model_schemas import DatasetSchema
from dservercore.plugin_api import ExtensionABC, PluginABC, RetrieveABC, SearchABC
from dservercore.plugin_host import (
    extension_entrypoints_iterator,
    retrieve_entrypoints_iterator,
    search_entrypoints_iterator,
)
from dservercore.schemas import RegisterDatasetSchema, SearchDatasetSchema
from dservercore.sort import SortParameters

__version__ = _version("dservercore")

__all__ = [
    "AuthenticationError",
    "AuthorizationError",
    "Blueprint",
    "DatasetSchema",
    "ExtensionABC",
    "PaginationParameters",
    "PluginABC",
    "RegisterDatasetSchema",
    "RetrieveABC",
    "SearchABC",
    "SearchDatasetSchema",
    "SortParameters",
    "UnknownBaseURIError",
    "UnknownURIError",
    "ValidationError",
    "__version__",
    "create_app",
    "extension_entrypoints_iterator",
    "jwt",
    "ma",
    "retrieve_entrypoints_iterator",
    "search_entrypoints_iterator",
    "sql_db",
]
