"""A provenance graph in PROV-JSON, which tools for the W3C's provenance data model read.

The serialization is that of the submission https://www.w3.org/submissions/prov-json/; the words are those of PROV-DM,
and of schema.org for what PROV has no word for. Datasets are entities, named ``urn:uuid:`` and their UUID.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dservercore.plugins.graph.graph import Node, ProvenanceGraph
from dservercore.web.shown import moment

#: The media type of a document.
MEDIA_TYPE = "application/json"

_PREFIXES = {"uuid": "urn:uuid:", "schema": "https://schema.org/"}


def document(graph: ProvenanceGraph) -> dict[str, Any]:
    """Return the document, to be sent as JSON.

    A dataset was generated when it was frozen. Of one that is not registered, or not the reader's to see, there is the
    UUID alone.
    """
    made: dict[str, Any] = {
        "prefix": _PREFIXES,
        "entity": {_name(uuid): _attributes(node) for uuid, node in graph.nodes.items()},
    }
    times = {node.uuid: node.copies[0].get("frozen_at") for node in graph.nodes.values() if node.copies}
    generations = {
        f"_:generation{number}": {
            "prov:entity": _name(uuid),
            "prov:time": moment(seconds).isoformat().replace("+00:00", "Z"),
        }
        for number, (uuid, seconds) in enumerate(times.items(), start=1)
        if isinstance(seconds, int | float)
    }
    derivations = {
        f"_:derivation{number}": {"prov:generatedEntity": _name(derived), "prov:usedEntity": _name(source)}
        for number, (derived, source) in enumerate(graph.edges, start=1)
        if source in graph.nodes
    }
    # A kind of statement that there is none of is left out, as in the examples of the submission.
    return {
        **made,
        **({"wasGeneratedBy": generations} if generations else {}),
        **({"wasDerivedFrom": derivations} if derivations else {}),
    }


def _name(uuid: str) -> str:
    return f"uuid:{uuid}"


def _attributes(node: Node) -> dict[str, Any]:
    if node.is_placeholder:
        return {}
    dataset: Mapping[str, Any] = node.copies[0]
    attributes: dict[str, Any] = {
        "prov:type": {"$": "schema:Dataset", "type": "prov:QUALIFIED_NAME"},
        "prov:label": dataset.get("name"),
        "prov:location": _one_or_many([{"$": copy["uri"], "type": "xsd:anyURI"} for copy in node.copies]),
        "schema:creator": dataset.get("creator_username"),
        "schema:size": dataset.get("size_in_bytes"),
    }
    return {key: value for key, value in attributes.items() if value not in (None, "", [])}


def _one_or_many(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values
