"""Conditions as JSON, for programs: what each finds, alike on every backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask_smorest.pagination import PaginationParameters

from dservercore.errors import ValidationError
from dservercore.rest.sort import SortParameters

from .conftest import fill

RED, BLUE = "s3://red", "s3://blue"


@pytest.fixture
def lab(shelf: Any) -> Any:
    """Four datasets that differ in everything that there is a condition for."""
    return filled(shelf)


@pytest.fixture(scope="module")
def still(
    new_shelf: Callable[[Path], Iterator[Any]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """The same, for tests that change nothing."""
    for shelf in new_shelf(tmp_path_factory.mktemp("lab")):
        yield filled(shelf)


def filled(shelf: Any) -> Any:
    shelf.register(
        "rice-leaves",
        readme="description: Leaves of rice under a confocal microscope\n",
        tags=["imaging", "rice"],
        annotations={
            "temperature": 301.5,
            "species": "Oryza sativa",
            "donor": {"age": 4, "kind": "field"},
            "checked": True,
            "stages": ["seedling", "flower", 3],
        },
        files=["plate_07_R1.tif", "plate_07_R2.tif"],
        size_in_bytes=2_000_000_000,
        created_at=1_672_531_200,  # 2023-01-01
        frozen_at=1_704_067_200.5,  # 2024-01-01, half a second later
        uploaded_by="rita",
    )
    shelf.register(
        "mouse-rna",
        BLUE,
        readme="title: rice and mouse\n",
        tags=["rna"],
        annotations={"temperature": "21.5", "Species": "mouse", "donor": "none", "checked": False},
        files=["reads_R1.fastq.gz"],
        size_in_bytes=10_000,
        created_at=1_704_067_200,  # 2024-01-01
        frozen_at=1_735_689_600,  # 2025-01-01
        creator_username="anna",
    )
    shelf.register("void", size_in_bytes=0, frozen_at=1_704_067_200.25)
    shelf.register("unknown", BLUE, readme="of some kind", size_in_bytes=None, number_of_items=None)
    return shelf


CASES: list[tuple[dict[str, Any], str]] = [
    ({"text": "confocal microscope"}, "rice-leaves"),
    ({"text": "microscope confocal"}, ""),
    ({"text": "confocal micro*"}, "rice-leaves"),
    ({"text": "Rice"}, "mouse-rna rice-leaves"),
    ({"text": "rise"}, ""),
    ({"name": "rice"}, "rice-leaves"),
    ({"name": "rice", "readme": "rice"}, "rice-leaves"),
    ({"readme": "rice and"}, "mouse-rna"),
    ({"tag": "rice"}, "rice-leaves"),
    ({"tag": "rn*"}, "mouse-rna"),
    ({"annotation": "sativa"}, "rice-leaves"),
    ({"annotation": "species"}, "mouse-rna rice-leaves"),
    ({"file": "*_R1.tif"}, "rice-leaves"),
    ({"file": "plate_*_R2.tif"}, "rice-leaves"),
    ({"file": "reads_R1.fastq.gz"}, "mouse-rna"),
    ({"file": "R1*"}, "mouse-rna rice-leaves"),
    ({"uri": "blue"}, "mouse-rna unknown"),
    ({"base": "S3://RE"}, "rice-leaves void"),
    ({"base": "3://"}, "mouse-rna rice-leaves unknown void"),
    ({"size": 0}, "void"),
    ({"size": {"gt": 10_000}}, "rice-leaves"),
    ({"size": {"gte": 10_000}}, "mouse-rna rice-leaves"),
    ({"size": {"gte": "10kB", "lt": "2GB"}}, "mouse-rna"),
    ({"size": {"lte": "2GB"}}, "mouse-rna rice-leaves void"),
    ({"items": 1}, "mouse-rna"),
    ({"items": {"lt": 2}}, "mouse-rna void"),
    ({"items": {"gt": 1.5}}, "rice-leaves"),
    ({"created": "2024"}, "mouse-rna"),
    ({"created": {"gt": "2023"}}, "mouse-rna"),
    ({"created": {"gte": 1_672_531_200, "lt": 1_704_067_200}}, "rice-leaves"),
    ({"frozen": 1_704_067_200.5}, "rice-leaves"),
    ({"frozen": {"lte": "2024-01-01", "gte": "2024-01-01"}}, "rice-leaves void"),
    ({"frozen": {"gt": "2024-01-01T00:00:00.250000Z", "lt": "2025"}}, "rice-leaves"),
    ({"frozen": {"gte": "2024-01-01T01:00:00+01:00", "lte": "2024-12-31"}}, "rice-leaves void"),
    ({"uploaded": {"lt": "2026"}}, ""),
    ({"uploaded": 1767225600.5}, "mouse-rna rice-leaves unknown void"),
    ({"annotations": {"temperature": {"gt": 300}}}, "rice-leaves"),
    ({"annotations": {"TEMPERATURE": {"gte": 21.5, "lt": 301.5}}}, "mouse-rna"),
    ({"annotations": {"temperature": 21.5}}, "mouse-rna"),
    ({"annotations": {"species": "mouse"}}, "mouse-rna"),
    ({"annotations": {"species": "Mouse"}}, ""),
    ({"annotations": {"species": "sativa"}}, ""),
    ({"annotations": {"species": ["mouse", "Oryza sativa"]}}, "mouse-rna rice-leaves"),
    ({"annotations": {"donor": "mouse"}}, ""),
    ({"annotations": {"donor": {"exists": True}}}, "mouse-rna rice-leaves"),
    ({"annotations": {"donor.kind": {"exists": True}}}, "rice-leaves"),
    ({"annotations": {"donor.kind": "field"}}, "rice-leaves"),
    ({"annotations": {"donor.age": 4}}, "rice-leaves"),
    ({"annotations": {"donor": {"exists": False}}}, "unknown void"),
    ({"annotations": {"stages": "flower"}}, "rice-leaves"),
    ({"annotations": {"stages": [3, "leaf"]}}, "rice-leaves"),
    ({"annotations": {"checked": True}}, "rice-leaves"),
    ({"annotations": {"checked": [True, False]}}, "mouse-rna rice-leaves"),
    ({"annotations": {"checked": "true"}}, ""),
    ({"annotations": {"temperature": {"exists": True, "lt": 100}}}, "mouse-rna"),
    ({"annotations": {"temperature": {"gt": 0}, "species": "mouse"}}, "mouse-rna"),
    ({"missing": ["readme"]}, "void"),
    ({"missing": ["tags", "annotations"]}, "unknown void"),
    ({"missing": ["description", "readme"]}, "void"),
    ({"missing": []}, "mouse-rna rice-leaves unknown void"),
    ({"any": [{"name": "rice"}, {"size": {"lt": 1}}]}, "rice-leaves void"),
    ({"any": [{"name": "rice", "size": {"lt": 1}}]}, ""),
    ({"any": [{"creator_usernames": ["anna"]}, {"tags": ["imaging", "rice"]}]}, "mouse-rna rice-leaves"),
    ({"any": [{"uploaded_by": ["rita"]}, {"tags": ["rna", "imaging"]}]}, "rice-leaves"),
    ({"not": {"text": "rice"}}, "unknown void"),
    ({"not": {"name": "rice", "tag": "rna"}}, "mouse-rna rice-leaves unknown void"),
    ({"not": {"any": [{"name": "rice"}, {"tag": "rna"}]}}, "unknown void"),
    ({"not": {"size": {"gte": 0}}}, "unknown"),
    ({"not": {"file": "plate_*_R2.tif"}, "base": "red"}, "void"),
    ({"all": [{"any": [{"name": "rice"}, {"name": "mouse"}]}, {"not": {"uri": "red"}}]}, "mouse-rna"),
    ({"not": {"not": {"not": {"name": "void"}}}}, "mouse-rna rice-leaves unknown"),
    ({"all": [{"annotations": {"donor": {"exists": False}}}, {"not": {"missing": ["readme"]}}]}, "unknown"),
    ({"name": "rice", "tags": ["imaging"], "creator_usernames": ["olga"]}, "rice-leaves"),
    ({"name": "rice", "tags": ["rna"]}, ""),
]


@pytest.mark.parametrize("asked", range(len(CASES)))
def test_found(still: Any, asked: int) -> None:
    query, names = CASES[asked]
    assert sorted(still.find(**query)) == names.split()
    assert still.count(**query) == len(names.split())


def test_uuids_may_be_one_of_several_conditions(still: Any) -> None:
    [uuid] = [d["uuid"] for d in still.search.search({"base_uris": [BLUE], "name": "mouse"})]
    for spelt in (uuid, uuid.upper(), uuid.replace("-", "")):
        assert sorted(still.find(any=[{"uuids": [spelt]}, {"name": "void"}])) == ["mouse-rna", "void"]


def test_conditions_and_text_hold_together(still: Any) -> None:
    assert still.find("rice", size={"gt": "1MB"}) == ["rice-leaves"]
    assert still.find("rice -mouse", size={"lt": "1MB"}) == []
    assert still.find("rice OR mouse", missing=["tags"]) == []
    assert still.find("  ...", name="rice") == []


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("species:mouse", "mouse-rna"),
        ("Species:mouse", "mouse-rna"),
        ('species:"Oryza sativa"', "rice-leaves"),
        ("temperature:21.50", "mouse-rna"),
        ("temperature:301.5", "rice-leaves"),
        ("temperature:3.015e2", "rice-leaves"),
        ("donor.age:4", "rice-leaves"),
        ("donor.kind:field", "rice-leaves"),
        ("checked:true", "rice-leaves"),
        ("stages:flower", "rice-leaves"),
        ("stages:3", "rice-leaves"),
        ("species:Mouse", ""),
        ("species:oryza", ""),
        ("species:rice", ""),
        ("donor.age:5", ""),
        ("title:rice", "mouse-rna"),
        ("description:leaves", "rice-leaves"),
        ("rice species:mouse", "mouse-rna"),
        ("rice -species:mouse", "rice-leaves"),
        ("rice NOT temperature:21.5", "rice-leaves"),
        ("species:mouse OR name:void", "mouse-rna void"),
        ("(species:mouse OR donor.age:4) tag:rna", "mouse-rna"),
        ("file://rice", ""),
    ],
)
def test_a_name_and_a_value_are_an_annotation_or_text(still: Any, text: str, names: str) -> None:
    assert sorted(still.find(text, strict=True)) == names.split()
    assert still.count(text, strict=True) == len(names.split())


def test_an_annotation_that_is_named_with_its_value_is_a_word_that_may_be_left_out(still: Any) -> None:
    for text in ("species:mouse confocal", "temperature:21.5 confocal", "donor.age:4 rna"):
        found, report = ranked(still, text)
        assert sorted(found) == ["mouse-rna", "rice-leaves"]
        assert report == {"corrected": {}, "optional": text.split(), "strict_total": 0}
    assert ranked(still, "species:mouse") == (["mouse-rna"], None)
    assert ranked(still, "temperature:21.5 confocla")[1] == {
        "corrected": {"confocla": ["confocal"]},
        "optional": ["temperature:21.5", "confocla"],
        "strict_total": 0,
    }


def ranked(shelf: Any, text: str, **query: Any) -> tuple[list[str], dict[str, Any] | None]:
    pagination = PaginationParameters(1, 10)
    asked = {"free_text": text, "base_uris": shelf.base_uris(), **query}
    found = shelf.search.search(asked, pagination, SortParameters("-relevance"))
    assert pagination.item_count == len(found)
    return [dataset["name"] for dataset in found], getattr(pagination, "search_report", None)


def test_a_condition_is_never_corrected_or_left_out(still: Any) -> None:
    assert ranked(still, "confocla", name="rice")[0] == ["rice-leaves"]
    assert ranked(still, "confocla", name="rcie") == ([], None)
    assert ranked(still, "confocla", name="mouse") == ([], None)
    assert ranked(still, "confocla unheardof", size={"gt": 5_000_000_000}) == ([], None)
    found, report = ranked(still, "rice zebrafish", size={"gt": "1kB"})
    assert sorted(found) == ["mouse-rna", "rice-leaves"]
    assert report == {"corrected": {}, "optional": ["zebrafish"], "strict_total": 0}


def test_what_was_corrected_is_joined_to_what_is_typed_within_the_conditions(lab: Any) -> None:
    lab.register("rice", readme="mouse")
    found, report = ranked(lab, "rice mouse", base="3")
    assert sorted(found) == ["mouse-rna", "rice", "rice-leaves"]
    assert report == {"corrected": {}, "optional": ["rice", "mouse"], "strict_total": 2}
    assert ranked(lab, "rice mouse", base="red")[0] == ["rice", "rice-leaves"]
    assert ranked(lab, "rice mouse", name="rice", base="red")[0] == ["rice", "rice-leaves"]


def test_a_condition_makes_nothing_more_relevant(lab: Any) -> None:
    for number in range(4):
        lab.register(
            f"soil-{number}", readme="soil " + "word " * number, annotations={"kind": "soil " * number}
        )
    plain, _ = ranked(lab, "soil")
    assert ranked(lab, "soil", any=[{"text": "soil"}, {"text": "word"}])[0] == plain
    assert len(plain) == 4


def test_what_is_called_just_so_comes_first_under_a_condition_too(shelf: Any) -> None:
    shelf.register("rice-2", readme="title: rice rice rice\n" * 20, tags=["rice"])
    shelf.register("rice", readme="long " * 3000)
    assert ranked(shelf, "rice", missing=["annotations"])[0] == ["rice", "rice-2"]


def test_conditions_stay_within_the_scope(still: Any) -> None:
    for query in ({"not": {"name": "nothing"}}, {"base": "s3"}, {"any": [{"base": "blue"}, {"base": "red"}]}):
        assert sorted(still.find(base_uris=[BLUE], **query)) == ["mouse-rna", "unknown"]


def test_pages_of_what_fulfils_conditions(shelf: Any) -> None:
    fill(shelf)
    query = {"not": {"name": "name-3"}, "any": [{"text": "common"}, {"creator_usernames": ["creator1"]}]}
    everything = shelf.find(**query)
    pages = [shelf.find(page=page, sort="name", **query) for page in range(1, 12)]
    assert sorted(everything) == [name for page in pages for name in page]
    assert shelf.count(**query) == len(everything) > 40


def test_edits_count_at_once(lab: Any) -> None:
    [uri] = [d["uri"] for d in lab.search.search({"base_uris": [RED], "name": "void"})]
    lab.set_annotations(uri, {"species": "mouse", "depth": 7})
    lab.set_tags(uri, ["rna"])
    assert sorted(lab.find(annotations={"species": "mouse"})) == ["mouse-rna", "void"]
    assert lab.find(annotations={"depth": {"gt": 6}}, any=[{"tags": ["rna"]}]) == ["void"]
    lab.set_annotations(uri, {})
    assert lab.find(annotations={"species": "mouse"}) == ["mouse-rna"]
    assert "void" in lab.find(missing=["annotations"])


def test_an_annotation_is_found_in_a_dataset_that_has_no_room_for_more(shelf: Any) -> None:
    shelf.register(
        "large",
        readme=" ".join(f"word{n}" for n in range(60_000)),
        annotations={"last": "one", "text": " ".join(f"other{n}" for n in range(19_000))},
    )
    assert shelf.find(annotations={"last": "one"}) == ["large"]
    assert shelf.find(annotations={"text": {"exists": True}}) == ["large"]
    assert shelf.find(**{"not": {"annotations": {"last": "one"}}}) == []


def test_a_text_that_cannot_be_stored_is_found_nowhere(still: Any) -> None:
    for value in ("\x00", "\ud800", "a\x00b", "'; --", '"', "=all", "|"):
        for query in (
            {"annotations": {"species": value}},
            {"annotations": {value: {"exists": True}}},
            {"any": [{"creator_usernames": [value]}, {"tags": [value]}, {"uploaded_by": [value]}]},
        ):
            assert still.find(**query) == []


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"size": "large"}, "size: Not a number of bytes"),
        ({"any": [{"size": {"over": 3}}]}, "any.0.size.over: Unknown operator"),
        ({"name": "-"}, "name: Has no letter"),
        ({"not": {}}, "not: There must be at least one condition"),
    ],
)
def test_what_makes_no_sense_is_refused(still: Any, query: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        still.find(**query)


def test_two_hundred_conditions_are_not_too_many(still: Any) -> None:
    assert (
        still.find(any=[{"name": f"nothing{n}"} for n in range(100)] + [{"items": n} for n in range(50, 150)])
        == []
    )
    assert still.find(any=[{"size": n} for n in range(200)]) == ["void"]
    deep: dict[str, Any] = {"name": "rice"}
    for _ in range(5):
        deep = {"not": {"any": [deep, {"size": {"lt": 0}}]}}
    assert sorted(still.find(**deep)) == ["mouse-rna", "unknown", "void"]
