"""The page ``/admin``: how the server is, and what an administrator should look at."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, render_template

from dservercore import plugin_host
from dservercore.catalog import base_uris, groups, jobs, readiness, summary, users
from dservercore.catalog.scope import Actor
from dservercore.web.page_guards import admin_only

_NOTHING = slice(0, 0)


def add_to(pages: Blueprint) -> None:
    """Serve the page."""
    pages.add_url_rule("/admin", "admin", show)


@admin_only
def show(actor: Actor) -> Any:
    """Return the page."""
    never, failed = base_uris.number_of_unindexed()
    datasets, size = summary.totals()
    return render_template(
        "web/admin/overview.html",
        readiness=readiness.check(),
        versions=plugin_host.versions(),
        users=users.list_users(page=_NOTHING)[1],
        groups=groups.list_groups(page=_NOTHING)[1],
        base_uris=base_uris.list_base_uris(page=_NOTHING, with_users=False)[1],
        datasets=datasets,
        size=size,
        never_indexed=never,
        failed_runs=failed,
        failed_jobs=len(jobs.list_jobs(only_failed=True)),
        of_extensions=[
            one for extension in plugin_host.plugins().extensions for one in extension.attention()
        ],
    )
