"""What the description of a dataset may lack: which of it a README has, and how that is noted as a number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal, get_args

import yaml

from dservercore.dataset.readme_values import LOADER, MAY_BE_YAML, has_description, says_nothing

Lack = Literal["readme", "description", "owner", "licence", "tags"]

#: What may be lacking, the most important first.
LACKS: tuple[Lack, ...] = get_args(Lack)

#: The number of each: those of a dataset are added up, so that of two datasets the one with the greater sum lacks more.
BITS: dict[Lack, int] = {lack: 2 ** (len(LACKS) - 1 - place) for place, lack in enumerate(LACKS)}
TAGS = BITS["tags"]

#: Everything is lacking.
ALL = sum(BITS.values())

# Keys at the top of a README, as the templates in use spell them.
_KEYS: dict[str, Lack] = {
    "owner": "owner",
    "owners": "owner",
    "license": "licence",
    "licenses": "licence",
    "licence": "licence",
    "licences": "licence",
}

# Of a README the beginning is looked at: of a page of text somebody may paste, this is a long one.
_LOOKED_AT, _MOST_EVENTS = 20_000, 3000


def names_of(lacks: int) -> list[Lack]:
    """Return what a sum stands for, the most important first."""
    return [lack for lack in LACKS if lacks & BITS[lack]]


def with_tags(lacks: int | None, has_tags: bool) -> int | None:
    """Return the sum of a dataset that has tags, or has none; None: nobody knows what its README has."""
    return None if lacks is None else lacks & ~TAGS | (0 if has_tags else TAGS)


def of_readme(readme: str) -> int:
    """Return the sum of what a README lacks, of a dataset with tags.

    An owner and a licence are keys at its top (``owners`` or ``owner``, ``license`` or ``licence``), with a value in
    them that says something. The description is what the search looks for with ``missing:description``.
    """
    if not any(map(str.isalnum, readme)):
        return ALL - TAGS
    has = _owner_and_licence(readme[:_LOOKED_AT])
    if has_description(readme):
        has.add("description")
    return sum(BITS[lack] for lack in LACKS if lack not in ("readme", "tags") and lack not in has)


def _owner_and_licence(beginning: str) -> set[Lack]:
    """Return which of the two a README that is YAML has; what comes before an error in it counts."""
    found: set[Lack] = set()
    folded = beginning.lower()
    if LOADER is None or not ("owner" in folded or "licen" in folded) or not MAY_BE_YAML.match(beginning):
        return found
    try:
        for key in islice(_keys_with_values(beginning), _MOST_EVENTS):
            if key in _KEYS:
                found.add(_KEYS[key])
    except (yaml.YAMLError, ValueError, RecursionError):
        pass
    return found


@dataclass
class _Collection:
    """A mapping or list that is open; ``key`` is the one at the top of the README that it belongs to."""

    is_mapping: bool
    key: str = ""
    expects_key: bool = True


def _keys_with_values(readme: str) -> Iterator[str]:
    """Yield for each event of the parser the key at the top, folded, that it is a value of, or an empty text."""
    assert LOADER is not None
    open_: list[_Collection] = []
    for event in yaml.parse(readme, Loader=LOADER):
        of = ""
        if isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            open_.pop()
        elif isinstance(event, yaml.NodeEvent):
            inside = open_[-1] if open_ else None
            is_key = inside is not None and inside.is_mapping and inside.expects_key
            if inside is not None and inside.is_mapping:
                inside.expects_key = not inside.expects_key
            if is_key and len(open_) == 1:
                open_[0].key = event.value.strip().lower() if isinstance(event, yaml.ScalarEvent) else ""
            elif inside is not None and not is_key and _says_something(event):
                of = inside.key
            if isinstance(event, yaml.CollectionStartEvent):
                is_mapping = isinstance(event, yaml.MappingStartEvent)
                open_.append(_Collection(is_mapping, "" if is_key or inside is None else inside.key))
        yield of


def _says_something(event: yaml.NodeEvent) -> bool:
    if isinstance(event, yaml.ScalarEvent):
        return bool(event.value.strip()) and not says_nothing(event)
    return isinstance(event, yaml.AliasEvent)
