"""Searches for a text that an extension understands, and answers in place of the search plugin."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from dservercore import plugin_host
from dservercore.catalog import result_details
from dservercore.catalog.result_pages import ResultPage
from dservercore.catalog.scope import Scope
from dservercore.dataset.fields import DATASET_KEYS
from dservercore.plugin_api import ExtensionABC


def extension_for(text: str) -> ExtensionABC | None:
    """Return the extension that answers a text; None: it is for the search plugin."""
    if not text or text.isspace():
        return None
    extensions = plugin_host.plugins().extensions
    return next((extension for extension in extensions if extension.understands(text)), None)


def structured_page(
    extension: ExtensionABC,
    scope: Scope,
    text: str,
    filters: Mapping[str, Sequence[str]],
    order: Mapping[str, int],
    page: slice,
    details: Collection[str] = (),
) -> ResultPage:
    """Return one page of the datasets in *scope* that match a query of an extension.

    :param extension: the one that understands it
    :param filters: values by the name of the filter
    :param order: ``{field: 1 | -1}``; ties are broken by ``uri``
    :param details: those of ``result_details.DETAILS`` that are to be added
    :raises ValidationError: if the query is wrong
    :raises UnavailableError: if it cannot be answered now, or takes too long
    """
    found, total = extension.find_datasets(text, scope, filters, order, page)
    datasets = [{key: dataset.get(key) for key in DATASET_KEYS} for dataset in found]
    return ResultPage(result_details.add_details(scope, datasets, details, None), total)
