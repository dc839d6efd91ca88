"""What browsers are told not to do with answers, and which sites may read them."""

from __future__ import annotations

import pytest

from api.conftest import on_sql_alone

pytestmark = [on_sql_alone, pytest.mark.attack]

SITE = "https://lookup.example.org"
JSON = "default-src 'none'; frame-ancestors 'none'"


class TestHeaders:
    @pytest.mark.parametrize(
        "path", ["/uris", "/me", "/nowhere", "/config/health", "/uris?page=0", "/users", "/doc/openapi.json"]
    )
    def test_answers_in_json_are_not_to_be_shown_run_framed_or_shared(self, champion, anonymous, path):
        for client in (champion, anonymous):
            headers = client.get(path).headers
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["X-Frame-Options"] == "DENY"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert headers["Content-Security-Policy"] == JSON
            assert headers["Cache-Control"] == "private, no-cache"
            assert "Strict-Transport-Security" not in headers
            assert "Server" not in headers

    @pytest.mark.parametrize("path", ["/doc/swagger", "/doc/redoc"])
    def test_pages_have_a_policy_of_their_own(self, anonymous, path):
        headers = anonymous.get(path).headers
        assert "script-src 'self'" in headers["Content-Security-Policy"]
        assert headers["X-Frame-Options"] == "SAMEORIGIN"
        assert headers["X-Content-Type-Options"] == "nosniff"

    def test_scripts_of_the_pages_can_be_kept_by_a_browser(self, anonymous):
        answer = anonymous.get("/doc/assets/swagger.js")
        assert "no-store" not in answer.headers["Cache-Control"]
        assert "Content-Security-Policy" not in answer.headers

    def test_they_can_be_set_and_left_out(self, make_app):
        app = make_app(
            DSERVER_SECURITY_HEADERS='{"X-Frame-Options": null, "Permissions-Policy": "camera=()"}'
        )
        headers = app.test_client().get("/config/health").headers
        assert "X-Frame-Options" not in headers
        assert headers["Permissions-Policy"] == "camera=()"
        assert headers["Referrer-Policy"] == "no-referrer"

    def test_browsers_insist_on_tls_where_it_is_configured_and_used(self, make_app):
        client = make_app(DSERVER_HSTS_SECONDS="31536000").test_client()
        secure = client.get("/config/health", base_url="https://localhost")
        assert secure.headers["Strict-Transport-Security"] == "max-age=31536000"
        assert "Strict-Transport-Security" not in client.get("/config/health").headers


class TestOrigins:
    @pytest.fixture
    def ask(self, make_app):
        def allowed(configured, origin, method="GET"):
            app = make_app(DSERVER_CORS_ORIGINS=configured)
            headers = {"Origin": origin, "Access-Control-Request-Method": "PUT"}
            # not the client of these tests, which expects every origin to be allowed
            answer = app.test_client_class.__base__(app, app.response_class).open(
                "/config/health", method=method, headers=headers
            )
            assert "Access-Control-Allow-Credentials" not in answer.headers
            return answer.headers.get("Access-Control-Allow-Origin")

        return allowed

    @pytest.mark.parametrize("method", ["GET", "OPTIONS"])
    def test_a_list_of_them(self, ask, method):
        both = f"{SITE}, http://localhost:8080,http://[::1]:3000"
        assert ask(both, SITE, method) == SITE
        assert ask(both, "http://localhost:8080", method) == "http://localhost:8080"
        assert ask(both, "http://[::1]:3000", method) == "http://[::1]:3000"

    @pytest.mark.parametrize("method", ["GET", "OPTIONS"])
    @pytest.mark.parametrize(
        "origin",
        [
            "https://evil.example.org",
            f"{SITE}.evil.org",
            f"{SITE}:8443",
            "http://lookup.example.org",
            "https://lookupXexample.org",
            f"evil-{SITE}",
            "null",
        ],
    )
    def test_others_get_nothing(self, ask, origin, method):
        assert ask(SITE, origin, method) is None

    def test_all_and_none(self, ask):
        assert ask("*", SITE) == SITE
        assert ask("", SITE) is None
        assert ask("", SITE, "OPTIONS") is None
