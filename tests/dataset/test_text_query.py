"""The query language."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dservercore.dataset.analysis import fold, tokens_of
from dservercore.dataset.annotation_nodes import annotation_value
from dservercore.dataset.query_tree import (
    All,
    Annotated,
    AnyOf,
    Bounds,
    Exactly,
    FileName,
    InBaseURI,
    Not,
    Piece,
    Query,
    Term,
    Text,
    Within,
    every_leaf,
)
from dservercore.dataset.text_query import MAX_QUERY_CHARACTERS, MAX_QUERY_PREFIXES, MAX_QUERY_WORDS, parse
from dservercore.errors import InvalidValueError, ValidationError


def words(*texts: str) -> Term:
    return Term(tuple(token for text in texts for token in tokens_of(text)))


def fold_tokens(text: str) -> list[str]:
    return [token for word in fold(text) for token in tokens_of(word)]


def starting(prefix: str, *before: str) -> Term:
    return Term(tuple(token for text in before for token in tokens_of(text)), prefix)


def query(*all_of: Any, without: tuple[Term, ...] = ()) -> Query:
    """Return the query for all of these, each a term, a tuple of alternatives, or another node."""
    wanted = [AnyOf(tuple(map(node, of))) if isinstance(of, tuple) else node(of) for of in all_of]
    return Query((*wanted, *(Not(node(of)) for of in without)))


def valued(name: str, value: str | bool) -> Exactly:
    return Exactly("value", annotation_value(name, value))


def number(name: str, value: float) -> Annotated:
    return Annotated(name, Bounds(value, value))


def node(of: Any) -> Any:
    return Text(of) if isinstance(of, Term) else of


def at(*day: int) -> float:
    """Return the beginning of a year, a month or a day, in seconds since the epoch."""
    return datetime(*(*day, 1, 1)[:3], tzinfo=timezone.utc).timestamp()


def piece(*tokens: str) -> Piece:
    return Piece(tokens, is_open_left=False, is_open_right=False)


UUID = "1568d2e9-5270-49c0-aa88-3a08190ac2a9"
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
        ("-20x", query(without=(words("20x"),))),
        ("-2019-01", query(without=(words("2019", "01"),))),
        ('-"20"', query(without=(words("20"),))),
        ("NOT 20", query(without=(words("20"),))),
        ("-(20 OR 30)", query(without=(AnyOf((Text(words("20")), Text(words("30")))),))),
        ("-name:20", query(without=(Text(words("20"), "name"),))),
        # numbers below zero, which exclude nothing
        ("-20", query(words("20"))),
        ("-2019", query(words("2019"))),
        ("freezer -80", query(words("freezer"), words("80"))),
        ("a (-80 OR -20)", query(A, (words("80"), words("20")))),
        ("-80°C, -80C.", query(words("80", "c"), words("80", "c"))),
        ("-0.00007", query(Term(tuple(fold_tokens("0.00007"))))),
        ("-0,05", query(Term(tuple(fold_tokens("0.05"))))),
        ("-.5 -7e-5", query(words("0", "5"), words("7e", "5"))),
        ("-7E+05", query(words("7e", "5"))),
        ("NOT -80", query(without=(words("80"),))),
        # alternatives
        ("a OR b", query((A, B))),
        ("a OR b OR c", query((A, B, C))),
        ("a b OR c d", query(A, (B, C), D)),
        ('"a b" OR c*', query((words("a", "b"), starting("c")))),
        # AND, NOT, parentheses
        ("a AND b", query(A, B)),
        ("a AND -b", query(A, without=(B,))),
        ("a AND b OR c", query(A, (B, C))),
        ("NOT a", query(without=(A,))),
        ("a NOT b", query(A, without=(B,))),
        ("a AND NOT b", query(A, without=(B,))),
        ("a OR NOT b", query((A, Not(Text(B))))),
        ("a NOT -b", query(A, B)),
        ("(a b) OR c", query((All((Text(A), Text(B))), C))),
        ("a (b OR c)", query(A, (B, C))),
        ("(a OR b) (c OR d)", query((A, B), (C, D))),
        ("-(a b)", query(without=(All((Text(A), Text(B))),))),
        ("NOT (a OR b)", query(without=(AnyOf((Text(A), Text(B))),))),
        ("((a))", query(A)),
        ('("a b") c', query(words("a", "b"), C)),
        ("a () b", query(A, B)),
        ("(" * 1000 + "a" + ")" * 1000, query(A)),
        # parentheses that group nothing
        ("f(x)", query(words("f", "x"))),
        ("(a", query(A)),
        ("a)", query(A)),
        (")a(", query(A)),
        ("a(b c)d", query(words("a", "b"), words("c", "d"))),
        ('"(a" b)', query(A, B)),
        # fields
        ("name:a", query(Text(A, "name"))),
        ("Name:a", query(Text(A, "name"))),
        ('readme:"a b"', query(Text(words("a", "b"), "readme"))),
        ("tag:a*", query(Text(starting("a"), "tags"))),
        ("-annotation:a", query(without=(Text(A, "annotations"),))),
        ("uri:a", query(Text(A, "about"))),
        ("file:a.csv", query(Text(words("a", "csv"), "files"))),
        ("name:(a OR b)", query((Text(A, "name"), Text(B, "name")))),
        ("name:a OR b", query((Text(A, "name"), B))),
        ("creator:anna", query(Exactly("creator", "anna"))),
        ('creator:"Anna B"', query(Exactly("creator", "Anna B"))),
        (f"uuid:{UUID.replace('-', '').upper()}", query(Exactly("uuid", UUID))),
        (f"uuid:{UUID}", query(Exactly("uuid", UUID))),
        ("uuid:1568", query(Text(words("1568"), "about"))),
        ("base:s3://Bucket", query(InBaseURI("s3://bucket"))),
        ("missing:readme", query(Exactly("missing", "readme"))),
        ("-missing:Tags", query(without=(Exactly("missing", "tags"),))),
        # bounds
        ("size:>1GB", query(Within("size_in_bytes", Bounds(1e9, without_least=True)))),
        ("size:1kB..2KiB", query(Within("size_in_bytes", Bounds(1000, 2048)))),
        ("size:<=1.5M", query(Within("size_in_bytes", Bounds(most=1.5e6)))),
        ("items:..10", query(Within("number_of_items", Bounds(most=10)))),
        ("items:7", query(Within("number_of_items", Bounds(7, 7)))),
        ("frozen:2024..2025", query(Within("frozen_at", Bounds(at(2024), at(2026), without_most=True)))),
        ("created:2024-12", query(Within("created_at", Bounds(at(2024, 12), at(2025), without_most=True)))),
        ("uploaded:>2024-12-31", query(Within("uploaded_at", Bounds(at(2025))))),
        ("uploaded:<2024", query(Within("uploaded_at", Bounds(most=at(2024), without_most=True)))),
        ("temperature:>300", query(Annotated("temperature", Bounds(300, without_least=True)))),
        ("pH:6.5..7.5", query(Annotated("ph", Bounds(6.5, 7.5)))),
        ("a.b:<=-1e-3", query(Annotated("a.b", Bounds(most=-0.001)))),
        # values of annotations, or text
        ("key:bean", query((words("key", "bean"), valued("key", "bean")))),
        ("Donor:D7", query((words("donor", "d7"), valued("donor", "D7")))),
        (
            "temperature:300",
            query((words("temperature", "300"), valued("temperature", "300"), number("temperature", 300))),
        ),
        (
            "voltage:-3e-5",
            query((words("voltage", "3e", "5"), valued("voltage", "-3e-5"), number("voltage", -3e-5))),
        ),
        (
            "checked:True",
            query((words("checked", "true"), valued("checked", "True"), valued("checked", True))),
        ),
        (
            "a:SalesRegion",
            query((words("a", "sales", "region"), words("a", "salesregion"), valued("a", "SalesRegion"))),
        ),
        (
            'protocol:"cold shock"',
            query(
                (
                    All((Text(words("protocol")), Text(words("cold", "shock")))),
                    valued("protocol", "cold shock"),
                )
            ),
        ),
        ("-key:bean", query(without=(AnyOf((Text(words("key", "bean")), valued("key", "bean"))),))),
        ("key:bean OR a", query((words("key", "bean"), valued("key", "bean"), A))),
        ("key:bea*", query(starting("bea", "key"))),
        ("readme:(key:bean)", query(Text(words("key", "bean"), "readme"))),
        ("12:30", query(words("12", "30"))),
        # fields that are none
        ("file://a/b", query(words("file", "a", "b"))),
        ("name://a", query(words("name", "a"))),
        ("name:", query(words("name"))),
        ("name: a", query(words("name"), A)),
        ("size:large", query(words("size", "large"))),
        ("size:>", query(words("size"))),
        ("size:..", query(words("size"))),
        ("frozen:2024-13", query(words("frozen", "2024", "13"))),
        ("missing:everything", query(words("missing", "everything"))),
        ("temperature:>hot", query(words("temperature", "hot"))),
        ("name:*", NOTHING),
        # names of files
        ("*_R1.fastq.gz", query(FileName((piece("r", "1", "fastq", "gz"),), False))),
        ("plate_*_R1.tif", query(FileName((piece("plate"), piece("r", "1", "tif")), False))),
        ("sampl*.csv", query(FileName((Piece(("sampl",), False, True), piece("csv")), False))),
        ("file:*count.csv", query(FileName((Piece(("count", "csv"), True, False),), False))),
        ("file:*count*", query(Text(starting("count"), "files"))),
        # prefixes
        ("prefi*", query(starting("prefi"))),
        ("Prefixes*", query(starting("prefixes"))),
        ("Éc*", query(starting("ec"))),
        ("a**", query(starting("a"))),
        ("U00096.3.rev*", query(starting("rev", "u00096", "3"))),
        ("基因*", query(starting("因", "基"))),
        ("2020-01*", query(starting("01", "2020"))),
        ("96wells*", query((starting("wells", "96"), starting("96wells")))),
        ("GSE12*", query((starting("12", "gse"), starting("gse12")))),
        # words that are phrases
        ("a-b", query(words("a", "b"))),
        ("U00096.3.rev.1.bt2", query(words("u00096", "3", "rev", "1", "bt2"))),
        ("s3://a/b", query(words("s3", "a", "b"))),
        ("基因组", query(words("基", "因", "组"))),
        ("key/bean", query(words("key", "bean"))),
        ("SP500", query(words("sp", "500"))),
        ("chr1-chr01", query(words("chr", "1", "chr", "1"))),
        # words that may be read as one or as several
        ("SalesRegion", query((words("sales", "region"), words("salesregion")))),
        ("O'Hara", query((words("o", "hara"), words("ohara")))),
        (
            "-SalesRegion",
            query(without=(AnyOf((node(words("sales", "region")), node(words("salesregion")))),)),
        ),
        ("a OR SalesRegion", query((A, words("sales", "region"), words("salesregion")))),
        (
            "my_SalesRegion.csv",
            query((words("my", "sales", "region", "csv"), words("my", "salesregion", "csv"))),
        ),
        # addresses, with and without what leads there
        ("https://doi.org/10.1234/abcd", query(words("10", "1234", "abcd"))),
        ("http://dx.doi.org/10.1234/abcd", query(words("10", "1234", "abcd"))),
        ("doi:10.1234/abcd", query(words("10", "1234", "abcd"))),
        ("https://www.doi.org/10.1234/abcd", query(words("10", "1234", "abcd"))),
        ("https://dx.doi.org/doi:10.1234/abcd", query(words("10", "1234", "abcd"))),
        ("HTTPS://DOI.ORG/10.1234/abcd/", query(words("10", "1234", "abcd"))),
        (
            "https://doi.org/10.1234%2Fabcd",
            query((words("10", "1234", "2fabcd"), words("10", "1234", "abcd"))),
        ),
        ("<https://doi.org/10.1234/abcd>.", query(words("10", "1234", "abcd"))),
        ("info:doi/10.1234/abcd", query(words("10", "1234", "abcd"))),
        ("https://identifiers.org/doi:10.1234/abcd", query(words("10", "1234", "abcd"))),
        ("https://identifiers.org/doi/10.1234/abcd", query(words("10", "1234", "abcd"))),
        ("https://identifiers.org/taxonomy:9606", query(words("taxonomy", "9606"))),
        ("https://press.example.org/doi/abs/10.1234/abcd", query(words("10", "1234", "abcd"))),
        ("https://doi.org/", query(words("https", "doi", "org"))),
        ("https://arxiv.org/abs/2101.12345", query((words("2101", "12345"), starting("12345v", "2101")))),
        ("arXiv:2101.12345", query((words("2101", "12345"), starting("12345v", "2101")))),
        (
            "https://arxiv.org/pdf/2101.12345v2.pdf",
            query((words("2101", "12345v2"), words("2101", "12345"))),
        ),
        (
            "https://arxiv.org/abs/hep-th/9901001",
            query((words("hep", "th", "9901001"), starting("9901001v", "hep", "th"))),
        ),
        ("https://github.com/foo/bar.git", query(words("github", "com", "foo", "bar"))),
        ("https://github.com/foo/bar/", query(words("github", "com", "foo", "bar"))),
        ("git@github.com:foo/bar.git", query(words("github", "com", "foo", "bar"))),
        ("https://orcid.org/0000-0002-1825-0097", query(words("0000", "0002", "1825", "0097"))),
        ("orcid:0000-0002-1825-0097", query(words("0000", "0002", "1825", "0097"))),
        ("https://hdl.handle.net/20.500/1", query(words("20", "500", "1"))),
        ("https://n2t.net/ark:/12345/x9", query(words("ark", "12345", "x9"))),
        ("https://www.example.org/a", query(words("example", "org", "a"))),
        ("https://", query(words("https"))),
        ("doi:", query(words("doi"))),
        # text that looks like an operator
        ("and a", query(words("and"), A)),
        ("AND a", query(words("and"), A)),
        ("a AND", query(A, words("and"))),
        ("a AND OR b", query(A, (words("and"), B))),
        ("NOT", query(words("not"))),
        ("a NOT", query(A, words("not"))),
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
    assert all(len(leaf.term) for leaf in every_leaf(*parse(text).nodes) if isinstance(leaf, Text))


@given(
    st.lists(
        st.sampled_from(
            [
                "a",
                "-b",
                "OR",
                "AND",
                "NOT",
                '"',
                '"c d"',
                "e*",
                "*",
                "-",
                " ",
                "f-g",
                "(",
                ")",
                "name:",
                "size:>",
                "2",
                "..",
            ]
        )
    ).map("".join)
)
def test_no_combination_of_operators_is_an_error(text: str) -> None:
    parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "a" * (MAX_QUERY_CHARACTERS + 1),
        "a " * (MAX_QUERY_WORDS + 1),
        "-a " * (MAX_QUERY_WORDS + 1),
        '"' + "a " * (MAX_QUERY_WORDS + 1) + '"',
        "字" * (MAX_QUERY_WORDS + 1),
        "a* " * (MAX_QUERY_PREFIXES + 1),
    ],
)
def test_what_is_too_long_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="free_text") as refused:
        parse(text)
    assert isinstance(refused.value, InvalidValueError)
    assert list(refused.value.errors or ()) == ["free_text"]


def test_what_is_just_not_too_long_is_accepted() -> None:
    assert len(parse("a " * MAX_QUERY_WORDS).nodes) == MAX_QUERY_WORDS
    assert len(parse("a* " * MAX_QUERY_PREFIXES).nodes) == MAX_QUERY_PREFIXES
    assert parse("a" * MAX_QUERY_CHARACTERS)
