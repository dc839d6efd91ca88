"""``/statistics``: figures of what somebody may search, and of nothing else."""

from __future__ import annotations

import pytest

from api.conftest import on_every_store, on_sql_alone, pagination, route
from support.world import BLUE, RED

pytestmark = on_every_store

COMPLETE = "description: beans\nowners:\n  - name: Olga\nlicense: CC0\n"


def lacking(**numbers):
    names = ("any", "readme", "description", "owner", "licence", "tags", "unread")
    return dict.fromkeys(names, 0) | numbers


@pytest.fixture
def three(register):
    """Two datasets in RED, of which one lacks something, and one in BLUE, which lacks everything."""
    return [
        register(RED, readme=COMPLETE, tags=["open"], frozen_at=1577836799.0, size_in_bytes=10),
        register(RED, readme="description: x", tags=[], creator_username="pim", size_in_bytes=None),
        register(BLUE, readme="", tags=[], creator_username="secret", size_in_bytes=5, number_of_items=2),
    ]


def test_what_is_in_scope_is_counted(champion, reader, nobody, three):
    found = champion.get("/statistics").json
    assert [each["uri"] for each in found.pop("newest")] == [three[1]["uri"], three[0]["uri"]]
    red = lacking(any=1, owner=1, licence=1, tags=1)
    figures = {"datasets": 2, "size_in_bytes": 10}
    assert found == {
        "number_of_datasets": 2,
        "total_size_in_bytes": 10,
        "number_of_items": 2,
        "cost_per_year": {},
        "number_of_base_uris": 1,
        "number_of_creators": 2,
        "number_of_tags": 1,
        "lacking": red,
        "months": [
            {"month": "2018-09", "datasets": 1, "size_in_bytes": 0},
            {"month": "2019-12", "datasets": 1, "size_in_bytes": 10},
        ],
        "base_uris": [{"base_uri": RED, **figures, "number_of_items": 2, "lacking": red}],
        "creators": [
            {"creator_username": "olga", "datasets": 1, "size_in_bytes": 10, "lacking": lacking()},
            {"creator_username": "pim", "datasets": 1, "size_in_bytes": 0, "lacking": red},
        ],
        "creators_lacking": [{"creator_username": "pim", "datasets": 1, "lacking": red}],
        "tags": [{"tag": "open", "datasets": 1, "size_in_bytes": 10}],
    }
    assert reader.get("/statistics").json["number_of_datasets"] == 3
    assert reader.get("/statistics?top=1").json["number_of_creators"] == 3
    assert len(reader.get("/statistics?top=1").json["creators"]) == 1
    assert nobody.get("/statistics").json["number_of_datasets"] == 0


def test_edits_count_at_once(champion, admin, register, client):
    info = register(RED, readme="", tags=[])
    admin.post(f"/users/carl/register/{RED.replace('://', '/')}")
    steps = [
        ("readmes", {"readme": "description: x\nowner: Olga"}, ["licence", "tags"]),
        ("tags", {"tags": ["a"]}, ["licence"]),
        ("readmes", {"readme": COMPLETE}, []),
        ("tags", {"tags": []}, ["tags"]),
    ]
    for kind, body, left in steps:
        assert champion.put(route(kind, info["uri"]), json=body).status_code == 200
        found = champion.get("/statistics").json["lacking"]
        assert [name for name in found if found[name] and name != "any"] == left
        listed = champion.get("/statistics/lacking").json
        assert [each["lacking"] for each in listed] == ([left] if left else [])


def test_what_is_lacking_is_listed_page_by_page(reader, champion, three):
    answer = reader.get("/statistics/lacking?page_size=1&page=2")
    assert (answer.json[0]["uri"], answer.json[0]["lacking"]) == (
        three[1]["uri"],
        ["owner", "licence", "tags"],
    )
    assert pagination(answer)["total"] == 2
    assert reader.get("/statistics/lacking?page_size=1&page=3").status_code == 404
    for query, wanted in (
        ("lacks=readme", [2]),
        ("lacks=owner", [2, 1]),
        ("lacks=owner&creator=pim", [1]),
        ("base_uri=s3://red", [1]),
        ("base_uri=s3://unknown", []),
        ("creator=unknown", []),
    ):
        listed = reader.get(f"/statistics/lacking?{query}").json
        assert [each["uri"] for each in listed] == [three[n]["uri"] for n in wanted]
    for query in ("", "?base_uri=s3://blue", "?creator=secret", "?lacks=readme"):
        assert BLUE not in champion.get(f"/statistics/lacking{query}").text


def test_who_comes_without_a_token_sees_what_is_public(anonymous, admin, three):
    for path in ("/statistics", "/statistics/lacking"):
        assert anonymous.get(path).status_code == 401
    admin.put("/base-uris/s3/blue", json={"price_per_tb": 1, "currency": "EUR"})
    admin.put("/base-uris/s3/red", json={"public": True, "price_per_tb": 2, "currency": "USD"})
    for path in ("/statistics", "/statistics/lacking"):
        answer = anonymous.get(path)
        assert answer.status_code == 200
        for secret in ("secret", BLUE, three[2]["uuid"], "EUR"):
            assert secret not in answer.text


@on_sql_alone
@pytest.mark.parametrize(
    ("query", "field"), [("top=0", "top"), ("top=1001", "top"), ("top=x", "top"), ("unknown=1", "unknown")]
)
def test_what_makes_no_sense(champion, query, field):
    answer = champion.get(f"/statistics?{query}")
    assert (answer.status_code, list(answer.json["errors"]["query"])) == (422, [field])
    assert champion.get("/statistics/lacking?lacks=money").status_code == 422


class TestPrices:
    SHOWN = {"price_per_tb": "45.5", "currency": "EUR"}

    def test_one_is_set_changed_and_taken_away(self, admin):
        before = admin.get("/base-uris/s3/red").json
        for sent in ({"price_per_tb": 45.5, "currency": "eur"}, {"price_per_tb": "45.50"}, {}):
            assert admin.put("/base-uris/s3/red", json=sent).status_code == 200
            assert admin.get("/base-uris/s3/red").json == {**before, **self.SHOWN}
        assert admin.get("/base-uris").json == [{"base_uri": BLUE}, {"base_uri": RED, **self.SHOWN}]
        assert admin.put("/base-uris/s3/red", json=admin.get("/base-uris").json[1]).status_code == 200
        assert admin.get("/base-uris/s3/red").json == {**before, **self.SHOWN}
        assert admin.put("/base-uris/s3/red", json={"price_per_tb": None}).status_code == 200
        assert admin.get("/base-uris/s3/red").json == before
        created = admin.post("/base-uris/s3/green", json=self.SHOWN).json
        assert {key: created[key] for key in self.SHOWN} == self.SHOWN

    def test_it_is_on_record(self, admin):
        admin.put("/base-uris/s3/red", json=self.SHOWN)
        details = [each["details"] for each in admin.get("/audit?action=base_uri.update").json]
        assert details == [{"price_per_tb": [None, "45.5"], "currency": [None, "EUR"]}]

    @on_sql_alone
    @pytest.mark.parametrize(
        ("sent", "field"),
        [
            ({"price_per_tb": "x", "currency": "EUR"}, "price_per_tb"),
            ({"price_per_tb": -1, "currency": "EUR"}, "price_per_tb"),
            ({"price_per_tb": True, "currency": "EUR"}, "price_per_tb"),
            ({"price_per_tb": 1, "currency": "XXX"}, "currency"),
            ({"price_per_tb": 1, "currency": 1}, "currency"),
            ({"price_per_tb": 1}, "currency"),
            ({"currency": "EUR"}, "price_per_tb"),
            ({"currency": None}, "currency"),
        ],
    )
    def test_what_is_none_changes_nothing(self, admin, sent, field):
        before = admin.get("/base-uris/s3/red").json
        answer = admin.put("/base-uris/s3/red", json={"public": True, **sent})
        assert (answer.status_code, list(answer.json["errors"]["json"])) == (422, [field])
        assert admin.get("/base-uris/s3/red").json == before

    def test_only_administrators_set_one(self, champion, admin):
        assert champion.put("/base-uris/s3/red", json=self.SHOWN).status_code == 403
        assert "currency" not in admin.get("/base-uris/s3/red").json
