"""How often a request asks the database: a number that does not grow with what is stored."""

from __future__ import annotations

import pytest

from api.conftest import on_every_store, route
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris, registration, users
from dservercore.catalog.scope import OPERATOR
from dservercore.db import sql_db
from support.world import ADMIN, BLUE, CHAMPION, READER, RED, dataset_info

pytestmark = on_every_store


def manifest_of(number_of_items):
    item = {"hash": "x", "size_in_bytes": 1, "utc_timestamp": 1.0}
    items = {f"{number:040x}": {**item, "relpath": f"file-{number}.csv"} for number in range(number_of_items)}
    return {"dtoolcore_version": "3.19.0", "hash_function": "md5sum_hexdigest", "items": items}


@pytest.fixture(autouse=True)
def _has_served(champion):
    """The first request that a process answers looks into the journal, too."""
    champion.get("/me")


@pytest.fixture
def grow(app, people):
    """``grow()`` adds users, base URIs that the reader may search, and datasets."""

    def grow() -> None:
        with app.app_context():
            for number in range(12):
                users.add_user(f"user-{number}")
                base_uris.create_base_uri(f"s3://b{number}", [CHAMPION, READER, f"user-{number}"], [CHAMPION])
                users.grant("search", f"user-{number}", RED)
            scope = operator_scope("register")
            for number in range(25):
                info = dataset_info(
                    RED if number % 2 else f"s3://b{number % 12}", name=f"d{number}", tags=[f"t{number}"]
                )
                registration.register_dataset(OPERATOR, scope, info)
            sql_db.session.commit()

    return grow


def count(statements, client, method, path, **request):
    with statements() as executed:
        answer = client.open(path, method=method, **request)
    assert answer.status_code < 300, answer.json
    return len(executed), executed.executed


class TestReading:
    @pytest.mark.parametrize(
        ("path", "most"),
        [
            ("/uuids/{uuid}", 2),
            ("/uris/s3/red/{uuid}", 2),
            ("/readmes/s3/red/{uuid}", 2),
            ("/manifests/s3/red/{uuid}", 2),
            ("/tags/s3/red/{uuid}", 2),
            ("/annotations/s3/red/{uuid}", 2),
            ("/uris", 3),
            ("/uris?page=2&page_size=20&sort=-frozen_at", 3),
            ("/uris?free_text=beans", 3),
            ("/uris?free_text=beans&tags=beans&creator_usernames=olga&page_size=100&sort=name", 3),
            # On SQLite two more, which take no way to a server and back: how rare words are, and how much they count.
            ("/uris?free_text=beans&tags=beans&creator_usernames=olga&page_size=100&sort=relevance", 6),
            ("/uris?tags=nothing", 3),
            ("/uris?base_uris=s3://b1", 3),
            ("/me/summary", 3),
        ],
    )
    def test_takes_a_few_statements_whatever_is_stored(self, reader, register, statements, grow, path, most):
        uuid = register(RED)["uuid"]
        grow()
        _, executed = count(statements, reader, "GET", path.format(uuid=uuid))
        # Settings for the search alone are not counted.
        asked = [statement for statement in executed if "SAVEPOINT" not in statement]
        assert len(asked) <= most, executed

    @pytest.mark.parametrize(
        "path",
        [
            "/users?page_size=50",
            "/base-uris?page_size=50",
            f"/users/{READER}",
            "/me",
            f"/users/{READER}/summary",
        ],
    )
    def test_of_administrators_takes_a_number_that_does_not_grow(self, admin, statements, grow, path):
        before, _ = count(statements, admin, "GET", path)
        grow()
        after, executed = count(statements, admin, "GET", path)
        assert after == before, executed
        assert len(admin.get(path).json)


class TestWriting:
    def put(self, statements, client, **changes):
        info = dataset_info(**changes)
        return count(statements, client, "PUT", route("uris", info["uri"]), json=info)

    def test_a_registration_does_not_grow_with_items_tags_annotations_users_or_base_uris(
        self, champion, statements, grow
    ):
        small, _ = self.put(statements, champion, manifest=manifest_of(1), tags=["a"], annotations={"a": 1})
        grow()
        large, executed = self.put(
            statements,
            champion,
            manifest=manifest_of(2000),
            tags=[f"t{number}" for number in range(50)],
            annotations={f"a{number}": number for number in range(50)},
        )
        assert large <= small, executed  # words that the vocabulary has need not be learnt again

    def test_a_replacement_does_not_either(self, champion, statements, grow):
        info = dataset_info(manifest=manifest_of(1))
        path = route("uris", info["uri"])
        champion.put(path, json=info)
        before, _ = count(statements, champion, "PUT", path, json={**info, "tags": ["x"], "readme": "x"})
        grow()
        changed = {**info, "manifest": manifest_of(2000), "tags": [f"t{number}" for number in range(50)]}
        after, executed = count(statements, champion, "PUT", path, json=changed)
        assert after == before, executed

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("PUT", "/readmes/s3/red/{uuid}", {"readme": "new"}),
            ("PUT", "/tags/s3/red/{uuid}", {"tags": ["a", "b"]}),
            ("POST", "/tags/s3/red/{uuid}/new", None),
            ("PUT", "/annotations/s3/red/{uuid}", {"annotations": {"a": 1}}),
            ("PUT", "/annotations/s3/red/{uuid}/new", {"value": 1}),
            ("DELETE", "/uris/s3/red/{uuid}", None),
        ],
    )
    def test_an_edit_or_a_deletion_does_not_either(
        self, champion, register, statements, grow, method, path, body
    ):
        one, other = register(), register(manifest=manifest_of(2000))
        before, _ = count(statements, champion, method, path.format(uuid=one["uuid"]), json=body)
        grow()
        after, executed = count(statements, champion, method, path.format(uuid=other["uuid"]), json=body)
        assert after <= before, executed  # words that the vocabulary has need not be learnt again

    def test_permissions_of_many_users_take_as_many_statements_as_those_of_few(self, admin, statements, grow):
        key = "users_with_search_permissions"
        path = "/base-uris/s3/blue"
        before, _ = count(statements, admin, "PUT", path, json={key: [ADMIN]})
        grow()
        everybody = [f"user-{number}" for number in range(12)]
        after, executed = count(statements, admin, "PUT", path, json={key: everybody})
        assert after == before, executed
        assert admin.get(path).json["base_uri"] == BLUE
