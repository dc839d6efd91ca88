"""The pages ``/admin/groups`` and ``/admin/groups/<group>``: groups, their members, and what they are granted."""

from __future__ import annotations

from functools import partial
from typing import Any

from flask import Blueprint, make_response, render_template, request, url_for

from dservercore.catalog import audience, groups
from dservercore.catalog.scope import Actor
from dservercore.web.admin.acts import (
    asked_act,
    bound,
    checked_grant,
    previewed,
    said,
    sent,
    sent_grant,
    take,
)
from dservercore.web.admin.choices import MOST_SHOWN, containing, known_base_uris, known_users
from dservercore.web.admin.lists import Wanted, rows_of
from dservercore.web.forms import Form
from dservercore.web.page_guards import admin_only
from dservercore.web.texts import gettext


def add_to(pages: Blueprint) -> None:
    """Serve the pages, and take what their forms send."""
    pages.add_url_rule("/admin/groups", "admin_groups", show_all)
    pages.add_url_rule("/admin/groups", "change_groups", change_all, methods=["POST"])
    pages.add_url_rule("/admin/groups/<group>", "admin_group", show)
    pages.add_url_rule("/admin/groups/<group>", "change_group", change, methods=["POST"])


@admin_only
def show_all(actor: Actor) -> Any:
    """Return the page with all groups."""
    return _list_page()


@admin_only
def change_all(actor: Actor) -> Any:
    """Make a group, and lead to its page; or show what is wrong."""
    back = partial(url_for, "web.admin_group", group=sent("group").strip())
    return take({"add": partial(_add, actor)}, _list_page, back)


@admin_only
def show(group: str, actor: Actor) -> Any:
    """Return the page of a group; or one that says what its deletion would do, with a button that does it."""
    if request.args.get("confirm") == "delete":
        return render_template(
            "web/admin/group_confirmation.html", group=groups.get_group(group), form=Form(formdata=None)
        )
    return _page(group)


@admin_only
def change(group: str, actor: Actor) -> Any:
    """Do what the form asks for, and lead to the page; or show what is wrong."""
    acts = bound(
        {
            "join": _join,
            "leave": _leave,
            "grant": _grant,
            "revoke": _revoke,
            "delete": _delete,
        },
        group,
        actor,
    )
    is_gone = sent("act") == "delete"
    back = url_for("web.admin_groups") if is_gone else url_for("web.admin_group", group=group)
    return take(acts, partial(_page, group), back)


# Acts


def _add(actor: Actor) -> str:
    name = sent("group").strip()
    groups.add_group(name, actor=actor)
    return said(gettext("%(group)s is a group now."), group=name)


def _join(group: str, actor: Actor) -> str:
    username = sent("username").strip()
    groups.add_member(group, username, actor=actor)
    return said(gettext("%(name)s is a member of %(group)s."), name=username, group=group)


def _leave(group: str, actor: Actor) -> str:
    username = sent("username")
    groups.remove_member(group, username, actor=actor)
    return said(gettext("%(name)s is a member of %(group)s no longer."), name=username, group=group)


def _grant(group: str, actor: Actor) -> str:
    base_uri = sent("base_uri").strip()
    groups.grant(sent_grant(), group, base_uri, actor=actor)
    return said(gettext("Granted: %(name)s, %(base_uri)s."), name=group, base_uri=base_uri)


def _revoke(group: str, actor: Actor) -> str:
    base_uri = sent("base_uri")
    groups.revoke(sent_grant(), group, base_uri, actor=actor)
    return said(gettext("No longer granted: %(name)s, %(base_uri)s."), name=group, base_uri=base_uri)


def _delete(group: str, actor: Actor) -> str:
    groups.delete_group(group, actor=actor)
    return said(gettext("The group %(group)s is deleted."), group=group)


# Pages


def _list_page(status: int = 200, problem: str = "") -> Any:
    def find(rows: slice) -> tuple[list[dict[str, Any]], int]:
        return groups.list_groups(asked.order, rows, containing=asked.containing)

    asked = Wanted.of_request(("group",))
    wanted, found, total = rows_of(asked, find)
    page = render_template(
        "web/admin/groups.html",
        wanted=wanted,
        groups=found,
        total=total,
        form=Form(formdata=None),
        problem=problem,
    )
    return make_response(page, int(status))


def _page(name: str, status: int = 200, problem: str = "") -> Any:
    group = groups.get_group(name)
    named = request.args.get("containing", "").strip()
    preview, status, problem = previewed(partial(_preview, group["group"]), status, problem)
    page = render_template(
        "web/admin/group.html",
        group=group,
        members=containing(group["members"], named),
        containing=named,
        most=MOST_SHOWN,
        problem=problem,
        preview=preview,
        users=known_users(),
        base_uris=known_base_uris(),
        form=Form(formdata=None),
    )
    return make_response(page, int(status))


def _preview(group: str) -> dict[str, Any] | None:
    """Return what would change by what the address asks about: another member, or a permission; None: about nothing.

    :raises DserverError: for what makes no sense
    """
    act = asked_act()
    username = request.args.get("member", "").strip()
    if username:
        change = audience.permissions_of(username, audience.Change(member_of=[group]))["would_change"]
        return {"fields": {"act": "join", "username": username}, "who": username, "changes": change}
    if act is None:
        return None
    kind, base_uri = checked_grant(request.args[act]), request.args.get("on", "").strip()
    wanted = audience.Change(**{act: [f"{kind}:group/{group}"]})
    changes = audience.audience_of(base_uri, wanted)["would_change"]
    fields = {"act": act, "kind": kind, "base_uri": base_uri}
    return {"fields": fields, "who": None, "changes": changes}
