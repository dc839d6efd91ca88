"""What is stored is what was sent, and two texts are the same where every character is: on each database."""

from __future__ import annotations

import pytest

from api.conftest import on_every_store, route
from dservercore.dataset.uris import MAX_BYTES, MAX_LENGTH
from support.world import CHAMPION, RED, dataset_info

pytestmark = on_every_store

# Each but the first is the first to a database that compares by the rules of a language.
ALIKE = [
    "straße",
    "Straße",
    "STRASSE",
    "strasse",
    "stras\u0301se",
    "straße ",
    "straße\u200b",
    "stra\N{GRINNING FACE}e",
]


def test_user_names(admin):
    names = ["straße", "strasse", "stra\N{LATIN SMALL LETTER S WITH ACUTE}se", "stra\N{GRINNING FACE}e"]
    for name in names:
        assert admin.put(f"/users/{name}", json={}).status_code == 201
    for name in ("Straße", "STRASSE", "straße ", "straße\u200b"):  # told apart by what nobody would look at
        assert admin.put(f"/users/{name}", json={}).status_code == 422
    listed = [user["username"] for user in admin.get("/users?page_size=100").json]
    assert listed == sorted(listed)
    assert set(names) <= set(listed)
    assert admin.delete(f"/users/{names[0]}").status_code == 200
    assert admin.get(f"/users/{names[0]}").status_code == 404
    assert admin.get(f"/users/{names[1]}").json["username"] == names[1]


def test_base_uris_and_uris(admin, champion):
    bases = [f"s3://{name}" for name in ALIKE]
    for base in bases:
        body = {"users_with_search_permissions": [CHAMPION], "users_with_register_permissions": [CHAMPION]}
        assert admin.put(route("base-uris", base), json=body).status_code == 201
    uris = [f"{bases[0]}/{name}" for name in ALIKE]
    for number, uri in enumerate(uris):
        info = dataset_info(bases[0], uri=uri, name=f"d{number}")
        assert champion.put(route("uris", uri), json=info).status_code == 201
    for number, uri in enumerate(uris):
        assert champion.get(route("uris", uri)).json["name"] == f"d{number}"
    listed = [dataset["uri"] for dataset in champion.get("/uris?page_size=100").json]
    assert listed == sorted(uris)
    backwards = champion.get("/uris?sort=-uri&page_size=3&page=2").json
    assert [dataset["uri"] for dataset in backwards] == sorted(uris, reverse=True)[3:6]


def test_tags_and_creators(champion):
    info = dataset_info(tags=["Beans", "beans", "BEANS"])
    assert champion.put(route("uris", info["uri"]), json=info).status_code == 201
    assert champion.get(route("tags", info["uri"])).json == {"tags": info["tags"]}
    champion.delete(route("tags", info["uri"], "beans"))
    assert champion.get(route("tags", info["uri"])).json == {"tags": ["Beans", "BEANS"]}
    for name in ALIKE:
        other = dataset_info(creator_username=name, tags=[])
        assert champion.put(route("uris", other["uri"]), json=other).status_code == 201
    summary = champion.get("/me/summary").json
    assert summary["datasets_per_tag"] == {"Beans": 1, "BEANS": 1}
    assert summary["datasets_per_creator"] == {"olga": 1, **dict.fromkeys(ALIKE, 1)}


@pytest.mark.parametrize("character", ["x", "é", "\N{GRINNING FACE}"])
def test_the_longest_uri(champion, character):
    size = len(character.encode())
    room = min(MAX_LENGTH - len(RED) - 1, (MAX_BYTES - len(RED) - 1) // size)
    uris = [f"{RED}/{character * (room - 1)}{last}" for last in ("a", "b")]
    for number, uri in enumerate(uris):
        info = dataset_info(uri=uri, name=f"d{number}")
        assert champion.put(route("uris", uri), json=info).status_code == 201
    for number, uri in enumerate(uris):
        assert champion.get(route("uris", uri)).json["name"] == f"d{number}"
    too_long = uris[0] + character * 2
    answer = champion.put(route("uris", too_long), json=dataset_info(uri=too_long))
    assert answer.status_code == 422
    assert "uri" in answer.json["errors"]["json"]


def test_times_and_sizes(champion):
    info = dataset_info(
        frozen_at=1536238185.881941, created_at=0.000001, size_in_bytes=2**63 - 1, number_of_items=2**63 - 1
    )
    others = [dataset_info(size_in_bytes=2**63 - 1) for _ in range(2)]
    for one in (info, *others):
        assert champion.put(route("uris", one["uri"]), json=one).status_code == 201
    found = champion.get(route("uris", info["uri"])).json
    for key in ("frozen_at", "created_at", "size_in_bytes", "number_of_items"):
        assert found[key] == info[key]
    assert champion.get("/me/summary").json["total_size_in_bytes"] == 3 * (2**63 - 1)
