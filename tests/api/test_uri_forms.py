"""How a URI may be written in a path: every form that some client or proxy makes of it finds the same dataset."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote, quote_plus

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import text
from werkzeug.serving import make_server

from api.conftest import on_every_store, on_sql_alone, on_usual_stores, route
from dservercore.db import migrations_directory, sql_db
from support.world import CHAMPION, READER, RED, dataset_info

pytestmark = on_every_store

UUID = "af6727bf-29c7-43dd-b42f-a5d7ede28337"
URI = f"{RED}/{UUID}"

ACCEPTED = {
    "short": f"s3/red/{UUID}",
    "short, encoded": f"s3%2Fred%2F{UUID}",
    "full": f"s3://red/{UUID}",
    "full, encoded": f"s3%3A%2F%2Fred%2F{UUID}",
    "full, partly encoded": f"s3%3A//red/{UUID}",
    "full, encoded in lower case": f"s3%3a%2f%2fred%2f{UUID}",
    "full, encoded beyond need": f"%73%33://%72ed/{UUID}",
    "slashes merged by a proxy": f"s3:/red/{UUID}",
    "slashes merged by a proxy, encoded": f"s3%3A%2Fred%2F{UUID}",
    "scheme in capitals": f"S3://red/{UUID}",
}
REFUSED = {
    "encoded twice": f"s3%253A%252F%252Fred%252F{UUID}",
    "no colon": f"s3//red/{UUID}",
    "trailing slash": f"s3/red/{UUID}/",
    "trailing slash, encoded": f"s3%3A%2F%2Fred%2F{UUID}%2F",
    "other scheme": f"file://red/{UUID}",
    "host in capitals": f"s3://RED/{UUID}",
    "no scheme": f"red/{UUID}",
}
accepted = pytest.mark.parametrize("form", ACCEPTED.values(), ids=ACCEPTED.keys())
refused = pytest.mark.parametrize("form", REFUSED.values(), ids=REFUSED.keys())


@pytest.fixture
def registered(register):
    return register(uuid=UUID)


class TestAcceptedForms:
    @accepted
    def test_reading(self, champion, registered, form):
        assert champion.get(f"/uris/{form}").json["uri"] == URI
        assert champion.get(f"/readmes/{form}").json == {"readme": registered["readme"]}
        assert champion.get(f"/manifests/{form}").json == registered["manifest"]
        assert champion.get(f"/tags/{form}").json == {"tags": registered["tags"]}
        assert champion.get(f"/annotations/{form}").json == {"annotations": registered["annotations"]}

    @accepted
    def test_registering_and_deleting(self, champion, form):
        info = dataset_info(uuid=UUID)
        assert champion.put(f"/uris/{form}", json=info).status_code == 201
        assert champion.put(f"/uris/{form}", json=info).status_code == 200
        assert [d["uri"] for d in champion.get("/uris").json] == [URI]
        assert champion.delete(f"/uris/{form}").status_code == 200
        assert champion.get("/uris").json == []

    @accepted
    def test_editing(self, champion, registered, form):
        assert champion.put(f"/readmes/{form}", json={"readme": "new"}).json == {"readme": "new"}
        assert champion.put(f"/tags/{form}", json={"tags": ["a"]}).json == {"tags": ["a"]}
        assert champion.post(f"/tags/{form}/b").json == {"tags": ["a", "b"]}
        assert champion.delete(f"/tags/{form}/a").json == {"tags": ["b"]}
        answer = champion.put(f"/annotations/{form}", json={"annotations": {"x": 1}})
        assert answer.json == {"annotations": {"x": 1}}
        answer = champion.put(f"/annotations/{form}/y", json={"value": 2})
        assert answer.json == {"annotations": {"x": 1, "y": 2}}
        assert champion.delete(f"/annotations/{form}/x").json == {"annotations": {"y": 2}}

    @pytest.mark.parametrize(
        "form", ["s3/red", "s3%2Fred", "s3://red", "s3%3A%2F%2Fred", "s3%3A//red", "s3:/red"]
    )
    @pytest.mark.parametrize("slash", ["", "/", "%2F"])
    def test_base_uris(self, admin, form, slash):
        form += slash
        assert admin.get(f"/base-uris/{form}").json["base_uri"] == RED
        assert admin.post(f"/users/{READER}/register/{form}").status_code == 200
        assert admin.get(f"/users/{READER}").json["register_permissions_on_base_uris"] == [RED]
        assert admin.delete(f"/users/{READER}/register/{form}").status_code == 200
        assert admin.post(f"/users/{CHAMPION}/search/{form}").status_code == 409
        assert admin.delete(f"/users/{CHAMPION}/search/{form}").status_code == 200
        assert admin.put(f"/base-uris/{form}", json={}).status_code == 200
        assert admin.post(f"/base-uris/{form}", json={}).status_code == 409
        assert admin.delete(f"/base-uris/{form}").status_code == 200
        assert admin.put(f"/base-uris/{form}", json={}).status_code == 201
        assert [b["base_uri"] for b in admin.get("/base-uris").json] == ["s3://blue", RED]


@on_usual_stores
class TestRefusedForms:
    @refused
    def test_are_answered_as_if_nothing_were_there(self, champion, registered, form):
        for resource in ("uris", "readmes", "manifests", "tags", "annotations"):
            assert champion.get(f"/{resource}/{form}").status_code == 403
        assert champion.delete(f"/uris/{form}").status_code == 403
        assert champion.get(route("uris", URI)).status_code == 200

    @refused
    def test_cannot_be_registered_under(self, champion, form):
        assert champion.put(f"/uris/{form}", json=dataset_info(uuid=UUID)).status_code == 400
        assert champion.get("/uris").json == []


class TestFiles:
    """URIs of datasets on disk hold a host and a name, and no UUID."""

    def register(self, admin, champion, base_uri, name):
        path = f"/base-uris/{quote(base_uri, safe='')}"
        users = {"users_with_search_permissions": [CHAMPION], "users_with_register_permissions": [CHAMPION]}
        assert admin.put(path, json=users).status_code == 201
        uri = f"{base_uri}/{name}"
        answer = champion.put(f"/uris/{quote(uri, safe='')}", json=dataset_info(base_uri, uri=uri))
        assert answer.status_code == 201, answer.json
        return uri

    @pytest.mark.parametrize(
        "form", ["file/lab-pc/data/beans", "file://lab-pc/data/beans", "file%3A%2F%2Flab-pc%2Fdata%2Fbeans"]
    )
    def test_with_a_host(self, admin, champion, form):
        uri = self.register(admin, champion, "file://lab-pc/data", "beans")
        assert champion.get(f"/uris/{form}").json["uri"] == uri
        assert champion.get(f"/readmes/{form}").status_code == 200

    @pytest.mark.parametrize(
        "form",
        ["file//data/beans", "file:///data/beans", "file%3A///data/beans", "file%3A%2F%2F%2Fdata%2Fbeans"],
    )
    def test_without_a_host_three_slashes_are_kept(self, admin, champion, form):
        uri = self.register(admin, champion, "file:///data", "beans")
        assert champion.get(f"/uris/{form}").json["uri"] == uri
        assert champion.get(f"/readmes/{form}").status_code == 200

    def test_the_short_form_begins_with_the_host(self, admin, champion):
        self.register(admin, champion, "file:///data", "beans")
        assert champion.get("/uris/file/data/beans").status_code == 403
        uri = self.register(admin, champion, "file://data", "beans")
        assert champion.get("/uris/file/data/beans").json["uri"] == uri


class TestUnusualNames:
    """Whatever a dataset is called, percent-encoding its URI finds it."""

    NAMES = [
        "a b",
        "a+b",
        "100%",
        "%2F",
        "%20",
        "a;b=c&d",
        "größe",
        "数据",
        "😀",
        "it's",
        "a,b",
        "(x)",
        "~$!*@:",
        "a%2Fb",
    ]

    @pytest.mark.parametrize("name", NAMES)
    def test_encoded(self, champion, name):
        uri = f"{RED}/{name}"
        path = quote(uri, safe="")
        assert champion.put(f"/uris/{path}", json=dataset_info(uri=uri)).status_code == 201
        assert champion.get(f"/uris/{path}").json["uri"] == uri
        assert champion.get(f"/readmes/s3/red/{quote(name, safe='')}").status_code == 200
        assert champion.post(f"/tags/{path}/fruit").status_code == 200
        assert champion.put(f"/annotations/{path}/x", json={"value": 1}).status_code == 200
        assert champion.put(f"/annotations/{path}", json={"annotations": {}}).status_code == 200
        assert [d["uri"] for d in champion.get("/uris").json] == [uri]
        assert champion.delete(f"/uris/{path}").status_code == 200
        assert champion.get(f"/uris/{path}").status_code == 404

    def test_as_dtool_lookup_api_encodes_them(self, champion):
        uri = f"{RED}/größe~1"
        info = dataset_info(uri=uri)
        assert champion.put(f"/uris/{quote_plus(uri)}", json=info).status_code == 201
        assert champion.get(f"/manifests/{quote_plus(uri)}").json == info["manifest"]


@on_sql_alone
class TestLiveServer:
    """The same through real servers, because they take paths apart before the application sees them."""

    @pytest.fixture(params=["werkzeug", "gunicorn"])
    def ask(self, request, registered, app, tokens, config, tmp_path) -> Iterator:
        """``ask(method, path)`` sends the path exactly as it is written."""
        serve = contextmanager(serve_by_thread if request.param == "werkzeug" else serve_by_gunicorn)
        with_token = {"Authorization": f"Bearer {tokens[CHAMPION]}"}

        def ask(method: str, path: str, body: str | None = None) -> tuple[int, object]:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            headers = {**with_token, **({"Content-Type": "application/json"} if body else {})}
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            return answer.status, json.loads(content) if content else None

        with serve(app, config, tmp_path) as port:
            yield ask

    def test_every_form(self, ask):
        """One test, because starting a server takes its time."""
        for form in ACCEPTED.values():
            status, dataset = ask("GET", f"/uris/{form}")
            assert (status, dataset["uri"]) == (200, URI), form
            assert ask("HEAD", f"/uris/{form}") == (200, None)
            assert ask("POST", f"/tags/{form}/new")[0] == 200
            assert ask("PUT", f"/annotations/{form}", '{"annotations": {"a": 1}}')[1] == {
                "annotations": {"a": 1}
            }
            status, annotations = ask("PUT", f"/annotations/{form}/b", '{"value": 2}')
            assert (status, annotations) == (200, {"annotations": {"a": 1, "b": 2}}), form
        for form in REFUSED.values():
            assert ask("GET", f"/uris/{form}")[0] == 403, form
        for path in ("/uris/", "/nowhere"):
            status, error = ask("GET", path)
            assert (status, error["code"]) == (404, 404)


def serve_by_thread(app, _config, _tmp_path) -> Iterator[int]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.port
    server.shutdown()
    thread.join()


def serve_by_gunicorn(app, config, tmp_path) -> Iterator[int]:
    with app.app_context():
        revision = ScriptDirectory(str(migrations_directory())).get_current_head()
        sql_db.session.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        sql_db.session.execute(text("INSERT INTO alembic_version VALUES (:revision)"), {"revision": revision})
        sql_db.session.commit()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("JWT_", "DSERVER_"))},
        "SQLALCHEMY_DATABASE_URI": config["SQLALCHEMY_DATABASE_URI"],
        "JWT_PUBLIC_KEY": config["JWT_PUBLIC_KEY"],
        "DSERVER_DATA_DIR": str(tmp_path),
    }
    log = tmp_path / "gunicorn.log"
    command = [sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0", "dservercore:create_app()"]
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environment, stderr=output)
    try:
        yield _port_in(log, process)
    finally:
        process.terminate()
        process.wait(30)


def _port_in(log, process) -> int:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"Listening at: http://127.0.0.1:(\d+)", log.read_text())
        if found:
            return int(found[1])
        time.sleep(0.05)
    raise AssertionError(log.read_text())
