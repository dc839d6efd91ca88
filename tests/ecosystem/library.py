"""A live server with users, base URIs and datasets whose every value the tests know, for clients to be tried on."""

from __future__ import annotations

import itertools
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dservercore import sql_db
from dservercore.catalog import base_uris, users
from support.live_server import LiveServer
from support.world import ADMIN, BLUE, CHAMPION, NOBODY, READER, RED, dataset_info

GREEN = "s3://green"
COPIED = 3  # the number of the dataset that is in RED, GREEN and BLUE
SINGING = 7  # the number of the dataset in RED whose README tells of a nightingale

Info = dict[str, Any]

LISTED = ("base_uri", "uri", "uuid", "name", "creator_username", "created_at", "frozen_at")
LISTED_SIZES = ("number_of_items", "size_in_bytes")


def bean_harvest(number: int, base_uri: str = RED) -> Info:
    """Return the document of a dataset; the same number gives the same UUID everywhere."""
    bird = "\nheard: a nightingale" if number == SINGING or base_uri == BLUE else ""
    info = dataset_info(
        base_uri,
        uuid=uuid.uuid5(uuid.NAMESPACE_URL, f"https://example.org/beans/{number}"),
        name=f"bean-harvest-{number:02}",
        readme=f"description: Beans from bed {number}{bird}\n",
        creator_username=("olga", "ivan")[number % 2],
        frozen_at=1_600_000_000.250125 + number,
        created_at=1_500_000_000.5 + number,
        annotations={"soil": "loam", "bed": number},
        tags=["beans", ("even", "odd")[number % 2]],
        size_in_bytes=1000 + number,
    )
    (item,) = info["manifest"]["items"].values()
    item["size_in_bytes"] = 1000 + number
    return info


class Library:
    """A live server, the documents that were registered with it, and who may do what.

    :ivar visible: the documents that CHAMPION may see, in the order of their URIs
    :ivar hidden: those that only READER may see
    """

    def __init__(self, server: LiveServer):
        self.server = server
        red = [bean_harvest(number) for number in range(12)]
        self.visible = sorted([*red, bean_harvest(COPIED, GREEN)], key=lambda info: info["uri"])
        self.hidden = [bean_harvest(COPIED, BLUE)]
        self._numbers = itertools.count()
        with server.app.app_context():
            users.add_user(ADMIN, is_admin=True)
            for name in (CHAMPION, READER, NOBODY):
                users.add_user(name)
            base_uris.create_base_uri(RED, [CHAMPION, READER], [CHAMPION])
            base_uris.create_base_uri(GREEN, [CHAMPION], [CHAMPION])
            base_uris.create_base_uri(BLUE, [READER], [READER])
            sql_db.session.commit()

    def fill(self) -> None:
        """Register the datasets with the server, which must run."""
        self.filled_from = time.time()
        for username, infos in ((CHAMPION, self.visible), (READER, self.hidden)):
            for info in infos:
                self.put(info, username)

    def put(self, info: Info, username: str = CHAMPION) -> None:
        """Register a dataset."""
        answer = self.server.request("PUT", dataset_path(info["uri"]), username, json=info)
        assert answer.status_code in (200, 201), answer.text

    def get(self, path: str, username: str = CHAMPION, **parameters: Any) -> Any:
        """Return what the server answers, asked with another client than the one on trial."""
        return self.server.request("GET", path, username, params=parameters).json()

    def status(self, path: str, username: str = CHAMPION) -> int:
        """Return the status that the server answers with."""
        return self.server.request("GET", path, username).status_code

    def red(self, number: int) -> Info:
        """Return a document by its number."""
        return next(info for info in self.visible if info["uri"] == bean_harvest(number)["uri"])

    def check_listed(self, found: list[Info], expected: list[Info], uploaded_by: str = CHAMPION) -> None:
        """Assert that a list of datasets is the expected one, in order, with every value of each entry."""
        assert [entry["uri"] for entry in found] == [info["uri"] for info in expected]
        for entry, info in zip(found, expected, strict=True):
            self.check_entry(entry, info, uploaded_by)

    def check_entry(self, entry: Info, info: Info, uploaded_by: str = CHAMPION) -> None:
        """Assert that what a list says about a dataset is what was registered, and nothing else."""
        expected = {key: info[key] for key in (*LISTED, *LISTED_SIZES)}
        uploaded_at = entry["uploaded_at"]
        assert entry == {**expected, "uploaded_by": uploaded_by, "uploaded_at": uploaded_at}
        assert self.filled_from - 0.001 <= uploaded_at <= time.time()  # a store may keep milliseconds alone

    @contextmanager
    def shelf(self, scheme: str = "s3") -> Iterator[str]:
        """A base URI of the caller's own, where CHAMPION may search and register; gone afterwards."""
        number = next(self._numbers)
        base_uri = f"file://host/srv/shelf-{number}" if scheme == "file" else f"{scheme}://shelf-{number}"
        path = f"/base-uris/{quote(base_uri, safe='')}"
        permissions = {
            "users_with_search_permissions": [CHAMPION],
            "users_with_register_permissions": [CHAMPION],
        }
        assert self.server.request("PUT", path, ADMIN, json=permissions).status_code == 201
        try:
            yield base_uri
        finally:
            self.server.request("DELETE", f"{path}?with_datasets=true", ADMIN)
            assert self.status(path, ADMIN) == 404


def dataset_path(uri: str, resource: str = "uris") -> str:
    """Return the path of one of a dataset's resources."""
    return f"/{resource}/{quote(uri, safe='')}"


def summary_of(infos: list[Info]) -> dict[str, Any]:
    """Return the summary of datasets that CHAMPION registered."""
    summary: dict[str, Any] = {
        "number_of_datasets": len(infos),
        "total_size_in_bytes": sum(info["size_in_bytes"] for info in infos),
    }
    groups = {
        ("creator", "creator_usernames"): lambda info: [info["creator_username"]],
        ("base_uri", "base_uris"): lambda info: [info["base_uri"]],
        ("tag", "tags"): lambda info: info["tags"],
        ("uploader", "uploaders"): lambda info: [CHAMPION],
    }
    for (singular, plural), values in groups.items():
        numbers: Counter[str] = Counter()
        sizes: Counter[str] = Counter()
        for info in infos:
            for value in values(info):
                numbers[value] += 1
                sizes[value] += info["size_in_bytes"]
        summary[plural] = sorted(numbers)
        summary[f"datasets_per_{singular}"] = dict(numbers)
        summary[f"size_in_bytes_per_{singular}"] = dict(sizes)
    return summary


@contextmanager
def open_library(folder: Path, settings: Mapping[str, str] = {}, **options: Any) -> Iterator[Library]:
    """A library on a server with those settings; the options are LiveServer's."""
    server = LiveServer(folder, settings=settings, **options)
    library = Library(server)
    server.start()
    try:
        library.fill()
        yield library
    finally:
        server.stop()
