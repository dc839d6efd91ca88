"""Pictures, whatever datasets are called."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET

import pytest

from dservercore.plugins.graph import drawing
from dservercore.printable import printable
from plugins.graph.graphs import graph_of, random_graph, uuid_of
from web.hostile import TEXTS

pytestmark = pytest.mark.attack

SVG = "{http://www.w3.org/2000/svg}"
NAMES = [
    *TEXTS,
    "",
    'quote " and \\" and \\',
    "lines\r\nand\ttabs \u2028 \u2029",
    "\x00\x01\x1b[31m\x7f\x85\ufffe\uffff\ud800",
    "\u202egnp.exe\u2066 \u2067 \u061c",
    "]]> <!-- --> <![CDATA[ <?xml ?> &amp; &#x3c; &nbsp;",
    "\\N \\G \\E \\l \\r",
    '"]; evil [label="',
    "Z̷" * 400,
]
ALL = graph_of(
    [(one, one - 1) for one in range(1, len(NAMES))],
    len(NAMES) + 1,
    names=dict(enumerate(NAMES)),
    unknown=[len(NAMES)],
)


def address_of(node):
    return None if node.is_placeholder else f"https://lab.example/uuid/{node.uuid}?a=1&b='\"<"


def shown_by_graphviz(picture: bytes) -> list[str]:
    """Return the first line of each node of a picture that Graphviz has made."""
    nodes = ET.fromstring(picture).iterfind(f".//{SVG}g[@class='node']")
    return [node.findtext(f".//{SVG}text") or "" for node in nodes]


def as_shown(name: str) -> str:
    return re.sub("[\ufffe\uffff]", "\ufffd", printable(name))


def texts_of(picture: ET.Element) -> list[str]:
    return ["".join(one.itertext()) for one in picture.iter(f"{SVG}title")]


class TestSvg:
    def test_is_xml_that_has_nothing_but_shapes_texts_and_links(self):
        for make in (drawing.svg, drawing.svg_in_page):
            picture = ET.fromstring(make(ALL, address_of))
            kinds = {one.tag.removeprefix(SVG) for one in picture.iter()}
            assert kinds - {"style"} == {"svg", "title", "a", "rect", "text", "path"}
            names = {name for one in picture.iter() for name in one.attrib}
            assert names <= {
                *["class", "x", "y", "width", "height", "viewBox", "d", "rx", "href"],
            }

    def test_names_what_it_shows_in_full(self):
        picture = ET.fromstring(
            drawing.svg(graph_of([], 1, names={0: f"{TEXTS[0]} {'long ' * 30}end"}), address_of)
        )
        assert texts_of(picture)[0].startswith("Provenance of <script>")
        assert texts_of(picture)[1].endswith("end – 2018-09-06 · anna")
        (shown, note) = [one.text for one in picture.iter(f"{SVG}text")]
        assert shown.endswith("…")
        assert (len(shown) <= 24, note) == (True, "2018-09-06 · anna")

    def test_has_no_letters_that_turn_or_hide_others(self):
        acting = re.compile(
            "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069\ufffe\uffff]"
        )
        assert not acting.search(drawing.svg(ALL, address_of))

    def test_links_lead_where_they_should_and_placeholders_nowhere(self):
        picture = ET.fromstring(drawing.svg(ALL, address_of))
        links = [one.attrib["href"] for one in picture.iter(f"{SVG}a")]
        assert len(links) == len(NAMES)
        assert all(link.endswith("?a=1&b='\"<") for link in links)
        (unknown,) = picture.iterfind(f".//{SVG}svg[@class='dataset unknown']")
        assert "".join(unknown.find(f"{SVG}title").itertext()) == (
            f"{uuid_of(len(NAMES))} – not registered, or not yours to see"
        )

    def test_says_which_one_was_asked_for_and_that_there_is_more(self):
        picture = ET.fromstring(drawing.svg(graph_of([(1, 0)], 2, is_bounded=True, copies=3)))
        (centre,) = picture.iterfind(f"{SVG}svg[@class='dataset centre']")
        assert "3 copies" in "".join(centre.itertext())
        assert picture.findtext(f"{SVG}desc") == "There is more than is shown."
        assert ET.fromstring(drawing.svg(graph_of([(1, 0)], 2))).find(f"{SVG}desc") is None

    def test_everything_is_within_the_picture(self):
        for graph in (ALL, random_graph(300), graph_of([(0, 1), (1, 0)], 2), graph_of([], 0)):
            picture = ET.fromstring(drawing.svg(graph))
            width, height = int(picture.attrib["width"]), int(picture.attrib["height"])
            for one in picture.iter(f"{SVG}svg"):
                if one is not picture:
                    assert 0 <= float(one.attrib["x"]) <= width - 220
                    assert 0 <= float(one.attrib["y"]) <= height - 46

    def test_a_dataset_of_the_end_of_times_and_one_of_none(self):
        graph = graph_of([], 1)
        (node,) = graph.nodes.values()
        for frozen_at in (1e300, -1e300, None, "soon", float("inf"), float("nan"), 0, 253402300799.9):
            node.copies[0]["frozen_at"] = frozen_at
            ET.fromstring(drawing.svg(graph))
            drawing.dot(graph)


class TestShortening:
    def test_by_what_letters_take(self):
        assert drawing.shortened("a" * 28, 28) == "a" * 28
        assert drawing.shortened("a" * 29, 28) == "a" * 27 + "…"
        assert drawing.shortened("数" * 20, 28) == "数" * 13 + "…"
        assert drawing.shortened("é" * 28, 28) == "é" * 28


class TestDot:
    @pytest.mark.parametrize("name", NAMES)
    def test_a_name_is_one_text_between_quotes(self, name):
        lines = drawing.dot(graph_of([], 1, names={0: name}), address_of).splitlines()
        (line,) = [line for line in lines if "label=" in line]
        text = r'"(?:[^"\\]|\\.)*"'
        assert re.fullmatch(rf"  {text} \[label={text}, URL={text}, penwidth=2\];", line)
        assert len(lines) == 5

    def test_leads_from_what_was_there_first(self):
        text = drawing.dot(graph_of([(0, 1)], 2, unknown=[1], is_bounded=True))
        assert f'  "{uuid_of(1)}" -> "{uuid_of(0)}";' in text
        assert "dashed" in text
        assert 'label="There is more than is shown."' in text

    @pytest.mark.skipif(
        not shutil.which("dot") and not os.environ.get("CI"), reason="Graphviz (dot) is not installed"
    )
    def test_graphviz_shows_names_as_they_are(self):
        text = drawing.dot(ALL, address_of).encode()
        done = subprocess.run(["dot", "-Tsvg"], input=text, capture_output=True, check=True)
        shown = shown_by_graphviz(done.stdout)
        assert len(shown) == len(NAMES) + 1
        expected = [drawing.name_of(node) for node in ALL.nodes.values()]
        assert sorted(shown) == sorted(map(as_shown, expected))
