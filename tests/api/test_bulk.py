"""``/uris/bulk``: many datasets in one request, of which each counts on its own."""

from __future__ import annotations

import gzip
import json
import random
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from api.conftest import on_every_store, on_sql_alone, route
from dservercore import db, sql_db
from dservercore.api import bulk, bulk_registration
from dservercore.auth import sign_in
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import registration, sessions, users
from dservercore.catalog.consistency.stores import check
from dservercore.errors import UnavailableError
from dservercore.plugin_host import PluginSet
from support.counting import noted_in
from support.racing import by_many
from support.world import BLUE, CHAMPION, RED, dataset_info

LINES = "application/x-ndjson"
FORBIDDEN = "No register permission on the base URI of this request"


def post(client: Any, documents: list[Any]) -> list[dict[str, Any]]:
    """Send a list; return the results."""
    answer = client.post("/uris/bulk", json=documents)
    assert answer.status_code == 200, answer.json
    assert len(answer.json) == len(documents)
    return answer.json


def post_lines(client: Any, lines: list[Any]) -> list[dict[str, Any]]:
    """Send lines, of which those that are not bytes are made JSON; return the results."""
    body = b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    answer = client.post("/uris/bulk", data=body, content_type=LINES)
    assert answer.status_code == 200, answer.json
    assert answer.mimetype == LINES
    return [json.loads(line) for line in answer.data.splitlines()]


SENDERS = {"list": post, "lines": post_lines}


@pytest.fixture(params=SENDERS)
def send(request: pytest.FixtureRequest) -> Any:
    """``send(client, documents)`` returns the results, each without the number of its line."""

    def send(client: Any, documents: list[Any]) -> list[dict[str, Any]]:
        results = SENDERS[request.param](client, documents)
        numbers = [result.pop("line", None) for result in results]
        expected = range(1, len(documents) + 1) if request.param == "lines" else [None] * len(documents)
        assert numbers == list(expected)
        return results

    return send


def uris_of(client: Any) -> set[str]:
    return {found["uri"] for found in client.get("/uris?page_size=100").json}


def stores_agree(app: Any) -> bool:
    with app.app_context():
        return not list(check(operator_scope("search"), operator_scope("register")))


def status_of(results: list[dict[str, Any]]) -> list[int]:
    return [result["status"] for result in results]


@on_every_store
class TestEveryStore:
    def test_datasets_are_registered_and_replaced_and_found(self, app, champion, send):
        documents = [
            dataset_info(readme=f"number{n} \\ ' \" {{x,y}} NULL ☃", tags=[f"t{n % 3}"]) for n in range(30)
        ]
        results = send(champion, documents)
        assert results == [{"uri": document["uri"], "status": 201} for document in documents]
        changed = [{**document, "name": "changed", "tags": ["new"]} for document in documents[:20]]
        more = [dataset_info(), *changed, dataset_info(tags=[])]
        assert status_of(send(champion, more)) == [201, *[200] * 20, 201]
        assert uris_of(champion) == {document["uri"] for document in documents + more}
        assert [found["uri"] for found in champion.get("/uris?free_text=number7").json] == [
            documents[7]["uri"]
        ]
        found = champion.get(route("uris", documents[3]["uri"])).json
        assert (found["name"], found["uploaded_by"]) == ("changed", CHAMPION)
        assert champion.get(route("tags", documents[3]["uri"])).json == {"tags": ["new"]}
        assert champion.get(route("manifests", documents[3]["uri"])).json == documents[3]["manifest"]
        assert champion.get("/me/summary").json["number_of_datasets"] == 32
        assert stores_agree(app)

    def test_a_dataset_that_comes_twice_is_what_came_last(self, app, champion, send):
        uri = f"{RED}/beans"
        first, second = {**dataset_info(readme="first"), "uri": uri}, {**dataset_info(), "uri": uri}
        assert first["uuid"] != second["uuid"]
        assert status_of(send(champion, [first, dataset_info(), second])) == [201, 201, 200]
        assert champion.get(route("uris", uri)).json["uuid"] == second["uuid"]
        assert champion.get(route("readmes", uri)).json["readme"] == second["readme"]
        assert stores_agree(app)

    def test_each_error_is_that_of_a_single_registration(self, app, champion, send):
        bad = [
            dataset_info(name="no\u2028name" * 20),
            dataset_info(BLUE),
            {**dataset_info(BLUE), "name": 7},
            dataset_info("s3://unknown"),
            dataset_info(frozen_at="yesterday"),
            {**dataset_info(), "surprise": 1},
            {key: value for key, value in dataset_info().items() if key != "readme"},
            dataset_info(tags=["no tag"]),
            dataset_info(readme="\ud800"),
            dataset_info(annotations={"a": 2**70}),
            dataset_info(type="protodataset"),
        ]
        good = [dataset_info(frozen_at="1536238185.881941"), dataset_info(created_at=1)]
        results = send(champion, [good[0], *bad, good[1]])
        assert [result["status"] for result in results if "error" not in result] == [201, 201]
        for document, result in zip(bad, results[1:-1], strict=True):
            alone = champion.put(route("uris", document["uri"]), json=document)
            expected = {"uri": document["uri"], "status": alone.status_code, "error": alone.json}
            assert result == expected
        assert uris_of(champion) == {document["uri"] for document in good}
        assert stores_agree(app)

    def test_what_may_not_be_registered_is_a_403_that_says_nothing_more(self, champion, nobody, send):
        documents = [dataset_info(), dataset_info(BLUE), dataset_info("s3://unknown", name="")]
        refused = {"code": 403, "status": "Forbidden", "message": FORBIDDEN}
        for body in ({"json": documents}, {"data": b"{}\n" * 3, "content_type": LINES}):
            answer = nobody.post("/uris/bulk", **body)  # who may register nothing is not even read
            assert (answer.status_code, answer.json) == (403, refused)
        assert [result.get("error") for result in send(champion, documents)] == [None, refused, refused]

    def test_it_takes_statements_that_grow_with_nothing(self, app, champion, send):
        def count(documents: list[Any]) -> int:
            executed: list[str] = []
            with noted_in(executed):
                assert set(status_of(send(champion, documents))) == {201}
            return len(executed)

        count([dataset_info()])  # what the first request of a process does besides
        few = count([dataset_info(tags=["a"]) for _ in range(2)])
        with app.app_context():
            for number in range(12):
                users.add_user(f"user-{number}")
                users.grant("search", f"user-{number}", RED)
            sql_db.session.commit()
        # Five at most for words that the vocabulary does not have yet, such as parts of UUIDs.
        assert count([dataset_info(tags=["a", f"t{number}"]) for number in range(100)]) <= few + 5

    def test_many_at_once_and_single_registrations_leave_every_store_as_one_of_them(
        self, app, people, sign_in
    ):
        uris = [f"{RED}/{name}" for name in ("beans", "peas", "lentils", "soy", "vetch")]

        def work(number: int) -> set[int]:
            chance, client = random.Random(number), sign_in(CHAMPION)
            statuses = set()
            for _ in range(4):
                documents = [
                    {**dataset_info(readme=f"of {number}", tags=[f"t{number}"]), "uri": uri} for uri in uris
                ]
                chance.shuffle(documents)
                if number % 2:
                    statuses |= set(status_of(post(client, documents)))
                else:
                    path = route("uris", documents[0]["uri"])
                    statuses.add(client.put(path, json=documents[0]).status_code)
            return statuses

        found = set().union(*by_many(work, 6))
        assert found <= {200, 201}
        assert uris_of(sign_in(CHAMPION)) == set(uris)
        assert stores_agree(app)


@on_sql_alone
class TestBodies:
    @pytest.mark.parametrize("body", [{}, 7, "x", True, dataset_info()])
    def test_of_json_must_be_a_list(self, champion, body):
        answer = champion.post("/uris/bulk", json=body)
        assert answer.status_code == 422
        assert answer.json["errors"] == {"json": {"_schema": ["Must be a list of at most 10,000 elements."]}}

    def test_a_list_that_is_too_long_is_refused_whole(self, champion, monkeypatch):
        monkeypatch.setattr(bulk, "MAX_LISTED", 2)
        assert status_of(post(champion, [dataset_info(), dataset_info()])) == [201, 201]
        assert champion.post("/uris/bulk", json=[dataset_info()] * 3).status_code == 422
        assert len(uris_of(champion)) == 2

    def test_of_many_errors_some_are_told_and_then_their_status_alone(self, champion, send, monkeypatch):
        monkeypatch.setattr(bulk_registration, "MAX_EXPLAINED", 3)
        monkeypatch.setattr(registration, "RUN", 3)
        results = send(champion, [7, {}, {"uri": "x"}, {}, [], dataset_info(), dataset_info(tags=["no tag"])])
        assert status_of(results) == [422, 400, 400, 400, 422, 201, 422]
        assert ["error" in result for result in results] == [True] * 3 + [False] * 4

    def test_after_too_many_errors_the_rest_is_not_looked_at(self, champion, monkeypatch):
        monkeypatch.setattr(bulk_registration, "MAX_REFUSED", 3)
        monkeypatch.setattr(registration, "RUN", 3)
        results = post_lines(champion, [b"{", b"{", b"{", dataset_info(), dataset_info()])
        assert [(result["line"], result["status"]) for result in results] == [
            (1, 400),
            (2, 400),
            (3, 400),
            (4, 422),
        ]
        assert uris_of(champion) == set()

    def test_a_long_error_is_told_by_its_message(self, champion, send):
        (result,) = send(champion, [{"x" * 1000 + str(number): 0 for number in range(20)}])
        assert result["status"] == 422
        assert len(json.dumps(result)) < 1000

    def test_lines_that_are_too_many_are_not_registered(self, champion, monkeypatch):
        monkeypatch.setattr(bulk, "MAX_LINES", 3)
        results = post_lines(champion, [dataset_info(), b"", dataset_info(), *[dataset_info()] * 5])
        assert [(result["line"], result["status"]) for result in results] == [(1, 201), (3, 201), (4, 422)]
        assert "lines" in results[2]["error"]["message"]
        assert len(uris_of(champion)) == 2

    @pytest.mark.parametrize("body", [b"", b"[", b"[{]", b"\xff", b"[NaN]"])
    def test_that_are_no_json_are_refused(self, champion, body):
        answer = champion.post("/uris/bulk", data=body, content_type="application/json")
        assert answer.status_code == 400

    @pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "multipart/form-data", ""])
    def test_of_another_type_are_refused(self, champion, content_type):
        answer = champion.post("/uris/bulk", data=b"[]", content_type=content_type)
        assert answer.status_code == 415
        assert LINES in answer.json["message"]

    def test_may_be_empty(self, champion, send):
        assert send(champion, []) == []

    def test_elements_that_are_no_objects_are_no_datasets(self, champion, send):
        assert status_of(send(champion, [7, "x", [], {}, dataset_info()])) == [422, 422, 422, 400, 201]

    def test_a_list_that_is_too_large_is_refused_whole(self, make_app, sign_in):
        client = sign_in(CHAMPION, make_app(MAX_CONTENT_LENGTH=3000))
        assert client.post("/uris/bulk", json=[dataset_info() for _ in range(5)]).status_code == 413
        assert uris_of(client) == set()

    def test_lines_have_a_limit_each_and_not_together(self, make_app, sign_in):
        client = sign_in(CHAMPION, make_app(MAX_CONTENT_LENGTH=3000))
        lines = [dataset_info(), dataset_info(readme="x" * 200_000), dataset_info(readme="x" * 3001)]
        lines += [dataset_info(), b"x" * 3000, b"x" * 3001]
        results = post_lines(client, lines)
        assert status_of(results) == [201, 413, 413, 201, 400, 413]
        assert "MAX_CONTENT_LENGTH" in results[1]["error"]["message"]
        assert [result["line"] for result in results] == [1, 2, 3, 4, 5, 6]

    def test_a_line_that_is_no_json_is_an_error_of_its_own(self, champion):
        good = [dataset_info(), dataset_info()]
        results = post_lines(
            champion, [good[0], b"{", b"", b"  ", b"\xff\xfe", b"[NaN]", good[1], b"\r", b""]
        )
        assert [(result["line"], result["status"]) for result in results] == [
            (1, 201),
            (2, 400),
            (5, 400),
            (6, 400),
            (7, 201),
        ]
        assert results[1] == {
            "uri": None,
            "line": 2,
            "status": 400,
            "error": {
                "code": 400,
                "status": "Bad Request",
                "message": "Invalid JSON body.",
                "errors": {"json": ["Invalid JSON body."]},
            },
        }
        assert uris_of(champion) == {document["uri"] for document in good}

    def test_more_than_go_into_one_run(self, champion, send):
        documents = [dataset_info() for _ in range(registration.RUN + 7)]
        assert status_of(send(champion, documents)) == [201] * len(documents)
        assert champion.get("/me/summary").json["number_of_datasets"] == len(documents)

    def test_uris_that_are_none_are_not_repeated(self, champion, send):
        results = send(
            champion, [dataset_info(uri=7), dataset_info(uri="x" * 10_000), dataset_info(uri=None)]
        )
        assert [result["uri"] for result in results] == [None, None, None]


@on_sql_alone
class TestRoute:
    def test_it_hides_no_dataset(self, champion):
        for method in ("get", "put", "delete"):
            answer = getattr(champion, method)("/uris/bulk")
            assert answer.status_code in (403, 404, 422, 400), answer.json
        uri = "s3://red/bulk"
        assert post(champion, [{**dataset_info(), "uri": uri}])[0]["status"] == 201
        assert champion.get("/uris/s3/red/bulk").json["uri"] == uri

    def test_it_is_for_registered_users(self, anonymous, stranger):
        for client in (anonymous, stranger):
            assert client.post("/uris/bulk", json=[dataset_info()]).status_code == 401
            assert client.post("/uris/bulk", data=b"{}", content_type=LINES).status_code == 401


class DeadlockError(Exception):
    """What the driver of PostgreSQL raises, as far as it is looked at."""

    sqlstate = pgcode = "40P01"


@on_sql_alone
class TestFailures:
    @pytest.fixture
    def fail_at(self, app):
        """``fail_at(run, error)`` makes the search plugin fail in that run, and in none before and after it."""
        plugins = app.extensions["dservercore"]

        def fail(run: int, error: Exception) -> None:
            calls = iter(range(1, 100))

            class Failing(type(plugins.search)):  # type: ignore[misc]
                def register_datasets(self, dataset_infos: Any) -> None:
                    super().register_datasets(dataset_infos)
                    if next(calls) == run:
                        raise error

            app.extensions["dservercore"] = PluginSet(Failing(), plugins.retrieve, ())

        yield fail
        app.extensions["dservercore"] = plugins

    def test_once_nothing_can_be_stored_the_rest_is_told_so(self, app, champion, send, fail_at, monkeypatch):
        monkeypatch.setattr(registration, "RUN", 3)
        fail_at(2, UnavailableError("The search store is away"))
        documents = [dataset_info() for _ in range(8)]
        documents[5]["number_of_items"] = -1
        results = send(champion, documents)
        assert status_of(results) == [201, 201, 201, 503, 503, 422, 503, 503]
        assert results[7]["error"]["message"] == "The search store is away"
        assert uris_of(champion) == {document["uri"] for document in documents[:3]}
        assert stores_agree(app)

    def test_the_victim_of_a_deadlock_is_repeated(self, app, champion, send, fail_at):
        fail_at(1, OperationalError("INSERT", {}, DeadlockError()))
        documents = [dataset_info() for _ in range(3)]
        assert status_of(send(champion, documents)) == [201] * 3
        assert stores_agree(app)


@on_sql_alone
def test_permissions_are_asked_for_again_in_the_middle(app, admin, champion, monkeypatch):
    monkeypatch.setattr(registration, "RUN", 2)

    class Body:
        """Four lines, and before the third an administrator who takes the permission away."""

        def __init__(self) -> None:
            self.lines = [json.dumps(dataset_info()).encode() + b"\n" for _ in range(4)]

        def read(self, size: int = -1) -> bytes:
            if len(self.lines) == 2:
                body = {"users_with_register_permissions": []}
                assert admin.put("/base-uris/s3/red", json=body).status_code == 200
            return self.lines.pop(0).ljust(2**16) if self.lines else b""

    answer = champion.post(
        "/uris/bulk",
        content_type=LINES,
        environ_overrides={"wsgi.input": Body(), "wsgi.input_terminated": True, "CONTENT_LENGTH": ""},
    )
    assert [json.loads(line)["status"] for line in answer.data.splitlines()] == [201, 201, 403, 403]


@on_sql_alone
def test_a_session_that_ends_in_the_middle(app, champion, monkeypatch):
    monkeypatch.setattr(registration, "RUN", 2)
    with app.app_context():
        secret = sessions.begin(CHAMPION, "link", sessions.Client("192.0.2.7", ""))
        db.commit()
    browser = app.test_client()
    browser.set_cookie(sign_in.PLAIN_COOKIE, secret)
    token = browser.get("/auth/token").json["token"]

    class Body:
        """Four lines, and before the third the user signs out."""

        def __init__(self) -> None:
            self.lines = [json.dumps(dataset_info()).encode() + b"\n" for _ in range(4)]

        def read(self, size: int = -1) -> bytes:
            if len(self.lines) == 2:
                assert browser.post("/auth/logout").status_code == 200
            return self.lines.pop(0).ljust(2**16) if self.lines else b""

    answer = app.test_client().post(
        "/uris/bulk",
        content_type=LINES,
        headers={"Authorization": f"Bearer {token}"},
        environ_overrides={"wsgi.input": Body(), "wsgi.input_terminated": True, "CONTENT_LENGTH": ""},
    )
    assert [json.loads(line)["status"] for line in answer.data.splitlines()] == [201, 201, 401, 401]


BOM = b"\xef\xbb\xbf"


@pytest.mark.parametrize("separator", [b"", b"\n", b" \n\r\n"])
def test_a_byte_order_mark_before_the_first_dataset_is_skipped(champion, separator):
    for content_type, content in (
        ("application/x-ndjson", json.dumps(dataset_info()).encode() + b"\n" + BOM + b"\n"),
        ("application/json", json.dumps([dataset_info()]).encode()),
    ):
        answer = champion.post("/uris/bulk", data=BOM + separator + content, content_type=content_type)
        results = answer.json if content_type == "application/json" else [json.loads(answer.data)]
        assert [result["status"] for result in results] == [201]


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", None])
def test_what_is_declared_as_something_else_is_not_read(champion, content_type):
    answer = champion.post("/uris/bulk", data=json.dumps([dataset_info()]), content_type=content_type)
    assert answer.status_code == 415
    assert "Content-Type: application/x-ndjson" in answer.json["message"]
    assert champion.get("/uris").json == []


@pytest.mark.parametrize("content_type", ["application/x-ndjson", "application/json"])
def test_a_compressed_body_is_not_read(champion, content_type):
    body = gzip.compress(json.dumps([dataset_info()]).encode())
    headers = {"Content-Encoding": "gzip", "Content-Type": content_type}
    assert champion.post("/uris/bulk", data=body, headers=headers).status_code == 415
