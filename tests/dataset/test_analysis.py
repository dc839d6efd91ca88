"""The analyser: what is left of a text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dservercore.dataset.analysis import _PILED_MARKS, BREAK, TOKEN_LENGTH, analyse, fold, tokens_of
from dservercore.dataset.text_query import parse

# -- Folding: what the words of a text are ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("Bean harvest, 2026.", ["bean", "harvest", "2026"]),
        ("U00096.3.rev.1.bt2", ["u00096", "3", "rev", "1", "bt2"]),
        ("my_file-name.csv", ["my", "file", "name", "csv"]),
        ("s3://dtool-demo/8ecd8e05-558a-48e2", ["s3", "dtool", "demo", "8ecd8e05", "ꞏ558a", "ꞏ48e2"]),
        ("key: {value: [1.5, -2]}", ["key", "value", "1", "5", "2"]),
        ("Éclair NAÏVE Ångström", ["eclair", "naive", "angstrom"]),
        ("e\u0301clair", ["eclair"]),  # the accent as a character of its own
        ("Straße STRASSE", ["strasse", "strasse"]),
        (
            "Søren Łódź Þór Æsir œuvre ıstanbul İzmir",
            ["soren", "lodz", "thor", "aesir", "oeuvre", "istanbul", "izmir"],
        ),
        ("ﬁle ２０２６ km² ½", ["file", "2026", "km2", "1", "2"]),
        ("٣ rows", ["3", "rows"]),
        ("Ελληνικά λόγος ΛΌΓΟΣ", ["ελληνικα", "λογοσ", "λογοσ"]),
        ("Ёлка", ["елка"]),
        ("基因组 data", ["基", "因", "组", "data"]),
        ("SARS病毒v2", ["sars", "病", "毒", "v2"]),
        ("ｶﾞｽ データ", ["ガ", "ス", "デ", "ー", "タ"]),
        ("데이터", ["데", "이", "터"]),
        ("\u1103\u1166", ["데"]),  # the same syllable, taken apart, as in file names from a Mac
        ("हिन्दी", ["हिनदी"]),
        ("Parkinson's PARKINSON’S x['s']", ["parkinson", "parkinson", "x", "s"]),
        ("don't", ["don", "t"]),
        ("Hawaiʻi OʼHara 5ʹ-UTR", ["hawai", "i", "o", "hara", "5", "utr"]),
        ("SalesRegion HTTPServer mRNA IDs", ["sales", "region", "http", "server", "mrna", "ids"]),
        ("ΠολύΜεγάλο", ["πολυ", "μεγαλο"]),
        ("soft\u00adhyphen zero\u200bwidth join\u200ded", ["softhyphen", "zero", "width", "joined"]),
        ("👩‍🔬 ❤️ ☃ ™", ["tm"]),
        (
            "nul\x00byte sur\ud800rogate unit\x1fseparator",
            ["nul", "byte", "sur", "rogate", "unit", "separator"],
        ),
        ("x" * 1000, ["x" * TOKEN_LENGTH]),
    ],
)
def test_words_of_a_text(text: str, words: list[str]) -> None:
    assert fold(text) == words


@given(st.text())
def test_folding_is_a_resting_point(text: str) -> None:
    """What is stored can be asked for: folding folded words changes nothing."""
    words = fold(text)
    assert fold(" ".join(words)) == words


@given(st.text())
def test_no_word_contains_a_sign_that_an_index_uses(text: str) -> None:
    assert not set("".join(fold(text))) & set(' "*_=|()\n\x00')


# -- Analysis: what is stored ----------------------------------------------------------------------------------------


def test_english_words_are_stored_as_their_stems_and_their_spelling_is_kept_once() -> None:
    analysis = analyse("Sequences of sequencing sequences")
    assert analysis.tokens == ["sequenc", "of", "sequenc", "sequenc"]
    assert analysis.forms == ["sequences", "sequencing"]


@pytest.mark.parametrize("word", ["grch38s", "2ings", "données", "u00096"])
def test_only_words_of_the_letters_a_to_z_are_stemmed(word: str) -> None:
    [folded] = fold(word)
    if folded.isascii() and folded.isalpha():
        assert analyse(word).tokens == list(tokens_of(folded))  # an accent does not make a word foreign
    elif folded.isalpha():
        assert analyse(word) == ([folded], [])
    else:
        tokens = list(tokens_of(folded))
        assert analyse(word) == (tokens, [] if tokens == [folded] else [folded])


# -- Words that are written in more than one way ---------------------------------------------------------------------


PAIRS = """
gas gases, lens lenses, bus buses, analysis analyses, matrix matrices, index indices, leaf leaves,
hypothesis hypotheses, axis axes, atlas atlases, canvas canvases, alias aliases, virus viruses, vertex vertices,
nucleus nuclei,
synthesis syntheses, genesis geneses, mouse mice, larva larvae, bacterium bacteria, criterion criteria, index indexes,
box boxes, city cities, dose doses, tumor tumour, color colours, analyzed analysed, fiber fibres, centers centres
"""


def finds(asked: str, stored: str) -> bool:
    """Return whether one of the ways to read what is asked stands in what is stored."""
    tokens = f" {' '.join(analyse(stored).tokens)} "
    return any(f" {' '.join(term.tokens)} " in tokens for term in parse(asked.replace(" ", "-")).terms)


@pytest.mark.parametrize(
    "alike",
    [
        # letters and digits
        ["SP 500", "SP500", "sp-500"],
        ["plate 7", "plate_07", "Plate7", "plate007"],
        ["10mM", "10 mM", "10-mm"],
        ["chr1", "chr 1", "CHR_01"],
        ["IL6", "IL-6", "il 6"],
        ["MCF7", "MCF-7"],
        ["488nm", "488 nm"],
        ["COVID19", "covid-19"],
        # inner capitals, apostrophes
        ["Hawaiʻi", "Hawai'i", "Hawai’i"],
        ["OʼHara", "O'Hara", "O’Hara"],
        ["5ʹ-UTR", "5'-UTR", "5′ UTR", "5 UTR"],
        # plurals
        *(pair.split() for pair in PAIRS.split(",")),
        # numbers and fractions
        ["0.05", "0,05"],
    ],
)
def test_alike(alike: list[str]) -> None:
    assert [(a, b) for a in alike for b in alike if not finds(a, b)] == []


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ("Region", "SalesRegion"),
        ("salesregion", "SalesRegion"),
        ("hawaii", "Hawaiʻi"),
        ("Hawaiʻi", "hawaii"),
        ("SalesRegion.csv", "my_salesregion.csv"),
        ("mRNA", "MRNA"),
        ("pH 7", "PH 7.0"),
        ("ohara", "O'Hara"),
        ("alembert", "d'Alembert"),
        ("500", "SP500"),
        ("2020-1-5", "2020-01-05"),
    ],
)
def test_found_in(asked: str, stored: str) -> None:
    assert finds(asked, stored)


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ("0.5", "0.05"),
        ("0.05", "0.005"),
        ("plate 7", "plate 70"),
        ("sp5", "sp500"),
        ("region", "subregions"),
        ("counts", "discounts"),
        ("doses", "dosis"),
        # parts of UUIDs, and what stands in front of each
        ("3", "s3://bucket"),
        *((number, "s3://b/8ecd8e05-7a5f-4a12-b5a3-0c9ea273e71e") for number in ("7", "12", "5", "4", "a")),
    ],
)
def test_not_found_in(asked: str, stored: str) -> None:
    assert not finds(asked, stored)


UUID = "12345678-7a5f-4a12-b5a3-0c9ea273e71e"


@pytest.mark.parametrize(
    "asked",
    [
        UUID,
        UUID.upper(),
        UUID[:8],
        UUID[-12:],
        f"s3://beans/{UUID}",
        "s3",
        "S3",
        f"beans/{UUID}",
        f"BEANS-{UUID}",
    ],
)
def test_a_uri_is_found_by_what_it_is_made_of(asked: str) -> None:
    assert finds(asked, f"see s3://beans/{UUID}, and")


@pytest.mark.parametrize("end", [10, 13, 15, 18, 20, 23])
def test_a_uuid_is_found_by_its_beginning(end: int) -> None:
    uuid = "8ecd8e05-7a5f-4a12-b5a3-0c9ea273e71e"
    terms = parse(f"{uuid[:end]}*").terms
    stored = f" {' '.join(analyse(uuid).tokens)} "
    assert any(f" {' '.join([*term.tokens, term.prefix or ''])}" in stored for term in terms)


def test_what_is_no_uuid_is_taken_apart() -> None:
    assert analyse("20260102-12 12345678-12ab").tokens == ["20260102", "12", "12345678", "12", "ab"]


def test_what_alternates_often_stays_whole() -> None:
    whole = ["8ecd8e05d41d", "1a2b3c", "h2o", "c6h12o6p2q3", "de4db33f01", "k33j99x22mp"]
    assert analyse(" ".join(whole).upper()).tokens == whole


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("HEK293T", "HEK-293T"),
        ("HEK293T", "hek 293 t"),
        ("RTX3090Ti", "RTX 3090 Ti"),
        ("C57BL6J", "C57-BL6J"),
        ("C57BL/6J", "C57BL6J"),
        ("D7S820", "D7-S820"),
        ("H3K27ac", "H3-K27ac"),
        ("GM12878B2", "gm_12878_b_2"),
    ],
)
def test_letters_and_digits_that_meet_more_than_once(one: str, other: str) -> None:
    assert analyse(one).tokens == analyse(other).tokens


@pytest.mark.parametrize(
    ("one", "other"),
    [("1e+22", "1e22"), ("6.02E+23", "6.02e23"), (".05", "0.05"), ("p<.003", "p<0.003"), ("(.5)", "(0.5)")],
)
def test_ways_to_write_a_number(one: str, other: str) -> None:
    assert analyse(one).tokens == analyse(other).tokens


@pytest.mark.parametrize("text", ["a+b", "1+e", "see ..5", "v1.05", "dir/.05rc", "e+1"])
def test_what_is_no_number_is_read_as_it_is(text: str) -> None:
    assert analyse(text).tokens == analyse(text.replace("+", " ").replace(".", " ")).tokens


# -- Texts -----------------------------------------------------------------------------------------------------------


def test_texts_are_kept_apart() -> None:
    assert analyse("one.csv", "two.csv", "").tokens == ["one", "csv", BREAK, "two", "csv", BREAK]
    assert analyse() == ([], [])


def test_a_text_cannot_pretend_to_be_two() -> None:
    assert analyse("one\x1ftwo", "three").tokens == ["one", "two", BREAK, "three"]


def test_encoded_data_is_cut_and_has_no_forms() -> None:
    assert analyse("ings" * 10_000) == ([("ings" * 10_000)[:TOKEN_LENGTH]], [])


def test_marks_piled_on_a_letter() -> None:
    # Were they all sorted, this would run for a quarter of an hour, into the time-out that every test has.
    assert analyse("a" + "\u0315\u0300" * 500_000 + " bean").tokens == ["a", "bean"]


def test_of_marks_that_are_piled_up_some_are_left() -> None:
    """Normalising sorts marks in a time that grows with the square of their number, whatever they are made of."""
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    marks = [c for c in characters if unicodedata.combining(unicodedata.normalize("NFKC", c)[0])]
    assert len(marks) > 900
    assert [mark for mark in marks if len(_PILED_MARKS.sub(r"\1", f"\u0301{mark}" * 100)) > 30] == []
