"""Datasets that are really stored, in a directory and in a bucket, and a server that signs URLs for them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dtoolcore
import pytest
from werkzeug.test import TestResponse

from dservercore import sql_db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris
from dservercore.catalog.storage import indexing
from support.world import ADMIN, CHAMPION, READER
from support.worlds import World, world

#: Files of the dataset, by the path of each in it.
FILES = {
    "pods/beans.csv": b"pod,beans\n1,7\n2,5\n" * 1000,
    "notes, ünï¢ode.txt": "Grüße\n".encode(),
    "evil.html": b"<script>alert(1)</script>",
    "empty": b"",
}


def freeze(base: Path, name: str, files: dict[str, bytes] = FILES, base_uri: str | None = None) -> str:
    """Make a dataset in a base URI, or directory, with an overlay, an annotation and a tag; return its URI."""
    folder = base / f"of {name}"
    creator = dtoolcore.DataSetCreator(name, base_uri or str(base), readme_content="crop: beans\n")
    with creator:
        for number, (path, content) in enumerate(files.items()):
            item = folder / str(number)
            item.parent.mkdir(exist_ok=True)
            item.write_bytes(content)
            creator.put_item(str(item), path)
        creator.put_tag("kept")
        creator.put_annotation("soil", "loam")
    dataset = dtoolcore.DataSet.from_uri(creator.uri)
    dataset.put_overlay("is_csv", {one: path.endswith("csv") for one, path in paths_of(creator.uri).items()})
    return str(creator.uri)


def paths_of(uri: str) -> dict[str, str]:
    """Return the paths of the items of a stored dataset, by identifier."""
    dataset = dtoolcore.DataSet.from_uri(uri)
    return {one: dataset.item_properties(one)["relpath"] for one in dataset.identifiers}


def index(here: World, base_uri: str, *readers: str) -> None:
    """Register a base URI, which some may search, and all datasets in it."""
    with here.app.app_context():
        base_uris.put_base_uri(base_uri, list(readers), [CHAMPION])
        sql_db.session.commit()
        outcomes = list(indexing.index_base_uri(operator_scope("register"), base_uri))
        assert {outcome.outcome for outcome in outcomes} <= {"registered", "unchanged", "not frozen"}, (
            outcomes
        )
        sql_db.session.commit()


def below(address: str) -> str:
    """Return an address of the test client as path and query."""
    assert address.startswith("http://localhost/")
    return address.removeprefix("http://localhost")


def quoted(uri: str) -> str:
    return quote(uri, safe="")


class Signed:
    """A world with a dataset in a directory.

    :ivar uri: of the dataset
    :ivar path: of its directory
    """

    def __init__(self, here: World, base: Path, uri: str) -> None:
        self.here, self.base, self.uri = here, base, uri
        self.path = base / uri.rpartition("/")[2]
        self.base_uri = uri.rpartition("/")[0]
        self.paths = paths_of(uri)
        self.identifier = {path: one for one, path in self.paths.items()}

    def urls(self, uri: str = "", username: str = CHAMPION, **options: Any) -> dict[str, Any]:
        answer = self.here.send("GET", f"/signed-urls/dataset/{quoted(uri or self.uri)}", username, **options)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.get_json()
        return found

    def item_url(self, path: str, username: str = CHAMPION, **options: Any) -> str:
        identifier = self.identifier[path]
        answer = self.here.send(
            "GET", f"/signed-urls/item/{quoted(self.uri)}/{identifier}", username, **options
        )
        assert answer.status_code == 200, answer.text
        return below(json.loads(answer.text)["url"])

    def get(self, address: str, method: str = "GET", **headers: str) -> TestResponse:
        """Send a request without a token, as whoever has the address can."""
        return self.here.client.open(
            address, method=method, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory, key_pair: tuple[Path, Path]) -> Iterator[Signed]:
    folder = tmp_path_factory.mktemp("signed")
    base = folder / "base"
    base.mkdir()
    uri = freeze(base, "bean-harvest")
    with world(folder, key_pair) as here:
        base_uri = uri.rpartition("/")[0]
        index(here, base_uri, CHAMPION, READER)
        assert ADMIN  # who may search nothing
        yield Signed(here, base, uri)
