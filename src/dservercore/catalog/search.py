"""Searching: what to ask the search plugin, and what to make of its answer."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from dservercore import plugin_host
from dservercore.catalog import datasets, limits
from dservercore.dataset_info import dataset_object
from dservercore.errors import invalid
from dservercore.scope import Scope

logger = logging.getLogger(__name__)

DatasetObject = dict[str, Any]

# Where in a dataset object the value is that a filter is about.
_KEY_OF_FILTER = {"creator_usernames": "creator_username", "uuids": "uuid", "uploaded_by": "uploaded_by"}


def filters_anything(query: Mapping[str, Any]) -> bool:
    """Return whether *query* asks for less than everything in scope; an empty list does so for ``base_uris`` alone."""
    return any(value != [] or key == "base_uris" for key, value in query.items())


def narrowed(scope: Scope, query: Mapping[str, Any]) -> Scope:
    """Return what *query* asks for of *scope*: its ``base_uris``, or everything where it names none."""
    asked = query.get("base_uris")
    return scope if asked is None else scope.narrowed_to(asked)


def search(
    scope: Scope, query: Mapping[str, Any], pagination_parameters: Any = None, sort_parameters: Any = None
) -> list[DatasetObject]:
    """Return one page of the datasets in *scope* that match *query*, and set ``item_count`` on the pagination.

    :param query: ``free_text`` and filters; an empty list filters nothing, except that ``base_uris: []`` finds nothing
    :raises ValidationError: 422 for what the search plugin cannot do
    :raises UnavailableError: if it cannot be done now, or not in the time that a search may take
    """
    limits.check_query(query)
    permitted = narrowed(scope, query)
    if not permitted.base_uris:
        if pagination_parameters is not None:
            pagination_parameters.item_count = 0
        return []
    plugin = plugin_host.plugins().search
    filters = {key: value for key, value in query.items() if value != [] and value is not None}
    ours = {key: value for key, value in filters.items() if key not in plugin.filters}
    theirs = {key: value for key, value in filters.items() if key in plugin.filters}
    theirs["base_uris"] = list(permitted.base_uris)
    if not ours:
        found = plugin.search(
            theirs, pagination_parameters=pagination_parameters, sort_parameters=sort_parameters
        )
        if plugin.shares_sql_session:
            return [dataset_object(dataset) for dataset in found]
        return _registered(permitted, found)
    if "free_text" in ours:
        raise invalid("free_text", f"the search plugin {type(plugin).__name__} does not search texts")
    found = plugin.search(theirs, sort_parameters=sort_parameters)
    return _page(_matching(ours, _registered(permitted, found)), pagination_parameters)


def _registered(permitted: Scope, found: Iterable[Mapping[str, Any]]) -> list[DatasetObject]:
    """Return what is registered, and permitted, of what a search plugin found: in its order, each dataset once.

    A store of its own may be behind the SQL database, or hold a document of another UUID that was registered under the
    same URI before.
    """
    found = list(found)
    rows = datasets.of_uris(permitted, list({dataset["uri"] for dataset in found}))
    registered: dict[str, DatasetObject] = {}
    for dataset in found:
        row = rows.get(dataset["uri"])
        if row and str(dataset.get("uuid", row["uuid"])).lower() == row["uuid"].lower():
            registered.setdefault(row["uri"], row)
    if len(registered) < len(found):
        logger.warning(
            "Left out of a search: %d documents of the search plugin that are not registered as datasets",
            len(found) - len(registered),
        )
    return list(registered.values())


def _matching(filters: Mapping[str, Any], found: list[DatasetObject]) -> list[DatasetObject]:
    """Return the datasets that pass *filters*, which the plugin does not know; all of *found* are permitted."""
    for name, key in _KEY_OF_FILTER.items():
        if name in filters:
            allowed = set(filters[name])
            found = [dataset for dataset in found if dataset[key] in allowed]
    if "tags" in filters:
        wanted = set(filters["tags"])
        tags = datasets.tags_of_uris([dataset["uri"] for dataset in found])
        found = [dataset for dataset in found if wanted <= tags.get(dataset["uri"], set())]
    return found


def _page(found: list[DatasetObject], pagination_parameters: Any) -> list[DatasetObject]:
    if pagination_parameters is None:
        return found
    pagination_parameters.item_count = len(found)
    return found[pagination_parameters.first_item : pagination_parameters.last_item + 1]
