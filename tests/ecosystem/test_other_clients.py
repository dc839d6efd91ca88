"""What other clients send, byte for byte where that matters, and what they read from the answers.

They are not in a package registry, or need a browser, so that their requests are made here: a web application and a
JavaScript library, and a storage broker that pages through everything.  Each class is one of them.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from flask_jwt_extended import create_access_token

from ecosystem.library import BLUE, COPIED, GREEN, SINGING, Library, bean_harvest, summary_of
from support.world import ADMIN, CHAMPION, NOBODY, READER, RED, STRANGER, dataset_info

SITE = "https://lookup.example.org"


class Answer:
    """What came back: its status, its headers, and its body, which is always JSON."""

    def __init__(self, response: http.client.HTTPResponse):
        self.status = response.status
        self.headers = response.headers
        self.text = response.read().decode()

    @property
    def json(self) -> Any:
        assert self.headers["Content-Type"] == "application/json"
        return json.loads(self.text)

    @property
    def pagination(self) -> dict[str, int]:
        return json.loads(self.headers["X-Pagination"])


def send(
    library: Library,
    method: str,
    target: str,
    username: str | None = CHAMPION,
    body: Any = None,
    **headers: str,
) -> Answer:
    """Send exactly that request target: no library in between decodes or encodes anything in it."""
    connection = http.client.HTTPConnection(library.server.address.removeprefix("http://"), timeout=60)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    if username is not None:
        names = {**library.server.bearer(username), **names}
    content = None if body is None else json.dumps(body)
    if content is not None:
        names = {"Content-Type": "application/json", **names}
    try:
        connection.request(method, target, content, names)
        return Answer(connection.getresponse())
    finally:
        connection.close()


@pytest.fixture
def shelf(library: Library) -> Iterator[str]:
    with library.shelf() as base_uri:
        yield base_uri


def test_a_server_over_a_socket_answers_errors_in_json(library: Library) -> None:
    for method, target, username, status in [
        ("GET", "/no/such/route", CHAMPION, 404),
        ("PATCH", "/uris", CHAMPION, 405),
        ("GET", f"/uris/{quote_plus(BLUE)}%2Fx", CHAMPION, 403),
        ("GET", "/uris?page=0", CHAMPION, 422),
        ("GET", "/uris", STRANGER, 401),
    ]:
        assert send(library, method, target, username).json["code"] == status
    assert send(library, "GET", "/uris", None).json["msg"] == "Missing Authorization Header"


class TestClientsInPython:
    """They encode a URI as a form does, judge a token by ``/config/info``, and a change by the status alone."""

    def test_a_good_token_is_one_that_may_read_the_configuration(self, library: Library) -> None:
        for username in (ADMIN, CHAMPION, NOBODY):
            assert send(library, "GET", "/config/info", username).status == 200

    def test_others_are_not_and_the_answer_says_why(self, library: Library) -> None:
        with library.server.app.app_context():
            expired = create_access_token(CHAMPION, expires_delta=timedelta(seconds=-1))
        good = library.server.bearer(CHAMPION)["Authorization"]
        for authorization, status, message in [
            (f"Bearer {expired}", 401, "Token has expired"),
            (good[:-4] + "AAAA", 422, "Signature verification failed"),
            ("Bearer broken", 422, "Not enough segments"),
            ("Bearer", 422, None),
            (good.replace("Bearer", "Basic"), 401, None),
        ]:
            answer = send(library, "GET", "/config/info", None, Authorization=authorization)
            assert answer.status == status, authorization
            assert set(answer.json) == {"msg", "message"}
            assert message in (None, answer.json["msg"])
        assert send(library, "GET", "/config/info", STRANGER).json["code"] == 401

    def test_a_uri_is_encoded_as_in_a_form(self, library: Library) -> None:
        info = library.red(2)
        uri = quote_plus(info["uri"])
        assert "%3A%2F%2F" in uri
        library.check_entry(send(library, "GET", f"/uris/{uri}").json, info)
        assert send(library, "GET", f"/readmes/{uri}").json == {"readme": info["readme"]}
        assert send(library, "GET", f"/manifests/{uri}").json == info["manifest"]
        assert send(library, "GET", f"/tags/{uri}").json == {"tags": info["tags"]}
        assert send(library, "GET", f"/annotations/{uri}").json == {"annotations": info["annotations"]}
        assert send(library, "GET", f"/base-uris/{quote_plus(RED)}", ADMIN).json["base_uri"] == RED

    def test_a_search_is_posted_and_its_page_is_in_the_query_string(self, library: Library) -> None:
        answer = send(
            library, "POST", "/uris?page=2&page_size=4&sort=-name", body={"tags": ["odd"], "base_uris": [RED]}
        )
        assert [entry["name"] for entry in answer.json] == ["bean-harvest-03", "bean-harvest-01"]
        assert answer.pagination == {
            "total": 6, "total_pages": 2, "first_page": 1, "last_page": 2, "page": 2, "previous_page": 1
        }  # fmt: skip
        assert json.loads(answer.headers["X-Sort"]) == {"sort": {"name": -1}}

    @pytest.mark.parametrize("sort", ["%2Bname", "name", "+name"])
    def test_an_ascending_order_is_spelled_in_three_ways(self, sort: str, library: Library) -> None:
        answer = send(library, "POST", f"/uris?page=1&page_size=3&sort={sort}", body={"free_text": "loam"})
        assert [entry["name"][-2:] for entry in answer.json] == ["00", "01", "02"]
        assert json.loads(answer.headers["X-Sort"]) == {"sort": {"name": 1}}

    def test_putting_and_deleting_are_judged_by_the_status(self, library: Library, shelf: str) -> None:
        info = dataset_info(shelf)
        target = f"/uris/{quote_plus(info['uri'])}"
        assert send(library, "PUT", target, READER, info).status == 403
        assert send(library, "PUT", target, body=info).status == 201
        assert send(library, "PUT", target, body=info).status == 200
        assert send(library, "DELETE", target, READER).status == 403
        assert [send(library, "DELETE", target).status for _ in range(2)] == [200, 200]
        for target in ("/users/newcomer", f"/base-uris/{quote_plus('s3://newly-built')}"):
            assert send(library, "PUT", target, CHAMPION, {}).status == 403
            assert [send(library, "PUT", target, ADMIN, {}).status for _ in range(2)] == [201, 200]
            assert [send(library, "DELETE", target, ADMIN).status for _ in range(2)] == [200, 200]


class TestStorageBroker:
    """It lists what is under a base URI, a hundred at a time, up to the last page that the first answer names."""

    NUMBER = 205

    def test_it_finds_everything(self, library: Library, shelf: str) -> None:
        infos = [dataset_info(shelf, name=f"crop-{number}", tags=["crop"]) for number in range(self.NUMBER)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(library.put, infos))
        expected = sorted(info["uri"] for info in infos)
        for query in (
            {"base_uris": [shelf]},
            {"tags": ["crop"]},
            {"base_uris": [shelf], "free_text": "loam"},
        ):
            assert self.list_uris(library, query) == (expected, [100, 100, 5])
        everything = sorted([*expected, *(info["uri"] for info in library.visible)])
        assert self.list_uris(library, {}) == (everything, [100, 100, 18])

    @staticmethod
    def list_uris(library: Library, query: dict[str, Any]) -> tuple[list[str], list[int]]:
        uris: list[str] = []
        sizes = []
        page, last_page = 1, 1
        while page <= last_page:
            answer = send(library, "POST", f"/uris?page={page}&page_size=100", body=query)
            last_page = answer.pagination["last_page"]
            uris += [entry["uri"] for entry in answer.json]
            sizes.append(len(answer.json))
            page += 1
        return uris, sizes

    def test_an_empty_shelf_has_no_last_page(self, library: Library, shelf: str) -> None:
        answer = send(library, "POST", "/uris?page=1&page_size=100", body={"base_uris": [shelf]})
        assert (answer.status, answer.json) == (200, [])
        assert answer.pagination == {"total": 0, "total_pages": 0}

    def test_no_more_than_a_hundred_may_be_asked_for(self, library: Library) -> None:
        answer = send(library, "POST", "/uris?page=1&page_size=101", body={})
        assert list(answer.json["errors"]["query"]) == ["page_size"]

    def test_signed_urls_are_not_to_be_had_without_their_extension(self, library: Library) -> None:
        uri = quote(library.red(2)["uri"], safe="")
        for method, target in [
            ("GET", f"/signed-urls/dataset/{uri}"),
            ("GET", f"/signed-urls/item/{uri}/e4cc3a7dc281c3d89ed4553293c4b4b110dc9bf3"),
            ("POST", f"/signed-urls/upload/{quote(RED, safe='')}"),
            ("POST", "/signed-urls/upload-complete"),
        ]:
            answer = send(library, method, target, body={} if method == "POST" else None)
            assert (answer.json["code"], answer.json["status"]) == (404, "Not Found")


def encode_component(text: str) -> str:
    """Encode as ``encodeURIComponent`` does."""
    return quote(text, safe="-_.!~*'()")


class TestWebApplication:
    """It comes from another origin, names JSON as the type of every request, empty or not, and lists without paging."""

    @staticmethod
    def fetch(
        library: Library, method: str, target: str, username: str = CHAMPION, body: Any = None
    ) -> Answer:
        headers = {"Content_Type": "application/json", "Origin": SITE, "Accept": "application/json"}
        answer = send(library, method, target, username, body, **headers)
        assert answer.headers["Access-Control-Allow-Origin"] == SITE
        exposed = {name.strip() for name in answer.headers["Access-Control-Expose-Headers"].split(",")}
        assert {"X-Pagination", "X-Sort"} <= exposed
        return answer

    @pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
    @pytest.mark.parametrize("target", ["/uris", "/base-uris/s3%3A%2F%2Fred", "/me"])
    def test_the_browser_asks_first(self, method: str, target: str, library: Library) -> None:
        answer = send(
            library,
            "OPTIONS",
            target,
            None,
            Origin=SITE,
            Access_Control_Request_Method=method,
            Access_Control_Request_Headers="authorization,content-type",
        )
        assert answer.status == 200
        assert answer.headers["Access-Control-Allow-Origin"] == SITE
        allowed = {name.strip().lower() for name in answer.headers["Access-Control-Allow-Headers"].split(",")}
        assert allowed == {"authorization", "content-type"}
        assert method in answer.headers["Access-Control-Allow-Methods"].split(", ")

    def test_it_searches_and_shows_a_dataset(self, library: Library) -> None:
        answer = self.fetch(library, "POST", "/uris", body={"free_text": "nightingale"})
        library.check_listed(answer.json, [library.red(SINGING)])
        answer = self.fetch(
            library, "GET", f"/uris?free_text=nightingale&tags=odd&base_uris={encode_component(RED)}"
        )
        library.check_listed(answer.json, [library.red(SINGING)])
        info = library.red(SINGING)
        uri = encode_component(info["uri"])
        library.check_entry(self.fetch(library, "GET", f"/uris/{uri}").json, info)
        assert self.fetch(library, "GET", f"/readmes/{uri}").json == {"readme": info["readme"]}
        assert self.fetch(library, "GET", f"/manifests/{uri}").json == info["manifest"]
        assert self.fetch(library, "GET", f"/tags/{uri}").json == {"tags": info["tags"]}
        assert self.fetch(library, "GET", f"/annotations/{uri}").json == {"annotations": info["annotations"]}
        copies = self.fetch(library, "GET", f"/uuids/{library.red(COPIED)['uuid']}").json
        library.check_listed(copies, [bean_harvest(COPIED, GREEN), library.red(COPIED)])
        assert self.fetch(library, "GET", "/me/summary").json == summary_of(library.visible)
        assert self.fetch(library, "GET", f"/users/{CHAMPION}/summary").json == summary_of(library.visible)
        assert self.fetch(library, "GET", "/config/versions").json["versions"]
        assert self.fetch(library, "GET", "/config/health").json == {"status": "healthy"}

    def test_it_lists_without_paging_and_gets_the_first_ten(self, library: Library) -> None:
        people = [f"visitor-{number}" for number in range(12)]
        shelves = [f"s3://aisle-{number:02}" for number in range(12)]
        for name in people:
            assert self.fetch(library, "PUT", f"/users/{name}", ADMIN, {"is_admin": False}).status == 201
        for shelf in shelves:
            answer = self.fetch(library, "POST", f"/base-uris/{encode_component(shelf)}", ADMIN)
            assert answer.status == 201
        answer = self.fetch(library, "GET", "/users", ADMIN)
        names = sorted([ADMIN, CHAMPION, NOBODY, READER, *people])
        assert [user["username"] for user in answer.json] == names[:10]
        assert answer.pagination["total"] == 16
        answer = self.fetch(library, "GET", "/base-uris", ADMIN)
        assert (
            answer.json == [{"base_uri": base_uri} for base_uri in sorted([RED, GREEN, BLUE, *shelves])][:10]
        )
        assert answer.pagination["total"] == 15
        assert len(self.fetch(library, "GET", "/uris").json) == 10
        for name in people:
            assert self.fetch(library, "DELETE", f"/users/{name}", ADMIN).status == 200
        for shelf in shelves:
            assert self.fetch(library, "DELETE", f"/base-uris/{encode_component(shelf)}", ADMIN).status == 200

    def test_it_creates_a_base_uri_by_posting(self, library: Library) -> None:
        target = f"/base-uris/{encode_component('s3://newly-built')}"
        answer = self.fetch(library, "POST", target, ADMIN)
        assert (answer.status, answer.json["base_uri"]) == (201, "s3://newly-built")
        assert self.fetch(library, "POST", target, ADMIN).json["code"] == 409
        permissions = {
            "users_with_search_permissions": [READER],
            "users_with_register_permissions": [READER],
        }
        assert self.fetch(library, "PUT", target, ADMIN, permissions).status == 200
        assert self.fetch(library, "GET", target, ADMIN).json == {
            "base_uri": "s3://newly-built",
            **permissions,
        }
        assert self.fetch(library, "DELETE", target, ADMIN).status == 200
        assert self.fetch(library, "GET", target, ADMIN).json["code"] == 404

    def test_it_grants_and_revokes_permissions(self, library: Library, shelf: str) -> None:
        for kind in ("search", "register"):
            target = f"/users/{NOBODY}/{kind}/{encode_component(shelf)}"
            granted = self.fetch(library, "POST", target, ADMIN)
            assert granted.json[f"{kind}_permissions_on_base_uris"] == [shelf]
            assert self.fetch(library, "POST", target, ADMIN).json["code"] == 409
            assert self.fetch(library, "GET", "/me", NOBODY).json == granted.json
            revoked = self.fetch(library, "DELETE", target, ADMIN)
            assert revoked.json[f"{kind}_permissions_on_base_uris"] == []
            assert self.fetch(library, "DELETE", target, ADMIN).status == 200

    def test_it_edits_users(self, library: Library) -> None:
        assert (
            self.fetch(library, "PUT", "/users/newcomer", ADMIN, {"display_name": "New Comer"}).status == 201
        )
        user = self.fetch(library, "PATCH", "/users/newcomer", ADMIN, {"is_admin": True}).json
        assert (user["display_name"], user["is_admin"]) == ("New Comer", True)
        me = self.fetch(library, "PATCH", "/me", "newcomer", {"display_name": "Been Here"}).json
        assert me == self.fetch(library, "GET", "/users/newcomer", ADMIN).json
        assert (me["display_name"], me["is_admin"]) == ("Been Here", True)
        assert self.fetch(library, "DELETE", "/users/newcomer", ADMIN).status == 200

    def test_it_edits_a_dataset(self, library: Library, shelf: str) -> None:
        info = dataset_info(shelf, tags=["beans"], annotations={"soil": "loam"})
        library.put(info)
        uri = encode_component(info["uri"])
        readme = {"readme": "description: Beans, eaten by slugs\n"}
        assert self.fetch(library, "PUT", f"/readmes/{uri}", body=readme).json == readme
        assert self.fetch(library, "PUT", f"/tags/{uri}", body={"tags": ["peas"]}).json == {"tags": ["peas"]}
        assert self.fetch(library, "POST", f"/tags/{uri}/slugs").json == {"tags": ["peas", "slugs"]}
        assert self.fetch(library, "DELETE", f"/tags/{uri}/peas").json == {"tags": ["slugs"]}
        notes = {"annotations": {"weather": {"rain": 12.5}}}
        assert self.fetch(library, "PUT", f"/annotations/{uri}", body=notes).json == notes
        added = self.fetch(library, "PUT", f"/annotations/{uri}/bed", body={"value": 4}).json
        assert added == {"annotations": {"weather": {"rain": 12.5}, "bed": 4}}
        left = self.fetch(library, "DELETE", f"/annotations/{uri}/weather").json
        assert left == {"annotations": {"bed": 4}}

        assert self.fetch(library, "GET", f"/readmes/{uri}").json == readme
        assert self.fetch(library, "GET", f"/tags/{uri}").json == {"tags": ["slugs"]}
        assert self.fetch(library, "GET", f"/annotations/{uri}").json == left
        for query in ({"tags": ["slugs"]}, {"free_text": "eaten"}):
            found = self.fetch(library, "POST", "/uris", body={"base_uris": [shelf], **query}).json
            assert [entry["uri"] for entry in found] == [info["uri"]]
        assert self.fetch(library, "POST", "/uris", body={"base_uris": [shelf], "tags": ["beans"]}).json == []

    def test_it_uploads_and_deletes(self, library: Library, shelf: str) -> None:
        info = dataset_info(shelf)
        uri = encode_component(info["uri"])
        before = time.time()
        assert self.fetch(library, "PUT", f"/uris/{uri}", body=info).json == ""
        entry = self.fetch(library, "GET", f"/uris/{uri}").json
        library.check_entry(entry, info)
        assert before - 0.001 <= entry["uploaded_at"] <= time.time()
        assert self.fetch(library, "DELETE", f"/uris/{uri}").json == ""
        assert self.fetch(library, "GET", f"/uris/{uri}").json["code"] == 404


def test_the_routes_of_2019_are_gone(library: Library) -> None:
    """``dtool-lookup-client`` 0.1.0 asks ``/dataset/lookup`` and ``/dataset/search``, which the API has no more."""
    for method, target, body in [
        ("GET", f"/dataset/lookup/{library.red(2)['uuid']}", None),
        ("POST", "/dataset/search", {"$text": {"$search": "nightingale"}}),
    ]:
        answer = send(library, method, target, body=body)
        assert (answer.json["code"], answer.json["status"]) == (404, "Not Found")
