"""The page ``/dashboard``: what there is, over time, by base URI, person and tag, what it costs, and what it lacks."""

from __future__ import annotations

from decimal import Decimal
from http import HTTPStatus
from typing import Any

from flask import Blueprint, abort, render_template, request, url_for

from dservercore.catalog import statistics
from dservercore.catalog.scope import Actor, Scope
from dservercore.dataset.lacking import LACKS
from dservercore.errors import invalid
from dservercore.web import charts
from dservercore.web.page_guards import with_scope
from dservercore.web.shown import number, size
from dservercore.web.texts import ngettext, noted

#: Rows of a list at first, and where more are asked for.
FEW, MANY = 10, 100

#: Datasets on a page of the work list.
PAGE_SIZE = 50

#: Base URIs that the work list offers to choose from.
MOST_OFFERED = 200

#: What each lack is called.
LACK_NAMES: dict[str, str] = {
    "any": noted("Anything"),
    "readme": noted("README"),
    "description": noted("Description"),
    "owner": noted("Owner"),
    "licence": noted("Licence"),
    "tags": noted("Tags"),
}
#: The same of one dataset.
LACK_CHIPS: dict[str, str] = {
    "readme": noted("no README"),
    "description": noted("no description"),
    "owner": noted("no owner"),
    "licence": noted("no licence"),
    "tags": noted("no tags"),
}


def add_to(pages: Blueprint) -> None:
    """Serve the dashboard and the work list."""
    pages.add_url_rule("/dashboard", "dashboard", show)
    pages.add_url_rule("/dashboard/work-list", "work_list", show_work_list)


@with_scope("search", "register", visitors=True)
def show(actor: Actor, search_scope: Scope, register_scope: Scope | None = None) -> str:
    """Return the dashboard."""
    is_long = request.args.get("show") == "more"
    figures = statistics.of_scope(search_scope, MANY if is_long else FEW)
    periods = charts.periods(
        [(each["month"], (each["datasets"], each["size_in_bytes"])) for each in figures["months"]]
    )
    return render_template(
        "web/dashboard.html",
        figures=figures,
        actor=actor,
        may_register=bool(register_scope and register_scope.base_uris),
        periods=periods,
        datasets_over_time=charts.placed(periods, 0, _search_of_period),
        bytes_over_time=charts.placed(periods, 1, _search_of_period),
        search_of_period=_search_of_period,
        is_long=is_long,
        few=FEW,
        many=MANY,
        share=charts.share,
        lack_names=LACK_NAMES,
        search_url=search_url,
        dataset_url=dataset_url,
        datasets_of=datasets_of,
        money=money,
        size=size,
        number=number,
    )


@with_scope("search", visitors=True)
def show_work_list(actor: Actor, search_scope: Scope) -> str:
    """Return a page of the datasets that lack something."""
    lack = request.args.get("lacks") or None
    if lack is not None and lack not in LACKS:
        raise invalid("lacks", f"unknown: there are {', '.join(LACKS)}", "query")
    base_uri, creator = request.args.get("base_uri") or None, request.args.get("creator") or None
    scope = search_scope if base_uri is None else search_scope.narrowed_to([base_uri])
    page = _page_asked_for()
    wanted = slice((page - 1) * PAGE_SIZE, page * PAGE_SIZE)
    found, total = statistics.list_lacking(scope, lack, creator, wanted)
    last_page = max(1, -(-total // PAGE_SIZE))
    if page > last_page:
        abort(HTTPStatus.NOT_FOUND, "There is no such page")
    chosen: dict[str, Any] = {"lacks": lack, "base_uri": base_uri, "creator": creator}
    return render_template(
        "web/work_list.html",
        found=found,
        total=total,
        page=page,
        last_page=last_page,
        chosen=chosen,
        url_of=lambda number: url_for("web.work_list", **chosen, page=number if number > 1 else None),
        base_uris=sorted(search_scope.base_uris) if len(search_scope.base_uris) <= MOST_OFFERED else None,
        lacks=LACKS,
        lack_names=LACK_NAMES,
        lack_chips=LACK_CHIPS,
        search_url=search_url,
        dataset_url=dataset_url,
        datasets_of=datasets_of,
    )


def _page_asked_for() -> int:
    text = request.args.get("page") or "1"
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or int(text) < 1:
        raise invalid("page", "must be a number from 1", "query")
    return int(text)


def datasets_of(value: int) -> str:
    """Return how many datasets there are in words."""
    return ngettext("%(num)s dataset", "%(num)s datasets", value) % {"num": number(value)}


def money(amount: str) -> str:
    """Return a decimal number with its digits in groups of three."""
    return f"{Decimal(amount):,}"


def search_url(**query: Any) -> str:
    """Return the address of the search for some datasets."""
    return url_for("web.home", **query)


def dataset_url(uri: str) -> str:
    """Return the address of the page of a dataset."""
    return url_for("web.dataset", uri=uri)


def _search_of_period(period: charts.Period) -> str:
    same = period.first == period.last
    return search_url(free_text=f"frozen:{period.first}" + ("" if same else f"..{period.last}"))
