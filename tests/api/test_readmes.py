"""``/readmes``: what a dataset's README says."""

from __future__ import annotations

import pytest

from api.conftest import on_every_store, on_usual_stores, route
from support.world import BLUE

pytestmark = on_every_store


class TestReading:
    def test_the_text_as_it_was_registered(self, champion, register):
        readme = "---\nproject: größe\n# not\tYAML: [\r\n😀"
        info = register(readme=readme)
        answer = champion.get(route("readmes", info["uri"]))
        assert (answer.status_code, answer.json) == (200, {"readme": readme})

    def test_an_empty_one(self, champion, register):
        assert champion.get(route("readmes", register(readme="")["uri"])).json == {"readme": ""}

    def test_needs_search_permission(self, champion, nobody, admin, register):
        red, blue = register(), register(BLUE)
        for client in (nobody, admin):
            assert client.get(route("readmes", red["uri"])).status_code == 403
        assert champion.get(route("readmes", blue["uri"])).status_code == 403

    def test_what_is_not_registered(self, champion):
        assert champion.get("/readmes/s3/red/missing").status_code == 404
        assert champion.get("/readmes/s3/unknown/missing").status_code == 403


class TestReplacing:
    def test_answers_with_the_new_text_which_is_then_read(self, champion, register):
        path = route("readmes", register()["uri"])
        answer = champion.put(path, json={"readme": "description: Peas\n"})
        assert (answer.status_code, answer.json) == (200, {"readme": "description: Peas\n"})
        assert champion.get(path).json == {"readme": "description: Peas\n"}

    def test_search_follows(self, champion, register):
        champion.put(route("readmes", register()["uri"]), json={"readme": "description: Peas\n"})
        assert len(champion.get("/uris?free_text=peas").json) == 1
        assert champion.get("/uris?free_text=greenhouse").json == []
        assert len(champion.get("/uris?free_text=loam&tags=beans").json) == 1

    def test_nothing_else_changes(self, champion, register):
        info = register()
        before = champion.get(route("uris", info["uri"])).json
        champion.put(route("readmes", info["uri"]), json={"readme": "Peas"})
        assert champion.get(route("uris", info["uri"])).json == before
        assert champion.get(route("tags", info["uri"])).json == {"tags": info["tags"]}
        assert champion.get(route("annotations", info["uri"])).json == {"annotations": info["annotations"]}
        assert champion.get(route("manifests", info["uri"])).json == info["manifest"]

    def test_needs_search_and_register_permission(self, admin, reader, nobody, champion, register):
        path = route("readmes", register()["uri"])
        for client in (reader, nobody, admin):
            assert client.put(path, json={"readme": "x"}).status_code == 403
        admin.post("/users/nora/register/s3/red")
        assert nobody.put(path, json={"readme": "x"}).status_code == 403
        admin.post("/users/nora/search/s3/red")
        assert nobody.put(path, json={"readme": "x"}).status_code == 200

    def test_what_is_not_registered(self, champion):
        assert champion.put("/readmes/s3/red/missing", json={"readme": "x"}).status_code == 404
        assert champion.put("/readmes/s3/unknown/missing", json={"readme": "x"}).status_code == 403
        assert champion.get("/uris?free_text=x").json == []

    @on_usual_stores
    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"readme": None},
            {"readme": 1},
            {"readme": {"a": 1}},
            {"readme": "\0"},
            {"readme": "x", "y": 1},
        ],
        ids=str,
    )
    def test_what_is_no_readme(self, champion, register, body):
        info = register()
        assert champion.put(route("readmes", info["uri"]), json=body).status_code == 422
        assert champion.get(route("readmes", info["uri"])).json == {"readme": info["readme"]}

    @pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
    def test_there_is_no_other_way(self, champion, register, method):
        assert champion.open(route("readmes", register()["uri"]), method=method).status_code == 405
