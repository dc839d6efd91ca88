"""By what the results of a search can be sorted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dservercore.errors import invalid

if TYPE_CHECKING:
    from dservercore.rest.sort import SortParameters

#: Relevance is a matter of the words of ``free_text``: -1 is best first.
SORT_FIELDS = ("base_uri", "created_at", "creator_username", "frozen_at", "name", "uri", "uuid", "relevance")


def search_order(sort_parameters: SortParameters | None, has_words: bool) -> dict[str, int]:
    """Return the fields to sort by, the most important first: ``{field: 1 (ascending) or -1}``.

    :param has_words: whether words are looked for; without any, ``relevance`` sorts nothing and is left out
    :raises ValidationError: 422, if a field is unknown
    """
    order = dict(sort_parameters.order) if sort_parameters is not None else {}
    for field in order:
        if field not in SORT_FIELDS:
            raise invalid("sort", f"Unknown field {field!r}; known are {', '.join(SORT_FIELDS)}.")
    if not has_words:
        order.pop("relevance", None)
    return order
