"""A provider of OpenID Connect that does whatever a test wants, on a socket: most of it is what no provider should."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from flask import Flask, jsonify, request
from joserfc import jwt
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from werkzeug.serving import make_server

CLIENT_ID, CLIENT_SECRET, AUDIENCE = "dserver-pages", "a-secret-of-two", "dserver-api"

#: Of the kinds that sign tokens. To make one takes a second.
KEYS: dict[str, Key] = {
    "rsa": RSAKey.generate_key(2048, {"kid": "rsa"}),
    "other": RSAKey.generate_key(2048, {"kid": "other"}),
    "ec": ECKey.generate_key("P-256", {"kid": "ec"}),
    "ed": OKPKey.generate_key("Ed25519", {"kid": "ed"}),
}


class Provider:
    """A provider that is honest until a test changes one of these.

    :ivar issuer: its address
    :ivar document: what is different in its document; None: a key is left out
    :ivar published: names of the keys that it publishes
    :ivar claims: what is different in the next ID tokens; None: a claim is left out
    :ivar header: what is different in their headers
    :ivar sign: makes a token of a header and claims; None: with the key that the header names
    :ivar takes_codes_twice: whether a code is good more than once
    :ivar token: what is different in the answer to a code
    :ivar userinfo: what there is at the user info endpoint
    :ivar answers: by path, what answers instead
    :ivar asked: paths of the requests that came
    """

    def __init__(self, port: int):
        self.issuer = f"http://127.0.0.1:{port}"
        self.document: dict[str, Any] = {}
        self.published = ["rsa"]
        self.claims: dict[str, Any] = {}
        self.header: Mapping[str, Any] = {}
        self.sign: Callable[[dict[str, Any], dict[str, Any]], str] | None = None
        self.takes_codes_twice = False
        self.token: dict[str, Any] = {}
        self.userinfo: dict[str, Any] = {"sub": "subject-of-olga"}
        self.answers: dict[str, Callable[[], Any]] = {}
        self.asked: list[str] = []
        self._codes: dict[str, dict[str, str]] = {}

    def code_for(self, url: str) -> str:
        """Return the code for a browser that was sent to an address here, whose user has signed in."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert query["client_id"] == CLIENT_ID
        assert query["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(8)
        self._codes[code] = query
        return code

    def signed(self, claims: dict[str, Any], **header: Any) -> str:
        """Return a token with these claims, of which those that are None are left out."""
        whole = {
            name: value
            for name, value in {"alg": "RS256", "kid": "rsa", **header}.items()
            if value is not None
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        if self.sign:
            return self.sign(whole, claims)
        key = KEYS[whole.get("kid", "rsa")]
        rules = JWSRegistry(algorithms=[whole["alg"]], strict_check_header=False)
        return jwt.encode(whole, claims, key, registry=rules)

    def access_token(self, header: Mapping[str, Any] = {}, **claims: Any) -> str:
        """Return an access token for our API, but for what is different."""
        now = int(time.time())
        usual = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": "subject-of-olga",
            "preferred_username": "olga",
            "azp": "a-program",
            "iat": now,
            "exp": now + 60,
        }
        return self.signed({**usual, **claims}, **{"typ": "at+jwt", **header})

    def logout_token(self, header: Mapping[str, Any] = {}, **claims: Any) -> str:
        """Return a token that ends sessions, but for what is different."""
        now = int(time.time())
        usual = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "sub": "subject-of-olga",
            "iat": now,
            "exp": now + 60,
            "jti": "1",
            "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
        }
        return self.signed({**usual, **claims}, **{"typ": "logout+jwt", **header})

    def _document(self) -> Any:
        usual = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "end_session_endpoint": f"{self.issuer}/bye",
        }
        return jsonify(
            {name: value for name, value in {**usual, **self.document}.items() if value is not None}
        )

    def _keys(self) -> Any:
        return jsonify({"keys": [KEYS[name].as_dict(private=False) for name in self.published]})

    def _token(self) -> Any:
        form, credentials = request.form, request.authorization
        begun = (
            self._codes.get(form.get("code", ""))
            if self.takes_codes_twice
            else self._codes.pop(form["code"], None)
        )
        challenge = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if (
            begun is None
            or credentials is None
            or (credentials.username, credentials.password) != (CLIENT_ID, CLIENT_SECRET)
            or form["redirect_uri"] != begun["redirect_uri"]
            or urlsafe_b64encode(challenge).decode().rstrip("=") != begun["code_challenge"]
        ):
            return {"error": "invalid_grant"}, 400
        now = int(time.time())
        usual = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "sub": "subject-of-olga",
            "preferred_username": "olga",
            "name": "Olga O.",
            "nonce": begun["nonce"],
            "iat": now,
            "exp": now + 60,
        }
        token = self.signed({**usual, **self.claims}, **self.header)
        return {"access_token": "for-user-info", "token_type": "Bearer", "id_token": token, **self.token}

    def _userinfo(self) -> Any:
        if request.headers.get("Authorization") != "Bearer for-user-info":
            return {"error": "invalid_token"}, 401
        return self.userinfo

    def answer(self, path: str) -> Any:
        """Answer a request."""
        self.asked.append(path)
        if path in self.answers:
            return self.answers[path]()
        views = {
            ".well-known/openid-configuration": self._document,
            "keys": self._keys,
            "token": self._token,
            "userinfo": self._userinfo,
        }
        return views[path]() if path in views else ("", 404)


def unsigned(header: dict[str, Any], claims: dict[str, Any]) -> str:
    """Return a token that says that it needs no signature."""
    return jwt.encode({**header, "alg": "none"}, claims, OctKey.import_key("x" * 32), algorithms=["none"])


def signed_with_public_key(header: dict[str, Any], claims: dict[str, Any]) -> str:
    """Return a token whose shared secret is the text of the public key, which everybody knows."""
    signed = _encoded({**header, "alg": "HS256"}, claims)
    return _with_signature(signed, hmac.digest(KEYS["rsa"].as_pem(private=False), signed, "sha256"))


def signed_by_somebody(header: dict[str, Any], claims: dict[str, Any]) -> str:
    """Return a token that names the provider's key, and is signed with another one."""
    return jwt.encode(header, claims, KEYS["other"], algorithms=["RS256"])


def with_header(header: dict[str, Any], claims: dict[str, Any]) -> str:
    """Return a token that the provider has signed, with any header at all."""
    signed = _encoded(header, claims)
    return _with_signature(signed, KEYS["rsa"].private_key.sign(signed, padding.PKCS1v15(), hashes.SHA256()))


def _encoded(header: dict[str, Any], claims: dict[str, Any]) -> bytes:
    parts = (json.dumps(part).encode() for part in (header, claims))
    return b".".join(urlsafe_b64encode(part).rstrip(b"=") for part in parts)


def _with_signature(signed: bytes, signature: bytes) -> str:
    return (signed + b"." + urlsafe_b64encode(signature).rstrip(b"=")).decode()


@contextmanager
def provider() -> Iterator[Callable[[], Provider]]:
    """Give a function that makes an honest provider, at the same address each time."""
    app = Flask("provider")
    server = make_server("127.0.0.1", 0, app, threaded=True)
    running: list[Provider] = []

    @app.route("/<path:path>", methods=["GET", "POST"])
    def answer(path: str) -> Any:
        return running[-1].answer(path)

    def new() -> Provider:
        running.append(Provider(server.port))
        return running[-1]

    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield new
    server.shutdown()
    thread.join()


def settings(provider: Provider, name: str = "lab", **more: str) -> dict[str, str]:
    """Return the settings of a server that has this provider; *more* are ends of names of further ones."""
    given = {"ISSUER": provider.issuer, "CLIENT_ID": CLIENT_ID, "CLIENT_SECRET": CLIENT_SECRET, **more}
    return {
        "DSERVER_OIDC_PROVIDERS": name,
        **{f"DSERVER_OIDC_{name.upper()}_{end}": value for end, value in given.items()},
    }
