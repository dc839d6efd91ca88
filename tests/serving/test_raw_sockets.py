"""What only somebody who writes bytes to a socket can send: the server and the application together take it."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from dservercore import sql_db
from dservercore.catalog import base_uris, users
from dservercore.middleware import unread_bodies
from support.live_server import PROGRAMS, LiveServer
from support.stores import contents
from support.world import CHAMPION, RED, dataset_info

pytestmark = pytest.mark.attack

PATIENCE_SECONDS = 5


@pytest.fixture(scope="module", params=PROGRAMS)
def live(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[LiveServer]:
    """A server with one worker and a user who may do everything in RED."""
    server = LiveServer(
        tmp_path_factory.mktemp("raw"),
        workers=1,
        program=request.param,
        application="support.redirecting:create_app()",
    )
    with server.app.app_context():
        users.add_user(CHAMPION)
        base_uris.create_base_uri(RED, [CHAMPION], [CHAMPION])
        sql_db.session.commit()
    try:
        server.start()
        yield server
    finally:
        server.stop()


def converse(live: LiveServer, *parts: bytes, pause: float = 0.0) -> bytes:
    """Send *parts*, then nothing more; return everything that comes back."""
    host, port = live.address.removeprefix("http://").split(":")
    answer = b""
    with socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS) as connection:
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
            connection.shutdown(socket.SHUT_WR)
            while received := connection.recv(65536):
                answer += received
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise
            # Otherwise the server has heard enough, and closed.
    return answer


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"^HTTP/1\.[01] (\d{3})", answer, re.MULTILINE)]


def head(live: LiveServer, line: str, *headers: str) -> bytes:
    """Return a request line and headers with a valid token, up to the body."""
    token = live.bearer(CHAMPION)["Authorization"]
    lines = [
        line,
        "Host: localhost",
        f"Authorization: {token}",
        "Content-Type: application/json",
        *headers,
        "",
        "",
    ]
    return "\r\n".join(lines).encode("latin-1")


def check_alive_and_unchanged(live: LiveServer, before: object) -> None:
    assert contents(live.database) == before
    assert live.request("GET", "/me", CHAMPION).status_code == 200
    assert "Traceback" not in live.log.read_text()


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in [*chunks, b""])


class TestBodies:
    def test_in_chunks(self, live: LiveServer) -> None:
        info = dataset_info()
        body = json.dumps(info).encode()
        line = f"PUT /uris/{info['uri']} HTTP/1.1"
        request = head(live, line, "Transfer-Encoding: chunked", "Connection: close")
        assert statuses(converse(live, request, chunked(body[:7], body[7:]))) == [201]
        assert live.request("DELETE", f"/uris/{info['uri']}", CHAMPION).status_code == 200

    @pytest.mark.parametrize(
        ("headers", "change"),
        [
            (["Content-Length: {less}"], None),
            (["Content-Length: {more}"], None),
            (["Content-Length: -1"], None),
            (["Content-Length: 1e3"], None),
            (["Content-Length: nonsense"], None),
            (["Content-Length: 99999999999999999999999"], None),
            (["Content-Length: {less}", "Content-Length: {more}"], None),
            (["Content-Length: 0x10"], None),
            (["Content-Length:"], None),
            ([], None),
            (["Transfer-Encoding: chunked"], None),
            (["Transfer-Encoding: chunked", "Content-Length: {less}"], None),
            (["Transfer-Encoding: nonsense"], None),
            (["Transfer-Encoding: chunked, chunked"], None),
            (["Transfer-Encoding: chunked"], lambda body: b"-5\r\n" + body),
            (["Transfer-Encoding: chunked"], lambda body: b"ffffffffffffffffffff\r\n" + body),
            (["Transfer-Encoding: chunked"], lambda body: b"%x\r\n" % (len(body) + 9) + body),
            (["Transfer-Encoding: chunked"], lambda body: b"%x\r\n" % len(body) + body),
            (["Transfer-Encoding: chunked"], lambda body: chunked(body)[:-2] + b"X: y\r\n" * 9_000),
            (["Content-Encoding: gzip", "Content-Length: {exact}"], lambda body: gzip.compress(body)),
        ],
    )
    def test_that_are_not_as_long_or_as_encoded_as_they_say(
        self, live: LiveServer, headers: list[str], change: object
    ) -> None:
        info = dataset_info()
        body = json.dumps(info).encode()
        sent = change(body) if callable(change) else body
        lengths = {"less": len(sent) - 5, "more": len(sent) + 5, "exact": len(sent)}
        request = head(
            live, f"PUT /uris/{info['uri']} HTTP/1.1", *(header.format(**lengths) for header in headers)
        )
        before = contents(live.database)
        answered = statuses(converse(live, request, sent))
        # 501 is how gunicorn itself refuses an encoding of the transfer that there is not.
        assert all(400 <= status < 500 or status == 501 for status in answered), answered
        check_alive_and_unchanged(live, before)

    def test_that_claim_to_be_compressed_are_read_as_they_are(self, live: LiveServer) -> None:
        body = b'{"display_name": "Carl"}'
        request = head(
            live,
            "PATCH /me HTTP/1.1",
            "Content-Encoding: gzip",
            f"Content-Length: {len(body)}",
            "Connection: close",
        )
        (status,) = statuses(converse(live, request, body))
        assert status in (200, 400, 415)

    def test_that_stop_in_the_middle(self, live: LiveServer) -> None:
        info = dataset_info()
        body = json.dumps(info).encode()
        before = contents(live.database)
        request = head(live, f"PUT /uris/{info['uri']} HTTP/1.1", f"Content-Length: {len(body)}")
        converse(live, request, body[: len(body) // 2])
        check_alive_and_unchanged(live, before)


@pytest.mark.parametrize(
    "target",
    [
        b"/uris/\xff\xfe",
        b"/uris/s3://red/\xed\xa0\x80",
        b"/uris/s3://red/\xc0\x80",
        b"/uris/s3://red/%ff%fe",
        b"/uris/s3://red/%00",
        b"/uris/s3://red/x%0d%0aX-Injected:1",
        b"/users/%ff",
        b"/users/\xff/summary",
        b"/uuids/\xff",
        b"/uris?free_text=\xff",
        b"/uris?\xff=\xff",
        b"/uris?tags=%ff",
        b"/uris?page=\xd9\xa3",
        b"/uris/" + b"a" * 3_900,
        b"/uris/" + b"/" * 3_900,
        b"/tags/s3://red/" + b"a/" * 1_900,
        b"/uris/" + b"a" * 100_000,
        b"/uris?" + b"tags=a&" * 500,
        b"//uris",
        b"/../uris",
        b"/./uris",
        b"/uris/../../../etc/passwd",
        b"/doc/assets/../../config.py",
        b"/doc/assets/..%2f..%2fconfig.py",
        b"/doc/assets/%2e%2e/%2e%2e/config.py",
        b"/doc/assets//etc/passwd",
        b"/doc/assets/%00",
        b"/doc/assets/%ff",
        b"/doc/assets/" + b"a" * 3_000,
        b"http://evil.example/uris",
        b"http://[::1/uris",
        b"evil.example:80",
        b"*",
        b"?",
        b"#",
        b"uris",
        b"\\uris",
        b"/uris\x00",
        b"/uris\x7f",
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_request_targets(live: LiveServer, method: str, target: bytes) -> None:
    before = contents(live.database)
    request = head(
        live, f"{method} {target.decode('latin-1')} HTTP/1.1", "Content-Length: 2", "Connection: close"
    )
    answer = converse(live, request, b"{}")
    assert all(status < 500 for status in statuses(answer)), answer[:500]
    assert not re.search(rb"^X-Injected", answer, re.MULTILINE)
    assert b"root:" not in answer
    assert b"SETTINGS = [" not in answer
    check_alive_and_unchanged(live, before)


@pytest.mark.parametrize(
    "request_",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /me\r\n\r\n",
        b"GET /me HTTP/9.9\r\n\r\n",
        b"GET  /me  HTTP/1.1\r\n\r\n",
        b"GET /me HTTP/1.1\r\n" + b"X: y\r\n" * 1_000 + b"\r\n",
        b"GET /me HTTP/1.1\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"GET /me HTTP/1.1\r\nX\r\n\r\n",
        b"GET /me HTTP/1.1\r\n X: folded\r\n\r\n",
        b"GET /me HTTP/1.1\r\nX : y\r\n\r\n",
        b"GET /me HTTP/1.1\r\nX\x00Y: z\r\n\r\n",
        b"GET /me HTTP/1.1\r\nAuthorization: Bearer \xff\xfe\r\n\r\n",
        b"GET /me HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /me HTTP/1.1\r\nHost: \xff\r\n\r\n",
        b"GET /me HTTP/1.1\nHost: a\n\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
        b"\x00" * 1_000,
        b"A" * 100_000,
    ],
)
def test_what_is_hardly_http(live: LiveServer, request_: bytes) -> None:
    before = contents(live.database)
    answer = converse(live, request_)
    assert all(400 <= status < 500 for status in statuses(answer)), answer[:500]
    check_alive_and_unchanged(live, before)


def test_one_request_hidden_in_another_is_not_served_with_its_rights(live: LiveServer) -> None:
    hidden = head(live, "PATCH /me HTTP/1.1", "Content-Length: 26") + b'{"display_name": "hidden"}'
    outer = head(live, "PATCH /me HTTP/1.1", "Content-Length: 4", "Transfer-Encoding: chunked") + b"0\r\n\r\n"
    before = contents(live.database)
    answered = statuses(converse(live, outer + hidden))
    assert all(status < 500 for status in answered)
    assert contents(live.database) == before


@pytest.mark.parametrize(
    ("target", "header", "status"),
    [
        ("/some/where", "X-Forwarded-Proto: https", 308),
        ("/some/where", "X-Forwarded-Protocol: ssl", 308),
        ("/some/where", "X-Forwarded-Ssl: on", 308),
        ("/some/where", "X-Forwarded-Host: evil.example", 308),
        ("/some/where", "X_Forwarded_Host: evil.example", 308),
        ("/some/where", "Forwarded: host=evil.example;proto=https", 308),
        ("/some/where", "SCRIPT_NAME: /", 308),
        ("/some/where", "SCRIPT_NAME: /some", 308),
        ("/some/where", "Script-Name: /some", 308),
        ("/evil/some/where", "SCRIPT_NAME: /evil", 404),
        ("/%65vil/some/where", "SCRIPT_NAME: /%65vil", 404),
        ("/config/health", "PATH_INFO: /uris", 200),
    ],
)
def test_no_proxy_on_this_machine_is_trusted_unless_it_is_named(
    live: LiveServer, target: str, header: str, status: int
) -> None:
    """The client is on the machine, as a proxy that passes headers on would be; no proxy has been named."""
    answer = converse(live, head(live, f"GET {target} HTTP/1.1", header, "Connection: close"))
    assert statuses(answer) == [status]
    assert b"evil" not in answer.partition(b"\r\n\r\n")[0]
    if status == 308:
        assert re.search(rb"\r\nlocation: http://localhost/some/where/\r\n", answer, re.IGNORECASE)


def test_a_body_that_was_refused_unread_is_no_request(live: LiveServer) -> None:
    hidden = head(live, "PATCH /me HTTP/1.1", "Content-Length: 26") + b'{"display_name": "hidden"}'
    before = contents(live.database)
    for line in ("PATCH /me HTTP/1.1", "POST /uris HTTP/1.1", f"DELETE /uris/{RED}/x HTTP/1.1"):
        body = hidden + b" " * 3_000_000
        outer = head(live, line, f"Content-Length: {len(body)}")
        follower = head(live, "GET /me HTTP/1.1", "Connection: close")
        answered = statuses(converse(live, outer, body, follower))
        assert answered in ([413], [413, 200], [200], [200, 200]), (line, answered)
        assert b"hidden" not in live.request("GET", "/me", CHAMPION).content
    assert contents(live.database) == before


BODIES = {
    "in one piece": ["Content-Length: 3000"],
    "in chunks": ["Transfer-Encoding: chunked"],
    "larger than any": [f"Content-Length: {2**40}"],
}


@pytest.fixture(scope="module", params=["sync", "gthread", "serve"])
def worker(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[LiveServer]:
    """A worker that takes one request at a time; sync of gunicorn does not keep connections, the others do."""
    directory = tmp_path_factory.mktemp(request.param)
    options = ["--worker-class", request.param, "--worker-connections", "10"]
    if request.param == "serve":
        server = LiveServer(directory, workers=1, threads=1, program="serve")
    else:
        server = LiveServer(directory, workers=1, threads=1, options=options)
    server.add_people()
    try:
        server.start()
        yield server
    finally:
        server.stop()


def anonymous(headers: list[str]) -> bytes:
    lines = ["PATCH /me HTTP/1.1", "Host: localhost", "Content-Type: application/json", *headers, "", ""]
    return "\r\n".join(lines).encode()


# What is behind `flask serve` holds such a client without a worker: tests/serving/test_serve.py.
@pytest.mark.parametrize("worker", ["sync", "gthread"], indirect=True)
@pytest.mark.parametrize("headers", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("pause", [0.05, 9])
def test_a_client_that_sends_slowly_what_nobody_reads_does_not_hold_a_worker(
    worker: LiveServer, headers: list[str], pause: float
) -> None:
    host, port = worker.address.removeprefix("http://").split(":")
    piece = b"1\r\nx\r\n" if "chunked" in headers[0] else b"x"
    stop = threading.Event()
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(anonymous(headers))

        def drip() -> None:
            with contextlib.suppress(OSError):
                while not stop.is_set():
                    connection.sendall(piece)
                    stop.wait(pause)

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            started = time.monotonic()
            time.sleep(0.1)
            assert worker.request("GET", "/me", CHAMPION, timeout=20).status_code == 200
            # gunicorn itself waits for up to two seconds until a client has closed its side.
            most = 0 if pause > 1 else unread_bodies.MAX_SECONDS
            assert time.monotonic() - started < most + 2 + 1.5
            assert statuses(connection.recv(1000)) == [401]
        finally:
            stop.set()
            dripping.join()


@pytest.mark.parametrize("parts", [1, 2], ids=["at once", "in two pieces"])
def test_a_body_that_nobody_reads_leaves_the_connection_to_the_next_request_if_it_is_all_there(
    worker: LiveServer, parts: int
) -> None:
    follower = head(worker, "GET /me HTTP/1.1", "Connection: close")
    for body in (b"x" * 300, b"x" * 200_000):
        outer = [anonymous([f"Content-Length: {len(body)}"]), body]
        answered = statuses(converse(worker, *([b"".join(outer)] if parts == 1 else outer), follower))
        assert answered in ([401], [401, 200]), answered


@pytest.mark.parametrize("framing", ["length", "chunks"])
@pytest.mark.parametrize("pause", [0.0, 0.1, 0.5])
def test_what_comes_after_a_part_of_a_body_that_nobody_reads_is_no_request(
    worker: LiveServer, framing: str, pause: float
) -> None:
    hidden = head(worker, "PATCH /me HTTP/1.1", "Content-Length: 26") + b'{"display_name": "hidden"}'
    body = b"x" * 1500 + hidden
    headers = [f"Content-Length: {len(body)}"] if framing == "length" else ["Transfer-Encoding: chunked"]
    start = b"" if framing == "length" else b"%x\r\n" % len(body)
    end = b"" if framing == "length" else b"\r\n0\r\n\r\n"
    answer = converse(worker, anonymous(headers) + start + b"x" * 1500, hidden, end, pause=pause)
    assert statuses(answer) == [401]
    assert b"hidden" not in worker.request("GET", "/me", CHAMPION).content


def test_chunks_that_nobody_reads_take_little_of_a_processor(worker: LiveServer) -> None:
    host, port = worker.address.removeprefix("http://").split(":")
    before = worker.processor_seconds()
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(anonymous(["Transfer-Encoding: chunked"]))
        with contextlib.suppress(OSError):  # the server has heard enough
            for _ in range(20):
                connection.sendall(b"1\r\nx\r\n" * 100_000)
    assert worker.request("GET", "/me", CHAMPION).status_code == 200
    assert worker.processor_seconds() - before < 1.0


def test_an_error_about_a_body_that_was_read_does_not_wait(live: LiveServer) -> None:
    started = time.monotonic()
    for _ in range(20):
        assert live.request("PATCH", "/me", CHAMPION, json={"display_name": 7}).status_code == 422
    assert time.monotonic() - started < 20 * 0.2


@pytest.mark.parametrize("framing", ["length", "chunks"])
@pytest.mark.parametrize("half_a_line", [b"", b'{"uuid": "'])
def test_a_bulk_body_that_breaks_off_says_what_is_stored(
    live: LiveServer, framing: str, half_a_line: bytes
) -> None:
    """Under gunicorn what has arrived is registered, in runs and what is left of the last one; half a line is none."""
    number = 600
    lines = b"".join(json.dumps(dataset_info()).encode() + b"\n" for _ in range(number))
    content = b"\xef\xbb\xbf" + lines + b'{"uri": "refused"}\n' + half_a_line
    line = "POST /uris/bulk HTTP/1.1"
    if framing == "length":
        sent = head(live, line, "Connection: close", f"Content-Length: {len(content) + 1000}") + content
    else:
        sent = head(live, line, "Connection: close", "Transfer-Encoding: chunked")
        sent += b"%x\r\n%b\r\n%x\r\n" % (len(content), content, 1000)
    before = live.request("GET", "/me/summary", CHAMPION).json()["number_of_datasets"]
    answer = converse(live, sent.replace(b"application/json", b"application/x-ndjson", 1))
    assert statuses(answer) == [400]
    message = json.loads(answer.partition(b"\r\n\r\n")[2])["message"]
    after = live.request("GET", "/me/summary", CHAMPION).json()["number_of_datasets"]
    if live.program == "serve":  # nobody reads a line before all of them have come
        assert message.endswith("; nothing was done with it")
        assert after == before
        return
    found = re.search(r"after (\d+) complete lines: (\d+) datasets are stored, (\d+) refused", message)
    assert found, message
    lines_read, stored, refused = map(int, found.groups())
    assert stored + refused == lines_read
    # Of chunks that break off, gunicorn hands over nothing of what it has read with the last 64 KiB.
    assert (stored, refused) == (number, 1) or (framing == "chunks" and stored > 500)
    assert after == before + stored
