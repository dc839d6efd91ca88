"""Which datasets a document names: the UUIDs in its README, if that is YAML, and in its annotations, by their keys."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from dservercore.dataset.readme_tree import Entries, Values, tree_of
from dservercore.plugins.graph.keys import LONGEST_KEY

#: Edges that are kept of a dataset, those of the configured keys first.
MOST_EDGES = 1000

_UUID = re.compile(r"(?:urn:uuid:)?\{?[0-9a-f-]{32,36}\}?", re.IGNORECASE)
# What every spelling of a UUID has somewhere. A README without it need not be read.
_MAY_HAVE_UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}", re.IGNORECASE)
# Escapes of YAML and JSON make characters that no store takes.
_UNFIT = re.compile("[\0\ud800-\udfff]")


def uuid_of(value: object) -> str | None:
    """Return a UUID, in any spelling, as lower-case text with dashes; None for what is none."""
    text = value.strip() if isinstance(value, str) and len(value) < 100 else ""
    if not _UUID.fullmatch(text):
        return None
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None


def named_in(document: Mapping[str, Any], keys: Collection[str], with_others: bool) -> list[tuple[str, str]]:
    """Return pairs of a key and a UUID that stands there, each once, at most ``MOST_EDGES``; those of *keys* first.

    Lists do not count: ``readme.derived_from.uuid`` is in a mapping as in each mapping of a list.

    :param document: has ``readme``, ``annotations`` and ``uuid``, which is not among those that it names
    :param with_others: return UUIDs under other keys, too
    """
    pairs = list(dict.fromkeys(_pairs(document)))
    own = uuid_of(document.get("uuid"))
    wanted = [pair for key in keys for pair in pairs if pair[0] == key]
    if with_others:
        wanted += [pair for pair in pairs if pair[0] not in keys]
    return [pair for pair in wanted if pair[1] != own][:MOST_EDGES]


def _pairs(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    readme = document.get("readme") or ""
    if isinstance(readme, str) and _MAY_HAVE_UUID.search(readme):
        tree = tree_of(readme)
        if tree is not None:
            yield from _pairs_below("readme", tree)
    annotations = document.get("annotations") or {}
    if isinstance(annotations, str):
        annotations = json.loads(annotations)
    yield from _pairs_below("annotations", annotations)


def _pairs_below(part: str, whole: Any) -> Iterator[tuple[str, str]]:
    """Yield keys and UUIDs in the order in which they stand in a part of a document."""
    waiting: list[tuple[str, Any]] = [(part, whole)]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, Values):
            value = value.values
        if isinstance(value, Entries):
            value = dict(value.entries)  # of two with one name, the last counts, as in YAML
        if isinstance(value, Mapping):
            below = [(f"{key}.{name}", member) for name, member in value.items()]
            waiting += reversed([pair for pair in below if _is_fit(pair[0])])
        elif isinstance(value, list):
            waiting += [(key, element) for element in reversed(value)]
        elif (found := uuid_of(value)) is not None:
            yield key, found


def _is_fit(key: str) -> bool:
    return len(key) <= LONGEST_KEY and not _UNFIT.search(key)


def uuids_of(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Return the UUIDs of pairs, sorted, each once."""
    return sorted({found for _, found in pairs})
