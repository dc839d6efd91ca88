"""The analyser and the query language."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dservercore.errors import ValidationError
from dservercore.text_query import (
    _PILED_MARKS,
    BREAK,
    MAX_QUERY_CHARACTERS,
    MAX_QUERY_PREFIXES,
    MAX_QUERY_TOKENS,
    TOKEN_LENGTH,
    AnyOf,
    Query,
    Term,
    analyse,
    fold,
    parse,
    stem,
)

# -- Folding: what the words of a text are ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("Bean harvest, 2026.", ["bean", "harvest", "2026"]),
        ("U00096.3.rev.1.bt2", ["u00096", "3", "rev", "1", "bt2"]),
        ("my_file-name.csv", ["my", "file", "name", "csv"]),
        ("s3://dtool-demo/8ecd8e05-558a-48e2", ["s3", "dtool", "demo", "8ecd8e05", "558a", "48e2"]),
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
        assert analyse(word).tokens == [stem(folded)]  # an accent does not make a word foreign
    else:
        assert analyse(word) == ([folded], [])


def test_texts_are_kept_apart() -> None:
    assert analyse("one.csv", "two.csv", "").tokens == ["one", "csv", BREAK, "two", "csv", BREAK]
    assert analyse() == ([], [])


def test_a_text_cannot_pretend_to_be_two() -> None:
    assert analyse("one\x1ftwo", "three").tokens == ["one", "two", BREAK, "three"]


def test_encoded_data_is_cut_and_has_no_forms() -> None:
    assert analyse("ings" * 10_000) == ([("ings" * 10_000)[:TOKEN_LENGTH]], [])


# -- Parsing ---------------------------------------------------------------------------------------------------------


def words(*texts: str) -> Term:
    return Term(tuple(stem(text) for text in texts))


def starting(prefix: str, *before: str) -> Term:
    return Term(tuple(stem(text) for text in before), prefix)


def query(*all_of: Term | tuple[Term, ...], without: tuple[Term, ...] = ()) -> Query:
    groups = (AnyOf(term if isinstance(term, tuple) else (term,)) for term in all_of)
    return Query(tuple(groups), without)


NOTHING = Query()
A, B, C, D = (words(letter) for letter in "abcd")


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        # words
        ("bean", query(words("bean"))),
        ("Beans harvested", query(words("bean"), words("harvest"))),
        ("  a \t b\n", query(A, B)),
        # phrases
        ('"a b"', query(words("a", "b"))),
        ('a "b c" d', query(A, words("b", "c"), D)),
        ('a"b c"d', query(A, words("b", "c"), D)),
        ("“a b”", query(words("a", "b"))),
        ('""', NOTHING),
        ('"a *b* OR -c"', query(words("a", "b", "or", "c"))),
        # exclusion
        ("a -b", query(A, without=(B,))),
        ('a -"b c"', query(A, without=(words("b", "c"),))),
        ("-a", query(without=(A,))),
        ("-a -b*", query(without=(A, starting("b")))),
        ("-20", query(without=(words("20"),))),
        # alternatives
        ("a OR b", query((A, B))),
        ("a OR b OR c", query((A, B, C))),
        ("a b OR c d", query(A, (B, C), D)),
        ('"a b" OR c*', query((words("a", "b"), starting("c")))),
        # prefixes
        ("prefi*", query(starting("prefi"))),
        ("Prefixes*", query(starting("prefixes"))),
        ("Éc*", query(starting("ec"))),
        ("a**", query(starting("a"))),
        ("U00096.3.rev*", query(starting("rev", "u00096", "3"))),
        ("基因*", query(starting("因", "基"))),
        # words that are phrases
        ("a-b", query(words("a", "b"))),
        ("U00096.3.rev.1.bt2", query(words("u00096", "3", "rev", "1", "bt2"))),
        ("s3://a/b", query(words("s3", "a", "b"))),
        ("基因组", query(words("基", "因", "组"))),
        ("name:bean", query(words("name", "bean"))),
        # text that looks like an operator
        ("a AND b", query(A, words("and"), B)),
        ("a NOT b", query(A, words("not"), B)),
        ("NEAR(a b, 5)", query(words("near", "a"), B, words("5"))),
        ("a or b", query(A, words("or"), B)),
        ("OR", query(words("or"))),
        ("OR a", query(words("or"), A)),
        ("a OR", query(A, words("or"))),
        ("a OR OR b", query(A, (words("or"), B))),
        ("a OR -b", query(A, words("or"), without=(B,))),
        ("-a OR b", query(words("or"), B, without=(A,))),
        ("-OR", query(without=(words("or"),))),
        ('a "OR" b', query(A, words("or"), B)),
        ("--a", query(A)),
        ("- a", query(A)),
        ("a - b", query(A, B)),
        ("a -", query(A)),
        ("a *", query(A)),
        ("*a", query(A)),
        ("a*b", query(words("a", "b"))),
        ("a.*", query(A)),
        ("a*,", query(A)),
        ('"a b', query(A, B)),
        ('a b"', query(A, B)),
        ('"a" b" c', query(A, B, C)),
        ('a -"b c', query(A, C, without=(B,))),
        ("(a)", query(A)),
        ("{a}: ^b", query(A, B)),
        ("+a", query(A)),
        ("a\x00b", query(words("a", "b"))),
        ("a\ud800", query(A)),
        ("a 🌱", query(A)),
        # alternatives of which one is nothing
        ("a OR *", query(A)),
        ("* OR b", query(B)),
        ("* OR *", NOTHING),
        # nothing
        ("", NOTHING),
        (" ", NOTHING),
        ("-", NOTHING),
        ("--", NOTHING),
        ("*", NOTHING),
        ('"', NOTHING),
        ("( ) : / ^ ' \\ % ;", NOTHING),
        ("🌱", NOTHING),
        ("-*", NOTHING),
    ],
)
def test_query_language(text: str, parsed: Query) -> None:
    assert parse(text) == parsed


def test_a_query_for_nothing_is_false() -> None:
    assert not parse("*")
    assert parse("a")
    assert parse("-a")


@given(st.text(st.characters(codec=None), max_size=200))
@example('-"')
@example("´*")  # an accent on nothing
@example("OR OR OR")
@example('"OR" -OR OR*')
def test_no_text_is_an_error(text: str) -> None:
    parsed = parse(text)
    terms = [term for any_of in parsed.all_of for term in any_of.terms] + list(parsed.none_of)
    assert all(len(term) for term in terms)
    assert all(any_of.terms for any_of in parsed.all_of)


@given(st.lists(st.sampled_from(["a", "-b", "OR", '"', '"c d"', "e*", "*", "-", " ", "f-g"])).map("".join))
def test_no_combination_of_operators_is_an_error(text: str) -> None:
    parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "a" * (MAX_QUERY_CHARACTERS + 1),
        "a " * (MAX_QUERY_TOKENS + 1),
        "-a " * (MAX_QUERY_TOKENS + 1),
        '"' + "a " * (MAX_QUERY_TOKENS + 1) + '"',
        "字" * (MAX_QUERY_TOKENS + 1),
        "a* " * (MAX_QUERY_PREFIXES + 1),
    ],
)
def test_what_is_too_long_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="free_text") as refused:
        parse(text)
    assert refused.value.status == 422
    assert list(refused.value.errors or ()) == ["free_text"]


def test_what_is_just_not_too_long_is_accepted() -> None:
    assert len(parse("a " * MAX_QUERY_TOKENS).all_of) == MAX_QUERY_TOKENS
    assert len(parse("a* " * MAX_QUERY_PREFIXES).all_of) == MAX_QUERY_PREFIXES
    assert parse("a" * MAX_QUERY_CHARACTERS)


def test_marks_piled_on_a_letter() -> None:
    # Were they all sorted, this would run for a quarter of an hour, into the time-out that every test has.
    assert analyse("a" + "\u0315\u0300" * 500_000 + " bean").tokens == ["a", "bean"]


def test_of_marks_that_are_piled_up_some_are_left() -> None:
    """Normalising sorts marks in a time that grows with the square of their number, whatever they are made of."""
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    marks = [c for c in characters if unicodedata.combining(unicodedata.normalize("NFKC", c)[0])]
    assert len(marks) > 900
    assert [mark for mark in marks if len(_PILED_MARKS.sub(r"\1", f"\u0301{mark}" * 100)) > 30] == []
