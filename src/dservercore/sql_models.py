"""The tables and their schemas, for plugin authors.

A dataset that a plugin deletes through the models disappears from every store.
"""

from dservercore.models import BaseURI, Dataset, User, register_permissions, search_permissions
from dservercore.rest.model_schemas import (
    BaseURISchema,
    BaseURIWithPermissionsSchema,
    DatasetSchema,
    FloatDateTimeField,
    UserSchema,
    UserWithPermissionsSchema,
)
from dservercore.rest.schemas import UserPatchSchema as UserUpdateSchema

__all__ = [
    "BaseURI",
    "BaseURISchema",
    "BaseURIWithPermissionsSchema",
    "Dataset",
    "DatasetSchema",
    "FloatDateTimeField",
    "User",
    "UserSchema",
    "UserUpdateSchema",
    "UserWithPermissionsSchema",
    "register_permissions",
    "search_permissions",
]
