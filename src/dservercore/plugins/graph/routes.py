"""The routes below ``/graph``."""

from __future__ import annotations

from dservercore.rest.blueprint import Blueprint

blueprint = Blueprint("graph", __name__, url_prefix="/graph", description="Provenance graph")
