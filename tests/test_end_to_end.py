"""From files on disk to an answer over HTTP: real descriptions, real datasets, the real commands, a real server."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dtoolcore
import pytest
import yaml
from dtoolcore.utils import sanitise_uri

from support.live_server import LiveServer, flask

CORPUS = Path(__file__).parents[2] / "shared" / "corpus" / "open-data-registry.jsonl.gz"
NUMBER = 60

pytestmark = pytest.mark.skipif(not CORPUS.exists(), reason=f"the corpus is not at {CORPUS}")


class Library:
    """Datasets in two directories, indexed by ``flask base_uri index`` and served by gunicorn."""

    def __init__(self, place: Path):
        folders = [place / "open", place / "closed"]
        for folder in folders:
            folder.mkdir()
        self.shelves = [sanitise_uri(str(folder)) for folder in folders]
        self.datasets = [self._package(place, *entry) for entry in enumerate(descriptions())]
        self.server = LiveServer(place)
        self.run("user", "add", "rita")
        for shelf in self.shelves:
            self.run("base_uri", "add", shelf)
        self.run("user", "search_permission", "rita", self.shelves[0])

    def _package(self, place: Path, number: int, entry: dict[str, Any]) -> dict[str, Any]:
        shelf = self.shelves[number % 2]
        readme = place / f"{entry['slug']}.yaml"
        readme.write_text(entry["readme"])
        with dtoolcore.DataSetCreator(entry["slug"][:80], shelf, entry["readme"], "olga") as creator:
            creator.put_item(str(readme), f"documents/{entry['slug']}.yaml")
            creator.put_annotation("number", number)
            creator.put_tag("open-data")
        loaded = dtoolcore.DataSet.from_uri(creator.uri)
        return {"shelf": shelf, "uri": loaded.uri, "uuid": loaded.uuid, **entry}

    def run(self, *arguments: str) -> str:
        done = flask(self.server.data_dir, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def get(self, path: str, **parameters: Any) -> Any:
        answer = self.server.request("GET", path, "rita", params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()


def descriptions() -> list[dict[str, Any]]:
    """The first descriptions of the corpus with a name that can be searched for."""
    with gzip.open(CORPUS, "rt") as lines:
        entries = (json.loads(line) for line in lines)
        return [entry for entry in entries if re.fullmatch(r"[a-z0-9.-]{4,80}", entry["slug"])][:NUMBER]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    library = Library(tmp_path_factory.mktemp("library"))
    for shelf in library.shelves:
        assert f"{NUMBER // 2} registered, 0 unchanged, 0 failed" in library.run("base_uri", "index", shelf)
    library.server.start()
    yield library
    library.server.stop()


def test_what_was_indexed_is_what_is_on_disk(library: Library) -> None:
    for dataset in library.datasets[::2]:
        found = library.get(f"/uris/{dataset['uri']}")
        on_disk = dtoolcore.DataSet.from_uri(dataset["uri"])
        assert found["name"] == on_disk.name
        assert found["frozen_at"] == pytest.approx(on_disk.admin_metadata["frozen_at"], abs=1e-6)
        assert found["size_in_bytes"] == len(dataset["readme"].encode())
        assert library.get(f"/readmes/{dataset['uri']}") == {"readme": on_disk.get_readme_content()}
        assert library.get(f"/manifests/{dataset['uri']}") == on_disk._manifest
        assert library.get(f"/tags/{dataset['uri']}") == {"tags": ["open-data"]}
        assert library.get(f"/uuids/{dataset['uuid']}") == [found]


def test_each_dataset_is_found_by_its_title_and_its_file(library: Library) -> None:
    for dataset in library.datasets[::2]:
        title = str((yaml.safe_load(dataset["readme"]) or {}).get("Name", dataset["slug"]))
        words = " ".join(re.findall(r"\w+", title))
        by_title = library.get("/uris", free_text=words, sort="relevance", page_size=100)
        assert dataset["uri"] in [found["uri"] for found in by_title[:5]], title
        by_file = library.get("/uris", free_text=f"{dataset['slug']}.yaml", page_size=100)
        assert dataset["uri"] in [found["uri"] for found in by_file]


def test_nothing_of_the_other_shelf_is_seen(library: Library) -> None:
    seen = library.get("/uris", page_size=100)
    assert sorted(found["uri"] for found in seen) == sorted(d["uri"] for d in library.datasets[::2])
    assert library.get("/uris", tags="open-data", page_size=100) == seen
    assert library.get("/me/summary")["base_uris"] == library.shelves[:1]
    for dataset in library.datasets[1::2]:
        assert library.server.request("GET", f"/uris/{dataset['uri']}", "rita").status_code == 403
        assert library.get(f"/uuids/{dataset['uuid']}") == []


def test_indexing_again_finds_nothing_new_while_the_server_runs(library: Library) -> None:
    assert f"0 registered, {NUMBER // 2} unchanged, 0 failed" in library.run(
        "base_uri", "index", library.shelves[0]
    )
    assert library.get("/me/summary")["number_of_datasets"] == NUMBER // 2
