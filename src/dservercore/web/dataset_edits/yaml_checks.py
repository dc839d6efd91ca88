"""Whether a README is YAML, and where it is not: said to who writes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from dservercore.web.texts import gettext, ngettext

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: Characters of a README that is checked while somebody types.
MOST_WHILE_TYPING = 200_000


@dataclass(frozen=True)
class Verdict:
    """What there is to be said of a README.

    :param is_yaml: whether it is YAML, or is at least nothing else by mistake
    :param message: for who wrote it; ``""``: there is nothing to be said
    :param line: of the mistake, the first one is 1; None: nobody knows
    :param column: of the mistake, the first one is 1
    """

    is_yaml: bool
    message: str = ""
    line: int | None = None
    column: int | None = None


class _MistakeError(Exception):
    def __init__(self, message: str, mark: Any):
        super().__init__(message)
        self.message, self.mark = message, mark


def verdict_on(readme: str, most: int | None = None) -> Verdict:
    """Return what there is to be said of a README: nothing, if it has more than so many characters.

    :param most: None: it may have any number
    """
    if not readme.strip() or (most is not None and len(readme) > most):
        return Verdict(True)
    try:
        # By events, not as objects: what nests deeply, or repeats itself by aliases, costs no more than its length.
        kind, number = _examined(readme)
    except _MistakeError as mistake:
        return _at(mistake.message, mistake.mark)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return _at(_explained(error.problem or "", _character(readme, mark)), mark)
    except (yaml.YAMLError, ValueError, RecursionError):
        return Verdict(False, gettext("Not YAML: it has a character that YAML does not know."))
    if kind == "mapping":
        said = ngettext("This is YAML, with one field.", "This is YAML, with {number} fields.", number)
    elif kind == "sequence":
        said = ngettext("This is YAML: a list of one.", "This is YAML: a list of {number}.", number)
    else:
        said = gettext("This is plain text. Lines such as “project: beans” would make it a table.")
    return Verdict(True, said.format(number=number))


@dataclass
class _Collection:
    """A mapping or a list that has begun.

    :param keys: of a mapping, those so far; None: it is a list
    :param expects_key: whether the next node is a key
    """

    keys: set[str] | None
    expects_key: bool


def _examined(readme: str) -> tuple[str, int]:
    """Return what the README is, ``mapping``, ``sequence`` or ``scalar``, and how many parts it has.

    :raises _MistakeError, yaml.YAMLError: if it is no YAML
    """
    kind, number, documents = "scalar", 0, 0
    anchors: set[str] = set()
    begun: list[_Collection] = []
    for event in yaml.parse(readme, Loader=_LOADER):
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise _MistakeError(
                    gettext("a second document begins here: “---” stands once"), event.start_mark
                )
        elif isinstance(event, yaml.CollectionEndEvent):
            begun.pop()
        elif isinstance(event, yaml.NodeEvent):
            _note_anchor(anchors, event)
            if begun:
                is_part = begun[-1].keys is None or begun[-1].expects_key
                number += is_part and len(begun) == 1
                _note_key(begun[-1], event)
            if isinstance(event, yaml.CollectionStartEvent):
                is_mapping = isinstance(event, yaml.MappingStartEvent)
                if not begun:
                    kind = "mapping" if is_mapping else "sequence"
                begun.append(_Collection(set() if is_mapping else None, is_mapping))
    return kind, number


def _note_anchor(anchors: set[str], event: yaml.NodeEvent) -> None:
    name = event.anchor or ""
    if not isinstance(event, yaml.AliasEvent):
        anchors.add(name)
    elif name not in anchors:
        said = gettext("nothing is called “{name}”: a text that begins with * needs quotes")
        raise _MistakeError(said.format(name=name[:80]), event.start_mark)


def _note_key(collection: _Collection, event: yaml.NodeEvent) -> None:
    if collection.keys is None:
        return
    if collection.expects_key and isinstance(event, yaml.ScalarEvent) and event.value != "<<":
        if event.value in collection.keys:
            said = gettext("“{key}” is there twice")
            raise _MistakeError(said.format(key=event.value[:80]), event.start_mark)
        collection.keys.add(event.value)
    collection.expects_key = not collection.expects_key


def _character(readme: str, mark: Any) -> str:
    """Return the character at a place; ``""`` behind the last one."""
    lines = readme.splitlines()
    if mark is None or mark.line >= len(lines):
        return ""
    return lines[mark.line][mark.column : mark.column + 1] or "\n"


def _explained(problem: str, character: str) -> str:
    """Return what the parser says, and what to do about it where that is known."""
    if "mapping values are not allowed" in problem:
        return gettext(
            "no colon can be here. A text with “: ” in it needs quotes,"
            " and fields that belong together begin in one column"
        )
    if "cannot start any token" in problem:
        if character == "\t":
            return gettext("a tab: YAML is indented with spaces")
        return gettext("a text that begins with {character} needs quotes").format(character=character)
    if "could not find expected ':'" in problem:
        return gettext("a field without a colon, here or in the line before")
    if "unexpected end of stream" in problem:
        return gettext("a quotation mark is missing")
    if "did not find expected key" in problem:
        return gettext("it is indented otherwise than the lines before, or something is missing before it")
    if not character and "expected" in problem:
        return gettext("a bracket is missing at the end")
    return problem


def _at(message: str, mark: Any) -> Verdict:
    if mark is None:
        return Verdict(False, gettext("Not YAML: {reason}.").format(reason=message))
    line, column = mark.line + 1, mark.column + 1
    said = gettext("Not YAML: line {line}, column {column}: {reason}.")
    return Verdict(False, said.format(line=line, column=column, reason=message), line, column)
