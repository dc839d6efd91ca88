"""One line in the log for each request, and the id by which client and administrator mean the same one."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import time

import jwt
import pytest
import requests

from api.conftest import on_sql_alone, route
from support.world import CHAMPION, dataset_info

LINE = re.compile(
    r"(?P<method>[A-Z]+) (?P<path>\S+) (?P<status>\d{3}) (?P<milliseconds>\d+\.\d) ms"
    r" user=(?P<user>\S+) from=(?P<from>\S+) id=(?P<id>\S+)"
)


@pytest.fixture
def logged(caplog):
    """``logged()`` returns the parts of the one line that was logged, and forgets it."""
    caplog.set_level(logging.DEBUG)

    def the_line() -> dict[str, str]:
        (record,) = [record for record in caplog.records if record.name == "dservercore.requests"]
        caplog.clear()
        parts = LINE.fullmatch(record.getMessage())
        assert parts, record.getMessage()
        assert record.levelno == logging.INFO
        return parts.groupdict()

    return the_line


class TestLine:
    def test_says_who_asked_for_what_and_how_it_went(self, champion, logged):
        answer = champion.get("/uris/s3/red/x")
        line = logged()
        assert line.pop("id") == answer.headers["X-Request-ID"]
        assert 0 <= float(line.pop("milliseconds")) < 60_000
        assert line == {
            "method": "GET",
            "path": "/uris/s3/red/x",
            "status": "404",
            "user": CHAMPION,
            "from": "127.0.0.1",
        }

    @pytest.mark.parametrize("path", ["/config/health", "/uris", "/nowhere", "/doc/openapi.json"])
    def test_nobody_is_a_dash(self, anonymous, logged, path):
        anonymous.get(path)
        assert logged()["user"] == "-"

    def test_whoever_is_not_registered_is_nobody(self, stranger, logged):
        stranger.get("/uris")
        assert logged()["user"] == "-"

    @pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PATCH"])
    def test_is_there_for_every_method(self, champion, logged, method):
        champion.open("/uris", method=method)
        assert logged()["method"] == method

    def test_does_not_say_what_somebody_searches_for(self, champion, logged, caplog):
        caplog.set_level(logging.DEBUG)
        champion.get("/uris?free_text=embargoed&jwt=hunter2")
        assert "embargoed" not in caplog.text
        assert "hunter2" not in caplog.text
        assert logged()["path"] == "/uris"

    @pytest.mark.parametrize(
        ("path", "shown"),
        [
            ("/uris/s3/red/a%0AGET%20/forged", "/uris/s3/red/a%0AGET%20/forged"),
            ("/uris/s3/red/a%0D%0Ab", "/uris/s3/red/a%0D%0Ab"),
            ("/uris/s3/red/%1B%5B2J", "/uris/s3/red/%1B%5B2J"),
            ("/uris/s3/red/%C2%9B31m", "/uris/s3/red/%C2%9B31m"),
            ("/uris/s3/red/%E2%80%AEgnp", "/uris/s3/red/%E2%80%AEgnp"),
            (
                "/uris/s3/red/x%20200%200.1%20ms%20user=ada%20id=1",
                "/uris/s3/red/x%20200%200.1%20ms%20user=ada%20id=1",
            ),
            ("/uris/s3%3A%2F%2Fred%2Fx", "/uris/s3://red/x"),
            ("/uris/s3/red/gr%C3%B6%C3%9Fe", "/uris/s3/red/gr%C3%B6%C3%9Fe"),
            ("/%00", "/%00"),
        ],
    )
    def test_cannot_be_forged_by_a_path(self, champion, logged, path, shown):
        champion.get(path)
        assert logged()["path"] == shown

    def test_cannot_be_forged_by_a_user_name(self, admin, app, logged, config):
        name = "Max Muster id=1"
        admin.put(f"/users/{name}", json={})
        logged()
        token = jwt.encode({"sub": name}, config["JWT_PRIVATE_KEY"], "RS256")
        assert app.test_client().get("/me", headers={"Authorization": f"Bearer {token}"}).status_code == 200
        assert logged()["user"] == "Max%20Muster%20id=1"


class TestContent:
    """What must not be in the log, whatever happens and however much is logged."""

    def test_no_token_secret_or_readme(self, app, anonymous, champion, tokens, config, caplog):
        caplog.set_level(logging.DEBUG)
        readme = "description: embargoed until spring\n"
        info = dataset_info(readme=readme, annotations={"patient": "confidential"})
        path = route("uris", info["uri"])
        assert champion.put(path, json=info).status_code == 201
        champion.get(route("readmes", info["uri"]))
        champion.put(route("readmes", info["uri"]), json={"readme": readme + "still embargoed"})
        champion.put(route("annotations", info["uri"]) + "/patient", json={"value": "confidential too"})
        champion.put(path, json={**info, "frozen_at": "embargoed"})
        champion.put(path, data="{embargoed", content_type="application/json")
        champion.get("/uris?free_text=embargoed")
        champion.post("/uris", json={"free_text": "embargoed"})
        anonymous.get("/uris", headers={"Authorization": f"Bearer {tokens[CHAMPION]}x"})
        champion.get("/config/info")
        assert "embargoed" not in caplog.text
        assert "confidential" not in caplog.text
        for secret in (*tokens.values(), config["SECRET_KEY"], config["JWT_PRIVATE_KEY"]):
            assert secret not in caplog.text


class TestRequestID:
    def test_one_is_made(self, champion):
        one, other = (champion.get("/uris").headers["X-Request-ID"] for _ in range(2))
        assert one != other
        assert re.fullmatch(r"[0-9a-f]{32}", one)

    @pytest.mark.parametrize(
        "given", ["42", "af6727bf-29c7-43dd-b42f-a5d7ede28337", "Root=1-67891233-abc:7/8+9=", "a" * 128]
    )
    def test_one_is_taken_over(self, champion, logged, given):
        answer = champion.get("/uris", headers={"X-Request-ID": given})
        assert answer.headers["X-Request-ID"] == given
        assert logged()["id"] == given

    @pytest.mark.parametrize(
        "given", ["", " ", "a b", "a\tb", "é", "a" * 129, "x\x1b[2J", '"', "a;b", "<script>"]
    )
    def test_one_that_could_forge_a_line_is_replaced(self, champion, logged, given):
        answer = champion.get("/uris", headers={"X-Request-ID": given})
        assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-ID"])
        assert logged()["id"] == answer.headers["X-Request-ID"]

    def test_it_comes_with_errors_too(self, anonymous, champion):
        for answer in (
            anonymous.get("/uris"),
            champion.get("/nowhere"),
            champion.post("/me"),
            champion.get("/uris?page=0"),
        ):
            assert answer.headers["X-Request-ID"]


@on_sql_alone
class TestLiveServer:
    """``flask run``, as a newcomer starts it."""

    @pytest.fixture
    def serve(self, app, people, config, tmp_path):
        """``serve(**environment)`` starts a server and returns its address and its log."""
        processes = []

        def serve(**environment: str):
            (tmp_path / "application.py").write_text(
                "from dservercore import create_app\n"
                "from dservercore.settings.configuration import read_environment\n"
                "app = create_app(read_environment())\n"  # the tables of this test were not made by migrations
            )
            log = (tmp_path / "log").open("w+")
            command = [sys.executable, "-m", "flask", "--app", "application", "run", "--port", "0"]
            kept = {k: v for k, v in os.environ.items() if not k.startswith(("JWT_", "DSERVER_", "FLASK_"))}
            process = subprocess.Popen(
                command,
                cwd=tmp_path,
                stdout=log,
                stderr=log,
                env={
                    **kept,
                    "SQLALCHEMY_DATABASE_URI": config["SQLALCHEMY_DATABASE_URI"],
                    "JWT_PUBLIC_KEY": config["JWT_PUBLIC_KEY"],
                    "DSERVER_DATA_DIR": str(tmp_path),
                    **environment,
                },
            )
            processes.append(process)
            return _address_in(tmp_path / "log", process), tmp_path / "log"

        yield serve
        for process in processes:
            process.terminate()
            process.wait(30)

    def test_one_line_a_request_and_no_other(self, serve, tokens):
        address, log = serve()
        before = len(log.read_text().splitlines())
        header = {"Authorization": f"Bearer {tokens[CHAMPION]}"}
        assert (
            requests.get(f"{address}/uris?free_text=embargoed", headers=header, timeout=30).status_code == 200
        )
        (line,) = log.read_text().splitlines()[before:]
        assert LINE.search(line)["user"] == CHAMPION
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", line)
        assert "embargoed" not in log.read_text()
        assert tokens[CHAMPION] not in log.read_text()

    def test_the_level_is_configured(self, serve, tokens):
        address, log = serve(DSERVER_LOG_LEVEL="warning")
        before = log.read_text()
        assert "Running on" in before
        assert requests.get(f"{address}/config/health", timeout=30).status_code == 200
        assert log.read_text() == before


def _address_in(log, process) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"Running on (http://127.0.0.1:\d+)", log.read_text())
        if found:
            return found[1]
        time.sleep(0.05)
    raise AssertionError(log.read_text())
