"""A README as keys and values to show: as they are written, and no larger than they are written."""

from __future__ import annotations

import time

import pytest

from dservercore.dataset.readme_tree import MOST_LEVELS, MOST_VALUES, Entries, Values, tree_of
from dservercore.dataset.text_links import pieces_of, uuids_in

UUID = "af6727bf-29c7-43dd-b42f-a5d7ede28337"


def plain(tree):
    if isinstance(tree, Entries):
        return [(key, plain(value)) for key, value in tree.entries]
    return [plain(value) for value in tree.values] if isinstance(tree, Values) else tree


class TestTree:
    def test_a_text_is_repeated_as_long_as_there_is_room(self):
        readme = f"a: &x {'w' * 9000}\nb: *x\nc: *x\nd: *x\ne: &y word\nf: *y\n"
        values = dict(plain(tree_of(readme)))
        assert [len(values[key]) for key in "abc"] == [9000] * 3
        assert (values["d"], values["f"]) == ("*x", "word")

    @pytest.mark.parametrize(
        ("readme", "says"),
        [
            ("a: 1", [("a", "1")]),
            (
                "date: 2024-05-17\nversion: 1.10\nno: NO\nn: 0o17",
                [("date", "2024-05-17"), ("version", "1.10"), ("no", "NO"), ("n", "0o17")],
            ),
            ("a: [1, {b: 2}]\nc: {}", [("a", ["1", [("b", "2")]]), ("c", [])]),
            ('name: "M\\xFCller"\nempty:\nnone: ~', [("name", "Müller"), ("empty", ""), ("none", "")]),
            ("- a\n- b", ["a", "b"]),
            ("---\na: 1\n---\nb: 2\n", [[("a", "1")], [("b", "2")]]),
            ("a: 1\na: 2", [("a", "1"), ("a", "2")]),
            ("a: 1\n? [x, y]\n: 2", [("a", "1"), ("…", "2")]),
            (
                "base: &b word\nsame: *b\nother: *unknown",
                [("base", "word"), ("same", "word"), ("other", "*unknown")],
            ),
            ("a: &a {x: 1}\nb: *a", [("a", [("x", "1")]), ("b", "*a")]),
            ("note: !important wash", [("note", "!important wash")]),
            ("a: !!python/object:os.system x", [("a", "x")]),
        ],
    )
    def test_says_what_is_written(self, readme, says):
        assert plain(tree_of(readme)) == says

    @pytest.mark.parametrize(
        "readme", ["", "words", "a: b: c", "a: [", "\tx: 1", "# Title\n\ntext: more: text", "a: \x00"]
    )
    def test_what_is_neither_mapping_nor_list_has_none(self, readme):
        assert tree_of(readme) is None

    @pytest.mark.parametrize(
        "readme",
        [
            "a: &a [x]\n"
            + "".join(
                f"{k}: &{k} [{','.join(['*' + p] * 9)}]\n"
                for p, k in zip("abcdefgh", "bcdefghi", strict=True)
            ),
            "a: &a [*a, *a]",
            "[" * 100_000,
            "{a: " * 40_000,
            "- " * 99_000,
            "? " * 99_000,
            "a: " + "x" * 199_000,
            "".join(f"k{n}: v\n" for n in range(15_000)),
            "&a " * 50_000,
            "!x " * 50_000,
            "a: |\n" + " \n" * 90_000,
            "%" * 100_000,
        ],
    )
    def test_what_is_made_to_be_large_is_not(self, readme):
        started = time.process_time()
        tree = tree_of(readme)
        assert time.process_time() - started < 1
        assert len(str(tree)) < 3 * len(readme) + 1000

    def test_levels_and_values_are_bounded(self):
        assert tree_of("[" * MOST_LEVELS + "]" * MOST_LEVELS) is not None
        assert tree_of("[" * (MOST_LEVELS + 1) + "]" * (MOST_LEVELS + 1)) is None
        assert tree_of("[" + "x," * (2 * MOST_VALUES) + "]") is None


class TestLinks:
    @pytest.mark.parametrize(
        ("text", "linked", "href"),
        [
            (
                "see https://example.org/a_(b)?c=d#e, too",
                "https://example.org/a_(b)?c=d#e",
                "https://example.org/a_(b)?c=d#e",
            ),
            ("(http://example.org/x).", "http://example.org/x", "http://example.org/x"),
            (
                "doi:10.1371/journal.pone.0123456.",
                "doi:10.1371/journal.pone.0123456",
                "https://doi.org/10.1371/journal.pone.0123456",
            ),
            ('10.1000/x?"y', "10.1000/x", "https://doi.org/10.1000/x"),
            ("10.1000/a#b&c'd", "10.1000/a#b&c'd", "https://doi.org/10.1000/a%23b%26c%27d"),
            ("ORCID 0000-0002-1825-0097", "0000-0002-1825-0097", "https://orcid.org/0000-0002-1825-0097"),
            ("olga+x@mail.example.org!", "olga+x@mail.example.org", "mailto:olga+x@mail.example.org"),
        ],
    )
    def test_lead_somewhere(self, text, linked, href):
        pieces = list(pieces_of(text))
        assert "".join(piece.text for piece in pieces) == text
        assert [(piece.text, piece.href) for piece in pieces if piece.href] == [(linked, href)]

    @pytest.mark.parametrize(
        "text",
        [
            "javascript:alert(1)",
            "data:text/html,x",
            "JaVaScRiPt://x",
            "ftp://example.org",
            "//example.org",
            "0000-0002-1825-0098",
            "a@b",
            "1.10.1000/x",
            "file:///etc/passwd",
        ],
    )
    def test_nothing_else_does(self, text):
        assert [piece for piece in pieces_of(text) if piece.href] == []

    def test_uuids_are_found(self):
        assert uuids_in(f"from {UUID.upper()}, not x{UUID}") == {UUID}

    @pytest.mark.parametrize(
        "part", ["a", "a@", "a.", "0000-", "10.1000/", "http://", "http://x ", "(", "doi:", "a-b@c."]
    )
    def test_long_lines_are_read_once(self, part):
        started = time.process_time()
        text = (part * 100_000)[:50_000]
        assert "".join(piece.text for piece in pieces_of(text)) == text
        assert time.process_time() - started < 1
