"""``/manifests``: which files a dataset has."""

from __future__ import annotations

from flask import Response
from flask.views import MethodView

from dservercore import guards
from dservercore.api.answers import answers
from dservercore.api.etags import READING, value_answer
from dservercore.blueprint import Blueprint
from dservercore.catalog import metadata
from dservercore.schemas import ManifestSchema
from dservercore.scope import Actor, Scope

blp = Blueprint("manifests", __name__, url_prefix="/manifests", description="Manifests")


@blp.route("/<uri:uri>")
class Manifest(MethodView):
    """The manifest of a dataset, which never changes."""

    @guards.with_scope("search")
    @answers(blp, 200, ManifestSchema, **READING)
    def get(self, uri: str, search_scope: Scope, actor: Actor) -> Response:
        """Read a dataset's manifest."""
        return value_answer(metadata.get_manifest(search_scope, uri))
