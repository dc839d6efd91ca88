"""Searching: what every bundled search plugin does, each on a real database."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from flask_smorest.pagination import PaginationParameters
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dservercore.dataset.fields import DATASET_KEYS
from dservercore.db import sql_db
from dservercore.errors import InvalidValueError, UnknownURIError, ValidationError
from dservercore.models import BaseURI
from dservercore.plugins.tokens.search_order import SORT_FIELDS
from dservercore.rest.sort import SortParameters

RED, BLUE, GREEN = "s3://red", "s3://blue", "file:///green"

MANY = 10_000  # files

UUID = "8ecd8e05-558a-48e2-b563-0c9ea273e71e"


# -- Where words are found -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "bean-harvest",
        "harvest",
        "HARVESTED",
        "soil",
        "soil-sample",
        "2026",
        "sequence",
        "sequences",
        "ecole",
        "École",
        "runner beans",
        "37.5",
        "legumes",
        "growth stage",
        "flowering",
        "north",
        "17",
        "2.5",
        "true",
        "Olga.Petrova",
        "petrova",
        "s3://blue",
        f"s3://blue/{UUID}",
        UUID,
        UUID.upper(),
        "0c9ea273e71e",
        "reads/U00096.3.rev.1.bt2",
        "U00096.3.rev.1.bt2",
        "u00096",
        "rev.1",
        "weather_report",
        "txt",
        "基因",
        '"runner beans"',
        '"weather report"',
        "harv*",
        "sequencing*",
        "sequenci*",
        "U00096.3.re*",
        "8ecd8e05-55*",
        "bean -void",
        "void OR bean",
        "absent OR bean",
        "bean soil 2026 legumes rev petrova",
    ],
)
def test_found(beans_to_read: Any, text: str) -> None:
    assert "bean-harvest" in beans_to_read.find(text)


@pytest.mark.parametrize(
    "text",
    [
        "absent",
        "bean absent",
        "ean",
        "harves",
        '"beans runner"',
        '"soil 2026"',  # two tags
        '"bt2 notes"',  # two files
        '"stage flowering"',  # a name and its value
        "notes/report",
        "U00096.rev",
        "earvest*",
        "bean -soil",
        'bean -"runner beans"',
        "bean -runn*",
        "false",
        "rita",  # who uploaded it is a filter, not a text
        "=all",
        "",
        " ",
        "*",
        "🌱",
        "-",
    ],
)
def test_not_found(beans_to_read: Any, text: str) -> None:
    assert "bean-harvest" not in beans_to_read.find(text)


def test_a_uuid_that_is_no_part_of_the_uri_is_found(shelf: Any) -> None:
    shelf.register("on-disk", GREEN, uri=f"{GREEN}/on-disk", uuid=UUID)
    assert shelf.find(UUID) == ["on-disk"]


@pytest.mark.parametrize(
    "readme", ["", "plain text", "- a\n- list", '{"json": "text"}', "a: [not: yaml", "\x00"]
)
def test_a_readme_may_be_any_text(shelf: Any, readme: str) -> None:
    shelf.register("any", readme=readme + " needle")
    assert shelf.find("needle") == ["any"]


def test_every_file_of_a_large_manifest_is_found(shelf: Any) -> None:
    shelf.register("large", files=[f"plate_{n % 7}/well_{n:06d}.tif" for n in range(2 * MANY + 1)])
    for n in (0, MANY - 1, MANY, 2 * MANY):
        assert shelf.find(f"well_{n:06d}.tif") == ["large"]
        assert shelf.find(f'"tif plate {n % 7} well {n:06d}"') == []
    assert shelf.find("plates*") == []
    assert shelf.find("plate*") == ["large"]


def test_stop_words_are_words(shelf: Any) -> None:
    shelf.register("a", readme="to be or not to be")
    assert shelf.find("to be") == ["a"]
    assert shelf.find('"not to be"') == ["a"]
    assert shelf.find("the") == []


def test_only_exclusions_find_everything_else_in_scope(beans: Any) -> None:
    beans.register("third", GREEN)
    assert beans.find("-harvest") == ["third", "void"]
    assert beans.find("-harvest", base_uris=[RED]) == ["void"]
    assert beans.find("-absent -harv*", base_uris=[RED, BLUE]) == ["void"]


def test_two_hundred_words_are_not_too_many(shelf: Any) -> None:
    words = [f"w{first}{second}x" for first in "abcdefghij" for second in "abcdefghijklmnopqrst"]
    shelf.register("long", readme=" ".join(words))
    assert shelf.find(" ".join(words)) == ["long"]
    assert shelf.find(f'"{" ".join(words)}"') == ["long"]
    assert shelf.find(" OR ".join(["absent", *words[:98]])) == ["long"]
    assert shelf.find(" ".join(f"-{word}" for word in words)) == []


# -- Filters ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({}, "abcd"),
        ({"creator_usernames": ["ada"]}, "a"),  # exactly that name
        ({"creator_usernames": ["ada", "bob", "none"]}, "acd"),
        ({"tags": ["x"]}, "abc"),
        ({"tags": ["x", "y"]}, "ac"),
        ({"tags": ["x", "none"]}, ""),
        ({"base_uris": [RED]}, "ab"),
        ({"base_uris": [RED, GREEN]}, "abd"),
        ({"base_uris": ["s3://re", RED + "/", "s3://none"]}, ""),
        ({"base_uris": [BLUE, "s3://none"]}, "c"),
        ({"uuids": [UUID]}, "d"),
        ({"uuids": [UUID.upper(), str(uuid.uuid4())]}, "d"),
        ({"uploaded_by": ["rita"]}, "ad"),
        ({"uploaded_by": ["rita", "carl"]}, "acd"),
        ({"uploaded_by": ["none"]}, ""),
        ({"creator_usernames": [], "tags": [], "uuids": [], "uploaded_by": []}, "abcd"),
        ({"tags": ["x"], "creator_usernames": ["ada", "bob"], "uploaded_by": ["rita", "carl"]}, "ac"),
        ({"tags": ["x"], "creator_usernames": ["bob"], "base_uris": [RED]}, ""),
        ({"free_text": "word"}, "abc"),
        ({"free_text": "word", "base_uris": [RED, BLUE]}, "abc"),
        ({"free_text": "word", "base_uris": [BLUE]}, "c"),
        ({"free_text": "word -two", "base_uris": [RED, BLUE]}, "ac"),
        ({"free_text": "word -two", "base_uris": [RED]}, "a"),
        ({"free_text": "one OR two", "base_uris": [RED, BLUE]}, "ab"),
        ({"free_text": "-word", "base_uris": [BLUE, GREEN]}, "d"),
        ({"free_text": "", "tags": ["x"]}, ""),
        ({"free_text": "*", "tags": ["x"]}, ""),
    ],
)
def test_filters(four_to_read: Any, filters: dict[str, Any], names: str) -> None:
    assert sorted(four_to_read.find(**filters)) == list(names)
    assert four_to_read.count(**filters) == len(names)


def test_no_base_uri_finds_nothing(four_to_read: Any) -> None:
    assert four_to_read.find("word", base_uris=[]) == []
    assert four_to_read.count("word", base_uris=[]) == 0


def test_a_base_uri_that_is_added_later_is_not_in_an_older_scope(four: Any) -> None:
    scope = four.base_uris()
    four.register("new", "s3://new", readme="word")
    assert four.find("word", base_uris=scope) == four.find("word -new")


def test_an_empty_base_uri_limits_nothing_and_hides_nothing(four: Any) -> None:
    four.add_base_uri("s3://empty")
    sql_db.session.commit()
    assert sorted(four.find("word", base_uris=[RED, BLUE, GREEN])) == ["a", "b", "c"]
    assert four.find("word", base_uris=["s3://empty"]) == []


def test_thousands_of_base_uris(shelf: Any) -> None:
    many = [f"s3://bucket-{n}" for n in range(3000)]
    sql_db.session.add_all(BaseURI(base_uri=base_uri) for base_uri in many)
    shelf.register("mine", many[7], readme="word")
    shelf.register("other", many[8], readme="word")
    assert shelf.find("word", base_uris=many[:8]) == ["mine"]
    assert shelf.find("word", base_uris=many[:8] + many[9:]) == ["mine"]
    assert shelf.find(base_uris=many[:8] + many[9:]) == ["mine"]
    assert shelf.find("word", base_uris=many) == ["mine", "other"]
    assert shelf.find("word", base_uris=many[::2]) == ["other"]


@pytest.mark.parametrize("value", ['"', "'", "a b", "=all", "\x00", "\ud800", "é" * 300, ") OR (", "*"])
def test_no_value_of_a_filter_is_an_error(four_to_read: Any, value: str) -> None:
    for field in ("creator_usernames", "tags", "uuids", "uploaded_by", "base_uris"):
        assert four_to_read.find("word", **{field: [value]}) == []


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(codec=None), max_size=60))
def test_no_text_is_an_error(four_to_read: Any, text: str) -> None:
    four_to_read.find(text, sort="-relevance")


_PIECES = [
    "word",
    "-word",
    "OR",
    '"',
    '"one',
    'two"',
    "wo*",
    "*",
    "-",
    " ",
    "(",
    ")",
    "NEAR(",
    ":",
    "^",
    "+",
    "{name}",
]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(_PIECES), max_size=12), st.sampled_from(["", " "]))
def test_no_combination_of_operators_is_an_error(four_to_read: Any, pieces: list[str], between: str) -> None:
    found = four_to_read.find(between.join(pieces))
    assert set(found) <= set("abcd")


# -- Pages and order -------------------------------------------------------------------------------------------------


def test_a_result_has_the_fields_of_a_dataset_object(beans_to_read: Any) -> None:
    [found] = beans_to_read.search.search({"free_text": "harvest", "base_uris": [BLUE]})
    assert set(found) == set(DATASET_KEYS)
    assert found == {
        "base_uri": BLUE,
        "uri": f"{BLUE}/{UUID}",
        "uuid": UUID,
        "name": "bean-harvest",
        "creator_username": "Olga.Petrova",
        "created_at": 1536236399.19497,
        "frozen_at": 1536238185.881941,
        "number_of_items": 3,
        "size_in_bytes": 30,
        "uploaded_by": "rita",
        "uploaded_at": 1767225600.5,
    }


def test_what_is_not_known_is_none(shelf: Any) -> None:
    shelf.register("old", number_of_items=None, size_in_bytes=None, uploaded_at=None)
    [found] = shelf.search.search({"free_text": "old", "base_uris": [RED]})
    unknown = ("number_of_items", "size_in_bytes", "uploaded_at", "uploaded_by")
    assert [found[field] for field in unknown] == [None] * 4


@pytest.mark.parametrize("direction", ["+", "-"])
@pytest.mark.parametrize("field", [field for field in SORT_FIELDS if field != "relevance"])
@pytest.mark.parametrize(
    "filters", [{}, {"tags": ["t1"]}, {"base_uris": [RED, BLUE]}, {"base_uris": [GREEN]}]
)
@pytest.mark.parametrize("text", ["text", None])
def test_pages_in_order(
    hundred: Any, text: str | None, filters: dict[str, list[str]], field: str, direction: str
) -> None:
    """The pages put together are everything, sorted; equals are sorted by URI."""
    query: dict[str, Any] = {"base_uris": hundred.base_uris(), "free_text": text, **filters}
    everything = hundred.search.search(query)
    expected = sorted(everything, key=lambda dataset: dataset["uri"])
    assert everything == expected
    expected.sort(key=lambda dataset: dataset[field], reverse=direction == "-")
    for size in (7, 100):
        paged = []
        for number in range(1, 100 // size + 2):
            pagination = PaginationParameters(number, size)
            paged += hundred.search.search(query, pagination, SortParameters(direction + field))
            assert pagination.item_count == len(expected)
        assert paged == expected


def test_several_sort_fields(hundred: Any) -> None:
    query = {"base_uris": hundred.base_uris(), "free_text": "text"}
    found = hundred.search.search(query, PaginationParameters(1, 100), SortParameters("-base_uri,name,-uuid"))
    expected = sorted(found, key=lambda dataset: dataset["uuid"], reverse=True)
    expected.sort(key=lambda dataset: dataset["name"])
    expected.sort(key=lambda dataset: dataset["base_uri"], reverse=True)
    assert found == expected
    assert len(found) == 80


def test_beyond_the_last_page_there_is_nothing(hundred: Any) -> None:
    for page in (9, 10**30):
        pagination = PaginationParameters(page, 10)
        assert (
            hundred.search.search({"free_text": "text", "base_uris": hundred.base_uris()}, pagination) == []
        )
        assert pagination.item_count == 80


def test_an_unknown_sort_field_is_refused(hundred: Any) -> None:
    with pytest.raises(ValidationError, match="size_in_bytes") as refused:
        hundred.find("text", sort="size_in_bytes")
    assert isinstance(refused.value, InvalidValueError)


# -- Relevance -------------------------------------------------------------------------------------------------------


def test_relevance_asks_where_a_word_is_found(shelf: Any) -> None:
    beginning = "lorem " * 200
    shelf.register("1-file", files=["needle.csv"], readme=beginning)
    shelf.register("2-readme", readme=beginning + "needle")
    shelf.register("3-lead", readme="needle " + beginning)
    shelf.register("4-tag", tags=["needle", "other"], readme=beginning)
    shelf.register("needle", readme=beginning)
    ranked = ["needle", "4-tag", "3-lead", "2-readme", "1-file"]
    assert shelf.find("needle", sort="-relevance") == ranked
    assert shelf.find("needle", sort="relevance") == ranked
    assert shelf.find("needle", sort="+relevance") == ranked[::-1]
    assert [
        name for page in (1, 2, 3) for name in shelf.find("needle", sort="-relevance", page=page, page_size=2)
    ] == ranked


def test_filters_and_other_fields_go_with_relevance(hundred: Any) -> None:
    names = hundred.find("common", sort="-relevance,-name", tags=["t1"], base_uris=[RED, BLUE])
    assert len(names) == hundred.count("common", tags=["t1"], base_uris=[RED, BLUE]) > 0
    assert hundred.find("common", sort="name,-relevance") == sorted(hundred.find("common"))


def test_equally_relevant_datasets_are_in_the_order_of_their_uris(shelf: Any) -> None:
    for n in (3, 1, 2):
        shelf.register("same", uri=f"{RED}/{n}", uuid=UUID)
    found = shelf.search.search({"free_text": "same", "base_uris": [RED]}, None, SortParameters("-relevance"))
    assert [dataset["uri"] for dataset in found] == [f"{RED}/{n}" for n in (1, 2, 3)]


@pytest.mark.parametrize("text", [None, "-absent"])
def test_without_words_there_is_no_relevance(four_to_read: Any, text: str | None) -> None:
    assert four_to_read.find(text, sort="-relevance,-name") == ["d", "c", "b", "a"]


# -- Changes ---------------------------------------------------------------------------------------------------------


def test_registering_again_replaces_everything(beans: Any) -> None:
    beans.register(
        "pea-harvest", BLUE, uuid=UUID, readme="peas", creator_username="pia", tags=["t"], files=["p.txt"]
    )
    for gone in ("bean", "sequencing", "sequenci*", "legumes", "soil", "flowering", "petrova", "u00096"):
        assert beans.find(gone) == []
    for found in ("pea", "peas", "pia", "p.txt"):
        assert beans.find(found) == ["pea-harvest"]
    assert beans.find(tags=["soil-sample"]) == []
    assert beans.find(tags=["t"], creator_usernames=["pia"]) == ["pea-harvest"]
    assert beans.find(uploaded_by=["rita"]) == []


@pytest.mark.parametrize(
    ("change", "gone", "found"),
    [
        (
            lambda s, uri: s.set_tags(uri, ["clay", "x"]),
            ["soil", "soil-samp*"],
            ["clay", "legumes", "flowering"],
        ),
        (
            lambda s, uri: s.set_readme(uri, "new text"),
            ["legumes", "sequencing"],
            ["new", "soil", "flowering", "u00096"],
        ),
        (
            lambda s, uri: s.set_annotations(uri, {"k": "v7"}),
            ["flowering", "17"],
            ["k", "v7", "soil", "legumes"],
        ),
        (lambda s, uri: s.set_tags(uri, []), ["soil"], ["legumes"]),
        (lambda s, uri: s.set_readme(uri, ""), ["legumes"], ["soil"]),
        (lambda s, uri: s.set_annotations(uri, {}), ["flowering"], ["soil"]),
    ],
)
def test_an_edit_replaces_what_it_concerns(
    beans: Any, change: Callable[[Any, str], None], gone: list[str], found: list[str]
) -> None:
    change(beans, f"{BLUE}/{UUID}")
    assert [text for text in gone if beans.find(text)] == []
    assert [text for text in found if beans.find(text) != ["bean-harvest"]] == []
    assert beans.find(
        "harvest", creator_usernames=["Olga.Petrova"], uploaded_by=["rita"], base_uris=[BLUE]
    ) == ["bean-harvest"]


def test_tags_are_edited_as_filters_too(four: Any) -> None:
    four.set_tags(four.register("e", GREEN, tags=["x"]), ["z", "new"])
    assert sorted(four.find(tags=["x"])) == ["a", "b", "c"]
    assert sorted(four.find(tags=["z"])) == ["c", "e"]
    assert four.find(tags=["new", "z"]) == ["e"]


def test_a_deleted_dataset_is_found_nowhere(beans: Any) -> None:
    beans.delete(f"{BLUE}/{UUID}")
    for text in ("harvest", "soil", "sequenci*", "petrova", UUID, "-absent"):
        assert beans.count(text, base_uris=[BLUE]) == 0
    assert beans.find(tags=["2026"]) == []
    assert beans.find("void") == ["void"]


def test_a_dataset_that_takes_the_place_of_a_deleted_one_inherits_nothing(shelf: Any) -> None:
    shelf.delete(shelf.register("first", readme="old words", tags=["t"]))
    shelf.register("second")  # SQLite gives it the same id
    assert shelf.find("old") == []
    assert shelf.find(tags=["t"]) == []
    assert shelf.find("second") == ["second"]


def test_deleting_what_is_not_there_is_no_error(beans: Any) -> None:
    beans.search.delete_dataset("s3://red/none")
    beans.search.delete_dataset(f"{BLUE}/{UUID}")
    beans.search.delete_dataset(f"{BLUE}/{UUID}")
    assert beans.find("harvest") == []


@pytest.mark.parametrize("setter", ["set_tags", "set_annotations", "set_readme"])
def test_an_edit_of_what_is_not_in_the_index_is_an_error(beans: Any, setter: str) -> None:
    value = {"set_tags": [], "set_annotations": {}, "set_readme": ""}[setter]
    with pytest.raises(UnknownURIError):
        getattr(beans.search, setter)("s3://red/none", value)
    beans.search.delete_dataset(f"{BLUE}/{UUID}")
    with pytest.raises(UnknownURIError):
        getattr(beans.search, setter)(f"{BLUE}/{UUID}", value)


# -- Starting --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sort", ["-relevance", "+relevance"])
def test_pages_of_equally_relevant_datasets_make_up_the_whole_list(shelf: Any, sort: str) -> None:
    for number in range(25):
        name = f"letter-{chr(ord('a') + 7 * number % 25)}"
        shelf.register(name, uri=f"{RED}/{name}", uuid=str(uuid.UUID(int=number)), readme="same")
    whole = shelf.find("same", sort=sort)
    assert whole == sorted(whole)
    assert len(whole) == 25
    pages = [shelf.find("same", sort=sort, page=page, page_size=4) for page in range(1, 9)]
    assert [name for page in pages for name in page] == whole
