"""Every route and method, for everybody: what docs/reference/who-may-do-what.txt says, and nothing else."""

from __future__ import annotations

import re
import sqlite3
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from dservercore import sql_db
from dservercore.auth.permissions import operator_scope
from dservercore.catalog import base_uris, groups, personal_tokens, registration, users
from dservercore.catalog.scope import OPERATOR
from dservercore.settings.keys import generate_key_pair
from support.stores import disagreements
from support.world import BLUE, RED, dataset_info
from support.worlds import World, world

pytestmark = pytest.mark.attack

TABLE = Path(__file__).parents[2] / "docs" / "reference" / "who-may-do-what.txt"

UNKNOWN = "s3://unknown"
BASE_URIS = (RED, BLUE, UNKNOWN)
GUEST, GHOST = "guest", "ghost"  # somebody else, nobody
GROUPS = ("lab", "zoo", "none")  # the last one does not exist
USERS = ("plain", "search", "register", "elsewhere", "admin")

#: The datasets that requests are about: one in each of the base URIs, of which the last is not registered.
DATASETS = [dataset_info(base_uri, uuid=str(uuid.UUID(int=n))) for n, base_uri in enumerate(BASE_URIS, 1)]
NEW_DATASETS = [dataset_info(base_uri, uuid=str(uuid.UUID(int=n))) for n, base_uri in enumerate(BASE_URIS, 4)]

#: The places where a user has no permission at all. The last one of them does not exist.
PLACES_WITHOUT_PERMISSION = {
    "plain": (0, 1, 2),
    "search": (1, 2),
    "register": (1, 2),
    "elsewhere": (0, 2),
    "admin": (0, 1, 2),
}

BODIES: dict[str, Any] = {
    "POST /uris/bulk": NEW_DATASETS,
    "PUT /readmes/{uri}": {"readme": "changed"},
    "PUT /tags/{uri}": {"tags": ["changed"]},
    "PUT /annotations/{uri}": {"annotations": {"changed": True}},
    "PUT /annotations/{uri}/{name}": {"value": "changed"},
    "POST /me/tokens": {"name": "robot"},
    "POST /users/{username}/tokens": {"name": "robot"},
    "POST /me/searches": {"name": "mine", "query": "tags=x"},
    "PATCH /me": {"display_name": "Changed"},
    "PUT /users/{username}": {"display_name": "Changed", "is_admin": True},
    "PATCH /users/{username}": {"display_name": "Changed", "is_admin": True},
    "POST /base-uris/{base_uri}": {"users_with_search_permissions": [GUEST]},
    "POST /graph/uuids/{uuid}": {"dependency_keys": ["readme.derived_from.uuid"]},
    "POST /webhook/notify": {"Records": []},
    "POST /webhook/notify/{path}": {"Records": []},
    "PUT /base-uris/{base_uri}": {"users_with_register_permissions": [GUEST]},
    # No bucket answers, so whoever may begin an upload is told so.
    "POST /signed-urls/upload/{base_uri}": {
        "uuid": str(uuid.UUID(int=9)),
        "name": "peas",
        "creator_username": "olga",
        "frozen_at": 1.5,
    },
    "POST /signed-urls/upload-complete": {"uri": DATASETS[0]["uri"]},
}


def read_table() -> tuple[list[str], dict[str, list[str]]]:
    """Return who is asking, and what each request is answered to each of them."""
    head, *rows = ([cell.strip() for cell in line.split("|")] for line in TABLE.read_text().splitlines())
    return head[1:], {row[0].strip("`"): row[1:] for row in rows}


ASKING, ANSWERS = read_table()
VARIABLE = re.compile("<([^:<>]+:)?")


class Target:
    """A world that is as new after every request."""

    def __init__(self, standing: World, private_key: str, other_key: str):
        self.standing = standing
        self.headers: dict[str, dict[str, str]] = {
            "no token": {},
            "bad token": bearer({"sub": "admin"}, other_key),
            "expired": bearer({"sub": "admin", "exp": time.time() - 1}, private_key),
            "unregistered": bearer({"sub": GHOST}, private_key),
            **{name: bearer({"sub": name}, private_key) for name in USERS},
        }
        self._file = sqlite3.connect(standing.database, isolation_level=None)
        self._pristine = sqlite3.connect(":memory:")
        self._file.backup(self._pristine)

    def ask(self, method: str, path: str, who: str, **options: Any) -> int:
        """Send a request, and undo what it has done; return the status."""
        before = self.standing.version()
        answer = self.standing.client.open(path, method=method, headers=self.headers[who], **options)
        if answer.status_code >= 400:
            assert self.standing.version() == before, f"{method} {path} changed something for {who}"
        elif self.standing.version() != before:
            assert method not in ("GET", "HEAD"), f"{method} {path} changed something"
            assert disagreements(self.standing.database) == []
            self.restore()
        return answer.status_code

    def restore(self) -> None:
        self._pristine.backup(self._file)

    def close(self) -> None:
        self._file.close()
        self._pristine.close()


def bearer(claims: dict[str, Any], key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {jwt.encode(claims, key, 'RS256')}"}


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory, key_pair: tuple[Path, Path]) -> Iterator[Target]:
    directory = tmp_path_factory.mktemp("authorization")
    other_key, _ = generate_key_pair(directory)
    with world(directory, key_pair) as standing:
        with standing.app.app_context():
            users.add_user("another-admin", is_admin=True)  # the last one could not be deleted
            for name in (GUEST, *USERS):
                users.add_user(name, is_admin=name == "admin")
            base_uris.put_base_uri(RED, ["search"], ["register"])
            base_uris.put_base_uri(BLUE, ["elsewhere"], ["elsewhere"])
            for name in GROUPS[:2]:
                groups.add_group(name)
            for info in DATASETS[:2]:
                registration.register_dataset(OPERATOR, operator_scope("register"), info)
            personal_tokens.create_token(GUEST, personal_tokens.Wish("robot", None), ())
            sql_db.session.commit()
        target = Target(standing, key_pair[0].read_text(), other_key.read_text())
        yield target
        target.close()


def test_the_table_has_every_route_and_method_and_no_other(target: Target) -> None:
    routes = {
        f"{method} {VARIABLE.sub(r'{', rule.rule).replace('>', '}')}"
        for rule in target.standing.app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert set(ANSWERS) == routes
    assert list(target.headers) == ASKING
    assert all(len(row) == len(ASKING) for row in ANSWERS.values())


def options_of(request: str, place: int) -> dict[str, Any]:
    if request == "PUT /uris/{uri}":
        return {"json": NEW_DATASETS[place]}
    if request.startswith("GET ") or request.startswith("DELETE "):
        return {}
    return {"json": BODIES.get(request, {})}


def path_of(request: str, place: int, who: str) -> str:
    """Return the path of a request about one of the three places."""
    path = request.split()[1]
    info = (NEW_DATASETS if request == "PUT /uris/{uri}" else DATASETS)[place]
    username = GUEST if "{base_uri}" in path else (who, GUEST, GHOST)[place]
    return path.format(
        uri=info["uri"],
        base_uri=BASE_URIS[place],
        uuid=info["uuid"],
        username=username,
        group=GROUPS[0 if "{base_uri}" in path else place],
        token_id=1,
        search_id=1,
        name="soil",
        tag="beans",
        filename="redoc/LICENSE",
        digest="0123456789ab",
        file="site.css",
        path="bucket/events",
        session=1,
        session_id=1,
        identifier=next(iter(info["manifest"]["items"])),
    )


@pytest.mark.parametrize("request_", ANSWERS)
def test_who_may(target: Target, request_: str) -> None:
    method = request_.split()[0]
    found = []
    for who in ASKING:
        statuses = []
        for place in range(len(BASE_URIS)):
            path, options = path_of(request_, place, who), options_of(request_, place)
            statuses.append(target.ask(method, path, who, **options))
            if method == "GET":
                assert target.ask("HEAD", path, who) == statuses[-1], f"HEAD {path} for {who}"
            if method == "POST" and statuses[-1] == 200 and "{base_uri}" in request_:
                assert target.ask("DELETE", path, who) == 200
        found.append(str(statuses[0]) if len(set(statuses)) == 1 else "/".join(map(str, statuses)))
    assert dict(zip(ASKING, found, strict=True)) == dict(zip(ASKING, ANSWERS[request_], strict=True))


@pytest.mark.parametrize("request_", [request for request in ANSWERS if "{" in request])
@pytest.mark.parametrize("who", PLACES_WITHOUT_PERMISSION)
def test_what_may_not_be_seen_is_answered_as_if_it_were_not_there(
    target: Target, request_: str, who: str
) -> None:
    """Whether a base URI, a dataset or a user exists is not told by the refusal either."""
    method = request_.split()[0]
    refusals = []
    for place in PLACES_WITHOUT_PERMISSION[who]:
        path, options = path_of(request_, place, who), options_of(request_, place)
        answer = target.standing.client.open(path, method=method, headers=target.headers[who], **options)
        if answer.status_code == 403:
            refusals.append(answer.json)
        else:
            target.restore()
    assert refusals == refusals[:1] * len(refusals)
