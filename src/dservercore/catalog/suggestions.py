"""What to offer to somebody who types into a search box: words, names, tags and creators that find something.

All of it is made of datasets in the scope of whoever asks: each row that is looked at belongs to one of its base URIs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest
from typing import Any

from sqlalchemy import bindparam, func, select

from dservercore import plugin_host
from dservercore.catalog.scope import Scope
from dservercore.dataset.analysis import completion_key
from dservercore.dataset.text_query import field_query
from dservercore.db.fast_reads import Prepared
from dservercore.errors import UnavailableError
from dservercore.models import Dataset, SummaryCount

logger = logging.getLogger(__name__)

_dataset, _counts = Dataset.__table__, SummaryCount.__table__

_LAST = chr(0x10FFFF)  # follows on everything that begins as the key does

# So many rows are looked at of each kind. Where more begin so, the suggestions are some of these.
_LOOKED_AT = 1000

_ids: Any = bindparam("ids", expanding=True)
_names = (
    select(_dataset.c.folded_name, _dataset.c.name)
    .where(
        _dataset.c.base_uri_id.in_(_ids),
        _dataset.c.folded_name >= bindparam("key"),
        _dataset.c.folded_name < bindparam("end"),
    )
    .limit(_LOOKED_AT)
    .subquery("names")
)
_NAMES = Prepared(
    select(_names.c.name)
    .group_by(_names.c.folded_name, _names.c.name)
    .order_by(func.length(_names.c.folded_name), _names.c.folded_name, _names.c.name)
    .limit(bindparam("most"))
)
_values = (
    select(_counts.c.value, _counts.c.folded, _counts.c.datasets)
    .where(
        _counts.c.kind == bindparam("kind"),
        _counts.c.base_uri_id.in_(_ids),
        _counts.c.folded >= bindparam("key"),
        _counts.c.folded < bindparam("end"),
    )
    .limit(_LOOKED_AT)
    .subquery("values_so_far")
)
_VALUES = Prepared(
    select(_values.c.value)
    .group_by(_values.c.folded, _values.c.value)
    .order_by(func.sum(_values.c.datasets).desc(), _values.c.folded, _values.c.value)
    .limit(bindparam("most"))
)


def suggest(scope: Scope, text: str, most: int) -> list[dict[str, str]]:
    """Return what to offer in place of a text: ``[{"text": ..., "kind": ...}]``, the kinds in turn, the best first.

    Of the kind ``word`` it is the whole text with its last word completed; of ``name``, ``tag`` and ``creator``, whose
    beginning the text is, a query for these, such as ``tag:"soil sample"``.

    :param text: what is typed so far; nothing is offered for a blank one
    :param most: how many at most
    """
    if not scope.base_uris or not (key := completion_key(text)):
        return []
    found = {
        "word": _words(scope, text, most),
        "name": _queries("name", _completions(_NAMES, scope, key, most)),
        "tag": _queries("tag", _completions(_VALUES, scope, key, most, kind="tag")),
        "creator": _queries("creator", _completions(_VALUES, scope, key, most, kind="creator")),
    }
    by_kind = [[{"text": each, "kind": kind} for each in texts] for kind, texts in found.items()]
    return [each for each in chain.from_iterable(zip_longest(*by_kind)) if each][:most]


def known_tags(scope: Scope, beginning: str, most: int) -> list[str]:
    """Return tags of datasets in scope that begin so, whatever separates their words; the most frequent ones first.

    :param beginning: blank: they may begin as they like
    :param most: how many at most
    """
    if not scope.base_uris:
        return []
    return _completions(_VALUES, scope, completion_key(beginning), most, kind="tag")


def _words(scope: Scope, text: str, most: int) -> Sequence[str]:
    try:
        return plugin_host.plugins().search.complete(text, list(scope.base_uris), most)
    except UnavailableError as error:
        logger.warning("No words are suggested: %s", error.message)
        return ()


def _completions(statement: Prepared, scope: Scope, key: str, most: int, **values: str) -> list[str]:
    parameters = {"ids": scope.ids, "key": key, "end": key + _LAST, "most": most, **values}
    return [value for (value,) in statement.all(parameters)]


def _queries(field: str, values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(query for value in values if (query := field_query(field, value))))
