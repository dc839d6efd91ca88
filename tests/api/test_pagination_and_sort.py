"""Lists come in pages and in an order, and say so in ``X-Pagination`` and ``X-Sort``."""

from __future__ import annotations

import pytest

from api.conftest import on_every_store, on_usual_stores, pagination, sorting
from dservercore.catalog import base_uris, users
from dservercore.db import sql_db
from support.world import ADMIN, BLUE, CHAMPION, NOBODY, READER, RED

pytestmark = on_every_store

SAME = "af6727bf-29c7-43dd-b42f-a5d7ede28337"


@pytest.fixture
def twelve(register):
    """Twelve datasets in RED, all with one UUID in their document, and their URIs in order."""
    return sorted(
        register(uri=f"{RED}/d{number:02}", uuid=SAME, name=f"name-{number % 3}")["uri"]
        for number in range(12)
    )


@pytest.fixture
def many(app, people):
    """Twelve users and twelve base URIs."""
    with app.app_context():
        for number in range(8):
            users.add_user(f"user-{number}")
        for number in range(10):
            base_uris.add_base_uri(f"s3://b{number}")
        sql_db.session.commit()


def uris_of(answer):
    return [dataset["uri"] for dataset in answer.json]


DATASET_LISTS = {
    "list": "/uris?",
    "search": "/uris?creator_usernames=olga&",
    "free text": "/uris?free_text=beans&",
    "copies": f"/uuids/{SAME}?",
}
dataset_lists = pytest.mark.parametrize("path", DATASET_LISTS.values(), ids=DATASET_LISTS.keys())


class TestPages:
    @dataset_lists
    @pytest.mark.parametrize(
        ("page", "shown", "header"),
        [
            (1, slice(0, 5), {"page": 1, "next_page": 2}),
            (2, slice(5, 10), {"page": 2, "previous_page": 1, "next_page": 3}),
            (3, slice(10, 12), {"page": 3, "previous_page": 2}),
        ],
    )
    def test_the_header_says_where_one_is(self, champion, twelve, path, page, shown, header):
        answer = champion.get(f"{path}page={page}&page_size=5")
        assert answer.status_code == 200
        assert uris_of(answer) == twelve[shown]
        common = {"total": 12, "total_pages": 3, "first_page": 1, "last_page": 3}
        assert pagination(answer) == {**common, **header}

    @dataset_lists
    def test_ten_on_the_first_page_unless_asked_otherwise(self, champion, twelve, path):
        answer = champion.get(path)
        assert uris_of(answer) == twelve[:10]
        assert pagination(answer) == {
            "total": 12, "total_pages": 2, "first_page": 1, "last_page": 2, "page": 1, "next_page": 2,
        }  # fmt: skip

    @dataset_lists
    def test_a_single_page(self, champion, twelve, path):
        expected = {"total": 12, "total_pages": 1, "first_page": 1, "last_page": 1, "page": 1}
        for size in (12, 100):
            assert pagination(champion.get(f"{path}page_size={size}")) == expected

    @pytest.mark.parametrize("path", ["/users", "/base-uris"])
    def test_the_same_for_users_and_base_uris(self, admin, many, path):
        answer = admin.get(f"{path}?page=2&page_size=5")
        assert len(answer.json) == 5
        assert pagination(answer) == {
            "total": 12, "total_pages": 3, "first_page": 1, "last_page": 3,
            "page": 2, "previous_page": 1, "next_page": 3,
        }  # fmt: skip

    @pytest.mark.parametrize(
        "path", ["/uris", "/uris?free_text=x", "/uris?tags=x", "/uris?base_uris=s3://x", "/uuids/x"]
    )
    def test_page_one_of_nothing_is_empty(self, champion, path):
        answer = champion.get(path)
        assert (answer.status_code, answer.json) == (200, [])
        assert pagination(answer) == {"total": 0, "total_pages": 0}

    def test_page_one_of_nothing_for_who_may_search_nothing(self, nobody, twelve):
        for path in DATASET_LISTS.values():
            answer = nobody.get(path)
            assert (answer.status_code, answer.json) == (200, [])
            assert pagination(answer) == {"total": 0, "total_pages": 0}

    @pytest.mark.parametrize("path", ["/uris?", f"/uuids/{SAME}?", "/uris?free_text=%20&"])
    def test_beyond_the_last_page_of_a_list_there_is_nothing(self, champion, twelve, path):
        assert champion.get(f"{path}page=3").status_code == 404
        assert champion.get(f"{path}page=92233720368547758&page_size=100").status_code == 404

    def test_beyond_the_last_page_of_users_and_base_uris_there_is_nothing(self, admin):
        assert admin.get("/users?page=2").status_code == 404
        assert admin.get("/base-uris?page=2").status_code == 404

    def test_page_two_of_nothing_is_beyond_the_last_page(self, champion):
        assert champion.get("/uris?page=2").status_code == 404
        assert champion.get("/uuids/x?page=2").status_code == 404
        assert champion.get("/uris?tags=x&page=2").status_code == 200

    @pytest.mark.parametrize(
        "query", ["free_text=beans", "creator_usernames=olga", "tags=beans", f"uuids={SAME}"]
    )
    def test_beyond_the_last_page_of_a_search_it_is_empty(self, champion, twelve, query):
        answer = champion.get(f"/uris?{query}&page=3")
        assert (answer.status_code, answer.json) == (200, [])
        assert pagination(answer) == {"total": 12, "total_pages": 2, "first_page": 1, "last_page": 2}

    def test_a_search_by_post_takes_its_page_from_the_query_string(self, champion, twelve):
        answer = champion.post("/uris?page=2&page_size=5&sort=-uri", json={"free_text": "beans"})
        assert uris_of(answer) == twelve[::-1][5:10]
        assert pagination(answer)["page"] == 2
        answer = champion.post("/uris?page=2&page_size=5&sort=-uri", json={})
        assert uris_of(answer) == twelve[::-1][5:10]
        assert champion.post("/uris?page=9", json={}).status_code == 404
        assert champion.post("/uris?page=9", json={"free_text": "beans"}).json == []
        assert champion.post("/uris", json={"page": 2}).status_code == 422

    @on_usual_stores
    @pytest.mark.parametrize("path", ["/uris", "/uris?free_text=x&", "/uuids/x", "/users", "/base-uris"])
    @pytest.mark.parametrize(
        ("parameter", "value"),
        [
            *[("page", value) for value in ("0", "-1", "x", "", "1.5", "1e3", "9" * 20, "9" * 5000)],
            *[("page_size", value) for value in ("0", "-1", "101", "x", "", "9" * 20)],
        ],
    )
    def test_what_is_no_page(self, admin, path, parameter, value):
        answer = admin.get(f"{path}{'' if '?' in path else '?'}{parameter}={value}")
        assert answer.status_code == 422
        assert list(answer.json["errors"]["query"]) == [parameter]

    @on_usual_stores
    @pytest.mark.parametrize("path", ["/me", "/config/info", "/me/summary", f"/users/{ADMIN}"])
    def test_what_is_no_list_has_no_pages(self, admin, path):
        assert admin.get(f"{path}?page=2").status_code == 422
        answer = admin.get(path)
        assert answer.status_code == 200
        assert "X-Pagination" not in answer.headers
        assert "X-Sort" not in answer.headers


DATASETS = [
    {"uri": f"{RED}/1", "name": "b", "creator_username": "zoe", "frozen_at": 3.0, "created_at": 1.5},
    {"uri": f"{RED}/2", "name": "a", "creator_username": "zoe", "frozen_at": 1.0, "created_at": 0.5},
    {"uri": f"{RED}/3", "name": "b", "creator_username": "amy", "frozen_at": 2.0, "created_at": 0.25},
    {"uri": f"{BLUE}/4", "name": "a", "creator_username": "amy", "frozen_at": 2.0, "created_at": 2.0},
]
UUIDS = [f"0000000{digit}-29c7-43dd-b42f-a5d7ede28337" for digit in "3142"]


class TestOrder:
    @pytest.fixture
    def four(self, register):
        for dataset, uuid in zip(DATASETS, UUIDS, strict=True):
            register(dataset["uri"].rsplit("/", 1)[0], uuid=uuid, **dataset)

    @pytest.mark.parametrize(
        "query", ["", "free_text=beans&", "creator_usernames=zoe&creator_usernames=amy&"]
    )
    @pytest.mark.parametrize(
        ("sort", "order", "header"),
        [
            ("", "4123", [("uri", 1)]),
            ("uri", "4123", [("uri", 1)]),
            ("-uri", "3214", [("uri", -1)]),
            ("base_uri", "4123", [("base_uri", 1)]),
            ("-base_uri", "1234", [("base_uri", -1)]),
            ("name", "4213", [("name", 1)]),
            ("-name", "1342", [("name", -1)]),
            ("creator_username", "4312", [("creator_username", 1)]),
            ("frozen_at", "2431", [("frozen_at", 1)]),
            ("-frozen_at", "1432", [("frozen_at", -1)]),
            ("created_at", "3214", [("created_at", 1)]),
            ("uuid", "2413", [("uuid", 1)]),
            ("name,-uri", "2431", [("name", 1), ("uri", -1)]),
            ("-name,creator_username", "3142", [("name", -1), ("creator_username", 1)]),
            ("frozen_at,-created_at", "2431", [("frozen_at", 1), ("created_at", -1)]),
            ("base_uri,name,uuid,uri", "4213", [("base_uri", 1), ("name", 1), ("uuid", 1), ("uri", 1)]),
        ],
    )
    def test_by_one_or_several_fields_and_ties_by_uri(self, reader, four, query, sort, order, header):
        answer = reader.get(f"/uris?{query}sort={sort}")
        assert answer.status_code == 200
        assert "".join(uri[-1] for uri in uris_of(answer)) == order
        assert sorting(answer) == header

    @pytest.mark.parametrize(
        ("query", "header"),
        [
            ("", [("uri", 1)]),
            ("?sort=", [("uri", 1)]),
            ("?sort=,,,", [("uri", 1)]),
            ("?sort=,name,,", [("name", 1)]),
            ("?sort=%2Bname", [("name", 1)]),
            ("?sort=+name", [("name", 1)]),
            ("?sort=%20name", [("name", 1)]),
            ("?sort=+name,-uri", [("name", 1), ("uri", -1)]),
            ("?sort=-name,+uri", [("name", -1), ("uri", 1)]),
            ("?sort=-name,%2Buri", [("name", -1), ("uri", 1)]),
            ("?sort=%2Dname%2Curi", [("name", -1), ("uri", 1)]),
            ("?sort=name&sort=-uri", [("name", 1)]),
            ("?sort=-uri&sort=nonsense", [("uri", -1)]),
            ("?sort=uri,name", [("uri", 1), ("name", 1)]),
        ],
    )
    def test_every_way_to_write_it(self, reader, query, header):
        for path in ("/uris", "/uuids/x"):
            assert sorting(reader.get(path + query)) == header
        assert sorting(reader.post(f"/uris{query}", json={"tags": ["x"]})) == header

    @on_usual_stores
    @pytest.mark.parametrize(
        "sort",
        [
            "colour",
            "-colour",
            "name,colour",
            "Name",
            "number_of_items",
            "uploaded_at",
            "--name",
            "name;uri",
            "+",
        ],
    )
    def test_anything_else_is_refused(self, reader, sort):
        for path in ("/uris?", "/uris?free_text=x&", "/uuids/x?"):
            answer = reader.get(f"{path}sort={sort}")
            assert answer.status_code == 422
            assert list(answer.json["errors"]["query"]) == ["sort"]

    def test_users(self, admin):
        for sort, names, header in [
            ("", [ADMIN, CHAMPION, NOBODY, READER], [("username", 1)]),
            ("?sort=-username", [READER, NOBODY, CHAMPION, ADMIN], [("username", -1)]),
            ("?sort=is_admin", [CHAMPION, NOBODY, READER, ADMIN], [("is_admin", 1)]),
            (
                "?sort=-is_admin,-username",
                [ADMIN, READER, NOBODY, CHAMPION],
                [("is_admin", -1), ("username", -1)],
            ),
        ]:
            answer = admin.get(f"/users{sort}")
            assert [user["username"] for user in answer.json] == names
            assert sorting(answer) == header
        assert admin.get("/users?sort=display_name").status_code == 422
        assert admin.get("/users?sort=uri").status_code == 422

    def test_base_uris(self, admin):
        for sort, found, header in [
            ("", [BLUE, RED], [("base_uri", 1)]),
            ("?sort=-base_uri", [RED, BLUE], [("base_uri", -1)]),
        ]:
            answer = admin.get(f"/base-uris{sort}")
            assert [base_uri["base_uri"] for base_uri in answer.json] == found
            assert sorting(answer) == header
        assert admin.get("/base-uris?sort=uri").status_code == 422

    def test_the_same_order_on_every_page(self, champion, twelve):
        """All of them tie, in one order or the other."""
        for sort in ("name", "-frozen_at", "created_at", "-base_uri", "uuid"):
            for query in ("", "&free_text=beans"):
                whole = uris_of(champion.get(f"/uris?sort={sort}&page_size=100{query}"))
                pages = [
                    champion.get(f"/uris?sort={sort}&page_size=5&page={page}{query}") for page in (1, 2, 3)
                ]
                assert [uri for page in pages for uri in uris_of(page)] == whole
                assert sorted(whole) == twelve


class TestRelevance:
    @pytest.fixture
    def three(self, register):
        register(uri=f"{RED}/1", name="x", readme="Nothing but a word about whales, and much else besides.")
        register(uri=f"{RED}/2", name="whales", readme="About whales: whales and more whales.")
        register(uri=f"{RED}/3", name="y", readme="whales whales", tags=["whales"])

    def order(self, answer):
        return [uri[-1] for uri in uris_of(answer)]

    @pytest.mark.parametrize("sort", ["relevance", "-relevance"])
    def test_the_best_comes_first(self, champion, three, sort):
        answer = champion.get(f"/uris?free_text=whales&sort={sort}")
        assert self.order(answer)[0] == "2"
        assert self.order(answer)[-1] == "1"
        assert sorting(answer) == [("relevance", -1)]

    @pytest.mark.parametrize("sort", ["%2Brelevance", "+relevance"])
    def test_the_worst_comes_first_where_it_is_asked_for(self, champion, three, sort):
        answer = champion.get(f"/uris?free_text=whales&sort={sort}")
        assert self.order(answer) == self.order(champion.get("/uris?free_text=whales&sort=relevance"))[::-1]
        assert sorting(answer) == [("relevance", 1)]

    def test_next_to_other_fields(self, champion, three):
        answer = champion.get("/uris?free_text=whales&sort=relevance,-uri")
        assert sorting(answer) == [("relevance", -1), ("uri", -1)]
        assert champion.get("/uris?free_text=whales&sort=-name,relevance").status_code == 200

    def test_by_post(self, champion, three):
        answer = champion.post("/uris?sort=relevance", json={"free_text": "whales"})
        assert self.order(answer)[0] == "2"

    @pytest.mark.parametrize("sort", ["relevance", "-relevance", "name,relevance"])
    def test_needs_words_to_be_relevant_to(self, champion, sort):
        for answer in (
            champion.get(f"/uris?sort={sort}"),
            champion.get(f"/uris?sort={sort}&tags=x"),
            champion.post(f"/uris?sort={sort}", json={}),
            champion.get(f"/uuids/x?sort={sort}"),
        ):
            assert answer.status_code == 422
            assert list(answer.json["errors"]["query"]) == ["sort"]

    def test_words_in_base_uris_that_one_may_not_search_are_no_mistake(self, nobody):
        answer = nobody.get("/uris?sort=relevance&free_text=whales")
        assert (answer.status_code, answer.json) == (200, [])

    def test_without_it_the_order_is_that_of_the_uris(self, champion, three):
        assert self.order(champion.get("/uris?free_text=whales")) == ["1", "2", "3"]


@pytest.mark.parametrize("sort", ["uri", "-uri", "-uri,name", "name", "-name", "frozen_at", "-base_uri,name"])
@pytest.mark.parametrize("page_size", [1, 3, 7, 100])
def test_pages_make_up_the_list_from_whichever_end_they_are_found(reader, register, sort, page_size):
    for number in range(11):
        register(BLUE if number % 3 else RED, name=f"d{number % 4}", frozen_at=float(number % 2))
    everything = reader.get("/uris", query_string={"sort": sort, "page_size": 100}).json
    assert len(everything) == 11
    found = []
    for page in range(1, -(-11 // page_size) + 1):
        found += reader.get("/uris", query_string={"sort": sort, "page_size": page_size, "page": page}).json
    assert found == everything
    keys = [
        (field.strip("-"), field.startswith("-"))
        for field in [
            *reversed(sort.split(",")),
        ]
    ]
    wanted = sorted(everything, key=lambda dataset: dataset["uri"])
    for field, descending in keys:
        wanted.sort(key=lambda dataset: dataset[field], reverse=descending)
    assert found == wanted
