"""The page ``/admin/users``: all users, and adding one."""

from __future__ import annotations

from functools import partial
from typing import Any

from flask import Blueprint, make_response, render_template, url_for

from dservercore.catalog import users
from dservercore.catalog.scope import Actor
from dservercore.web.admin.acts import said, sent, take
from dservercore.web.admin.lists import Wanted, rows_of
from dservercore.web.forms import Form
from dservercore.web.page_guards import admin_only
from dservercore.web.texts import gettext

_FIELDS = ("username", "is_admin")


def add_to(pages: Blueprint) -> None:
    """Serve the page, and take what its form sends."""
    pages.add_url_rule("/admin/users", "admin_users", show)
    pages.add_url_rule("/admin/users", "change_users", change, methods=["POST"])


@admin_only
def show(actor: Actor) -> Any:
    """Return the page."""
    return _page()


@admin_only
def change(actor: Actor) -> Any:
    """Add a user, and lead to the page of that user; or show what is wrong."""
    back = partial(url_for, "web.admin_user", username=sent("username").strip())
    return take({"add": partial(_add, actor)}, _page, back)


def _add(actor: Actor) -> str:
    name = sent("username").strip()
    users.add_user(
        name,
        display_name=sent("display_name").strip() or None,
        is_service=bool(sent("is_service")),
        actor=actor,
    )
    return said(gettext("%(name)s is registered."), name=users.get_user(name)["username"])


def _page(status: int = 200, problem: str = "") -> Any:
    def find(rows: slice) -> tuple[list[dict[str, Any]], int]:
        return users.list_users(asked.order, rows, containing=asked.containing)

    asked = Wanted.of_request(_FIELDS)
    wanted, found, total = rows_of(asked, find)
    page = render_template(
        "web/admin/users.html",
        wanted=wanted,
        users=found,
        services=users.services_among(user["username"] for user in found),
        total=total,
        form=Form(formdata=None),
        problem=problem,
    )
    return make_response(page, int(status))
