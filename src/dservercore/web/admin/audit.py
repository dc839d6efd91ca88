"""The page ``/admin/audit``: who did what, when and from where."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Blueprint, make_response, render_template, request

from dservercore.catalog import audit
from dservercore.catalog.scope import Actor
from dservercore.dataset.times import parse_moment
from dservercore.web.admin.lists import Wanted, rows_of
from dservercore.web.page_guards import admin_only
from dservercore.web.texts import gettext

_TEXTS = ("actor", "action", "subject", "base_uri")
_TIMES = ("since", "until")
#: Beginnings of the names of acts, which stand for all that begin so.
_KINDS = (
    *("user.", "token.", "session.", "group.", "grant.", "revoke."),
    *("base_uri.", "dataset.", "datasets.", "audit.", "database."),
)


def add_to(pages: Blueprint) -> None:
    """Serve the page."""
    pages.add_url_rule("/admin/audit", "admin_audit", show)


@admin_only
def show(actor: Actor) -> Any:
    """Return the page; 422 for a time that is none."""

    def find(rows: slice) -> tuple[list[dict[str, Any]], int]:
        return audit.list_records(audit.Filter(**given), rows, asked.descending)

    asked = Wanted.of_request(("-at",), (*_TEXTS, *_TIMES))
    status, problem = 200, ""
    given: dict[str, Any] = {name: text for name, text in asked.others if name in _TEXTS}
    for name, text in asked.others:
        if name in _TIMES:
            try:
                given[name] = parse_moment(text)
            except ValueError as error:
                status, problem = 422, gettext("Not a time: %(reason)s.") % {"reason": error}
    wanted, records, total = rows_of(asked, find)
    page = render_template(
        "web/admin/audit.html",
        wanted=wanted,
        records=[{**record, "details": _lines(record["details"])} for record in records],
        total=total,
        kinds=_KINDS,
        given={name: request.args.get(name, "") for name in (*_TEXTS, *_TIMES)},
        is_filtered=bool(asked.others),
        problem=problem,
    )
    return make_response(page, status)


def _lines(details: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the details of an act as pairs of texts: a name, and what JSON has for it."""
    return [
        (name, value if isinstance(value, str) else orjson.dumps(value).decode())
        for name, value in details.items()
    ]
