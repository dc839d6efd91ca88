"""The server behind nginx, as docker/ and the guide to production configure it: clients cannot play the proxy."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import yaml

from dservercore.catalog import audit
from support import nginx
from support.live_server import LiveServer
from support.redirecting import PAGE, REDIRECTED
from support.world import ADMIN

pytestmark = pytest.mark.attack

CONFIGURATIONS = {"docker": nginx.of_docker, "guide": nginx.of_the_guide}

EVIL = "evil.example"
SPOOFED = {
    "X-Forwarded-For": "192.0.2.66",
    "X-Forwarded-Proto": "gopher",
    "X-Forwarded-Host": EVIL,
    "X-Forwarded-Prefix": f"/{EVIL}",
    "X-Real-IP": "192.0.2.66",
    "Forwarded": f"for=192.0.2.66;host={EVIL};proto=gopher",
    "Proxy": f"http://{EVIL}/",
}
# Other spellings of those that the server believes, which become the same key in WSGI.
MISSPELT = {
    "X_Forwarded_Host": EVIL,
    "X_FORWARDED_FOR": "192.0.2.66",
    "X-Forwarded_Prefix": f"/{EVIL}",
    "x_forwarded-proto": "gopher",
    "SCRIPT_NAME": f"/{EVIL}",
    "PATH_INFO": f"/{EVIL}",
    "X.Forwarded.Host": EVIL,
    "x-FORWARDED-host": EVIL,
}
# What no proxy of ours speaks of, but others do.
STRANGE = dict.fromkeys(
    (
        "X-Forwarded",
        "X-Forwarded-Port",
        "X-Forwarded-Server",
        "X-Forwarded-Scheme",
        "X-Forwarded-Protocol",
        "X-Forwarded-Ssl",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Script-Name",
        "X-Host",
        "X-Client-IP",
        "True-Client-IP",
        "CF-Connecting-IP",
        "X-Cluster-Client-IP",
    ),
    EVIL,
)
# Redirected to one with single slashes: the answer names the address that the server believes it was asked at.


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    """The address of a server that answers with the headers of the request."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(self.headers.items()).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """`flask serve`, as the image starts it, with one worker, which trusts everybody, as docker-compose.yml has it."""
    settings = {"DSERVER_TRUSTED_PROXIES": services()["app"]["environment"]["DSERVER_TRUSTED_PROXIES"]}
    server = LiveServer(
        tmp_path_factory.mktemp("behind"),
        workers=1,
        threads=1,
        settings=settings,
        program="serve",
        application="support.redirecting:create_app()",
    )
    server.add_people()
    try:
        server.start()
        yield server
    finally:
        server.stop()


def services() -> dict[str, Any]:
    """Return the services of docker-compose.yml."""
    return yaml.safe_load((nginx.CHECKOUT / "docker-compose.yml").read_text())["services"]


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """``behind(kind, upstream)`` starts nginx as configured for docker or in the guide, and returns how to ask it."""
    try:
        nginx.executable()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    running: dict[tuple[Any, ...], tuple[Any, Asking]] = {}

    def start(kind: str, upstream: str, change: Callable[[str], str] = str) -> Asking:
        key = (kind, upstream, change)
        if key not in running:
            manager = nginx.nginx(change(CONFIGURATIONS[kind]()), upstream, tmp_path_factory.mktemp(kind))
            running[key] = manager, Asking(manager.__enter__(), encrypted=kind == "guide")
        return running[key][1]

    yield start
    for manager, _ in running.values():
        manager.__exit__(None, None, None)


class Asking:
    """Requests to nginx at *port*."""

    def __init__(self, port: int, encrypted: bool):
        self.port, self.encrypted = port, encrypted

    def __call__(
        self, path: str = "/", headers: Mapping[str, str] = {}, method: str = "GET", body: bytes = b""
    ) -> http.client.HTTPResponse:
        if self.encrypted:
            context = ssl._create_unverified_context()
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                "127.0.0.1", self.port, timeout=30, context=context
            )
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, body or None, {"Host": "good.example", **headers})
        return connection.getresponse()

    def connect(self) -> socket.socket:
        """Return a connection, to write bytes to."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        if not self.encrypted:
            return plain
        return ssl._create_unverified_context().wrap_socket(plain, server_hostname="good.example")


@pytest.mark.parametrize("kind", CONFIGURATIONS)
@pytest.mark.parametrize("path", ["/", "/signed-urls/uploads/x"])
def test_nothing_that_a_client_says_of_itself_is_handed_on(
    kind: str, path: str, echo: str, behind: Callable[..., Any]
) -> None:
    ask = behind(kind, echo)
    for spoofed in (SPOOFED, MISSPELT, {**SPOOFED, **{k.lower(): v for k, v in SPOOFED.items()}}):
        handed_on = json.loads(ask(path, spoofed).read())
        values = [value for _, value in handed_on]
        assert not [value for value in values if EVIL in value or "192.0.2" in value or "gopher" in value]
        names = sorted(name.lower() for name, _ in handed_on if "forw" in name.lower())
        assert names == ["x-forwarded-for", "x-forwarded-proto"]
        assert {"127.0.0.1", "https" if ask.encrypted else "http"} <= set(values)


@pytest.mark.parametrize("kind", CONFIGURATIONS)
@pytest.mark.parametrize(
    "headers",
    [
        {"Connection": "close, X-Forwarded-For, X-Forwarded-Proto, Host"},
        {"Connection": "X-Forwarded-For", "Keep-Alive": "timeout=1000", "TE": "trailers"},
        {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAAP__"},
        {"Connection": "Upgrade", "Upgrade": "websocket"},
    ],
)
def test_a_client_cannot_have_headers_removed_or_the_protocol_changed(
    kind: str, headers: dict[str, str], echo: str, behind: Callable[..., Any]
) -> None:
    """As it could where a proxy does what the ``Connection`` of the client says."""
    answer = behind(kind, echo)("/", headers)
    assert answer.status == 200
    names = {name.lower() for name, _ in json.loads(answer.read())}
    assert {"x-forwarded-for", "x-forwarded-proto", "host"} <= names
    assert "upgrade" not in names


@pytest.mark.parametrize("kind", CONFIGURATIONS)
def test_the_host_of_an_absolute_address_is_not_believed(
    kind: str, live: LiveServer, behind: Callable[..., Any]
) -> None:
    with behind(kind, live.address.removeprefix("http://")).connect() as connection:
        connection.sendall(f"GET http://{EVIL}{REDIRECTED} HTTP/1.1\r\nHost: good.example\r\n\r\n".encode())
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 308 ")
    assert EVIL.encode() not in answer


def test_what_the_server_does_not_believe_is_not_handed_on_either(
    echo: str, behind: Callable[..., Any]
) -> None:
    spoofed = {name: EVIL for name in STRANGE if name in nginx.of_docker()}
    assert len(spoofed) >= 9
    assert EVIL not in behind("docker", echo)("/", spoofed).read().decode()


@pytest.mark.parametrize("kind", CONFIGURATIONS)
@pytest.mark.parametrize("spoofed", [SPOOFED, MISSPELT, STRANGE], ids=["spoofed", "misspelt", "strange"])
def test_the_answer_does_not_believe_a_client_who_plays_the_proxy(
    kind: str, spoofed: dict[str, str], live: LiveServer, behind: Callable[..., Any]
) -> None:
    ask = behind(kind, live.address.removeprefix("http://"))
    answer = ask(REDIRECTED, spoofed)
    assert answer.status == 308
    # The guide knows the name of the server, and has nginx say that one.
    address = "https://dserver.example.org" if kind == "guide" else "http://good.example"
    assert answer.headers["Location"] == f"{address}{PAGE}"
    assert EVIL not in f"{answer.headers}{answer.read()!r}"

    headers = {**spoofed, **live.bearer(ADMIN), "Content-Type": "application/json"}
    assert ask(f"/users/{uuid.uuid4().hex}", headers, "PUT", b"{}").status == 201
    assert "from=192.0.2" not in live.log.read_text()
    with live.app.app_context():
        assert audit.list_records()[0][0]["origin"] == "127.0.0.1"


def test_without_the_configuration_the_same_client_would_be_believed(
    live: LiveServer, behind: Callable[..., Any]
) -> None:
    """So the tests above would notice if it were lost."""

    def credulous(configuration: str) -> str:
        return re.sub(r"proxy_set_header (X-Forwarded|Forwarded).*", "", configuration)

    ask = behind("docker", live.address.removeprefix("http://"), credulous)
    location = ask(REDIRECTED, {**SPOOFED, "X-Forwarded-Proto": "https"}).headers["Location"]
    assert location == f"https://{EVIL}/{EVIL}{PAGE}"


@pytest.mark.parametrize("header", ["SCRIPT_NAME", "PATH_INFO", "X_Forwarded_Host", "REMOTE_USER"])
def test_headers_that_are_called_like_variables_are_dropped_without_nginx_too(
    live: LiveServer, header: str
) -> None:
    host, port = live.address.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    connection.request("GET", REDIRECTED, headers={header: f"/{EVIL}"})
    answer = connection.getresponse()
    assert answer.status == 308
    assert answer.headers["Location"] == f"{live.address}{PAGE}"


def test_the_guide_and_the_image_start_what_is_tested_here() -> None:
    guide = (nginx.CHECKOUT / "docs" / "how-to" / "run-in-production.rst").read_text()
    assert re.findall(r"^   ExecStart=\S+/(flask serve)$", guide, re.MULTILINE) == ["flask serve"]
    assert 'CMD ["flask", "serve",' in (nginx.CHECKOUT / "Dockerfile").read_text()


@pytest.mark.parametrize("kind", CONFIGURATIONS)
class TestLimits:
    """What nginx keeps from the server."""

    def test_a_body_that_is_too_large_is_refused_before_it_is_sent(
        self, kind: str, live: LiveServer, behind: Callable[..., Any]
    ) -> None:
        ask = behind(kind, live.address.removeprefix("http://"))
        with ask.connect() as connection:
            length = 512 * 1024 * 1024 + 1
            connection.sendall(
                f"PUT /users/x HTTP/1.1\r\nHost: good.example\r\nContent-Length: {length}\r\n\r\n".encode()
            )
            assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")

    def test_a_file_that_is_uploaded_may_be_large_and_is_handed_on_as_it_comes(
        self, kind: str, live: LiveServer, behind: Callable[..., Any]
    ) -> None:
        """The server answers, which nginx would not let it before the body is there, or at all."""
        ask = behind(kind, live.address.removeprefix("http://"))
        with ask.connect() as connection:
            length = 512 * 1024 * 1024 + 1
            connection.sendall(
                f"PUT /signed-urls/uploads/s3/b/u HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n".encode()
            )
            answer = connection.recv(4096)
        assert b"X-Request-ID: " in answer
        assert not answer.startswith(b"HTTP/1.1 413 ") or b"MAX_CONTENT_LENGTH" in answer

    @pytest.mark.parametrize(
        ("head", "status"),
        [
            ("GET /uris HTTP/1.1\r\nHost: a\r\nX-Much: " + "x" * 9000, 400),
            ("GET /uris HTTP/1.1\r\nHost: a" + "".join(f"\r\nX-{n}: {'x' * 1000}" for n in range(40)), 400),
            ("GET /uris?" + "x" * 9000 + " HTTP/1.1\r\nHost: a", 414),
            ("GET /uris HTTP/1.1\r\nHost: good.example\r\nHost: evil.example", 400),
            ("GET /uris HTTP/1.1\r\nHost: evil.example/path?", 400),
            ("GET /uris HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\nHost: a", 400),
            ("GET /uris HTTP/1.1", 400),
            ("TRACE /uris HTTP/1.1\r\nHost: a", 405),
        ],
        ids=["a header", "headers", "a query", "two hosts", "no host", "two lengths", "none", "trace"],
    )
    def test_requests_that_are_none_or_too_large(
        self, kind: str, head: str, status: int, live: LiveServer, behind: Callable[..., Any]
    ) -> None:
        ask = behind(kind, live.address.removeprefix("http://"))
        with ask.connect() as connection:
            connection.sendall(head.encode() + b"\r\n\r\n")
            assert connection.recv(4096).startswith(f"HTTP/1.1 {status} ".encode())

    def test_slow_clients_keep_nobody_waiting_and_are_dropped(
        self, kind: str, live: LiveServer, behind: Callable[..., Any]
    ) -> None:
        """Fifty clients stop in the middle of their requests to a server that has one worker with one thread."""

        def hurried(configuration: str) -> str:
            changed, times = re.subn(r"(client_(?:header|body)_timeout) \d\ds;", r"\1 2s;", configuration)
            assert times == 2
            return changed

        ask = behind(kind, live.address.removeprefix("http://"), hurried)
        head = b"PUT /users/x HTTP/1.1\r\nHost: good.example\r\n"
        beginnings = [head, head + b"Content-Length: 100\r\n\r\nsome", b"GET"]
        slow = []
        try:
            for number in range(50):
                slow.append(ask.connect())
                slow[-1].sendall(beginnings[number % 3])
            started = time.monotonic()
            assert ask("/config/health").status == 200
            assert time.monotonic() - started < 1
            for connection in slow:
                connection.settimeout(10)
                with suppress(ConnectionResetError):
                    assert connection.recv(4096)[:12] in (b"", b"HTTP/1.1 408")
            assert time.monotonic() - started < 8
        finally:
            for connection in slow:
                connection.close()


def test_compose_mounts_this_file_and_lets_nobody_else_reach_the_server() -> None:
    assert "./docker/nginx.conf:/etc/nginx/conf.d/default.conf:ro" in services()["nginx"]["volumes"]
    assert "FORWARDED_ALLOW_IPS" not in services()["app"]["environment"]
    assert [name for name, service in services().items() if "ports" in service] == ["nginx"]
    assert services()["nginx"]["ports"] == ["${HTTP_ADDRESS:-127.0.0.1}:${HTTP_PORT:-5000}:80"]
