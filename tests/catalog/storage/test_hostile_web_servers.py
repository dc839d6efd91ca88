"""What a web server or a bucket can make the server wait for, read or connect to."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from dservercore.catalog.storage.access import reason
from dservercore.catalog.storage.brokers import BrokerBase
from dservercore.catalog.storage.storage_limits import Limit, Limits
from dservercore.catalog.storage.time_limits import within
from dservercore.catalog.storage.web_servers import fetch, is_public

pytestmark = pytest.mark.attack

LIMITS = Limits(
    readme=Limit(1000, "DSERVER_MAX_README_LENGTH"),
    manifest=Limit(100_000, "DSERVER_MAX_MANIFEST_BYTES"),
    annotation=Limit(1000, "DSERVER_MAX_ANNOTATIONS_LENGTH"),
    tags=5,
    annotations=5,
)
SECONDS = 1.5
ITEM = {"size_in_bytes": 3, "relpath": "x", "hash": "h", "utc_timestamp": 1.0}
MANIFEST = {"items": {"a": ITEM}, "hash_function": "md5", "dtoolcore_version": "3"}

Answer = Callable[[BaseHTTPRequestHandler], None]


class WebServer:
    """A web server that answers each path as it is told to, and remembers what it was asked."""

    def __init__(self) -> None:
        outer = self
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.asked.append(self.path)
                with suppress(OSError):
                    outer.answers.get(self.path, lambda handler: handler.send_error(404))(self)

            def log_message(self, *arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()


def says(body: bytes | str, **headers: str) -> Answer:
    content = body.encode() if isinstance(body, str) else body

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        for header, value in {"Content_Length": str(len(content)), **headers}.items():
            handler.send_header(header.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def redirects(location: str, status: int = 302) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Location", location)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def drips(text: bytes, head: bool) -> Answer:
    """Say a byte a tenth of a second, in the headers or in the body."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if not head:
            handler.send_response(200)
            handler.send_header("Content-Length", "900")
            handler.end_headers()
        for _ in range(600):
            handler.wfile.write(text)
            handler.wfile.flush()
            time.sleep(0.1)

    return answer


def says_nothing(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(60)


def never_ends(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    while True:
        handler.wfile.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[WebServer, WebServer]]:
    pair = WebServer(), WebServer()
    yield pair
    for server in pair:
        server.server.shutdown()
        server.server.server_close()


@pytest.fixture
def home(servers: tuple[WebServer, WebServer]) -> WebServer:
    """The server of the base URI, with a dataset."""
    home = servers[0]
    home.asked.clear()
    listed = {
        "admin_metadata": {
            "uuid": str(uuid.uuid4()),
            "name": "beans",
            "type": "dataset",
            "creator_username": "olga",
            "frozen_at": 1.0,
        },
        "manifest_url": f"{home.url}/manifest",
        "readme_url": f"{home.url}/readme",
        "annotations": {"soil": f"{home.url}/soil"},
        "overlays": {},
        "tags": ["wet"],
        "item_urls": {},
    }
    home.answers = {
        "/base/beans": says(""),
        "/base/beans/http_manifest.json": says(json.dumps(listed)),
        "/manifest": says(json.dumps(MANIFEST)),
        "/readme": says("soil: loam"),
        "/soil": says('"loam"'),
    }
    return home


@pytest.fixture
def other(servers: tuple[WebServer, WebServer]) -> WebServer:
    """Another service of the same machine, which nobody has registered."""
    other = servers[1]
    other.asked.clear()
    other.answers = {"/secret": says("internal"), "/secret/http_manifest.json": says("{}")}
    return other


def read(home: WebServer) -> dict[str, Any]:
    base_uri = f"{home.url}/base"
    return BrokerBase(base_uri, LIMITS, SECONDS).open_readable(f"{base_uri}/beans").document(base_uri)


def refusal(home: WebServer) -> str:
    """Return why a dataset is not read, which is known when the time is over."""
    started = time.monotonic()
    with pytest.raises((OSError, ValueError)) as caught:
        read(home)
    assert time.monotonic() - started < 2 * SECONDS + 1
    told = reason(caught.value)
    assert "\n" not in told
    return told


def test_a_dataset_of_a_registered_private_server_is_read(home: WebServer) -> None:
    document = read(home)
    assert (document["name"], document["readme"], document["tags"]) == ("beans", "soil: loam", ["wet"])
    assert (document["annotations"], document["number_of_items"]) == ({"soil": "loam"}, 1)


@pytest.mark.parametrize(
    "path", ["/base/beans", "/base/beans/http_manifest.json", "/readme", "/manifest", "/soil"]
)
def test_a_redirect_to_another_private_server_is_not_followed(
    home: WebServer, other: WebServer, path: str
) -> None:
    home.answers[path] = redirects(f"{other.url}/secret")
    assert "at a private address" in refusal(home)
    assert other.asked == []


@pytest.mark.parametrize(
    "location",
    [
        "http://localhost:{port}/secret",
        "http://[::1]:{port}/secret",
        "http://[::ffff:127.0.0.1]:{port}/secret",
        "http://0.0.0.0:{port}/secret",
        "http://0:{port}/secret",
        "http://2130706433:{port}/secret",
        "http://0x7f.1:{port}/secret",
        "http://127.1:{port}/secret",
        "http://user@127.0.0.1:{port}/secret",
        "http://127.0.0.1.:{port}/secret",
        "//127.0.0.1:{port}/secret",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/",
        "http://192.168.1.1/",
        "http://100.64.0.1/",
        "https://localhost:{port}/secret",
    ],
)
def test_no_spelling_of_a_private_address_helps(home: WebServer, other: WebServer, location: str) -> None:
    home.answers["/readme"] = redirects(location.format(port=other.port))
    assert "private address" in refusal(home) or "is not known" in refusal(home)
    assert other.asked == []


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "ftp://127.0.0.1/", "gopher://x", "http://[", "http://a:b/"],
)
def test_a_redirect_to_no_web_server_is_not_followed(home: WebServer, location: str) -> None:
    home.answers["/readme"] = redirects(location)
    assert "is no address of a file on a web server" in refusal(home)


@pytest.mark.parametrize("field", ["readme_url", "manifest_url"])
@pytest.mark.parametrize(
    "url", ["{other}/secret", "file:///etc/passwd", 7, None, ["x"], "{home}/a b", "{home}/ä"]
)
def test_addresses_that_a_dataset_lists(home: WebServer, other: WebServer, field: str, url: Any) -> None:
    answer = {
        "admin_metadata": {"name": "beans", "type": "dataset"},
        "readme_url": f"{home.url}/readme",
        "manifest_url": f"{home.url}/manifest",
        field: url.format(home=home.url, other=other.url) if isinstance(url, str) else url,
    }
    home.answers["/base/beans/http_manifest.json"] = says(json.dumps(answer))
    assert "private address" in (told := refusal(home)) or "is no address of a file" in told
    assert other.asked == []


def test_a_name_that_leads_to_a_private_address(
    home: WebServer, other: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever owns a name says where it leads, and something else the next time."""
    looked_up = socket.getaddrinfo
    addresses = iter(["127.0.0.1", "127.0.0.1", "127.0.0.1"])

    def look_up(host: str, *arguments: Any, **options: Any) -> Any:
        return looked_up(next(addresses) if host == "rebinding.example.org" else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    home.answers["/readme"] = redirects(f"http://rebinding.example.org:{other.port}/secret")
    assert (
        refusal(home) == "rebinding.example.org is at a private address, and not the server of the base URI"
    )
    assert other.asked == []


def test_redirects_on_the_same_server_are_followed_and_end(home: WebServer) -> None:
    home.answers["/readme"] = redirects("/readme-1", 307)
    home.answers["/readme-1"] = redirects("/readme-2", 301)
    home.answers["/readme-2"] = says("there")
    assert read(home)["readme"] == "there"
    home.answers["/readme-2"] = redirects("/readme")
    assert "one redirect too many" in refusal(home)


@pytest.mark.parametrize("path", ["/base/beans", "/base/beans/http_manifest.json", "/readme", "/manifest"])
@pytest.mark.parametrize(
    "answer",
    [says_nothing, drips(b"x", head=False), drips(b"X-Drip: 1\r\n", head=True), drips(b"H", head=True)],
    ids=["nothing", "body", "headers", "status"],
)
def test_slow_answers_are_cut(home: WebServer, path: str, answer: Answer) -> None:
    if path == "/base/beans" and answer is not says_nothing:
        answer = drips(b"HTTP", head=True)  # nothing of its body is read
    home.answers[path] = answer
    told = refusal(home)
    assert (
        told == f"its storage took longer than {SECONDS:g} seconds (DSERVER_STORAGE_TIMEOUT)"
        or "does not answer" in told
    )


HUGE: dict[str, tuple[str, Answer, str]] = {
    "no end": ("/readme", never_ends, "DSERVER_MAX_README_LENGTH"),
    "a manifest without an end": ("/manifest", never_ends, "DSERVER_MAX_MANIFEST_BYTES"),
    "a list without an end": ("/base/beans/http_manifest.json", never_ends, "DSERVER_MAX_MANIFEST_BYTES"),
    "a promise": ("/readme", says("x", Content_Length=str(2**50)), "DSERVER_MAX_README_LENGTH"),
    "one byte too many": ("/readme", says("x" * 1001), "DSERVER_MAX_README_LENGTH"),
    "packed": ("/readme", says("x", Content_Encoding="gzip"), "comes packed"),
    "too short": ("/readme", says("x", Content_Length="2", Connection="close"), "too early"),
    "a deep manifest": ("/manifest", says("[" * 90_000), "nested too deeply"),
    "no JSON": ("/soil", says("[\n1,\nloam]"), "/soil is not JSON: Expecting value: line 3 column 1"),
    "no manifest": ("/manifest", says("[]"), "/manifest is not as dtool writes it"),
    "no HTTP": ("/readme", lambda handler: handler.wfile.write(b"SSH-2.0\r\n\r\n"), "does not answer as a web server"),
    "a negative length": ("/readme", says("x" * 2000, Content_Length="-5", Connection="close"), "README"),
}  # fmt: skip


@pytest.mark.parametrize("huge", HUGE)
def test_answers_that_are_too_much(home: WebServer, huge: str) -> None:
    path, answer, expected = HUGE[huge]

    def and_close(handler: BaseHTTPRequestHandler) -> None:
        answer(handler)
        handler.close_connection = True

    home.answers[path] = and_close
    assert expected in refusal(home)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-8-sig"])
def test_a_readme_in_another_encoding_is_decoded(home: WebServer, encoding: str) -> None:
    home.answers["/readme"] = says("soil: Löß\n".encode(encoding))
    base_uri = f"{home.url}/base"
    dataset = BrokerBase(base_uri, LIMITS, SECONDS).open_readable(f"{base_uri}/beans")
    assert dataset.document(base_uri)["readme"] == "soil: Löß\n"
    (warning,) = dataset.warnings
    assert warning.startswith(f"{home.url}/readme")


def test_what_dtool_has_not_written_is_left_out(home: WebServer) -> None:
    """As it is where the web server lists what lies in a directory."""
    urls = dict.fromkeys((".DS_Store", "._soil", "soil (1)"), f"{home.url}/none")
    home.answers["/base/beans/http_manifest.json"] = listing(
        home,
        annotations=urls | {"soil": f"{home.url}/soil"},
        tags=["wet", "beans~", "@eaDir", "Thumbs.db", 7],
    )
    base_uri = f"{home.url}/base"
    dataset = BrokerBase(base_uri, LIMITS, SECONDS).open_readable(f"{base_uri}/beans")
    document = dataset.document(base_uri)
    assert (document["annotations"], document["tags"]) == ({"soil": "loam"}, ["wet"])
    left_out = [f"annotations/{name}" for name in sorted(urls)] + [
        f"tags/{name}" for name in ("7", "@eaDir", "Thumbs.db", "beans~")
    ]
    assert dataset.warnings == [f"{name} is left out: dtool has not written it" for name in left_out]


def listing(home: WebServer, **changes: Any) -> Answer:
    """Return the answer that lists the dataset with other members."""
    named = {
        "uuid": str(uuid.uuid4()),
        "name": "beans",
        "type": "dataset",
        "creator_username": "olga",
        "frozen_at": 1,
    }
    urls = {"manifest_url": f"{home.url}/manifest", "readme_url": f"{home.url}/readme"}
    return says(json.dumps({"admin_metadata": named, **urls, **changes}))


def test_annotations_are_limited_together(home: WebServer) -> None:
    urls = {f"a{number}": f"{home.url}/same" for number in range(4)}
    home.answers["/base/beans/http_manifest.json"] = listing(home, annotations=urls)
    home.answers["/same"] = says(json.dumps("x" * 198))
    assert len(read(home)["annotations"]) == 4
    home.answers["/same"] = says(json.dumps("x" * 298))
    assert "DSERVER_MAX_ANNOTATIONS_LENGTH" in refusal(home)
    base_uri = f"{home.url}/base"
    dataset = BrokerBase(base_uri, LIMITS, SECONDS).open_readable(f"{base_uri}/beans")
    with pytest.raises(ValueError, match="DSERVER_MAX_ANNOTATIONS_LENGTH"):
        dataset.get_annotations()


def test_names_are_limited(home: WebServer) -> None:
    path = "/base/beans/http_manifest.json"
    home.answers[path] = listing(home, tags=list("abcde"))
    assert read(home)["tags"] == list("abcde")
    home.answers[path] = listing(home, tags=list("abcdef"))
    assert refusal(home) == f"a dataset in {home.url}/base has more than the 5 tags that are read"
    home.answers[path] = listing(home, annotations=dict.fromkeys("abcdef", f"{home.url}/soil"))
    assert refusal(home) == f"a dataset in {home.url}/base has more than the 5 annotations that are read"
    assert "/soil" not in home.asked


def test_a_storage_that_can_only_be_read_is_not_asked_for_an_edit(home: WebServer) -> None:
    base_uri = f"{home.url}/base"
    with pytest.raises(OSError, match="can only be read"):
        BrokerBase(base_uri, LIMITS, SECONDS).open_editable(f"{base_uri}/beans")
    assert home.asked == []


def test_a_web_server_is_not_listed(home: WebServer) -> None:
    with pytest.raises(OSError, match="flask dataset register"):
        BrokerBase(f"{home.url}/base", LIMITS, SECONDS).list_uris()


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2001:4860:4860::8888", True),
        ("127.0.0.1", False),
        ("::1", False),
        ("::", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("fe80::1%eth0", False),
        ("fd00:ec2::254", False),
        ("169.254.169.254", False),
        ("172.16.0.1", False),
        ("198.18.0.1", False),
        ("224.0.0.1", False),
        ("ff02::1", False),
        ("255.255.255.255", False),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_a_bare_fetch_says_where_it_ended(home: WebServer) -> None:
    home.answers["/a"] = redirects("/readme")
    answer = fetch(f"{home.url}/a", ("127.0.0.1", home.port), Limit(100))
    assert (answer.url, answer.status, answer.body) == (f"{home.url}/readme", 200, b"soil: loam")


def certificate(folder: Path) -> Path:
    """Return a file with a key and a certificate of this machine that it has signed itself."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(timezone.utc)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    signed = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    file = folder / "certificate.pem"
    file.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + signed.public_bytes(pem)
    )
    return file


def test_https_is_verified_and_has_the_same_limits(
    home: WebServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    secure = WebServer()
    secure.answers = {
        "/readme": says("soil: loam"),
        "/slow": says_nothing,
        "/away": redirects(f"{home.url}/readme"),
    }
    secure.server.socket = context.wrap_socket(secure.server.socket, server_side=True)
    place, url = ("localhost", secure.port), f"https://localhost:{secure.port}"
    with pytest.raises(ssl.SSLCertVerificationError), within(SECONDS):
        fetch(f"{url}/readme", place, Limit(100))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with within(SECONDS):
        assert fetch(f"{url}/readme", place, Limit(100)).body == b"soil: loam"
        with pytest.raises(ValueError, match="larger than the 5 bytes"):
            fetch(f"{url}/readme", place, Limit(5))
        with pytest.raises(ValueError, match="private address"):
            fetch(f"{url}/away", place, Limit(100))
    with pytest.raises(TimeoutError), within(0.5):
        fetch(f"{url}/slow", place, Limit(100))
    secure.server.shutdown()
    secure.server.server_close()


def test_a_handshake_that_never_ends_is_cut() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        started = time.monotonic()
        with pytest.raises(TimeoutError, match="DSERVER_STORAGE_TIMEOUT"), within(0.5):
            fetch(f"https://127.0.0.1:{port}/", ("127.0.0.1", port), Limit(100))
        assert time.monotonic() - started < 5
