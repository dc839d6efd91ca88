"""The forms in which a provenance graph can be fetched: a picture, a text for Graphviz, PROV-JSON."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import orjson
from flask import Response, current_app

from dservercore.plugins.graph import drawing, prov
from dservercore.plugins.graph.drawing import AddressOf
from dservercore.plugins.graph.graph import ProvenanceGraph
from dservercore.plugins.graph.shown import address_of, words


@dataclass(frozen=True)
class Format:
    """A form of a graph.

    :param title: by which people know it
    :param write: given a graph, and what gives the addresses of pages, returns the content of the file
    """

    title: str
    media_type: str
    suffix: str
    write: Callable[[ProvenanceGraph, AddressOf], bytes]


#: By their names in addresses.
FORMATS: Mapping[str, Format] = {
    "svg": Format("SVG", "image/svg+xml", ".svg", lambda graph, of: drawing.svg(graph, of, words()).encode()),
    "dot": Format(
        "DOT", "text/vnd.graphviz", ".dot", lambda graph, of: drawing.dot(graph, of, words()).encode()
    ),
    "prov": Format(
        "PROV-JSON", prov.MEDIA_TYPE, ".prov.json", lambda graph, _: orjson.dumps(prov.document(graph))
    ),
}

# A picture that somebody opens by itself may do nothing but show itself, by the style that is in it.
_OF_STYLE = base64.b64encode(hashlib.sha256(drawing.STYLE.encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_OF_STYLE}'; base-uri 'none'; frame-ancestors 'none'; sandbox"
)


def answer(
    name: str, graph: ProvenanceGraph, headers: Mapping[str, str] | None = None, is_download: bool = False
) -> Response:
    """Return an answer with a graph in one of the forms.

    :param is_download: whether a browser is to keep it as a file, whatever it could show
    """
    form = FORMATS[name]
    response = Response(form.write(graph, _page_of()), content_type=_content_type(form.media_type))
    disposition = "attachment" if is_download else "inline"
    response.headers["Content-Disposition"] = f'{disposition}; filename="{graph.centre}{form.suffix}"'
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.update(headers or {})
    return response


def _content_type(media_type: str) -> str:
    return f"{media_type}; charset=utf-8" if media_type.startswith("text/") else media_type


def _page_of() -> AddressOf:
    """Return what gives the addresses of pages, with the name of the server; where there are no pages, none."""
    if "graph_pages" not in current_app.blueprints:
        return lambda node: None
    return lambda node: address_of(node, external=True)
