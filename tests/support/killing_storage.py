"""Clients that upload datasets, and a store that tells of datasets that come and go, under which a server is killed."""

from __future__ import annotations

import json
import random
import shutil
import threading
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dtoolcore
import requests

from support.killing import listed
from support.live_server import LiveServer
from support.waiting import wait_until
from support.world import CHAMPION

BUCKET = "beds"
CONTENT = b"pod,beans\n1,7\n"
MD5 = "d3d78b79aa34eedb55b2e89b6b403ce2"


class Uploads:
    """Datasets that are uploaded into a directory.

    :ivar begun: URIs whose upload was begun, for all that the client knows
    :ivar completed: URIs whose completion was acknowledged
    """

    def __init__(self, live: LiveServer, folder: Path):
        self.live, self.folder, self.base_uri = live, folder, f"file://{folder}"
        self.begun: set[str] = set()
        self.completed: set[str] = set()

    def write(self, chance: random.Random) -> None:
        """Upload one dataset, or leave off somewhere."""
        begun = self.begin(str(uuid.UUID(int=chance.getrandbits(128), version=4)))
        if chance.random() < 0.8:
            self.finish(begun)

    def begin(self, identifier: str) -> dict[str, Any]:
        """Begin an upload, or begin it again."""
        item = {"relpath": "a.csv", "size_in_bytes": len(CONTENT), "hash": MD5, "utc_timestamp": 1536832115.5}
        body = {
            "uuid": identifier,
            "name": "harvest",
            "creator_username": "olga",
            "frozen_at": 1536238185.881941,
            "items": [item],
        }
        path = f"/signed-urls/upload/{quote(self.base_uri, safe='')}"
        answer = self.live.request("POST", path, CHAMPION, json=body)
        assert answer.status_code in (200, 503), answer.text
        answer.raise_for_status()
        begun: dict[str, Any] = answer.json()
        self.begun.add(begun["uri"])
        return begun

    def finish(self, begun: dict[str, Any]) -> None:
        """Send the files, and complete the upload."""
        urls = begun["upload_urls"]
        files = [(urls["readme"], b"about: uploaded\n", {})]
        files += [(item["url"], CONTENT, item["headers"]) for item in urls["items"].values()]
        for url, content, headers in files:
            requests.put(url, content, headers=headers, timeout=60).raise_for_status()
        answer = self.live.request(
            "POST", "/signed-urls/upload-complete", CHAMPION, json={"uri": begun["uri"]}
        )
        assert answer.status_code in (200, 503), answer.text
        answer.raise_for_status()
        self.completed.add(begun["uri"])

    def check(self) -> None:
        """Pass if each upload is pending or registered, what was completed is registered, and the others can be."""
        lines = self.live.flask("pending_upload", "list").stdout.splitlines()
        pending = {word for line in lines for word in line.split() if word.startswith(self.base_uri)}
        here = {uri for uri in listed(self.live) if uri.startswith(self.base_uri)}
        assert self.completed <= here
        assert self.begun <= here | pending
        assert not here & pending
        for uri in pending:
            self.finish(self.begin(uri.rpartition("/")[2]))
        for uri in here | pending:
            dataset = dtoolcore.DataSet.from_uri(uri)
            (identifier,) = dataset.identifiers
            assert Path(dataset.item_content_abspath(identifier)).read_bytes() == CONTENT


class Bucket:
    """A directory that tells of its datasets as a bucket does.

    :ivar told: URIs of which a message was acknowledged, or sent again until it was, and whether they are there
    """

    def __init__(self, live: LiveServer, folder: Path, pattern: Path):
        self.live, self.folder, self.base_uri = live, folder, f"file://{folder}"
        self._pattern = pattern
        self.told: dict[str, bool] = {}
        self._untold: dict[str, bool] = {}

    def write(self, chance: random.Random) -> None:
        """Have a dataset come or go, and tell of it."""
        here = [uri for uri, is_there in self.told.items() if is_there]
        if here and chance.random() < 0.4:
            uri = chance.choice(here)
            shutil.rmtree(self.folder / uri.rpartition("/")[2])
            self._tell(uri, False)
        else:
            identifier = str(uuid.UUID(int=chance.getrandbits(128), version=4))
            shutil.copytree(self._pattern, self.folder / identifier)
            described = self.folder / identifier / ".dtool" / "dtool"
            described.write_text(json.dumps({**json.loads(described.read_text()), "uuid": identifier}))
            self._tell(f"{self.base_uri}/{identifier}", True)

    def _tell(self, uri: str, is_there: bool) -> None:
        self._untold[uri] = is_there
        name = "ObjectCreated:Put" if is_there else "ObjectRemoved:Delete"
        place = {"bucket": {"name": BUCKET}, "object": {"key": f"{uri.rpartition('/')[2]}/dtool"}}
        message = {"Records": [{"eventName": name, "s3": place}]}
        requests.post(f"{self.live.address}/webhook/notify", json=message, timeout=60).raise_for_status()
        self.told[uri] = self._untold.pop(uri)

    def check(self) -> None:
        """Send again what was not acknowledged, and pass when what is there is registered, and nothing else."""
        for uri, is_there in list(self._untold.items()):
            self._tell(uri, is_there)
        there = {uri for uri, is_there in self.told.items() if is_there}

        def is_done() -> bool:
            return {uri for uri in listed(self.live) if uri.startswith(self.base_uri)} == there

        wait_until(is_done)


class Writers:
    """Threads that write until the server is killed under them."""

    def __init__(self, live: LiveServer, *writers: Uploads | Bucket):
        self.live, self.writers = live, writers

    def write_and_kill(self, seconds: float, seed: int) -> None:
        """Write for some time, and kill the server."""
        stop = threading.Event()
        failed: list[BaseException] = []

        def run(writer: Uploads | Bucket, chance: random.Random) -> None:
            while True:
                try:
                    writer.write(chance)
                except requests.RequestException as error:
                    if not stop.is_set():
                        failed.append(error)
                    return
                except BaseException as error:
                    failed.append(error)
                    return

        threads = [
            threading.Thread(target=run, args=[writer, random.Random(f"{seed} {number}")])
            for number, writer in enumerate(self.writers)
        ]
        for thread in threads:
            thread.start()
        stop.wait(seconds)
        stop.set()
        self.live.kill()
        for thread in threads:
            thread.join()
        assert not failed, failed
