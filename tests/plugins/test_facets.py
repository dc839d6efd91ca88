"""How many of the datasets that a query finds have which values: of any query, and alike on every backend."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text as text_of

from dservercore.dataset.facets import FACETS, MAX_ANNOTATION_NAMES
from dservercore.dataset.times import datetime_to_timestamp
from dservercore.db import sql_db
from dservercore.plugins.sql import facets
from dservercore.rest.sort import SortParameters

RED, BLUE, GREEN = "s3://red", "s3://blue", "file:///green"
OWN_FILTERS = ("tags", "creator_usernames", "base_uris", "uploaded_by")


def year(number: int) -> float:
    return datetime_to_timestamp(datetime(number, 12, 31, 23, 59, 59, 999999))


def counts(
    shelf: Any, text: str | None = None, scope: list[str] | None = None, sort: str = "+uri", **query: Any
) -> dict[str, dict[str, int]]:
    """Return the counts of all facets, of the datasets in all base URIs unless told otherwise."""
    scope = shelf.base_uris() if scope is None else scope
    asked = {"base_uris": scope, **query, **({} if text is None else {"free_text": text})}
    found = shelf.search.count_facets(asked, FACETS, scope, SortParameters(sort))
    assert list(found.counts) == list(FACETS)
    return found.counts


@pytest.fixture
def shop(shelf: Any) -> Any:
    shelf.register(
        "apples",
        readme="fruit that is red",
        tags=["fruit", "red"],
        created_at=year(2019),
        frozen_at=year(2021),
        size_in_bytes=999,
        annotations={"price": 3, "origin": "Kent"},
        uploaded_by="rita",
    )
    shelf.register(
        "pears",
        BLUE,
        readme="fruit that is green",
        tags=["fruit"],
        created_at=year(2020),
        frozen_at=year(2021),
        size_in_bytes=1000,
        creator_username="anna",
        annotations={"price": 4},
    )
    shelf.register(
        "leeks",
        BLUE,
        readme="vegetable",
        created_at=year(1969),
        frozen_at=year(2022),
        size_in_bytes=2**63 - 1,
        creator_username="anna",
    )
    return shelf


def test_everything_in_scope(shop: Any) -> None:
    assert counts(shop) == {
        "tags": {"fruit": 2, "red": 1},
        "creator_usernames": {"olga": 1, "anna": 2},
        "base_uris": {RED: 1, BLUE: 2},
        "uploaded_by": {"rita": 1},
        "created": {"2019": 1, "2020": 1, "1969": 1},
        "frozen": {"2021": 2, "2022": 1},
        "size": {"B": 1, "kB": 1, "EB": 1},
        "annotations": {"price": 2, "origin": 1},
    }


def test_what_words_find(shop: Any) -> None:
    assert counts(shop, "fruit green") == {
        "tags": {"fruit": 1},
        "creator_usernames": {"anna": 1},
        "base_uris": {BLUE: 1},
        "uploaded_by": {},
        "created": {"2020": 1},
        "frozen": {"2021": 1},
        "size": {"kB": 1},
        "annotations": {"price": 1},
    }


@pytest.mark.parametrize("text", ["nothinglikeit", "!?", "fruit -fruit"])
def test_nothing_is_found(shop: Any, text: str) -> None:
    assert counts(shop, text) == {name: {} for name in FACETS}


def test_without_its_own_filter(shop: Any) -> None:
    found = counts(shop, tags=["red"], creator_usernames=["olga"])
    assert found["tags"] == {"fruit": 1, "red": 1}
    assert found["creator_usernames"] == {"olga": 1}
    found = counts(shop, creator_usernames=["anna"])
    assert found["creator_usernames"] == {"olga": 1, "anna": 2}
    assert found["tags"] == {"fruit": 1}
    assert counts(shop, "fruit", uploaded_by=["nobody"])["uploaded_by"] == {"rita": 1}
    assert counts(shop, "fruit", uploaded_by=["nobody"])["tags"] == {}


def test_base_uris_are_counted_in_all_that_may_be_searched(shop: Any) -> None:
    found = counts(shop, base_uris=[RED])
    assert found["base_uris"] == {RED: 1, BLUE: 2}
    assert found["creator_usernames"] == {"olga": 1}
    found = counts(shop, "fruit", base_uris=[])
    assert found["base_uris"] == {RED: 1, BLUE: 1}
    assert found["tags"] == {}


def test_nothing_outside_of_the_scope_is_counted(shop: Any) -> None:
    for text in (None, "fruit"):
        found = counts(shop, text, scope=[RED])
        assert found["tags"] == {"fruit": 1, "red": 1}
        assert found["base_uris"] == {RED: 1}
        assert found["creator_usernames"] == {"olga": 1}
    assert counts(shop, scope=[]) == {name: {} for name in FACETS}


def test_conditions_in_the_text_hold(shop: Any) -> None:
    assert counts(shop, "size:>=1kB")["base_uris"] == {BLUE: 2}
    assert counts(shop, "created:2019 OR frozen:2022")["frozen"] == {"2021": 1, "2022": 1}
    assert counts(shop, "fruit price:>3")["tags"] == {"fruit": 1}


@pytest.mark.parametrize(
    ("facet", "text"),
    [
        ("created", "created:{}"),
        ("frozen", "frozen:{}"),
        ("size", {"B": "size:<1kB", "kB": "size:>=1kB size:<1MB", "EB": "size:>=1000PB"}),
    ],
)
def test_texts_that_select_a_value(shop: Any, facet: str, text: Any) -> None:
    for value, number in counts(shop)[facet].items():
        selects = text[value] if isinstance(text, dict) else text.format(value)
        assert shop.count(selects) == number
        assert counts(shop, selects)[facet] == {value: number}


# -- What may be meant -----------------------------------------------------------------------------------------------


def test_what_is_read_into_a_query_is_counted(shop: Any) -> None:
    assert counts(shop, "vegetbale") == counts(shop, "vegetable")
    assert counts(shop, "vegetbale", strict=True)["tags"] == {}
    query = {"free_text": "vegetbale", "base_uris": shop.base_uris()}
    report = shop.search.count_facets(query, FACETS, shop.base_uris()).search_report
    assert report == {"corrected": {"vegetbale": ["vegetable"]}, "optional": [], "strict_total": 0}


def test_as_many_as_the_search_finds_in_the_same_order(shop: Any) -> None:
    for sort in ("+uri", "-relevance"):
        total = len(shop.find("red vegetable", sort=sort, page=1))
        assert sum(counts(shop, "red vegetable", sort=sort)["base_uris"].values()) == total
        total = len(shop.find("green fruit", sort=sort, page=1))
        assert sum(counts(shop, "green fruit", sort=sort)["base_uris"].values()) == total
    assert len(shop.find("green fruit", sort="+uri", page=1)) == 1
    assert len(shop.find("green fruit", sort="-relevance", page=1)) == 2


def test_words_mean_the_same_with_and_without_a_filter(shop: Any) -> None:
    assert counts(shop, "fruit red")["creator_usernames"] == {"olga": 1}
    # Nothing of hers has both words, so one of them will do: also to count the creators.
    assert shop.find("fruit red", creator_usernames=["anna"], page=1) == ["pears"]
    assert counts(shop, "fruit red", creator_usernames=["anna"])["creator_usernames"] == {
        "olga": 1,
        "anna": 1,
    }


# -- Changes ---------------------------------------------------------------------------------------------------------


def test_edits_count_at_once(shop: Any) -> None:
    uri = shop.register("plums", readme="fruit", tags=["fruit"])
    shop.set_tags(uri, ["blue", "sweet"])
    shop.set_annotations(uri, {"weight": 3})
    for text in (None, "plums"):
        found = counts(shop, text)
        assert found["tags"].get("blue") == found["tags"].get("sweet") == found["annotations"]["weight"] == 1
    shop.set_readme(uri, "no longer anything")
    shop.set_annotations(uri, {})
    assert "weight" not in counts(shop)["annotations"]
    assert counts(shop)["tags"]["sweet"] == 1
    shop.register("plums", tags=["dried"], creator_username="zoe", size_in_bytes=10**6)
    found = counts(shop)
    assert "sweet" not in found["tags"]
    assert found["tags"]["dried"] == found["creator_usernames"]["zoe"] == found["size"]["MB"] == 1
    shop.delete(uri)
    for text in (None, "fruit OR vegetable"):
        assert sum(counts(shop, text)["base_uris"].values()) == 3
        assert "zoe" not in counts(shop, text)["creator_usernames"]
        assert "dried" not in counts(shop, text)["tags"]


def test_odd_names_are_counted_as_they_are(shop: Any) -> None:
    names = ["a.b", "$ref", "ä ö", "x" * 300, "quote\"'", "1"]
    shop.register("odd", annotations=dict.fromkeys(names, 1), tags=["=tag", "a,b", "Ünï", "t"])
    for text in (None, "odd"):
        found = counts(shop, text)
        assert {name: found["annotations"].get(name) for name in names} == dict.fromkeys(names, 1)
        assert {tag: found["tags"].get(tag) for tag in ("=tag", "a,b", "Ünï", "t")} == {
            "=tag": 1,
            "a,b": 1,
            "Ünï": 1,
            "t": 1,
        }


def test_only_so_many_names_of_annotations_are_counted(shelf: Any) -> None:
    shelf.register("many", annotations={f"name-{n:04}": n for n in range(MAX_ANNOTATION_NAMES + 5)})
    for text in (None, "many"):
        found = counts(shelf, text)["annotations"]
        assert sorted(found) == [f"name-{n:04}" for n in range(MAX_ANNOTATION_NAMES)]


# -- Against counting what is found ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(
    new_shelf: Callable[[Path], Iterator[Any]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """Some hundred datasets, with what was registered of each by name."""
    for shelf in new_shelf(tmp_path_factory.mktemp("facets")):
        chance = random.Random(3)
        shelf.registered = {}
        for number in range(250):
            info = {
                "creator_username": f"creator{chance.randrange(6)}",
                "uploaded_by": chance.choice([None, "rita", "ron"]),
                "tags": chance.sample(["a", "b", "c", "d", "e"], chance.randrange(4)),
                "annotations": {name: 1 for name in "pqrs" if chance.random() < 0.4},
                "created_at": year(chance.randrange(2000, 2004)),
                "frozen_at": year(chance.randrange(2004, 2007)),
                "size_in_bytes": 10 ** chance.randrange(9),
                "readme": " ".join(word for word in ("maize", "wheat", "rye") if chance.random() < 0.5),
            }
            base_uri = chance.choice([RED, BLUE, GREEN])
            shelf.register(f"n{number}", base_uri, **info)
            shelf.registered[f"n{number}"] = {**info, "base_uri": base_uri}
        yield shelf


def expected(many: Any, text: str | None, scope: list[str], **query: Any) -> dict[str, Counter[str]]:
    """Count what is found, one facet after the other."""
    result = {}
    for facet in FACETS:
        others = {name: value for name, value in query.items() if name != facet}
        found = many.find(text, page=1, page_size=500, **{"base_uris": scope, **others})
        counter: Counter[str] = Counter()
        for name in found:
            counter.update(values_of(many.registered[name], facet))
        result[facet] = counter
    return result


def values_of(info: dict[str, Any], facet: str) -> list[str]:
    power = (len(str(info["size_in_bytes"])) - 1) // 3
    values: dict[str, list[Any]] = {
        "tags": info["tags"],
        "annotations": list(info["annotations"]),
        "creator_usernames": [info["creator_username"]],
        "base_uris": [info["base_uri"]],
        "uploaded_by": [info["uploaded_by"]] if info["uploaded_by"] else [],
        "created": [str(datetime.fromtimestamp(info["created_at"]).year)],
        "frozen": [str(datetime.fromtimestamp(info["frozen_at"]).year)],
        "size": [["B", "kB", "MB"][power]],
    }
    return values[facet]


@pytest.mark.parametrize(
    "text", [None, "maize", "maize -wheat", "maize OR rye", "size:>10kB maize", "name:n1"]
)
@pytest.mark.parametrize(
    "query",
    [
        {},
        {"tags": ["a"]},
        {"tags": ["a", "b"], "creator_usernames": ["creator1", "creator2"]},
        {"base_uris": [RED], "uploaded_by": ["rita"]},
        {"uploaded_by": ["rita"], "creator_usernames": ["creator0"]},
    ],
)
@pytest.mark.parametrize("scope", [[RED, BLUE, GREEN], [RED, GREEN], [RED]])
def test_counts_are_those_of_what_is_found(
    many: Any, text: str | None, query: dict[str, Any], scope: list[str]
) -> None:
    assert counts(many, text, scope=scope, **query) == expected(many, text, scope, **query)


def test_however_many_are_read_at_once(many: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facets, "_PIECE", 40)
    for text in (None, "maize", "maize OR rye"):
        assert counts(many, text) == expected(many, text, many.base_uris())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE search_facet_group SET datasets = datasets + 1",
        "UPDATE search_facet_group SET datasets = 0",
        "DELETE FROM search_facet_group",
    ],
)
def test_faults_are_found_and_mended(shop: Any, backend: str, statement: str) -> None:
    if backend == "mongo":
        return  # the documents themselves are counted
    assert shop.search.faults() == []
    before = counts(shop), counts(shop, "fruit")
    sql_db.session.execute(text_of(statement))
    sql_db.session.commit()
    assert shop.search.faults() == ["has other numbers of datasets than facets are counted from"]
    assert (counts(shop), counts(shop, "fruit")) != before
    shop.search.mend_faults()
    sql_db.session.commit()
    assert shop.search.faults() == []
    assert (counts(shop), counts(shop, "fruit")) == before
