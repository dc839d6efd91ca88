"""What proxies say about a client counts, if they are the administrator's; what anybody else says does not."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from werkzeug.serving import make_server

from api.conftest import on_sql_alone
from dservercore.catalog import audit
from dservercore.middleware.proxies import TrustedProxies
from support.redirecting import PAGE, REDIRECTED, with_redirect
from support.world import ADMIN

pytestmark = pytest.mark.attack

CLIENT, OUTER, INNER = "127.0.0.9", "127.0.0.2", "127.0.0.3"


def ask(
    port: int, headers: Mapping[str, str] = {}, path: str = "/", method: str = "GET", source: str = CLIENT
) -> Any:
    """Send a request from an address of this machine, over a socket; return the answer, with its body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, source_address=(source, 0), timeout=30)
    connection.request(method, path, headers=dict(headers))
    answer = connection.getresponse()
    answer.body = answer.read()  # type: ignore[attr-defined]
    connection.close()
    return answer


@contextmanager
def serving(application: Any) -> Iterator[int]:
    server = make_server("127.0.0.1", 0, application, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@contextmanager
def proxy(to: int, source: str, add: Mapping[str, str] = {}) -> Iterator[int]:
    """A proxy that asks from *source*, adds its client to ``X-Forwarded-For``, and adds other headers likewise."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = dict(self.headers)
            for name, value in {"X-Forwarded-For": self.client_address[0], **add}.items():
                headers[name] = f"{headers[name]}, {value}" if name in headers else value
            answer = ask(to, headers, self.path, self.command, source)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in ("connection", "date", "server"):
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        do_DELETE = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


KEYS = ("REMOTE_ADDR", "wsgi.url_scheme", "HTTP_HOST", "SCRIPT_NAME")


def tell(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """An application that tells what it knows of the request."""
    start_response("200 OK", [("Content-Type", "application/json")])
    forwarded = [name for name in environ if name in KEYS_OF_LIES]
    return [json.dumps([*(environ[key] for key in KEYS), forwarded]).encode()]


@pytest.fixture(scope="module")
def trusting() -> Iterator[Callable[..., Any]]:
    """``trusting(headers)`` tells what an application knows that trusts OUTER, INNER and some networks."""
    trusted = [OUTER, INNER, "127.0.0.5/32", "10.0.0.0/8", "2001:db8:1::/48"]
    with serving(TrustedProxies(tell, trusted)) as port:

        def told(headers: Mapping[str, str], source: str = INNER) -> list[Any]:
            return json.loads(ask(port, {"Host": "inner", **headers}, source=source).body)

        yield told


LIES = {
    "X-Forwarded-For": "192.0.2.1",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example.org",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-Port": "99",
    "X-Real-IP": "192.0.2.1",
    "Forwarded": "for=192.0.2.1;host=evil.example.org",
    "X-Forwarded": "for=192.0.2.1",
    "X-Client-IP": "192.0.2.1",
    "True-Client-IP": "192.0.2.1",
    "CF-Connecting-IP": "192.0.2.1",
    "X-Original-URL": "/users",
    "X-Rewrite-URL": "/users",
    "X-Script-Name": "/evil",
    "X-Host": "evil.example.org",
    "Proxy": "http://evil.example.org",
}
KEYS_OF_LIES = {f"HTTP_{name.upper().replace('-', '_')}" for name in LIES}


def test_nobody_else_is_believed_and_the_headers_are_gone(trusting):
    assert trusting(LIES, source=CLIENT) == [CLIENT, "http", "inner", "", []]


def test_by_default_nobody_is_believed():
    with serving(TrustedProxies(tell, [])) as port:
        assert json.loads(ask(port, {"Host": "me", **LIES}).body) == [CLIENT, "http", "me", "", []]


def test_a_trusted_proxy_is(trusting):
    said = {
        "X-Forwarded-For": "192.0.2.1",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "data.example.org",
        "X-Forwarded-Prefix": "/lookup",
    }
    assert trusting(said) == ["192.0.2.1", "https", "data.example.org", "/lookup", []]


@pytest.mark.parametrize(
    ("forwarded_for", "client"),
    [
        ("", INNER),
        ("192.0.2.1", "192.0.2.1"),
        ("6.6.6.6, 192.0.2.1", "192.0.2.1"),
        ("6.6.6.6, 192.0.2.1, 127.0.0.2", "192.0.2.1"),
        ("10.1.1.1, 192.0.2.1, 10.9.9.9,127.0.0.2", "192.0.2.1"),
        ("10.0.0.7, 127.0.0.2", "10.0.0.7"),
        ("2001:db8:2::1", "2001:db8:2::1"),
        ("2001:db8:2::1, 2001:db8:1::5", "2001:db8:2::1"),
        ("[2001:db8:2::1]:4711, 10.0.0.1:80", "2001:db8:2::1"),
        ("2001:DB8:2:0:0::1", "2001:db8:2::1"),
        ("::ffff:192.0.2.1, ::ffff:10.0.0.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("unknown", INNER),
        ("192.0.2.1, unknown", INNER),
        ("192.0.2.1, _hidden, 127.0.0.2", OUTER),
        ("192.0.2.1\t,  ,", "192.0.2.1"),
        (",,,", INNER),
        ("192.0.2.1;DROP", INNER),
        ("999.0.2.1", INNER),
        ("192.0.2.1/24", INNER),
        ("1", INNER),
        ("localhost", INNER),
        ("[::1", INNER),
        ("a" * 5000, INNER),
        (", ".join(["10.0.0.1"] * 2000), "10.0.0.1"),
    ],
)
def test_the_right_most_address_that_is_not_trusted_is_the_client(trusting, forwarded_for, client):
    assert trusting({"X-Forwarded-For": forwarded_for})[0] == client


@pytest.mark.parametrize(
    ("header", "value", "place"),
    [
        ("Proto", "ftp", 1),
        ("Proto", "https://", 1),
        ("Host", "evil.example.org/path", 2),
        ("Host", "user@evil.example.org", 2),
        ("Host", "a b", 2),
        ("Host", "[::1", 2),
        ("Prefix", "evil", 3),
        ("Prefix", "//evil.example.org", 3),
        ("Prefix", "/a/../b", 3),
        ("Prefix", "/a?b", 3),
        ("Prefix", "/<script>", 3),
        ("Prefix", "https://evil.example.org", 3),
    ],
)
def test_garbage_is_left_out(trusting, header, value, place):
    assert trusting({f"X-Forwarded-{header}": value})[place] == trusting({})[place]


@pytest.mark.parametrize(
    ("forwarded_for", "proto", "scheme"),
    [
        ("192.0.2.1", "https", "https"),
        ("192.0.2.1", "https, http", "http"),  # one proxy: what is left of it, the client has said
        ("192.0.2.1, 127.0.0.2", "https, http", "https"),  # two: each has added its own
        ("192.0.2.1, 127.0.0.2", "gopher, https, http", "https"),
        ("192.0.2.1, 127.0.0.2", "https", "https"),
    ],
)
def test_of_several_values_that_of_the_outermost_proxy_counts(trusting, forwarded_for, proto, scheme):
    assert trusting({"X-Forwarded-For": forwarded_for, "X-Forwarded-Proto": proto})[1] == scheme


@pytest.mark.parametrize(
    ("peer", "client"), [("::1", "192.0.2.1"), ("::2", "::2"), ("::ffff:10.1.1.1", "192.0.2.1")]
)
def test_peers_with_ipv6(peer, client):
    environ = {"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": "192.0.2.1"}
    TrustedProxies(lambda *_: [], ["::1", "10.0.0.0/8"])(environ, print)
    assert environ["REMOTE_ADDR"] == client


@pytest.mark.parametrize(("trusted", "client"), [(["unix"], "192.0.2.1"), (["0.0.0.0/0", "::/0"], "")])
def test_a_proxy_at_a_unix_socket(trusted, client):
    environ = {"REMOTE_ADDR": "", "HTTP_X_FORWARDED_FOR": "192.0.2.1"}
    TrustedProxies(lambda *_: [], trusted)(environ, print)
    assert environ["REMOTE_ADDR"] == client


@pytest.mark.parametrize("trusted", [[], ["unix"]])
def test_what_gunicorn_believes_of_everybody_at_a_unix_socket_is_undone(trusted):
    with socket.socket() as plain:
        environ = {
            "gunicorn.socket": plain,
            "REMOTE_ADDR": "",
            "wsgi.url_scheme": "https",
            "HTTP_X_FORWARDED_SSL": "on",
            "HTTP_SCRIPT_NAME": "/caf%C3%A9",
            "SCRIPT_NAME": "/caf%C3%A9",
            "PATH_INFO": "/uris",
        }
        TrustedProxies(lambda *_: [], trusted)(environ, print)
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["SCRIPT_NAME"] == ""
    assert environ["PATH_INFO"].encode("latin-1").decode() == "/café/uris"


def test_where_gunicorn_speaks_tls_the_scheme_is_https():
    with ssl.create_default_context().wrap_socket(socket.socket(), server_hostname="me") as encrypted:
        environ = {
            "gunicorn.socket": encrypted,
            "wsgi.url_scheme": "https",
            "SCRIPT_NAME": "",
            "PATH_INFO": "/",
        }
        TrustedProxies(lambda *_: [], [])(environ, print)
    assert environ["wsgi.url_scheme"] == "https"


def test_the_folder_that_the_administrator_has_told_gunicorn_stays(monkeypatch):
    monkeypatch.setenv("SCRIPT_NAME", "/lookup")
    with socket.socket() as plain:
        environ = {"gunicorn.socket": plain, "SCRIPT_NAME": "/lookup", "PATH_INFO": "/uris"}
        TrustedProxies(lambda *_: [], [])({**environ, "HTTP_SCRIPT_NAME": "/evil"}, print)
        TrustedProxies(lambda *_: [], [])(environ, print)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/lookup", "/uris")


@on_sql_alone
class TestServer:
    """The server itself, behind two proxies, of which the outer one serves it from a folder of its host."""

    @pytest.fixture
    def trusting_app(self, make_app):
        return with_redirect(make_app(DSERVER_TRUSTED_PROXIES=f"{OUTER}, {INNER}"))

    @pytest.fixture
    def entrance(self, trusting_app):
        said = {
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": "data.example.org",
            "X-Forwarded-Prefix": "/lookup",
        }
        with serving(trusting_app) as port, proxy(port, INNER) as inner, proxy(inner, OUTER, said) as outer:
            yield outer

    def test_the_audit_and_the_log_know_the_client(self, entrance, trusting_app, tokens, caplog):
        caplog.set_level("INFO")
        headers = {
            "Authorization": f"Bearer {tokens[ADMIN]}",
            **{k: v for k, v in LIES.items() if k == "X-Forwarded-For"},
        }
        assert ask(entrance, headers, "/users/nora", "DELETE").status == 200
        assert f"from={CLIENT} " in caplog.text
        with trusting_app.app_context():
            assert audit.list_records()[0][0]["origin"] == CLIENT

    def test_redirects_lead_to_where_the_client_asked(self, entrance):
        answer = ask(entrance, path=REDIRECTED)
        assert answer.status == 308
        assert answer.headers["Location"] == f"https://data.example.org/lookup{PAGE}"

    def test_whoever_goes_round_the_proxies_is_not_believed(self, trusting_app, tokens):
        with serving(trusting_app) as port:
            answer = ask(port, {**LIES, "Host": "inner"}, path=REDIRECTED)
            assert answer.headers["Location"] == f"http://inner{PAGE}"
            ask(port, {**LIES, "Authorization": f"Bearer {tokens[ADMIN]}"}, "/users/nora", "DELETE")
        with trusting_app.app_context():
            assert audit.list_records()[0][0]["origin"] == CLIENT
