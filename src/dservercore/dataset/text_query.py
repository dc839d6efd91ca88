"""How what a user types into a search box becomes a query, the same one for every search plugin.

The query language: words are AND-ed, ``"a phrase"``, ``-without`` or ``NOT without`` (``-80`` is a number), ``a OR b``
(binds tighter than the AND), ``prefi*``, parentheses, and fields such as ``name:rice``, ``size:>1GB`` and
``frozen:2024..2025``. Anything else is text. A word that falls into several tokens, like a file name, is a phrase of
them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dservercore.dataset import addresses, query_bounds
from dservercore.dataset.analysis import (
    fold,
    fold_together,
    is_part_of_word,
    normalized,
    tokens_in,
    tokens_of,
)
from dservercore.dataset.annotation_nodes import folded_name, has_value
from dservercore.dataset.query_tree import (
    All,
    Annotated,
    AnyOf,
    Column,
    Exactly,
    FileName,
    InBaseURI,
    Node,
    Not,
    Piece,
    Query,
    Term,
    Text,
    Within,
    all_of,
    any_of,
    every_leaf,
)
from dservercore.errors import ValidationError, invalid

MAX_QUERY_CHARACTERS = 10_000
MAX_QUERY_WORDS = 200
#: A word becomes no more than two.
MAX_QUERY_TOKENS = 2 * MAX_QUERY_WORDS
MAX_QUERY_PREFIXES = 10  # a short one stands for a good part of the index

# Parentheses inside of so many others are text.
_DEEPEST = 20

_COLUMNS: dict[str, Column] = {
    "name": "name",
    "readme": "readme",
    "tag": "tags",
    "annotation": "annotations",
    "file": "files",
    "uri": "about",
}
_NUMBERS: dict[str, Any] = {"size": "size_in_bytes", "items": "number_of_items"}
_TIMES: dict[str, Any] = {"created": "created_at", "frozen": "frozen_at", "uploaded": "uploaded_at"}

# Names of fields, which no annotation is asked for by.
_OWN = frozenset({*_COLUMNS, *_NUMBERS, *_TIMES, "creator", "uuid", "base", "missing"})

#: What a dataset may lack.
MISSING = ("readme", "description", "tags", "annotations")


_LAST_LETTERS = re.compile(r"\D+\Z")


def parse(text: str) -> Query:
    """Return what *text*, typed by a user, asks for.

    Text without any letter or digit asks for nothing, and finds nothing.

    :raises ValidationError: 422, if it has more than ``MAX_QUERY_CHARACTERS`` characters, ``MAX_QUERY_WORDS`` words
        or ``MAX_QUERY_PREFIXES`` prefixes
    """
    if len(text) > MAX_QUERY_CHARACTERS:
        raise invalid("free_text", f"Longer than {MAX_QUERY_CHARACTERS} characters.")
    if len(fold(text)) > MAX_QUERY_WORDS:
        raise invalid("free_text", f"More than {MAX_QUERY_WORDS} words.")
    query = Query(_nodes(_items(text), None))
    terms = [_first_term(leaf) for leaf in every_leaf(*map(_as_written, query.nodes))]
    if sum(term.prefix is not None for term in terms) > MAX_QUERY_PREFIXES:
        raise invalid("free_text", f"More than {MAX_QUERY_PREFIXES} words that end in '*'.")
    return query


def field_query(field: str, value: str) -> str | None:
    """Return the query for the datasets that have a value in a field, such as ``tag:"soil sample"``.

    :param field: ``name`` or ``tag``, in which its words must stand; or ``creator``, who must be exactly this
    :returns: None if no query asks for that
    """
    meant: list[Node]
    if field == "creator":
        query, meant = f'{field}:"{value}"', [Exactly("creator", value)]
    else:
        words = value.translate(_QUOTES).replace('"', " ")
        query, meant = f'{field}:"{words}"', [Text(_read_phrase(words), _COLUMNS[field])]
    try:
        return query if list(parse(query).nodes) == meant else None
    except ValidationError:
        return None


def phrase_of(text: str, column: Column | None) -> Node | None:
    """Return the condition that what is in *text* stands together, as it does behind a field in quotation marks.

    The last word may end in ``*``; for the names of files, so may others begin, or have one in the middle.

    :param column: where it must stand; None: anywhere
    :returns: None if there is no letter and no digit in it
    """
    if column == "files" and "*" in text.rstrip("*"):
        found = _file_name(text)
        if found is not None:
            return found
    return _any([Text(term, column) for term in _read_word(text) if term])


# -- Items: what stands between two spaces, in quotes, or is a parenthesis -------------------------------------------

_OPEN, _CLOSE = "\x02", "\x03"

_QUOTES = str.maketrans("“”„‟", '""""')  # as word processors and phones type them
_FIELD = r"[^\W\d_][^\s\":()\x02\x03<>=]{0,100}:(?!//)"
# A number below zero, such as an annotation has or a freezer: it is text, as is what ends a sentence behind it.
_NEGATIVE = (
    r"-(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d{1,3})?(?:°[CFK]?|C|%)?[.,;:!?]*"
    rf"(?![^\s{_OPEN}{_CLOSE}])"
)
_ITEM = re.compile(
    rf"(?P<minus>(?<![^\s{_OPEN}])(?!{_NEGATIVE})-(?=[^\s-]))?"
    rf"(?:(?P<field>{_FIELD})(?=[^\s:{_CLOSE}]))?"
    rf'(?:(?P<open>{_OPEN})|(?P<close>{_CLOSE})|"(?P<phrase>[^"]*)"|(?P<word>"?[^\s"{_OPEN}{_CLOSE}]+|"))'
)
_PARENTHESIS = re.compile(r'"[^"]*"|\(|\)')


@dataclass(frozen=True)
class _Item:
    """What is asked for between two operators, or an operator.

    :ivar node: None: it has no letter and no digit, and asks for nothing
    :ivar operator: ``AND``, ``OR`` or ``NOT``, which is one only where it stands between others
    """

    node: Node | None
    excluded: bool = False
    operator: str | None = None


def _items(text: str) -> list[re.Match[str]]:
    return list(_ITEM.finditer(_with_parentheses(normalized(text).translate(_QUOTES))))


def _with_parentheses(text: str) -> str:
    """Return the text with signs for the parentheses that group something; all others stay as they are.

    One opens where an item may begin, and closes where one may end, each with another one.
    """
    text = text.replace(_OPEN, " ").replace(_CLOSE, " ")
    opened: list[int] = []
    pairs: dict[int, str] = {}
    for found in _PARENTHESIS.finditer(text):
        at = found.start()
        if found[0] == "(" and _may_open(text, at):
            opened.append(at)
        elif found[0] == ")" and opened and _may_close(text, at):
            first = opened.pop()
            if len(opened) < _DEEPEST:
                pairs |= {first: _OPEN, at: _CLOSE}
    return "".join(pairs.get(at, character) for at, character in enumerate(text)) if pairs else text


def _may_open(text: str, at: int) -> bool:
    before = re.search(
        rf"(?:^|[\s(]|(?<![^\s(])-(?:{_FIELD})?|(?<![^\s(]){_FIELD})\Z", text[max(0, at - 120) : at]
    )
    return before is not None


def _may_close(text: str, at: int) -> bool:
    return text[at + 1 : at + 2] in ("", ")") or text[at + 1].isspace()


# -- Nodes -----------------------------------------------------------------------------------------------------------


def _nodes(items: Sequence[re.Match[str]], column: Column | None) -> tuple[Node, ...]:
    """Return what items ask for, all of it.

    :param column: the place where their words must stand; None: anywhere
    """
    read: list[_Item] = []
    position = 0
    while position < len(items):
        item = items[position]
        if item["close"]:  # of one that is too deep
            position += 1
        elif item["open"]:
            end = _end_of_group(items, position)
            inner = _nodes(items[position + 1 : end], _column_of(item) or column)
            read.append(_Item(_all(inner), excluded=item["minus"] is not None))
            position = end + 1
        else:
            read.append(_read_item(item, column))
            position += 1
    return tuple(_joined(_with_operators(read)))


def _end_of_group(items: Sequence[re.Match[str]], start: int) -> int:
    depth = 0
    for position in range(start, len(items)):
        depth += bool(items[position]["open"]) - bool(items[position]["close"])
        if depth == 0:
            return position
    return len(items)


def _all(nodes: tuple[Node, ...]) -> Node | None:
    return all_of(nodes) if nodes else None


def _column_of(item: re.Match[str]) -> Column | None:
    return _COLUMNS.get(item["field"][:-1].lower()) if item["field"] else None


def _read_item(item: re.Match[str], column: Column | None) -> _Item:
    excluded = item["minus"] is not None
    if item["field"]:
        return _Item(_field(item["field"][:-1], item["phrase"], item["word"], column), excluded)
    node = _words(item["phrase"], item["word"], column)
    is_operator = item[0] in ("AND", "OR", "NOT")
    return _Item(node, excluded, item[0] if is_operator else None)


def _field(name: str, phrase: str | None, word: str | None, column: Column | None) -> Node | None:
    """Return what ``name:value`` asks for.

    Where the name is none of ours, it is the value of an annotation of this name, or text. Where the value makes no
    sense, it is text.
    """
    key, value = name.lower(), word if phrase is None else phrase
    if key == "file" and word is not None and "*" in word.rstrip("*"):
        return phrase_of(word, "files")
    if key in _COLUMNS:
        return _words(phrase, word, _COLUMNS[key])
    found = _condition(name, value or "") if phrase is None or key in ("creator", "base") else None
    if found is not None:
        return found
    if phrase is None:
        text = _words(None, f"{name}:{word}", column)
    else:
        text = _all(tuple(filter(None, [_words(None, name, column), _words(phrase, None, column)])))
    is_meant_as_text = word and (
        word.endswith("*") or re.match("[<>=]", word) or addresses.leads_to(f"{name}:{word}")
    )
    if text is None or column or key in _OWN or is_meant_as_text:
        return text
    return any_of([*(text.nodes if isinstance(text, AnyOf) else [text]), *_having(name, value or "")])


def _having(name: str, value: str) -> list[Node]:
    """Return the conditions that an annotation has a value, as the text, the number or the truth value that it is."""
    values: list[str | bool | float] = [value]
    if query_bounds.NUMBER.fullmatch(value):
        values.append(float(value))
    elif value.lower() in ("true", "false"):
        values.append(value.lower() == "true")
    return [has_value(name, each) for each in values]


def _condition(name: str, value: str) -> Node | None:
    key = name.lower()
    if key == "creator":
        return Exactly("creator", value)
    if key == "uuid":
        digits = value.lower().replace("-", "")
        if not re.fullmatch("[0-9a-f]{32}", digits):
            return _words(None, value, "about")
        return Exactly("uuid", "-".join(re.findall("(.{8})(.{4})(.{4})(.{4})(.{12})", digits)[0]))
    if key == "base":
        return InBaseURI(value.lower())
    if key == "missing":
        return Exactly("missing", value.lower()) if value.lower() in MISSING else None
    if key in _NUMBERS:
        read = query_bounds.quantity if key == "size" else query_bounds.number
        bounds = query_bounds.bounds(value, read)
        return None if bounds is None else Within(_NUMBERS[key], bounds)
    if key in _TIMES:
        bounds = query_bounds.bounds(value, query_bounds.moment)
        return None if bounds is None else Within(_TIMES[key], bounds)
    if re.match("[<>=]", value) or ".." in value:
        bounds = query_bounds.bounds(value, query_bounds.number)
        return None if bounds is None else Annotated(folded_name(name), bounds)
    return None


# A star inside of what looks like a file name, or in front of it.
_PATTERN = re.compile(r"^(?=.*[._-]).*\*.*[^*]$")


def _words(phrase: str | None, word: str | None, column: Column | None) -> Node | None:
    if word is None:
        term = _read_phrase(phrase or "")
        return Text(term, column) if term else None
    if column in (None, "files") and _PATTERN.search(word):
        found = _file_name(word)
        if found is not None:
            return found
    typed = word if column is None and not word.endswith("*") else None
    return _any([Text(term, column, typed) for term in _read_word(word) if term])


def _any(nodes: Sequence[Node]) -> Node | None:
    return any_of(nodes) if nodes else None


def _with_operators(items: list[_Item]) -> list[_Item]:
    """Return the items with ``NOT`` applied, and without the ``AND`` that join two; what joins nothing is a word."""
    found: list[_Item] = []
    skip = False
    for position, item in enumerate(items):
        following = items[position + 1] if position + 1 < len(items) else None
        if skip:
            skip = False
        elif item.operator == "NOT" and not item.excluded and following and not following.operator:
            negated = Not(following.node) if following.node and not following.excluded else None
            if found and found[-1].operator == "OR" and len(found) > 1 and negated:
                found.append(_Item(negated))
            else:
                found.append(_Item(following.node, excluded=not following.excluded))
            skip = True
        elif (
            item.operator == "AND"
            and not item.excluded
            and found
            and following
            and following.operator != "OR"
        ):
            continue
        else:
            found.append(item)
    return found


def _joined(items: list[_Item]) -> list[Node]:
    """Return the groups of alternatives, leaving out what holds no letter or digit.

    ``OR`` joins what stands on both sides of it; elsewhere (at an end, next to an exclusion or to another ``OR``)
    it is a word.
    """
    groups: list[list[Node | None]] = []
    joined = False
    excluded: list[Node] = []
    for position, item in enumerate(items):
        if item.excluded:
            if item.node is not None:
                excluded.append(Not(item.node))
        elif not joined and _joins(items, position):
            joined = True
        elif joined:
            groups[-1].append(item.node)
            joined = False
        else:
            groups.append([item.node])
    wanted = [_any(_alternatives(group)) for group in groups]
    return [node for node in wanted if node is not None] + excluded


def _alternatives(group: list[Node | None]) -> list[Node]:
    found: list[Node] = []
    for node in group:
        found += node.nodes if isinstance(node, AnyOf) else [node] if node is not None else []
    return found


def _joins(items: list[_Item], position: int) -> bool:
    if items[position].operator != "OR" or not 0 < position < len(items) - 1:
        return False
    before, after = items[position - 1], items[position + 1]
    return not before.excluded and not after.excluded and after.operator != "OR"


# -- Words -----------------------------------------------------------------------------------------------------------


def _as_written(node: Node) -> Node:
    """Return a node with the first of the ways to read each word alone."""
    if isinstance(node, AnyOf) and all(isinstance(each, Text) for each in node.nodes):
        return node.nodes[0]
    if isinstance(node, (AnyOf, All)):
        return type(node)(tuple(map(_as_written, node.nodes)))
    return Not(_as_written(node.node)) if isinstance(node, Not) else node


def _first_term(leaf: Any) -> Term:
    """Return the term of a leaf; a condition of another kind counts as one word."""
    return leaf.term if isinstance(leaf, Text) else Term(("",))


def _read_phrase(text: str) -> Term:
    return Term(tokens_in(text))


def _tokens(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(token for word in words for token in tokens_of(word))


def _read_word(text: str) -> tuple[Term, ...]:
    """Return the ways to read what stands between two spaces."""
    without_star = text.rstrip("*")
    if without_star == text or not fold(without_star) or not is_part_of_word(without_star[-1]):
        names = addresses.names_of(text)
        ways = [*map(_read_phrase, names), *(Term(_tokens(fold_together(name))) for name in names)]
        if addresses.may_have_version(text) and len(ways[0].tokens) > 1:
            *before, last = ways[0].tokens
            ways.append(Term(tuple(before), prefix=f"{last}v"))
    else:
        *before, prefix = fold(without_star)
        *parts, last = _prefix_parts(prefix)
        ways = [Term(_tokens(before) + tuple(parts), prefix=last), Term(_tokens(before), prefix=prefix)]
    return tuple(dict.fromkeys(ways))


def _prefix_parts(prefix: str) -> tuple[str, ...]:
    """Return the parts of the beginning of a word, the last as it is typed: ``01`` may go on as ``012``."""
    *parts, last = tokens_of(prefix)
    if not parts:
        return (prefix,)
    letters = _LAST_LETTERS.search(prefix)
    return (*parts, letters[0] if letters else last)


def _file_name(text: str) -> FileName | None:
    """Return the condition on a file name with stars; None if no word of it is whole, so that nothing could be found.

    A word that touches a star may be a part of one.
    """
    texts = re.split(r"\*+", text)
    pieces = []
    for number, piece in enumerate(texts):
        tokens = _tokens(fold(piece))
        if tokens:
            is_open_left = number > 0 and is_part_of_word(piece[0])
            is_open_right = number < len(texts) - 1 and is_part_of_word(piece[-1])
            if is_open_right:
                tokens = (*tokens[:-1], _prefix_parts(fold(piece)[-1])[-1])
            pieces.append(Piece(tokens, is_open_left, is_open_right))
    found = FileName(tuple(pieces), is_open=texts[-1] == "")
    return found if any(map(_whole_words_of, pieces)) and len(texts) > 1 else None


def _whole_words_of(piece: Piece) -> tuple[str, ...]:
    return piece.tokens[piece.is_open_left : len(piece.tokens) - piece.is_open_right]
