"""The section with the files of a dataset: which part of them is asked for, and what is shown of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, cast

from flask import url_for

from dservercore import plugin_host
from dservercore.catalog.files import listing
from dservercore.catalog.files.listing import Listing
from dservercore.catalog.scope import Scope
from dservercore.errors import UnavailableError, UnknownDirectoryError
from dservercore.plugin_api import Downloads
from dservercore.web.texts import gettext

PAGE_SIZE = 100
_MOST_PAGES = 10**7
_MOST_OF_FIND, _MOST_OF_PATH = 200, 8192  # characters


@dataclass(frozen=True)
class Wanted:
    """Which part of the files is asked for, by the parameters ``dir``, ``find``, ``file_sort`` and ``file_page``.

    :param directory: with a slash at its end; empty: the dataset itself
    :param find: words; empty: nothing is looked for
    """

    directory: str = ""
    find: str = ""
    order: listing.Order = "name"
    page: int = 1


def wanted_of(parameters: Mapping[str, str]) -> Wanted:
    """Return what the parameters of a page ask for; what makes no sense counts as not given."""
    directory = parameters.get("dir", "")[:_MOST_OF_PATH]
    order = parameters.get("file_sort", "name")
    page = 1
    with suppress(ValueError):
        page = min(max(int(parameters.get("file_page", "1")[:12]), 1), _MOST_PAGES)
    return Wanted(
        directory=directory if not directory or directory.endswith("/") else f"{directory}/",
        find=" ".join(parameters.get("find", "")[:_MOST_OF_FIND].split()),
        order=cast(listing.Order, order) if order in ("name", "size") else "name",
        page=page,
    )


@dataclass(frozen=True)
class Files:
    """What is shown of the files.

    :param uri: of the dataset
    :param listing: None: it is being made, or there is none
    :param problem: why there is none; empty: none is known
    :param downloads: where the files can be downloaded; None: nowhere
    """

    uri: str
    wanted: Wanted
    listing: Listing | None
    problem: str = ""
    downloads: Downloads | None = None

    @property
    def last_page(self) -> int:
        """The number of the last page."""
        return max(1, -(-self.listing.number // PAGE_SIZE)) if self.listing else 1

    def url(self, **changes: Any) -> str:
        """Return the address of another part of the files."""
        wanted = replace(self.wanted, **{"page": 1, **changes})
        parameters = {
            "dir": wanted.directory,
            "find": wanted.find,
            "file_sort": "" if wanted.order == "name" else wanted.order,
            "file_page": "" if wanted.page == 1 else str(wanted.page),
        }
        given: dict[str, Any] = {name: value for name, value in parameters.items() if value}
        return url_for("web.dataset", uri=self.uri, **given, _anchor="files")

    def page_url(self, page: int) -> str:
        """Return the address of another page of the same part."""
        return self.url(page=page)


def shown(scope: Scope, dataset: Mapping[str, Any], wanted: Wanted) -> Files:
    """Return what is shown of the files of a dataset."""
    found, problem = None, ""
    try:
        found = _listed(scope, dataset, wanted)
    except UnknownDirectoryError:
        problem = gettext("There is no such directory in this dataset.")
    except UnavailableError as error:
        problem = error.message
    return Files(dataset["uri"], wanted, found, problem, _downloads(dataset))


def _listed(scope: Scope, dataset: Mapping[str, Any], wanted: Wanted) -> Listing | None:
    uri, items = dataset["uri"], dataset["number_of_items"] or 0
    page = slice((wanted.page - 1) * PAGE_SIZE, wanted.page * PAGE_SIZE)
    if wanted.find:
        return listing.find_files(scope, uri, items, wanted.find, wanted.order, page)
    return listing.list_directory(scope, uri, items, wanted.directory, wanted.order, page)


def _downloads(dataset: Mapping[str, Any]) -> Downloads | None:
    offered = (extension.downloads(dataset) for extension in plugin_host.plugins().extensions)
    return next((downloads for downloads in offered if downloads), None)
