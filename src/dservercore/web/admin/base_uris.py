"""The page ``/admin/base-uris``: all base URIs, how much is in each, and when it was last indexed."""

from __future__ import annotations

from functools import partial
from typing import Any

from flask import Blueprint, make_response, render_template, url_for

from dservercore.catalog import base_uris
from dservercore.catalog.scope import Actor
from dservercore.dataset.uris import check_base_uri
from dservercore.web.admin.acts import said, sent, take
from dservercore.web.admin.lists import Wanted, rows_of
from dservercore.web.forms import Form
from dservercore.web.page_guards import admin_only
from dservercore.web.texts import gettext

_FIELDS = ("base_uri", "number_of_datasets", "size_in_bytes", "last_indexed")


def add_to(pages: Blueprint) -> None:
    """Serve the page, and take what its form sends."""
    pages.add_url_rule("/admin/base-uris", "admin_base_uris", show)
    pages.add_url_rule("/admin/base-uris", "change_base_uris", change, methods=["POST"])


@admin_only
def show(actor: Actor) -> Any:
    """Return the page."""
    return _page()


@admin_only
def change(actor: Actor) -> Any:
    """Register a base URI, and lead to its page; or show what is wrong."""

    def back() -> str:
        return url_for("web.admin_base_uri", base_uri=check_base_uri(sent("base_uri").strip()))

    return take({"add": partial(_add, actor)}, _page, back)


def _add(actor: Actor) -> str:
    base_uri = sent("base_uri").strip()
    base_uris.add_base_uri(base_uri, actor=actor)
    return said(gettext("%(base_uri)s is registered. Grant permissions on it next."), base_uri=base_uri)


def _page(status: int = 200, problem: str = "") -> Any:
    def find(rows: slice) -> tuple[list[dict[str, Any]], int]:
        return base_uris.list_base_uris(
            asked.order, rows, containing=asked.containing, figures=True, with_users=False
        )

    asked = Wanted.of_request(_FIELDS)
    wanted, found, total = rows_of(asked, find)
    page = render_template(
        "web/admin/base_uris.html",
        wanted=wanted,
        base_uris=found,
        total=total,
        form=Form(formdata=None),
        problem=problem,
    )
    return make_response(page, int(status))
