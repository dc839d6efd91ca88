"""Edits reach the dataset that they are meant for, and no file of any other place."""

from __future__ import annotations

import json
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dtoolcore
import pytest

from dservercore import sql_db, utils
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris, users
from dservercore.catalog.storage import access, indexing
from dservercore.dataset.document import generate_dataset_info
from dservercore.errors import ValidationError
from support.live_server import LiveServer
from support.stores import disagreements
from support.world import CHAMPION, dataset_info
from support.worlds import World, world

pytestmark = pytest.mark.attack

EDITS: list[tuple[str, str, Any]] = [
    ("PUT", "/readmes/{}", {"readme": "mine"}),
    ("PUT", "/tags/{}", {"tags": ["mine"]}),
    ("POST", "/tags/{}/more", None),
    ("DELETE", "/tags/{}/kept", None),
    ("PUT", "/annotations/{}", {"annotations": {"mine": 1}}),
    ("PUT", "/annotations/{}/soil", {"value": "mine"}),
    ("DELETE", "/annotations/{}/soil", None),
]


@pytest.fixture
def here(tmp_path: Path, key_pair: tuple[Path, Path]) -> Iterator[World]:
    (tmp_path / "world").mkdir()
    with world(tmp_path / "world", key_pair) as here:
        yield here


@pytest.fixture
def base(tmp_path: Path) -> Path:
    base = tmp_path / "base"
    base.mkdir()
    return base


def freeze(base: Path, name: str, **admin_metadata: str) -> Path:
    """Make a dataset with a README, a tag and an annotation; return its directory."""
    item = base.parent / "item.txt"
    item.write_text("one bean")
    with dtoolcore.DataSetCreator(name, str(base), readme_content="crop: beans\n") as creator:
        creator.put_item(str(item), "item.txt")
        creator.put_tag("kept")
        creator.put_annotation("soil", "loam")
    admin_file = base / name / ".dtool" / "dtool"
    admin_file.write_text(json.dumps({**json.loads(admin_file.read_text()), **admin_metadata}))
    return base / name


def files_below(directory: Path) -> dict[str, bytes]:
    """Return what every file below a directory holds; that of a link is where it points."""
    return {
        str(path): str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
        for path in directory.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def register(here: World, base_uri: str, info: dict[str, Any]) -> str:
    """Let CHAMPION register a dataset in a base URI of an administrator's making; return its URI."""
    with here.app.app_context():
        base_uris.put_base_uri(base_uri, [CHAMPION], [CHAMPION])
        sql_db.session.commit()
    answer = here.send("PUT", f"/uris/{quote(info['uri'], safe='')}", json=info)
    assert answer.status_code == 201, answer.text
    return info["uri"]


def info_of(directory: Path, base_uri: str, **changes: Any) -> dict[str, Any]:
    dataset = dtoolcore.DataSet.from_uri(str(directory))
    uri = f"{base_uri}/{directory.name}"
    return {**generate_dataset_info(dataset, base_uri), "uri": uri, **changes}


def edit_everything(here: World, uri: str, updated: str) -> None:
    """Edit every field; the server's stores take it, and storage was, or was not, *updated*."""
    for method, path, body in EDITS:
        answer = here.send(method, path.format(quote(uri, safe="")), json=body)
        assert (answer.status_code, answer.headers["X-Storage-Updated"]) == (200, updated), path
    assert here.send("GET", f"/readmes/{quote(uri, safe='')}").json == {"readme": "mine"}
    assert here.send("GET", f"/tags/{quote(uri, safe='')}").json == {"tags": ["mine", "more"]}
    assert disagreements(here.database) == []


class TestOtherPlaces:
    @pytest.mark.parametrize(
        "base_uri",
        [
            "file://otherhost{}",
            "file://otherhost:80{}",
            "file://root@{host}{}",
            "file://localhost.evil.example{}",
            "FILE://otherhost{}",
            "symlink://{}",
            "symlink://localhost{}",
            "https://localhost{}",
            "unknown://{}",
            "s3://bucket",
        ],
    )
    def test_a_base_uri_that_is_elsewhere(self, here: World, base: Path, base_uri: str) -> None:
        directory = freeze(base, "beans")
        base_uri = base_uri.replace("{host}", socket.gethostname()).format(base).replace("FILE", "file")
        uri = register(here, base_uri, info_of(directory, base_uri))
        before = files_below(base)
        edit_everything(here, uri, "false")
        assert files_below(base) == before

    @pytest.mark.parametrize(
        "base_uri", ["file:///etc", "file:///dev", "file:///proc/self", "file://localhost/etc"]
    )
    def test_a_directory_that_holds_no_datasets(self, here: World, base_uri: str) -> None:
        before = set(Path("/etc").iterdir())
        for name in ("passwd", "null", "cwd", "no-such-thing"):
            uri = register(here, base_uri, dataset_info(base_uri, uri=f"{base_uri}/{name}", tags=["kept"]))
            edit_everything(here, uri, "false")
        assert set(Path("/etc").iterdir()) == before

    def test_another_dataset_under_the_same_name(self, here: World, base: Path) -> None:
        directory = freeze(base, "beans")
        base_uri = f"file://{base}"
        uri = register(here, base_uri, dataset_info(base_uri, uri=f"{base_uri}/{directory.name}"))
        before = files_below(base)
        edit_everything(here, uri, "false")
        assert files_below(base) == before

    @pytest.mark.parametrize(
        "uri",
        [
            "file://{granted}/../secret/beans",
            "file://{granted}/..",
            "file://{granted}/.",
            "file://{granted}/%2e%2e/secret/beans",
            "file://{granted}//../secret/beans",
            "file://{secret}/beans",
            "file://{secret}/beans?{granted}/x",
            "file://{secret}/beans#{granted}/x",
            "file://{granted}/beans?x",
            "file://{granted}/beans#x",
            "file:{granted}/beans",
            "{granted}/beans",
        ],
    )
    def test_a_uri_that_leaves_its_base_uri(self, here: World, base: Path, uri: str) -> None:
        granted, secret = base / "granted", base / "secret"
        granted.mkdir()
        secret.mkdir()
        dataset = freeze(secret, "beans")
        freeze(granted, "beans")
        base_uri = f"file://{granted}"
        register(here, base_uri, dataset_info(base_uri))
        before, rows = files_below(base), here.contents()
        uri = uri.format(granted=granted, secret=secret)
        for place in (base_uri, uri.rsplit("/", 1)[0]):
            info = info_of(dataset, place, uri=uri)
            for path in (quote(uri, safe=""), uri):
                assert 400 <= here.send("PUT", f"/uris/{path}", json=info).status_code < 500
        for method, path, body in EDITS:
            assert 400 <= here.send(method, path.format(quote(uri, safe="")), json=body).status_code < 500
        assert files_below(base) == before
        assert here.contents() == rows

    def test_percent_signs_in_a_name_are_percent_signs(self, here: World, base: Path) -> None:
        granted, secret = base / "granted", base / "secret"
        granted.mkdir()
        secret.mkdir()
        dataset = freeze(secret, "beans")
        base_uri = f"file://{granted}"
        uri = register(here, base_uri, info_of(dataset, base_uri, uri=f"{base_uri}/..%2Fsecret%2Fbeans"))
        before = files_below(base)
        edit_everything(here, uri, "false")
        assert files_below(base) == before


class TestLinks:
    """Who may write to the storage, but not to the server's own files, could plant these."""

    @pytest.mark.parametrize(
        "planted", ["README.yml", ".dtool/tags/kept", ".dtool/annotations/soil.json", ".dtool/tags", ".dtool"]
    )
    def test_metadata_that_points_out_of_the_dataset(self, here: World, base: Path, planted: str) -> None:
        directory = freeze(base, "beans")
        link, elsewhere = directory / planted, base.parent / "elsewhere"
        link.rename(elsewhere)
        link.symlink_to(elsewhere)
        base_uri = f"file://{base}"
        uri = register(here, base_uri, info_of(directory, base_uri))
        before = files_below(base.parent / "elsewhere"), files_below(base)
        edit_everything(here, uri, "false")
        assert (files_below(base.parent / "elsewhere"), files_below(base)) == before

    @pytest.mark.parametrize("planted", ["README.yml", ".dtool/dtool", ".dtool/tags/kept"])
    def test_a_pipe_keeps_nobody_waiting(self, here: World, base: Path, planted: str) -> None:
        directory = freeze(base, "beans")
        base_uri = f"file://{base}"
        uri = register(here, base_uri, info_of(directory, base_uri))
        (directory / planted).unlink()
        os.mkfifo(directory / planted)
        started = time.monotonic()
        edit_everything(here, uri, "false")
        assert time.monotonic() - started < 20

    def test_a_base_directory_that_is_a_link(self, here: World, base: Path, tmp_path: Path) -> None:
        """That is the administrator's own doing."""
        directory = freeze(base, "beans")
        (tmp_path / "linked").symlink_to(base)
        base_uri = f"file://{tmp_path}/linked"
        uri = register(here, base_uri, info_of(directory, base_uri))
        edit_everything(here, uri, "true")
        assert sorted(dtoolcore.DataSet.from_uri(str(directory)).list_tags()) == ["mine", "more"]


class TestALinkToAnotherBaseURI:
    """Whoever has register permission on one may not read or write in another by a link."""

    def test_neither_reads_nor_edits_there(self, here: World, base: Path) -> None:
        granted, other = base / "granted", base / "other"
        granted.mkdir()
        other.mkdir()
        dataset = freeze(other, "secretds")
        (granted / "linked").symlink_to("../other/secretds")
        base_uri = f"file://{granted}"
        uri = register(here, base_uri, info_of(dataset, base_uri, uri=f"{base_uri}/linked", readme="guessed"))
        before = files_below(base)
        edit_everything(here, uri, "false")
        assert files_below(base) == before
        with here.app.app_context():
            done = indexing.register_from_storage(operator_scope("register"), uri)
        assert (done.outcome, done.reason) == (
            "failed",
            f"{granted}/linked is a link, and links are not followed here",
        )


class TestNamesOfDots:
    """They would be directories as tags, and as annotations files that no longer end in .json."""

    @pytest.mark.parametrize("name", [".", "..", "...", "." * 80])
    def test_are_refused_everywhere(self, here: World, base: Path, name: str) -> None:
        directory = freeze(base, "beans")
        base_uri = f"file://{base}"
        uri = register(here, base_uri, info_of(directory, base_uri))
        path, before = quote(uri, safe=""), files_below(base)
        for method, route, body in (
            ("PUT", f"/tags/{path}", {"tags": ["kept", name]}),
            ("POST", f"/tags/{path}/{name}", None),
            ("PUT", f"/annotations/{path}/{name}", {"value": 1}),
            ("PUT", f"/annotations/{path}", {"annotations": {name: 1}}),
            ("PUT", f"/uris/{path}", info_of(directory, base_uri, tags=[name])),
            ("PUT", f"/uris/{path}", info_of(directory, base_uri, annotations={name: 1})),
        ):
            answer = here.send(method, route, json=body)
            assert (answer.status_code, name in answer.json["message"]) == (422, True), (method, route)
        with here.app.app_context():
            with pytest.raises(ValidationError, match="dots alone"):
                utils.set_tags_for_uri_by_user(CHAMPION, uri, [name])
            with pytest.raises(ValidationError, match="dots alone"):
                utils.set_annotation_for_uri_by_user(CHAMPION, uri, name, 1)
            with pytest.raises(ValidationError, match="dots alone"):
                utils.set_annotations_for_uri_by_user(CHAMPION, uri, {name: 1})
        assert files_below(base) == before

    def test_that_are_registered_already_are_not_written(self, here: World, base: Path) -> None:
        """By an older version; whoever removes them can."""
        directory = freeze(base, "beans")
        base_uri = f"file://{base}"
        uri = register(here, base_uri, info_of(directory, base_uri))
        before = files_below(base)
        with here.app.app_context():
            with pytest.raises(ValidationError):
                access._change(access.open_base(base_uri).open_editable(uri), "annotations", {"..": 1})
            with pytest.raises(ValidationError):
                access._change(access.open_base(base_uri).open_editable(uri), "tags", ["kept", ".."])
        assert files_below(base) == before

    @pytest.mark.parametrize("name", ["a.", "a..", "-", "_"])
    def test_other_names_with_dots_come_back(self, here: World, base: Path, name: str) -> None:
        directory = freeze(base, "beans")
        base_uri = f"file://{base}"
        uri = register(here, base_uri, info_of(directory, base_uri))
        path = quote(uri, safe="")
        assert here.send("POST", f"/tags/{path}/{name}").headers["X-Storage-Updated"] == "true"
        answer = here.send("PUT", f"/annotations/{path}/{name}", json={"value": 1})
        assert answer.headers["X-Storage-Updated"] == "true"
        with here.app.app_context():
            document = access.open_base(base_uri).open_readable(uri).document(base_uri)
        assert (sorted(document["tags"]), document["annotations"]) == (
            sorted(["kept", name]),
            {"soil": "loam", name: 1},
        )

    @pytest.mark.parametrize("name", [".a", "..a", ".-.", "._a"])
    def test_that_hidden_files_have_are_kept_by_the_server_alone(
        self, here: World, base: Path, name: str
    ) -> None:
        """As files they would be left out when the dataset is read, as what systems leave in directories is."""
        directory = freeze(base, "beans")
        base_uri = f"file://{base}"
        uri = register(here, base_uri, info_of(directory, base_uri))
        path, before = quote(uri, safe=""), files_below(base)
        for method, route, body in (
            ("POST", f"/tags/{path}/{name}", None),
            ("PUT", f"/annotations/{path}/{name}", {"value": 1}),
        ):
            answer = here.send(method, route, json=body)
            assert (answer.status_code, answer.headers["X-Storage-Updated"]) in (
                (200, "false"),
                (201, "false"),
            )
        assert name in here.send("GET", f"/tags/{path}").json["tags"]
        assert here.send("GET", f"/annotations/{path}").json["annotations"][name] == 1
        assert files_below(base) == before


class TestWhatOneUserDidWhileAnotherWrote:
    """Between the commit and the write to storage, somebody else may have committed and written."""

    @pytest.mark.parametrize(
        ("field", "newest", "read"),
        [
            ("readme", "newest", lambda dataset: dataset.get_readme_content()),
            ("tags", ["newest"], lambda dataset: dataset.list_tags()),
            ("annotations", {"a": True}, lambda dataset: {"a": dataset.get_annotation("a")}),
        ],
    )
    def test_an_older_value_does_not_stay(
        self, here: World, base: Path, field: access.Field, newest: Any, read: Callable[[Any], Any]
    ) -> None:
        directory = freeze(base, "beans")
        base_uri = f"file://{base}"
        uri = register(here, base_uri, info_of(directory, base_uri, **{field: newest}))
        older = {"readme": "older", "tags": ["older"], "annotations": {"a": 1}}[field]
        with here.app.app_context():
            assert access.update_dataset(uri, field, older) is True
        assert read(dtoolcore.DataSet.from_uri(str(directory))) == newest

    def test_twelve_clients_at_once(self, tmp_path: Path, base: Path) -> None:
        (tmp_path / "live").mkdir()
        live = LiveServer(tmp_path / "live")
        directory = freeze(base, "beans")
        base_uri = f"file://{base}"
        with live.app.app_context():
            users.add_user(CHAMPION)
            base_uris.put_base_uri(base_uri, [CHAMPION], [CHAMPION])
            sql_db.session.commit()
        try:
            live.start()
            info = info_of(directory, base_uri, tags=[])
            path = quote(info["uri"], safe="")
            assert live.request("PUT", f"/uris/{path}", CHAMPION, json=info).status_code == 201

            def add(number: int) -> tuple[int, str]:
                answer = live.request("POST", f"/tags/{path}/tag{number}", CHAMPION)
                return answer.status_code, answer.headers["X-Storage-Updated"]

            with ThreadPoolExecutor(12) as pool:
                assert Counter(pool.map(add, range(48))) == {(200, "true"): 48}
            wanted = sorted(live.request("GET", f"/tags/{path}", CHAMPION).json()["tags"])
        finally:
            live.stop()
        assert wanted == sorted(f"tag{number}" for number in range(48))
        assert sorted(dtoolcore.DataSet.from_uri(str(directory)).list_tags()) == wanted


class TestNeighbours:
    """A permission on one place is none on another whose name begins alike, or that a path leads to from it."""

    @pytest.mark.parametrize(
        "uri",
        [
            "file://{granted}b/beans",
            "file://{granted}/../grantedb/beans",
            "file://{granted}b",
            "file://{granted}%62/beans",
            "file://{granted}/%2e%2e/grantedb/beans",
            "file://{granted}\\b/beans",
            "file://{granted} b/beans",
            "file://localhost{granted}b/beans",
            "file:/{granted}b/beans",
            "file:{granted}b/beans",
            "FILE://{granted}b/beans",
            "symlink://{granted}b/beans",
            "file://{granted}/x/../../grantedb/beans",
            "file://{granted}/./../grantedb/beans",
            "file://{granted}//beans",
            "file://{granted};b/beans",
        ],
    )
    def test_is_not_written_to(self, here: World, base: Path, uri: str) -> None:
        granted, neighbour = base / "granted", base / "grantedb"
        granted.mkdir()
        neighbour.mkdir()
        dataset = freeze(neighbour, "beans")
        freeze(granted, "beans")
        base_uri = f"file://{granted}"
        register(here, base_uri, info_of(granted / "beans", base_uri))
        before, rows = files_below(base), here.contents()
        uri = uri.format(granted=granted)
        for path in (quote(uri, safe=""), quote(uri, safe="/:"), quote(uri, safe="%/:\\;")):
            for place in (base_uri, uri.rpartition("/")[0]):
                answer = here.send("PUT", f"/uris/{path}", json=info_of(dataset, place, uri=uri))
                assert 400 <= answer.status_code < 500
            for method, edit, body in EDITS:
                answer = here.send(method, edit.format(path), json=body)
                assert 400 <= answer.status_code < 500, (method, edit, path)
            assert 400 <= here.send("DELETE", f"/uris/{path}").status_code < 500
        assert files_below(base) == before
        assert here.contents() == rows

    @pytest.mark.parametrize(
        "base_uri",
        [
            "s3://red-evil",
            "s3://red.evil.example",
            "s3://red@evil",
            "s3://evil@red",
            "s3://red:80",
            "s3://re",
            "s3://RED",
            "s3://red/sub",
            "s3://red%2Fsub",
            "s3://red\\",
            "s3://red ",
            "S4://red",
            "s3:/red/",
            "s3://red//",
            "//red",
            "red",
        ],
    )
    def test_is_not_searched_or_registered_in(self, here: World, base_uri: str) -> None:
        with here.app.app_context():
            base_uris.put_base_uri("s3://red", [CHAMPION], [CHAMPION])
            sql_db.session.commit()
        info = dataset_info(base_uri, uri=f"{base_uri}/x")
        rows = here.contents()
        for path in (quote(info["uri"], safe=""), quote(info["uri"], safe="/:@")):
            for method in ("PUT", "DELETE", "GET"):
                answer = here.send(method, f"/uris/{path}", json=info if method == "PUT" else None)
                assert 400 <= answer.status_code < 500
        assert here.send("POST", "/uris", json={"base_uris": [base_uri]}).json == []
        assert here.contents() == rows


class TestOtherHosts:
    """Nobody makes the server call a number that is in a URI."""

    @pytest.fixture
    def listener(self) -> Iterator[socket.socket]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(0.5)
            yield listener
            with pytest.raises(TimeoutError):
                listener.accept()

    @pytest.mark.parametrize(
        "base_uri",
        [
            "http://{}",
            "https://{}/a",
            "ftp://{}",
            "s3://{}",
            "azure://{}",
            "file://{}/a",
            "irods://root:x@{}",
            "gopher://{}",
            "ssh://{}",
            "smb://{}/share",
            "symlink://{}/a",
            "http+unix://{}",
            "data://{}",
        ],
    )
    def test_registering_and_editing_call_nobody(
        self, here: World, listener: socket.socket, base_uri: str
    ) -> None:
        """An administrator may register what no storage broker is installed for: it is recorded, and no more."""
        base_uri = base_uri.format(f"127.0.0.1:{listener.getsockname()[1]}")
        uri = register(here, base_uri, dataset_info(base_uri, tags=["kept"], readme=f"{base_uri}/readme"))
        edit_everything(here, uri, "false")
        for path in ("/uris/{}", "/readmes/{}", "/manifests/{}", "/tags/{}", "/annotations/{}"):
            assert here.send("GET", path.format(quote(uri, safe=""))).status_code == 200
        assert here.send("DELETE", f"/uris/{quote(uri, safe='')}").status_code == 200

    def test_nor_does_anything_else_that_a_user_can_say(self, here: World, listener: socket.socket) -> None:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        info = dataset_info(url.rpartition("/")[0], uri=url)
        headers = dict.fromkeys(
            ("X-Forwarded-Host", "X-Original-URL", "X-Rewrite-URL", "Referer", "Origin", "Forwarded"), url
        )
        for path in (quote(url, safe=""), url, url.replace("://", "/"), url.replace("://", ":/")):
            assert here.send("PUT", f"/uris/{path}", json=info, headers=headers).status_code == 403
            for resource in ("uris", "readmes", "manifests", "tags", "annotations"):
                assert here.send("GET", f"/{resource}/{path}", headers=headers).status_code == 403
            for method, edit, body in EDITS:
                assert here.send(method, edit.format(path), json=body, headers=headers).status_code == 403
        for query in ({"base_uris": [url]}, {"free_text": url}, {"tags": [url]}):
            assert here.send("POST", "/uris", json=query, headers=headers).json == []
