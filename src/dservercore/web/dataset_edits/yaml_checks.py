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


class _Mistake(Exception):
    def __init__(self, message: str, mark: Any):
        super().__init__(message)
        self.message, self.mark = message, mark


def verdict_on(readme: str) -> Verdict:
    """Return what there is to be said of a README."""
    if not readme.strip():
        return Verdict(True)
    try:
        # By events, not as objects: what nests deeply, or repeats itself by aliases, costs no more than its length.
        kind, number = _examined(readme)
    except _Mistake as mistake:
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


def _examined(readme: str) -> tuple[str, int]:
    """Return what the README is, ``mapping``, ``sequence`` or ``scalar``, and how many parts it has.

    :raises _Mistake, yaml.YAMLError: if it is no YAML
    """
    kind, number, documents = "scalar", 0, 0
    anchors: set[str] = set()
    # Of each collection that is open: the keys of a mapping, or None; whether the next node is a key.
    open_: list[tuple[set[str] | None, bool]] = []
    for event in yaml.parse(readme, Loader=_LOADER):
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise _Mistake(gettext("a second document begins here: “---” stands once"), event.start_mark)
        elif isinstance(event, yaml.CollectionEndEvent):
            open_.pop()
        elif isinstance(event, yaml.NodeEvent):
            keys, is_key = open_[-1] if open_ else (None, False)
            if len(open_) == 1:
                number += is_key or keys is None
            if keys is not None:
                if is_key and isinstance(event, yaml.ScalarEvent):
                    if event.value in keys and event.value != "<<":
                        raise _Mistake(
                            gettext("“{key}” is there twice").format(key=event.value[:80]), event.start_mark
                        )
                    keys.add(event.value)
                open_[-1] = (keys, not is_key)
            if isinstance(event, yaml.AliasEvent):
                if event.anchor not in anchors:
                    raise _Mistake(
                        gettext("nothing is called “{name}”: a text that begins with * needs quotes").format(
                            name=event.anchor[:80]
                        ),
                        event.start_mark,
                    )
            elif event.anchor:
                anchors.add(event.anchor)
            is_mapping = isinstance(event, yaml.MappingStartEvent)
            if is_mapping or isinstance(event, yaml.SequenceStartEvent):
                if not open_:
                    kind = "mapping" if is_mapping else "sequence"
                open_.append((set() if is_mapping else None, is_mapping))
    return kind, number


def _character(readme: str, mark: Any) -> str:
    """Return the character at a place; ``""`` behind the last one."""
    lines = readme.splitlines()
    if mark is None or mark.line >= len(lines):
        return ""
    return lines[mark.line][mark.column : mark.column + 1] or "\n"


def _explained(problem: str, character: str) -> str:
    """Return what the parser says, and what to do about it where that is known."""
    if "mapping values are not allowed" in problem:
        return gettext("no colon can be here: a text with “: ” in it needs quotes, and fields begin alike")
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
