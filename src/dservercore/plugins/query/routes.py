"""The routes below ``/mongo``."""

from __future__ import annotations

from dservercore.rest.blueprint import Blueprint

blueprint = Blueprint("query", __name__, url_prefix="/mongo", description="Structured queries")
