"""Names that the forms of the administration propose while somebody types one; of very many, none."""

from __future__ import annotations

from dservercore.catalog import base_uris, groups, users

#: More than so many make a page large, and help nobody to choose.
MOST = 200

#: Of names in a list that is no page of its own, so many are shown; the others are found by what is in them.
MOST_SHOWN = 200


def containing(names: list[str], text: str) -> list[str]:
    """Return those names that have a text in them, in upper or lower case."""
    return [name for name in names if text.casefold() in name.casefold()]


def known_users() -> list[str]:
    """Return the names of the users."""
    names = users.first_names(MOST + 1)
    return names if len(names) <= MOST else []


def known_groups() -> list[str]:
    """Return the names of the groups."""
    names = groups.first_names(MOST + 1)
    return names if len(names) <= MOST else []


def known_base_uris() -> list[str]:
    """Return the base URIs."""
    found, total = base_uris.list_base_uris({"base_uri": 1}, slice(0, MOST), with_users=False)
    return [one["base_uri"] for one in found] if total <= MOST else []
