"""What plugin authors call, within an application context, and the names under which they call it.

Every function here that writes ends its transaction: with a commit, or with a rollback where it raises.

Functions that act for a user raise, in this order: ``AuthenticationError`` if nobody is registered under the name,
``UnknownBaseURIError`` if the base URI of the dataset is not registered, ``AuthorizationError`` if the user lacks the
permission, ``UnknownURIError`` if the dataset is not registered. Lists of datasets are simply empty instead of the
latter three.
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import orjson
from flask import current_app, g
from flask_smorest.pagination import PaginationParameters

from dservercore import db, plugin_host
from dservercore.auth import permissions
from dservercore.auth.decoded_tokens import identity_of_request
from dservercore.catalog import base_uris, lookup, metadata, orm_rows, registration, search, summary
from dservercore.catalog import users as user_catalog
from dservercore.catalog.datasets import Document
from dservercore.catalog.scope import Actor, Grant, Scope, acting
from dservercore.catalog.storage import access
from dservercore.dataset.document import checked_upload, generate_dataset_info
from dservercore.dataset.document import has_required_form as dataset_info_is_valid
from dservercore.dataset.fields import DATASET_INFO_REQUIRED_KEYS, DATASET_SORT_FIELDS
from dservercore.dataset.readme_text import text_of
from dservercore.dataset.times import utcnow
from dservercore.dataset.uris import uri_of_location, uri_to_url_suffix, url_suffix_to_uri
from dservercore.errors import (
    AuthorizationError,
    ConflictError,
    UnknownBaseURIError,
    UnknownURIError,
    UnknownUserError,
    ValidationError,
    invalid,
)
from dservercore.models import BaseURI, Dataset, User
from dservercore.plugin_host import versions as versions_to_dict
from dservercore.rest.paging import slice_of
from dservercore.rest.sort import SortParameters
from dservercore.settings import configuration

__all__ = [
    "DATASET_INFO_REQUIRED_KEYS",
    "DATASET_SORT_FIELDS",
    "_preprocess_privileges",
    "base_uri_exists",
    "create_dataset_obj_from_admin_metadata",
    "dataset_info_is_valid",
    "dataset_uri_exists",
    "delete_annotation_for_uri_by_user",
    "delete_base_uri",
    "delete_dataset",
    "delete_dataset_admin_metadata",
    "delete_user",
    "delete_users",
    "generate_dataset_info",
    "get_admin_metadata_from_uri",
    "get_annotations_from_uri_by_user",
    "get_base_uri_obj",
    "get_dataset_by_user_and_uri",
    "get_dataset_obj",
    "get_manifest_from_uri_by_user",
    "get_permission_info",
    "get_readme_from_uri_by_user",
    "get_tags_from_uri_by_user",
    "get_user_info",
    "get_user_obj",
    "list_admin_metadata_in_base_uri",
    "list_base_uris",
    "list_datasets_by_user",
    "list_users",
    "lookup_datasets_by_user_and_uuid",
    "obj_to_dict",
    "obj_to_lowercase_key_dict",
    "preprocess_query_base_uris",
    "register_base_uri",
    "register_dataset",
    "register_dataset_admin_metadata",
    "register_permissions",
    "register_user",
    "register_users",
    "search_datasets_by_user",
    "set_annotation_for_uri_by_user",
    "set_annotations_for_uri_by_user",
    "set_readme_for_uri_by_user",
    "set_tags_for_uri_by_user",
    "summary_of_datasets_by_user",
    "update_users",
    "uri_to_url_suffix",
    "url_suffix_to_uri",
    "user_exists",
    "versions_to_dict",
]

logger = logging.getLogger(__name__)

_LIST_FILTERS = frozenset({"creator_usernames", "base_uris", "uuids", "tags", "uploaded_by"})

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def _ends_transaction(write: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    @wraps(write)
    def written(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            result = write(*args, **kwargs)
            db.commit()
        except BaseException:
            db.rollback()
            raise
        return result

    return written


# Configuration


def obj_to_dict(obj: Any, exclusions: Iterable[str] = ()) -> dict[str, Any]:
    """Return the settings, the upper-case keys, of a mapping such as ``app.config`` or of a class, fit for JSON.

    :param exclusions: keys of secrets, whose values become ``***``
    """
    settings = obj if isinstance(obj, Mapping) else {name: getattr(obj, name) for name in dir(obj)}
    return configuration.shown(settings, exclusions)


def obj_to_lowercase_key_dict(obj: Any, exclusions: Iterable[str] = ()) -> dict[str, Any]:
    """Return the settings, the upper-case keys, of a mapping or of a class, fit for JSON, with the keys in lower case.

    :param exclusions: keys of secrets, in upper case, whose values become ``***``
    """
    return {key.lower(): value for key, value in obj_to_dict(obj, exclusions).items()}


# Users


def user_exists(username: str) -> bool:
    """Return whether the user is registered."""
    return bool(user_catalog.registered([username]))


def get_user_obj(username: str) -> User:
    """Return the user as registered, whatever the token of the request allows: for that, ask ``utils_auth``.

    :raises AuthenticationError: if nobody is registered under the name
    """
    return orm_rows.get_user(username)


def get_user_info(username: str) -> dict[str, Any] | None:
    """Return the user object of the REST API; None if nobody is registered under the name.

    If the request is made with a personal token of that user, it has no more in it than the token allows.
    """
    try:
        user = user_catalog.get_user(username)
    except UnknownUserError:
        return None
    return permissions.as_allowed(user, permissions.identify(username)) if g.get("credential") else user


def list_users() -> list[dict[str, Any]]:
    """Return the user objects of the REST API, in the order of their registration."""
    return user_catalog.list_users()[0]


@_ends_transaction
def register_user(username: str, data: Mapping[str, Any]) -> None:
    """Register a user, or set the properties of one.

    :param data: ``is_admin`` (absent: False) and ``display_name`` (absent: as it is)
    :raises ValidationError: for a name or a property that is not acceptable
    """
    user_catalog.put_user(username, _checked_user({**data, "username": username}))


@_ends_transaction
def register_users(users: Iterable[Mapping[str, Any]]) -> None:
    """Register users; those who are registered already stay as they are.

    :param users: mappings with ``username`` and, if wanted, ``is_admin`` and ``display_name``
    :raises ValidationError: for a name or a property that is not acceptable; then none of them is registered
    """
    for user in map(_checked_user, users):
        with suppress(ConflictError):
            user_catalog.add_user(
                user["username"], bool(user.get("is_admin", False)), user.get("display_name")
            )


@_ends_transaction
def update_users(users: Iterable[Mapping[str, Any]]) -> None:
    """Set the properties of users; those who are not registered are passed over.

    :param users: mappings with ``username``, ``is_admin`` (absent: False) and ``display_name`` (absent: as it is)
    :raises ValidationError: for a property that is not acceptable; then none of them is changed
    """
    for user in map(_checked_user, users):
        with suppress(UnknownUserError):
            user_catalog.update_user(user["username"], {"is_admin": False, **user})


@_ends_transaction
def delete_users(users: Iterable[Mapping[str, Any]]) -> None:
    """Remove users with their permissions; no error for one who is not registered.

    :param users: mappings with ``username``
    """
    for user in users:
        user_catalog.delete_user(user["username"])


@_ends_transaction
def delete_user(username: str) -> None:
    """Remove a user with all permissions; no error if there is none."""
    user_catalog.delete_user(username)


def _checked_user(user: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(user["username"], str):
        raise invalid("username", "must be text")
    if not isinstance(user.get("display_name"), (str, type(None))):
        raise invalid("display_name", "must be text or None")
    # The text "False" is true, and must not make an administrator of anybody.
    if user.get("is_admin") not in (None, False, True):
        raise invalid("is_admin", "must be True or False")
    return user


# Base URIs


def base_uri_exists(base_uri: str) -> bool:
    """Return whether the base URI is registered."""
    try:
        base_uris.get_id(_stored_form(base_uri))
    except UnknownBaseURIError:
        return False
    return True


def get_base_uri_obj(base_uri: str) -> BaseURI:
    """Return the base URI.

    :raises UnknownBaseURIError: if it is not registered
    """
    return orm_rows.get_base_uri(_stored_form(base_uri))


def list_base_uris() -> list[dict[str, Any]]:
    """Return the base URI objects of the REST API, with permissions, in the order of their registration."""
    return base_uris.list_base_uris()[0]


@_ends_transaction
def register_base_uri(base_uri: str) -> None:
    """Register a base URI, or the directory of this host that a path names.

    :raises ConflictError: if it is registered already
    :raises ValidationError: if it is none
    """
    place = _stored_form(base_uri)
    if not isinstance(place, str):
        raise invalid("base_uri", "must be a URI, or the path of a directory")
    base_uris.add_base_uri(place)


@_ends_transaction
def delete_base_uri(base_uri: str) -> None:
    """Remove a base URI and the permissions on it; no error if it is not registered.

    :raises ConflictError: if it still holds datasets
    """
    base_uris.delete_base_uri(_stored_form(base_uri))


def get_permission_info(base_uri_str: str) -> dict[str, Any]:
    """Return the base URI, as ``base_uri``, and the lists of users who have permissions on it.

    :raises UnknownBaseURIError: if it is not registered
    """
    shown = base_uris.get_base_uri(_stored_form(base_uri_str))
    return {key: value for key, value in shown.items() if key not in ("public", "price_per_tb", "currency")}


@_ends_transaction
def register_permissions(base_uri: str, permissions: Mapping[str, Any]) -> None:
    """Replace all permissions on a base URI.

    :param permissions: ``users_with_search_permissions`` and ``users_with_register_permissions``, lists of user names;
        one that is missing is empty, and users who are not registered are passed over
    :raises UnknownBaseURIError: if it is not registered
    :raises ValidationError: if one of the two is no list of texts
    """
    base_uris.replace_permissions(
        _stored_form(base_uri),
        _registered(permissions, "users_with_search_permissions"),
        _registered(permissions, "users_with_register_permissions"),
    )


def _stored_form(base_uri: str | os.PathLike[str]) -> str:
    """Return a base URI, or the directory of this host that a path names, in the form in which it is registered.

    What is neither comes back as it is, and is registered nowhere.
    """
    place = os.fspath(base_uri) if isinstance(base_uri, os.PathLike) else base_uri
    try:
        return uri_of_location(place)
    except (AttributeError, ValueError):
        return place


def _texts(given: Mapping[str, Any], field: str) -> list[str]:
    """Return a list of texts; empty where it is missing. A UUID counts as text, a text does not count as its letters.

    :raises ValidationError: if it is anything else
    """
    values = given.get(field, ())
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise invalid(field, "must be a list")
    texts = [str(value) if isinstance(value, uuid.UUID) else value for value in values]
    if not all(isinstance(text, str) for text in texts):
        raise invalid(field, "must be a list of texts")
    return texts


def _registered(permissions: Mapping[str, Any], field: str) -> set[str]:
    wanted = set(_texts(permissions, field))
    known = user_catalog.registered(wanted)
    if wanted - known:
        logger.warning("No permissions for users who are not registered: %s", sorted(wanted - known))
    return known


# Finding datasets


def dataset_uri_exists(uri: str) -> bool:
    """Return whether a dataset is registered under *uri*."""
    return metadata.is_registered(uri)


def get_dataset_obj(uri: str) -> Dataset:
    """Return the dataset.

    :raises UnknownURIError: if it is not registered
    """
    return orm_rows.get_dataset(uri)


def get_admin_metadata_from_uri(uri: str) -> dict[str, Any] | None:
    """Return the dataset object of the REST API; None if the dataset is not registered."""
    try:
        return orm_rows.get_dataset(uri).as_dict()
    except UnknownURIError:
        return None


def list_admin_metadata_in_base_uri(base_uri_str: str) -> list[dict[str, Any]]:
    """Return the dataset objects of a base URI, sorted by URI.

    :raises UnknownBaseURIError: if it is not registered
    """
    base_uri = _stored_form(base_uri_str)
    scope = Scope("search", {base_uri: base_uris.get_id(base_uri)})
    return lookup.list_datasets(scope, _order(None))[0]


def list_datasets_by_user(
    username: str,
    pagination_parameters: PaginationParameters | None = None,
    sort_parameters: SortParameters | None = None,
) -> list[Dataset]:
    """Return the datasets that a user may search: one page, whose ``item_count`` is set, or all of them.

    :raises AuthenticationError: if nobody is registered under the name
    """
    scope = _search_scope(username)
    found = lookup.list_datasets(scope, _order(sort_parameters), _page(pagination_parameters))
    return orm_rows.of_objects(_counted(found, pagination_parameters))


def lookup_datasets_by_user_and_uuid(
    username: str,
    uuid: str,
    pagination_parameters: PaginationParameters | None = None,
    sort_parameters: SortParameters | None = None,
) -> list[Dataset]:
    """Return the copies of a dataset that a user may search: one page, whose ``item_count`` is set, or all of them.

    :raises AuthenticationError: if nobody is registered under the name
    """
    page = _page(pagination_parameters) or slice(None)
    found = lookup.find_copies(_search_scope(username), uuid, _order(sort_parameters), page)
    return orm_rows.of_objects(_counted(found, pagination_parameters))


def get_dataset_by_user_and_uri(username: str, uri: str) -> Dataset | None:
    """Return the dataset; None if it is not registered, or the user may not search it."""
    try:
        lookup.find(permissions.scope_of(username, "search"), uri)
    except (AuthorizationError, UnknownURIError):
        return None
    return orm_rows.get_dataset(uri)


def search_datasets_by_user(
    username: str,
    query: Mapping[str, Any],
    pagination_parameters: PaginationParameters | None = None,
    sort_parameters: SortParameters | None = None,
) -> list[dict[str, Any]]:
    """Return the dataset objects that match: one page, whose ``item_count`` is set, or all of them.

    :param query: any of ``free_text``, ``creator_usernames``, ``base_uris``, ``uuids``, ``tags`` and ``uploaded_by``;
        ``{}`` finds everything that the user may search
    :raises AuthenticationError: if nobody is registered under the name
    :raises ValidationError: for a filter that there is not, or that is no list, and for what the plugin cannot search
    """
    scope = _search_scope(username)
    return search.search(scope, _checked_query(query), pagination_parameters, sort_parameters)


def preprocess_query_base_uris(username: str, query: dict[str, Any]) -> dict[str, Any]:
    """Set the ``base_uris`` of *query* to those that it asks for and the user may search. Return *query*.

    :raises AuthenticationError: if nobody is registered under the name
    :raises ValidationError: if ``base_uris`` is no list
    """
    scope = _search_scope(username)
    if query.get("base_uris") is not None:
        scope = scope.narrowed_to(_texts(query, "base_uris"))
    query["base_uris"] = list(scope.base_uris)
    return query


_preprocess_privileges = preprocess_query_base_uris


def summary_of_datasets_by_user(username: str) -> dict[str, Any]:
    """Return the summary of the datasets that a user may search, as the REST API does.

    :raises AuthenticationError: if nobody is registered under the name
    """
    return summary.summarise(_search_scope(username))


def _search_scope(username: str) -> Scope:
    return permissions.identify_with_scope(username, "search")[1]


def _checked_query(query: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a query in the form in which plugins get it.

    :raises ValidationError: for a filter that there is not, or that is no list
    """
    own = plugin_host.plugins().search.filters - _LIST_FILTERS
    checked: dict[str, Any] = {}
    for field, value in query.items():
        if field in _LIST_FILTERS:
            if value is not None:
                checked[field] = _texts(query, field)
        elif field == "free_text" and not isinstance(value, (str, type(None))):
            raise invalid(field, "must be text")
        elif field == "free_text" or field in own:
            checked[field] = value
        else:
            known = ", ".join(sorted({"free_text"} | own | _LIST_FILTERS))
            raise invalid(field, f"there is no such filter; known are {known}")
    if "uuids" in checked:
        checked["uuids"] = [text.lower() for text in checked["uuids"]]
    return checked


def _order(sort_parameters: SortParameters | None) -> Mapping[str, int]:
    return (sort_parameters and sort_parameters.order) or {"uri": 1}


def _page(pagination_parameters: PaginationParameters | None) -> slice | None:
    return pagination_parameters and slice_of(pagination_parameters)


def _counted(
    found: tuple[list[dict[str, Any]], int], pagination_parameters: PaginationParameters | None
) -> list[dict[str, Any]]:
    if pagination_parameters is not None:
        pagination_parameters.item_count = found[1]
    return found[0]


# Registering and deleting datasets


@_ends_transaction
def register_dataset(dataset_info: Mapping[str, Any]) -> str:
    """Register a dataset in every store, or replace what is registered under its URI. Return its URI.

    :param dataset_info: such as :func:`generate_dataset_info` returns. ``frozen_at`` and ``created_at`` may be numbers
        or numeric strings; ``created_at`` and the counts may be missing. A ``readme`` that is a mapping or a list is
        kept as YAML. ``uploaded_by`` is kept where it is given, None included, and is otherwise the user of the request
        that this is called in, if it has a valid token. ``uploaded_at`` (a datetime, UTC if it is naive, seconds since
        the epoch, or None) is kept where it is given, and is otherwise now
    :raises ValidationError: if it is not acceptable, or a store cannot hold it
    :raises UnregisteredBaseURIError: a ValidationError and an UnknownBaseURIError, if its base URI is not registered
    """
    if not isinstance(dataset_info, Mapping):
        raise ValidationError("The document of a dataset must be a mapping")
    scope = permissions.operator_scope("register")
    if dataset_info_is_valid(dataset_info):
        scope.require(dataset_info["base_uri"])
    uploaded_by, uploaded_at = checked_upload(dataset_info)
    if "uploaded_by" not in dataset_info:
        uploaded_by = identity_of_request()
    if "readme" in dataset_info:
        dataset_info = {**dataset_info, "readme": text_of(dataset_info["readme"])}
    if "uploaded_at" not in dataset_info:
        uploaded_at = utcnow()
    actor = Actor(uploaded_by, is_admin=True, origin=acting().origin)
    registration.register_one(actor, scope, Document(dataset_info, uploaded_at=uploaded_at))
    return dataset_info["uri"]


@_ends_transaction
def delete_dataset(uri: str) -> str:
    """Remove a dataset from every store; no error if it is not registered. Return the URI."""
    orm_rows.delete(uri)
    return uri


def create_dataset_obj_from_admin_metadata(admin_metadata: Mapping[str, Any]) -> Dataset:
    """Return a dataset that is not stored; :func:`register_dataset_admin_metadata` stores one, and so does a session.

    :raises UnknownBaseURIError: if its base URI is not registered
    """
    return orm_rows.new_dataset(admin_metadata)


@_ends_transaction
def register_dataset_admin_metadata(admin_metadata: Mapping[str, Any]) -> str:
    """Insert or replace the row of a dataset, without its description in any store. Return its URI.

    :param admin_metadata: ``base_uri``, ``uri``, ``uuid``, ``name``, ``creator_username``, ``frozen_at`` and what else
        the dataset object of the REST API has
    :raises UnknownBaseURIError: if its base URI is not registered
    :raises ValidationError: if it is not acceptable
    """
    return orm_rows.put_admin_metadata(permissions.operator_scope("register"), admin_metadata)


@_ends_transaction
def delete_dataset_admin_metadata(uri: str) -> str:
    """Delete the row of a dataset, and nothing outside the SQL database; no error if there is none. Return the URI."""
    orm_rows.delete_admin_metadata(uri)
    return uri


# README, manifest, tags and annotations


def get_readme_from_uri_by_user(username: str, uri: str) -> str:
    """Return the README of a dataset that the user may search.

    :raises AuthenticationError: if nobody is registered under the name
    :raises UnknownBaseURIError: if the base URI of the dataset is not registered
    :raises AuthorizationError: if the user may not search its base URI
    :raises UnknownURIError: if the dataset is not registered
    """
    return metadata.get_readme(_scopes(username, uri, "search")[0], uri)


def get_manifest_from_uri_by_user(username: str, uri: str) -> dict[str, Any]:
    """Return the manifest (``items``, ``hash_function`` ...) of a dataset that the user may search.

    :raises AuthenticationError: if nobody is registered under the name
    :raises UnknownBaseURIError: if the base URI of the dataset is not registered
    :raises AuthorizationError: if the user may not search its base URI
    :raises UnknownURIError: if the dataset is not registered
    """
    return orjson.loads(metadata.get_manifest(_scopes(username, uri, "search")[0], uri))


def get_tags_from_uri_by_user(username: str, uri: str) -> list[str]:
    """Return the tags of a dataset that the user may search.

    :raises AuthenticationError: if nobody is registered under the name
    :raises UnknownBaseURIError: if the base URI of the dataset is not registered
    :raises AuthorizationError: if the user may not search its base URI
    :raises UnknownURIError: if the dataset is not registered
    """
    return metadata.get_tags(_scopes(username, uri, "search")[0], uri)


def get_annotations_from_uri_by_user(username: str, uri: str) -> dict[str, Any]:
    """Return the annotations, by name, of a dataset that the user may search.

    :raises AuthenticationError: if nobody is registered under the name
    :raises UnknownBaseURIError: if the base URI of the dataset is not registered
    :raises AuthorizationError: if the user may not search its base URI
    :raises UnknownURIError: if the dataset is not registered
    """
    return metadata.get_annotations(_scopes(username, uri, "search")[0], uri)


def set_readme_for_uri_by_user(username: str, uri: str, readme: str) -> str:
    """Replace the README, in the stores and, if possible, in storage. Return it.

    :raises AuthenticationError: if nobody is registered under the name
    :raises UnknownBaseURIError: if the base URI of the dataset is not registered
    :raises AuthorizationError: if the user may not both search its base URI and register datasets there
    :raises UnknownURIError: if the dataset is not registered
    :raises ValidationError: if the README is not text that can be stored
    """
    return _edit(
        uri,
        "readme",
        lambda: metadata.replace_readme(
            _scopes(username, uri, "search", "register"), uri, _checked_readme(readme)
        ),
    )


def _checked_readme(readme: str) -> str:
    if not isinstance(readme, str):
        raise invalid("readme", "must be text")
    return readme


def set_tags_for_uri_by_user(username: str, uri: str, tags: Iterable[str]) -> list[str]:
    """Replace the tags, in the stores and, if possible, in storage. Return them.

    :raises AuthenticationError: if nobody is registered under the name
    :raises UnknownBaseURIError: if the base URI of the dataset is not registered
    :raises AuthorizationError: if the user may not register datasets in its base URI
    :raises UnknownURIError: if the dataset is not registered
    :raises ValidationError: if dtool would not take one of the tags
    """
    return _edit(uri, "tags", lambda: metadata.replace_tags(_scopes(username, uri, "register"), uri, tags))


def set_annotations_for_uri_by_user(
    username: str, uri: str, annotations: Mapping[str, Any]
) -> dict[str, Any]:
    """Replace all annotations, in the stores and, if possible, in storage. Return them.

    :raises AuthenticationError: if nobody is registered under the name
    :raises UnknownBaseURIError: if the base URI of the dataset is not registered
    :raises AuthorizationError: if the user may not register datasets in its base URI
    :raises UnknownURIError: if the dataset is not registered
    :raises ValidationError: if dtool would not take one of the annotations
    """
    return _edit(
        uri,
        "annotations",
        lambda: metadata.replace_annotations(_scopes(username, uri, "register"), uri, annotations),
    )


def set_annotation_for_uri_by_user(username: str, uri: str, name: str, value: Any) -> dict[str, Any]:
    """Set one annotation, in the stores and, if possible, in storage. Return all annotations.

    :raises AuthenticationError: if nobody is registered under the name
    :raises UnknownBaseURIError: if the base URI of the dataset is not registered
    :raises AuthorizationError: if the user may not both search its base URI and register datasets there
    :raises UnknownURIError: if the dataset is not registered
    :raises ValidationError: if dtool would not take the annotation
    """
    return _edit(
        uri,
        "annotations",
        lambda: metadata.set_annotation(_scopes(username, uri, "search", "register"), uri, name, value),
    )


def delete_annotation_for_uri_by_user(username: str, uri: str, name: str) -> dict[str, Any]:
    """Remove one annotation, if it is there, in the stores and, if possible, in storage. Return those that are left.

    :raises AuthenticationError: if nobody is registered under the name
    :raises UnknownBaseURIError: if the base URI of the dataset is not registered
    :raises AuthorizationError: if the user may not both search its base URI and register datasets there
    :raises UnknownURIError: if the dataset is not registered
    """
    return _edit(
        uri,
        "annotations",
        lambda: metadata.delete_annotation(_scopes(username, uri, "search", "register"), uri, name),
    )


def _scopes(username: str, uri: str, *grants: Grant) -> list[Scope]:
    """Return the base URIs in which a user may do what each grant says.

    :raises AuthenticationError: if nobody is registered under the name
    :raises UnknownBaseURIError: if the base URI of *uri* is not registered
    """
    scopes = [permissions.identify_with_scope(username, grant)[1] for grant in grants]
    base_uris.require_base_of(uri)
    return scopes


def _edit(uri: str, field: access.Field, edit: Callable[[], Result]) -> Result:
    value = _ends_transaction(edit)()
    if current_app.config["DSERVER_UPDATE_STORAGE"]:
        access.update_dataset(uri, field, value)
    return value
