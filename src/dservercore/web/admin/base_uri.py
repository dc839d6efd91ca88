"""The page ``/admin/base-uris/<base_uri>``: who may do what in a base URI, and what is to be known of it.

All acts are sent to the address of the page: what a longer path would name may be another base URI.
"""

from __future__ import annotations

import shlex
from functools import partial
from typing import Any

from flask import Blueprint, make_response, render_template, request, url_for

from dservercore.catalog import audience, base_uris, groups, users
from dservercore.catalog.scope import GRANTS, Actor
from dservercore.errors import invalid
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
from dservercore.web.admin.choices import MOST_SHOWN, containing, known_groups, known_users
from dservercore.web.forms import Form
from dservercore.web.page_guards import admin_only
from dservercore.web.texts import gettext

#: What is asked about before it is done, by the value of ``confirm``.
CONFIRMED = ("public", "private", "delete")

_OF_GROUP = "group/"


def add_to(pages: Blueprint) -> None:
    """Serve the page, and take what its forms send."""
    pages.add_url_rule("/admin/base-uris/<base_uri:base_uri>", "admin_base_uri", show)
    pages.add_url_rule("/admin/base-uris/<base_uri:base_uri>", "change_base_uri", change, methods=["POST"])


@admin_only
def show(base_uri: str, actor: Actor) -> Any:
    """Return the page; or one that says what an act would do, with a button that does it."""
    wanted = request.args.get("confirm", "")
    if wanted in CONFIRMED:
        return _confirmation(base_uri, wanted)
    return _page(base_uri)


@admin_only
def change(base_uri: str, actor: Actor) -> Any:
    """Do what the form asks for, and lead to the page; or show what is wrong."""
    acts = bound(
        {
            "grant": _grant,
            "revoke": _revoke,
            "public": _open,
            "private": _close,
            "price": _set_price,
            "delete": _delete,
        },
        base_uri,
        actor,
    )
    if sent("act") == "delete":
        return take(acts, partial(_confirmation, base_uri, "delete"), url_for("web.admin_base_uris"))
    return take(acts, partial(_page, base_uri), url_for("web.admin_base_uri", base_uri=base_uri))


# Acts


def _grant(base_uri: str, actor: Actor) -> str:
    to = sent("to").strip()
    if to.startswith(_OF_GROUP):
        groups.grant(sent_grant(), to.removeprefix(_OF_GROUP), base_uri, actor=actor)
    else:
        users.grant(sent_grant(), to, base_uri, actor=actor)
    return said(gettext("Granted: %(name)s, %(base_uri)s."), name=to, base_uri=base_uri)


def _revoke(base_uri: str, actor: Actor) -> str:
    to = sent("to")
    if to.startswith(_OF_GROUP):
        groups.revoke(sent_grant(), to.removeprefix(_OF_GROUP), base_uri, actor=actor)
    else:
        users.revoke(sent_grant(), to, base_uri, actor=actor)
    return said(gettext("No longer granted: %(name)s, %(base_uri)s."), name=to, base_uri=base_uri)


def _open(base_uri: str, actor: Actor) -> str:
    base_uris.set_public(base_uri, True, actor=actor)
    return said(gettext("%(base_uri)s is public now."), base_uri=base_uri)


def _close(base_uri: str, actor: Actor) -> str:
    base_uris.set_public(base_uri, False, actor=actor)
    return said(gettext("%(base_uri)s is public no longer."), base_uri=base_uri)


def _set_price(base_uri: str, actor: Actor) -> str:
    price = sent("price_per_tb").strip()
    if not price:
        base_uris.set_price(base_uri, {"price_per_tb": None}, actor=actor)
        return said(gettext("%(base_uri)s has no price now."), base_uri=base_uri)
    base_uris.set_price(base_uri, {"price_per_tb": price, "currency": sent("currency")}, actor=actor)
    return said(gettext("%(base_uri)s has a price now."), base_uri=base_uri)


def _delete(base_uri: str, actor: Actor) -> str:
    with_datasets = bool(sent("with_datasets"))
    if with_datasets and sent("name").strip() != base_uri:
        raise invalid("name", gettext("is not that of this base URI: type it as it is written above"))
    base_uris.delete_base_uri(base_uri, with_datasets, actor=actor)
    return said(gettext("%(base_uri)s is deleted."), base_uri=base_uri)


# Pages


def _page(base_uri: str, status: int = 200, problem: str = "") -> Any:
    about = base_uris.get_base_uri(base_uri)
    preview, status, problem = previewed(partial(_preview, base_uri), status, problem)
    datasets, size = base_uris.totals_of(base_uri)
    named = request.args.get("containing", "").strip()
    page = render_template(
        "web/admin/base_uri.html",
        base_uri=base_uri,
        public=about.get("public", False),
        price=sent("price_per_tb") or about.get("price_per_tb", ""),
        currency=sent("currency") or about.get("currency", ""),
        granted=_granted(about, named),
        audience=_audience(base_uri, named),
        most=MOST_SHOWN,
        containing=named,
        datasets=datasets,
        size=size,
        last_run=base_uris.last_run(base_uri),
        command=f"flask base_uri index {shlex.quote(base_uri)}",
        preview=preview,
        users=known_users(),
        groups=known_groups(),
        problem=problem,
        form=Form(formdata=None),
    )
    return make_response(page, int(status))


def _granted(about: dict[str, Any], named: str) -> dict[str, list[str]]:
    """Return, by permission, whom it is granted to: groups first, as ``group/<name>``."""
    of_groups = base_uris.groups_granted(about["base_uri"])
    return {
        kind: containing(
            [
                *(f"{_OF_GROUP}{name}" for name in of_groups[kind]),
                *about[f"users_with_{kind}_permissions"],
            ],
            named,
        )
        for kind in GRANTS
    }


def _audience(base_uri: str, named: str) -> dict[str, list[dict[str, Any]]]:
    """Return, by permission, who has it, and why; of a public base URI, without those who have it for that alone."""
    found = audience.audience_of(base_uri)
    return {
        kind: [
            one
            for one in found[kind]
            if (one["directly"] or one["groups"]) and containing([one["username"]], named)
        ]
        for kind in GRANTS
    }


def _preview(base_uri: str) -> dict[str, Any] | None:
    """Return what would change by the grant or revocation that the address asks about; None: about none.

    :raises DserverError: for what makes no sense
    """
    act = asked_act()
    if act is None:
        return None
    kind, to = checked_grant(request.args[act]), request.args.get("to", "").strip()
    wanted = audience.Change(**{act: [f"{kind}:{to}"]})
    changes = audience.audience_of(base_uri, wanted)["would_change"]
    return {
        "act": act,
        "kind": kind,
        "to": to,
        "gained": changes[kind]["gained"],
        "lost": changes[kind]["lost"],
    }


def _confirmation(base_uri: str, wanted: str, status: int = 200, problem: str = "") -> Any:
    about = base_uris.get_base_uri(base_uri)
    datasets, size = base_uris.totals_of(base_uri)
    page = render_template(
        "web/admin/base_uri_confirmation.html",
        base_uri=base_uri,
        wanted=wanted,
        granted=_granted(about, ""),
        public=about.get("public", False),
        datasets=datasets,
        size=size,
        readers=len(_audience(base_uri, "")["search"]),
        problem=problem,
        form=Form(formdata=None),
    )
    return make_response(page, int(status))
