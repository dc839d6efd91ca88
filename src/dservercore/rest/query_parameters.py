"""Which parameters the query string of a route may have: those that the route documents, and no others.

One that is misspelt would otherwise be ignored, and the answer be to a question that nobody asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from typing import Any

import marshmallow as ma
from flask import Flask, Request
from webargs.flaskparser import abort

MAX_REPORTED, _MAX_NAME = 20, 100

# How much two names have in common of which one is meant by the other, as ``difflib`` counts it.
_NEAR = 0.6

_IN_BODY = "Unknown parameter: it belongs into the JSON body."

# Our parameters, and what other programs call the same.
_ELSEWHERE = {
    "free_text": ("q", "query", "search", "text", "term", "filter"),
    "containing": ("q", "query", "search", "text", "term", "filter", "free_text", "contains", "name"),
    "page_size": ("limit", "per_page", "count", "size", "rows"),
    "page": ("offset", "start", "skip"),
    "sort": ("order", "order_by", "orderby"),
    "creator_usernames": ("user", "creator", "author", "owner"),
    "uploaded_by": ("uploader",),
    "since": ("from", "after", "start"),
    "until": ("to", "before", "end"),
}


@dataclass(frozen=True)
class QueryParameters:
    """The parameters that a route knows.

    :param lists: names of those that may be repeated, for several values
    :param single: names of those with one value
    :param others: ``sort``, if the route has it: it may be repeated, and the first one counts
    :param in_body: keys of the JSON body, which are no parameters of the query string
    """

    lists: frozenset[str] = frozenset()
    single: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    in_body: frozenset[str] = frozenset()

    @classmethod
    def of(cls, view: Callable[..., Any]) -> QueryParameters:
        """Return the parameters that the decorators below *view* have documented."""
        documentation: Mapping[str, Any] = getattr(view, "_apidoc", {})
        lists: set[str] = set()
        single: set[str] = set()
        in_body: set[str] = set()
        pages = documentation.get("pagination", {}).get("parameters")
        for given in (*documentation.get("arguments", {}).get("parameters", ()), *([pages] if pages else [])):
            if given["in"] not in ("query", "json"):
                continue
            schema = given["schema"]() if isinstance(given["schema"], type) else given["schema"]
            if given["in"] == "json":
                in_body.update(schema.fields)
                continue
            for name, field in schema.fields.items():
                (lists if isinstance(field, ma.fields.List) else single).add(field.data_key or name)
        others = {"sort"} if "sort" in documentation else set()
        return cls(frozenset(lists), frozenset(single), frozenset(others), frozenset(in_body))

    @property
    def names(self) -> frozenset[str]:
        """The names of all parameters of the query string."""
        return self.lists | self.single | self.others

    def check(self, app: Flask, request: Request) -> None:
        """Pass if the query string of a request has no other parameters, and one value of each that takes one.

        :raises HTTPException: 422 naming the unknown parameters, each with the known one that is most like it
        """
        if not request.query_string:
            return
        known = self.names | _of_tokens(app)
        given = request.args
        problems = {
            name[:_MAX_NAME]: [_IN_BODY if name in self.in_body else _unknown(name[:_MAX_NAME], self.names)]
            for name in islice((name for name in given if name not in known), MAX_REPORTED)
        }
        problems |= {
            name: ["Given more than once, with different values."]
            for name in self.single
            if name in given and len(set(given.getlist(name))) > 1
        }
        if problems:
            abort(422, messages={"query": problems})


def _of_tokens(app: Flask) -> frozenset[str]:
    locations = app.config.get("JWT_TOKEN_LOCATION") or ()
    if "query_string" not in ([locations] if isinstance(locations, str) else locations):
        return frozenset()
    return frozenset({app.config.get("JWT_QUERY_STRING_NAME", "jwt")})


def _unknown(name: str, known: Iterable[str]) -> str:
    """Return the message about an unknown parameter."""
    choice = sorted(known)
    if not choice:
        return "Unknown parameter: this takes none."
    nearest = _nearest(name, choice)
    hint = f" Did you mean {nearest}?" if nearest else ""
    return f"Unknown parameter.{hint} There are {', '.join(choice)}."


def _nearest(name: str, known: list[str]) -> str | None:
    """Return the known parameter that is meant; None: none is like it."""
    plain = "".join(character for character in name.lower() if character.isalnum() or character == "_")
    for target, names in _ELSEWHERE.items():
        if target in known and plain in names:
            return target
    return next(iter(get_close_matches(plain, known, n=1, cutoff=_NEAR)), None)
