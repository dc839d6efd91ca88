"""What is too much is refused with its field, its size and the setting that decides, and nothing is stored of it."""

from __future__ import annotations

import gzip
import json
import random
import socket
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dservercore import sql_db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris, registration, users
from dservercore.catalog.scope import OPERATOR
from dservercore.dataset.text_query import MAX_QUERY_CHARACTERS, MAX_QUERY_PREFIXES, MAX_QUERY_WORDS
from dservercore.dataset.values import MAX_JSON_DEPTH
from dservercore.rest.schemas import MAX_FILTER_VALUES
from support.live_server import LiveServer
from support.stores import contents, disagreements
from support.world import CHAMPION, RED, dataset_info
from support.worlds import World, world

pytestmark = pytest.mark.attack

LIMITS = {
    "DSERVER_MAX_TAGS": 5,
    "DSERVER_MAX_README_LENGTH": 100,
    "DSERVER_MAX_ANNOTATIONS_LENGTH": 200,
    "DSERVER_MAX_ANNOTATION_DEPTH": 3,
    "DSERVER_MAX_QUERY_LENGTH": 50,
}

DEEP: Any = {"a": {"b": [[1]]}}  # four levels
FITS: Any = {"a": {"b": [1]}}


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory, key_pair: tuple[Path, Path]) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("small"), key_pair, **LIMITS) as standing:
        yield standing
        assert disagreements(standing.database) == []


@pytest.fixture
def info(standing: World) -> Iterator[dict[str, Any]]:
    info = dataset_info(tags=["a", "b", "c", "d", "e"], annotations={"soil": "x" * 180, "plot": FITS["a"]})
    assert standing.send("PUT", f"/uris/{info['uri']}", json=info).status_code == 422
    info["annotations"] = {"soil": "x" * 170}
    assert standing.send("PUT", f"/uris/{info['uri']}", json=info).status_code == 201
    yield info
    standing.send("DELETE", f"/uris/{info['uri']}")


TOO_MUCH: list[tuple[str, str, Any, str]] = [
    (
        "PUT",
        "/tags/{}",
        {"tags": list("abcdef")},
        "tags: 6 tags, and this server takes at most 5 (DSERVER_MAX_TAGS)",
    ),
    ("POST", "/tags/{}/f", None, "tags: 6 tags, and this server takes at most 5 (DSERVER_MAX_TAGS)"),
    (
        "PUT",
        "/readmes/{}",
        {"readme": "é" * 101},
        "readme: 101 characters, and this server takes at most 100 (DSERVER_MAX_README_LENGTH)",
    ),
    (
        "PUT",
        "/annotations/{}",
        {"annotations": {"a": "x" * 193}},
        "annotations: 201 bytes of JSON, and this server takes at most 200 (DSERVER_MAX_ANNOTATIONS_LENGTH)",
    ),
    (
        "PUT",
        "/annotations/{}/b",
        {"value": "x" * 13},
        "annotations: 201 bytes of JSON, and this server takes at most 200 (DSERVER_MAX_ANNOTATIONS_LENGTH)",
    ),
    (
        "PUT",
        "/annotations/{}/b",
        {"value": DEEP},
        "annotations: b is nested deeper than the 3 levels that this server takes (DSERVER_MAX_ANNOTATION_DEPTH)",
    ),
    (
        "PUT",
        "/annotations/{}",
        {"annotations": {"b": DEEP}},
        "annotations: b is nested deeper than the 3 levels that this server takes (DSERVER_MAX_ANNOTATION_DEPTH)",
    ),
]


@pytest.mark.parametrize(("method", "path", "body", "message"), TOO_MUCH)
def test_an_edit_that_gives_too_much(
    standing: World, info: dict[str, Any], method: str, path: str, body: Any, message: str
) -> None:
    before = standing.contents()
    answer = standing.send(method, path.format(info["uri"]), json=body)
    assert (answer.status_code, answer.json["message"]) == (422, message)
    assert list(answer.json["errors"]["json"]) == [message.partition(":")[0]]
    assert standing.contents() == before


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tags", list("abcdef")),
        ("readme", "x" * 101),
        ("annotations", {"a": "x" * 193}),
        ("annotations", {"a": DEEP}),
    ],
)
def test_a_registration_that_gives_too_much(standing: World, field: str, value: Any) -> None:
    before = standing.contents()
    info = dataset_info(**{field: value})
    answer = standing.send("PUT", f"/uris/{info['uri']}", json=info)
    assert answer.status_code == 422
    assert list(answer.json["errors"]["json"]) == [field]
    assert "DSERVER_MAX_" in answer.json["message"]
    assert standing.contents() == before


def test_exactly_as_much_as_allowed(standing: World, info: dict[str, Any]) -> None:
    for path, body in (
        ("/tags/{}", {"tags": list("abcde")}),
        ("/tags/{}", {"tags": [*"abcde", "a", "b"]}),  # a tag given twice is there once
        ("/readmes/{}", {"readme": "é" * 100}),
        ("/annotations/{}", {"annotations": {"a": "x" * 192}}),
        ("/annotations/{}", {"annotations": FITS}),
    ):
        assert standing.send("PUT", path.format(info["uri"]), json=body).status_code == 200
    assert standing.send("POST", f"/tags/{info['uri']}/e").status_code == 200


def test_what_is_too_large_since_the_limit_was_lowered_can_be_made_smaller(
    standing: World, info: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(standing.app.config, "DSERVER_MAX_TAGS", 2)
    monkeypatch.setitem(standing.app.config, "DSERVER_MAX_ANNOTATIONS_LENGTH", 10)
    assert standing.send("DELETE", f"/tags/{info['uri']}/a").json == {"tags": ["b", "c", "d", "e"]}
    assert standing.send("POST", f"/tags/{info['uri']}/b").json == {"tags": ["b", "c", "d", "e"]}
    assert standing.send("DELETE", f"/annotations/{info['uri']}/soil").json == {"annotations": {}}


class TestSearches:
    def test_a_text_that_is_too_long(self, standing: World) -> None:
        for method, path, options in (
            ("GET", f"/uris?free_text={'x' * 51}", {}),
            ("POST", "/uris", {"json": {"free_text": "x" * 51}}),
        ):
            answer = standing.send(method, path, **options)
            assert answer.status_code == 422
            assert answer.json["message"] == (
                "free_text: 51 characters, and this server takes at most 50 (DSERVER_MAX_QUERY_LENGTH)"
            )
        assert standing.send("GET", f"/uris?free_text={'x' * 50}").status_code == 200

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("x" * (MAX_QUERY_CHARACTERS + 1), "at most 10,000"),
            ("x " * (MAX_QUERY_WORDS + 1), "More than 200 words."),
            ("x* " * (MAX_QUERY_PREFIXES + 1), "More than 10 words that end in '*'."),
        ],
    )
    def test_what_no_setting_allows(
        self, standing: World, text: str, reason: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(standing.app.config, "DSERVER_MAX_QUERY_LENGTH", MAX_QUERY_CHARACTERS)
        answer = standing.send("POST", "/uris", json={"free_text": text})
        assert answer.status_code == 422
        assert reason in answer.json["message"]

    def test_too_many_values_of_a_filter(self, standing: World) -> None:
        answer = standing.send("POST", "/uris", json={"tags": ["x"] * (MAX_FILTER_VALUES + 1)})
        assert answer.status_code == 422
        assert f"{MAX_FILTER_VALUES}" in str(answer.json["errors"]["json"]["tags"])

    def test_too_many_values_of_all_filters_and_values_that_are_too_long(self, standing: World) -> None:
        half = ["x"] * (MAX_FILTER_VALUES // 2)
        assert standing.send("POST", "/uris", json={"tags": half, "base_uris": half}).status_code == 200
        answer = standing.send("POST", "/uris", json={"tags": half, "base_uris": [*half, "x"]})
        assert (answer.status_code, "10000" in answer.text) == (422, True)
        for field in ("tags", "creator_usernames", "base_uris", "uploaded_by"):
            assert standing.send("POST", "/uris", json={field: ["x" * 1024]}).status_code == 200
            answer = standing.send("POST", "/uris", json={field: ["x" * 1025] * 900})
            assert answer.status_code == 422
            assert len(answer.json["errors"]["json"][field]) == 20  # of so many it is told

    @pytest.mark.parametrize("path", ["/uris?", "/uris?free_text=x&", "/uuids/x?"])
    def test_a_page_that_is_too_large(self, standing: World, path: str) -> None:
        answer = standing.send("GET", f"{path}page_size=101")
        assert answer.status_code == 422
        assert "100" in str(answer.json["errors"]["query"]["page_size"])


@pytest.mark.parametrize("character", ["\ufdfa", "\ufdfb", "\u33af", "㌖"])
def test_characters_that_stand_for_many(
    standing: World, info: dict[str, Any], character: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = standing.contents()
    monkeypatch.setitem(standing.app.config, "DSERVER_MAX_ANNOTATIONS_LENGTH", 400)
    text, uri = f"{character}a" * 30, info["uri"]
    for method, path, body, field in (
        ("PUT", f"/readmes/{uri}", {"readme": text}, "readme"),
        ("PUT", f"/annotations/{uri}", {"annotations": {"a": text * 4}}, "annotations"),
        ("PUT", f"/annotations/{uri}/a", {"value": text * 4}, "annotations"),
        ("PUT", f"/uris/{uri}", {**info, "readme": text}, "readme"),
        ("PUT", f"/uris/{uri}", {**info, "manifest": _of_files([f"{character}a" * 1300] * 3)}, "manifest"),
    ):
        answer = standing.send(method, path, json=body)
        assert (answer.status_code, list(answer.json["errors"]["json"])) == (422, [field])
    assert standing.contents() == before


def _of_files(names: list[str]) -> dict[str, Any]:
    return {"items": {str(number): {"relpath": name} for number, name in enumerate(names)}}


def test_names_of_files(standing: World, info: dict[str, Any]) -> None:
    path = f"/uris/{info['uri']}"
    for length, status in ((4096, 200), (4097, 422)):
        answer = standing.send("PUT", path, json={**info, "manifest": _of_files(["é" * length])})
        assert answer.status_code == status
    for items in ({"x" * 256: {}}, {"x": {"hash": "x" * 256}}):
        answer = standing.send("PUT", path, json={**info, "manifest": {"items": items}})
        assert (answer.status_code, list(answer.json["errors"]["json"])) == (422, ["manifest"])


def test_annotations_deeper_than_any_setting_allows(standing: World, info: dict[str, Any]) -> None:
    value: Any = 1
    for _ in range(MAX_JSON_DEPTH + 1):
        value = [value]
    answer = standing.send("PUT", f"/annotations/{info['uri']}/a", json={"value": value})
    assert answer.status_code == 422
    assert str(MAX_JSON_DEPTH) in str(answer.json["errors"])


# -- Over a socket ---------------------------------------------------------------------------------------------------

MOST = 20_000  # bytes of a body
PREFIXES = "+".join(f"{letter}*" for letter in "abcdefghij")


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server with little patience, over datasets with so many words that a prefix stands for thousands."""
    settings = {"MAX_CONTENT_LENGTH": str(MOST), "DSERVER_SEARCH_TIMEOUT": "0.001"}
    server = LiveServer(tmp_path_factory.mktemp("limits"), workers=1, settings=settings)
    chance = random.Random(7)
    with server.app.app_context():
        users.add_user(CHAMPION)
        base_uris.create_base_uri(RED, [CHAMPION], [CHAMPION])
        scope = operator_scope("register")
        for _ in range(200):
            words = ("".join(chance.choices(string.ascii_lowercase, k=6)) for _ in range(400))
            registration.register_dataset(OPERATOR, scope, dataset_info(readme=" ".join(words)))
        sql_db.session.commit()
    try:
        server.start()
        yield server
    finally:
        server.stop()


def send(live: LiveServer, headers: list[str], body: bytes, method: str = "PUT") -> tuple[int, bytes]:
    """Send a registration with these headers and this body; return the status and the body of the answer."""
    host, port = live.address.removeprefix("http://").split(":")
    head = [
        f"{method} /uris/{RED}/x HTTP/1.1",
        "Host: localhost",
        f"Authorization: {live.bearer(CHAMPION)['Authorization']}",
        "Content-Type: application/json",
        "Connection: close",
        *headers,
    ]
    answer = b""
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        try:
            connection.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body)
            while received := connection.recv(65536):
                answer += received
        except (ConnectionResetError, BrokenPipeError):
            pass  # the server has heard enough
    head_, _, content = answer.partition(b"\r\n\r\n")
    return int(head_.split()[1]), content


def chunks(body: bytes, size: int = 4096) -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in [*parts, b""])


def document(length: int) -> bytes:
    info = dataset_info(uri=f"{RED}/x", readme="")
    return json.dumps({**info, "readme": "y" * (length - len(json.dumps(info)))}).encode()


class TestBodies:
    def test_that_are_as_large_as_allowed(self, live: LiveServer) -> None:
        body = document(MOST)
        assert send(live, [f"Content-Length: {MOST}"], body)[0] == 201
        assert send(live, ["Transfer-Encoding: chunked"], chunks(body))[0] == 200
        assert send(live, [], b"", "DELETE")[0] == 200

    @pytest.mark.parametrize(
        ("headers", "encode"),
        [
            ([f"Content-Length: {MOST + 1}"], bytes),
            (["Content-Length: 999999999999"], bytes),  # which are not sent
            (["Transfer-Encoding: chunked"], chunks),
            (["Transfer-Encoding: chunked"], lambda body: chunks(body, 1)),
            (["Transfer-Encoding: chunked"], lambda body: chunks(body * 50)),
        ],
        ids=["one byte", "as announced", "in chunks", "in small chunks", "50 times"],
    )
    def test_that_are_too_large(self, live: LiveServer, headers: list[str], encode: Any) -> None:
        before = contents(live.database)
        status, content = send(live, headers, encode(document(MOST + 1)))
        assert status == 413, content
        assert json.loads(content) == {
            "code": 413,
            "status": "Request Entity Too Large",
            "message": f"The body is larger than {MOST:,} bytes, the most that this server takes (MAX_CONTENT_LENGTH)",
        }
        assert contents(live.database) == before

    def test_that_are_small_until_they_are_unpacked(self, live: LiveServer) -> None:
        """They are not unpacked."""
        bomb = gzip.compress(document(1_000_000))
        assert len(bomb) < MOST
        before = contents(live.database)
        status, _ = send(live, ["Content-Encoding: gzip", f"Content-Length: {len(bomb)}"], bomb)
        assert status == 415
        assert contents(live.database) == before

    def test_that_are_longer_than_they_said(self, live: LiveServer) -> None:
        body = document(MOST + 1)
        before = contents(live.database)
        assert send(live, ["Content-Length: 100"], body)[0] == 400
        assert contents(live.database) == before


def test_a_search_that_would_take_too_long(live: LiveServer) -> None:
    for _ in range(3):
        for answer in (
            live.request("GET", f"/uris?free_text={PREFIXES}", CHAMPION),
            live.request(
                "POST", "/uris?sort=relevance", CHAMPION, json={"free_text": PREFIXES.replace("+", " ")}
            ),
        ):
            assert answer.status_code == 503
            assert answer.json()["code"] == 503
            assert answer.json()["message"].startswith(
                "The search took longer than 0.001 seconds and was ended: ask"
            )
        assert len(live.request("GET", "/uris", CHAMPION).json()) == 10
        assert live.request("PATCH", "/me", CHAMPION, json={"display_name": "Carl"}).status_code == 200
    assert "Traceback" not in live.log.read_text()
