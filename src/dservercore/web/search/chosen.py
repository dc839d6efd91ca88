"""What is chosen besides the words, with links that take each back."""

from __future__ import annotations

from dataclasses import dataclass

from dservercore.web.search.asked import FILTERS, Asked
from dservercore.web.search.facets import name_of_size, name_of_years
from dservercore.web.texts import gettext, noted

_KINDS = {
    "tags": noted("Tag"),
    "creator_usernames": noted("Creator"),
    "base_uris": noted("Base URI"),
    "uploaded_by": noted("Registered by"),
    "uuids": noted("UUID"),
}


@dataclass(frozen=True)
class Choice:
    """Something that is chosen, and the search without it."""

    kind: str
    text: str
    without: Asked

    @property
    def url(self) -> str:
        """Where taking it back leads."""
        return self.without.url()


def choices(asked: Asked) -> list[Choice]:
    """Return everything that is chosen, in the order of the facets."""
    chosen = [
        Choice(gettext(_KINDS[name]), value, asked.without_value(name, value))
        for name in FILTERS
        for value in asked.of(name)
    ]
    if asked.years:
        chosen.append(Choice(gettext("Frozen"), name_of_years(asked.years), asked.reworded(years=None)))
    if asked.size:
        chosen.append(Choice(gettext("Size"), name_of_size(asked.size), asked.reworded(size=None)))
    if asked.is_strict:
        chosen.append(Choice("", gettext("exactly as typed"), asked.changed(is_strict=False)))
    return chosen


def without_choices(asked: Asked) -> Asked:
    """Return the search with its words alone."""
    return asked.changed(text=asked.words, filters={}, is_strict=False)
