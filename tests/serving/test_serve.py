"""`flask serve` as it is typed: on a socket, without a proxy, with clients that are slow, idle or gone."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result

from dservercore.cli.serve import serve_command
from support.live_server import START_SECONDS, LiveServer, environment, flask
from support.waiting import free_port
from support.world import CHAMPION, dataset_info

pytestmark = pytest.mark.attack

ENOUGH = 1.0  # seconds in which somebody else is answered, whatever the others do


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """`flask serve` with fewer threads than any of the crowds below."""
    server = LiveServer(tmp_path_factory.mktemp("serve"), workers=2, threads=2, program="serve")
    server.add_people()
    server.start()
    manifest = dataset_info()
    manifest["manifest"]["items"] = {
        f"{number:040x}": {
            "relpath": f"{'x' * 200}/{number}.csv",
            "size_in_bytes": number,
            "hash": f"{number:032x}",
            "utc_timestamp": 1.5e9,
        }
        for number in range(20_000)
    }
    assert server.request("PUT", f"/uris/{manifest['uri']}", CHAMPION, json=manifest).status_code == 201
    server.large = f"/manifests/{manifest['uri']}"  # type: ignore[attr-defined]
    yield server
    server.stop()


def connect(live: LiveServer) -> socket.socket:
    host, port = live.address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def head(live: LiveServer, line: str, *headers: str) -> bytes:
    token = live.bearer(CHAMPION)["Authorization"]
    lines = [f"{line} HTTP/1.1", "Host: x", f"Authorization: {token}", "Content-Type: application/json"]
    return "\r\n".join([*lines, *headers, "", ""]).encode()


def idle(live: LiveServer) -> bytes:
    return b""


def half_a_head(live: LiveServer) -> bytes:
    return head(live, "GET /me")[:-2]


def half_a_body(live: LiveServer) -> bytes:
    return head(live, "PATCH /me", "Content-Length: 26") + b'{"display_name": '


def half_a_large_body(live: LiveServer) -> bytes:
    info = dataset_info()
    return head(live, f"PUT /uris/{info['uri']}", "Content-Length: 9000000") + b" " * 2_000_000


def half_of_the_chunks(live: LiveServer) -> bytes:
    return head(live, "PATCH /me", "Transfer-Encoding: chunked") + b"5\r\n     \r\n"


def a_large_answer(live: LiveServer) -> bytes:
    return head(live, f"GET {live.large}")  # type: ignore[attr-defined]


def a_small_answer_again_and_again(live: LiveServer) -> bytes:
    return head(live, "GET /me") * 20


CROWDS = {
    "idle": (300, idle),
    "half a head": (200, half_a_head),
    "half a body": (60, half_a_body),
    "half a large body": (40, half_a_large_body),
    "half of the chunks": (60, half_of_the_chunks),
    "a large answer that is not read": (60, a_large_answer),
    "small answers that are not read": (60, a_small_answer_again_and_again),
}


def rest(live: LiveServer) -> None:
    """Wait until the workers have nothing to do for half a second."""
    deadline = time.monotonic() + 60
    before, now = -1.0, live.processor_seconds()
    while now - before > 0.05:
        assert time.monotonic() < deadline
        time.sleep(0.5)
        before, now = now, live.processor_seconds()


@pytest.mark.parametrize("crowd", CROWDS)
def test_a_crowd_of_slow_clients_holds_up_nobody_else(live: LiveServer, crowd: str) -> None:
    number, sends = CROWDS[crowd]
    clients = []
    try:
        for _ in range(number):
            clients.append(client := connect(live))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(sends(live))
        if "read" in crowd:
            rest(live)  # making the answers is work, which is done for whoever asked
        for _ in range(5):
            started = time.monotonic()
            assert live.request("GET", "/me", CHAMPION).status_code == 200
            assert live.request("PATCH", "/me", CHAMPION, json={"display_name": "Carl"}).status_code == 200
            assert time.monotonic() - started < 2 * ENOUGH
    finally:
        for client in clients:
            client.close()


def test_who_reads_slowly_gets_everything(live: LiveServer) -> None:
    path = live.large  # type: ignore[attr-defined]
    expected = live.request("GET", path, CHAMPION).content
    with connect(live) as client:
        client.sendall(head(live, f"GET {path}", "Connection: close"))
        time.sleep(1)
        received = b""
        while part := client.recv(65536):
            received += part
    headers, _, body = received.partition(b"\r\n\r\n")
    assert len(expected) > 4_000_000
    assert b"transfer-encoding" not in headers.lower()
    assert body == expected


def test_a_body_that_ends_too_early_is_nobodys_dataset(live: LiveServer) -> None:
    info = dataset_info()
    body = json.dumps(info).encode()
    for length in (f"Content-Length: {len(body) + 10}", "Transfer-Encoding: chunked"):
        with connect(live) as client:
            framed = body if "Length" in length else b"%x\r\n%s\r\n" % (len(body), body)
            client.sendall(head(live, f"PUT /uris/{info['uri']}", length) + framed)
            time.sleep(0.2)
    time.sleep(0.5)
    assert live.request("GET", f"/uris/{info['uri']}", CHAMPION).status_code == 404


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(live: LiveServer) -> None:
    with connect(live) as client:
        client.sendall(head(live, "PATCH /me", "Content-Length: 200000000", "Expect: 100-continue"))
        assert client.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_who_asks_whether_to_send_is_told_to_go_on(live: LiveServer) -> None:
    with connect(live) as client:
        client.sendall(head(live, "PATCH /me", "Content-Length: 26", "Expect: 100-continue"))
        assert client.recv(4096).startswith(b"HTTP/1.1 100 ")
        client.sendall(b'{"display_name": "Carl  "}')
        assert client.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_tiny_chunks_are_refused(live: LiveServer) -> None:
    info = dataset_info()
    with connect(live) as client, contextlib.suppress(OSError):
        client.sendall(head(live, f"PUT /uris/{info['uri']}", "Transfer-Encoding: chunked"))
        client.sendall(b"1\r\n \r\n" * 20_000)
        answer = client.recv(4096)
        assert answer.startswith(b"HTTP/1.1 400 ")
        error = json.loads(answer.partition(b"\r\n\r\n")[2])
        assert (error["code"], error["status"]) == (400, "Bad Request")
        assert "too small" in error["message"]


def answers(live: LiveServer, request: bytes) -> bytes:
    """Return all that comes back to a client that sends a request, or several, and closes its sending side."""
    with connect(live) as client:
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        received = b""
        while part := client.recv(65536):
            received += part
    return received


def names(answer: bytes) -> set[bytes]:
    lines = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    return {line.partition(b":")[0] for line in lines}


def test_names_of_headers_are_those_that_are_documented(live: LiveServer) -> None:
    """Published clients look for ``X-Pagination`` in exactly these letters."""
    info = dataset_info()
    assert live.request("PUT", f"/uris/{info['uri']}", CHAMPION, json=info).status_code == 201
    found = set()
    for line in ("GET /uris", f"GET /tags/{info['uri']}", "GET /nowhere", "HEAD /uris", "OPTIONS /uris"):
        found |= names(answers(live, head(live, line, "Origin: https://lab.org")))
    found |= names(answers(live, head(live, f"GET {live.large}")))  # type: ignore[attr-defined]
    found |= names(answers(live, head(live, "GET /me", "Host: y")))
    found |= names(answers(live, b"nonsense\r\n\r\n"))
    documented = {
        b"X-Pagination",
        b"X-Sort",
        b"X-Request-ID",
        b"ETag",
        b"Allow",
        b"Content-Type",
        b"Content-Length",
    }
    assert found >= {*documented, b"Connection", b"Date", b"Access-Control-Allow-Origin", b"Cache-Control"}
    assert not {name for name in found if name == name.lower()}


def test_requests_that_are_sent_at_once_are_answered_in_turn(live: LiveServer) -> None:
    requests_ = [head(live, "GET /me"), head(live, "HEAD /uris"), head(live, "GET /nowhere")] * 5
    found = re.findall(rb"HTTP/1.1 (\d+)", answers(live, b"".join(requests_)), re.MULTILINE)
    assert found == [b"200", b"200", b"404"] * 5


def test_a_request_that_asks_for_another_protocol_is_answered_and_the_last_one(live: LiveServer) -> None:
    """As curl does with --http2."""
    asking = head(
        live, "GET /me", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"
    )
    with connect(live) as client:
        client.sendall(asking)
        received = b""
        while part := client.recv(65536):
            received += part
    assert received.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nConnection: close\r\n" in received


def test_nonsense_after_a_request_is_no_answer_to_it(live: LiveServer) -> None:
    answer = answers(live, head(live, "GET /me") + b"nonsense\r\n\r\n")
    assert re.findall(rb"HTTP/1.1 (\d+)", answer, re.MULTILINE) == [b"200"]


def test_what_follows_a_body_is_no_header(live: LiveServer) -> None:
    token = live.bearer(CHAMPION)["Authorization"].encode()
    request = b"PATCH /me HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
    answer = answers(live, request + b"Authorization: " + token + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("headers", [["X: y"] * 100, [f"X: {'y' * 70_000}"]])
def test_a_head_that_is_too_long_is_refused(live: LiveServer, headers: list[str]) -> None:
    answer = answers(live, head(live, "GET /me", *headers))
    assert re.findall(rb"HTTP/1.1 (\d+)", answer, re.MULTILINE) == [b"400"]


def test_a_head_without_end_is_refused(live: LiveServer) -> None:
    with connect(live) as client, contextlib.suppress(ConnectionError):
        client.sendall(b"GET /me HTTP/1.1\r\nX: ")
        for _ in range(40):
            client.sendall(b"y" * 10_000)
            time.sleep(0.01)
        pytest.fail("The server goes on listening")


def test_two_hosts_are_one_too_many(live: LiveServer) -> None:
    with connect(live) as client:
        client.sendall(b"GET /me HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("request_bytes", "says"),
    [
        (
            b"PUT /users/x HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n",
            b"after 3 of 100 bytes; nothing was done",
        ),
        (b"PUT /users/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n", b"nothing was done"),
        (b"GET /nowhere HTTP/1.1\r\nHost: a\r\nHost: b\r\n", b"one Host"),
    ],
)
def test_what_the_server_refuses_is_answered_like_any_other_error(
    live: LiveServer, request_bytes: bytes, says: bytes
) -> None:
    """A page can read it, and it is in the log."""
    with connect(live) as client:
        client.sendall(request_bytes + b"Origin: https://lab.org\r\nX-Request-ID: odd-one\r\n\r\n{} ")
        client.shutdown(socket.SHUT_WR)
        received = b""
        while part := client.recv(65536):
            received += part
    headers, _, body = received.partition(b"\r\n\r\n")
    assert headers.startswith(b"HTTP/1.1 400 ")
    assert b"access-control-allow-origin: https://lab.org" in headers.lower()
    assert b"x-request-id: odd-one" in headers.lower()
    answer = json.loads(body)
    assert (answer["code"], answer["status"]) == (400, "Bad Request")
    assert says in answer["message"].encode()
    assert "400 " in live.log.read_text().partition("id=odd-one")[0].splitlines()[-1]


def test_the_line_says_where_what_and_with_which_database(live: LiveServer) -> None:
    where = rf"serves {live.address} \(2 workers of 2 threads, database {live.database}\)"
    assert re.search(rf"^dservercore [\d.]+ {where}$", live.log.read_text(), re.MULTILINE)


def serving(directory: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return flask(directory, "serve", *arguments, **settings)


def refused(live: LiveServer, *arguments: str) -> Result:
    """Try to serve in this process, which is quicker than a process of its own where the server does not start."""
    return live.app.test_cli_runner().invoke(serve_command, ["--port", str(free_port()), *arguments])


class TestStart:
    def test_a_port_that_is_taken(self, live: LiveServer) -> None:
        port = live.address.rpartition(":")[2]
        ended = serving(live.data_dir, "--port", port)
        assert ended.returncode == 1
        assert ended.stderr == f"Cannot listen on {live.address}: Address already in use\n"

    @pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1", "::ffff:999"])
    def test_a_host_that_is_none_of_this_machine(self, live: LiveServer, host: str) -> None:
        ended = refused(live, "--host", host)
        assert ended.exit_code == 1
        assert re.fullmatch(r"Cannot listen on http://.*: .+\n", ended.stderr)

    @pytest.mark.parametrize(
        "settings",
        [
            {"MAX_CONTENT_LENGTH": "much"},
            {"DSERVER_DATA_DIR": "/no/such/directory"},
            {"SQLALCHEMY_DATABASE_URI": "nonsense"},
            {"DSERVER_SEARCH_PLUGIN": "nonsense"},
        ],
    )
    def test_a_fault_of_the_configuration_is_one_line(
        self, live: LiveServer, settings: dict[str, str]
    ) -> None:
        ended = serving(live.data_dir, "--port", str(free_port()), **settings)
        assert ended.returncode == 4
        assert ended.stdout == ""
        assert re.fullmatch(r"Error: .+\n", ended.stderr)

    @pytest.mark.parametrize(
        ("fault", "status", "says"),
        [
            ("raise click.ClickException('The worker cannot')", 4, r"Error: The worker cannot"),
            ("os._exit(9)", 1, r"Workers end as soon as they are started, the last one with status 9"),
        ],
    )
    def test_workers_that_cannot_start(
        self, live: LiveServer, tmp_path: Path, fault: str, status: int, says: str
    ) -> None:
        (tmp_path / "faulty.py").write_text(
            "import os\nimport click\nimport dservercore\nparent = os.getpid()\n"
            f"def create_app():\n    if os.getpid() != parent:\n        {fault}\n"
            "    return dservercore.create_app()\n"
        )
        settings = {"FLASK_APP": "faulty", "PYTHONPATH": str(tmp_path)}
        ended = serving(live.data_dir, "--port", str(free_port()), "--workers", "1", **settings)
        assert ended.returncode == status
        assert re.search(says, ended.stderr)
        assert "Traceback" not in ended.stderr

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["--workers", "0"], "--workers"),
            (["--port", "70000"], "--port"),
            (["--certificate", "/no/such/file"], "--certificate"),
            (["--key", "/dev/null"], "--key"),
        ],
    )
    def test_options_that_make_no_sense(self, live: LiveServer, arguments: list[str], says: str) -> None:
        ended = refused(live, *arguments)
        assert ended.exit_code == 2
        assert says in ended.stderr
        assert "Traceback" not in ended.stderr


@pytest.fixture(scope="module")
def directory(live: LiveServer) -> Path:
    """Where a certificate for this machine is, and its key, also with a password, and a key that is not."""
    commands = [
        "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out certificate.pem -subj /CN=localhost -days 2"
        " -addext subjectAltName=IP:127.0.0.1",
        "rsa -in key.pem -aes256 -passout pass:secret -out encrypted.pem",
        "genrsa -out other.pem 2048",
    ]
    for command in commands:
        subprocess.run(["openssl", *command.split()], cwd=live.data_dir, check=True, capture_output=True)
    return live.data_dir


class TestEncryption:
    @pytest.mark.parametrize(
        ("certificate", "key", "says"),
        [
            ("certificate.pem", "other.pem", "is not its key"),
            ("key.pem", "key.pem", "is no certificate"),
            ("certificate.pem", "encrypted.pem", "has a password"),
        ],
    )
    def test_files_that_do_not_go_together(
        self, live: LiveServer, directory: Path, certificate: str, key: str, says: str
    ) -> None:
        files = str(directory / certificate), str(directory / key)
        ended = refused(live, "--certificate", files[0], "--key", files[1])
        assert ended.exit_code == 4
        assert re.fullmatch(rf"Cannot serve TLS: .*{says}.*\n", ended.stderr)

    def test_an_encrypted_answer(self, live: LiveServer, directory: Path) -> None:
        options = ["--certificate", "certificate.pem", "--key", "key.pem"]
        server = LiveServer(directory, workers=1, threads=1, program="serve", options=options)
        server.log = directory / "encrypted.log"
        server.address = server.address.replace("http:", "https:")
        server.trusted = str(directory / "certificate.pem")
        server.start()
        try:
            assert server.request("GET", "/me", CHAMPION).status_code == 200
            assert f"serves {server.address} " in server.log.read_text()
        finally:
            assert server.stop() == 0


class TestUnixSocket:
    def test_an_answer_also_after_a_server_that_was_killed(self, live: LiveServer) -> None:
        path = live.data_dir / "socket"
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as left:
            left.bind(str(path))
        process = subprocess.Popen(
            [sys.executable, "-m", "flask", "serve", "--unix-socket", "socket", "--workers", "1"],
            cwd=live.data_dir,
            env=environment(live.data_dir),
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr
        try:
            assert f" serves unix:{path} (1 worker" in process.stderr.readline()
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
                client.sendall(head(live, "GET /me", "Connection: close"))
                assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
            taken = serving(live.data_dir, "--unix-socket", "socket")
            assert (taken.returncode, taken.stderr) == (
                1,
                f"Cannot listen on unix:{path}: Address already in use\n",
            )
        finally:
            process.terminate()
            process.communicate(timeout=20)
        assert process.returncode == 0

    def test_who_fetches_nothing_is_dropped(self, live: LiveServer) -> None:
        path = live.data_dir / "socket"
        process = subprocess.Popen(
            [sys.executable, "-m", "flask", "serve", "--unix-socket", "socket", "--workers", "1"],
            cwd=live.data_dir,
            env=environment(live.data_dir, DSERVER_CLIENT_TIMEOUT="2"),
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr
        try:
            assert " serves " in process.stderr.readline()
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
                client.sendall(a_large_answer(live))
                time.sleep(8)
                received = b""
                with contextlib.suppress(ConnectionError):
                    while part := client.recv(65536):
                        received += part
            assert 0 < len(received) < 4_000_000
        finally:
            process.terminate()
            process.communicate(timeout=20)


def test_more_clients_than_there_may_be_wait(live: LiveServer) -> None:
    server = LiveServer(
        live.data_dir, workers=1, threads=1, program="serve", settings={"DSERVER_CONNECTIONS": "3"}
    )
    server.log = live.data_dir / "few.log"
    server.start()
    try:
        clients = [connect(server) for _ in range(4)]
        for client in clients:
            client.sendall(head(server, "GET /me"))
        assert all(client.recv(4096).startswith(b"HTTP/1.1 200 ") for client in clients[:3])
        clients[3].settimeout(1)
        with pytest.raises(TimeoutError):
            clients[3].recv(1)
        clients[0].close()
        assert clients[3].recv(4096).startswith(b"HTTP/1.1 200 ")
    finally:
        for client in clients:
            client.close()
        assert server.stop() == 0


@pytest.fixture(scope="module")
def spare(live: LiveServer) -> LiveServer:
    """Another server on the same database, which is not running."""
    settings = {"DSERVER_CLIENT_TIMEOUT": "3"}
    server = LiveServer(live.data_dir, workers=2, threads=2, program="serve", settings=settings)
    server.log = live.data_dir / "another.log"
    return server


@pytest.fixture
def another(spare: LiveServer) -> Iterator[LiveServer]:
    """A server that a test may end as it likes."""
    spare.log.unlink(missing_ok=True)
    spare.start()
    yield spare
    with contextlib.suppress(ProcessLookupError):
        os.killpg(spare.pid, signal.SIGKILL)


def established(server: LiveServer) -> int:
    """Return how many connections the kernel has that clients opened to a server and neither side has ended."""
    port = int(server.address.rpartition(":")[2])
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(local.endswith(f":{port:04X}") and state == "01" for _, local, _, state, *_ in lines)


@pytest.mark.parametrize("sends", [idle, half_a_head, half_a_body, a_large_answer])
def test_who_does_nothing_is_dropped(
    live: LiveServer, another: LiveServer, sends: Callable[[LiveServer], bytes]
) -> None:
    with contextlib.closing(socket.socket()) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host, port = another.address.removeprefix("http://").split(":")
        client.connect((host, int(port)))
        client.sendall(sends(live))
        deadline = time.monotonic() + 3 * 3 + 6
        assert established(another) == 1
        while established(another):
            assert time.monotonic() < deadline
            time.sleep(0.1)


class TestEnd:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
    def test_a_request_in_flight_is_answered(self, another: LiveServer, number: int) -> None:
        with connect(another) as client:
            body = b'{"display_name": "Carl  "}'
            client.sendall(head(another, "PATCH /me", f"Content-Length: {len(body)}") + body[:5])
            time.sleep(0.3)
            ended: list[int] = []
            ending = threading.Thread(target=lambda: ended.append(another.stop(number)))
            ending.start()
            time.sleep(0.5)
            client.sendall(body[5:])
            assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
            ending.join()
        assert ended == [0]
        assert "Traceback" not in another.log.read_text()
        assert "ERROR" not in another.log.read_text()

    def test_a_worker_that_is_killed_is_replaced(self, another: LiveServer) -> None:
        before = another.workers
        os.kill(before[0], signal.SIGKILL)
        deadline = time.monotonic() + START_SECONDS
        while len(set(another.workers) - set(before)) < 1 or len(another.workers) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        for _ in range(10):
            assert another.request("GET", "/me", CHAMPION).status_code == 200

    def test_workers_end_when_their_parent_is_killed(self, another: LiveServer) -> None:
        workers = another.workers
        os.kill(another.pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while any(Path(f"/proc/{worker}").exists() for worker in workers):
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def test_stopped_while_it_starts(self, live: LiveServer) -> None:
        for seconds in (0.5, 1.5, 3.0):
            process = subprocess.Popen(
                [sys.executable, "-m", "flask", "serve", "--port", str(free_port())],
                env=environment(live.data_dir, DSERVER_GRACEFUL_TIMEOUT="5"),
                stderr=subprocess.PIPE,
                text=True,
            )
            time.sleep(seconds)
            process.terminate()
            _, said = process.communicate(timeout=20)
            assert process.returncode in (0, -signal.SIGTERM)
            assert "Traceback" not in said
