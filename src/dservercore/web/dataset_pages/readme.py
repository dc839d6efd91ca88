"""The README of a dataset as it is shown: a tree of keys and values with links, or a text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from flask import url_for

from dservercore.catalog import lookup
from dservercore.catalog.scope import Scope
from dservercore.dataset import readme_tree, text_links
from dservercore.dataset.readme_text import text_of
from dservercore.web.dataset_pages.markdown import Markdown

#: UUIDs in a README that are looked up.
_MOST_UUIDS = 200

#: Characters of a description that stands at the top of the page instead of among the other values.
_SHORT = 1500

#: Characters of a README that are on the page; all of it can be downloaded.
_MOST_SHOWN = 500_000


@dataclass(frozen=True)
class Link:
    """A part of a text: ``href`` is where it leads, ``is_here`` whether to a page of this server; None: nowhere."""

    text: str
    href: str | None = None
    is_here: bool = False


class Links:
    """Finds what in texts leads somewhere.

    :param known: UUIDs of other datasets that the reader may see
    """

    def __init__(self, known: frozenset[str]):
        self._known = known

    def of(self, text: str) -> Iterator[Link]:
        """Yield the parts of a text."""
        for piece in text_links.pieces_of(text):
            if piece.uuid in self._known and piece.uuid:
                yield Link(piece.text, url_for("web.copies", uuid=piece.uuid), is_here=True)
            else:
                yield Link(piece.text, piece.href)


@dataclass(frozen=True)
class Readme:
    """What is shown of a README.

    :param text: as it is written, up to a length
    :param is_cut: whether there is more of it
    :param tree: None: it is shown as a text
    :param description: what the dataset is, which then is not among the values of the tree; None: among them, or absent
    :param links: finds links in texts
    :param markdown: renders descriptions
    """

    text: str
    is_cut: bool
    tree: readme_tree.Entries | readme_tree.Values | None
    description: str | None
    links: Links
    markdown: Markdown

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing."""
        return not self.text.strip()


def shown(scope: Scope, dataset: Mapping[str, Any], readme: Any) -> Readme:
    """Return what is shown of a README, with links to the datasets that it names, as far as they are in a scope."""
    text = str(text_of(readme))
    tree = readme_tree.tree_of(text)
    description = None
    if isinstance(tree, readme_tree.Entries):
        description, tree = _described(tree)
    uuids = text_links.uuids_in(text[: text_links.MOST_CHARACTERS]) - {dataset["uuid"]}
    known = lookup.copies_of(scope, list(islice(sorted(uuids), _MOST_UUIDS)))
    links = Links(frozenset(known))
    return Readme(text[:_MOST_SHOWN], len(text) > _MOST_SHOWN, tree, description, links, Markdown(links.of))


def _described(tree: readme_tree.Entries) -> tuple[str | None, readme_tree.Entries]:
    """Return a short description, and the tree without it."""
    for place, (key, value) in enumerate(tree.entries):
        if key.lower() == "description" and isinstance(value, str) and 0 < len(value.strip()) <= _SHORT:
            rest = tree.entries[:place] + tree.entries[place + 1 :]
            return value.strip(), readme_tree.Entries(rest)
    return None, tree
