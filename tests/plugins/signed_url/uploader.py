"""What a client does that copies a dataset in: announces it, sends its files to the URLs, and completes it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dtoolcore
import requests
from dtoolcore.utils import generate_identifier

from support.live_server import LiveServer
from support.world import CHAMPION


def packaged(folder: Path, name: str = "peas", files: Mapping[str, bytes] | None = None) -> dtoolcore.DataSet:
    """Return a dataset that dtoolcore has made in a folder."""
    files = (
        files if files is not None else {"pods/a b.csv": b"1,2\n" * 2000, "Ünï/名.txt": b"x", "empty": b""}
    )
    folder.mkdir(exist_ok=True)
    with dtoolcore.DataSetCreator(name, f"file://{folder}", f"description: {name}\n", "olga") as creator:
        for number, (relpath, content) in enumerate(files.items()):
            item = folder / f"item-{name}-{number}"
            item.write_bytes(content)
            creator.put_item(str(item), relpath)
            creator.add_item_metadata(relpath, "length", len(content))
        creator.proto_dataset.put_tag("legume")
        creator.proto_dataset.put_annotation("soil", {"kind": "loam", "ph": 6.5})
    return dtoolcore.DataSet.from_uri(creator.uri)


def announcement_of(dataset: dtoolcore.DataSet, **changes: Any) -> dict[str, Any]:
    """Return the body of the request that begins to upload a dataset."""
    items = [dataset.item_properties(identifier) for identifier in dataset.identifiers]
    return {
        "uuid": dataset.uuid,
        "name": dataset.name,
        "creator_username": dataset.admin_metadata["creator_username"],
        "frozen_at": dataset.admin_metadata["frozen_at"],
        "hash_function": "md5sum_hexdigest",
        "items": items,
        "tags": dataset.list_tags(),
        "annotations": {name: dataset.get_annotation(name) for name in dataset.list_annotation_names()},
        "overlays": {name: dataset.get_overlay(name) for name in dataset.list_overlay_names()},
        **changes,
    }


def item(relpath: str, content: bytes, **changes: Any) -> dict[str, Any]:
    """Return what is announced of a file."""
    import hashlib

    digest = hashlib.md5(content).hexdigest()
    return {
        "relpath": relpath,
        "size_in_bytes": len(content),
        "hash": digest,
        "utc_timestamp": 1536832115.5,
        **changes,
    }


def announcement(*items: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the body of a request that begins to upload a dataset with these items."""
    return {
        "uuid": str(uuid.uuid4()),
        "name": "beans",
        "creator_username": "olga",
        "frozen_at": 1536238185.881941,
        "items": list(items),
        **changes,
    }


class Uploader:
    """A user of a server who uploads to a base URI."""

    def __init__(self, server: LiveServer, base_uri: str, username: str = CHAMPION):
        self.server, self.base_uri, self.username = server, base_uri, username

    def begin(self, body: Any) -> requests.Response:
        path = f"/signed-urls/upload/{quote(self.base_uri, safe='')}"
        return self.server.request("POST", path, self.username, json=body)

    def begun(self, body: Any) -> dict[str, Any]:
        answer = self.begin(body)
        assert answer.status_code == 200, answer.text
        begun: dict[str, Any] = answer.json()
        return begun

    def complete(self, uri: str) -> requests.Response:
        return self.server.request("POST", "/signed-urls/upload-complete", self.username, json={"uri": uri})

    def completed(self, uri: str) -> dict[str, Any]:
        answer = self.complete(uri)
        assert answer.status_code == 200, answer.text
        completed: dict[str, Any] = answer.json()
        return completed

    def send_all(
        self, begun: dict[str, Any], content: Callable[[str], bytes], readme: str = "a: b\n"
    ) -> None:
        """Send the README and all items, as clients do who know nothing of the server."""
        assert put(begun["upload_urls"]["readme"], readme.encode()).status_code == 200
        for identifier, one in begun["upload_urls"]["items"].items():
            answer = put(one["url"], content(identifier), one["headers"])
            assert answer.status_code == 200, answer.text

    def copy(self, dataset: dtoolcore.DataSet) -> str:
        """Copy a dataset in; return its new URI."""
        begun = self.begun(announcement_of(dataset))
        assert put(begun["upload_urls"]["readme"], dataset.get_readme_content().encode()).status_code == 200
        for identifier, one in begun["upload_urls"]["items"].items():
            with open(
                dataset.item_content_abspath(identifier), "rb"
            ) as file:  # streamed, empty ones in chunks
                answer = requests.put(one["url"], data=file, headers=one["headers"], timeout=60)
            assert answer.status_code == 200, answer.text
        assert self.completed(begun["uri"])["status"] == "registered"
        return str(begun["uri"])


def put(url: str, content: Any, headers: Mapping[str, str] = {}) -> requests.Response:
    return requests.put(url, data=content, headers=dict(headers), timeout=60)


def content_of(files: Mapping[str, bytes]) -> Callable[[str], bytes]:
    """Return what returns the content of a file by its identifier."""
    by_identifier = {generate_identifier(relpath): content for relpath, content in files.items()}
    return by_identifier.__getitem__


def same(one: dtoolcore.DataSet, other: dtoolcore.DataSet) -> None:
    """Pass if two datasets hold the same."""
    for attribute in ("uuid", "name", "identifiers"):
        assert getattr(one, attribute) == getattr(other, attribute)
    for key in ("creator_username", "frozen_at", "type"):
        assert one.admin_metadata[key] == other.admin_metadata[key]
    for identifier in one.identifiers:
        assert one.item_properties(identifier) == other.item_properties(identifier)
        with open(one.item_content_abspath(identifier), "rb") as first:
            content = first.read()
        with open(other.item_content_abspath(identifier), "rb") as second:
            assert content == second.read()
    assert one.get_readme_content() == other.get_readme_content()
    assert sorted(one.list_tags()) == sorted(other.list_tags())
    for name in one.list_annotation_names():
        assert one.get_annotation(name) == other.get_annotation(name)
    assert sorted(one.list_overlay_names()) == sorted(other.list_overlay_names())
    for name in one.list_overlay_names():
        assert one.get_overlay(name) == other.get_overlay(name)
