"""Many clients at once on the same things: one is the first, nothing is lost or half done, and nobody sees an error.

Each test takes a moment; with ``SOAK_SECONDS`` in the environment (``make soak``) each goes on for so long. After each
group of them all stores are compared.
"""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
import requests
from dtoolcore import DataSetCreator

from support.databases import on_other_stores
from support.live_server import LiveServer, environment
from support.racing import (
    CLIENTS,
    COMBINATIONS,
    SOAK_SECONDS,
    at_once,
    by_many,
    require_agreement,
    rounds,
    serving,
)
from support.world import ADMIN, CHAMPION, RED, dataset_info

GRANTS = ("search", "register")

pytestmark = pytest.mark.timeout(300 + 3 * SOAK_SECONDS)


@pytest.fixture(scope="module", params=["sqlite+sql", *on_other_stores(*COMBINATIONS[1:])])
def live(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp("racing")
    with serving(request.param, folder, lambda: request.getfixturevalue("mongod")) as live:
        yield live


@pytest.fixture(scope="class", autouse=True)
def _agreement_afterwards(live: LiveServer) -> Iterator[None]:
    yield
    require_agreement(live)


def send(live: LiveServer, method: str, path: str, username: str = CHAMPION, **options: Any) -> int:
    """Send a request; return the status of the answer, which must be no failure of the server."""
    answer = live.request(method, path, username, **options)
    assert answer.status_code < 500, answer.text
    return answer.status_code


def put(live: LiveServer, info: dict[str, Any], username: str = CHAMPION) -> int:
    return send(live, "PUT", f"/uris/{info['uri']}", username, json=info)


def get(live: LiveServer, path: str, username: str = CHAMPION) -> Any:
    return live.request("GET", path, username).json()


def unique(name: str) -> str:
    return f"{name}{uuid.uuid4().hex[:8]}"


class TestTheSameDataset:
    def test_of_first_registrations_one_is_the_first_and_one_the_last(self, live):
        for _ in rounds(2):
            info = dataset_info()

            def register(n, info=info):
                described = {"name": f"n{n}", "readme": f"r{n}", "tags": [f"t{n}"], "annotations": {"a": n}}
                return put(live, {**info, **described})

            assert Counter(by_many(register)) == {201: 1, 200: CLIENTS - 1}
            uri = info["uri"]
            last = get(live, f"/uris/{uri}")["name"][1:]
            assert get(live, f"/readmes/{uri}") == {"readme": f"r{last}"}
            assert get(live, f"/tags/{uri}") == {"tags": [f"t{last}"]}
            assert get(live, f"/annotations/{uri}") == {"annotations": {"a": int(last)}}
            [found] = get(live, f"/uris?free_text=r{last}&uuids={info['uuid']}")
            assert found["name"] == f"n{last}"

    def test_no_tag_or_annotation_is_lost_among_other_edits(self, live):
        for _ in rounds():
            info = dataset_info(tags=["goes"], annotations={"goes": 1})
            uri = info["uri"]
            put(live, info)
            edits = [
                ("DELETE", f"/tags/{uri}/goes", None),
                ("DELETE", f"/annotations/{uri}/goes", None),
                ("PUT", f"/readmes/{uri}", {"readme": "new"}),
            ]
            for n in range(CLIENTS):
                edits += [
                    ("POST", f"/tags/{uri}/t{n}", None),
                    ("PUT", f"/annotations/{uri}/a{n}", {"value": n}),
                ]
            assert set(at_once(*(partial(send, live, *edit[:2], json=edit[2]) for edit in edits))) == {200}
            assert sorted(get(live, f"/tags/{uri}")["tags"]) == [f"t{n}" for n in range(CLIENTS)]
            assert get(live, f"/annotations/{uri}")["annotations"] == {f"a{n}": n for n in range(CLIENTS)}
            assert get(live, f"/readmes/{uri}") == {"readme": "new"}

    def test_registrations_edits_and_deletions(self, live):
        shared = [dataset_info() for _ in range(2)]
        for chance in rounds():
            seeds = [chance.randrange(2**32) for _ in range(CLIENTS)]
            made = at_once(*(partial(self._work, live, shared, Random(seed)) for seed in seeds))
            assert set().union(*made) <= {200, 201, 404}

    def _work(self, live: LiveServer, shared: list[dict[str, Any]], chance: Random) -> set[int]:
        return {self._any_request(live, chance.choice(shared), chance) for _ in range(12)}

    def _any_request(self, live: LiveServer, info: dict[str, Any], chance: Random) -> int:
        uri, n = info["uri"], chance.randrange(4)
        tagged = {**info, "readme": f"r{n}", "tags": [f"t{n}", "x"]}
        grown = {**info, "size_in_bytes": n, "creator_username": f"c{n}"}
        method, path, body = chance.choice(
            [
                ("PUT", f"/uris/{uri}", tagged),
                ("PUT", f"/uris/{uri}", grown),
                ("DELETE", f"/uris/{uri}", None),
                ("PUT", f"/tags/{uri}", {"tags": [f"t{n}", "y"]}),
                ("POST", f"/tags/{uri}/t{n}", None),
                ("DELETE", f"/tags/{uri}/t{n}", None),
                ("PUT", f"/annotations/{uri}/a{n}", {"value": n}),
                ("DELETE", f"/annotations/{uri}/a{n}", None),
                ("PUT", f"/readmes/{uri}", {"readme": f"edit {n}"}),
                ("GET", f"/readmes/{uri}", None),
                ("GET", "/uris?free_text=beans", None),
            ]
        )
        return send(live, method, path, json=body)


class TestIfMatch:
    #: Resource: method, the end of the path, and the body of an edit to a value that nobody else has.
    EDITS: dict[str, Callable[[str], tuple[str, str, Any]]] = {
        "readmes": lambda new: ("PUT", "", {"readme": new}),
        "tags": lambda new: ("POST", f"/{new}", None),
        "annotations": lambda new: ("PUT", "/latest", {"value": new}),
    }

    @pytest.mark.parametrize("resource", EDITS)
    def test_of_many_who_read_the_same_one_may_change_it(self, live, resource):
        info = dataset_info()
        put(live, info)
        path = f"/{resource}/{info['uri']}"
        for _ in rounds(2):
            read = live.request("GET", path, CHAMPION).headers["ETag"]

            def edit(_n, read=read) -> requests.Response:
                method, end, body = self.EDITS[resource](unique("new"))
                return live.request(method, path + end, CHAMPION, json=body, headers={"If-Match": read})

            answers = by_many(edit)
            assert Counter(answer.status_code for answer in answers) == {200: 1, 412: CLIENTS - 1}
            [winner] = [answer for answer in answers if answer.ok]
            now = live.request("GET", path, CHAMPION)
            assert (now.json(), now.headers["ETag"]) == (winner.json(), winner.headers["ETag"])

    def test_counting_together(self, live):
        """Who was too late reads again: then nobody's part is lost."""
        info = dataset_info(annotations={"count": 0})
        put(live, info)
        path = f"/annotations/{info['uri']}"

        def count(_n):
            done = 0
            while done < 3:
                read = live.request("GET", path, CHAMPION)
                body = {"annotations": {"count": read.json()["annotations"]["count"] + 1}}
                status = send(live, "PUT", path, json=body, headers={"If-Match": read.headers["ETag"]})
                assert status in (200, 412)
                done += status == 200

        by_many(count, 4)
        assert get(live, path)["annotations"] == {"count": 12}


class TestTheSameUser:
    def test_of_first_registrations_one_is_the_first(self, live):
        for _ in rounds(2):
            name = unique("u")
            statuses = by_many(lambda n, name=name: send(live, "PUT", f"/users/{name}", ADMIN, json={}))
            assert Counter(statuses) == {201: 1, 200: CLIENTS - 1}

    @pytest.mark.parametrize("kind", ["search", "register"])
    def test_of_grants_of_the_same_one_is_the_first(self, live, kind):
        for _ in rounds(2):
            name = unique("u")
            send(live, "PUT", f"/users/{name}", ADMIN, json={})
            path = f"/users/{name}/{kind}/{RED}"
            assert Counter(by_many(lambda n, path=path: send(live, "POST", path, ADMIN))) == {
                200: 1,
                409: CLIENTS - 1,
            }
            assert get(live, f"/users/{name}", ADMIN)[f"{kind}_permissions_on_base_uris"] == [RED]

    def test_no_grant_is_lost_among_other_changes(self, live):
        bases = [f"s3://{unique('b')}" for _ in range(CLIENTS)]
        names = [unique("u") for _ in range(3)]
        for base in bases:
            assert send(live, "PUT", f"/base-uris/{base}", ADMIN, json={}) == 201
        for name in names:
            send(live, "PUT", f"/users/{name}", ADMIN, json={})
        changes = [("PUT", f"/users/{name}", {"display_name": name}) for name in names]
        changes += [("PATCH", f"/users/{name}", {"is_admin": False}) for name in names]
        changes += [("POST", f"/users/{name}/search/{base}", None) for name in names for base in bases]
        tasks = [partial(send, live, method, path, ADMIN, json=body) for method, path, body in changes]
        assert set(at_once(*tasks)) == {200}
        for name in names:
            user = get(live, f"/users/{name}", ADMIN)
            assert user["search_permissions_on_base_uris"] == sorted(bases)
            assert user["display_name"] == name

    def test_who_is_deleted_while_permissions_are_granted_has_none(self, live):
        for _ in rounds(2):
            name = unique("u")
            send(live, "PUT", f"/users/{name}", ADMIN, json={})
            lists = {f"users_with_{kind}_permissions": [CHAMPION, name] for kind in GRANTS}
            statuses = at_once(
                *[partial(send, live, "POST", f"/users/{name}/{kind}/{RED}", ADMIN) for kind in GRANTS],
                *[partial(send, live, "DELETE", f"/users/{name}", ADMIN) for _ in range(3)],
                *[partial(send, live, "PUT", f"/base-uris/{RED}", ADMIN, json=lists) for _ in range(2)],
                *[partial(send, live, "PATCH", f"/users/{name}", ADMIN, json={"is_admin": False})],
            )
            assert set(statuses) <= {200, 404, 409, 422}
            assert send(live, "GET", f"/users/{name}", ADMIN) == 404
            lists = {key: [CHAMPION] for key in lists}
            assert send(live, "PUT", f"/base-uris/{RED}", ADMIN, json=lists) == 200
            assert send(live, "PUT", f"/users/{name}", ADMIN, json={}) == 201
            user = get(live, f"/users/{name}", ADMIN)
            assert user["search_permissions_on_base_uris"] == user["register_permissions_on_base_uris"] == []

    @pytest.mark.parametrize(("method", "body"), [("DELETE", None), ("PATCH", {"is_admin": False})])
    def test_two_administrators_who_remove_each_other_leave_one(self, live, method, body):
        for _ in rounds(2):
            pair = [unique("admin"), unique("admin")]
            for name in pair:
                send(live, "PUT", f"/users/{name}", ADMIN, json={"is_admin": True})
            send(live, "PATCH", f"/users/{ADMIN}", pair[0], json={"is_admin": False})
            statuses = at_once(
                *(
                    partial(send, live, method, f"/users/{other}", name, json=body)
                    for name, other in (pair, pair[::-1])
                )
            )
            left = [name for name in pair if send(live, "GET", "/users", name) == 200]
            assert len(left) == 1, statuses
            assert send(live, "PATCH", f"/users/{ADMIN}", left[0], json={"is_admin": True}) == 200
            assert send(live, "DELETE", f"/users/{left[0]}", ADMIN) == 200


class TestTheSameBaseURI:
    LISTS = {"users_with_search_permissions": [CHAMPION], "users_with_register_permissions": [CHAMPION]}

    def test_of_first_registrations_one_is_the_first(self, live):
        for _ in rounds(2):
            path = f"/base-uris/s3://{unique('b')}"
            statuses = by_many(lambda n, path=path: send(live, "PUT", path, ADMIN, json=self.LISTS))
            assert Counter(statuses) == {201: 1, 200: CLIENTS - 1}
            other = f"/base-uris/s3://{unique('b')}"
            statuses = by_many(lambda n, path=other: send(live, "POST", path, ADMIN, json=self.LISTS))
            assert Counter(statuses) == {201: 1, 409: CLIENTS - 1}

    @pytest.mark.parametrize("query", ["", "?with_datasets=true"])
    def test_deleted_while_datasets_are_registered_and_permissions_change(self, live, query):
        """Either it is there with what was registered in it, or it is gone with all of it."""
        for _ in rounds(2):
            base = f"s3://{unique('b')}"
            send(live, "PUT", f"/base-uris/{base}", ADMIN, json=self.LISTS)
            infos = [dataset_info(base) for _ in range(4)]
            put(live, infos[0])
            name = unique("u")
            send(live, "PUT", f"/users/{name}", ADMIN, json={})
            changes = [
                ("DELETE", f"/base-uris/{base}{query}", ADMIN, None),
                ("PUT", f"/base-uris/{base}", ADMIN, self.LISTS),
                ("POST", f"/users/{name}/search/{base}", ADMIN, None),
                ("DELETE", f"/users/{name}/search/{base}", ADMIN, None),
                ("POST", f"/tags/{infos[0]['uri']}/new", CHAMPION, None),
                ("DELETE", f"/uris/{infos[0]['uri']}", CHAMPION, None),
                ("DELETE", f"/base-uris/{base}{query}", ADMIN, None),
                *[("PUT", f"/uris/{info['uri']}", CHAMPION, info) for info in infos[1:]],
            ]
            tasks = [partial(send, live, method, path, who, json=body) for method, path, who, body in changes]
            statuses = at_once(*tasks)
            assert set(statuses) <= {200, 201, 403, 404, 409}
            assert set(statuses[-3:]) <= {201, 403}, "registered, or there is nowhere to register"
            assert statuses[1] in (200, 201)
            self._require_all_or_nothing(live, base, infos[1:], statuses[-3:])

    def _require_all_or_nothing(
        self, live: LiveServer, base: str, infos: list[dict[str, Any]], statuses: list[int]
    ) -> None:
        is_there = send(live, "GET", f"/base-uris/{base}", ADMIN) == 200
        if is_there:  # whoever recreated it has given permission again, or nobody has
            send(live, "PUT", f"/base-uris/{base}", ADMIN, json=self.LISTS)
            listed = {found["uri"] for found in get(live, f"/uris?base_uris={base}&page_size=100")}
            assert listed <= {info["uri"] for info in infos}
        else:
            for info, status in zip(infos, statuses, strict=True):
                assert status in (201, 403)
                assert get(live, f"/uuids/{info['uuid']}") == []

    def test_permissions_replaced_while_others_are_granted(self, live):
        """Which of them is last is open, but nobody meets an error and nothing contradicts itself."""
        base = f"s3://{unique('b')}"
        names = [unique("u") for _ in range(4)]
        for name in names:
            send(live, "PUT", f"/users/{name}", ADMIN, json={})
        send(live, "PUT", f"/base-uris/{base}", ADMIN, json=self.LISTS)
        for chance in rounds():
            changes: list[tuple[str, str, Any]] = []
            for name in names:
                for kind in GRANTS:
                    changes += [
                        ("POST", f"/users/{name}/{kind}/{base}", None),
                        ("DELETE", f"/users/{name}/{kind}/{base}", None),
                    ]
            some = {key: [CHAMPION, *chance.sample(names, 2)] for key in self.LISTS}
            changes += [("PUT", f"/base-uris/{base}", some)] * 6
            chance.shuffle(changes)
            tasks = [partial(send, live, method, path, ADMIN, json=body) for method, path, body in changes]
            assert set(at_once(*tasks)) <= {200, 409}
            there = get(live, f"/base-uris/{base}", ADMIN)
            for name in names:
                user = get(live, f"/users/{name}", ADMIN)
                for kind in GRANTS:
                    is_named = name in there[f"users_with_{kind}_permissions"]
                    assert is_named == (base in user[f"{kind}_permissions_on_base_uris"])


class TestTheSameTags:
    def test_of_many_datasets_in_several_base_uris(self, live):
        """All of these write the same rows of the summary, in orders of their own."""
        bases = [RED, f"s3://{unique('b')}"]
        send(live, "PUT", f"/base-uris/{bases[1]}", ADMIN, json=TestTheSameBaseURI.LISTS)
        tags = [unique("t") for _ in range(4)]
        for _ in rounds():
            infos = [dataset_info(bases[n % 2], tags=tags[n % 3 :]) for n in range(CLIENTS)]

            def work(n, infos=infos):
                info = infos[n]
                uri = info["uri"]
                return [
                    put(live, info),
                    send(live, "PUT", f"/tags/{uri}", json={"tags": tags[::-1]}),
                    send(live, "DELETE", f"/tags/{uri}/{tags[n % 4]}"),
                    send(live, "POST", f"/tags/{uri}/{tags[0]}"),
                    put(live, {**info, "tags": tags[: n % 4], "creator_username": f"c{n % 2}"}),
                ]

            assert by_many(work) == [[201, 200, 200, 200, 200]] * CLIENTS
            wanted = Counter(tag for n in range(CLIENTS) for tag in tags[: n % 4])
            found = get(live, "/me/summary")["datasets_per_tag"]
            assert {tag: found[tag] for tag in tags if tag in found} == wanted
            doomed = [partial(send, live, "DELETE", f"/uris/{info['uri']}") for info in infos]
            assert set(at_once(*doomed)) == {200}


STORED = 50


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of small datasets."""
    folder = tmp_path_factory.mktemp("storage")
    for n in range(STORED):
        with DataSetCreator(
            f"d{n}", str(folder), "description: on disk\n", creator_username="olga"
        ) as dataset:
            dataset.put_tag("indexed")
    return folder


class TestTheCommandLine:
    def test_indexes_while_clients_write(self, live, storage):
        base = f"file://{storage}"
        assert send(live, "PUT", f"/base-uris/{base}", ADMIN, json=TestTheSameBaseURI.LISTS) == 201
        command = [sys.executable, "-m", "flask", "base_uri", "index", base]
        variables = environment(live.data_dir, **live.settings)
        with subprocess.Popen(
            command,
            cwd=live.data_dir,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as indexing:

            def work(n):
                statuses = set()
                while indexing.poll() is None:
                    info = dataset_info(tags=["indexed", f"t{n}"])
                    statuses |= {
                        put(live, info),
                        send(live, "POST", f"/tags/{info['uri']}/x"),
                        send(live, "DELETE", f"/uris/{info['uri']}"),
                    }
                return statuses

            made = by_many(work, 2)
            printed, complaints = indexing.communicate(timeout=120)
        assert indexing.returncode == 0, printed + complaints
        assert made == [{200, 201}] * 2
        assert get(live, "/me/summary")["datasets_per_base_uri"][base] == STORED
        assert send(live, "DELETE", f"/base-uris/{base}?with_datasets=true", ADMIN) == 200
