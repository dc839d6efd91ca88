"""The routes below ``/signed-urls``."""

from __future__ import annotations

from dservercore.rest.blueprint import Blueprint

blueprint = Blueprint("signed_url", __name__, url_prefix="/signed-urls", description="Signed URLs")
