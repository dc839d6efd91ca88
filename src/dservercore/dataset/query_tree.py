"""What a query asks for: a tree whose leaves are conditions on a dataset, the same for every search plugin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from dservercore.dataset.analysis import tokens_of

#: The places in which words may be asked for alone.
Column = Literal["name", "tags", "readme", "annotations", "about", "files"]


@dataclass(frozen=True)
class Term:
    """One or more tokens next to each other, in this order.

    A ``prefix`` comes after the tokens. On its own it matches every token, and every form, that begins with it.
    After tokens it matches a token that begins with it or is :attr:`whole`.
    """

    tokens: tuple[str, ...]
    prefix: str | None = None  # None: the tokens are the whole term

    def __len__(self) -> int:
        return len(self.tokens) + (self.prefix is not None)

    @property
    def whole(self) -> str:
        """The token of the prefix, if that is a whole word: its stem."""
        return tokens_of(self.prefix or "")[-1]


@dataclass(frozen=True)
class Text:
    """A term must stand in the texts of a dataset.

    :ivar column: the place where it must stand; None: anywhere
    :ivar typed: the word as it is typed, if it may be read otherwise where it is not found; None: it is meant as it is
    :ivar is_ranked: whether it makes a dataset more relevant; else it only tells which datasets are found
    """

    term: Term
    column: Column | None = None
    typed: str | None = field(default=None, compare=False)
    is_ranked: bool = field(default=True, compare=False)


@dataclass(frozen=True)
class Piece:
    """What stands between two stars of a pattern, or at one end of it.

    :ivar tokens: of its words; not empty
    :ivar is_open_left: the first word may be the end of a longer one
    :ivar is_open_right: the last word may be the beginning of a longer one
    """

    tokens: tuple[str, ...]
    is_open_left: bool
    is_open_right: bool


@dataclass(frozen=True)
class FileName:
    """A file must have a name that fits a pattern with stars, of which each stands for anything within the name.

    :ivar pieces: what is between the stars, in order; at least one of them has a whole word
    :ivar is_open: whether the name may go on behind the last piece
    """

    pieces: tuple[Piece, ...]
    is_open: bool


@dataclass(frozen=True)
class Exactly:
    """A dataset must have exactly this, lack this (``missing``), or have a name of just these words (``name``).

    :ivar value: that of a ``value`` is what ``annotation_nodes.annotation_value`` makes of an annotation
    """

    kind: Literal["creator", "uuid", "tag", "uploader", "value", "missing", "name"]
    value: str


@dataclass(frozen=True)
class Bounds:
    """From where to where a number may be.

    :ivar least: None: there is no lower bound
    :ivar most: None: there is no upper bound
    :ivar without_least: the lower bound itself does not count
    :ivar without_most: the upper bound itself does not count
    """

    least: float | None = None
    most: float | None = None
    without_least: bool = False
    without_most: bool = False


@dataclass(frozen=True)
class Within:
    """A field of the dataset must have a number, or a time in seconds since the epoch, within bounds."""

    field: Literal["size_in_bytes", "number_of_items", "created_at", "frozen_at", "uploaded_at"]
    bounds: Bounds


@dataclass(frozen=True)
class Annotated:
    """An annotation must have a number within bounds.

    :ivar name: of the annotation, folded; those of nested ones are joined by dots
    """

    name: str
    bounds: Bounds


@dataclass(frozen=True)
class InBaseURI:
    """The base URI must contain a text, in whatever case."""

    text: str


@dataclass(frozen=True)
class All:
    """Every node must hold; without any, nothing does."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class AnyOf:
    """At least one node must hold."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class Not:
    """The node must not hold."""

    node: Node


Leaf = Text | FileName | Exactly | Within | Annotated | InBaseURI
Node = Leaf | All | AnyOf | Not


def all_of(nodes: Sequence[Node]) -> Node:
    """Return the node that all of at least one must hold."""
    return nodes[0] if len(nodes) == 1 else All(tuple(nodes))


def any_of(nodes: Sequence[Node]) -> Node:
    """Return the node that one of at least one must hold."""
    return nodes[0] if len(nodes) == 1 else AnyOf(tuple(nodes))


@dataclass(frozen=True)
class Query:
    """What is asked for.

    :ivar nodes: all of them must hold; without any, nothing does
    """

    nodes: tuple[Node, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.nodes)

    @property
    def terms(self) -> tuple[Term, ...]:
        """The terms to which a dataset can be more or less relevant, each once."""
        texts = (leaf for leaf in leaves(*self.nodes) if isinstance(leaf, Text))
        return tuple(dict.fromkeys(text.term for text in texts if text.is_ranked))


def leaves(*nodes: Node) -> Iterator[Leaf]:
    """Yield the conditions in which something is wanted; those of :class:`Not` are left out."""
    for node in nodes:
        if isinstance(node, (All, AnyOf)):
            yield from leaves(*node.nodes)
        elif not isinstance(node, Not):
            yield node


def every_leaf(*nodes: Node) -> Iterator[Leaf]:
    """Yield all conditions, those of :class:`Not` too."""
    for node in nodes:
        if isinstance(node, (All, AnyOf)):
            yield from every_leaf(*node.nodes)
        elif isinstance(node, Not):
            yield from every_leaf(node.node)
        else:
            yield node
