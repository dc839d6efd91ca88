"""The address that signs somebody in once, for the commands that print one."""

from __future__ import annotations

from flask import current_app

from dservercore.catalog import login_links
from dservercore.catalog.scope import OPERATOR
from dservercore.cli.console import Failure
from dservercore.settings.external_url import external_url


def new_link(username: str) -> str:
    """Return the address of a new link that signs a user in. To be committed then.

    :raises UnknownUserError: if nobody is registered under the name
    :raises ConflictError: if the user is a service account, which cannot sign in
    :raises Failure: if there are no pages to sign in at
    """
    if not current_app.config["DSERVER_WEB"]:
        raise Failure("This server has no pages to sign in at (DSERVER_WEB)")
    return external_url(f"/sign-in/link?code={login_links.make(username, actor=OPERATOR)}")
