"""What a README says, without the signs in which YAML writes it down."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

import yaml

#: The parser in C, where there is one: without it, a README of the greatest length would take half a minute.
LOADER = getattr(yaml, "CSafeLoader", None)

#: What may be a mapping or a list: no more than a glance, before all of it is parsed.
MAY_BE_YAML = re.compile(r"""\s*(?:---|%YAML|[{\[#]|-\s|(?:[^\s:#]|"|')[^\n]*?:(?:\s|\Z))""")

_COMMENT = re.compile(r"(?:^|\s)#([^\n]*)", re.MULTILINE)


def _words_before(event: yaml.NodeEvent) -> Iterator[str]:
    """Yield what YAML takes for the name of a value, or for its type, where somebody may have meant a word.

    As in ``genotype: *mutant`` and ``note: !important wash them``.
    """
    if event.anchor:
        yield event.anchor
    tag = getattr(event, "tag", None)
    if tag and tag.startswith("!") and tag != "!":
        yield tag


_DESCRIPTION = re.compile(
    r"""(?:^|[{,])[ \t]{0,20}["']?description["']?[ \t]{0,20}:[ \t]*(?!["']{2}|~|null\b)[^ \t\n]""",
    re.IGNORECASE | re.MULTILINE,
)
# Of a value that begins in the next line.
_DESCRIPTION_BELOW = re.compile(r"^description:[ \t]*\n[ \t]+\S", re.IGNORECASE | re.MULTILINE)


def has_description(readme: str) -> bool:
    """Return whether a README has a key ``description`` that says something."""
    if "description" not in readme.lower():  # ten times as fast
        return False
    return bool(_DESCRIPTION.search(readme) or _DESCRIPTION_BELOW.search(readme))


# Characters at the beginning of a README in which its description is looked for, and what the parser may find there:
# of a page of a hundred READMEs, each is parsed.
_LOOKED_AT, _MOST_EVENTS = 20_000, 500


def description_of(readme: str) -> str | None:
    """Return the first value of a key ``description`` in a README that is YAML; None: there is none that is a text.

    It is looked for at the beginning of the README, and may be cut where that ends.
    """
    beginning = readme[:_LOOKED_AT]
    if LOADER is None or not has_description(beginning) or not MAY_BE_YAML.match(beginning):
        return None
    found = None
    try:
        for key, value in islice(_entries(beginning), _MOST_EVENTS):
            if found is not None:
                break  # what follows on it is YAML, too
            if key.lower() == "description" and value.strip():
                found = value
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    return found


def _entries(readme: str) -> Iterator[tuple[str, str]]:
    """Yield for each event of the parser a key and its value, if it has read them, else two empty texts."""
    waiting: list[
        list[str] | None
    ] = []  # of each collection that is open, the key that has no value yet; None: a list
    assert LOADER is not None
    for event in yaml.parse(readme, Loader=LOADER):
        entry = ("", "")
        if isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            waiting.pop()
        elif isinstance(event, yaml.NodeEvent):
            key = waiting[-1] if waiting else None
            if key == [] and isinstance(event, yaml.ScalarEvent):
                key.append(event.value)
            elif key:
                if isinstance(event, yaml.ScalarEvent) and not says_nothing(event):
                    entry = (key[0], event.value)
                key.clear()
            elif key == []:
                key.append("")  # a collection as a key
            if isinstance(event, yaml.CollectionStartEvent):
                waiting.append([] if isinstance(event, yaml.MappingStartEvent) else None)
        yield entry


def says_nothing(event: yaml.ScalarEvent) -> bool:
    """Return whether a value is empty, or null."""
    return not event.style and event.value.lower() in ("", "~", "null")


def text_of_values(readme: str) -> str:
    r"""Return the keys and values of a README that is a YAML mapping or list, each in a line of its own, in order.

    What is written with an escape (``"M\xFCller"``) is there as it is read. Comments follow behind. A README that is
    something else, or no YAML, is returned as it is.
    """
    if LOADER is None or not MAY_BE_YAML.match(readme):
        return readme
    values: list[str] = []
    is_structured = False
    try:
        # By events, not as objects: what nests deeply, or repeats itself by aliases, costs no more than its length.
        for event in yaml.parse(readme, Loader=LOADER):
            if isinstance(event, yaml.NodeEvent):
                values += _words_before(event)
            if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                is_structured = True
            elif isinstance(event, yaml.ScalarEvent):
                values.append(event.value)
    except (yaml.YAMLError, ValueError, RecursionError):
        return readme
    if not is_structured:
        return readme
    comments = _COMMENT.findall(readme) if "#" in readme else []
    return "\n".join([*values, *comments])
