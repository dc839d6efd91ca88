"""The address under which others reach this server, for whatever names the server to them."""

from __future__ import annotations

import os

from flask import current_app, has_request_context, request


def external_url(path: str = "") -> str:
    """Return the address of a path of this server, as its users can open it.

    That is below ``DSERVER_EXTERNAL_URL``; where that is not set, below the address that the request at hand has asked
    for, and at the command line below that of ``flask serve`` on this machine.

    :param path: such as ``/sign-in``; ``""``: the address of the server itself, without a slash at its end
    """
    return _base() + path


def _base() -> str:
    configured: str = current_app.config["DSERVER_EXTERNAL_URL"]
    if configured:
        return configured
    if has_request_context():
        return request.host_url.rstrip("/") + request.script_root
    scheme = "https" if os.environ.get("DSERVER_CERTIFICATE") else "http"
    return f"{scheme}://127.0.0.1:{os.environ.get('DSERVER_PORT') or 5000}"
