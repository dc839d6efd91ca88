"""Plugins that do not inherit our base classes, and have only what they cannot do without."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from flask_jwt_extended import create_access_token

from dservercore import create_app, sql_db, utils
from dservercore.errors import ConfigurationError
from support.extension_package import write_package
from support.world import CHAMPION, RED, dataset_info

EXTENSION = """
from flask_smorest import Blueprint

heard = []

class Ear:
    def get_blueprint(self):
        return Blueprint("ear", __name__, url_prefix="/ear")
    {methods}
"""
METHODS = """
    def register_dataset(self, dataset_info):
        heard.append(("registered", dataset_info["name"]))

    def delete_dataset(self, uri):
        heard.append(("deleted", uri))
"""
STORES = """
from dservercore import UnknownURIError

documents = {}

class Search:
    def register_dataset(self, dataset_info):
        documents[dataset_info["uri"]] = dataset_info

    def search(self, query, pagination_parameters=None, sort_parameters=None):
        found = [
            one for one in documents.values()
            if one["base_uri"] in query["base_uris"] and query["free_text"] in one["readme"]
        ]
        if pagination_parameters:
            pagination_parameters.item_count = len(found)
        return found

class Retrieve:
    def _get(self, uri, field):
        if uri not in documents:
            raise UnknownURIError(uri)
        return documents[uri][field]

    def get_readme(self, uri):
        return self._get(uri, "readme")

    def get_manifest(self, uri):
        return self._get(uri, "manifest")

    def get_annotations(self, uri):
        return self._get(uri, "annotations")

    def get_tags(self, uri):
        return self._get(uri, "tags")
"""


@pytest.fixture
def serve(config, tmp_path, monkeypatch):
    """``serve()`` returns a client and headers of CHAMPION, who may do everything in RED, with the packages written."""
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def start():
        app = create_app(config)
        with app.app_context():
            sql_db.create_all()
            utils.register_user(CHAMPION, {})
            utils.register_base_uri(RED)
            grants = {f"users_with_{grant}_permissions": [CHAMPION] for grant in ("search", "register")}
            utils.register_permissions(RED, grants)
            token = create_access_token(CHAMPION)
        return app.test_client(), {"Authorization": f"Bearer {token}"}

    yield start
    for name in ("ear", "box"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("methods", [METHODS, ""])
def test_an_extension(serve, tmp_path: Path, methods: str) -> None:
    write_package(tmp_path / "packages", "ear", EXTENSION.format(methods=methods), extension="Ear")
    client, headers = serve()
    assert client.get("/config/versions").json["versions"]["ear"] == "0.1"
    assert client.get("/config/ready").status_code == 200
    assert client.get("/config/info", headers=headers).status_code == 200
    info = dataset_info()
    assert client.put(f"/uris/{info['uri']}", json=info, headers=headers).status_code == 201
    assert client.delete(f"/uris/{info['uri']}", headers=headers).status_code == 200
    heard = [("registered", info["name"]), ("deleted", info["uri"])] if methods else []
    assert sys.modules["ear"].heard == heard  # type: ignore[attr-defined]


def test_search_and_retrieve(serve, tmp_path: Path) -> None:
    write_package(tmp_path / "packages", "box", STORES, search="Search", retrieve="Retrieve")
    client, headers = serve()
    assert client.get("/config/versions").json["versions"]["box"] == "0.1"
    info = dataset_info()
    path = info["uri"]
    assert client.put(f"/uris/{path}", json=info, headers=headers).status_code == 201
    assert client.put(f"/tags/{path}", json={"tags": ["peas"]}, headers=headers).status_code == 200
    assert client.get(f"/tags/{path}", headers=headers).json == {"tags": ["peas"]}
    query = {"json": {"free_text": "greenhouse"}, "headers": headers}
    assert [one["uri"] for one in client.post("/uris", **query).json] == [path]
    assert client.delete(f"/uris/{path}", headers=headers).status_code == 200
    assert client.post("/uris", **query).json == []
    assert client.get(f"/readmes/{path}", headers=headers).status_code == 404


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        ("class Ear: pass", "lacks get_blueprint"),
        ("def Ear(): return 3", "ExtensionABC"),
        ("class Ear:\n    __slots__ = ()\n    def get_blueprint(self): pass", "ExtensionABC"),
    ],
)
def test_what_cannot_be_made_up_for_is_one_line(serve, tmp_path: Path, source: str, missing: str) -> None:
    write_package(tmp_path / "packages", "ear", source, extension="Ear")
    with pytest.raises(ConfigurationError, match=missing):
        serve()
