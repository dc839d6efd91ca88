"""A server that makes dtool datasets findable.

This module is the face for plugin authors and for ``FLASK_APP=dservercore``; inside the package, import from the rooms.
"""

from importlib import import_module as _import_module
from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flask_smorest.pagination import PaginationParameters

    from dservercore.app import create_app
    from dservercore.auth.decoded_tokens import jwt
    from dservercore.db import sql_db
    from dservercore.errors import (
        AuthenticationError,
        AuthorizationError,
        UnknownBaseURIError,
        UnknownURIError,
        ValidationError,
    )
    from dservercore.plugin_api import ExtensionABC, PluginABC, RetrieveABC, SearchABC
    from dservercore.plugin_host import (
        extension_entrypoints_iterator,
        retrieve_entrypoints_iterator,
        search_entrypoints_iterator,
    )
    from dservercore.rest.blueprint import Blueprint
    from dservercore.rest.model_schemas import DatasetSchema, ma
    from dservercore.rest.schemas import RegisterDatasetSchema, SearchDatasetSchema
    from dservercore.rest.sort import SortParameters

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

# Imported when they are asked for: a command has no use for most of them, and would wait for all.
_HOMES = {
    "AuthenticationError": "errors",
    "AuthorizationError": "errors",
    "Blueprint": "rest.blueprint",
    "DatasetSchema": "rest.model_schemas",
    "ExtensionABC": "plugin_api",
    "PaginationParameters": "rest.paging",
    "PluginABC": "plugin_api",
    "RegisterDatasetSchema": "rest.schemas",
    "RetrieveABC": "plugin_api",
    "SearchABC": "plugin_api",
    "SearchDatasetSchema": "rest.schemas",
    "SortParameters": "rest.sort",
    "UnknownBaseURIError": "errors",
    "UnknownURIError": "errors",
    "ValidationError": "errors",
    "create_app": "app",
    "extension_entrypoints_iterator": "plugin_host",
    "jwt": "auth.decoded_tokens",
    "ma": "rest.model_schemas",
    "retrieve_entrypoints_iterator": "plugin_host",
    "search_entrypoints_iterator": "plugin_host",
    "sql_db": "db",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(_import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
