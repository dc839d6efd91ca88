"""What one request may cost: the bounds that docs/reference/configuration.rst states, for the worst of every route."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support import costing
from support.extensions import BUNDLED
from support.world import CHAMPION, NOBODY, RED
from support.worlds import World, world

pytestmark = pytest.mark.attack

MEGABYTES = 300
SECONDS = 2.0
#: Twice what is documented, as what others on the machine add is made up for but roughly.
LOCKED_SECONDS = 2 * 0.5

#: Routes that read no body at all, whatever is sent.
WITHOUT_BODY = {
    "DELETE /annotations/<uri:uri>/<name>",
    "DELETE /base-uris/<base_uri:base_uri>",
    "DELETE /groups/<group>",
    "DELETE /groups/<group>/members/<username>",
    "DELETE /groups/<group>/register/<base_uri:base_uri>",
    "DELETE /groups/<group>/search/<base_uri:base_uri>",
    "DELETE /me/searches/<int:search_id>",
    "DELETE /me/sessions",
    "DELETE /me/sessions/<int:session>",
    "DELETE /me/tokens",
    "DELETE /me/tokens/<int:token_id>",
    "DELETE /tags/<uri:uri>/<tag>",
    "DELETE /uris/<uri:uri>",
    "DELETE /users/<username>",
    "DELETE /users/<username>/register/<base_uri:base_uri>",
    "DELETE /users/<username>/search/<base_uri:base_uri>",
    "DELETE /users/<username>/sessions",
    "DELETE /users/<username>/sessions/<int:session>",
    "POST /auth/logout",
    "DELETE /users/<username>/tokens",
    "DELETE /users/<username>/tokens/<int:token_id>",
    "POST /groups/<group>/register/<base_uri:base_uri>",
    "POST /groups/<group>/search/<base_uri:base_uri>",
    "POST /tags/<uri:uri>/<tag>",
    "POST /users/<username>/register/<base_uri:base_uri>",
    "POST /users/<username>/search/<base_uri:base_uri>",
    "PUT /groups/<group>",
    "PUT /groups/<group>/members/<username>",
}

#: Routes that read a body while it comes, and nothing of one for whoever has no signature: a file is never in memory.
STREAMED = {"PUT /signed-urls/uploads/<uri:uri>"}


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory, key_pair: tuple[Path, Path]) -> Any:
    with world(tmp_path_factory.mktemp("costs"), key_pair) as standing:
        yield standing


def routes_with_body(standing: World) -> set[str]:
    return {
        f"{method} {rule.rule}"
        for rule in standing.app.url_map.iter_rules()
        for method in rule.methods or ()
        if method in ("POST", "PUT", "PATCH", "DELETE")
    }


def test_every_route_is_measured_or_reads_no_body(standing: World) -> None:
    measured = {request.route for request in costing.requests_of(dict(standing.app.config))}
    assert measured | WITHOUT_BODY | STREAMED == routes_with_body(standing)
    assert measured & WITHOUT_BODY == set()


class Unread:
    """A body that must not be read."""

    def read(self, _size: int = -1) -> bytes:
        raise AssertionError("the body was read")


def send_unread(standing: World, method: str, path: str, user: str, length: int, **headers: str) -> Any:
    environ = {
        "wsgi.input": Unread(),
        "CONTENT_LENGTH": str(length),
        "CONTENT_TYPE": headers.get("content_type", "application/json"),
    }
    return standing.send(method, path, user, environ_overrides=environ)


@pytest.mark.parametrize("route", sorted(WITHOUT_BODY))
def test_a_body_that_is_ignored_is_not_read(standing: World, route: str) -> None:
    method, rule = route.split()
    path = rule.replace("<uri:uri>", f"{RED}/x").replace("<base_uri:base_uri>", RED)
    path = path.replace("<username>", "x").replace("<name>", "x").replace("<tag>", "x")
    path = path.replace("<group>", "x").replace("<int:session>", "1")
    path = path.replace("<group>", "x").replace("<int:token_id>", "1")
    assert send_unread(standing, method, path, CHAMPION, 2**40).status_code in (200, 403, 404)


@pytest.mark.parametrize("signature", ["", "?signature=", "?signature=x.y", "?signature=" + "x" * 20_000])
def test_of_whoever_has_no_signature_no_file_is_read(standing: World, signature: str) -> None:
    path = f"/signed-urls/uploads/{RED}/x{signature}"
    assert send_unread(standing, "PUT", path, CHAMPION, 2**40).status_code in (403, 422)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", f"/uris/{RED}/x"),
        ("POST", "/uris/bulk"),
        ("PUT", f"/readmes/{RED}/x"),
        ("PUT", f"/tags/{RED}/x"),
        ("PUT", f"/annotations/{RED}/x"),
        ("PUT", f"/annotations/{RED}/x/a"),
        ("PUT", "/users/x"),
        ("PUT", "/base-uris/s3://x"),
        ("POST", f"/signed-urls/upload/{RED}"),
        ("POST", "/signed-urls/upload-complete"),
    ],
)
@pytest.mark.parametrize("content_type", ["application/json", "application/x-ndjson"])
def test_of_somebody_without_a_grant_no_body_is_read(
    standing: World, method: str, path: str, content_type: str
) -> None:
    answer = send_unread(standing, method, path, NOBODY, 1000, content_type=content_type)
    assert (answer.status_code, answer.json["code"]) == (403, 403)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "/me"),
        ("POST", "/uris"),
        ("PUT", f"/uris/{RED}/x"),
        ("POST", "/uris/bulk"),
        ("PUT", f"/readmes/{RED}/x"),
        ("PUT", f"/tags/{RED}/x"),
        ("PUT", f"/annotations/{RED}/x"),
        ("PUT", f"/annotations/{RED}/x/a"),
    ],
)
def test_a_body_that_is_too_large_is_not_read(standing: World, method: str, path: str) -> None:
    answer = send_unread(standing, method, path, CHAMPION, 2**30)
    assert answer.status_code == 413
    assert "bytes, the most that this" in answer.json["message"]


def test_a_body_in_chunks_is_read_up_to_the_limit_of_its_route(standing: World) -> None:
    class Endless:
        length = 0

        def read(self, size: int = -1) -> bytes:
            self.length += max(size, 0)
            return b" " * size

    endless = Endless()
    environ = {
        "wsgi.input": endless,
        "wsgi.input_terminated": True,
        "CONTENT_TYPE": "application/json",
        "HTTP_TRANSFER_ENCODING": "chunked",
    }
    answer = standing.send("PATCH", "/me", NOBODY, environ_overrides=environ)
    assert (answer.status_code, answer.json["message"]) == (
        413,
        "The body is larger than 65,536 bytes, the most that this route takes",
    )
    assert endless.length < 2**20


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_worst_requests_stay_within_bounds(tmp_path: Path, key_pair: tuple[Path, Path]) -> None:
    private, public = (path.read_text() for path in key_pair)
    config = tmp_path / "config.json"
    settings = {
        "SQLALCHEMY_DATABASE_URI": f"sqlite:///{tmp_path / 'costs.db'}",
        "JWT_PRIVATE_KEY": private,
        "JWT_PUBLIC_KEY": public,
        "DSERVER_LOG_LEVEL": "ERROR",
        "DSERVER_EXTENSIONS": BUNDLED,
        "DSERVER_NOTIFY_BUCKET_TO_BASE_URI": {"red": RED},
        "DSERVER_ALLOW_DIRECT_AGGREGATION": True,
    }
    config.write_text(json.dumps(settings))
    run = subprocess.run(
        [sys.executable, costing.__file__, str(config)],
        capture_output=True,
        text=True,
        timeout=1700,
        env={**os.environ, "PYTHONPATH": str(Path(costing.__file__).parents[1])},
    )
    assert run.returncode == 0, run.stderr
    costs = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(costs) > 30
    assert [cost for cost in costs if cost["status"] not in cost["expected"]] == []
    assert [cost for cost in costs if cost["megabytes"] > MEGABYTES] == []
    assert [cost for cost in costs if cost["seconds"] > SECONDS] == []
    assert [cost for cost in costs if cost["locked_seconds"] > LOCKED_SECONDS] == []
