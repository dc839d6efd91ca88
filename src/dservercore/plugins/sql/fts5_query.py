"""From the query language to what SQLite understands.

Words, phrases, prefixes and facets become one MATCH expression of FTS5. What that cannot tell, such as how large a
dataset is, becomes a condition in SQL on the dataset's row.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dservercore.dataset.file_names import Pattern, pattern_of
from dservercore.dataset.query_tree import (
    All,
    AnyOf,
    Column,
    Exactly,
    FileName,
    InBaseURI,
    Node,
    Not,
    Query,
    Term,
    Text,
)
from dservercore.dataset.serialization import unpack
from dservercore.db.fast_reads import rows_of
from dservercore.models import SEARCH_INDEX
from dservercore.plugins.sql.conditions import condition_of
from dservercore.plugins.tokens.index_document import EVERY, FORM, facet_of
from dservercore.plugins.tokens.weights import WEIGHTS


@dataclass
class Match:
    """What to look for, in parts of a MATCH expression; SQLite adds the base URIs that the asker may search.

    :ivar wanted: what a dataset must have, whatever its base URI
    :ivar unwanted: joined by OR; empty: nothing
    :ivar base_uris: in which the asker may search
    :ivar terms: what a dataset can be more or less relevant to
    :ivar has_filters: whether facets are asked for
    :ivar condition: in SQL, on the dataset's row ``d``; empty: there is none
    :ivar parameters: values of the condition
    """

    base_uris: tuple[str, ...]
    terms: tuple[Term, ...] = ()
    wanted: str = ""
    unwanted: str = ""
    has_filters: bool = False
    condition: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)

    def values(self) -> dict[str, str]:
        """Return the values of the parameters of ``_EXPRESSION``."""
        is_any = self.wanted == f'("{EVERY}")'
        return {
            "wanted": self.wanted,
            "wanted_and": "" if is_any else f"{self.wanted} AND ",
            "not_unwanted": f" NOT ({self.unwanted})" if self.unwanted else "",
            "or_unwanted": f" OR {self.unwanted}" if self.unwanted else "",
        }

    def parameter(self, value: Any) -> str:
        """Return the parameter that stands for *value* in the condition."""
        name = f"q{len(self.parameters)}"
        self.parameters[name] = value
        return f":{name}"


def match(query: Query, facets: Sequence[Sequence[str]], base_uris: Iterable[str]) -> Match:
    """Return what to look for: datasets in *base_uris* that answer *query* and have a facet of each group.

    :param query: what to look for; empty: any dataset answers it
    :param facets: groups of facet tokens, alternatives within a group
    """
    found = Match(tuple(base_uris), query.terms, has_filters=bool(facets))
    wanted, unwanted, conditions = [], [], []
    for node in query.nodes:
        without = node.node if isinstance(node, Not) else None
        if without is not None and is_expressible(without):
            unwanted.append(expression_of(without))
        elif is_expressible(node):
            wanted.append(f"({expression_of(node)})")
        else:
            conditions.append(_condition(node, found))
    wanted += [f"({' OR '.join(_quoted(token) for token in group)})" for group in facets]
    found.wanted = " AND ".join(wanted or [f"({_quoted(EVERY)})"])
    found.unwanted = " OR ".join(unwanted)
    found.condition = " AND ".join(f"({condition})" for condition in conditions)
    return found


# -- What FTS5 can tell ----------------------------------------------------------------------------------------------


def is_expressible(node: Node) -> bool:
    """Return whether a MATCH expression says all that a node asks for."""
    if isinstance(node, (All, AnyOf)):
        return all(map(is_expressible, node.nodes))
    if isinstance(node, Not):
        return is_expressible(node.node)
    if isinstance(node, FileName):
        return pattern_of(node).is_exact
    return isinstance(node, (Text, Exactly))


def expression_of(node: Node) -> str:
    """Return the MATCH expression of a node that has one."""
    if isinstance(node, AnyOf):
        return " OR ".join(f"({expression_of(each)})" for each in node.nodes)
    if isinstance(node, All):
        without = [each.node for each in node.nodes if isinstance(each, Not)]
        wanted = [f"({expression_of(each)})" for each in node.nodes if not isinstance(each, Not)]
        every = " AND ".join(wanted or [_quoted(EVERY)])
        return f"(({every}) NOT ({' OR '.join(map(expression_of, without))}))" if without else every
    if isinstance(node, Not):
        return f"({_quoted(EVERY)} NOT ({expression_of(node.node)}))"
    if isinstance(node, Text):
        return _in_column(term_expression(node.term), node.column)
    if isinstance(node, FileName):
        return _in_column(_all_phrases(pattern_of(node)), "files")
    assert isinstance(node, Exactly)
    return _quoted(facet_of(node))


def _in_column(expression: str, column: Column | None) -> str:
    return f"{column} : ({expression})" if column else expression


def _quoted(token: str) -> str:
    return f'"{token}"'


def term_expression(term: Term) -> str:
    """Return the MATCH expression of a term."""
    words = " ".join(term.tokens)
    if term.prefix is None:
        return f'"{words}"'
    if not words:
        return f'("{term.prefix}" * OR "{FORM}{term.prefix}" *)'
    return f'("{words} {term.prefix}" * OR "{words} {term.whole}")'


def _all_phrases(pattern: Pattern) -> str:
    return " AND ".join(_quoted(" ".join(phrase)) for phrase in pattern.phrases)


# -- What SQL can tell -----------------------------------------------------------------------------------------------


def _condition(node: Node, found: Match) -> str:
    """Return the condition of a node in SQL."""
    if isinstance(node, (All, AnyOf)):
        joined = " AND " if isinstance(node, All) else " OR "
        return joined.join(f"({_condition(each, found)})" for each in node.nodes)
    if isinstance(node, Not):
        return f"NOT ({_condition(node.node, found)})"
    if is_expressible(node):
        matching = found.parameter(expression_of(node))
        return f"d.id IN (SELECT rowid FROM {SEARCH_INDEX} WHERE {SEARCH_INDEX} MATCH {matching})"
    if isinstance(node, FileName):
        ids = _with_file_name(pattern_of(node), found.base_uris)
        return f"d.id IN (SELECT value FROM json_each({found.parameter(json.dumps(ids))}))"
    if isinstance(node, InBaseURI):  # lower() of SQLite knows ASCII alone
        named = found.parameter(json.dumps([uri for uri in found.base_uris if node.text in uri.lower()]))
        return f"d.base_uri_id IN (SELECT id FROM base_uri WHERE base_uri IN (SELECT value FROM json_each({named})))"
    assert not isinstance(node, (Text, Exactly))
    return condition_of(node, found.parameter, _stored)


def _stored(moment: datetime) -> str:
    return moment.isoformat(" ", "microseconds")


_WITH_PHRASES = f"""
SELECT d.id, s.tokens FROM {SEARCH_INDEX} CROSS JOIN dataset d ON d.id = {SEARCH_INDEX}.rowid
CROSS JOIN search_document s ON s.dataset_id = d.id
WHERE {SEARCH_INDEX} MATCH :phrases
AND d.base_uri_id IN (SELECT id FROM base_uri WHERE base_uri IN (SELECT value FROM json_each(:base_uris)))
"""


def _with_file_name(pattern: Pattern, base_uris: Sequence[str]) -> list[int]:
    """Return the primary keys of the datasets in the base URIs that have a name which fits."""
    phrases = f"files : ({_all_phrases(pattern)})" if pattern.phrases else _quoted(EVERY)
    fits = re.compile(pattern.expression).search
    place = list(WEIGHTS).index("files")
    rows = rows_of(_WITH_PHRASES, {"phrases": phrases, "base_uris": json.dumps(base_uris)})
    return [id_ for id_, tokens in rows if fits(f" {unpack(tokens).decode().split(chr(10))[place]} ")]
