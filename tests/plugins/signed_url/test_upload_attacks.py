"""What is done with URLs for uploads, and with what is announced, that they are not for: nothing comes of it."""

from __future__ import annotations

import json
import os
import resource
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import dtoolcore
import pytest
from dtoolcore.utils import generate_identifier
from werkzeug.test import TestResponse

from dservercore.catalog import audit, base_uris, users
from dservercore.db import sql_db
from dservercore.plugins.signed_url import signatures
from dservercore.plugins.signed_url.signatures import Claims, Holder
from support.world import BLUE, CHAMPION, NOBODY, READER
from support.worlds import World, world

from .uploader import announcement, item

pytestmark = pytest.mark.attack

CONTENT = b"peas and beans"


class Target:
    """A world with two directories to upload to: CHAMPION may register in both, and READER in the second one."""

    def __init__(self, here: World, folder: Path, other: Path):
        self.here, self.folder, self.other = here, folder, other
        self.base_uri, self.other_uri = f"file://{folder}", f"file://{other}"

    def grant(self, *champions: str) -> None:
        with self.here.app.app_context():
            base_uris.put_base_uri(self.base_uri, [CHAMPION, READER], list(champions))
            base_uris.put_base_uri(self.other_uri, [CHAMPION, READER], [CHAMPION, READER])
            sql_db.session.commit()

    def begin(self, body: Any, base_uri: str = "", username: str = CHAMPION) -> TestResponse:
        path = f"/signed-urls/upload/{quote(base_uri or self.base_uri, safe='')}"
        return self.here.send("POST", path, username, json=body)

    def begun(self, body: Any = None, **options: Any) -> dict[str, Any]:
        answer = self.begin(body or announcement(item("a.txt", CONTENT)), **options)
        assert answer.status_code == 200, answer.text
        begun: dict[str, Any] = answer.get_json()
        return begun

    def put(self, url: str, content: bytes = CONTENT, **options: Any) -> TestResponse:
        return self.here.client.put(url.removeprefix("http://localhost"), data=content, **options)

    def upload(self, begun: dict[str, Any], content: bytes = CONTENT) -> None:
        assert self.put(begun["upload_urls"]["readme"], b"a: b\n").status_code == 200
        for one in begun["upload_urls"]["items"].values():
            answer = self.put(one["url"], content)
            assert answer.status_code == 200, answer.text

    def complete(self, uri: str, username: str = CHAMPION) -> TestResponse:
        return self.here.send("POST", "/signed-urls/upload-complete", username, json={"uri": uri})

    def is_registered(self, uri: str) -> bool:
        return self.here.send("GET", f"/uris/{quote(uri, safe='')}").status_code == 200

    def dataset(self, begun: dict[str, Any]) -> Path:
        return self.folder / begun["uuid"]

    def signed(self, claims: Claims) -> str:
        with self.here.app.app_context():
            signature = signatures.sign(claims)
        return f"/signed-urls/uploads/{quote(claims.uri, safe='')}?signature={signature}"


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory, key_pair: tuple[Path, Path]) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("attacked")
    for name in ("base", "other"):
        (folder / name).mkdir()
    with world(folder, key_pair) as here:
        target = Target(here, folder / "base", folder / "other")
        target.grant(CHAMPION)
        yield target


@pytest.fixture(autouse=True)
def _granted(target: Target) -> Iterator[None]:
    yield
    target.grant(CHAMPION)


def only_item(begun: dict[str, Any]) -> str:
    (one,) = begun["upload_urls"]["items"].values()
    return str(one["url"])


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


# -- Signatures ------------------------------------------------------------------------------------------------------


def test_a_signature_is_good_for_nothing_else(target: Target) -> None:
    begun, other = target.begun(), target.begun()
    url, readme = only_item(begun), begun["upload_urls"]["readme"]
    path, _, signature = url.removeprefix("http://localhost").partition("?signature=")
    before = files_below(target.folder)
    # Another dataset, another route, another method, no signature, half of one, and one with a changed character.
    elsewhere = only_item(other).removeprefix("http://localhost").partition("?")[0]
    assert target.put(f"{elsewhere}?signature={signature}").status_code == 403
    assert target.here.client.get(f"{path}?signature={signature}").status_code == 405
    reading = path.replace("/uploads/", "/files/")
    assert target.here.client.get(f"{reading}?signature={signature}").status_code == 403
    for broken in ("", "x", signature[:-1], signature[:40], f"{signature}x", f"a{signature}", "é.é", "a.b"):
        assert target.put(f"{path}?signature={quote(broken)}").status_code in (403, 422)
    signature = unquote(signature)
    for place in range(0, len(signature), 7):
        letter = "A" if signature[place] != "A" else "B"
        changed = f"{signature[:place]}{letter}{signature[place + 1 :]}"
        assert target.put(f"{path}?signature={quote(changed)}").status_code == 403
    assert target.put(f"{path}?signature={signature}&name=README.yml").status_code == 422
    assert files_below(target.folder) == before
    assert target.put(readme, b"a: b\n").status_code == 200


def test_what_is_sent_must_be_what_was_announced(target: Target) -> None:
    begun = target.begun()
    before = files_below(target.folder)
    for content in (b"", CONTENT[:-1], CONTENT + b"x", CONTENT.upper(), b"x" * 100_000):
        answer = target.put(only_item(begun), content)
        assert answer.status_code == 400, content
        assert "announced" in answer.get_json()["message"] or "Content-Length" in answer.get_json()["message"]
    chunked = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""}
    assert target.put(only_item(begun), CONTENT * 2, environ_overrides=chunked).status_code == 400
    assert files_below(target.folder) == before
    largest = 4 * target.here.app.config["DSERVER_MAX_README_LENGTH"]
    assert target.put(begun["upload_urls"]["readme"], b"x" * (largest + 1)).status_code == 400
    assert files_below(target.folder) == before


def test_what_was_sent_is_not_replaced(target: Target) -> None:
    begun = target.begun()
    target.upload(begun)
    assert target.put(only_item(begun), CONTENT[::-1]).status_code == 400
    assert target.put(only_item(begun)).status_code == 200  # the same again
    assert target.complete(begun["uri"]).status_code == 200
    data = target.dataset(begun) / "data" / "a.txt"
    for url in (only_item(begun), begun["upload_urls"]["readme"]):
        assert target.put(url, CONTENT).status_code == 404
    assert data.read_bytes() == CONTENT
    assert (target.dataset(begun) / "README.yml").read_bytes() == b"a: b\n"


def test_a_signature_ends_with_its_time(target: Target) -> None:
    begun = target.begun()
    digest = {"digest": _digest_of(begun)}
    extra = {"size": len(CONTENT), "hash": item("a", CONTENT)["hash"], **digest}
    name = generate_identifier("a.txt")
    now = int(time.time())

    def claims(**changes: Any) -> Claims:
        values: dict[str, Any] = {
            "method": "PUT",
            "purpose": "upload",
            "uri": begun["uri"],
            "name": name,
            "holder": Holder(CHAMPION),
            "issued_at": now,
            "expires_at": now + 100,
            "extra": extra,
            **changes,
        }
        return Claims(**values)

    assert target.put(target.signed(claims(expires_at=now - 1))).status_code == 410
    for changes in (
        {"purpose": "read"},
        {"method": "GET"},
        {"holder": Holder(None)},
        {"holder": Holder(NOBODY)},
        {"holder": Holder(READER)},
        {"holder": Holder("nobody at all")},
    ):
        assert target.put(target.signed(claims(**changes))).status_code == 403, changes
    assert target.put(target.signed(claims(extra={**extra, "digest": "0"}))).status_code == 409
    assert target.put(target.signed(claims())).status_code == 200


def _digest_of(begun: dict[str, Any]) -> str:
    import base64

    text = unquote(only_item(begun)).partition("signature=")[2].partition(".")[0]
    said = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return str(said[-1]["digest"])


def test_a_signature_ends_with_the_grant_and_with_its_user(target: Target) -> None:
    begun = target.begun()
    target.grant()
    assert target.put(only_item(begun)).status_code == 403
    assert target.put(begun["upload_urls"]["readme"]).status_code == 403
    assert target.complete(begun["uri"]).status_code == 403
    target.grant(CHAMPION)
    assert target.put(only_item(begun)).status_code == 200
    with target.here.app.app_context():
        users.put_user("gone", {})
        base_uris.put_base_uri(target.base_uri, [], [CHAMPION, "gone"])
        sql_db.session.commit()
    hers = target.begun(username="gone")
    with target.here.app.app_context():
        users.delete_user("gone")
        sql_db.session.commit()
    assert target.put(only_item(hers)).status_code == 403


def test_a_grant_that_ends_while_a_file_comes_is_the_end_of_it(target: Target) -> None:
    begun = target.begun()

    class Slow:
        """A body in whose middle the grant is taken back."""

        parts = [CONTENT[:3], CONTENT[3:]]

        def read(self, _size: int = -1) -> bytes:
            if len(self.parts) == 1:
                target.grant()
            return self.parts.pop(0) if self.parts else b""

    environ = {"wsgi.input": Slow(), "wsgi.input_terminated": True, "CONTENT_LENGTH": str(len(CONTENT))}
    before = files_below(target.folder)
    assert target.put(only_item(begun), b"", environ_overrides=environ).status_code == 403
    assert files_below(target.folder) == before


# -- Links and other traps in the storage ----------------------------------------------------------------------------


@contextmanager
def replaced_by_link(place: Path, to: Path) -> Iterator[None]:
    aside = place.with_name(f"{place.name}-aside")
    place.rename(aside)
    place.symlink_to(to)
    yield
    place.unlink()
    aside.rename(place)


def test_no_link_is_followed(target: Target, tmp_path: Path) -> None:
    body = announcement(item("folder/a.txt", CONTENT))
    begun = target.begun(body)
    dataset = target.dataset(begun)
    outside = tmp_path / "outside"
    shutil.copytree(dataset, outside)
    before = files_below(outside)
    for place in (dataset, dataset / ".dtool", dataset / ".dtool" / "uploads"):
        with replaced_by_link(place, outside / place.relative_to(dataset)):
            assert target.put(only_item(begun)).status_code == 502, place
            assert target.begin(body).status_code == 502, place
    target.upload(begun)
    (dataset / "data" / "folder").symlink_to(outside)
    assert target.complete(begun["uri"]).status_code in (400, 502)
    (dataset / "data" / "folder").unlink()
    for name in ("tags", "annotations", "overlays"):
        with replaced_by_link(dataset / ".dtool" / name, outside / ".dtool" / name):
            assert target.complete(begun["uri"]).status_code == 502
    assert not target.is_registered(begun["uri"])
    assert files_below(outside) == before
    assert target.complete(begun["uri"]).status_code == 200


def test_pipes_and_hard_links_do_no_harm(target: Target, tmp_path: Path) -> None:
    begun = target.begun()
    uploads = target.dataset(begun) / ".dtool" / "uploads"
    name = f"{generate_identifier('a.txt')}-{item('a', CONTENT)['hash']}"
    os.mkfifo(uploads / f"{name}.part")
    assert target.put(only_item(begun)).status_code == 502
    (uploads / f"{name}.part").unlink()
    secret = tmp_path / "secret"
    secret.write_bytes(b"mine")
    os.link(secret, uploads / f"{name}.part")
    assert target.put(only_item(begun)).status_code in (200, 502)
    assert secret.read_bytes() == b"mine"


def test_a_file_that_is_changed_beside_the_server_is_not_registered(target: Target) -> None:
    begun = target.begun()
    target.upload(begun)
    extra = target.dataset(begun) / "data" / "not-announced"
    extra.write_bytes(b"x")
    answer = target.complete(begun["uri"])
    assert (answer.status_code, "not-announced" in answer.get_json()["message"]) == (400, True)
    extra.unlink()
    assert target.complete(begun["uri"]).status_code == 200


# -- What is announced -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "relpath",
    [
        "/etc/passwd",
        "../up",
        "a/../../b",
        "a//b",
        "a/",
        ".",
        "..",
        "./a",
        "",
        "a\nb",
        "a\x7fb",
        "a\u2028b",
        "x" * 256,
        "ü" * 128,
        "a/" * 101 + "b",
        "x/" * 2500 + "x",
    ],
)
def test_paths_that_lead_elsewhere_are_refused(target: Target, relpath: str) -> None:
    answer = target.begin(announcement(item(relpath, CONTENT)))
    assert answer.status_code == 422
    assert "relpath" in answer.get_json()["message"]


def test_what_else_is_refused(target: Target) -> None:
    good = item("a", CONTENT)
    before = files_below(target.folder)
    for changes, status in (
        ({"name": "bad name!"}, 400),
        ({"name": "."}, 400),
        ({"name": ""}, 400),
        ({"name": "x" * 81}, 400),
        ({"name": 5}, 422),
        ({"hash_function": "sha1"}, 400),
        ({"uuid": "../../x"}, 422),
        ({"uuid": None}, 422),
        ({"frozen_at": "never"}, 422),
        ({"frozen_at": 1e300}, 422),
        ({"creator_username": ""}, 422),
        ({"creator_username": "x" * 256}, 422),
        ({"items": {}}, 422),
        ({"items": [good, good]}, 422),
        ({"items": [item("a", b""), item("a/b", b"")]}, 422),
        ({"items": [{**good, "hash": "x" * 32}]}, 422),
        ({"items": [{**good, "hash": good["hash"].upper()}]}, 422),
        ({"items": [{**good, "size_in_bytes": -1}]}, 422),
        ({"items": [{**good, "size_in_bytes": 2**63}]}, 422),
        ({"items": [{**good, "size_in_bytes": 1.5}]}, 422),
        ({"items": [{**good, "size_in_bytes": True}]}, 422),
        ({"items": [{**good, "extra": 1}]}, 422),
        ({"items": [{"relpath": "a"}]}, 422),
        ({"items": [None, 1, "x"]}, 422),
        ({"items": [{**good, "size_in_bytes": 2**62}]}, 507),
        ({"items": [{**good, "size_in_bytes": 2**62, "relpath": f"{n}"} for n in range(4)]}, 422),
        ({"tags": ["bad tag"]}, 422),
        ({"tags": ["..", "a"]}, 422),
        ({"tags": ["Thumbs.db"]}, 422),
        ({"annotations": {"../x": 1}}, 422),
        ({"annotations": {"a": [[[[]]]] * 200_000}}, 413),
        ({"overlays": {"../x": {}}}, 422),
        ({"overlays": {"x": {"no identifier": 1}}}, 422),
        ({"overlays": {"x": 5}}, 422),
        ({"unknown": 1}, 422),
    ):
        answer = target.begin(announcement(**{"items": [good], **changes}))
        assert answer.status_code in (status, 422 if status == 413 else status), (changes, answer.text)
        assert answer.get_json()["message"]
    assert files_below(target.folder) == before
    for body in ([], None, 5, "x", {"uri": []}, {"uri": ""}, {"uri": "x" * 1025}, {}):
        answer = target.here.send("POST", "/signed-urls/upload-complete", json=body)
        assert answer.status_code == 422, body
    # What names no place where the user may register.
    for uri in ("x", "/", "file://", "..", "s3://", target.base_uri, f"{BLUE}/x", "file:///etc/x"):
        assert target.complete(uri).status_code == 403, uri
    assert target.complete(f"{target.base_uri}/{uuid.uuid4()}").status_code == 400


def test_nobody_else_may_begin_or_complete(target: Target) -> None:
    body = announcement(item("a", CONTENT))
    for base_uri, username in (
        (target.base_uri, READER),
        (target.base_uri, NOBODY),
        (BLUE, CHAMPION),
        ("file:///etc", CHAMPION),
    ):
        assert target.begin(body, base_uri, username).status_code == 403
    begun = target.begun(body)
    assert target.complete(begun["uri"], READER).status_code == 403
    # Nothing is told of what is pending where the asker may not register.
    there = f"{target.other_uri}/{begun['uuid']}"
    assert target.complete(there, READER).status_code == 400
    assert target.complete(there).status_code == 409
    assert target.begin(body, target.other_uri).status_code == 409
    unknown = target.complete(f"{target.other_uri}/{uuid.uuid4()}", READER)
    assert unknown.get_json() == target.complete(there, READER).get_json()


# -- In the life of an upload ----------------------------------------------------------------------------------------


def test_an_upload_is_begun_again_with_other_items(target: Target) -> None:
    identifier = str(uuid.uuid4())
    first = target.begun(announcement(item("a", CONTENT), item("b", CONTENT), uuid=identifier))
    target.upload(first)
    second = target.begun(announcement(item("b", CONTENT), item("c", b"new"), uuid=identifier))
    assert target.put(only_url(first, "a")).status_code == 409
    answer = target.complete(second["uri"])
    assert (answer.status_code, "Not uploaded yet, or not as announced: c" in answer.text) == (400, True)
    assert target.put(only_url(second, "c"), b"new").status_code == 200  # what there is of b is kept
    assert target.complete(second["uri"]).status_code == 200
    assert files_below(target.folder / identifier / "data") == {"b", "c"}
    assert target.begin(announcement(item("a", CONTENT), uuid=identifier)).status_code == 409


def only_url(begun: dict[str, Any], relpath: str) -> str:
    return str(begun["upload_urls"]["items"][generate_identifier(relpath)]["url"])


def test_a_readme_is_wanted(target: Target) -> None:
    begun = target.begun()
    assert target.put(only_item(begun)).status_code == 200
    answer = target.complete(begun["uri"])
    assert (answer.status_code, answer.get_json()["message"]) == (400, "The README is not uploaded yet")


def test_a_readme_that_cannot_be_registered_is_told_before_anything_is_frozen(target: Target) -> None:
    begun = target.begun()
    target.upload(begun)
    limit = target.here.app.config["DSERVER_MAX_README_LENGTH"]
    assert target.put(begun["upload_urls"]["readme"], b"x" * (limit + 1)).status_code == 200
    assert target.complete(begun["uri"]).status_code == 422
    admin = json.loads((target.dataset(begun) / ".dtool" / "dtool").read_text())
    assert admin["type"] == "protodataset"
    assert target.put(begun["upload_urls"]["readme"], b"\xff\xfe").status_code == 200
    assert target.complete(begun["uri"]).status_code == 200


def test_who_completes_an_upload_counts_as_who_registers(target: Target) -> None:
    begun = target.begun(base_uri=target.other_uri, username=CHAMPION)
    target.upload(begun)
    assert target.complete(begun["uri"], READER).status_code == 200
    registered = target.here.send("GET", f"/uris/{quote(begun['uri'], safe='')}", READER).get_json()
    assert registered["uploaded_by"] == READER
    with target.here.app.app_context():
        (record,) = audit.list_records(audit.Filter(subject=begun["uri"]))[0]
    assert (record["actor"], record["action"]) == (READER, "dataset.upload")


def test_another_dataset_that_is_stored_there_is_left_alone(target: Target, tmp_path: Path) -> None:
    identifier = str(uuid.uuid4())
    with dtoolcore.DataSetCreator("mine", str(tmp_path), "a: b\n", "olga"):
        pass
    own = target.folder / identifier
    shutil.copytree(tmp_path / "mine", own)
    admin = own / ".dtool" / "dtool"
    admin.write_text(json.dumps({**json.loads(admin.read_text()), "uuid": identifier}))
    before = {path: path.read_bytes() for path in own.rglob("*") if path.is_file()}
    answer = target.begin(announcement(item("a", CONTENT), uuid=identifier))
    assert (answer.status_code, "stored" in answer.get_json()["message"]) == (409, True)
    assert {path: path.read_bytes() for path in own.rglob("*") if path.is_file()} == before
    assert target.complete(f"{target.base_uri}/{identifier}").status_code == 400


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let the system refuse to make a file larger, as it does where a disk is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_told_and_leaves_nothing(target: Target) -> None:
    content = b"x" * (8 * 2**20)
    begun = target.begun(announcement(item("large", content)))
    before = files_below(target.folder)
    with files_of_at_most(4 * 2**20):
        answer = target.put(only_item(begun), content)
    assert (answer.status_code, "no room" in answer.get_json()["message"]) == (507, True)
    assert files_below(target.folder) == before
    assert target.put(only_item(begun), content).status_code == 200


def test_what_is_there_already_needs_no_room(target: Target) -> None:
    """An upload goes on on a disk that has no room for all of it once more."""
    body = announcement(item("a.txt", CONTENT))
    target.upload(target.begun(body))
    content = item("a.txt", CONTENT)["hash"]
    uploads = target.folder / body["uuid"] / ".dtool" / "uploads"
    # As if it were larger than any disk.
    body["items"][0]["size_in_bytes"] = 2**62
    again = target.begin(body)
    assert again.status_code == 200
    assert (uploads / f"{generate_identifier('a.txt')}-{content}").exists()
    # What is said of its size is found out to be wrong, all the same.
    assert "Not uploaded yet, or not as announced: a.txt" in target.complete(again.get_json()["uri"]).text
    (uploads / f"{generate_identifier('a.txt')}-{content}").unlink()
    assert target.begin(body).status_code == 507


def test_a_directory_that_cannot_be_reached_is_a_502(target: Target, tmp_path: Path) -> None:
    moved = target.other.rename(tmp_path / "moved")
    try:
        answer = target.begin(announcement(item("a", CONTENT)), target.other_uri)
    finally:
        moved.rename(target.other)
    assert answer.status_code == 502
    with target.here.app.app_context():
        base_uris.put_base_uri("smb://share", [], [CHAMPION])
        base_uris.put_base_uri("file://another-host/x", [], [CHAMPION])
        sql_db.session.commit()
    for base_uri in ("smb://share", "file://another-host/x"):
        assert target.begin(announcement(), base_uri).status_code == 501
