"""The page ``/admin/users/<username>``: who a user is, what that user may do and why, and how to change it."""

from __future__ import annotations

from functools import partial
from typing import Any

from flask import Blueprint, make_response, render_template, request, url_for

from dservercore import db
from dservercore.auth import sign_in
from dservercore.catalog import (
    audience,
    external_users,
    groups,
    login_links,
    personal_tokens,
    sessions,
    users,
)
from dservercore.catalog.scope import Actor
from dservercore.settings.external_url import external_url
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
from dservercore.web.admin.choices import known_base_uris, known_groups
from dservercore.web.browsers import name_of
from dservercore.web.forms import Form
from dservercore.web.page_guards import admin_only
from dservercore.web.texts import gettext

#: What is asked about before it is done, by the value of ``confirm``.
CONFIRMED = ("delete", "revoke_all", "admin", "no_admin")


def add_to(pages: Blueprint) -> None:
    """Serve the page, and take what its forms send."""
    pages.add_url_rule("/admin/users/<username>", "admin_user", show)
    pages.add_url_rule("/admin/users/<username>", "change_user", change, methods=["POST"])


@admin_only
def show(username: str, actor: Actor) -> Any:
    """Return the page; or one that says what an act would do, with a button that does it."""
    wanted = request.args.get("confirm", "")
    if wanted in CONFIRMED:
        return _confirmation(username, wanted)
    return _page(username)


@admin_only
def change(username: str, actor: Actor) -> Any:
    """Do what the form asks for, and lead to the page; or show what is wrong."""
    acts = bound(
        {
            "rename": _rename,
            "admin": _make_admin,
            "no_admin": _make_no_admin,
            "link": _new_link,
            "end_session": _end_session,
            "revoke_all": _revoke_all,
            "join": _join,
            "leave": _leave,
            "grant": _grant,
            "revoke": _revoke,
            "delete": _delete,
        },
        username,
        actor,
    )
    back = (
        url_for("web.admin_users")
        if sent("act") == "delete"
        else url_for("web.admin_user", username=username)
    )
    return take(acts, partial(_page, username), back)


# Acts


def _rename(username: str, actor: Actor) -> str:
    users.update_user(username, {"display_name": sent("display_name").strip() or None}, actor=actor)
    return gettext("The display name is changed.")


def _make_admin(username: str, actor: Actor) -> str:
    users.update_user(username, {"is_admin": True}, actor=actor)
    return said(gettext("%(name)s is an administrator now."), name=username)


def _make_no_admin(username: str, actor: Actor) -> str:
    users.update_user(username, {"is_admin": False}, actor=actor)
    return said(gettext("%(name)s is an administrator no longer."), name=username)


def _new_link(username: str, actor: Actor) -> Any:
    link = external_url(f"/sign-in/link?code={login_links.make(username, actor=actor)}")
    return _page(username, link=link)


def _end_session(username: str, actor: Actor) -> str:
    number = sent("session")
    if number.isascii() and number.isdigit():
        sessions.end_of(username, int(number), actor=actor)
    return gettext("The session has ended.")


def _revoke_all(username: str, actor: Actor) -> str:
    revocation = personal_tokens.revoke_all(username, actor=actor)
    db.commit()
    revocation.wait()
    return said(gettext("All tokens, sessions and links of %(name)s have ended."), name=username)


def _join(username: str, actor: Actor) -> str:
    group = sent("group").strip()
    groups.add_member(group, username, actor=actor)
    return said(gettext("%(name)s is a member of %(group)s."), name=username, group=group)


def _leave(username: str, actor: Actor) -> str:
    groups.remove_member(sent("group"), username, actor=actor)
    return said(gettext("%(name)s is a member of %(group)s no longer."), name=username, group=sent("group"))


def _grant(username: str, actor: Actor) -> str:
    base_uri = sent("base_uri").strip()
    users.grant(sent_grant(), username, base_uri, actor=actor)
    return said(gettext("Granted: %(name)s, %(base_uri)s."), name=username, base_uri=base_uri)


def _revoke(username: str, actor: Actor) -> str:
    base_uri = sent("base_uri")
    users.revoke(sent_grant(), username, base_uri, actor=actor)
    return said(gettext("No longer granted: %(name)s, %(base_uri)s."), name=username, base_uri=base_uri)


def _delete(username: str, actor: Actor) -> str:
    users.delete_user(username, actor=actor)
    return said(gettext("%(name)s is deleted."), name=username)


# Pages


def _page(username: str, status: int = 200, problem: str = "", link: str = "") -> Any:
    about = _about(username)
    preview, status, problem = previewed(partial(_preview, username), status, problem)
    page = render_template(
        "web/admin/user.html",
        **about,
        problem=problem,
        link=link,
        minutes=login_links.LIFETIME // 60,
        preview=preview,
        groups=known_groups(),
        base_uris=known_base_uris(),
        form=Form(formdata=None),
    )
    return make_response(page, int(status))


def _preview(username: str) -> dict[str, Any] | None:
    """Return what would change by what the address asks about: a permission, or a membership; None: about nothing.

    :raises DserverError: for what makes no sense
    """
    act = asked_act()
    group = request.args.get("member_of", "").strip()
    if group:
        change, fields = audience.Change(member_of=[group]), {"act": "join", "group": group}
    elif act is not None:
        kind, base_uri = checked_grant(request.args[act]), request.args.get("on", "").strip()
        change = audience.Change(**{act: [f"{kind}:{base_uri}"]})
        fields = {"act": act, "kind": kind, "base_uri": base_uri}
    else:
        return None
    return {"fields": fields, "changes": audience.permissions_of(username, change)["would_change"]}


def _confirmation(username: str, wanted: str) -> Any:
    return render_template(
        "web/admin/user_confirmation.html",
        wanted=wanted,
        form=Form(formdata=None),
        **_about(username),
    )


def _about(username: str) -> dict[str, Any]:
    """Return what there is to know about a user."""
    user = users.get_user(username)
    name = user["username"]
    return {
        "user": user,
        "permissions": audience.permissions_of(name),
        "sessions": [
            {**row, "browser": name_of(row["agent"])} for row in sessions.list_of(name, sign_in.limits())
        ],
        "tokens": personal_tokens.list_tokens(name),
        "identity": external_users.identity_of(name),
    }
