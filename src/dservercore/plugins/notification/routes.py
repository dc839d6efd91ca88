"""The routes below ``/webhook``."""

from __future__ import annotations

from dservercore.rest.blueprint import Blueprint

blueprint = Blueprint("notification", __name__, url_prefix="/webhook", description="Notifications by storage")
