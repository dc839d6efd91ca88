"""Where the words of a query stand in a text."""

from __future__ import annotations

import pytest

from dservercore.dataset.highlights import Highlighter
from dservercore.dataset.text_query import parse


def highlighted(query: str, text: str, column: str = "readme") -> list[str]:
    hits = Highlighter(parse(query)).hits(text, column)  # type: ignore[arg-type]
    return [text[hit.start : hit.end] for hit in hits]


@pytest.mark.parametrize(
    ("query", "text", "found"),
    [
        ("muller", "Der Müller's Mu\u0308ller.", ["Müller", "Mu\u0308ller"]),
        ("mouse", "two mice and a Mouse", ["mice", "Mouse"]),
        ("sequences", "sequencing, sequenced", ["sequencing", "sequenced"]),
        ("SP500", "the SP 500, sp-500 and SP500", ["SP 500", "sp-500", "SP500"]),
        ("500", "SP500", ["500"]),
        ("plate 7", "x/plate_07_R1.tif", ["plate", "07"]),
        ("region", "SalesRegion", ["Region"]),
        ("salesregion", "the SalesRegion", ["SalesRegion"]),
        ("ohara", "by O'Hara", ["O'Hara"]),
        ("0.05", "p<0.05, 0,05, 0.5", ["0.05", "0,05"]),
        ("micro*", "Microscopes, submicron micro", ["Microscopes", "micro"]),
        ('"two words"', "one two words two", ["two words"]),
        ('"two words"', "two\nwords", ["two\nwords"]),
        ("基因", "文件 基因组", ["基因"]),
        ("straße", "STRASSE", ["STRASSE"]),
        ("ﬁnd", "to ﬁnd", ["ﬁnd"]),
        ("rice -bean", "bean rice", ["rice"]),
        ("name:rice", "rice", []),
        ("readme:rice", "rice", ["rice"]),
        ("rice OR bean", "bean rice", ["bean", "rice"]),
        ("12345678-aaaa-4111-8111-123456789abc", "of 12345678-AAAA-4111-8111-123456789ABC", None),
        ("nothing", "rice", []),
        ("rice", "", []),
    ],
)
def test_what_the_index_takes_for_equal_is_found(query: str, text: str, found: list[str] | None) -> None:
    assert highlighted(query, text) == (["12345678-AAAA-4111-8111-123456789ABC"] if found is None else found)


def test_a_word_far_down_in_a_long_text_is_found() -> None:
    text = "straw " * 30_000 + "needle" + " straw" * 10_000
    [hit] = Highlighter(parse("needles")).hits(text, "readme")
    assert text[hit.start : hit.end] == "needle"


def test_no_more_hits_than_asked_for() -> None:
    assert len(Highlighter(parse("a")).hits("a " * 500, "readme", most=7)) == 7


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("plate_*_R1.tif", ["plate_07_R1.tif"]),
        ("file:counts", ["b/counts.csv", "b/counts-2.csv"]),
        ("*.csv", ["b/counts.csv", "b/counts-2.csv"]),
        ("readme:counts", []),
    ],
)
def test_files_that_match(query: str, found: list[str]) -> None:
    paths = [
        *(f"x{n}.bin" for n in range(300)),
        "plate_07_R1.tif",
        "b/counts.csv",
        "b/counts-2.csv",
        "counts/c.txt",
    ]
    assert [path for path, _ in Highlighter(parse(query)).files(paths, 2)] == found


def test_hostile_texts_have_places_inside_of_them() -> None:
    for text in (
        "a" + "\u0301" * 500,
        "\udc80 rice \x00",
        "rice" * 1000,
        "ﷺ" * 50 + " rice",
        "\u200brice\u200b",
        "ʼriceʼs'",
    ):
        for hit in Highlighter(parse("rice* OR a*")).hits(text, "readme"):
            assert 0 <= hit.start < hit.end <= len(text)
