"""The plugins of docs/how-to/write-a-plugin.rst, installed with pip beside the server, behind gunicorn."""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
import uuid
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dtoolcore
import pytest
import requests
from dtoolcore.utils import sanitise_uri

from dservercore import utils
from support import forking
from support.live_server import LiveServer, environment, flask

SOURCES = Path(__file__).parent / "toy_plugins"
PLUGINS = ["cards", "shelf", "wordcount"]

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]  # the first test waits for pip


def make_environment(place: Path) -> str:
    """Make an environment on top of the one that runs the tests, where pip changes nothing; return its Python."""
    venv.create(place, with_pip=True)
    python = str(place / "bin" / "python")
    where = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    library = subprocess.run(where, capture_output=True, text=True, check=True).stdout.strip()
    ours = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    lines = "".join(f"import site; site.addsitedir({path!r})\n" for path in sorted(ours))
    (Path(library) / "ours.pth").write_text(lines)
    return python


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies of the packages, as building one leaves things beside its source."""
    place = tmp_path_factory.mktemp("sources")
    for name in PLUGINS:
        shutil.copytree(SOURCES / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    return place


@pytest.fixture(scope="module")
def python(sources: Path) -> str:
    """The interpreter of an environment of their own, where pip has installed the packages."""
    python = make_environment(sources / ".venv")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, *(f"./{name}" for name in PLUGINS)], cwd=sources, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    forking.FORKED.add(python)
    return python


def settings(place: Path) -> dict[str, str]:
    return {
        "CARDS_DIRECTORY": str(place / "card-index"),
        "SHELF_DIRECTORY": str(place / "shelf-data"),
        "WORDCOUNT_JOURNAL": str(place / "journal"),
        "WORDCOUNT_LETTERS": "5",
    }


@pytest.fixture(scope="module")
def server(python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server with these plugins, which nobody has named, and two datasets; alice may do everything, bob nothing.

    The tests share it, and each changes only what it has registered itself.
    """
    place = tmp_path_factory.mktemp("server")
    server = LiveServer(place, python=python, settings=settings(place))
    (place / "datasets").mkdir()
    for name in ("beans", "peas"):
        readme = f"description: Pods of runner {name}, counted twice\n"
        base = f"file://{place / 'datasets'}"
        with dtoolcore.DataSetCreator(name, base, readme, creator_username="olga") as dataset:
            dataset.proto_dataset.put_tag(name)
    with server.app.app_context():
        utils.register_users([{"username": "alice"}, {"username": "bob"}])
        utils.register_base_uri(f"{place / 'datasets'}")
        permissions = {f"users_with_{grant}_permissions": ["alice"] for grant in ("search", "register")}
        utils.register_permissions(utils.list_base_uris()[0]["base_uri"], permissions)
    indexed = server.flask("base_uri", "index", "datasets")
    assert indexed.returncode == 0, indexed.stderr
    server.start()
    yield server
    server.stop()


@pytest.fixture
def uri(server: LiveServer) -> str:
    """The URI of the beans."""
    return f"{sanitise_uri(str(server.data_dir / 'datasets'))}/beans"


@pytest.fixture
def lentils(server: LiveServer, uri: str) -> dict[str, Any]:
    """A dataset that alice has registered over HTTP, under a name of its own."""
    base_uri, identifier = uri.removesuffix("/beans"), str(uuid.uuid4())
    document = {
        "base_uri": base_uri,
        "uri": f"{base_uri}/{identifier}",
        "uuid": identifier,
        "name": f"lentils-{identifier[:8]}",
        "type": "dataset",
        "creator_username": "otto",
        "frozen_at": 1536238185.881941,
        "readme": f"Seeds of {identifier}",
        "manifest": {"dtoolcore_version": "3.19.0", "hash_function": "md5sum_hexdigest", "items": {}},
        "annotations": {},
        "tags": [identifier],
    }
    assert put(server, document).status_code == 201
    return document


def put(server: LiveServer, document: dict[str, Any]) -> requests.Response:
    return server.request("PUT", f"/uris/{document['uri']}", "alice", json=document)


def names(server: LiveServer, username: str = "alice", **query: Any) -> list[str]:
    found = server.request("POST", "/uris", username, json=query, params={"sort": "name"})
    assert found.status_code == 200, found.text
    return [dataset["name"] for dataset in found.json()]


def journal(server: LiveServer, uri: str) -> list[str]:
    lines = (server.data_dir / "journal").read_text().splitlines()
    return [line.removeprefix(uri).strip() for line in lines if line.startswith(uri)]


@pytest.mark.parametrize("name", PLUGINS)
def test_the_tests_of_the_package_pass(python: str, sources: Path, name: str) -> None:
    done = subprocess.run(
        [python, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", name],
        cwd=sources,
        env=environment(sources),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wheel_holds_the_module_and_not_its_tests(python: str) -> None:
    names = [f"import {name}" for name in PLUGINS]
    subprocess.run([python, "-c", "; ".join(names)], cwd="/", check=True)
    for name in PLUGINS:
        assert subprocess.run([python, "-c", f"import test_{name}"], cwd="/", capture_output=True).returncode


def test_they_are_chosen_without_being_named(server: LiveServer) -> None:
    versions = json.loads(server.flask("config", "versions").stdout)
    assert versions == {"dservercore": versions["dservercore"], **dict.fromkeys(PLUGINS, "0.1.0")}
    assert requests.get(f"{server.address}/config/versions", timeout=60).json() == {"versions": versions}
    ready = requests.get(f"{server.address}/config/ready", timeout=60)
    assert ready.json() == {"sql": "ok", "search": "ok", "retrieve": "ok"}


def test_their_settings_are_shown_and_the_secret_is_not(server: LiveServer) -> None:
    shown = server.flask("config", "show").stdout
    config = json.loads(shown)
    assert config["CARDS_DIRECTORY"] == "***"
    assert config["SHELF_DIRECTORY"] == str(server.data_dir / "shelf-data")
    assert config["WORDCOUNT_LETTERS"] == "5"
    assert "card-index" not in shown


def run_flask(server: LiveServer, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return flask(server.data_dir, *arguments, python=server.python, **server.settings | more)


def test_the_bundled_ones_can_be_named_instead(server: LiveServer) -> None:
    named = {"DSERVER_SEARCH_PLUGIN": "sql", "DSERVER_RETRIEVE_PLUGIN": "sql"}
    versions = json.loads(run_flask(server, "config", "versions", **named).stdout)
    assert {"dserver_search_plugin_sql", "dserver_retrieve_plugin_sql", "wordcount"} <= versions.keys()
    assert not {"cards", "shelf"} & versions.keys()


def test_what_is_indexed_is_found_and_handed_out(server: LiveServer, uri: str) -> None:
    assert names(server, free_text="runner BEANS") == ["beans"]
    assert names(server, tags=["peas"]) == ["peas"]
    assert names(server, free_text="pods", creator_usernames=["olga"]) == ["beans", "peas"]
    assert names(server, free_text="pods", uploaded_by=["alice"]) == []
    assert names(server, "bob", free_text="pods") == []
    readme = server.request("GET", f"/readmes/{uri}", "alice").json()["readme"]
    assert readme == "description: Pods of runner beans, counted twice\n"
    assert server.request("GET", f"/manifests/{uri}", "alice").json()["items"] == {}


def test_pages_of_a_search_have_their_header(server: LiveServer) -> None:
    query = {"free_text": "pods", "sort": "-name", "page_size": 1, "page": 2}
    answer = server.request("GET", "/uris", "alice", params=query)
    assert [dataset["name"] for dataset in answer.json()] == ["beans"]
    assert json.loads(answer.headers["X-Pagination"])["total"] == 2


def test_the_extension_has_a_route_that_is_documented(server: LiveServer, uri: str) -> None:
    assert server.request("GET", f"/wordcount/{uri}", "alice").json() == {"words": 5}
    assert server.request("GET", f"/wordcount/{uri}", "bob").status_code == 403
    assert server.request("GET", f"/wordcount/{uri}", "carol").status_code == 401
    assert server.request("GET", f"/wordcount/{uri}-more", "alice").status_code == 404
    assert requests.get(f"{server.address}/wordcount/{uri}", timeout=60).status_code == 401
    document = requests.get(f"{server.address}/doc/openapi.json", timeout=60).json()
    assert document["paths"]["/wordcount/{uri}"]["get"]["summary"] == "Count the words of a dataset's README."


def test_registrations_over_http_arrive_and_replace(server: LiveServer, lentils: dict[str, Any]) -> None:
    mine = {"tags": lentils["tags"]}
    assert names(server, free_text=lentils["uuid"], uploaded_by=["alice"], **mine) == [lentils["name"]]
    assert put(server, lentils | {"readme": "Many lentils"}).status_code == 200
    assert names(server, free_text=lentils["uuid"], **mine) == []
    assert names(server, free_text="many", creator_usernames=["otto"], **mine) == [lentils["name"]]
    assert names(server, free_text="many", creator_usernames=["olga"], **mine) == []
    assert journal(server, lentils["uri"]) == ["2 words", "1 words"]


def test_what_one_store_refuses_is_in_none(server: LiveServer, lentils: dict[str, Any]) -> None:
    refused = put(server, lentils | {"readme": f"changed {'x' * 1_000_001}"})
    assert refused.status_code == 400
    assert "1000000 characters" in refused.json()["message"]
    readme = server.request("GET", f"/readmes/{lentils['uri']}", "alice").json()["readme"]
    assert readme == lentils["readme"]
    # What failed may have got as far as the extensions: they are told again how it is.
    assert journal(server, lentils["uri"]) == ["2 words", "2 words"]


def test_edits_reach_all_three(server: LiveServer, lentils: dict[str, Any]) -> None:
    uri, tag = lentils["uri"], f"fresh-{lentils['uuid']}"
    assert server.request("PUT", f"/tags/{uri}", "alice", json={"tags": [tag]}).status_code == 200
    assert server.request("PUT", f"/readmes/{uri}", "alice", json={"readme": "Sprouts!"}).status_code == 200
    assert server.request("GET", f"/tags/{uri}", "alice").json() == {"tags": [tag]}
    assert server.request("GET", f"/readmes/{uri}", "alice").json() == {"readme": "Sprouts!"}
    assert names(server, free_text="sprouts", tags=[tag]) == [lentils["name"]]
    assert names(server, tags=lentils["tags"]) == []
    assert journal(server, uri) == ["2 words", "2 words", "1 words"]


def test_what_is_deleted_is_found_nowhere_and_can_come_back(
    server: LiveServer, lentils: dict[str, Any]
) -> None:
    cards, shelf = (server.data_dir / place for place in ("card-index", "shelf-data"))
    before = len(list(cards.iterdir())), len(list(shelf.iterdir()))
    assert server.request("DELETE", f"/uris/{lentils['uri']}", "alice").status_code == 200
    assert names(server, tags=lentils["tags"]) == []
    assert names(server, free_text=lentils["uuid"]) == []
    assert server.request("GET", f"/readmes/{lentils['uri']}", "alice").status_code == 404
    assert journal(server, lentils["uri"]) == ["2 words", "deleted"]
    # The card that is left is a tombstone.
    assert (len(list(cards.iterdir())), len(list(shelf.iterdir()))) == (before[0], before[1] - 1)
    assert put(server, lentils).status_code == 201
    assert names(server, tags=lentils["tags"]) == [lentils["name"]]


@pytest.mark.parametrize(
    ("place", "kind", "problem"),
    [
        ("card-index", "search", "the card index cannot be written to"),
        ("shelf-data", "retrieve", "the shelf cannot be written to"),
    ],
)
def test_a_store_out_of_reach_is_told_and_nothing_is_written(
    server: LiveServer, lentils: dict[str, Any], place: str, kind: str, problem: str
) -> None:
    uri = lentils["uri"]
    (server.data_dir / place).rename(server.data_dir / "elsewhere")
    try:
        ready = requests.get(f"{server.address}/config/ready", timeout=60)
        edit = server.request("PUT", f"/tags/{uri}", "alice", json={"tags": ["fresh"]})
        deletion = server.request("DELETE", f"/uris/{uri}", "alice")
    finally:
        (server.data_dir / "elsewhere").rename(server.data_dir / place)
    assert (ready.status_code, ready.json()[kind]) == (503, problem)
    assert (edit.status_code, deletion.status_code) == (503, 503)
    assert names(server, tags=lentils["tags"]) == [lentils["name"]]
    assert journal(server, uri) == ["2 words"]


def test_a_wrong_setting_is_one_line(server: LiveServer) -> None:
    done = run_flask(server, "config", "versions", WORDCOUNT_LETTERS="many")
    assert (done.returncode, done.stderr) == (1, "Error: WORDCOUNT_LETTERS: expected a number\n")
