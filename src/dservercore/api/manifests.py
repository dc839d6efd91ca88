"""``/manifests``: which files a dataset has."""

from __future__ import annotations

from flask import Response, request
from flask.views import MethodView

from dservercore.auth import guards
from dservercore.catalog import metadata
from dservercore.catalog.scope import Actor, Scope
from dservercore.rest.blueprint import Blueprint
from dservercore.rest.etags import ETAG_HEADERS, READING, value_answer
from dservercore.rest.responses import answers
from dservercore.rest.schemas import ManifestSchema

_VARY = {"Vary": "Accept-Encoding"}
_READING = READING | {
    "headers": ETAG_HEADERS
    | {
        "Content-Encoding": {
            "description": "`zstd` if the manifest is compressed, which has an entity tag of its own",
            "schema": {"type": "string", "enum": ["zstd"]},
        },
        "Vary": {"description": "What the encoding depends on", "schema": {"type": "string"}},
    }
}

blp = Blueprint("manifests", __name__, url_prefix="/manifests", description="Manifests")


@blp.route("/<uri:uri>")
class Manifest(MethodView):
    """The manifest of a dataset, which never changes."""

    @guards.with_scope("search", visitors=True)
    @answers(blp, 200, ManifestSchema, **_READING)
    def get(self, uri: str, search_scope: Scope, actor: Actor) -> Response:
        """Read a dataset's manifest; compressed, as it is stored, if the request accepts the encoding `zstd`."""
        if _accepts_zstd():
            packed = metadata.get_packed_manifest(search_scope, uri)
            if packed is not None:
                return value_answer(packed, {"Content-Encoding": "zstd", **_VARY})
        return value_answer(metadata.get_manifest(search_scope, uri), _VARY)


def _accepts_zstd() -> bool:
    """Return whether the request names zstd: a client that accepts ``*`` may not know it."""
    return any(name.lower() == "zstd" and quality > 0 for name, quality in request.accept_encodings)
