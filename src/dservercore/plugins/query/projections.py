"""Which fields of a document stay, go, or are worked out: the stages ``$project``, ``$addFields`` and ``$unset``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dservercore.plugins.query.expressions import (
    Document,
    Expression,
    bounded,
    names_of,
    parse,
    parts_of,
    refused,
)
from dservercore.plugins.query.values import MISSING, is_number

#: What is done with a field: True: it stays; False: it goes; an expression; or a node, for what is in it.
Node = dict[str, Any]

# Characters of a text from which on it counts: shorter ones make no document large.
_LONG = 1000


class Projection:
    """What becomes of a document.

    :ivar only: the fields at the top that alone are looked at; None: all, as the others stay
    """

    def __init__(self, tree: Node, keeps_others: bool) -> None:
        self._tree = tree
        self._keeps_others = keeps_others
        self._computes = _computes(tree)
        self.only = None if keeps_others else _names(tree)

    def apply(self, document: Document) -> Document:
        """Return what becomes of a document."""
        kept = _without(self._tree, document) if self._keeps_others else _only(self._tree, document)
        return _without_missing(
            self._tree, _with_values(self._tree, kept, document) if self._computes else kept
        )

    @property
    def used(self) -> set[str] | None:
        """The fields at the top that its expressions look at; None: all."""
        return names_of(_expressions(self._tree))


def project(given: Any) -> Projection:
    """Return what a ``$project`` says.

    :raises InvalidValueError: if it is none
    """
    if not isinstance(given, dict) or not given:
        raise refused("$project takes an object with fields.")
    tree: Node = {}
    _add_all(tree, [], given, "$project")
    kept, dropped = _kinds({name: node for name, node in tree.items() if name != "_id"})
    if kept and dropped:
        raise refused("$project either names fields that stay (1), or fields that go (0), but for _id.")
    excludes = not kept and (dropped or tree.get("_id") is False)
    if not excludes:
        tree.setdefault("_id", True)
    return Projection(tree, keeps_others=excludes)


def add_fields(given: Any, stage: str) -> Projection:
    """Return what an ``$addFields`` or ``$set`` says.

    :raises InvalidValueError: if it is none
    """
    if not isinstance(given, dict):
        raise refused(f"{stage} takes an object with fields.")
    tree: Node = {}
    _add_all(tree, [], given, stage)
    return Projection(tree, keeps_others=True)


def unset(given: Any) -> Projection:
    """Return what an ``$unset`` says.

    :raises InvalidValueError: if it is none
    """
    names = given if isinstance(given, list) else [given]
    if not names:
        raise refused("$unset takes the path of a field, or several.")
    tree: Node = {}
    for name in names:
        _put(tree, parts_of(name, "$unset"), False, "$unset")
    return Projection(tree, keeps_others=True)


# Parsing


def _add_all(tree: Node, before: list[str], given: Mapping[str, Any], stage: str) -> None:
    for name, value in given.items():
        parts = [*before, *parts_of(name, stage)]
        if isinstance(value, dict) and value and not next(iter(value)).startswith("$"):
            _add_all(tree, parts, value, stage)
        elif isinstance(value, dict) and not value and stage == "$project":
            raise refused("$project takes no empty object.")
        elif stage == "$project" and (isinstance(value, bool) or is_number(value)):
            _put(tree, parts, bool(value), stage)
        else:
            _put(tree, parts, parse(value), stage)


def _put(tree: Node, parts: list[str], value: Any, stage: str) -> None:
    for part in parts[:-1]:
        tree = tree.setdefault(part, {})
        if not isinstance(tree, dict):
            raise refused(f"{stage} names the field {part!r} and something in it.")
    if parts[-1] in tree:
        raise refused(f"{stage} names the field {'.'.join(parts)!r} twice.")
    tree[parts[-1]] = value


def _kinds(tree: Node) -> tuple[bool, bool]:
    """Return whether something in a tree stays or is worked out, and whether something goes."""
    kept = dropped = False
    for node in tree.values():
        if isinstance(node, dict):
            inner = _kinds(node)
            kept, dropped = kept or inner[0], dropped or inner[1]
        else:
            kept, dropped = kept or node is not False, dropped or node is False
    return kept, dropped


def _expressions(tree: Node) -> list[Expression]:
    found: list[Expression] = []
    for node in tree.values():
        found += (
            _expressions(node) if isinstance(node, dict) else [node] if isinstance(node, Expression) else []
        )
    return found


def _computes(tree: Node) -> bool:
    return bool(_expressions(tree))


def _names(tree: Node) -> set[str] | None:
    used = names_of(_expressions(tree))
    return (
        None
        if used is None
        else used | {name for name, node in tree.items() if not isinstance(node, Expression)}
    )


# Applying


def _only(tree: Node, document: Document) -> Document:
    """Return the fields that stay, in the order of the document."""
    kept = {}
    for name, value in document.items():
        node = tree.get(name)
        if node is True:
            kept[name] = value
        elif isinstance(node, dict) and (inner := _only_in(node, value)) is not MISSING:
            kept[name] = inner
    return kept


def _only_in(node: Node, value: Any) -> Any:
    if isinstance(value, dict):
        return _only(node, value)
    if isinstance(value, list):
        return [
            _only_in(node, item) for item in value
        ]  # in place of what is missing, something may be worked out
    return MISSING


def _without_missing(tree: Node, document: Document) -> Document:
    """Return a document without the elements of lists that are missing, which only those of the tree can be."""
    for name, node in tree.items():
        if isinstance(node, dict) and name in document:
            document[name] = _without_missing_in(node, document[name])
    return document


def _without_missing_in(node: Node, value: Any) -> Any:
    if isinstance(value, dict):
        return _without_missing(node, value)
    if isinstance(value, list):
        return [_without_missing_in(node, item) for item in value if item is not MISSING]
    return value


def _without(tree: Node, document: Document) -> Document:
    """Return the fields that do not go."""
    kept = {}
    for name, value in document.items():
        node = tree.get(name)
        if node is not False:
            kept[name] = _without_in(node, value) if isinstance(node, dict) else value
    return kept


def _without_in(node: Node, value: Any) -> Any:
    if isinstance(value, dict):
        return _without(node, value)
    if isinstance(value, list):
        return [_without_in(node, item) for item in value]
    return value


def _with_values(tree: Node, kept: Document, root: Document) -> Document:
    """Return a document with what is worked out of *root*."""
    result = dict(kept)
    for name, node in tree.items():
        if isinstance(node, Expression):
            value = node.evaluate(root)
        elif isinstance(node, dict) and _computes(node):
            value = _with_values_in(node, kept.get(name, MISSING), root)
        else:
            continue
        if value is MISSING:
            result.pop(name, None)
        else:
            result[name] = value
    if any(_may_be_large(result[name]) for name in tree if name in result):
        for _ in bounded(result.values()):
            pass
    return result


def _may_be_large(value: Any) -> bool:
    return isinstance(value, (dict, list)) or (isinstance(value, str) and len(value) > _LONG)


def _with_values_in(node: Node, value: Any, root: Document) -> Any:
    if isinstance(value, list):
        return list(bounded(_with_values_in(node, item, root) for item in value))
    return _with_values(node, value if isinstance(value, dict) else {}, root)
