"""The functions of ``dtool-lookup-api`` for dependency graphs, with the extension that comes with the server."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pymongo
import pytest

from ecosystem.library import BLUE, Library, open_library
from ecosystem.lookup_api import FACES, Call, Home
from support.mongod import mongo_plugins
from support.world import NOBODY, READER, RED, dataset_info

# A family, of which READER alone sees the one who married in.
GRANDPARENT = "1a1f9fad-8589-413e-9602-5bbd66bfe675"
PARENT = "2a74dfd2-0699-47b9-b8b6-c1356f968aee"
CHILD = "51490ee3-e130-4514-bfa8-4dc2e9cd0e04"
IN_LAW = "6b1c1d5a-36f4-43a1-8b45-7a7f3d1a0f6e"


@pytest.fixture(scope="module")
def library(backend: str, tmp_path_factory, request) -> Iterator[Library]:
    """A library whose server has the extension, with a family of datasets among the others."""
    settings, name = {"DSERVER_EXTENSIONS": "graph"}, f"test_{uuid.uuid4().hex}"
    if backend == "mongo":
        mongod = request.getfixturevalue("mongod")
        settings |= mongo_plugins(mongod.uri, name)
    readme = "description: Offspring\nderived_from:\n  - uuid: {}\n"
    with open_library(tmp_path_factory.mktemp(f"graph-{backend}"), settings) as library:
        library.put(dataset_info(RED, uuid=GRANDPARENT, tags=["old"]))
        library.put(dataset_info(RED, uuid=PARENT, readme=readme.format(GRANDPARENT)))
        library.put(dataset_info(BLUE, uuid=IN_LAW), READER)
        child = {"readme": readme.format(PARENT), "annotations": {"source_dataset_uuid": [IN_LAW]}}
        library.put(dataset_info(RED, uuid=CHILD, **child, tags=["b", "a"]))
        library.put(dataset_info(RED, annotations={"raised_by": GRANDPARENT}))
        yield library
    if backend == "mongo":
        with pymongo.MongoClient(mongod.uri) as client:
            client.drop_database(name)


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.__name__)
def test_graph(face: Any, library: Library, home: Home) -> None:
    assert "dserver_dependency_graph_plugin" in Call(home, face, "get_versions")()
    call = Call(home, face, "get_graph_by_uuid")

    def generations(*arguments: Any, **options: Any) -> dict[str, list[str]]:
        return {entry["uuid"]: entry["derived_from"] for entry in call(*arguments, **options)}

    family = {GRANDPARENT: [], PARENT: [GRANDPARENT], CHILD: [PARENT, IN_LAW]}
    for identifier in family:
        pagination: dict[str, int] = {}
        assert generations(identifier, pagination=pagination) == family
        assert (pagination["total"], pagination["page"]) == (3, 1)
    child = call(CHILD)[-1]
    assert (child["type"], child["tags"], child["base_uri"]) == ("dataset", ["b", "a"], RED)
    assert not child.keys() & {"readme", "manifest", "annotations", "_id"}
    assert list(generations(CHILD, page_size=2, page_number=2)) == [CHILD]
    assert generations(CHILD, actor=READER) == {**family, IN_LAW: []}
    assert generations(CHILD, actor=NOBODY) == {}
    assert generations(str(uuid.uuid4())) == {}
    assert len(generations(GRANDPARENT, ["annotations.raised_by"])) == 2
    assert generations(CHILD, dependency_keys=["readme.derived_from.uuid"]) == {**family, CHILD: [PARENT]}
