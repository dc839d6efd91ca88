"""What an address leads to: the same document has several, and a name without any of them."""

from __future__ import annotations

import re
from urllib.parse import unquote

from dservercore.dataset.analysis import fold

# What leads to a document and is no part of its name: it makes no difference whether somebody writes it. One may stand
# behind another: https://identifiers.org/doi:10.1000/1.
_RESOLVER = re.compile(
    r"""(?:https?://)?(?:
        (?:www\.|dx\.)?doi\.org/(?:doi:)? | (?:www\.)?hdl\.handle\.net/ | (?:www\.|export\.)?arxiv\.org/(?:abs|pdf)/
        | (?:www\.)?orcid\.org/ | (?:www\.)?identifiers\.org/ | (?:www\.)?n2t\.net/ | www\.
        | [^\s/]+/(?:\S*/)?doi/(?:abs/|full/|pdf/|epdf/)?(?=10\.\d{4,9}/)
    )
    | https?:// | (?:ssh://)?git@(?=[\w.-]+[:/]) | git(?:\+https?)?://
    | info:doi/ | (?:urn:)?doi: | (?:urn:)?hdl: | arxiv: | orcid: | doi/(?=10\.\d{4,9}/)""",
    re.IGNORECASE | re.VERBOSE,
)
_MOST_RESOLVERS = 4

# What addresses of repositories end in, or do not, and those of preprints: the number of a version.
_REPOSITORY = re.compile(r"\.git/?$", re.IGNORECASE)
_PREPRINT = re.compile(r"((\d{4}\.\d{4,5}|[a-z-]+(?:\.[a-z]{2})?/\d{7})(?:v\d+)?)(?:\.pdf)?$", re.IGNORECASE)

# What is the name of a preprint, with or without a version behind it.
_ARXIV = re.compile(
    r"arxiv(?:\.org/(?:abs|pdf)/|:)(?:\d{4}\.\d{4,5}|[a-z-]+(?:\.[a-z]{2})?/\d{7})$", re.IGNORECASE
)


def names_of(text: str) -> tuple[str, ...]:
    """Return what an address leads to, without what leads there, in the ways to write it; any other text as it is."""
    name = text.lstrip("<([{'")
    address = name
    for _ in range(_MOST_RESOLVERS):
        resolver = _RESOLVER.match(name)
        if resolver is None or not fold(name[resolver.end() :]):
            break
        name = name[resolver.end() :]
    if name is address:
        return (text,)
    name = _REPOSITORY.sub("", name)
    preprint = _PREPRINT.match(name)
    return tuple(dict.fromkeys(preprint.groups() if preprint else [name, unquote(name)]))


def leads_to(text: str) -> bool:
    """Return whether a text is an address, or a name of a document with what it is in front, such as ``doi:``."""
    return names_of(text) != (text,)


def may_have_version(text: str) -> bool:
    """Return whether a text is the name of a preprint behind which a version may stand, such as ``v2``."""
    return _ARXIV.search(text) is not None
