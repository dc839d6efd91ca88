"""How long tokens may live, whose they may be, and how far clocks may differ."""

from __future__ import annotations

import time

import jwt
import pytest

from api.conftest import on_sql_alone
from dservercore.cli import user_cli
from support.world import CHAMPION

pytestmark = [on_sql_alone, pytest.mark.attack]

NOW = 0  # stands for the present in the claims below


@pytest.fixture
def ask(make_app, config):
    """``ask(settings, **claims)`` returns status and message for a token whose times are relative to now."""

    def answer(settings, **claims):
        now = int(time.time())
        claims = {
            "sub": CHAMPION,
            **{key: now + value if key in ("exp", "iat", "nbf") else value for key, value in claims.items()},
        }
        client = make_app(**settings).test_client()
        headers = {"Authorization": "Bearer " + jwt.encode(claims, config["JWT_PRIVATE_KEY"], "RS256")}
        first, again = client.get("/me", headers=headers), client.get("/me", headers=headers)
        assert first.status_code == again.status_code
        return first.status_code, first.json.get("msg", "")

    return answer


class TestLifetime:
    def test_any_is_accepted_by_default(self, ask):
        assert ask({}) == (200, "")
        assert ask({}, exp=10**9) == (200, "")

    @pytest.mark.parametrize("claims", [{"exp": 3600}, {"exp": 3600, "iat": NOW}, {"exp": 5, "iat": -3590}])
    def test_one_that_is_short_enough(self, ask, claims):
        assert ask({"DSERVER_MAX_TOKEN_LIFETIME": "1h"}, **claims) == (200, "")

    @pytest.mark.parametrize(
        "claims",
        [
            {},
            {"iat": NOW},
            {"exp": 3700},
            {"exp": 3700, "iat": NOW},
            {"exp": 60, "iat": -3700},
            {"exp": 10**9},
        ],
    )
    def test_one_that_is_not(self, ask, claims):
        status, message = ask({"DSERVER_MAX_TOKEN_LIFETIME": "1h"}, **claims)
        assert (status, "longer than 3600 seconds" in message) == (401, True)

    def test_a_token_made_in_the_future_does_not_live_longer_for_it(self, ask):
        settings = {"DSERVER_MAX_TOKEN_LIFETIME": "1h", "JWT_DECODE_LEEWAY": 30}
        assert ask(settings, iat=20, exp=3700)[0] == 401


class TestClock:
    def test_it_may_differ_by_so_many_seconds(self, ask):
        assert ask({"JWT_DECODE_LEEWAY": "60"}, nbf=50)[0] == 200
        assert ask({"JWT_DECODE_LEEWAY": "60"}, iat=50)[0] == 200
        assert ask({"JWT_DECODE_LEEWAY": "60"}, iat=80)[0] == 422

    @pytest.mark.parametrize("claim", ["iat", "nbf"])
    def test_by_half_a_minute_by_default(self, ask, claim):
        assert ask({}, **{claim: 3})[0] == ask({}, **{claim: 25})[0] == 200
        assert ask({}, **{claim: 60})[0] == 422

    def test_by_none_if_so_configured(self, ask):
        assert ask({"JWT_DECODE_LEEWAY": "0"}, iat=25)[0] == 422

    @pytest.mark.parametrize("leeway", ["0", "30", "60"])
    def test_the_end_of_a_token_is_not_put_off(self, ask, leeway):
        assert ask({"JWT_DECODE_LEEWAY": leeway}, exp=-1) == (401, "Token has expired")
        assert ask({"JWT_DECODE_LEEWAY": leeway}, exp=-20) == (401, "Token has expired")


class TestIssuerAndAudience:
    def test_they_are_not_looked_at_by_default(self, ask):
        assert ask({}, iss="anybody", aud="anything")[0] == 200

    def test_the_issuer(self, ask):
        settings = {"JWT_DECODE_ISSUER": "https://login.example.org"}
        assert ask(settings, iss="https://login.example.org")[0] == 200
        assert ask(settings, iss="https://evil.example.org")[0] == 422
        assert ask(settings)[0] == 422

    def test_the_audience(self, ask):
        settings = {"JWT_DECODE_AUDIENCE": "dserver, lookup"}
        assert ask(settings, aud="lookup")[0] == 200
        assert ask(settings, aud=["other", "dserver"])[0] == 200
        assert ask(settings, aud="other")[0] == 422
        assert ask(settings)[0] == 422


class TestCommand:
    """``flask user token`` makes tokens that the server accepts, and no others."""

    def token(self, app, *arguments):
        return app.test_cli_runner().invoke(user_cli, ["token", CHAMPION, *arguments])

    def claims(self, app, *arguments):
        return jwt.decode(self.token(app, *arguments).stdout.strip(), options={"verify_signature": False})

    def test_the_lifetime(self, make_app):
        claims = self.claims(make_app(JWT_ACCESS_TOKEN_EXPIRES="2h"))
        assert claims["exp"] - claims["iat"] == 7200
        claims = self.claims(make_app())
        assert claims["exp"] - claims["iat"] == 900

    def test_none_that_lives_too_long(self, make_app):
        app = make_app(DSERVER_MAX_TOKEN_LIFETIME="1h")
        for arguments in (["--last-forever"], ["--expires-in", "2h"]):
            result = self.token(app, *arguments)
            assert (result.exit_code, result.stdout) == (1, "")
            assert "DSERVER_MAX_TOKEN_LIFETIME" in result.stderr
        assert self.token(app, "--expires-in", "1h").exit_code == 0
        headers = {"Authorization": f"Bearer {self.token(app, '--expires-in', '1h').stdout.strip()}"}
        assert app.test_client().get("/me", headers=headers).status_code == 200

    def test_issuer_and_audience(self, make_app):
        app = make_app(JWT_DECODE_ISSUER="me", JWT_DECODE_AUDIENCE="dserver,lookup")
        claims = self.claims(app)
        assert (claims["iss"], claims["aud"]) == ("me", "dserver")
        headers = {"Authorization": f"Bearer {self.token(app).stdout.strip()}"}
        assert app.test_client().get("/me", headers=headers).status_code == 200
