"""Every function of ``dtool-lookup-api``, through each of its three faces, on a live server over each backend.

The functions come from the package itself: one that appears there fails until it has a case here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dtool_lookup_api
import dtool_lookup_api.asynchronous
import dtool_lookup_api.synchronous
import pytest

from dservercore import __version__
from ecosystem.library import (
    BLUE,
    COPIED,
    GREEN,
    SINGING,
    Library,
    bean_harvest,
    dataset_path,
    open_library,
    summary_of,
)
from ecosystem.lookup_api import (
    DEPRECATED,
    FACES,
    FUNCTIONS,
    Call,
    Home,
    core,
    public_functions,
    public_methods,
)
from ecosystem.token_generator import PASSWORD, TokenGenerator
from support.world import ADMIN, CHAMPION, NOBODY, READER, RED, STRANGER, dataset_info

Case = Callable[..., None]
CASES: dict[str, Case] = {}

ASCENDING, DESCENDING = core.ASCENDING, core.DESCENDING


def case(*names: str) -> Callable[[Case], Case]:
    """Say which functions a case is about; they are to behave alike."""

    def register(function: Case) -> Case:
        CASES.update(dict.fromkeys(names, function))
        return function

    return register


@pytest.fixture(params=FACES, ids=lambda face: face.__name__)
def call(request: pytest.FixtureRequest, name: str, home: Home) -> Call:
    """The function on trial."""
    return Call(home, request.param, name)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(name: str, call: Call, library: Library, generator: TokenGenerator) -> None:
    CASES[name](call, library)
    assert call.count


def test_no_function_is_forgotten() -> None:
    synchronous = public_functions(dtool_lookup_api.synchronous)
    assert len(synchronous) >= 46
    assert synchronous == public_functions(dtool_lookup_api.asynchronous) == set(FUNCTIONS) == set(CASES)
    clients = {name: value for name, value in vars(core).items() if name.endswith("Client")}
    assert len(clients) == 6
    for client in clients.values():
        assert public_methods(client) <= set(CASES)
    own = {name for name, value in vars(core).items() if getattr(value, "__module__", "") == core.__name__}
    assert {name for name in own if not name.startswith("_")} == {
        *clients, "LookupServerError", "deprecated"
    }  # fmt: skip


def test_the_package_itself_offers_the_synchronous_functions() -> None:
    offered = {
        name: value for name, value in vars(dtool_lookup_api).items() if type(value).__name__ == "_WrapClient"
    }
    assert len(offered) >= 33
    for name, value in offered.items():
        assert value is getattr(dtool_lookup_api.synchronous, name)


# What the clients shall say where the server refuses.


def check_refusal(answer: Any, status: int, name: str) -> None:
    assert (answer["code"], answer["status"]) == (status, name)


def refused(call: Call, uri: str, actor: str = CHAMPION) -> None:
    """Assert that there is no such piece of metadata in the answer, of which the client takes a part."""
    with pytest.raises(KeyError):
        call(uri, actor=actor)


# The connection


@case("has_valid_token")
def has_valid_token(call: Call, library: Library) -> None:
    assert call() is True


@case("connect")
def connect(call: Call, library: Library) -> None:
    token = call.home.log_in(CHAMPION)
    assert call(actor=None) is None
    assert call.home.kept_token() == token


@case("close", "create_session")
def open_and_close(call: Call, library: Library) -> None:
    assert call() is None


@case("authenticate")
def authenticate(call: Call, library: Library) -> None:
    call.home.set(USERNAME=READER, PASSWORD=PASSWORD)
    call.home.keep_token("worn-out")
    token = call(actor=None)
    assert {"Authorization": f"Bearer {token}"} == library.server.bearer(READER)
    assert call.home.kept_token() == token


# The configuration


def check_config(shown: dict[str, Any], library: Library) -> None:
    assert shown["jwt_algorithm"] == "RS256"
    assert shown["sqlalchemy_database_uri"] == shown["jwt_private_key"] == "***"
    assert shown == library.get("/config/info")["config"]


def check_versions(shown: dict[str, str], library: Library) -> None:
    kind = library.server.settings.get("DSERVER_SEARCH_PLUGIN", "sql")
    assert shown == {
        "dservercore": __version__,
        f"dserver_search_plugin_{kind}": __version__,
        f"dserver_retrieve_plugin_{kind}": __version__,
    }
    assert __version__ == version("dservercore")


@case("get_config")
def get_config(call: Call, library: Library) -> None:
    check_config(call(), library)


@case("get_versions")
def get_versions(call: Call, library: Library) -> None:
    check_versions(call(), library)


@case("config")
def config(call: Call, library: Library) -> None:
    check_config(asyncio.run(call()), library)  # the client hands out what is still to be awaited


@case("versions")
def versions(call: Call, library: Library) -> None:
    check_versions(asyncio.run(call()), library)


# Lists of datasets


def check_pages(list_page: Callable[..., list[dict[str, Any]]], library: Library) -> None:
    """Assert that the pages of a list of everything, taken in turn, are that list."""
    found, page, last_page = [], 1, 3
    while page <= last_page:
        pagination: dict[str, int] = {}
        found += list_page(page_number=page, page_size=5, pagination=pagination)
        neighbours = {}
        if page > 1:
            neighbours["previous_page"] = page - 1
        if page < last_page:
            neighbours["next_page"] = page + 1
        limits = {"total": 13, "total_pages": 3, "first_page": 1, "last_page": last_page}
        assert pagination == {**limits, "page": page, **neighbours}
        page += 1
    library.check_listed(found, library.visible)


@case("get_datasets")
def get_datasets(call: Call, library: Library) -> None:
    check_pages(call, library)
    library.check_listed(call(), library.visible[:10])
    check_refusal(call(page_number=4), 404, "Not Found")
    assert call(actor=NOBODY) == []

    red = [info for info in library.visible if info["base_uri"] == RED]
    odd = [info for info in library.visible if "odd" in info["tags"]]
    some = [library.red(4), library.red(9)]
    hidden = library.hidden[0]
    for query, expected in (
        ({"free_text": "nightingale"}, [library.red(SINGING)]),
        ({"free_text": "NIGHTINGALES bed"}, [library.red(SINGING)]),
        ({"free_text": '"bed 7"'}, [library.red(SINGING)]),
        ({"free_text": "nothing-like-it"}, []),
        ({"creator_usernames": ["ivan"]}, odd),
        ({"creator_usernames": ["ivan", "olga", "nobody"]}, library.visible),
        ({"base_uris": [GREEN]}, [bean_harvest(COPIED, GREEN)]),
        ({"base_uris": [RED, BLUE]}, red),
        ({"base_uris": [BLUE]}, []),
        ({"uuids": [info["uuid"] for info in some]}, some),
        ({"uuids": [hidden["uuid"]]}, [i for i in library.visible if i["uuid"] == hidden["uuid"]]),
        ({"tags": ["beans", "odd"]}, odd),
        ({"tags": ["odd", "even"]}, []),
        ({"free_text": "nightingale", "tags": ["even"]}, []),
        (
            {"free_text": "loam", "base_uris": [RED], "creator_usernames": ["ivan"], "tags": ["odd"]},
            [info for info in odd if info["base_uri"] == RED],
        ),
    ):
        expected = sorted(expected, key=lambda info: info["uri"])
        pagination: dict[str, int] = {}
        library.check_listed(call(**query, page_size=100, pagination=pagination), expected)
        assert pagination["total"] == len(expected), query

    sorting: dict[str, Any] = {}
    fields = ["creator_username", "name", "base_uri"]
    found = call(
        sort_fields=fields, sort_order=[ASCENDING, DESCENDING, ASCENDING], page_size=100, sorting=sorting
    )
    expected = sorted(library.visible, key=lambda info: info["base_uri"])
    expected = sorted(expected, key=lambda info: info["name"], reverse=True)
    library.check_listed(found, sorted(expected, key=lambda info: info["creator_username"]))
    assert sorting == {"sort": {"creator_username": 1, "name": -1, "base_uri": 1}}

    found = call(tags=["odd"], sort_fields="frozen_at", sort_order=DESCENDING, page_size=2, page_number=2)
    assert [entry["name"] for entry in found] == ["bean-harvest-07", "bean-harvest-05"]
    check_refusal(call(sort_fields=["colour"]), 422, "Unprocessable Entity")


@case("all")
def all_datasets(call: Call, library: Library) -> None:
    check_pages(call, library)
    library.check_listed(call(), library.visible)  # 20 on a page


@case("search")
def search(call: Call, library: Library) -> None:
    library.check_listed(call("nightingale"), [library.red(SINGING)])
    pagination: dict[str, int] = {}
    found = call("loam", page_number=2, page_size=7, pagination=pagination)
    library.check_listed(found, library.visible[7:])
    assert pagination == {
        "total": 13, "total_pages": 2, "first_page": 1, "last_page": 2, "page": 2, "previous_page": 1
    }  # fmt: skip
    assert call("loam", actor=NOBODY) == []


@case("get_datasets_by_uuid", "lookup", "by_uuid")
def get_datasets_by_uuid(call: Call, library: Library) -> None:
    copies = sorted((library.red(COPIED), bean_harvest(COPIED, GREEN)), key=lambda info: info["uri"])
    uuid = copies[0]["uuid"]
    library.check_listed(call(uuid), copies)
    pagination: dict[str, int] = {}
    library.check_listed(call(uuid, page_number=2, page_size=1, pagination=pagination), copies[1:])
    assert (pagination["total"], pagination["page"]) == (2, 2)
    readers = call(uuid, actor=READER)
    assert sorted(entry["uri"] for entry in readers) == sorted(f"{base}/{uuid}" for base in (RED, BLUE))
    assert call("00000000-0000-0000-0000-000000000000") == []


# One dataset


@case("get_dataset")
def get_dataset(call: Call, library: Library) -> None:
    for info in library.visible[:3]:
        library.check_entry(call(info["uri"]), info)
    hidden = library.hidden[0]
    library.check_entry(call(hidden["uri"], actor=READER), hidden, uploaded_by=READER)
    check_refusal(call(hidden["uri"]), 403, "Forbidden")
    check_refusal(call(f"{RED}/nothing-here"), 404, "Not Found")
    with library.shelf("file") as shelf:
        info = dataset_info(shelf)
        library.put(info)
        library.check_entry(call(info["uri"]), info)


@case("register_dataset")
def register_dataset(call: Call, library: Library) -> None:
    for scheme in ("s3", "file"):
        with library.shelf(scheme) as shelf:
            info = dataset_info(shelf)
            path = dataset_path(info["uri"])
            assert call(**info) is True
            library.check_entry(library.get(path), info)
            assert library.get(dataset_path(info["uri"], "readmes")) == {"readme": info["readme"]}
            assert library.get(dataset_path(info["uri"], "manifests")) == info["manifest"]
            assert library.get(dataset_path(info["uri"], "tags")) == {"tags": info["tags"]}
            assert library.get(dataset_path(info["uri"], "annotations")) == {
                "annotations": info["annotations"]
            }

            again = {**info, "name": "bean-harvest-again", "tags": [], "frozen_at": "1637950453.869067"}
            assert call(**again) is True
            library.check_entry(library.get(path), {**again, "frozen_at": 1637950453.869067})
            assert library.get(dataset_path(info["uri"], "tags")) == {"tags": []}

            assert call(**{**info, "type": "protodataset"}) is False
            assert call(**info, actor=READER) is False
            library.check_entry(library.get(path), {**again, "frozen_at": 1637950453.869067})
    forbidden = dataset_info(BLUE)
    assert call(**forbidden) is False
    assert library.status(dataset_path(forbidden["uri"]), READER) == 404


@case("delete_dataset")
def delete_dataset(call: Call, library: Library) -> None:
    for scheme in ("s3", "file"):
        with library.shelf(scheme) as shelf:
            info = dataset_info(shelf)
            path = dataset_path(info["uri"])
            library.put(info)
            assert call(info["uri"], actor=READER) is False
            assert library.status(path) == 200
            assert call(info["uri"]) is True
            for resource in ("uris", "readmes", "manifests", "tags", "annotations"):
                assert library.status(dataset_path(info["uri"], resource)) == 404
            assert library.get("/uris", base_uris=shelf) == []
            assert call(info["uri"]) is True
    hidden = library.hidden[0]["uri"]
    assert call(hidden) is False
    assert library.status(dataset_path(hidden), READER) == 200


@case("get_readme", "readme")
def get_readme(call: Call, library: Library) -> None:
    for number in (2, SINGING):
        assert call(library.red(number)["uri"]) == library.red(number)["readme"]
    refused(call, library.hidden[0]["uri"])
    refused(call, f"{RED}/nothing-here")


@case("get_manifest", "manifest")
def get_manifest(call: Call, library: Library) -> None:
    for number in (2, SINGING):
        assert call(library.red(number)["uri"]) == library.red(number)["manifest"]
    check_refusal(call(library.hidden[0]["uri"]), 403, "Forbidden")
    check_refusal(call(f"{RED}/nothing-here"), 404, "Not Found")


@case("get_tags")
def get_tags(call: Call, library: Library) -> None:
    assert call(library.red(4)["uri"]) == ["beans", "even"]
    assert call(library.red(5)["uri"]) == ["beans", "odd"]
    refused(call, library.hidden[0]["uri"])
    refused(call, f"{RED}/nothing-here")


@case("get_annotations")
def get_annotations(call: Call, library: Library) -> None:
    assert call(library.red(4)["uri"]) == {"soil": "loam", "bed": 4}
    refused(call, library.hidden[0]["uri"])
    refused(call, f"{RED}/nothing-here")


# Users


def user(
    username: str, search: Sequence[str] = (), register: Sequence[str] = (), is_admin: bool = False
) -> dict[str, Any]:
    return {
        "username": username,
        "display_name": None,
        "is_admin": is_admin,
        "search_permissions_on_base_uris": list(search),
        "register_permissions_on_base_uris": list(register),
    }


USERS = [
    user(ADMIN, is_admin=True),
    user(CHAMPION, [GREEN, RED], [GREEN, RED]),
    user(NOBODY),
    user(READER, [BLUE, RED], [BLUE]),
]


@case("get_users", "list_users")
def get_users(call: Call, library: Library) -> None:
    assert call(actor=ADMIN) == USERS
    pagination: dict[str, int] = {}
    assert call(actor=ADMIN, page_number=2, page_size=3, pagination=pagination) == USERS[3:]
    assert pagination == {
        "total": 4, "total_pages": 2, "first_page": 1, "last_page": 2, "page": 2, "previous_page": 1
    }  # fmt: skip
    check_refusal(call(), 403, "Forbidden")


@case("get_me")
def get_me(call: Call, library: Library) -> None:
    for expected in USERS:
        assert call(actor=expected["username"]) == expected


@case("get_user")
def get_user(call: Call, library: Library) -> None:
    for expected in USERS:
        assert call(actor=expected["username"]) == expected
        assert call(expected["username"], actor=expected["username"]) == expected
        assert call(expected["username"], actor=ADMIN) == expected
    check_refusal(call(READER), 403, "Forbidden")
    check_refusal(call(STRANGER, actor=ADMIN), 404, "Not Found")


@case("user_info")
def user_info(call: Call, library: Library) -> None:
    for expected in USERS:
        assert call(expected["username"], actor=ADMIN) == expected
    check_refusal(call(READER), 403, "Forbidden")


@case("register_user")
def register_user(call: Call, library: Library) -> None:
    for username in ("newcomer", "first.last@example.org", "0000-0002-1825-0097"):
        path = f"/users/{quote(username, safe='')}"
        assert call(username) is False
        assert library.status(path, ADMIN) == 404
        assert call(username, actor=ADMIN) is True
        assert library.get(path, ADMIN) == user(username)
        assert call(username, is_admin=True, actor=ADMIN) is True
        assert library.get(path, ADMIN) == user(username, is_admin=True)
        assert library.server.request("DELETE", path, ADMIN).status_code == 200


@case("delete_user")
def delete_user(call: Call, library: Library) -> None:
    for username in ("newcomer", "first.last@example.org"):
        path = f"/users/{quote(username, safe='')}"
        assert library.server.request("PUT", path, ADMIN, json={}).status_code == 201
        assert call(username) is False
        assert library.get(path, ADMIN) == user(username)
        assert call(username, actor=ADMIN) is True
        assert library.status(path, ADMIN) == 404
        assert call(username, actor=ADMIN) is True
    assert call(ADMIN, actor=ADMIN) is False  # nobody could administer the server any more


@case("get_summary")
def get_summary(call: Call, library: Library) -> None:
    expected = summary_of(library.visible)
    assert call() == call(CHAMPION) == call(CHAMPION, actor=ADMIN) == expected
    assert call(NOBODY, actor=ADMIN) == summary_of([])
    check_refusal(call(READER), 403, "Forbidden")


@case("get_my_summary", "summary")
def get_my_summary(call: Call, library: Library) -> None:
    assert call() == summary_of(library.visible)
    assert call(actor=NOBODY) == summary_of([])


# Base URIs


@case("get_base_uris", "list_base_uris")
def get_base_uris(call: Call, library: Library) -> None:
    expected = [{"base_uri": base_uri} for base_uri in (BLUE, GREEN, RED)]
    assert call(actor=ADMIN) == expected
    pagination: dict[str, int] = {}
    assert call(actor=ADMIN, page_number=2, page_size=2, pagination=pagination) == expected[2:]
    assert (pagination["total"], pagination["page"], pagination["last_page"]) == (3, 2, 2)
    check_refusal(call(), 403, "Forbidden")


@case("get_base_uri")
def get_base_uri(call: Call, library: Library) -> None:
    assert call(RED, actor=ADMIN) == {
        "base_uri": RED,
        "users_with_search_permissions": [CHAMPION, READER],
        "users_with_register_permissions": [CHAMPION],
    }
    check_refusal(call(RED), 403, "Forbidden")
    check_refusal(call("s3://unheard-of", actor=ADMIN), 404, "Not Found")


@case("register_base_uri")
def register_base_uri(call: Call, library: Library) -> None:
    for base_uri in ("s3://newly-built", "file://host/srv/newly-built", "smb://share"):
        path = f"/base-uris/{quote(base_uri, safe='')}"
        assert call(base_uri) is False
        assert library.status(path, ADMIN) == 404
        assert call(base_uri, actor=ADMIN) is True
        shown = {
            "base_uri": base_uri,
            "users_with_search_permissions": [],
            "users_with_register_permissions": [],
        }
        assert library.get(path, ADMIN) == shown
        assert call(base_uri, [READER, NOBODY], [READER], actor=ADMIN) is True
        permissions = {
            "users_with_search_permissions": [NOBODY, READER],
            "users_with_register_permissions": [READER],
        }
        assert library.get(path, ADMIN) == {"base_uri": base_uri, **permissions}
        assert call(base_uri, users_with_search_permissions=[STRANGER], actor=ADMIN) is False
        assert library.get(path, ADMIN) == {"base_uri": base_uri, **permissions}
        assert library.server.request("DELETE", path, ADMIN).status_code == 200


@case("delete_base_uri")
def delete_base_uri(call: Call, library: Library) -> None:
    with library.shelf() as shelf:
        path = f"/base-uris/{quote(shelf, safe='')}"
        info = dataset_info(shelf)
        library.put(info)
        assert call(shelf) is False
        assert call(shelf, actor=ADMIN) is False  # it is not empty
        assert library.status(path, ADMIN) == 200
        assert library.server.request("DELETE", dataset_path(info["uri"]), CHAMPION).status_code == 200
        assert call(shelf, actor=ADMIN) is True
        assert library.status(path, ADMIN) == 404
        assert call(shelf, actor=ADMIN) is True


# What needs an extension that this server does not have


def check_absent(answer: Any, *written: dict[str, Any]) -> None:
    check_refusal(answer, 404, "Not Found")
    assert all(header == {} for header in written)  # neither pages nor an order


@case("get_datasets_by_mongo_aggregation", "aggregate")
def get_datasets_by_mongo_aggregation(call: Call, library: Library) -> None:
    pages: dict[str, Any] = {}
    order: dict[str, Any] = {}
    check_absent(call([{"$count": "matches"}], pagination=pages, sorting=order), pages, order)
    check_absent(call('[{"$count": "matches"}]'))


@case("get_datasets_by_mongo_query", "query", "by_query")
def get_datasets_by_mongo_query(call: Call, library: Library) -> None:
    pages: dict[str, Any] = {}
    order: dict[str, Any] = {}
    filters = {"creator_usernames": ["olga"], "base_uris": [RED], "uuids": [], "tags": ["beans"]}
    check_absent(call({"name": "bean-harvest-01"}, **filters, pagination=pages, sorting=order), pages, order)
    check_absent(call('{"name": "bean-harvest-01"}'))


@case("get_graph_by_uuid")
def get_graph_by_uuid(call: Call, library: Library) -> None:
    uuid = library.red(COPIED)["uuid"]
    pages: dict[str, Any] = {}
    order: dict[str, Any] = {}
    check_absent(call(uuid, pagination=pages, sorting=order), pages, order)
    check_absent(call(uuid, ["readme.derived_from.uuid"]))


@case("graph")
def graph(call: Call, library: Library) -> None:
    with pytest.raises(TypeError, match="multiple values for argument 'dependency_keys'"):
        call(library.red(COPIED)["uuid"])  # the client calls itself wrongly, whatever the server


# The client and `flask serve`


def test_pages_and_order_are_told_behind_flask_serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client does not take ``x-pagination`` for ``X-Pagination``."""
    with open_library(tmp_path, program="serve", workers=1) as library:
        for face in FACES:
            call = Call(Home(library.server, tmp_path / "home", monkeypatch), face, "get_datasets")
            check_pages(call, library)
            order: dict[str, Any] = {}
            call(sort_fields=["name"], sort_order=[DESCENDING], sorting=order)
            assert order == {"sort": {"name": -1}}


# The client as part of larger programs


def test_a_notebook_awaits_the_asynchronous_functions(library: Library, home: Home) -> None:
    async def cell() -> None:
        library.check_entry(await dtool_lookup_api.asynchronous.get_dataset(info["uri"]), info)
        with pytest.raises(RuntimeError, match="just await the async function"):
            dtool_lookup_api.synchronous.get_dataset(info["uri"])
        elsewhere = await asyncio.to_thread(dtool_lookup_api.synchronous.get_dataset, info["uri"])
        library.check_entry(elsewhere, info)

    info = library.red(5)
    home.log_in(CHAMPION)
    asyncio.run(cell())


def test_one_connection_serves_many_requests_at_once(library: Library, home: Home) -> None:
    async def main() -> list[dict[str, Any]]:
        async with core.ConfigurationBasedLookupClient() as client:
            return await asyncio.gather(*(client.get_dataset(info["uri"]) for info in library.visible * 4))

    home.log_in(CHAMPION)
    library.check_listed(asyncio.run(main()), library.visible * 4)


def test_deprecated_functions_are_known() -> None:
    assert {"all", "search", "query", "graph"} < DEPRECATED < set(FUNCTIONS)
