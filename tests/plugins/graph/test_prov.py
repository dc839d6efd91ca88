"""PROV-JSON, as a library for it reads it."""

from __future__ import annotations

import json

import pytest
from prov.model import ProvDerivation, ProvDocument, ProvEntity, ProvGeneration

from dservercore.plugins.graph import prov
from plugins.graph.graphs import graph_of, uuid_of
from plugins.graph.test_drawing import ALL, NAMES


def read(graph) -> ProvDocument:
    return ProvDocument.deserialize(content=json.dumps(prov.document(graph)), format="json")


def test_datasets_are_entities_that_were_derived_from_others():
    document = read(graph_of([(0, 1), (1, 2)], 3, unknown=[2], copies=2))
    entities = {entity.identifier.uri: entity for entity in document.get_records(ProvEntity)}
    assert set(entities) == {f"urn:uuid:{uuid_of(number)}" for number in range(3)}
    first = entities[f"urn:uuid:{uuid_of(0)}"]
    assert first.label == "dataset 0"
    assert [kind.uri for kind in first.get_asserted_types()] == ["https://schema.org/Dataset"]
    assert {place.uri for place in first.get_attribute("prov:location")} == {
        f"s3://bucket{place}/{uuid_of(0)}" for place in range(2)
    }
    assert first.get_attribute("schema:creator") == {"anna"}
    assert entities[f"urn:uuid:{uuid_of(2)}"].attributes == []
    derived = {tuple(name.uri for name in one.args[:2]) for one in document.get_records(ProvDerivation)}
    assert derived == {(f"urn:uuid:{uuid_of(one)}", f"urn:uuid:{uuid_of(one + 1)}") for one in range(2)}


def test_a_dataset_was_generated_when_it_was_frozen():
    (generation,) = read(graph_of([], 1)).get_records(ProvGeneration)
    assert generation.args[0].uri == f"urn:uuid:{uuid_of(0)}"
    assert generation.args[2].isoformat() == "2018-09-06T12:49:45+00:00"


@pytest.mark.attack
def test_names_are_texts_whatever_is_in_them():
    graph = ALL
    labels = {entity.label for entity in read(graph).get_records(ProvEntity)}
    assert {name for name in NAMES if name} <= labels


def test_the_rest_is_left_out_where_there_is_none():
    assert set(prov.document(graph_of([], 1, unknown=[0]))) == {"prefix", "entity"}
    assert read(graph_of([], 0)).get_records() == []
