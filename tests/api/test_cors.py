"""Pages of other sites may use the API: browsers ask for the headers that allow it."""

from __future__ import annotations

import pytest

from api.conftest import route
from dservercore.middleware.security_headers import PREFLIGHT_SECONDS
from support.world import CHAMPION

SITE = "https://lookup.example.org"
METHODS = {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}
EXPOSED = {
    *{"X-Pagination", "X-Sort", "X-Search", "X-Storage-Updated", "X-Request-ID", "ETag"},
    *{"Retry-After", "Allow", "X-Graph", "Content-Range", "Content-Disposition"},
}

PATHS = [
    *[
        "/uris",
        "/uris/s3/red/x",
        "/uuids/x",
        "/suggest",
        "/statistics",
        "/statistics/lacking",
        "/readmes/s3/red/x",
        "/manifests/s3/red/x",
        "/tags/s3/red/x",
    ],
    *["/tags/s3/red/x/fruit", "/annotations/s3/red/x", "/annotations/s3/red/x/soil", "/users", "/users/carl"],
    *[
        "/users/carl/summary",
        "/users/carl/search/s3/red",
        "/users/carl/register/s3/red",
        "/me",
        "/me/summary",
    ],
    *[
        "/base-uris",
        "/base-uris/s3/red",
        "/config/info",
        "/config/versions",
        "/config/health",
        "/config/ready",
    ],
    *["/doc/openapi.json", "/doc/swagger"],
]


def listed(header: str) -> set[str]:
    return {item.strip() for item in header.split(",")}


class TestAnswers:
    @pytest.mark.parametrize("path", [*PATHS, "/nowhere"])
    def test_every_site_may_read_them(self, champion, path):
        assert champion.get(path).headers["Access-Control-Allow-Origin"] == "*"
        answer = champion.get(path, headers={"Origin": SITE})
        assert answer.headers["Access-Control-Allow-Origin"] == SITE
        assert "Origin" in listed(", ".join(answer.headers.getlist("Vary")))

    def test_errors_too_so_that_a_page_can_show_them(self, anonymous, champion, nobody):
        for answer, status in [
            (anonymous.get("/uris", headers={"Origin": SITE}), 401),
            (nobody.get("/uris/s3/red/x", headers={"Origin": SITE}), 403),
            (champion.get("/uris/s3/red/x", headers={"Origin": SITE}), 404),
            (champion.post("/me", headers={"Origin": SITE}), 405),
            (champion.get("/uris?page=0", headers={"Origin": SITE}), 422),
            (champion.get("/nowhere", headers={"Origin": SITE}), 404),
            (champion.get("/", headers={"Origin": SITE}, environ_overrides={"PATH_INFO": "//users"}), 404),
            (champion.get("/me/", headers={"Origin": SITE}), 404),
            (champion.post("/uris", data="x=1", headers={"Origin": SITE}), 415),
            (
                champion.post("/uris", data="{", headers={"Origin": SITE}, content_type="application/json"),
                400,
            ),
            (champion.post("/uris", json={"tags": ["x" * 3_000_000]}, headers={"Origin": SITE}), 413),
            (champion.get("/uris", headers={"Origin": SITE, "Authorization": "Bearer x"}), 422),
        ]:
            assert answer.status_code == status
            assert answer.headers["Access-Control-Allow-Origin"] == SITE

    def test_writes_too(self, champion, register):
        answer = champion.put(route("tags", register()["uri"]), json={"tags": []}, headers={"Origin": SITE})
        assert answer.headers["Access-Control-Allow-Origin"] == SITE

    @pytest.mark.parametrize("headers", [{}, {"Origin": SITE}])
    def test_pages_may_read_what_the_headers_say(self, champion, headers):
        answer = champion.get("/uris", headers=headers)
        assert listed(answer.headers["Access-Control-Expose-Headers"]) == EXPOSED

    def test_no_cookies_are_asked_for(self, champion):
        assert (
            "Access-Control-Allow-Credentials" not in champion.get("/uris", headers={"Origin": SITE}).headers
        )


class TestPreflight:
    """What a browser asks before it sends a token or JSON. It sends no token then."""

    @pytest.mark.parametrize("path", [*PATHS, "/nowhere", "/users/", "//users", "/doc", "/config/x/y"])
    @pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
    def test_is_answered_without_a_token(self, anonymous, path, method):
        answer = anonymous.options(
            path,
            headers={
                "Origin": SITE,
                "Access-Control-Request-Method": method,
                "Access-Control-Request-Headers": "authorization, content-type, x-anything",
            },
        )
        assert answer.status_code == 200
        assert answer.headers["Access-Control-Allow-Origin"] == SITE
        assert "Origin" in listed(", ".join(answer.headers.getlist("Vary")))
        assert listed(answer.headers["Access-Control-Allow-Methods"]) == METHODS
        assert listed(answer.headers["Access-Control-Allow-Headers"]) == {
            "authorization",
            "content-type",
            "x-anything",
        }
        assert int(answer.headers["Access-Control-Max-Age"]) == PREFLIGHT_SECONDS

    def test_without_an_origin(self, anonymous):
        answer = anonymous.options("/uris", headers={"Access-Control-Request-Method": "GET"})
        assert answer.status_code == 200
        assert answer.headers["Access-Control-Allow-Origin"] == "*"

    def test_options_without_preflight_lists_the_methods_of_the_route(self, anonymous):
        answer = anonymous.options("/uris")
        assert answer.status_code == 200
        assert listed(answer.headers["Allow"]) == {"GET", "HEAD", "OPTIONS", "POST"}
        answer = anonymous.options(f"/users/{CHAMPION}")
        assert listed(answer.headers["Allow"]) == {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "PUT"}
