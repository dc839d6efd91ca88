"""What a search that is kept asks for, in words."""

from __future__ import annotations

from urllib.parse import parse_qsl

from dservercore.web.texts import gettext, noted

_FILTERS = {
    "free_text": "",
    "tags": noted("tag"),
    "creator_usernames": noted("creator"),
    "base_uris": noted("in"),
    "uploaded_by": noted("registered by"),
    "uuids": noted("UUID"),
}
#: What says how the answer is shown, not what is in it.
_SHOWN_ELSEWHERE = {"sort", "page", "page_size", "strict", "include", "group"}


def in_words(query: str) -> list[dict[str, str]]:
    """Return what a query string asks for: of each condition, what it is about (``label``), and its ``value``.

    The label of the words that are searched for is empty.
    """
    return [
        {"label": gettext(_FILTERS[name]) if _FILTERS.get(name) else _FILTERS.get(name, name), "value": value}
        for name, value in parse_qsl(query)
        if name not in _SHOWN_ELSEWHERE
    ]
