"""Who is asking and who may do what, for plugin authors.

The functions that answer yes or no, or with a list, know no errors: somebody who is not registered may do nothing.
"""

from dservercore.auth import permissions
from dservercore.auth.guards import get_jwt, get_jwt_identity, jwt_required
from dservercore.catalog import lookup, users
from dservercore.errors import AuthenticationError

__all__ = [
    "get_jwt",
    "get_jwt_identity",
    "has_admin_rights",
    "jwt_required",
    "list_register_base_uris",
    "list_search_base_uris",
    "may_access",
    "may_register",
    "may_search",
    "user_exists",
]


def user_exists(username: str) -> bool:
    """Return whether the user is registered."""
    return bool(users.registered([username]))


def has_admin_rights(username: str) -> bool:
    """Return whether the user is an administrator."""
    try:
        return permissions.identify(username).is_admin
    except AuthenticationError:
        return False


def may_search(username: str, base_uri: str) -> bool:
    """Return whether the user has search permission on the base URI."""
    return base_uri in permissions.scope_of(username, "search")


def may_access(username: str, uri: str) -> bool:
    """Return whether the user has search permission on the base URI of a dataset, which need not be registered."""
    return lookup.may_access(permissions.scope_of(username, "search"), uri)


def may_register(username: str, base_uri: str) -> bool:
    """Return whether the user has register permission on the base URI."""
    return base_uri in permissions.scope_of(username, "register")


def list_search_base_uris(username: str) -> list[str]:
    """Return the base URIs on which the user has search permission."""
    return list(permissions.scope_of(username, "search").base_uris)


def list_register_base_uris(username: str) -> list[str]:
    """Return the base URIs on which the user has register permission."""
    return list(permissions.scope_of(username, "register").base_uris)
