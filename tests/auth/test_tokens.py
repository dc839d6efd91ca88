"""Tokens of attackers: nothing is accepted that the server's own key has not signed for a user and for now."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from flask_jwt_extended import JWTManager, create_access_token
from jwt.algorithms import RSAAlgorithm
from sqlalchemy import delete, insert, text

import dservercore
from dservercore import sql_db, utils, utils_auth
from dservercore.auth import decoded_tokens
from dservercore.auth.decoded_tokens import DecodedTokens
from dservercore.catalog import base_uris, groups, users
from dservercore.errors import AuthenticationError, ConflictError
from dservercore.models import User
from dservercore.settings.keys import generate_key_pair
from support.live_server import LiveServer
from support.world import ADMIN, CHAMPION
from support.worlds import World, world

pytestmark = pytest.mark.attack


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, key_pair: tuple[Path, Path]) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("tokens"), key_pair, SECRET_KEY="for tests alone") as here:
        yield here


@pytest.fixture(scope="module")
def private(key_pair: tuple[Path, Path]) -> str:
    return key_pair[0].read_text()


@pytest.fixture(scope="module")
def stolen(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A key pair of the attacker's own."""
    private, public = generate_key_pair(tmp_path_factory.mktemp("stolen"))
    return private.read_text(), public.read_text()


def encoded(part: Any) -> str:
    text = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def signed(key: str, claims: Any, **header: Any) -> str:
    """Return a token that *key* signs with RS256, whatever its header and claims are."""
    content = f"{encoded({'alg': 'RS256', 'typ': 'JWT', **header})}.{encoded(claims)}"
    algorithm = RSAAlgorithm(RSAAlgorithm.SHA256)
    return f"{content}.{encoded(algorithm.sign(content.encode(), algorithm.prepare_key(key)))}"


def status(here: World, token: str, path: str = "/me") -> int:
    answer = here.client.get(path, headers={"Authorization": f"Bearer {token}"})
    assert answer.mimetype == "application/json"
    assert answer.status_code < 500, answer.text
    return answer.status_code


ME = {"sub": ADMIN}


class TestAlgorithms:
    @pytest.mark.parametrize(
        "name", ["none", "None", "NONE", "nOnE", " none", "none ", "", None, False, 0, [], ["none"], {}]
    )
    @pytest.mark.parametrize("signature", ["", "AA", None])
    def test_none(self, here: World, private: str, name: Any, signature: str | None) -> None:
        """Without a signature, with any, and with that of a good token."""
        good = signed(private, ME).rpartition(".")[2]
        token = f"{encoded({'alg': name, 'typ': 'JWT'})}.{encoded(ME)}."
        assert status(here, token + (good if signature is None else signature)) == 422

    @pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
    @pytest.mark.parametrize("form", ["PEM", "stripped", "one line", "DER", "SSH", "empty", "secret", "null"])
    def test_a_public_key_as_a_shared_secret(
        self, here: World, key_pair: tuple[Path, Path], algorithm: str, form: str
    ) -> None:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        pem = here.app.config["JWT_PUBLIC_KEY"]
        key = load_pem_public_key(pem.encode())
        secret = {
            "PEM": pem.encode(),
            "stripped": pem.strip().encode(),
            "one line": "".join(pem.splitlines()[1:-1]).encode(),
            "DER": key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            "SSH": key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
            "empty": b"",
            "secret": b"for tests alone",
            "null": b"\0",
        }[form]
        content = f"{encoded({'alg': algorithm, 'typ': 'JWT'})}.{encoded(ME)}"
        digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[algorithm]
        assert status(here, f"{content}.{encoded(hmac.digest(secret, content.encode(), digest))}") == 422

    @pytest.mark.parametrize(
        "algorithm", ["RS384", "RS512", "PS256", "PS384", "PS512", "rs256", "RS256 ", "ES256", "EdDSA"]
    )
    def test_others(self, here: World, private: str, algorithm: str) -> None:
        """Whatever the name in the header: what it is signed with is RS256, or what the library makes of the name."""
        assert status(here, signed(private, ME, alg=algorithm)) == 422
        if algorithm in ("RS384", "RS512", "PS256", "PS384", "PS512"):
            assert status(here, jwt.encode(ME, private, algorithm)) == 422


class TestKeysThatTheTokenBringsAlong:
    def test_in_the_header(self, here: World, stolen: tuple[str, str]) -> None:
        private, public = stolen
        jwk = json.loads(RSAAlgorithm.to_jwk(load_pem_public_key(public.encode())))
        certificate = "".join(public.splitlines()[1:-1])
        for header in ({"jwk": jwk}, {"jwk": {**jwk, "kid": "1"}, "kid": "1"}, {"x5c": [certificate]}, {}):
            assert status(here, signed(private, ME, **header)) == 422

    @pytest.mark.parametrize("header", ["jku", "x5u", "kid", "iss"])
    def test_at_an_address(self, here: World, private: str, stolen: tuple[str, str], header: str) -> None:
        """Nobody fetches anything."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(0.3)
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/keys.json"
            assert status(here, signed(stolen[0], ME, **{header: url})) == 422
            assert status(here, signed(private, ME, **{header: url})) == 200
            with pytest.raises(TimeoutError):
                listener.accept()

    @pytest.mark.parametrize(
        "kid", ["/dev/null", "../../../dev/null", "' OR 1=1 --", "\0", "é", "x" * 10_000]
    )
    def test_by_name(self, here: World, stolen: tuple[str, str], kid: str) -> None:
        assert status(here, signed(stolen[0], ME, kid=kid)) == 422
        content = f"{encoded({'alg': 'HS256', 'kid': kid})}.{encoded(ME)}"
        assert status(here, f"{content}.{encoded(hmac.digest(b'', content.encode(), hashlib.sha256))}") == 422

    @pytest.mark.parametrize(
        "header",
        [
            {"crit": ["exp"]},
            {"crit": ["b64"], "b64": False},
            {"crit": ["urn:unknown"], "urn:unknown": True},
            {"crit": []},
            {"crit": "exp"},
            {"b64": False},
        ],
    )
    def test_what_the_server_would_have_to_understand(
        self, here: World, private: str, header: dict[str, Any]
    ) -> None:
        """RFC 7515, 4.1.11: whoever does not understand what is critical must refuse the token."""
        assert status(here, signed(private, ME, **header)) == 422


class TestTampering:
    def test_every_byte_of_the_signature_counts(self, here: World, private: str) -> None:
        head, _, signature = signed(private, ME).rpartition(".")
        raw = base64.urlsafe_b64decode(signature + "==")
        for position in range(0, len(raw), 16):
            changed = bytearray(raw)
            changed[position] ^= 1
            assert status(here, f"{head}.{encoded(bytes(changed))}") == 422
        for other in (
            "",
            signature[:-4],
            signature + "AAAA",
            signature * 2,
            encoded(b"\0" * len(raw)),
            encoded(b""),
        ):
            assert status(here, f"{head}.{other}") == 422

    def test_the_parts_belong_together(self, here: World, private: str) -> None:
        mine, hers = signed(private, {"sub": CHAMPION}).split("."), signed(private, ME, kid="x").split(".")
        for chosen in range(1, 7):
            parts = [(hers if chosen >> place & 1 else mine)[place] for place in range(3)]
            assert status(here, ".".join(parts)) == 422

    @pytest.mark.parametrize(
        "payload", [b"", b"null", b"[]", b'"ada"', b"1", b"{", b'{"sub": "ada"', b"\xff", b"{}{}"]
    )
    def test_claims_that_are_none(self, here: World, private: str, payload: bytes) -> None:
        assert status(here, signed(private, payload)) == 422

    def test_a_claim_given_twice_is_that_of_the_one_who_signed(self, here: World, private: str) -> None:
        """The last one counts, as it does for whatever made the token in this language."""
        token = signed(private, b'{"sub": "ada", "sub": "carl"}')
        answer = here.client.get("/me", headers={"Authorization": f"Bearer {token}"})
        assert answer.json["username"] == CHAMPION


def ago(seconds: float) -> Callable[[], float]:
    """Return what tells the time so many seconds before it is asked, which may be long after tests were collected."""
    return lambda: time.time() - seconds


class TestTime:
    @pytest.mark.parametrize(
        ("claims", "expected"),
        [
            ({"exp": -1}, 401),
            ({"exp": 0}, 401),
            ({"exp": ago(1)}, 401),
            ({"exp": ago(-3600)}, 200),
            ({"exp": "9999999999"}, 200),
            ({"exp": 10**15}, 200),
            ({"exp": "tomorrow"}, 422),
            ({"exp": None}, 422),
            ({"exp": []}, 422),
            ({"exp": {}}, 422),
            ({"exp": 10**400}, 200),
            ({"exp": float("inf")}, 422),
            ({"exp": float("nan")}, 422),
            ({"nbf": ago(-3600)}, 422),
            ({"nbf": 10**400}, 422),
            ({"nbf": float("inf")}, 422),
            ({"nbf": "soon"}, 422),
            ({"nbf": ago(1)}, 200),
            ({"iat": ago(-3600)}, 422),
            ({"iat": float("inf")}, 422),
            ({"iat": "now"}, 422),
            ({"iat": ago(1)}, 200),
        ],
    )
    def test_claims_about_it(self, here: World, private: str, claims: dict[str, Any], expected: int) -> None:
        claims = {name: value() if callable(value) else value for name, value in claims.items()}
        token = signed(private, {**ME, **claims})
        assert (status(here, token), status(here, token)) == (expected, expected)


class TestSubjects:
    @pytest.mark.parametrize("subject", [1, 0, 1.5, True, None, [ADMIN], [], {ADMIN: 1}, {}])
    def test_that_are_no_text(self, here: World, private: str, subject: Any) -> None:
        assert status(here, signed(private, {"sub": subject})) == 422

    @pytest.mark.parametrize(
        "subject",
        [
            "",
            " ",
            " ada",
            "ada ",
            "ada\t",
            "ada\n",
            "ada\0",
            "\0ada",
            "ada\0nobody",
            "ADA",
            "Ada",
            "аda",  # a Cyrillic a
            "ａｄａ",
            "ada\u200b",
            "a\u0301da",
            "\ud800",
            "ada\udfff",
            "ada%00",
            "ad%",
            "a_a",
            "%",
            "*",
            "ada' OR '1'='1",
            "x" * 100_000,
            "é" * 10_000,
        ],
    )
    def test_that_are_somebody_else(self, here: World, private: str, subject: str) -> None:
        assert status(here, signed(private, {"sub": subject})) == 401

    def test_tokens_of_another_kind(self, here: World, private: str) -> None:
        assert status(here, signed(private, {**ME, "type": "access"})) == 200
        assert status(here, signed(private, {**ME, "type": "refresh"})) == 422


class TestPlaces:
    """A token counts in one header, once."""

    @pytest.mark.parametrize(
        "where",
        [
            {"query_string": "access_token={}"},
            {"query_string": "jwt={}"},
            {"query_string": "Authorization=Bearer {}"},
            {"headers": {"X-Authorization": "Bearer {}"}},
            {"headers": {"Proxy-Authorization": "Bearer {}"}},
            {"headers": {"X-Access-Token": "{}"}},
            {"headers": {"Cookie": "access_token_cookie={}; Authorization=Bearer {}; session={}"}},
            {"data": '{{"access_token": "{}", "token": "{}"}}', "content_type": "application/json"},
            {"data": "access_token={}", "content_type": "application/x-www-form-urlencoded"},
        ],
    )
    def test_elsewhere(self, here: World, private: str, where: dict[str, Any]) -> None:
        token = signed(private, ME)

        def filled(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: filled(part) for name, part in value.items()}
            return value.format(token, token, token) if "{}" in value else value

        for method in ("GET", "PATCH"):
            answer = here.client.open("/me", method=method, **filled(where))
            assert answer.status_code == 401

    @pytest.mark.parametrize(
        "header",
        [
            "Bearer Bearer {}",
            "Bearer {},Bearer {}",
            "Bearer {}, Bearer {}",
            "Bearer {} {}",
            "Bearer {}.",
            "Bearer .{}",
            "Bearer {}.x",
            'Bearer "{}"',
            "Bearer token={}",
            "{}",
            "Bearer:{}",
            "Bearer{}",
            "\tBearer {}",
            "JWT {}",
        ],
    )
    def test_in_another_form(self, here: World, private: str, header: str) -> None:
        token = signed(private, ME)
        value = header.format(token, token)
        if value.startswith("\t"):  # of no meaning in HTTP, and taken off by every server
            value = value.replace("\t", "\t ").strip() + " x"
        assert here.client.get("/me", headers={"Authorization": value}).status_code in (401, 422)

    def test_beside_a_password_that_is_meant_for_a_proxy(self, here: World, private: str) -> None:
        for token, expected in ((signed(private, ME), 200), ("x", 422)):
            header = f"Basic eDp5, Bearer {token}"
            assert here.client.get("/me", headers={"Authorization": header}).status_code == expected


def over_a_socket(live: LiveServer, *headers: str) -> int:
    host, port = live.address.removeprefix("http://").split(":")
    request = "\r\n".join(["GET /me HTTP/1.1", "Host: x", "Connection: close", *headers, "", ""])
    answer = b""
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        try:
            connection.sendall(request.encode("latin-1"))
            while received := connection.recv(65536):
                answer += received
        except (ConnectionResetError, BrokenPipeError):
            pass
    return int(answer.split()[1]) if answer else 0


class TestSeveralWorkers:
    @pytest.fixture(scope="class")
    def live(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
        live = LiveServer(tmp_path_factory.mktemp("workers"), workers=3, threads=2)
        with live.app.app_context():
            users.add_user(ADMIN, is_admin=True)
            sql_db.session.commit()
        live.start()
        yield live
        live.stop()

    @staticmethod
    def add(live: LiveServer, username: str) -> None:
        with live.app.app_context():
            users.add_user(username)
            sql_db.session.commit()

    def test_a_deleted_user_is_out_everywhere_at_once(self, live: LiveServer) -> None:
        self.add(live, "leaving")
        for _ in range(30):  # so that every worker has seen the token
            assert live.request("GET", "/me", "leaving").status_code == 200
        assert live.request("DELETE", "/users/leaving", ADMIN).status_code == 200
        assert [live.request("GET", "/me", "leaving").status_code for _ in range(30)] == [401] * 30

    @pytest.mark.parametrize("taken", ["members/{}", "search/s3/lab", ""])
    def test_what_a_group_is_no_longer_granted_is_refused_everywhere_at_once(
        self, live: LiveServer, taken: str
    ) -> None:
        name = f"member-{len(taken)}"
        self.add(live, name)
        with live.app.app_context():
            base_uris.put_base_uri("s3://lab", None, None)
            groups.put_group(name)
            groups.add_member(name, name)
            groups.grant("search", name, "s3://lab")
            sql_db.session.commit()

        def may_search(times: int) -> list[bool]:
            answers = [live.request("GET", "/me", name).json() for _ in range(times)]
            return [answer["search_permissions_on_base_uris"] == ["s3://lab"] for answer in answers]

        assert may_search(30) == [True] * 30  # so that every worker has seen it
        path = f"/groups/{name}/{taken.format(name)}".rstrip("/")
        assert live.request("DELETE", path, ADMIN).status_code == 200
        assert may_search(30) == [False] * 30

    def test_a_token_ends_everywhere_when_it_says_so(self, live: LiveServer) -> None:
        self.add(live, "late")
        end = int(time.time()) + 4
        private = live.app.config["JWT_PRIVATE_KEY"]
        header = f"Authorization: Bearer {signed(private, {'sub': 'late', 'exp': end})}"
        seen = []
        while time.time() < end - 0.5:
            seen.append(over_a_socket(live, header))
        assert seen
        assert set(seen) == {200}
        time.sleep(end - time.time() + 0.01)
        assert {over_a_socket(live, header) for _ in range(30)} == {401}

    def test_headers_that_are_twice_there_or_huge(self, live: LiveServer) -> None:
        self.add(live, "twice")
        token = signed(live.app.config["JWT_PRIVATE_KEY"], {"sub": "twice"})
        assert over_a_socket(live, f"Authorization: Bearer {token}") == 200
        for headers in (
            [f"Authorization: Bearer {token}"] * 2,
            [f"Authorization: Bearer {token}", "Authorization: Bearer x"],
            [f"Authorization: Bearer {token}x"],
            ["Authorization: Bearer " + "A" * 100_000],
            [f"Authorization: Bearer {token}.{'A' * 100_000}"],
            ["Authorization: Bearer " + "A." * 4_000],
            [f"Authorization_: Bearer {token}"],
            [f"authorization : Bearer {token}"],
        ):
            assert 400 <= over_a_socket(live, *headers) < 500
        assert "Traceback" not in live.log.read_text()


class TestWhatIsRemembered:
    @pytest.fixture(autouse=True)
    def tokens(self, here: World) -> DecodedTokens:
        here.app.extensions.pop("dservercore-decoded-tokens", None)
        return decoded_tokens.decoded_tokens(here.app)

    @pytest.fixture
    def manager(self) -> Iterator[decoded_tokens.DecodingManager]:
        """The manager of all applications, which forgets afterwards what a test has told it."""
        before = dict(vars(dservercore.jwt))
        yield dservercore.jwt
        vars(dservercore.jwt).update(before)

    @pytest.fixture
    def setting(self, here: World) -> Iterator[Callable[..., None]]:
        """``setting(name, value)`` changes a setting of the running application."""
        before = dict(here.app.config)
        yield lambda name, value: here.app.config.update({name: value})
        here.app.config.clear()
        here.app.config.update(before)

    def test_many_tokens_take_no_more_room_than_some(
        self, here: World, private: str, tokens: DecodedTokens, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(decoded_tokens, "MAX_BYTES", 30_000)
        sizes = []
        for number in range(40):
            padding = "x" * (number % 3 * 1_000)
            assert status(here, signed(private, {**ME, "jti": str(number), "x": padding})) == 200
            sizes.append(tokens.size)
            content = sum(len(header) + len(kept.content) for header, kept in tokens._decoded.items())
            assert content < tokens.size <= 30_000
        assert max(sizes) > 20_000

    def test_long_tokens_are_verified_each_time(
        self, here: World, private: str, tokens: DecodedTokens
    ) -> None:
        long = signed(private, {**ME, "groups": ["x" * 100] * 1_000})
        assert status(here, long) == status(here, long) == 200
        assert not len(tokens)
        short = signed(private, {**ME, "groups": ["x" * 100] * 10})
        assert status(here, short) == 200
        assert len(tokens) == 1

    def test_what_was_refused_is_not_remembered(
        self, here: World, private: str, stolen: tuple[str, str], tokens: DecodedTokens
    ) -> None:
        for token in (signed(stolen[0], ME), signed(private, {**ME, "exp": 1}), "x"):
            assert status(here, token) in (401, 422)
        assert not len(tokens)

    def test_a_token_is_refused_as_soon_as_it_is_revoked(
        self, here: World, private: str, manager: decoded_tokens.DecodingManager
    ) -> None:
        revoked: set[str] = set()
        tokens = {jti: signed(private, {**ME, "jti": jti}) for jti in ("first", "second")}
        assert [status(here, token) for token in tokens.values()] == [200, 200]
        manager.token_in_blocklist_loader(lambda _header, claims: claims["jti"] in revoked)
        for _ in range(2):
            assert [status(here, token) for token in tokens.values()] == [200, 200]
        revoked.add("first")
        assert [status(here, token) for token in tokens.values()] == [401, 200]
        revoked.clear()
        assert [status(here, token) for token in tokens.values()] == [200, 200]

    def test_others_are_asked_each_time_what_they_think_of_its_claims(
        self, here: World, private: str, manager: decoded_tokens.DecodingManager
    ) -> None:
        asked: list[str] = []
        answers = [True, True, False]

        def accepts(header: dict[str, Any], claims: dict[str, Any]) -> bool:
            asked.append(claims["sub"] + header["kid"])
            claims["sub"] = "changed"  # which is nobody else's affair
            return answers[len(asked) - 1] if len(asked) <= len(answers) else False

        token = signed(private, ME, kid="1")
        assert status(here, token) == 200
        manager.token_verification_loader(accepts)
        before = dict(ME)
        for _ in range(2):
            status(here, token)
        assert status(here, token) == 400
        assert set(asked) == {before["sub"] + "1"}

    def test_the_user_of_a_token_is_looked_for_each_time(
        self, here: World, private: str, manager: decoded_tokens.DecodingManager
    ) -> None:
        there = {ADMIN: object()}
        manager.user_lookup_loader(lambda _header, claims: there.get(claims["sub"]))
        token = signed(private, ME)
        assert status(here, token) == status(here, token) == 200
        there.clear()
        assert status(here, token) == 401

    def test_a_key_that_is_chosen_is_chosen_each_time(
        self, here: World, private: str, stolen: tuple[str, str], manager: decoded_tokens.DecodingManager
    ) -> None:
        keys = {"a": here.app.config["JWT_PUBLIC_KEY"]}
        manager.decode_key_loader(lambda header, _claims: keys[header["kid"]])
        token = signed(private, ME, kid="a")
        assert status(here, token) == status(here, token) == 200
        keys["a"] = stolen[1]
        assert status(here, token) == 422

    @pytest.mark.parametrize(
        ("name", "value", "expected"),
        [
            ("JWT_PUBLIC_KEY", "stolen", 422),
            ("JWT_DECODE_ISSUER", "https://other.example", 422),
            ("JWT_DECODE_AUDIENCE", "others", 422),
            ("JWT_IDENTITY_CLAIM", "email", 422),
            ("JWT_HEADER_TYPE", "Token", 401),
            ("JWT_HEADER_NAME", "X-Token", 401),
            ("JWT_TOKEN_LOCATION", ["cookies"], 401),
            ("DSERVER_MAX_TOKEN_LIFETIME", 60, 401),
            ("JWT_DECODE_LEEWAY", -7_200, 401),
        ],
    )
    def test_it_does_not_outlive_the_settings(
        self,
        here: World,
        private: str,
        stolen: tuple[str, str],
        setting: Callable[..., None],
        name: str,
        value: Any,
        expected: int,
    ) -> None:
        token = signed(private, {**ME, "exp": time.time() + 3_600, "iat": time.time() - 8_000})
        assert status(here, token) == status(here, token) == 200
        setting(name, stolen[1] if value == "stolen" else value)
        assert status(here, token) == expected

    @pytest.mark.parametrize("claim", ["nbf", "iat"])
    def test_a_clock_that_is_set_back(
        self, here: World, private: str, claim: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = int(time.time())
        assert status(here, signed(private, {**ME, claim: now})) == 200
        monkeypatch.setattr(time, "time", lambda: now - 10.0)
        assert decoded_tokens._is_of_now({claim: now}, 0) is False
        assert decoded_tokens._is_of_now({claim: now}, 10) is True

    def test_another_manager_of_an_extension_is_asked(self, here: World, private: str) -> None:
        """One that an extension puts in the place of ours tells nobody who has a say."""
        token = signed(private, ME)
        assert status(here, token) == 200
        ours = here.app.extensions["flask-jwt-extended"]
        theirs = JWTManager()
        here.app.extensions["flask-jwt-extended"] = theirs
        try:
            assert status(here, token) == 200
            theirs.token_in_blocklist_loader(lambda _header, _claims: True)
            theirs.revoked_token_loader(lambda _header, _claims: ({"msg": "revoked"}, 401))
            assert status(here, token) == 401
        finally:
            here.app.extensions["flask-jwt-extended"] = ours

    def test_the_claims_of_one_are_never_those_of_another(self, here: World, private: str) -> None:
        bearers = {name: signed(private, {"sub": name}) for name in (ADMIN, CHAMPION)}
        wrong: list[Any] = []

        def ask(name: str) -> None:
            client = here.app.test_client()
            for _ in range(50):
                answer = client.get("/me", headers={"Authorization": f"Bearer {bearers[name]}"})
                wrong.extend([answer.json] * (answer.json.get("username") != name))

        threads = [threading.Thread(target=ask, args=(name,)) for name in bearers for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []


class TestNamesakes:
    """Who gets the name of a user who was deleted does not get that user's tokens."""

    @pytest.fixture
    def name(self) -> str:
        return f"nick-{uuid.uuid4().hex}"

    @staticmethod
    def asks(here: World, private: str, name: str, **claims: Any) -> int:
        return status(here, signed(private, {"sub": name, **claims}))

    WAYS_OUT: ClassVar[dict[str, Callable[[str], Any]]] = {
        "catalog": users.delete_user,
        "face": utils.delete_user,
        "face, many": lambda name: utils.delete_users([{"username": name}]),
        "query": lambda name: sql_db.session.query(User).filter_by(username=name).delete(),
        "statement": lambda name: sql_db.session.execute(delete(User).where(User.username == name)),
        "object": lambda name: sql_db.session.delete(utils.get_user_obj(name)),
        "SQL": lambda name: sql_db.session.execute(
            text("DELETE FROM user WHERE username = :name"), {"name": name}
        ),
    }
    WAYS_IN: ClassVar[dict[str, Callable[[str], Any]]] = {
        "catalog": users.add_user,
        "face": lambda name: utils.register_user(name, {}),
        "face, many": lambda name: utils.register_users([{"username": name}]),
        "object": lambda name: sql_db.session.add(User(username=name)),
        "objects": lambda name: sql_db.session.bulk_save_objects([User(username=name)]),
        "statement": lambda name: sql_db.session.execute(
            insert(User), [{"username": name, "is_admin": False}]
        ),
        "table": lambda name: sql_db.session.execute(
            User.__table__.insert().values(username=name, is_admin=False)
        ),
    }

    @pytest.mark.parametrize(
        ("first", "out", "again"),
        [("catalog", out, "catalog") for out in WAYS_OUT]
        + [(first, "catalog", "face") for first in WAYS_IN]
        + [("object", "SQL", again) for again in WAYS_IN],
    )
    def test_by_whatever_way_users_come_and_go(
        self, here: World, private: str, name: str, first: str, out: str, again: str
    ) -> None:
        made = int(time.time()) - 5
        with here.app.app_context():
            self.WAYS_IN[first](name)
            sql_db.session.commit()
        for claims in ({}, {"iat": made}, {"exp": made + 9_999}):
            assert self.asks(here, private, name, **claims) == 200
        with here.app.app_context():
            self.WAYS_OUT[out](name)
            sql_db.session.commit()
            assert self.asks(here, private, name) == 401
            self.WAYS_IN[again](name)
            sql_db.session.commit()
            fresh = create_access_token(name)
        for claims in ({}, {"iat": made}, {"exp": made + 9_999}, {"iat": 0}, {"iat": "1"}, {"iat": True}):
            assert self.asks(here, private, name, **claims) == 401
        assert status(here, fresh) == 200
        with here.app.app_context():
            users.update_user(name, {"display_name": "Nick"})
            users.put_user(name, {})
            sql_db.session.commit()
        assert status(here, fresh) == 200
        assert self.asks(here, private, name, iat=made) == 401

    def test_over_rest_on_every_guard(self, here: World, private: str, name: str) -> None:
        here.send("PUT", f"/users/{name}", ADMIN, json={})
        old = {"Authorization": "Bearer " + signed(private, {"sub": name, "iat": time.time() - 5})}
        paths = ("/me", "/uris", f"/users/{name}", "/users", "/readmes/s3/red/x", "/config/info")
        before = {path: here.client.get(path, headers=old).status_code for path in paths}
        assert set(before.values()) == {200, 403}
        here.send("DELETE", f"/users/{name}", ADMIN)
        here.send("PUT", f"/users/{name}", ADMIN, json={"is_admin": True})
        assert {here.client.get(path, headers=old).status_code for path in paths} == {401}
        assert here.client.get("/me", headers=old).json["code"] == 401
        assert here.client.post("/uris/bulk", headers=old, json=[]).status_code == 401

    @pytest.mark.parametrize("out", ["catalog", "SQL"])
    def test_one_made_in_the_second_of_the_deletion(self, here: World, name: str, out: str) -> None:
        """Whoever is added in the same second waits for the next one: then it is clear whose token it is."""
        with here.app.app_context():
            users.add_user(name)
            sql_db.session.commit()
            time.sleep(1 - time.time() % 1)
            old = create_access_token(name)
            self.WAYS_OUT[out](name)
            sql_db.session.commit()
            users.add_user(name)
            sql_db.session.commit()
            new = create_access_token(name)
        assert [status(here, token) for token in (old, old, new)] == [401, 401, 200]

    def test_nobody_waits_where_no_user_is_new(self, here: World, name: str) -> None:
        with here.app.app_context():
            users.add_user(name)
            sql_db.session.commit()
            began = time.monotonic()
            for _ in range(5):
                users.put_user(name, {})
                sql_db.session.commit()
        assert time.monotonic() - began < 1

    def test_a_user_who_gets_the_name(self, here: World, private: str, name: str) -> None:
        old = signed(private, {"sub": name, "iat": int(time.time()) - 5})
        with here.app.app_context():
            for own in (name, f"{name}-2", f"{name}-3"):
                users.add_user(own)
            users.delete_user(name)
            sql_db.session.commit()
            utils.get_user_obj(f"{name}-2").username = name
            sql_db.session.commit()
            fresh = create_access_token(name)
            utils.get_user_obj(f"{name}-3").username = f"{name}-4"  # which nobody had
            sql_db.session.commit()
            assert utils.get_user_obj(f"{name}-4").tokens_since is None
        assert [status(here, token) for token in (old, fresh)] == [401, 200]
        with here.app.app_context():
            users.add_user(f"{name}-3")
            sql_db.session.commit()
        assert self.asks(here, private, f"{name}-3", iat=int(time.time()) - 5) == 401

    def test_a_server_in_which_nobody_asks_for_the_models(self, tmp_path: Path) -> None:
        program = """if True:
            import sys
            from dservercore import create_app, sql_db
            from dservercore.models import User
            from dservercore.db.registered_names import RegisteredName

            app = create_app({"SQLALCHEMY_DATABASE_URI": "sqlite://", "SECRET_KEY": "for tests alone"})
            with app.app_context():
                sql_db.create_all()
                sql_db.session.add(User(username="nick"))
                sql_db.session.commit()
                User.query.filter_by(username="nick").delete()
                assert "dservercore.sql_models" not in sys.modules
                print(sql_db.session.get(RegisteredName, "nick").deleted_at)
        """
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.stdout.strip().isdigit(), done.stdout + done.stderr

    def test_routes_of_extensions(self, here: World, private: str, name: str) -> None:
        asked: list[Any] = []
        view = utils_auth.jwt_required()(lambda: asked.append(utils_auth.get_jwt_identity()))
        old = {"Authorization": "Bearer " + signed(private, {"sub": name, "iat": time.time() - 5})}
        with here.app.test_request_context("/", headers=old):
            view()  # who is not registered is nobody's namesake
            users.add_user(name)
            sql_db.session.commit()
            view()
            assert asked == [name, name]
            users.delete_user(name)
            users.add_user(name)
            sql_db.session.commit()
            with pytest.raises(AuthenticationError):
                view()
        assert asked == [name, name]

    def test_a_server_whose_clock_is_ahead(
        self, tmp_path: Path, key_pair: tuple[Path, Path], private: str
    ) -> None:
        with world(tmp_path, key_pair, JWT_DECODE_LEEWAY=30, JWT_PRIVATE_KEY="") as elsewhere:
            with elsewhere.app.app_context():
                users.delete_user(CHAMPION)
                users.add_user(CHAMPION)
                sql_db.session.commit()
                since = utils.get_user_obj(CHAMPION).tokens_since
            assert since is not None
            assert self.asks(elsewhere, private, CHAMPION, iat=since + 29) == 401
            assert self.asks(elsewhere, private, CHAMPION, iat=since + 30) == 200

    def test_adding_a_first_user_while_another_adds_the_same(self, here: World, name: str) -> None:
        outcomes: list[Any] = []

        def add() -> None:
            with here.app.app_context():
                try:
                    users.add_user(name)
                    sql_db.session.commit()
                    outcomes.append("added")
                except ConflictError:
                    sql_db.session.rollback()
                    outcomes.append("taken")

        threads = [threading.Thread(target=add) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["added", "taken", "taken", "taken"]
        with here.app.app_context():
            assert utils.get_user_obj(name).tokens_since is None
