"""Of a README in YAML people remember what it says, not how it is written down."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dservercore.dataset.readme_values import text_of_values


@pytest.mark.parametrize(
    ("readme", "lines"),
    [
        ("project: beans\n", ["project", "beans"]),
        ("---\nproject: beans\n", ["project", "beans"]),
        ("%YAML 1.1\n---\nproject: beans\n...\n", ["project", "beans"]),
        ("- beans\n- peas\n", ["beans", "peas"]),
        ('{"project": "beans", "n": [1, 2.50]}', ["project", "beans", "n", "1", "2.50"]),
        ("\n\n  project: beans", ["project", "beans"]),
        ('name: "M\\xFCller"\n', ["name", "Müller"]),
        ('name: "M\\u00fcller \\U0001F331 \\"x\\" a\\tb"\n', ["name", 'Müller 🌱 "x" a\tb']),
        ("name: 'it''s'\n", ["name", "it's"]),
        ("'a key': value\n", ["a key", "value"]),
        ("text: two\n  lines\n", ["text", "two lines"]),
        ("text: >\n  folded\n  lines\nnext: 1\n", ["text", "folded lines\n", "next", "1"]),
        ("text: |\n  two\n  lines\n", ["text", "two\nlines\n"]),
        (
            "owners:\n- name: Ana\n  at: {city: Łódź}\n- name: Bo\n",
            ["owners", "name", "Ana", "at", "city", "Łódź", "name", "Bo"],
        ),
        ("date: 2020-01-02\nflag: yes\nnothing:\n", ["date", "2020-01-02", "flag", "yes", "nothing", ""]),
        ("a: 1\na: 2\n", ["a", "1", "a", "2"]),
        ("a: 1\n---\nb: 2\n", ["a", "1", "b", "2"]),
        ("a: !!python/object:os.system ls\n", ["a", "ls"]),
        ("a: !important {b: c}\n", ["a", "!important", "b", "c"]),
        ("genotype: *mutant\nnext: &wild type\n", ["genotype", "mutant", "next", "wild", "type"]),
    ],
)
def test_keys_and_values_in_order(readme: str, lines: list[str]) -> None:
    assert text_of_values(readme) == "\n".join(lines)


@pytest.mark.parametrize(
    ("readme", "lines"),
    [
        ("# of beans\nproject: beans # and peas\n", ["project", "beans", " of beans", " and peas"]),
        ("project: beans\n# - all of them\n", ["project", "beans", " - all of them"]),
        ("project: a#b\n", ["project", "a#b"]),
    ],
)
def test_comments_follow(readme: str, lines: list[str]) -> None:
    assert text_of_values(readme) == "\n".join(lines)


def test_what_an_alias_repeats_is_not_repeated() -> None:
    assert text_of_values("a: &x [loam, clay]\nb: *x\n").split() == ["a", "x", "loam", "clay", "b", "x"]


@pytest.mark.parametrize(
    "readme",
    [
        "",
        " ",
        "Beans from the greenhouse.\n",
        '# Beans\n\nFrom: the greenhouse. See "x" and [y](z): there\n - a\n\tb: c',
        "Beans: {from the greenhouse\n",
        "- beans\nfrom the greenhouse\n",
        "note: a: b\n",
        "note: %beans\n  @ : `x`\n: [",
        "\tproject: beans\n",
        'name: "no end\n',
        'name: "\\q"\n',
        "plain",
        '"M\\xFCller"',
        "---\njust text\n",
        "# only a comment\n",
        "*alias",
        "a: *unknown\nb: [",
    ],
)
def test_what_is_no_mapping_and_no_list_is_returned_as_it_is(readme: str) -> None:
    assert text_of_values(readme) == readme


@pytest.mark.parametrize(
    "readme",
    [
        "a: b\0c\n",
        "a: \ud800\n",
        "a: \udfff b\n",
        "\ufeffa: b\n\ud800",
        "a: \x1b[31m\n",
        "a: \x85\u2028b\n",
        "a: \U0010ffff\n",
    ],
)
def test_characters_that_yaml_does_not_know_stop_nothing(readme: str) -> None:
    """What is there is found; at the worst with the signs of YAML in it."""
    text = text_of_values(readme)
    for character in "ab":
        assert (character in text) == (character in readme)


@given(st.sampled_from(["", "a: ", "- ", '{"', "# "]), st.text(st.characters()))
def test_no_text_is_an_error(beginning: str, text: str) -> None:
    assert isinstance(text_of_values(beginning + text), str)


_MB = 2**20
_BOMB = "a: &a [x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 20)}]\n" for n in range(20)
)


@pytest.mark.parametrize(
    "readme",
    [
        "[" * 100_000,
        "[" * 100_000 + "]" * 100_000,
        "{a: " * 50_000 + "}" * 50_000,
        "- " * 100_000 + "x",
        "".join(f"{' ' * n}a:\n" for n in range(1000)),
        _BOMB,
        "a: &a\n  <<: *a\n  b: *a\n",
        "a: " + "&" * _MB,
        "a: " + "!" * _MB,
        "a: " + "#" * _MB,
        "#" * _MB,
        ("#" + " " * 1000) * 1000,
        " " * _MB + "a: b",
        "\n" * _MB + "a: b",
        "a" * _MB + ": b",
        ("a" * 1000 + " ") * 1000 + ":b",
        '"' * _MB,
        '"' + "\\" * _MB,
        "a: |\n" + " \n" * (_MB // 2),
        "? " * (_MB // 2),
        "a: b\n" * (_MB // 5),
        "- x\n" * (_MB // 4),
        "a: 'b'\n# c\n" * (_MB // 11),
        '{"a": [1, 2, {"b": "c"}]}, ' * (_MB // 27),
        "key %d: some words that are written in a line\n" * (_MB // 50),
    ],
)
def test_the_worst_takes_no_longer_than_its_length_says(readme: str) -> None:
    start = time.process_time()
    text = text_of_values(readme)
    seconds = time.process_time() - start
    assert len(text) <= 2 * len(readme) + 1
    assert seconds < 5, f"{seconds:.1f} s"  # a tenth of that, on a machine that has time
